"""Runs inside a real QGIS window (``qgis.bin --code``): the deep models as a user meets them.

The welcome, the demo scene, a preview by the button, a run with uncertainty, a run that is
cancelled. Meanwhile the longest stall of the event loop, the growth of memory and the time from
cancel to silence are measured. Reads its task from the JSON file named in ``WHETSTONE_SHOT``;
writes ``deep.json`` and the pictures.
"""

import json
import os
import subprocess
import sys
import time
import traceback
from pathlib import Path

import processing
from qgis.core import QgsProject
from qgis.PyQt.QtCore import QElapsedTimer, QTimer
from qgis.PyQt.QtWidgets import QApplication, QDockWidget, QPushButton
from qgis.utils import iface, plugins

TASK = json.loads(Path(os.environ["WHETSTONE_SHOT"]).read_text("utf-8"))
sys.path.insert(0, TASK["here"])
from canvas import side_by_side  # noqa: E402

OUT = Path(TASK["out"])
LOG = {"steps": [], "measured": {}}
STATE = {"ready": lambda: True}


def finish() -> None:
    """Write the log and leave at once (no question about saving)."""
    (OUT / "deep.json").write_text(json.dumps(LOG, indent=1), encoding="utf-8")
    os._exit(0)


def screen(name: str) -> None:
    """The whole screen as a picture."""
    QApplication.processEvents()
    QApplication.primaryScreen().grabWindow(0).save(str(OUT / f"{name}.png"))


class Pulse:
    """A timer that should fire every two milliseconds; the longest gap is the longest stall."""

    def __init__(self) -> None:
        self.longest, self._clock = 0.0, QElapsedTimer()
        self._timer = QTimer()
        self._timer.setInterval(2)
        self._timer.timeout.connect(self._beat)

    def start(self) -> None:
        self._clock.start()
        self._timer.start()

    def stop(self) -> float:
        self._timer.stop()
        return self.longest

    def _beat(self) -> None:
        self.longest = max(self.longest, self._clock.nsecsElapsed() / 1e6)
        self._clock.start()


