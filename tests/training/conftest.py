"""Training tests need torch, accelerate, h5py and TensorBoard; they run on the engine's Python."""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path

import pytest

for library in ("torch", "accelerate", "h5py", "tensorboard"):
    pytest.importorskip(library, reason=f"training needs {library} (requirements/training.txt)")

HERE = Path(__file__).resolve().parent
for folder in (HERE.parents[1] / "training", HERE, HERE.parent / "unit"):
    sys.path.insert(0, str(folder))  # the scripts; tiny.py; scenes.py
os.environ["ACCELERATE_USE_CPU"] = "true"  # what is equal bit for bit, is on a CPU
tiny = importlib.import_module("tiny")


@pytest.fixture(autouse=True)
def own_settings():
    """Threads and Accelerate's settings last as long as a process; every test has its own."""
    tiny.one_thread()
    yield
    tiny.forget_accelerator()


@pytest.fixture
def start(monkeypatch):
    """Call a training script as its command line would; returns the exit status."""

    def go(script, *words):
        tiny.forget_accelerator()
        monkeypatch.setattr(sys, "argv", [f"{script}.py", *map(str, words)])
        return importlib.import_module("command").quiet(importlib.import_module(script).main)

    return go


@pytest.fixture
def config(tmp_path):
    """Write the tiny config with changes (None leaves a key out); returns its path."""
    return lambda **changes: tiny.write_config(tmp_path / "tiny.toml", **changes)


@pytest.fixture
def crossdiff(tmp_path):
    """The same of CrossDiff."""
    return lambda **changes: tiny.write_config(tmp_path / "cross.toml", tiny.CROSSDIFF, **changes)


@pytest.fixture
def patches(tmp_path):
    """A prepared file that fits the tiny config."""
    return tiny.write_scenes(tmp_path / "patches.h5")


@pytest.fixture
def both(tmp_path):
    """A prepared file with and without truth that fits the tiny config of CrossDiff."""
    return tiny.write_both(tmp_path / "both.h5")


@pytest.fixture
def model(tmp_path):
    """A model that fits the tiny config, none of its weights zero; its path."""
    return tiny.write_model(tmp_path / "start.safetensors")
