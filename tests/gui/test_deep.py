"""The deep models in a real QGIS window (Xvfb); the pictures stay in ``build/screenshots/deep``."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from window import HERE, INI, PROGRAM, SHOTS, display, environment, spread

pytestmark = pytest.mark.gui
PICTURES = (
    *("welcome", "demo", "preview", "fused", "uncertainty", "comparison"),
    *("dialog_ssdiff", "dialog_ssdiff_log", "dialog_ssdiff_running", "dialog_crossdiff"),
    *("dialog_adapt", "dialog_enginestatus", "dialog_models", "dialog_preview"),
)


@pytest.fixture(scope="module")
def log(tmp_path_factory, root) -> dict:
    """What the script noted; with ``out``, the folder of its pictures."""
    python = root / ".venv" / "engine" / "bin" / "python"
    if not PROGRAM or not python.exists():
        pytest.skip("QGIS or the engine's Python is not installed")
    folder = tmp_path_factory.mktemp("deep")
    out = SHOTS / "deep"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    models = os.environ.get("WHETSTONE_SHOT_MODELS")  # better ones, for the documentation
    if not models:
        models = str(folder / "models")
        script = HERE.parent / "qgis" / "write_models.py"
        subprocess.run([python, script, models], check=True, env={"PATH": os.environ["PATH"]})
    side = 512 if "WHETSTONE_SHOT_MODELS" in os.environ else 256
    task = {"out": str(out), "here": str(HERE), "side": side, "seconds": 300}
    (folder / "task.json").write_text(json.dumps(task), encoding="utf-8")
    profile = folder / "profiles" / "default" / "QGIS"
    profile.mkdir(parents=True)
    (profile / "QGIS3.ini").write_text(INI.replace("welcomed=true", "welcomed=false"))
    words = [PROGRAM, "--nologo", "--noversioncheck", "--profiles-path", str(folder)]
    words += ["--profile", "default", "--code", str(HERE / "deep.py")]
    variables = {
        **environment(folder, root),
        "WHETSTONE_ENGINE_PYTHON": str(python),
        "WHETSTONE_MODELS": models,
        "WHETSTONE_HOME": str(folder / "data"),
    }
    done = subprocess.run(
        display(words), env=variables, cwd=folder, capture_output=True, timeout=420
    )
    (out / "qgis.log").write_bytes(done.stdout + done.stderr)
    assert (out / "deep.json").is_file(), done.stderr.decode(errors="replace")[-3000:]
    noted = json.loads((out / "deep.json").read_text("utf-8"))
    assert "error" not in noted, noted["error"]
    return {**noted, "out": out}


@pytest.mark.parametrize("name", PICTURES)
def test_pictures_show_something(log, name):
    assert spread(log["out"] / f"{name}.png") > 5


def test_welcome_demo_and_preview(log):
    assert log["welcome"] == "Open the demo scene" and log["demo"] == ["Demo MS", "Demo PAN"]
    assert log["preview_runs"] and log["preview_groups"] == ["Demo MS SSDIFF (preview)"]
    assert log["asked"] == ["Demo PAN", "Demo MS"]


def test_a_run_with_uncertainty(log):
    assert log["results"] and Path(log["out"] / "deep_fused.tif").is_file()
    assert log["group"] == ["deep_fused.tif", "deep_std.tif", "ms.tif"]
    assert log["measured"]["grown_mb"] < 20  # torch is in the other process
    assert (log["out"] / "deep_report.html").stat().st_size > 10_000


def test_cancel_leaves_nothing(log):
    assert log["engines_running"] == 1 and log["left"] == []
    assert log["layers_after_cancel"] == 5


def test_the_plugin_goes_without_a_trace(log):
    assert log["unloaded"] and log["buttons"] == 0
