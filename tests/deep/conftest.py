"""Deep tests need torch; they run on the engine's Python."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="the deep models need torch (requirements/deep.txt)")
torch.set_num_threads(1)  # small tensors; more threads only wait for each other
for folder in (Path(__file__).parent, Path(__file__).parents[1] / "unit"):
    sys.path.insert(0, str(folder))  # plain.py, scenes.py
