"""Make ``resources/models/sharpen_and_assess.model3`` by QGIS's own hand.

QT_HASH_SEED=0 QT_QPA_PLATFORM=offscreen .venv/qgis/bin/python tests/qgis/write_model.py
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
    QgsProcessingParameterRasterLayer,
)
from qgis.PyQt.QtCore import QPointF

MODEL = Path(__file__).resolve().parents[2] / "resources/models/sharpen_and_assess.model3"
HELP = {
    "ALG_DESC": "Fuses a PAN and an MS image, then scores the result and writes a report. A model "
    "to run as it is, or to open in the Model Designer and take as a start for your own.",
    "PAN": "The sharp image with one grey band.",
    "MS": "The coarser image with the colours.",
    "METHOD": "How to fuse; gsa is a good first choice.",
    "Fused": "The sharpened image.",
    "Report": "The quality report, an HTML file.",
    "ALG_VERSION": "1",
}


def source(name: str) -> list:
    """A child's input that comes from a parameter of the model."""
    return [QgsProcessingModelChildParameterSource.fromModelParameter(name)]


def add_parameters(model) -> None:
    """PAN, MS and the method."""
    from whetstone.engine.classical import METHODS

    definitions = (
        (QgsProcessingParameterRasterLayer("PAN", "Panchromatic image (PAN)"), 60),
        (QgsProcessingParameterRasterLayer("MS", "Multispectral image (MS)"), 280),
        (
            QgsProcessingParameterEnum(
                "METHOD", "Method", list(METHODS), defaultValue="gsa", usesStaticStrings=True
            ),
            500,
        ),
    )
    for definition, x in definitions:
        place = QgsProcessingModelParameter(definition.name())
        place.setPosition(QPointF(x + 50, 60))
        model.addModelParameter(definition, place)


def output(name: str, child: str, child_output: str, at: QPointF):
    """A result of the model."""
    result = QgsProcessingModelOutput(name, name)
    result.setChildId(child)
    result.setChildOutputName(child_output)
    result.setPosition(at)
    return {name: result}


def add_children(model) -> None:
    """Fuse, then assess what was fused."""
    fuse = QgsProcessingModelChildAlgorithm("whetstone:classical")
    fuse.setChildId("fuse")
    fuse.setDescription("Fuse")
    fuse.setPosition(QPointF(220, 190))
    for name in ("PAN", "MS", "METHOD"):
        fuse.addParameterSources(name, source(name))
    fuse.setModelOutputs(output("Fused", "fuse", "OUTPUT", QPointF(480, 250)))
    scores = QgsProcessingModelChildAlgorithm("whetstone:assess")
    scores.setChildId("scores")
    scores.setDescription("Assess")
    scores.setPosition(QPointF(330, 340))
    for name in ("PAN", "MS"):
        scores.addParameterSources(name, source(name))
    fused = QgsProcessingModelChildParameterSource.fromChildOutput("fuse", "OUTPUT")
    scores.addParameterSources("FUSED", [fused])
    scores.setModelOutputs(output("Report", "scores", "HTML", QPointF(590, 400)))
    model.addChildAlgorithm(fuse)
    model.addChildAlgorithm(scores)


def write() -> None:
    """Write the model file."""
    from whetstone.plugin.main import WhetstonePlugin

    plugin = WhetstonePlugin(None)
    plugin.initProcessing()
    model = QgsProcessingModelAlgorithm("sharpen_and_assess", "Fusion", "fusion")
    add_parameters(model)
    add_children(model)
    model.setHelpContent(HELP)
    if not model.toFile(str(MODEL)):
        raise OSError(f"cannot write {MODEL}")
    plugin.unload()


if __name__ == "__main__":
    QgsApplication.setPrefixPath("/usr", True)
    application = QgsApplication([], False)
    application.initQgis()
    write()
    application.exitQgis()
