"""``whetstone:classical``: fuse PAN and MS by a classical method."""

from __future__ import annotations

from qgis.core import QgsProcessingParameterEnum
from qgis.PyQt.QtCore import QT_TRANSLATE_NOOP

from ...engine.classical import METHODS
from ..translation import tr
from .fusion import FusionAlgorithm
from .parameters import add, add_protocol


class ClassicalAlgorithm(FusionAlgorithm):
    """The methods that need nothing but numpy and GDAL."""

    key = "classical"
    drawing = "fuse"
    section = ("fusion", QT_TRANSLATE_NOOP("Whetstone", "Fusion"))
    title = QT_TRANSLATE_NOOP("Whetstone", "Pansharpen (classical methods)")
    keywords = QT_TRANSLATE_NOOP(
        "Whetstone",
        "fuse Brovey Gram-Schmidt GramSchmidt GSA GIHS IHS PCA HPF SFIM BDSD PRACS MTF-GLP AWLP "
        "ATWT BT-H TV wavelet component substitution multiresolution",
    )

    def add_method(self) -> None:
        titles = "; ".join(f"{name}: {method.title}" for name, method in METHODS.items())
        parameter = QgsProcessingParameterEnum(
            "METHOD", tr("Method"), list(METHODS), defaultValue="gsa", usesStaticStrings=True
        )
        text = tr("How to fuse. gsa is a good first choice; the help page says more. {}.")
        add(self, parameter, text.format(titles))

    def add_more(self) -> None:
        add_protocol(self)

    def method_fields(self, parameters, context, pair) -> dict:
        return {
            "method": self.parameterAsEnumString(parameters, "METHOD", context),
            "protocol": self.parameterAsEnumString(parameters, "PROTOCOL", context),
        }
