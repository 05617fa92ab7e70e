"""Runs inside a real QGIS window (``qgis.bin --code``): the options page in each of its states.

Reads its task from the JSON file named in ``WHETSTONE_SHOT``; writes ``settings.json`` and the
pictures. Engines are folders with a marker; the one that is ready borrows the packages of the
development environment, so that its self-test is true.
"""

import json
import os
import shutil
import threading
import time
import traceback
from pathlib import Path

from qgis.core import QgsSettings
from qgis.PyQt.QtCore import QElapsedTimer, QTimer
from qgis.PyQt.QtWidgets import QApplication, QWidget
from qgis.utils import iface, unloadPlugin
from whetstone.engine import Cancelled
from whetstone.plugin import engine_home, installer
from whetstone.plugin.background import work_on
from whetstone.plugin.import_dialog import ImportDialog
from whetstone.plugin.options_page import PAGE, OptionsPage

TASK = json.loads(Path(os.environ["WHETSTONE_SHOT"]).read_text("utf-8"))
OUT = Path(TASK["out"])
LOG = {"steps": [], "states": {}}
STATE = {"leave": threading.Event(), "stall": 0.0}
PIP = """Collecting torch==2.13.0
  Downloading https://download.pytorch.org/whl/cpu/torch-2.13.0%2Bcpu-cp311-cp311-linux_x86_64.whl (183.1 MB)
Collecting rasterio==1.4.4
  Downloading rasterio-1.4.4-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl (22.2 MB)
Collecting numpy==2.4.6
  Downloading numpy-2.4.6-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl (16.6 MB)
"""  # noqa: E501


def finish() -> None:
    """Write the log and leave at once (no question about saving)."""
    (OUT / "settings.json").write_text(json.dumps(LOG, indent=1), encoding="utf-8")
    os._exit(0)


def page() -> OptionsPage:
    """The page in the open dialog."""
    return STATE["dialog"].findChild(OptionsPage)


def open_dialog(width: int = 1100, height: int = 780) -> None:
    """Settings > Options as a user sees it, with our page in front. It blocks; steps go on."""

    def show():
        iface.showOptionsDialog(iface.mainWindow(), PAGE)

    def found():
        STATE["dialog"] = QApplication.activeModalWidget()
        STATE["dialog"].setGeometry(20, 20, width, height)
        LOG["page"] = page().isVisible()

    QTimer.singleShot(800, found)
    QTimer.singleShot(0, show)


def shoot(name: str) -> None:
    """The dialog as a picture, and what the page says."""
    STATE["dialog"].grab().save(str(OUT / f"options_{name}.png"))
    panel = page().engine
    LOG["states"][name] = {
        "code": panel.state.code,
        "sentence": panel.sentence.text(),
        "button": panel.act.text() if panel.act.isVisible() else "",
        "checks": panel.checks.text(),
        "outcome": panel.progress.outcome.text(),
        "width_missing": panel.sizeHint().width() - panel.width(),
    }


def close_dialog() -> None:
    """Cancel."""
    STATE["dialog"].reject()


def engine(state: str, **notes: str) -> None:
    """Put an engine of a state on the disk."""
    shutil.rmtree(engine_home.data_folder(), ignore_errors=True)
    QgsSettings().remove(engine_home.SETTING)
    work_on("engine").lines = []
    if state == "missing":
        return
    folder = engine_home.engine_folder("cpu")
    if "torch" in notes:
        folder = folder.with_name(f"engine-{notes['torch']}-cpu")
    real = Path(TASK["python"])
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "python").symlink_to(real.resolve())
    (folder / "lib").symlink_to(real.parent.parent / "lib")
    (folder / "pyvenv.cfg").write_bytes((real.parent.parent / "pyvenv.cfg").read_bytes())
    known = {"state": state, "build": "cpu", "requirements": engine_home.requirements_hash()}
    known["torch"] = engine_home.torch_version()
    engine_home.write_marker(folder, **{**known, **notes})


def missing() -> None:
    """Nothing is installed."""
    engine("missing")
    open_dialog()


def missing_small() -> None:
    """The same in a small window."""
    open_dialog(900, 600)


def installing(build, progress, log, network, self_test) -> None:
    """Says what pip says, and waits."""
    for number, line in enumerate(PIP.splitlines()):
        log(line)
        progress.update(0.06 + 0.05 * number, f"Fetching {line.split()[1].rpartition('/')[2]}")
    until = time.monotonic() + 10
    while not progress.cancelled() and time.monotonic() < until:
        progress.update(0.42, "")
        time.sleep(0.05)
    raise Cancelled()


