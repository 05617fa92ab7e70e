"""Tiny models for tests inside QGIS, made by the engine's Python: ``write_models.py FOLDER``."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "deep"))

from models import write_crossdiff, write_model

folder = Path(sys.argv[1])
folder.mkdir(parents=True, exist_ok=True)
write_model(folder, name="tiny-ssdiff", sensors=("qb",))
write_model(folder, name="eight-ssdiff", bands=8)
write_crossdiff(folder, name="tiny-crossdiff")
