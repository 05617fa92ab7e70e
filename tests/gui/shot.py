"""Runs inside a real QGIS window (``qgis.bin --code``): do what a user does and take pictures.

Reads its task from the JSON file named in ``WHETSTONE_SHOT``; writes ``log.json`` to the pictures.
"""

import json
import os
import sys
import traceback
from pathlib import Path

import processing
from qgis.core import (
    QgsApplication,
    QgsContrastEnhancement,
    QgsMultiBandColorRenderer,
    QgsProcessingContext,
    QgsProject,
    QgsRasterLayer,
)
from qgis.PyQt.QtCore import QTimer
from qgis.PyQt.QtWidgets import QApplication, QDialog, QDockWidget
from qgis.utils import iface

TASK = json.loads(Path(os.environ["WHETSTONE_SHOT"]).read_text("utf-8"))
sys.path.insert(0, TASK["here"])
from canvas import picture  # noqa: E402

OUT = Path(TASK["out"])
LOG = {"steps": []}
STATE = {}


def finish() -> None:
    """Write the log and leave at once (no question about saving)."""
    (OUT / "log.json").write_text(json.dumps(LOG, indent=1), encoding="utf-8")
    os._exit(0)


def screen(name: str) -> None:
    """The whole screen as a picture."""
    QApplication.processEvents()
    QApplication.primaryScreen().grabWindow(0).save(str(OUT / f"{name}.png"))


def load() -> None:
    """PAN and MS in the project, the MS in a stretch of the user's own."""
    for name in ("pan", "ms"):
        layer = QgsRasterLayer(TASK[name], TASK[f"{name}_name"])
        QgsProject.instance().addMapLayer(layer)
        STATE[name] = layer
    ms, pan = STATE["ms"], STATE["pan"]
    bands = TASK["bands"]
    renderer = QgsMultiBandColorRenderer(ms.dataProvider(), *bands)
    setters = (
        renderer.setRedContrastEnhancement,
        renderer.setGreenContrastEnhancement,
        renderer.setBlueContrastEnhancement,
    )
    for setter, band in zip(setters, bands):
        low, high = ms.dataProvider().cumulativeCut(band, 0.01, 0.99)[:2]
        contrast = QgsContrastEnhancement(ms.dataProvider().dataType(band))
        contrast.setMinimumValue(low)
        contrast.setMaximumValue(high)
        law = QgsContrastEnhancement.ContrastEnhancementAlgorithm.StretchToMinimumMaximum
        contrast.setContrastEnhancementAlgorithm(law)
        setter(contrast)
    ms.setRenderer(renderer)
    iface.mainWindow().showNormal()
    iface.mainWindow().setGeometry(0, 0, 1440, 900)
    iface.mapCanvas().setExtent(pan.extent())
    iface.mapCanvas().refresh()


def open_dialog() -> None:
    """The dialog as the toolbox opens it, filled in."""
    parameters = {"PAN": STATE["pan"], "MS": STATE["ms"], "METHOD": TASK["method"]}
    if TASK.get("html"):
        parameters["HTML"] = TASK["html"]
    dialog = processing.createAlgorithmDialog("whetstone:classical", parameters)
    dialog.show()
    dialog.setGeometry(220, 20, 1000, 860)
    STATE["dialog"] = dialog
    LOG["can_execute"] = dialog.algorithm().canExecute()[0]


def shoot_dialog() -> None:
    """The dialog alone."""
    STATE["dialog"].grab().save(str(OUT / "dialog.png"))
    screen("dialog_screen")


def run_dialog() -> None:
    """Press Run and wait for the end."""
    STATE["done"] = False
    STATE["dialog"].algorithmFinished.connect(lambda fine, results: ended(fine, results))
    STATE["dialog"].runButton().click()


def ended(fine: bool, results: dict) -> None:
    """The dialog says that the algorithm is through."""
    LOG["finished"] = fine
    LOG["results"] = {key: value for key, value in results.items() if not callable(value)}
    STATE["done"] = True


def shoot_log() -> None:
    """The dialog's log after the run, and how the result is shown."""
    STATE["dialog"].grab().save(str(OUT / "dialog_log.png"))
    STATE["dialog"].close()
    known = {STATE["pan"].id(), STATE["ms"].id()}
    new = [item for key, item in QgsProject.instance().mapLayers().items() if key not in known]
    LOG["new_layers"] = [item.name() for item in new]
    LOG["wanted_layers"] = [f"{TASK['ms_name']} {TASK['method'].upper()}"]
    STATE["fused"] = new[0]
    for name in ("ms", "fused"):
        LOG[f"{name}_stretch"] = stretch(STATE[name])
    LOG["fused_opacity"] = STATE["fused"].opacity()


