"""A real QGIS window for tests: its program, screen, profile and environment; and its pictures."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
#: Where the pictures stay; dialogs show it, so those of the documentation are taken elsewhere.
SHOTS = Path(os.environ.get("WHETSTONE_SHOT_OUT") or HERE.parents[1] / "build" / "screenshots")
PROGRAM = next(
    (p for p in ("/usr/bin/qgis.bin", shutil.which("qgis") or "") if os.path.exists(p)), ""
)
INI = """[PythonPlugins]
whetstone=true
processing=true
[qgis]
checkVersion=false
showTips=false
[whetstone]
welcomed=true
[Processing]
Configuration\\KEEP_DIALOG_OPEN=true
"""


def display(words: list[str]) -> list[str]:
    """A command with a screen to draw on."""
    if os.environ.get("DISPLAY"):
        return words
    wrapper = shutil.which("xvfb-run")
    if wrapper is None:
        pytest.skip("neither a screen nor xvfb-run")
    return [wrapper, "-a", "-s", "-screen 0 1440x900x24", *words]


def environment(folder: Path, root: Path) -> dict[str, str]:
    """A home of its own, with the checkout as plugin."""
    for name in ("home", "runtime", "plugins"):
        (folder / name).mkdir()
    (folder / "runtime").chmod(0o700)
    (folder / "plugins" / "whetstone").symlink_to(root)
    kept = {
        key: os.environ[key]
        for key in ("PATH", "LANG", "DISPLAY", "XAUTHORITY")
        if key in os.environ
    }
    return {
        **kept,
        "HOME": str(folder / "home"),
        "XDG_RUNTIME_DIR": str(folder / "runtime"),
        "QGIS_PLUGINPATH": str(folder / "plugins"),
        "WHETSTONE_SHOT": str(folder / "task.json"),
        "GDAL_PAM_ENABLED": "NO",
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def spread(path: Path) -> float:
    """Standard deviation of a picture's grey values: 0 when blank."""
    from osgeo import gdal

    dataset = gdal.Open(str(path))
    assert dataset is not None and min(dataset.RasterXSize, dataset.RasterYSize) > 120, path
    return float(dataset.ReadAsArray()[:3].std())
