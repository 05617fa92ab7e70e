"""``whetstone:degrade``: a reduced-resolution pair after Wald, whose truth is known."""

from __future__ import annotations

from qgis.core import QgsProcessingOutputRasterLayer, QgsProcessingParameterFolderDestination
from qgis.PyQt.QtCore import QT_TRANSLATE_NOOP

from ...engine import DegradeJob
from ..translation import tr
from .algorithm import WhetstoneAlgorithm
from .inputs import check_pair, read_pair
from .parameters import add, add_numbers, add_pair, add_protocol, add_sensor


class DegradeAlgorithm(WhetstoneAlgorithm):
    """PAN and MS as a coarser sensor would have seen them; the original MS is the truth."""

    key = "degrade"
    drawing = "degrade"
    section = ("preparation", QT_TRANSLATE_NOOP("Whetstone", "Preparation"))
    title = QT_TRANSLATE_NOOP("Whetstone", "Make a reduced-resolution pair (Wald)")
    keywords = QT_TRANSLATE_NOOP(
        "Whetstone",
        "Wald protocol degrade downsample MTF ground truth reference training validation",
    )

    def initAlgorithm(self, config=None) -> None:
        add_pair(self)
        add_sensor(self)
        add_protocol(self)
        folder = QgsProcessingParameterFolderDestination("OUTPUT_FOLDER", tr("Reduced pair"))
        add(self, folder, tr("The folder for pan.tif, ms.tif and gt.tif (the truth)."))
        for name, label in self._files().items():
            self.addOutput(QgsProcessingOutputRasterLayer(name, label))
        add_numbers(self, {"RATIO": tr("Ratio by which the pair was degraded")})

    @staticmethod
    def _files() -> dict[str, str]:
        return {
            "PAN": tr("Degraded PAN"),
            "MS": tr("Degraded MS"),
            "GT": tr("Ground truth (original MS)"),
        }

    def check_parameters(self, parameters, context) -> None:
        check_pair(self, parameters, context)

    def read_parameters(self, parameters, context):
        pair = read_pair(self, parameters, context, self.notes)
        return DegradeJob(
            pan=pair.pan,
            ms=pair.ms,
            out_dir=self.parameterAsFileOutput(parameters, "OUTPUT_FOLDER", context),
            sensor=self.parameterAsEnumString(parameters, "SENSOR", context),
            protocol=self.parameterAsEnumString(parameters, "PROTOCOL", context),
        )

    def execute(self, parameters, context, progress) -> dict:
        result = self.run_job(self.prepared, progress)
        return {
            "PAN": result.pan,
            "MS": result.ms,
            "GT": result.gt,
            "RATIO": result.ratio,
            "OUTPUT_FOLDER": self.prepared.out_dir,
        }