def press_install() -> None:
    """Press the button; watch how long the event loop stands still."""
    STATE["real"], installer.install = installer.install, installing
    page().engine.act.click()
    STATE["clock"], STATE["timer"] = QElapsedTimer(), QTimer()
    STATE["clock"].start()
    STATE["timer"].timeout.connect(tick)
    STATE["timer"].start(0)


def tick() -> None:
    """The longest time between two rounds of the event loop."""
    STATE["stall"] = max(STATE["stall"], STATE["clock"].restart())


def press_cancel() -> None:
    """Stop the timer, press Cancel."""
    STATE["timer"].stop()
    LOG["longest_stall_ms"] = STATE["stall"]
    page().engine.progress.cancel.click()


def cancelled() -> None:
    """Back to the real installer."""
    installer.install = STATE["real"]
    LOG["cancelled"] = not work_on("engine").kind


def half() -> None:
    """An installation that was interrupted."""
    engine("interrupted")
    open_dialog()


def outdated() -> None:
    """Made for another version of the plugin."""
    engine("ready", torch="2.5.1", requirements="other")
    open_dialog()


def broken() -> None:
    """The self-test failed."""
    engine("broken", trouble="torch: libtorch_cpu.so: cannot open shared object file")
    open_dialog()


def ready() -> None:
    """Installed and whole."""
    engine("ready")
    open_dialog()


def press_test() -> None:
    """Run the self-test, truly."""
    page().engine.test.click()


def external() -> None:
    """A Python of the user's own."""
    engine("missing")
    QgsSettings().setValue(engine_home.SETTING, TASK["python"])
    open_dialog()


def open_import() -> None:
    """The dialog for own checkpoints, with three files to choose."""
    STATE["dialog"].reject()
    STATE["import"] = ImportDialog(iface.mainWindow())
    STATE["import"].show()
    STATE["import"].kind.setCurrentIndex(1)


def shoot_import() -> None:
    """Alone."""
    STATE["import"].grab().save(str(OUT / "import_model.png"))
    STATE["import"].close()
    QgsSettings().remove(engine_home.SETTING)


def unload() -> None:
    """Without the plugin the options have no such page, and nothing is left in the settings."""
    LOG["unloaded"] = unloadPlugin("whetstone")
    LOG["keys_left"] = [key for key in QgsSettings().allKeys() if key.startswith("whetstone")]

    def found():
        dialog = QApplication.activeModalWidget()
        pages = [widget.objectName() for widget in dialog.findChildren(QWidget)]
        LOG["page_left"] = PAGE in pages
        dialog.reject()

    QTimer.singleShot(1500, found)
    QTimer.singleShot(0, lambda: iface.showOptionsDialog(iface.mainWindow()))


def shot(name: str):
    """A step that takes a picture."""

    def act():
        shoot(name)

    act.__name__ = f"shoot_{name}"
    return act


def busy() -> bool:
    """Whether the self-test still runs."""
    return work_on("engine").kind == "test"


STEPS = [
    (missing, 2500), (shot("missing"), 100), (close_dialog, 300),
    (missing_small, 2500), (shot("missing_small"), 100),
    (press_install, 1500), (shot("installing_small"), 100), (press_cancel, 800), (cancelled, 0),
    (close_dialog, 300), (open_dialog, 2000),
    (press_install, 1500), (shot("installing"), 100), (press_cancel, 800), (cancelled, 0),
    (shot("cancelled"), 100), (close_dialog, 300),
    (half, 2000), (shot("half"), 100), (close_dialog, 300),
    (outdated, 2000), (shot("outdated"), 100), (close_dialog, 300),
    (broken, 2000), (shot("broken"), 100), (close_dialog, 300),
    (ready, 2000), (shot("ready"), 100), (press_test, 500), (shot("ready_tested"), 100),
    (close_dialog, 300),
    (external, 2000), (shot("external"), 100), (open_import, 800), (shoot_import, 300),
    (unload, 2500), (finish, 0),
]  # fmt: skip


def step(index: int) -> None:
    """One act after the other, with time to draw between them."""
    if busy():
        QTimer.singleShot(200, lambda: step(index))
        return
    act, pause = STEPS[index]
    QTimer.singleShot(pause + 10, lambda: step(index + 1))
    try:
        LOG["steps"].append(act.__name__)
        act()
    except Exception:
        LOG["error"] = traceback.format_exc()
        QApplication.primaryScreen().grabWindow(0).save(str(OUT / "error.png"))
        finish()


QTimer.singleShot(3000, lambda: step(0))
