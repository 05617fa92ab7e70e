"""The options page in a real QGIS window (Xvfb); the pictures stay in ``build/screenshots``."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from window import HERE, INI, PROGRAM, SHOTS, display, environment, spread

pytestmark = pytest.mark.gui
STATES = {
    "missing": ("missing", "Install"),
    "missing_small": ("missing", "Install"),
    "half": ("half", "Repair"),
    "outdated": ("outdated", "Update"),
    "broken": ("broken", "Repair"),
    "ready": ("ready", ""),
    "ready_tested": ("ready", ""),
    "external": ("external", ""),
}
MORE = ("installing", "installing_small", "cancelled")


def write_model(folder: Path, name: str, architecture: str, **change) -> None:
    """A model as the table shows it; its weights are none."""
    from whetstone.engine.cards import Card

    path = folder / f"{name}.safetensors"
    path.write_bytes(b"0" * 7_900_000)
    card = Card(name, architecture, {"bands": 4}, 4, 4.0, **change)
    path.with_suffix(".json").write_text(card.to_json())


@pytest.fixture(scope="module")
def noted(tmp_path_factory, root) -> dict:
    """Run the script in QGIS once; what it noted."""
    if not PROGRAM:
        pytest.skip("QGIS is not installed")
    folder, out = tmp_path_factory.mktemp("gui"), SHOTS
    out.mkdir(parents=True, exist_ok=True)
    (out / "settings.json").unlink(missing_ok=True)
    python = root / ".venv" / "engine" / "bin" / "python"
    task = {"out": str(out), "python": str(python)}
    (folder / "task.json").write_text(json.dumps(task), encoding="utf-8")
    profile, models = folder / "profiles" / "default" / "QGIS", folder / "models"
    profile.mkdir(parents=True)
    models.mkdir()
    (profile / "QGIS3.ini").write_text(INI)
    scores = {"gf2": {"ergas": 1.62, "sam": 1.4}}
    write_model(models, "ssdiff-gf2-mine", "ssdiff", sensors=("gf2",), scores=scores)
    write_model(models, "crossdiff-adapted", "crossdiff", licence="CC-BY-4.0")
    words = [PROGRAM, "--nologo", "--noversioncheck", "--profiles-path", str(folder)]
    words += ["--profile", "default", "--code", str(HERE / "settings.py")]
    more = {"WHETSTONE_HOME": str(folder / "engine"), "WHETSTONE_MODELS": str(models)}
    done = subprocess.run(
        display(words),
        env={**environment(folder, root), **more},
        cwd=folder,
        capture_output=True,
        timeout=240,
    )
    assert (out / "settings.json").is_file(), done.stderr.decode(errors="replace")[-3000:]
    log = json.loads((out / "settings.json").read_text("utf-8"))
    assert "error" not in log, log["error"]
    return log


@pytest.mark.parametrize("name", [*(f"options_{n}" for n in (*STATES, *MORE)), "import_model"])
def test_pictures_show_something(noted, name):
    assert spread(SHOTS / f"{name}.png") > 10


@pytest.mark.parametrize("name", STATES)
def test_each_state_offers_what_helps(noted, name):
    state = noted["states"][name]
    assert (state["code"], state["button"]) == STATES[name]
    assert state["width_missing"] <= 0  # nothing is cut off at the right


def test_the_page_is_in_front_when_asked_for(noted):
    assert noted["page"]


def test_the_self_test_is_shown(noted):
    checks = noted["states"]["ready_tested"]["checks"]
    assert checks.count("✔") == 4 and "torch" in checks


def test_work_is_shown_and_cancelled_without_a_stall(noted):
    assert noted["states"]["installing"]["sentence"] == "Installing the engine…"
    assert noted["cancelled"] and noted["states"]["cancelled"]["outcome"] == "Cancelled."
    print("longest stall", noted["longest_stall_ms"], "ms")
    assert noted["longest_stall_ms"] < 200  # 50 ms on an idle machine


def test_unloading_takes_the_page_away(noted):
    assert noted["unloaded"] and not noted["page_left"]
    assert set(noted["keys_left"]) <= {"whetstone/welcomed"}
