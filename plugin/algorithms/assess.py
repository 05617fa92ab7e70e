"""``whetstone:assess``: quality figures of a fused image, with or without a reference."""

from __future__ import annotations

from qgis.core import (
    QgsProcessingOutputString,
    QgsProcessingParameterNumber,
    QgsProcessingParameterRasterLayer,
)
from qgis.PyQt.QtCore import QT_TRANSLATE_NOOP

from ...engine import AssessJob
from ..figures import as_outputs
from ..translation import tr
from .algorithm import WhetstoneAlgorithm
from .inputs import check_pair, other_source, read_pair
from .parameters import (
    add,
    add_crop,
    add_figures,
    add_pair,
    add_protocol,
    add_report,
    add_sensor,
)


class AssessAlgorithm(WhetstoneAlgorithm):
    """Score one image."""

    key = "assess"
    drawing = "assess"
    section = ("quality", QT_TRANSLATE_NOOP("Whetstone", "Quality"))
    title = QT_TRANSLATE_NOOP("Whetstone", "Assess a pansharpened image")
    keywords = QT_TRANSLATE_NOOP(
        "Whetstone",
        "quality figures metrics QNR HQNR SAM ERGAS Q2n Q4 Q8 SCC PSNR SSIM report accuracy",
    )

    def initAlgorithm(self, config=None) -> None:
        add(
            self,
            QgsProcessingParameterRasterLayer("FUSED", tr("Pansharpened image")),
            tr("The image to judge, on the PAN grid (or a part of it), with the bands of the MS."),
        )
        add_pair(self)
        add(
            self,
            QgsProcessingParameterRasterLayer(
                "REFERENCE", tr("Reference image (ground truth)"), optional=True
            ),
            tr(
                "The true sharp image, when there is one: a simulated scene, or the original MS "
                "when PAN and MS were degraded before (Make a reduced-resolution pair)."
            ),
        )
        add_sensor(self)
        add_protocol(self)
        add_crop(
            self,
            QgsProcessingParameterNumber(
                "CROP",
                tr("Border pixels to leave out"),
                QgsProcessingParameterNumber.Type.Integer,
                0,
                minValue=0,
            ),
        )
        add_report(
            self,
            tr("Quality report"),
            tr("An HTML file with a verdict in plain words, figures, crops and histograms."),
        )
        add_figures(self)
        self.addOutput(QgsProcessingOutputString("VERDICT", tr("Verdict in words")))

    def check_parameters(self, parameters, context) -> None:
        check_pair(self, parameters, context)
        for name in ("FUSED", "REFERENCE"):
            other_source(self, parameters, context, name, [])

    def read_parameters(self, parameters, context):
        pair = read_pair(self, parameters, context, self.notes)
        return AssessJob(
            fused=other_source(self, parameters, context, "FUSED", self.notes),
            pan=pair.pan,
            ms=pair.ms,
            reference=other_source(self, parameters, context, "REFERENCE", self.notes),
            sensor=self.parameterAsEnumString(parameters, "SENSOR", context),
            protocol=self.parameterAsEnumString(parameters, "PROTOCOL", context),
            crop=self.parameterAsInt(parameters, "CROP", context),
            html=self.parameterAsFileOutput(parameters, "HTML", context) or None,
        )

    def execute(self, parameters, context, progress) -> dict:
        result = self.run_job(self.prepared, progress)
        progress.message(result.verdict)
        results = {**as_outputs(result.scores), "VERDICT": result.verdict}
        return {**results, "HTML": result.html} if result.html else results
