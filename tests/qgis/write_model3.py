"""Make the models of the graphical modeler in ``resources/models`` by QGIS's own hand.

QT_HASH_SEED=0 QT_QPA_PLATFORM=offscreen .venv/qgis/bin/python tests/qgis/write_model3.py
"""

from __future__ import annotations

from pathlib import Path

from qgis.core import (
    QgsApplication,
    QgsProcessingModelAlgorithm,
    QgsProcessingModelChildAlgorithm,
    QgsProcessingModelChildParameterSource,
    QgsProcessingModelOutput,
    QgsProcessingModelParameter,
    QgsProcessingParameterEnum,
    QgsProcessingParameterNumber,
    QgsProcessingParameterRasterLayer,
)
from qgis.PyQt.QtCore import QPointF

FOLDER = Path(__file__).resolve().parents[2] / "resources/models"
GROUP = "Ready-made models"
TITLES = {"adapt": "Adapt", "fuse": "Fuse", "scores": "Assess"}
INPUTS = {
    "PAN": "The sharp image with one grey band.",
    "MS": "The coarser image with the colours.",
    "Fused": "The sharpened image.",
    "Report": "The quality report, an HTML file.",
    "ALG_VERSION": "1",
}
OWN = "A model to run as it is, or to open in the Model Designer and take as a start for your own."


class Drawing:
    """A model that is being drawn, child below child."""

    def __init__(self, name: str, help_content: dict[str, str]) -> None:
        self.model = QgsProcessingModelAlgorithm(name, GROUP, GROUP)
        self.model.setHelpContent({**INPUTS, **help_content})
        self._inputs = self._children = 0

    def parameter(self, definition) -> None:
        """An input, beside the others."""
        place = QgsProcessingModelParameter(definition.name())
        place.setPosition(QPointF(110 + 220 * self._inputs, 60))
        self._inputs += 1
        self.model.addModelParameter(definition, place)

    def pair(self) -> None:
        """PAN and MS."""
        self.parameter(QgsProcessingParameterRasterLayer("PAN", "Panchromatic image (PAN)"))
        self.parameter(QgsProcessingParameterRasterLayer("MS", "Multispectral image (MS)"))

    def child(self, key: str, name: str, inputs: dict, outputs: dict[str, str]) -> None:
        """A step; inputs come from parameters by name or from (child, output)."""
        number = self._children
        self._children += 1
        step = QgsProcessingModelChildAlgorithm(f"whetstone:{name}")
        step.setChildId(key)
        step.setDescription(TITLES[key])
        step.setPosition(QPointF(220 + 110 * number, 190 + 150 * number))
        make = QgsProcessingModelChildParameterSource
        for parameter, place in inputs.items():
            from_parameter = isinstance(place, str)
            found = (
                make.fromModelParameter(place) if from_parameter else make.fromChildOutput(*place)
            )
            step.addParameterSources(parameter, [found])
        results = {}
        for title, output in outputs.items():
            result = QgsProcessingModelOutput(title, title)
            result.setChildId(key)
            result.setChildOutputName(output)
            result.setPosition(QPointF(480 + 110 * number, 250 + 150 * number))
            results[title] = result
        step.setModelOutputs(results)
        self.model.addChildAlgorithm(step)

    def assess(self, fused: tuple[str, str]) -> None:
        """The last step: score what was fused."""
        inputs = {"PAN": "PAN", "MS": "MS", "FUSED": fused}
        self.child("scores", "assess", inputs, {"Report": "HTML"})

    def write(self) -> None:
        """Save it under its name."""
        path = FOLDER / f"{self.model.name()}.model3"
        if not self.model.toFile(str(path)):
            raise OSError(f"cannot write {path}")


def sharpen_and_assess() -> Drawing:
    """A classical method, then its scores."""
    from whetstone.engine.classical import METHODS

    text = f"Fuses a PAN and an MS image, then scores the result and writes a report. {OWN}"
    drawing = Drawing(
        "sharpen_and_assess",
        {"ALG_DESC": text, "METHOD": "How to fuse; gsa is a good first choice."},
    )
    drawing.pair()
    drawing.parameter(
        QgsProcessingParameterEnum(
            "METHOD", "Method", list(METHODS), defaultValue="gsa", usesStaticStrings=True
        )
    )
    inputs = {name: name for name in ("PAN", "MS", "METHOD")}
    drawing.child("fuse", "classical", inputs, {"Fused": "OUTPUT"})
    drawing.assess(("fuse", "OUTPUT"))
    return drawing


def adapt_sharpen_and_assess() -> Drawing:
    """A model of one's own for the scene, the scene by that model, then its scores."""
    text = (
        "Adapts a CrossDiff model to a PAN and an MS image without any truth, fuses them by it, "
        f"scores the result and writes a report. Needs the engine. {OWN}"
    )
    drawing = Drawing(
        "adapt_sharpen_and_assess",
        {
            "ALG_DESC": text,
            "MINUTES": "How long to train; it ends earlier when the model gets no better.",
            "Adapted model": "The model, to be used again on scenes like this one.",
        },
    )
    drawing.pair()
    drawing.parameter(
        QgsProcessingParameterNumber(
            "MINUTES",
            "Minutes to train",
            QgsProcessingParameterNumber.Type.Double,
            10.0,
            minValue=0.1,
            maxValue=1440.0,
        )
    )
    inputs = {name: name for name in ("PAN", "MS", "MINUTES")}
    drawing.child("adapt", "adapt", inputs, {"Adapted model": "OUTPUT"})
    inputs = {"PAN": "PAN", "MS": "MS", "MODEL_FILE": ("adapt", "OUTPUT")}
    drawing.child("fuse", "crossdiff", inputs, {"Fused": "OUTPUT"})
    drawing.assess(("fuse", "OUTPUT"))
    return drawing


def write() -> None:
    """Write both files."""
    from whetstone.plugin.main import WhetstonePlugin

    plugin = WhetstonePlugin(None)
    plugin.initProcessing()
    for draw in (sharpen_and_assess, adapt_sharpen_and_assess):
        draw().write()
    plugin.unload()


if __name__ == "__main__":
    QgsApplication.setPrefixPath("/usr", True)
    application = QgsApplication([], False)
    application.initQgis()
    write()
    application.exitQgis()
