"""The ground every Whetstone algorithm stands on.

Layers are resolved on the main thread (``read_parameters``); the engine's job runs on whatever
thread Processing chose (``execute``) and sees plain values only.
"""

from __future__ import annotations

from qgis.core import QgsProcessingAlgorithm, QgsProcessingException
from qgis.PyQt.QtCore import QUrl
from qgis.PyQt.QtGui import QIcon

from ... import engine
from ...engine import Cancelled, WhetstoneError
from ..engine_home import ready_engine
from ..engine_process import run_job
from ..help import help_page, short_help
from ..translation import RESOURCES, tr
from ..watching import FeedbackProgress

_TAGS = (
    "pansharpening pan-sharpening pansharpen pan sharpening sharpen image fusion merge "
    "panchromatic multispectral PAN MS HRMS super resolution remote sensing satellite "
    "WorldView Landsat Pleiades"
)


class WhetstoneAlgorithm(QgsProcessingAlgorithm):
    """Name, help, icon and the running of engine jobs; subclasses say which job."""

    key = ""  #: lower-case ASCII, frozen for ever
    section = ("", "")  #: (group id, frozen; English group name)
    title = ""  #: English display name
    drawing = ""  #: icon file in resources/icons
    keywords = ""  #: search words beside the common ones

    def __init__(self) -> None:
        super().__init__()
        self.prepared = None
        self.notes: list[str] = []
        self.is_preview = False

    # -- what QGIS asks for -------------------------------------------------------------------

    def createInstance(self) -> WhetstoneAlgorithm:
        return type(self)()

    def name(self) -> str:
        return self.key

    def displayName(self) -> str:
        return tr(self.title)

    def groupId(self) -> str:
        return self.section[0]

    def group(self) -> str:
        return tr(self.section[1])

    def tags(self) -> list[str]:
        return [*_TAGS.split(), *tr(self.keywords).split()]

    def svgIconPath(self) -> str:
        return str(RESOURCES / "icons" / f"{self.drawing}.svg")

    def icon(self) -> QIcon:
        return QIcon(self.svgIconPath())

    def shortHelpString(self) -> str:
        return short_help(self.key)

    def shortDescription(self) -> str:
        return short_help(self.key).split("\n")[0]

    def helpUrl(self) -> str:
        return QUrl.fromLocalFile(str(help_page(self.key))).toString()

    def checkParameterValues(self, parameters, context):
        """Runs in the dialog, in batch and in ``qgis_process``: reads headers only."""
        try:
            self.check_first(parameters)
        except WhetstoneError as error:
            return False, str(error)
        fine, text = super().checkParameterValues(parameters, context)
        if not fine:
            return fine, text
        for destination in self.destinationParameterDefinitions():
            value = parameters.get(destination.name())
            fine, text = self.provider().isSupportedOutputValue(value, destination, context)
            if not fine:
                return fine, text
        try:
            self.check_parameters(parameters, context)
        except WhetstoneError as error:
            return False, str(error)
        return True, ""

    def prepareAlgorithm(self, parameters, context, feedback) -> bool:
        """On the main thread: turn layers into plain values."""
        self.notes = []
        try:
            self.prepared = self.read_parameters(parameters, context)
        except WhetstoneError as error:
            raise QgsProcessingException(str(error)) from error
        return True

    def processAlgorithm(self, parameters, context, feedback):
        """On any thread: run the job. Errors become exceptions, a cancel becomes no result."""
        for note in self.notes:
            feedback.pushWarning(note)
        try:
            return self.execute(parameters, context, FeedbackProgress(feedback))
        except Cancelled:
            feedback.pushInfo(tr("Cancelled; nothing was written."))
        except WhetstoneError as error:
            feedback.pushDebugInfo(error.code)
            raise QgsProcessingException(str(error)) from error
        return {}

    def engine_answer(self) -> tuple[bool, str]:
        """Whether the engine process can be used, and what to do if not."""
        try:
            ready_engine()
        except WhetstoneError as error:
            return False, str(error)
        return True, ""

    # -- what subclasses give -----------------------------------------------------------------

    def check_first(self, parameters) -> None:
        """Raise ``WhetstoneError`` for what QGIS itself would refuse in worse words."""

    def check_parameters(self, parameters, context) -> None:
        """Raise ``WhetstoneError`` when the headers alone tell that the job cannot work."""

    def read_parameters(self, parameters, context):
        """Read the parameters; what is returned is found in ``self.prepared`` later."""
        raise NotImplementedError

    def execute(self, parameters, context, progress) -> dict:
        """Run the job and return the outputs."""
        raise NotImplementedError

    def run_job(self, job, progress):
        """Run a job in this process and tell the user its notes."""
        return _told(engine.run(job, progress), progress)

    def run_in_engine(self, job, progress):
        """Run a job in the engine process and tell the user its notes."""
        return _told(run_job(ready_engine().python, job, progress), progress)


def _told(result, progress):
    for note in result.notes:
        progress.message(note)
    return result
