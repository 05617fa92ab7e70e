"""The toolbar button: fuse what the map shows, in seconds, by the best method that is at hand."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

from qgis.core import (
    Qgis,
    QgsApplication,
    QgsProcessingAlgRunnerTask,
    QgsProcessingContext,
    QgsProcessingFeedback,
    QgsProcessingOutputLayerDefinition,
    QgsProject,
    QgsRasterLayer,
)
from qgis.PyQt.QtGui import QIcon
from qgis.PyQt.QtWidgets import QMenu, QToolButton

from .demo_scene import open_demo_scene
from .layers import data_bands
from .pair_dialog import PairDialog
from .translation import RESOURCES, tr

#: Previews that run: QGIS keeps no reference to what a task needs, and the button may go before it.
_RUNNING: set[tuple] = set()
#: What is tried in turn, until one accepts the pair: deep models need an engine and a model.
AUTOMATIC = ("ssdiff", "crossdiff", "classical")
_LEAST_RATIO = 1.5


class Choice(NamedTuple):
    """A pair of layers, and the algorithm to preview ("auto": the first that can)."""

    pan: QgsRasterLayer
    ms: QgsRasterLayer
    method: str = "auto"


class PreviewButton(QToolButton):
    """Press it for a preview; its menu chooses layers, shows the demo and opens the settings."""

    def __init__(self, iface) -> None:
        super().__init__()
        self._iface = iface
        self._chosen: tuple[str, str, str] | None = None  # ids of PAN and MS, method
        self._running: tuple | None = None
        self.setIcon(QIcon(str(RESOURCES / "icons" / "preview.svg")))
        self.setToolTip(tr("Whetstone: preview the sharpened image of what the map shows"))
        self.setPopupMode(QToolButton.ToolButtonPopupMode.MenuButtonPopup)
        menu = QMenu(self)
        menu.addAction(tr("Preview"), self.preview)
        menu.addAction(tr("Preview of…"), self.ask)
        menu.addSeparator()
        menu.addAction(tr("Open the demo scene"), lambda: open_demo_scene(iface))
        menu.addAction(tr("Engine and models…"), self._open_options)
        self.setMenu(menu)
        self.clicked.connect(self.preview)

    def preview(self) -> None:
        """Fuse what the map shows of the pair that was chosen, or of the only one there is."""
        choice = self._remembered() or guessed_pair(self._candidates())
        if choice is None:
            self.ask()
        else:
            self.start(choice)

    def ask(self) -> None:
        """Let the user choose pair and method."""
        dialog = PairDialog(self._iface.mainWindow(), guessed_pair(self._candidates()))
        if dialog.exec():
            pan, ms, method = dialog.chosen()
            self._chosen = (pan.id(), ms.id(), method)
            self.start(Choice(pan, ms, method))

    def start(self, choice: Choice) -> None:
        """Run the preview as a task, unless one is running."""
        if self._running is not None:
            return
        project, context = QgsProject.instance(), QgsProcessingContext()
        context.setProject(project)
        output = QgsProcessingOutputLayerDefinition("TEMPORARY_OUTPUT", project)
        parameters = {"PAN": choice.pan, "MS": choice.ms, "PREVIEW": True, "OUTPUT": output}
        algorithm, trouble = usable_algorithm(choice.method, parameters, context)
        if algorithm is None:
            self._tell(trouble, Qgis.MessageLevel.Warning)
            return
        feedback = QgsProcessingFeedback()
        task = QgsProcessingAlgRunnerTask(algorithm, parameters, context, feedback)
        if task.isCanceled():  # preparing it failed, and said why
            self._tell(_last_line(feedback), Qgis.MessageLevel.Warning)
            return
        self._running = (task, algorithm, context, feedback)
        _RUNNING.add(self._running)
        task.executed.connect(partial(_forget, self._running))
        task.executed.connect(self._done)
        self.setEnabled(False)
        QgsApplication.taskManager().addTask(task)

    def stop(self) -> None:
        """Cancel a running preview and wait for its end: the plugin is about to go."""
        if self._running is not None:
            task = self._running[0]
            task.executed.disconnect(self._done)
            task.cancel()
            task.waitForFinished(5000)
            self._running = None

    def _done(self, fine: bool, results: dict) -> None:
        _, algorithm, context, feedback = self._running
        self._running = None
        self.setEnabled(True)
        if fine:
            from processing.gui.Postprocessing import handleAlgorithmResults

            handleAlgorithmResults(algorithm, context, feedback)
        elif not feedback.isCanceled():
            self._tell(_last_line(feedback), Qgis.MessageLevel.Warning)

    def _remembered(self) -> Choice | None:
        """What was chosen in the dialog, as long as both layers are there."""
        if self._chosen is None:
            return None
        pan, ms = map(QgsProject.instance().mapLayer, self._chosen[:2])
        return Choice(pan, ms, self._chosen[2]) if pan is not None and ms is not None else None

    def _candidates(self) -> list:
        """The layers that are selected, if they are two or more, else those that the map shows."""
        selected = self._iface.layerTreeView().selectedLayers()
        return selected if len(selected) > 1 else self._iface.mapCanvas().layers()

    def _open_options(self) -> None:
        from .options_page import PAGE

        self._iface.showOptionsDialog(self._iface.mainWindow(), PAGE)

    def _tell(self, text: str, level) -> None:
        self._iface.messageBar().pushMessage("Whetstone", text, level)


def _forget(running: tuple, fine: bool, results: dict) -> None:
    _RUNNING.discard(running)


def guessed_pair(layers: list) -> Choice | None:
    """The PAN and the MS among some layers, when there is no doubt: one of each kind.

    PAN has one data band and the finer pixels; MS has two or more.
    """
    rasters = [layer for layer in layers if _is_raster_file(layer)]
    pans = [layer for layer in rasters if len(data_bands(layer)) == 1]
    pairs = [
        (pan, ms)
        for pan in pans
        for ms in rasters
        if len(data_bands(ms)) > 1
        and ms.crs() == pan.crs()
        and ms.rasterUnitsPerPixelX() >= _LEAST_RATIO * pan.rasterUnitsPerPixelX()
        and ms.extent().intersects(pan.extent())
    ]
    sources = {(pan.source(), ms.source()) for pan, ms in pairs}  # copies of a layer are no doubt
    return Choice(*pairs[0]) if len(sources) == 1 else None


def _is_raster_file(layer) -> bool:
    return isinstance(layer, QgsRasterLayer) and layer.isValid() and layer.providerType() == "gdal"


def usable_algorithm(method: str, parameters: dict, context):
    """(algorithm, "") for the first that accepts the parameters, else (None, why not)."""
    registry, trouble = QgsApplication.processingRegistry(), ""
    for name in AUTOMATIC if method == "auto" else (method,):
        algorithm = registry.createAlgorithmById(f"whetstone:{name}")
        fine, trouble = algorithm.checkParameterValues(parameters, context)
        if fine:
            return algorithm, ""
    return None, trouble


def _last_line(feedback: QgsProcessingFeedback) -> str:
    lines = [line for line in feedback.textLog().splitlines() if line.strip()]
    return lines[-1] if lines else tr("The preview failed.")
