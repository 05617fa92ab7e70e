"""The options page: what it shows in each state, and what its buttons do."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from qgis.core import QgsSettings
from qgis.PyQt import sip
from qgis.PyQt.QtCore import QEvent
from qgis.PyQt.QtWidgets import QApplication, QMessageBox
from throwaway import PROGRAM, Profile, unpack_zip
from whetstone.engine import WhetstoneError, library
from whetstone.engine.cards import Card, file_hash
from whetstone.plugin import (
    background,
    engine_home,
    engine_panel,
    engine_process,
    import_dialog,
    installer,
    models_list,
    models_panel,
)
from whetstone.plugin.engine_home import engine_folder, requirements_hash, write_marker
from whetstone.plugin.options_page import OptionsFactory, OptionsPage

FINE = {
    "ok": True,
    "torch": "2.13.0+cpu",
    "checks": [{"name": name, "ok": True, "detail": "<good>"} for name in ("torch", "proj")],
}
BAD = {"ok": False, "checks": [{"name": "torch", "ok": False, "detail": "no libtorch"}]}
YES, NO = QMessageBox.StandardButton.Yes, QMessageBox.StandardButton.No


class Window:
    """Widgets that go after the test, and an event loop that runs until something is so."""

    def __init__(self):
        self.widgets = []

    def addWidget(self, widget):  # noqa: N802 - as pytest-qt calls it
        self.widgets.append(widget)

    def waitUntil(self, so, timeout):  # noqa: N802
        deadline = time.monotonic() + timeout / 1000
        while not so():
            assert time.monotonic() < deadline, "waited in vain"
            QApplication.processEvents()
            time.sleep(0.005)


@pytest.fixture
def window(qgis_app):
    made = Window()
    yield made
    for widget in made.widgets:
        if not sip.isdeleted(widget):
            widget.deleteLater()
    QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch, qgis_app):
    folder = tmp_path / "home"
    monkeypatch.setenv("WHETSTONE_HOME", str(folder))
    monkeypatch.setenv("WHETSTONE_MODELS", str(tmp_path / "models"))
    monkeypatch.delenv("WHETSTONE_ENGINE_PYTHON", raising=False)
    monkeypatch.setattr(engine_home, "own_python", lambda: "")
    monkeypatch.setattr(engine_panel, "graphics_cards", lambda: [("T4", "580.1", "7.5")])
    monkeypatch.setattr(engine_panel, "run_words", lambda python, words, progress: FINE)
    monkeypatch.setattr(library, "BUNDLED", tmp_path / "bundled")
    monkeypatch.setattr(models_list, "catalogue", dict)
    engine_panel.TESTED.clear()
    QgsSettings().remove(engine_home.SETTING)
    yield folder
    background.stop_all_work()
    QgsSettings().remove(engine_home.SETTING)


@pytest.fixture
def open_page(window):
    def opened() -> OptionsPage:
        page = OptionsPage()
        window.addWidget(page)
        page.resize(700, 560)
        page.show()
        window.waitUntil(lambda: not page.engine.cards.kind, timeout=5000)
        return page

    return opened


def make_engine(state: str = "ready", build: str = "cpu", **notes: str) -> Path:
    """An environment as the installer leaves it, without its gigabyte."""
    folder = engine_folder(build)
    for name in ("torch", "rasterio", "safetensors"):
        (folder / "lib" / "python3.11" / "site-packages" / name).mkdir(parents=True)
    (folder / "bin").mkdir()
    (folder / "bin" / "python").write_text("")
    (folder / "pyvenv.cfg").write_text("home = /usr/bin\n")
    known = {"torch": engine_home.torch_version(), "build": build, "state": state}
    write_marker(folder, **{**known, "requirements": requirements_hash(), **notes})
    return folder


def shown(panel) -> dict:
    """The buttons that can be seen, with their texts."""
    names = ("act", "remove", "test", "copy")
    buttons = {name: getattr(panel, name) for name in names}
    return {name: button.text() for name, button in buttons.items() if button.isVisible()}


def ended(window, work):
    window.waitUntil(lambda: not work.kind, timeout=10_000)


def test_nothing_installed(open_page):
    panel = open_page().engine
    assert panel.sentence.text() == "The engine is not installed."
    assert set(shown(panel)) == {"act", "copy"} and panel.act.text() == "Install"
    assert panel.builds.currentData() == "cu130"
    assert "Suggested: CUDA 13.0. T4 with driver 580.1" in panel.reason.text()
    assert "GB to download" in panel.room.text() and "are free" in panel.room.text()
    assert not panel.log.isVisible() and not panel.progress.isVisible()


@pytest.mark.parametrize(
    ("notes", "act"),
    [
        ({"state": "interrupted"}, "Repair"),
        ({"state": "ready", "requirements": "other"}, "Update"),
        ({"state": "broken", "trouble": "no libtorch"}, "Repair"),
    ],
)
def test_what_is_not_ready(open_page, notes, act):
    make_engine(**notes)
    panel = open_page().engine
    assert panel.act.text() == act and panel.act.isVisible() and panel.remove.isVisible()
    assert panel.test.isVisible() == (notes["state"] == "broken")
    assert panel.sentence.text() == engine_home.engine_state().sentence
    assert panel.builds.currentData() == "cpu"  # as it was, whatever is suggested


def test_ready(open_page):
    make_engine()
    panel = open_page().engine
    assert shown(panel) == {
        "remove": "Remove",
        "test": "Self-test",
        "copy": "Copy diagnostics",
    }
    panel.builds.setCurrentIndex(panel.builds.findData("cu126"))
    assert panel.act.isVisible() and panel.act.text() == "Change to CUDA 12.6"


def test_ones_own_python(open_page, window):
    page = open_page()
    panel = page.engine
    assert not panel.path_test.isEnabled()
    panel.path.setFilePath(sys.executable)
    assert panel.path_test.isEnabled()
    panel.path_test.click()
    ended(window, panel.work)
    assert "✔" in panel.checks.text() and "&lt;good&gt;" in panel.checks.text()
    assert not QgsSettings().value(engine_home.SETTING, "")
    page.apply()
    assert QgsSettings().value(engine_home.SETTING) == sys.executable
    assert panel.state.code == "external" and set(shown(panel)) == {"test", "copy"}
    assert not panel.builds.isVisible() and not panel.room.isVisible()
    panel.path.setFilePath("")
    page.apply()
    assert QgsSettings().value(engine_home.SETTING, None) is None
    assert panel.state.code == "missing"


def test_the_self_test_marks_a_managed_engine_as_broken_and_ready_again(
    open_page, window, monkeypatch
):
    make_engine()
    panel = open_page().engine
    answers = [BAD, FINE]
    monkeypatch.setattr(engine_panel, "run_words", lambda *words: answers.pop(0))
    panel.test.click()
    ended(window, panel.work)
    assert panel.state.code == "broken" and panel.act.text() == "Repair"
    assert "✘" in panel.checks.text() and "no libtorch" in panel.progress.outcome.text()
    panel.test.click()
    ended(window, panel.work)
    assert panel.state.code == "ready" and panel.checks.text().count("✔") == 2
    assert panel.progress.outcome.text() == "The self-test is passed."


class Install:
    """Stands in for the installer: says lines until it is let go or cancelled."""

    def __init__(self):
        self.go, self.build, self.thread = threading.Event(), "", None

    def __call__(self, build, progress, log, network, self_test):
        self.build, self.thread = build, threading.current_thread()
        log("Collecting torch")
        log("  Downloading torch")
        progress.update(0.25, "Fetching torch")
        while not self.go.is_set():
            if progress.cancelled():
                from whetstone.engine import Cancelled

                raise Cancelled()
            time.sleep(0.01)
        make_engine(build=build)
        return self_test(str(engine_folder(build) / "bin" / "python"), progress)


@pytest.fixture
def install(monkeypatch):
    act = Install()
    monkeypatch.setattr(installer, "install", act)
    return act


def test_an_installation_is_watched_and_outlives_the_dialog(open_page, window, install):
    page = open_page()
    panel = page.engine
    panel.act.click()
    window.waitUntil(lambda: panel.progress.bar.value() == 250, timeout=5000)
    assert install.thread is not threading.main_thread() and install.build == "cu130"
    assert panel.sentence.text() == "Installing the engine…"
    assert panel.progress.text.text() == "Fetching torch" and panel.progress.cancel.isVisible()
    assert "Collecting torch" in panel.log.toPlainText() and panel.log.isVisible()
    assert not panel.act.isEnabled() and not page.models.download.isEnabled()
    page.close()
    page.deleteLater()
    QApplication.processEvents()

    again = open_page().engine
    assert again.progress.bar.value() == 250 and "Collecting torch" in again.log.toPlainText()
    install.go.set()
    ended(window, again.work)
    assert again.state.code == "ready" and again.work.error is None
    assert again.progress.outcome.text() == "The engine is installed and passed its self-test."
    assert again.checks.text().count("✔") == 2 and again.log.isVisible()


def test_where_nothing_can_be_installed_it_is_said_at_once(open_page, monkeypatch):
    monkeypatch.setattr(engine_panel, "unsupported_system", lambda: "no build for 32-bit systems")
    panel = open_page().engine
    assert panel.sentence.text() == "no build for 32-bit systems"
    assert set(shown(panel)) == {"copy"} and panel.path.isVisible()


def test_cancel(open_page, window, install):
    panel = open_page().engine
    panel.act.click()
    window.waitUntil(lambda: bool(panel.work.lines), timeout=5000)
    start = time.monotonic()
    panel.progress.cancel.click()
    assert not panel.progress.cancel.isEnabled()
    ended(window, panel.work)
    assert time.monotonic() - start < 1
    assert panel.progress.outcome.text() == "Cancelled." and panel.act.text() == "Install"


def test_errors_are_shown_and_logged(open_page, window, monkeypatch):
    def fails(*words):
        raise WhetstoneError("NET", "pypi.org cannot be reached.", "Check the connection.")

    monkeypatch.setattr(installer, "install", fails)
    panel = open_page().engine
    panel.act.click()
    ended(window, panel.work)
    text = "pypi.org cannot be reached. Check the connection."
    assert panel.progress.outcome.text() == text and text in panel.log.toPlainText()
    panel.copy.click()
    assert text in QApplication.clipboard().text() and panel.copy.text() == "Copied"
    assert "T4, driver 580.1" in QApplication.clipboard().text()


def test_faults_of_ours_are_not_swallowed(open_page, window, monkeypatch):
    monkeypatch.setattr(installer, "install", lambda *words: 1 / 0)
    panel = open_page().engine
    panel.act.click()
    ended(window, panel.work)
    assert "please report it" in panel.progress.outcome.text()
    assert "ZeroDivisionError" in panel.log.toPlainText()


@pytest.mark.parametrize("answer", [YES, NO])
def test_remove_asks_first(open_page, window, monkeypatch, answer):
    folder = make_engine()
    panel = open_page().engine
    monkeypatch.setattr(QMessageBox, "question", lambda *words: answer)
    panel.remove.click()
    ended(window, panel.work)
    assert folder.exists() == (answer == NO)
    assert panel.state.code == ("ready" if answer == NO else "missing")


def test_the_page_does_not_hold_up_the_window(open_page, window, install):
    make_engine(state="interrupted")
    panel = open_page().engine
    panel.act.click()
    longest, last = 0.0, time.perf_counter()
    until = last + 1.0
    while time.perf_counter() < until:
        QApplication.processEvents()
        now = time.perf_counter()
        longest, last = max(longest, now - last), now
    install.go.set()
    ended(window, panel.work)
    assert longest < 0.2  # measured under 0.05 s on an idle machine


def test_the_page_fits_a_small_window(open_page):
    make_engine()
    page = open_page()
    page.resize(560, 420)
    QApplication.processEvents()
    assert page.minimumSizeHint().width() <= 560 and page.minimumSizeHint().height() <= 420


# -- models ------------------------------------------------------------------------------------


def write_model(folder: Path, name: str, **change) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.safetensors"
    path.write_bytes(name.encode() * 1000)
    card = Card(
        name, "ssdiff", {"bands": 8}, 8, 4, sensors=("wv3",), licence="CC-BY-4.0",
        scores={"WV3": {"reduced": {"sam": 2.9, "ergas": 2.1234}}}, sha256=file_hash(path),
    )  # fmt: skip
    path.with_suffix(".json").write_text(replace(card, **change).to_json())
    return path


def test_models_are_listed(open_page, tmp_path, monkeypatch):
    write_model(tmp_path / "bundled", "ssdiff-wv3")
    write_model(tmp_path / "models", "mine", sensors=(), scores={})
    (tmp_path / "models" / "odd.safetensors").write_bytes(b"")
    monkeypatch.setattr(models_list, "catalogue", lambda: {"mine": 1, "remote": 2})
    panel = open_page().models
    rows = [row.cells() for row in panel.rows]
    assert [row[0] for row in rows] == ["ssdiff-wv3", "mine", "remote"]
    assert rows[0] == [
        "ssdiff-wv3", "SSDiff", "WorldView-3", "8", "4", "0.0 MB", "plugin", "2.12", "CC-BY-4.0",
    ]  # fmt: skip
    assert rows[1][2] == "any" and rows[2][6] == "Hugging Face"
    assert panel.table.item(0, 7).text() == "2.12"
    assert "odd.json" in panel.note.text() and str(tmp_path / "models") in panel.note.text()


def test_download(open_page, window, tmp_path, monkeypatch):
    make_engine()
    monkeypatch.setattr(models_list, "catalogue", lambda: {"remote": 1})
    asked = []

    def run(python, words, progress, network):
        asked.append((python, words, network))
        progress.update(0.5, "downloading remote.safetensors")
        write_model(tmp_path / "models", "remote")
        return {}

    monkeypatch.setattr(models_panel, "run_words", run)
    page = open_page()
    panel = page.models
    assert not panel.download.isEnabled()
    panel.table.selectRow(0)
    assert panel.download.isEnabled() and not panel.delete.isEnabled()
    panel.download.click()
    assert not page.engine.remove.isEnabled()
    ended(window, panel.work)
    python = str(engine_folder("cpu") / "bin" / "python")
    assert asked == [(python, ["models", "download", "remote"], {})]
    assert panel.rows[0].where == "user" and panel.delete.isEnabled()
    assert panel.progress.outcome.text() == "remote is downloaded."
    assert page.engine.remove.isEnabled()


@pytest.mark.parametrize("answer", [YES, NO])
def test_delete_asks_first_and_only_takes_the_users_own(open_page, tmp_path, monkeypatch, answer):
    write_model(tmp_path / "bundled", "given")
    path = write_model(tmp_path / "models", "mine")
    monkeypatch.setattr(QMessageBox, "question", lambda *words: answer)
    panel = open_page().models
    panel.table.selectRow(0)
    assert not panel.delete.isEnabled()
    panel.table.selectRow(1)
    panel.delete.click()
    assert path.exists() == path.with_suffix(".json").exists() == (answer == NO)
    assert len(panel.rows) == (2 if answer == NO else 1)


@pytest.fixture
def dialog(window):
    made = import_dialog.ImportDialog()
    window.addWidget(made)
    made.show()
    return made


def ok(dialog):
    return dialog.buttons.button(dialog.buttons.StandardButton.Ok)


def test_import_of_ssdiff(dialog, tmp_path, monkeypatch):
    assert not ok(dialog).isEnabled() and dialog.trouble.text() == "Choose: Checkpoint"
    (tmp_path / "my wv3!.pt").write_bytes(b"")
    dialog.files["ssdiff"].setFilePath(str(tmp_path / "my wv3!.pt"))
    assert dialog.name.text() == "my-wv3" and ok(dialog).isEnabled()
    assert not dialog.ratio.isVisible() and not dialog.files["head"].isVisible()
    dialog.sensor.setCurrentIndex(dialog.sensor.findData("wv3"))
    dialog.full_scale.setValue(1023)
    target = tmp_path / "models" / "my-wv3.safetensors"
    assert dialog.words() == [
        "models", "import", str(tmp_path / "my wv3!.pt"), "--out", str(target),
        "--full-scale", "1023", "--sensor", "wv3",
    ]  # fmt: skip
    dialog.name.setText("a/b")
    assert "letters" in dialog.trouble.text() and not ok(dialog).isEnabled()
    monkeypatch.setattr(
        import_dialog, "model_files", lambda: [("bundled", Path("b/ssdiff-vhr4.safetensors"))]
    )
    dialog.name.setText("ssdiff-vhr4")  # it would be hidden by the bundled one
    assert "of that name" in dialog.trouble.text() and not ok(dialog).isEnabled()


def test_import_of_crossdiff(dialog, tmp_path):
    dialog.kind.setCurrentIndex(1)
    files = []
    for key in ("p2m", "m2p", "head"):
        assert not ok(dialog).isEnabled()
        files.append(str(tmp_path / f"{key}.pth"))
        Path(files[-1]).write_bytes(b"")
        dialog.files[key].setFilePath(files[-1])
    dialog.name.setText("mine")
    words = dialog.words()
    assert words[2:5] == files and words[-2:] == ["--ratio", "4"] and ok(dialog).isEnabled()


def test_checkpoints_need_the_engine(window):
    dialog = import_dialog.ImportDialog(None, engine=False)
    window.addWidget(dialog)
    assert "install it first" in dialog.trouble.text()
    dialog.kind.setCurrentIndex(2)
    assert dialog.trouble.text() == "Choose: Model"


def test_a_finished_model_is_copied_after_a_look(dialog, tmp_path):
    path = write_model(tmp_path / "elsewhere", "shared")
    dialog.kind.setCurrentIndex(2)
    dialog.files["model"].setFilePath(str(path))
    assert dialog.words() == [] and ok(dialog).isEnabled()
    progress = SimpleNamespace(cancelled=lambda: False)
    assert dialog.copying()(progress, print)["name"] == "shared"
    copied = sorted(item.name for item in (tmp_path / "models").iterdir())
    assert copied == ["shared.json", "shared.safetensors"]
    dialog.refresh()
    assert "of that name already" in dialog.trouble.text()
    path.write_bytes(b"changed")
    with pytest.raises(WhetstoneError, match="damaged") as caught:
        import_dialog.copy_model(path, tmp_path / "models" / "x.safetensors", progress)
    assert caught.value.code == "CHECKSUM" and len(list((tmp_path / "models").iterdir())) == 2


def test_importing_through_the_page(open_page, window, tmp_path, monkeypatch):
    path = write_model(tmp_path / "elsewhere", "shared")

    def accepted(self):
        self.kind.setCurrentIndex(2)
        self.files["model"].setFilePath(str(path))
        return True

    monkeypatch.setattr(import_dialog.ImportDialog, "exec", accepted)
    panel = open_page().models
    panel.bring.click()
    ended(window, panel.work)
    assert panel.work.error is None and [row.name for row in panel.rows] == ["shared"]


# -- the factory -------------------------------------------------------------------------------


def test_the_factory_makes_pages_and_tells_the_end_of_an_installation(window, install):
    told = []
    factory = OptionsFactory(lambda *words: told.append(words))
    assert factory.title() == "Whetstone" and not factory.icon().isNull()
    page = factory.createWidget()
    window.addWidget(page)
    page.engine.act.click()
    install.go.set()
    ended(window, page.engine.work)
    assert [words[1] for words in told] == ["The engine is installed and passed its self-test."]


def test_unloading_stops_what_runs(window, install):
    work = background.work_on("engine")
    work.start("install", "Installing", _again(install))
    window.waitUntil(lambda: install.thread is not None, timeout=5000)
    start = time.monotonic()
    background.stop_all_work()
    assert time.monotonic() - start < 1 and not work.kind
    assert background.work_on("engine") is not work
    for _ in range(20):
        QApplication.processEvents()  # the task ends after its owner has gone
        time.sleep(0.01)


def _again(install):
    return lambda progress, log: install("cu126", progress, log, {}, None)


# -- and all of it, truly ----------------------------------------------------------------------


def test_scores_are_shown_from_best_to_worst():
    several = {"QuickBird": {"ergas": 1.713, "sam": 1.8}, "GeoEye-1": {"ergas": 1.388}}
    assert models_list.score_text(several) == "1.39 – 1.71"
    assert models_list.score_text({"WV3": {"reduced": {"ergas": 2.1234}}}) == "2.12"
    assert models_list.score_text({}) == models_list.score_text({"note": "none"}) == ""


def pip_has_torch() -> str:
    """Why the real installation cannot be tried here; "" if it can."""
    with_pip = subprocess.run([sys.executable, "-m", "pip", "config", "list"], capture_output=True)
    if b"find-links" not in with_pip.stdout:
        return "pip's configuration has no find-links with torch"
    folders = [
        line.split("=", 1)[1].strip().strip("'\"")
        for line in with_pip.stdout.decode().splitlines()
        if "find-links" in line.split("=")[0]
    ]
    wheel = f"torch-{engine_home.torch_version()}+cpu-*.whl"
    if not any(list(Path(folder).glob(wheel)) for each in folders for folder in each.split()):
        return f"there is no {wheel} where pip looks"
    return ""


@pytest.mark.slow
def test_the_way_of_a_user(
    open_page, home, monkeypatch, window, root, scene, teachable, tiny_engine, tmp_path
):
    """The zip in an empty profile; the engine by the button of the page; every algorithm; away.

    Everything is true: venv, pip, torch, self-test, ``qgis_process``.
    """
    trouble = pip_has_torch() or ("" if PROGRAM else "qgis_process is not installed")
    if trouble:
        pytest.skip(trouble)
    monkeypatch.setenv("WHETSTONE_TORCH_INDEX", "none")
    monkeypatch.setattr(engine_panel, "graphics_cards", list)
    monkeypatch.setattr(engine_panel, "run_words", engine_process.run_words)
    page = open_page()
    assert page.engine.act.text() == "Install"
    page.engine.act.click()
    window.waitUntil(lambda: not page.engine.work.kind, timeout=400_000)
    assert page.engine.work.error is None, "\n".join(page.engine.work.lines)
    assert engine_home.engine_state().code == "ready"
    assert page.engine.work.answer["torch"].startswith(engine_home.torch_version())
    assert "✘" not in page.engine.checks.text() and page.engine.checks.text().count("✔") == 4
    size = sum(path.lstat().st_size for path in home.rglob("*") if path.is_file())
    assert size < installer.size_of("cpu").needed

    profile = Profile(tmp_path / "profile")
    unpack_zip(root, profile.plugins)
    profile.more = {"WHETSTONE_HOME": str(home), "WHETSTONE_MODELS": str(tiny_engine.models)}
    profile.call("plugins", "enable", "whetstone")
    every_algorithm(profile, scene, teachable, profile.folder / "out")
    profile.call("plugins", "disable", "whetstone")
    assert "whetstone:" not in profile.call("list").stdout
    profile.call("plugins", "enable", "whetstone")
    assert "whetstone:ssdiff" in profile.call("list").stdout
    assert list((profile.folder / "tmp").iterdir()) == []

    monkeypatch.setattr(QMessageBox, "question", lambda *words, **more: YES)
    page.engine.remove.click()
    window.waitUntil(lambda: not page.engine.work.kind, timeout=60_000)
    assert engine_home.engine_state().code == "missing"
    assert not list(home.glob("engine-*"))


def enough_time(profile, lesson, model) -> float:
    """Minutes in which this machine learns the lesson: more of them where it is busy."""
    for minutes in (0.4, 1.5, 5.0):
        words = [f"{key}={value}" for key, value in lesson.items()]
        words += ["MODEL=scratch", f"MINUTES={minutes}", f"OUTPUT={model}"]
        done = profile.try_call("run", "whetstone:adapt", "--", *words)
        if done.returncode == 0:
            return minutes
        assert "Give it more time" in done.stdout + done.stderr
        assert not model.exists()
    raise AssertionError("this machine is too busy to learn anything")


def every_algorithm(profile, scene, teachable, out) -> None:
    """Run all that the Toolbox lists, with the engine that was installed."""
    out.mkdir()
    pair = {"PAN": scene.pan, "MS": scene.ms}
    run = profile.run
    assert run("whetstone:enginestatus")["READY"] is True
    assert run("whetstone:check", **pair)["RATIO"] == 4
    assert run("whetstone:degrade", **pair, OUTPUT_FOLDER=out / "reduced")["RATIO"] == 4
    fused = run("whetstone:classical", **pair, OUTPUT=out / "gsa.tif")["OUTPUT"]
    assert 0 < run("whetstone:assess", **pair, FUSED=fused)["HQNR"] <= 1
    lesson = {"PAN": teachable.pan, "MS": teachable.ms}
    model = out / "mine.safetensors"
    minutes = enough_time(profile, lesson, model)
    own = run("whetstone:crossdiff", **lesson, MODEL_FILE=model, OUTPUT=out / "crossdiff.tif")
    assert own["MODEL_USED"] == str(model)
    deep = run("whetstone:ssdiff", **pair, PREVIEW="true", SAMPLES=2, UNCERTAINTY=out / "std.tif",
               OUTPUT=out / "ssdiff.tif")  # fmt: skip
    assert deep["MODEL_USED"] == "ssdiff-vhr4"  # the bundled one
    best = run("whetstone:compare", **pair, METHODS=["exp", "ssdiff"], OUTPUT_FOLDER=out / "c")
    assert best["BEST"] in ("exp", "ssdiff")
    assert "tiny-ssdiff" in run("whetstone:models")["NAMES"]
    for name in ("sharpen_and_assess", "adapt_sharpen_and_assess"):
        page, tif = out / f"{name}.html", out / f"{name}.tif"
        results = {"fuse__Fused": tif, "scores__Report": page}
        if name.startswith("adapt"):
            results.update({"adapt__Adapted model": out / "again.safetensors", "MINUTES": minutes})
        run(f"whetstone:{name}", **lesson, **results)
        assert page.is_file() and tif.is_file()
    assert not [path for path in out.rglob("*") if ".part" in path.name]