def resident() -> float:
    """Memory of this process in MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def engines() -> int:
    """Engine processes of this QGIS."""
    words = ["ps", "--ppid", str(os.getpid()), "-o", "args="]
    return subprocess.run(words, capture_output=True, text=True).stdout.count("worker.py")


def show_window() -> None:
    """The window as it opens for the first time."""
    iface.mainWindow().showNormal()
    iface.mainWindow().setGeometry(0, 0, 1440, 900)


def shoot_welcome() -> None:
    """The invitation; it is accepted."""
    screen("welcome")
    item = iface.messageBar().currentItem()
    button = item.findChild(QPushButton)
    LOG["welcome"] = button.text()
    button.click()
    STATE["ready"] = lambda: len(QgsProject.instance().mapLayers()) == 2


def shoot_demo() -> None:
    """The demo scene, then the preview."""
    screen("demo")
    LOG["demo"] = sorted(layer.name() for layer in QgsProject.instance().mapLayers().values())
    button = plugins["whetstone"].button
    button.click()
    LOG["preview_runs"] = not button.isEnabled()
    STATE["ready"] = lambda: button.isEnabled() and len(QgsProject.instance().mapLayers()) > 3


def zoom() -> None:
    """The middle of the canvas; the tree open."""
    for dock in ("Layers", "ProcessingToolbox"):
        found = iface.mainWindow().findChild(QDockWidget, dock)
        if found is not None:
            found.show()
    toolbox = iface.mainWindow().findChild(QDockWidget, "ProcessingToolbox")
    toolbox.searchBox.setText("whetstone")
    toolbox.algorithmTree.expandAll()
    iface.mapCanvas().setExtent(middle(TASK["side"]))
    iface.mapCanvas().refresh()


def shoot_preview() -> None:
    """What the button made."""
    screen("preview")
    root = QgsProject.instance().layerTreeRoot()
    LOG["preview_groups"] = [group.name() for group in root.findGroups()]
    for group in root.findGroups():
        for node in group.findLayers():
            QgsProject.instance().removeMapLayer(node.layerId())
        root.removeChildNode(group)


def pan():
    return QgsProject.instance().mapLayersByName(LOG["demo"][1])[0]


def ms():
    return QgsProject.instance().mapLayersByName(LOG["demo"][0])[0]


def middle(side: int):
    """A square of that many PAN pixels in the middle of the scene."""
    box, layer = pan().extent(), pan()
    box.scale(side / layer.width())
    return box


def open_dialog() -> None:
    """SSDiff, filled in."""
    parameters = {
        "PAN": pan(), "MS": ms(), "SAMPLES": 2, "HTML": str(OUT / "deep_report.html"),
        "EXTENT": middle(TASK["side"]),
        "OUTPUT": str(OUT / "deep_fused.tif"), "UNCERTAINTY": str(OUT / "deep_std.tif"),
    }  # fmt: skip
    STATE["dialog"] = processing.createAlgorithmDialog("whetstone:ssdiff", parameters)
    STATE["dialog"].show()
    STATE["dialog"].setGeometry(220, 20, 1000, 860)


def run_dialog() -> None:
    """Run; the event loop and the memory are watched."""
    dialog = STATE["dialog"]
    dialog.grab().save(str(OUT / "dialog_ssdiff.png"))
    STATE["done"] = False
    dialog.algorithmFinished.connect(ended)
    STATE["memory"], STATE["pulse"] = resident(), Pulse()
    dialog.runButton().click()
    STATE["pulse"].start()
    STATE["ready"] = lambda: STATE["done"]


def ended(fine: bool, results: dict) -> None:
    """The dialog says that the algorithm is through."""
    STATE["done"] = True
    LOG["measured"]["stall_ms"] = STATE["pulse"].stop()
    LOG["finished"] = fine
    LOG["results"] = {key: value for key, value in results.items() if not callable(value)}


def shoot_run() -> None:
    """The log of the dialog, then the window."""
    LOG["measured"]["grown_mb"] = resident() - STATE["memory"]
    STATE["dialog"].grab().save(str(OUT / "dialog_ssdiff_log.png"))
    STATE["dialog"].close()
    zoom()


def shoot_group() -> None:
    """Fused above MS; then the uncertainty instead."""
    screen("fused")
    (group,) = QgsProject.instance().layerTreeRoot().findGroups()
    fused, heat, below = group.findLayers()
    LOG["group"] = [Path(node.layer().source()).name for node in (fused, heat, below)]
    sheet = side_by_side({"MS": ms(), "PAN": pan(), "SSDiff": fused.layer()}, middle(150))
    sheet.save(str(OUT / "comparison.png"))
    fused.setItemVisibilityChecked(False)
    heat.setItemVisibilityChecked(True)


def shoot_uncertainty() -> None:
    """The heat map with its legend."""
    screen("uncertainty")


def open_cancelled() -> None:
    """The same, long enough to be cancelled."""
    parameters = {
        "PAN": pan(), "MS": ms(), "SAMPLES": 64, "STEPS": 20,
        "OUTPUT": str(OUT / "cancelled.tif"),
    }  # fmt: skip
    STATE["dialog"] = processing.createAlgorithmDialog("whetstone:ssdiff", parameters)
    STATE["dialog"].show()
    STATE["dialog"].setGeometry(220, 20, 1000, 860)
    STATE["dialog"].runButton().click()
    STATE["ready"] = lambda: bool(list(OUT.glob("cancelled.part.tif")))


def cancel() -> None:
    """Press Cancel, and wait until nothing of it is left."""
    STATE["dialog"].grab().save(str(OUT / "dialog_ssdiff_running.png"))
    LOG["engines_running"] = engines()
    began = time.monotonic()
    STATE["dialog"].cancelButton().click()

    def silent() -> bool:
        if STATE["dialog"].runButton().isEnabled() and not engines():
            LOG["measured"].setdefault("cancel_s", time.monotonic() - began)
            return True
        return False

    STATE["ready"] = silent


def after_cancel() -> None:
    """No file, no layer, no process."""
    LOG["left"] = sorted(path.name for path in OUT.glob("cancelled*"))
    LOG["layers_after_cancel"] = len(QgsProject.instance().mapLayers())
    STATE["dialog"].close()


def shoot_dialogs() -> None:
    """The other dialogs."""
    for name in ("crossdiff", "adapt", "enginestatus", "models"):
        parameters = {} if name in ("enginestatus", "models") else {"PAN": pan(), "MS": ms()}
        dialog = processing.createAlgorithmDialog(f"whetstone:{name}", parameters)
        dialog.show()
        dialog.setGeometry(220, 20, 1000, 860 if parameters else 420)
        QApplication.processEvents()
        dialog.grab().save(str(OUT / f"dialog_{name}.png"))
        dialog.close()


def ask() -> None:
    """The button's own dialog."""
    from whetstone.plugin.pair_dialog import PairDialog
    from whetstone.plugin.preview_button import Choice

    dialog = PairDialog(iface.mainWindow(), Choice(pan(), ms()))
    dialog.show()
    QApplication.processEvents()
    dialog.grab().save(str(OUT / "dialog_preview.png"))
    LOG["asked"] = [layer.name() for layer in dialog.chosen()[:2]]
    dialog.close()


def unload() -> None:
    """Disable the plugin: nothing of it stays in the window."""
    from qgis.core import QgsApplication
    from qgis.utils import unloadPlugin

    unloadPlugin("whetstone")
    LOG["unloaded"] = QgsApplication.processingRegistry().providerById("whetstone") is None
    buttons = iface.mainWindow().findChildren(type(iface.mainWindow()), "PreviewButton")
    LOG["buttons"] = len(buttons)


STEPS = [
    (show_window, 1200),
    (shoot_welcome, 500),
    (shoot_demo, 500),
    (zoom, 2500),
    (shoot_preview, 300),
    (open_dialog, 1500),
    (run_dialog, 300),
    (shoot_run, 2500),
    (shoot_group, 2500),
    (shoot_uncertainty, 300),
    (open_cancelled, 300),
    (cancel, 50),
    (after_cancel, 300),
    (shoot_dialogs, 300),
    (ask, 100),
    (unload, 300),
    (finish, 0),
]


def step(index: int) -> None:
    """One act after the other, with time to draw between them."""
    if not STATE["ready"]():
        QTimer.singleShot(20, lambda: step(index))
        return
    STATE["ready"] = lambda: True
    act, pause = STEPS[index]
    try:
        LOG["steps"].append(act.__name__)
        act()
    except Exception:
        LOG["error"] = traceback.format_exc()
        screen("error")
        finish()
    QTimer.singleShot(pause, lambda: step(index + 1))


def give_up() -> None:
    """A step that never ends."""
    LOG["error"] = f"stuck after {LOG['steps'][-1:]}"
    screen("error")
    finish()


QTimer.singleShot(1000 * TASK["seconds"], give_up)
QTimer.singleShot(3000, lambda: step(0))
