"""The demo scene in the project, and the message that invites to it when QGIS first starts."""

from __future__ import annotations

import os
from functools import partial

from qgis.core import Qgis, QgsCoordinateTransform, QgsProject, QgsRasterLayer, QgsSettings
from qgis.PyQt.QtWidgets import QPushButton

from ..engine import DemoJob, run
from ..engine.jobs import DemoResult
from .background import work_on
from .engine_home import data_folder
from .styling import apply_look, measured_look, true_colour
from .translation import tr

WELCOMED = "whetstone/welcomed"
_SIDE = 1024  # PAN pixels: seconds to draw and to fuse


def welcome(iface):
    """Say where things are and offer a scene, once per user; the message, or None."""
    settings = QgsSettings()
    if settings.value(WELCOMED, False, type=bool):
        return None
    settings.setValue(WELCOMED, True)
    bar = iface.messageBar()
    message = bar.createMessage(
        "Whetstone",
        tr("Pansharpening is in the Processing Toolbox. Try it on a drawn scene?"),
    )
    button = QPushButton(tr("Open the demo scene"), message)
    button.clicked.connect(partial(_accepted, iface, message))
    message.layout().addWidget(button)
    return bar.pushWidget(message, Qgis.MessageLevel.Info)


def _accepted(iface, message) -> None:
    iface.messageBar().popWidget(message)
    open_demo_scene(iface)


def open_demo_scene(iface) -> None:
    """Draw the scene in the background, and load PAN and MS."""
    folder = data_folder() / "demo"

    def draw(progress, log):
        there = DemoResult(*(str(folder / f"{name}.tif") for name in ("pan", "ms", "gt")))
        if all(map(os.path.isfile, (there.pan, there.ms, there.gt))):
            return there  # and perhaps open: it is not drawn again
        folder.mkdir(parents=True, exist_ok=True)
        return run(DemoJob(str(folder), size=_SIDE), progress)

    work = work_on("demo")
    work.ended.connect(partial(_load, iface, work))
    work.start("demo", tr("Drawing the demo scene"), draw)


def _load(iface, work, kind: str) -> None:
    work.ended.disconnect()
    if work.error is not None:
        level = Qgis.MessageLevel.Warning
        iface.messageBar().pushMessage("Whetstone", str(work.error), level)
        return
    made, project = work.answer, QgsProject.instance()
    empty = not project.mapLayers()
    loaded = {layer.source(): layer for layer in project.mapLayers().values()}
    pan = loaded.get(made.pan)
    if pan is None or made.ms not in loaded:
        ms = QgsRasterLayer(made.ms, tr("Demo MS"))
        pan = QgsRasterLayer(made.pan, tr("Demo PAN"))
        apply_look(ms, measured_look((made.ms,), (), true_colour(made.ms, "auto")))
        apply_look(pan, measured_look((made.pan,), (), (1,)))
        project.addMapLayers([ms, pan])
    if empty:
        project.setCrs(pan.crs())
    change = QgsCoordinateTransform(pan.crs(), project.crs(), project)
    iface.mapCanvas().setExtent(change.transformBoundingBox(pan.extent()))
    iface.mapCanvas().refresh()
    iface.messageBar().pushMessage(
        "Whetstone",
        tr("Now press the preview button, or open Whetstone > Fusion in the Processing Toolbox."),
        Qgis.MessageLevel.Success,
    )
