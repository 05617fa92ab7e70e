"""The Processing provider ``whetstone``: every algorithm, always listed."""

from __future__ import annotations

from qgis.core import QgsApplication, QgsProcessingModelAlgorithm, QgsProcessingProvider
from qgis.PyQt.QtGui import QIcon

from .algorithms.adapt import AdaptAlgorithm
from .algorithms.assess import AssessAlgorithm
from .algorithms.check import CheckAlgorithm
from .algorithms.classical import ClassicalAlgorithm
from .algorithms.compare import CompareAlgorithm
from .algorithms.deep import CrossDiffAlgorithm, SSDiffAlgorithm
from .algorithms.degrade import DegradeAlgorithm
from .algorithms.engine_status import EngineStatusAlgorithm
from .algorithms.models import ModelsAlgorithm
from .translation import RESOURCES, tr

ALGORITHMS = (
    ClassicalAlgorithm,
    SSDiffAlgorithm,
    CrossDiffAlgorithm,
    AdaptAlgorithm,
    AssessAlgorithm,
    CompareAlgorithm,
    CheckAlgorithm,
    DegradeAlgorithm,
    EngineStatusAlgorithm,
    ModelsAlgorithm,
)
ICON = RESOURCES / "icons" / "whetstone.svg"
RASTER_EXTENSIONS = ["tif", "tiff"]


class WhetstoneProvider(QgsProcessingProvider):
    """Pansharpening algorithms and the models that ship with the plugin."""

    def id(self) -> str:
        """Frozen for ever: scripts and models say ``whetstone:classical``."""
        return "whetstone"

    def name(self) -> str:
        """The name in the Toolbox."""
        return "Whetstone"

    def longName(self) -> str:
        """The name with one word more."""
        return tr("Whetstone pansharpening")

    def icon(self) -> QIcon:
        """The provider's icon."""
        return QIcon(str(ICON))

    def svgIconPath(self) -> str:
        """The provider's icon as a file."""
        return str(ICON)

    def loadAlgorithms(self) -> None:
        """Add the algorithms, and the models once their children can be found."""
        for algorithm in ALGORITHMS:
            self.addAlgorithm(algorithm())
        if QgsApplication.processingRegistry().providerById(self.id()) is not None:
            self._load_models()

    def _load_models(self) -> None:
        for path in sorted((RESOURCES / "models").glob("*.model3")):
            model = QgsProcessingModelAlgorithm()
            if model.fromFile(str(path)):
                self.addAlgorithm(model)

    def supportedOutputRasterLayerExtensions(self) -> list[str]:
        """What the engine writes: GeoTIFF, plain or cloud-optimized."""
        return RASTER_EXTENSIONS

    def defaultRasterFileExtension(self) -> str:
        """The extension of temporary outputs."""
        return RASTER_EXTENSIONS[0]

    def isSupportedOutputValue(self, value, parameter, context):
        """Refuse other raster formats in words that say what to choose."""
        supported, text = super().isSupportedOutputValue(value, parameter, context)
        if supported or parameter.type() != "rasterDestination":
            return supported, text
        return False, tr(
            "Only GeoTIFF can be written block by block. Choose a file name that ends in .tif."
        )
