"""What a user sees, in a real QGIS window (Xvfb); the pictures stay in ``build/screenshots``."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from window import HERE, INI, PROGRAM, SHOTS, display, environment, spread

pytestmark = pytest.mark.gui
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
PICTURES = ("dialog", "dialog_log", "window", "dialog_compare", "batch")


@pytest.fixture(scope="module")
def shots(tmp_path_factory, root) -> Path:
    """Run the script in QGIS once; the folder of its pictures."""
    if not PROGRAM:
        pytest.skip("QGIS is not installed")
    from whetstone.engine import DemoJob, run

    folder = tmp_path_factory.mktemp("gui")
    out = SHOTS
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    drawn = run(DemoJob(str(folder / "scene")))
    task = {
        "out": str(out), "here": str(HERE), "html": str(out / "report.html"),
        "pan": drawn.pan, "ms": drawn.ms, "pan_name": "Town PAN", "ms_name": "Town MS",
        "bands": [3, 2, 1], "method": "gsa", "zoom": 0.3,
    }  # fmt: skip
    task.update(json.loads(os.environ.get("WHETSTONE_SHOT_TASK", "{}")))
    (folder / "task.json").write_text(json.dumps(task), encoding="utf-8")
    profile = folder / "profiles" / "default" / "QGIS"
    profile.mkdir(parents=True)
    (profile / "QGIS3.ini").write_text(INI)
    words = [PROGRAM, "--nologo", "--noversioncheck", "--profiles-path", str(folder)]
    words += ["--profile", "default", "--code", str(HERE / "shot.py")]
    done = subprocess.run(
        display(words), env=environment(folder, root), cwd=folder, capture_output=True, timeout=240
    )
    (out / "qgis.log").write_bytes(done.stdout + done.stderr)
    assert (out / "log.json").is_file(), done.stderr.decode(errors="replace")[-3000:]
    return out


@pytest.fixture(scope="module")
def log(shots) -> dict:
    """What the script noted."""
    noted = json.loads((shots / "log.json").read_text("utf-8"))
    assert "error" not in noted, noted["error"]
    return noted


@pytest.mark.parametrize("name", PICTURES)
def test_pictures_show_something(shots, log, name):
    assert spread(shots / f"{name}.png") > 10


def test_the_result_is_there_and_looks_like_the_ms(log):
    assert log["finished"] and log["new_layers"] == log["wanted_layers"]
    assert log["fused_stretch"] == log["ms_stretch"] and log["fused_opacity"] == 1.0


def test_fused_is_sharper_than_ms(shots, log):
    import numpy as np
    from osgeo import gdal

    detail = {}
    for name in ("ms", "pan", "fused"):
        grey = gdal.Open(str(shots / f"canvas_{name}.png")).ReadAsArray()[:3].mean(axis=0)
        detail[name] = np.abs(np.diff(grey, n=2, axis=1)).mean()
        assert grey.std() > 5
    grey = {n: gdal.Open(str(shots / f"canvas_{n}.png")).ReadAsArray()[:3].mean() for n in detail}
    assert grey["fused"] == pytest.approx(grey["ms"], rel=0.05)


def test_report(shots, log):
    report = shots / "report.html"
    assert report.stat().st_size > 10_000 and log["results"]["HTML"] == str(report)
    if CHROMIUM is None:
        pytest.skip("chromium is not installed")
    picture = shots / "report.png"
    words = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
    words += ["--window-size=1200,3000", f"--screenshot={picture}", report.as_uri()]
    subprocess.run(words, capture_output=True, timeout=120)
    assert spread(picture) > 10