def stretch(layer) -> list:
    """Band and limits of red, green and blue."""
    renderer = layer.renderer()
    bands = (renderer.redBand(), renderer.greenBand(), renderer.blueBand())
    contrasts = (
        renderer.redContrastEnhancement(),
        renderer.greenContrastEnhancement(),
        renderer.blueContrastEnhancement(),
    )
    return [[b, c.minimumValue(), c.maximumValue()] for b, c in zip(bands, contrasts)]


def shoot_window() -> None:
    """The QGIS window with the result on top, zoomed to its middle, and the toolbox searched."""
    toolbox = iface.mainWindow().findChild(QDockWidget, "ProcessingToolbox")
    toolbox.show()
    toolbox.searchBox.setText("pansharpen")
    toolbox.algorithmTree.expandAll()
    box = STATE["pan"].extent()
    box.scale(0.5)
    iface.mapCanvas().setExtent(box)
    iface.mapCanvas().refresh()


def shoot_window_now() -> None:
    """After the canvas has drawn."""
    screen("window")


def shoot_layers() -> None:
    """MS, PAN and fused at the same place and scale."""
    box = STATE["pan"].extent()
    box.scale(TASK["zoom"])
    for name in ("ms", "pan", "fused"):
        picture(STATE[name], box).save(str(OUT / f"canvas_{name}.png"))


def open_compare() -> None:
    """The dialog with the choice of several methods."""
    parameters = {"PAN": STATE["pan"], "MS": STATE["ms"]}
    STATE["compare"] = processing.createAlgorithmDialog("whetstone:compare", parameters)
    STATE["compare"].show()
    STATE["compare"].setGeometry(220, 20, 1000, 860)


def shoot_compare() -> None:
    """The comparison dialog alone."""
    STATE["compare"].grab().save(str(OUT / "dialog_compare.png"))
    STATE["compare"].close()


def open_batch() -> None:
    """The batch dialog, two rows filled in."""
    from processing.gui.BatchAlgorithmDialog import BatchAlgorithmDialog

    algorithm = QgsApplication.processingRegistry().createAlgorithmById("whetstone:classical")
    dialog = BatchAlgorithmDialog(algorithm, parent=iface.mainWindow())
    panel, context = dialog.mainWidget(), QgsProcessingContext()
    context.setProject(QgsProject.instance())
    for row, method in enumerate(("gsa", "mtf-glp-fs")):
        if row:
            panel.addRow()
        for name, value in (("PAN", STATE["pan"]), ("MS", STATE["ms"]), ("METHOD", method)):
            column = panel.parameter_to_column[name]
            wrapper = panel.wrappers[row][column]
            wrapper.setParameterValue(getattr(value, "id", lambda v=value: v)(), context)
    dialog.setModal(False)
    dialog.show()
    dialog.setGeometry(60, 120, 1320, 420)
    STATE["batch"] = dialog


def shoot_batch() -> None:
    """The batch dialog alone."""
    assert isinstance(STATE["batch"], QDialog)
    STATE["batch"].grab().save(str(OUT / "batch.png"))
    STATE["batch"].close()


STEPS = [
    (load, 2500),
    (open_dialog, 1500),
    (shoot_dialog, 300),
    (run_dialog, 300),
    (shoot_log, 500),
    (shoot_window, 2500),
    (shoot_window_now, 300),
    (shoot_layers, 300),
    (open_compare, 1200),
    (shoot_compare, 100),
    (open_batch, 1200),
    (shoot_batch, 100),
    (finish, 0),
]


def step(index: int) -> None:
    """One act after the other, with time to draw between them."""
    if not STATE.get("done", True):
        QTimer.singleShot(200, lambda: step(index))
        return
    act, pause = STEPS[index]
    try:
        LOG["steps"].append(act.__name__)
        act()
    except Exception:
        LOG["error"] = traceback.format_exc()
        screen("error")
        finish()
    QTimer.singleShot(pause, lambda: step(index + 1))


QTimer.singleShot(3000, lambda: step(0))
