"""``whetstone:classical``: fuse PAN and MS by a classical method."""

from __future__ import annotations

from dataclasses import replace

from qgis.core import (
    QgsApplication,
    QgsProcessingParameterBoolean,
    QgsProcessingParameterEnum,
    QgsProcessingParameterExtent,
    QgsProcessingParameterRasterDestination,
)
from qgis.PyQt.QtCore import QT_TRANSLATE_NOOP

from ...engine import AssessJob, FuseJob, RasterSource, WhetstoneError
from ...engine.classical import METHODS
from ...engine.types import PartOfProgress
from ..figures import as_outputs
from ..styling import LookPainter, measured_look, true_colour
from ..translation import tr
from .algorithm import WhetstoneAlgorithm
from .inputs import check_pair, creation_options, extent_bounds, read_pair
from .parameters import (
    add,
    add_coregister,
    add_creation_options,
    add_figures,
    add_numbers,
    add_pair,
    add_protocol,
    add_report,
    add_sensor,
)

SAME_TYPE = "same"
DTYPES = [SAME_TYPE, "uint8", "uint16", "int16", "uint32", "int32", "float32", "float64"]
FORMATS = ["gtiff", "cog"]


class ClassicalAlgorithm(WhetstoneAlgorithm):
    """Fuse, style and, when asked for, assess."""

    key = "classical"
    drawing = "fuse"
    section = ("fusion", QT_TRANSLATE_NOOP("Whetstone", "Fusion"))
    title = QT_TRANSLATE_NOOP("Whetstone", "Pansharpen (classical methods)")
    keywords = (
        "fuse Brovey Gram-Schmidt GramSchmidt GSA GIHS IHS PCA HPF SFIM BDSD PRACS MTF-GLP AWLP "
        "ATWT BT-H TV wavelet component substitution multiresolution"
    )

    def initAlgorithm(self, config=None) -> None:
        add_pair(self)
        self._add_method()
        add_sensor(self)
        add(
            self,
            QgsProcessingParameterExtent("EXTENT", tr("Extent to fuse"), optional=True),
            tr(
                "Fuse only this part; the pixels there are the same as when the whole is fused. "
                "Any coordinate system will do. Choose a small area for a quick preview."
            ),
        )
        add_coregister(self)
        self._add_output_options()
        add_protocol(self)
        add(
            self,
            QgsProcessingParameterBoolean("ASSESS", tr("Assess the result"), defaultValue=False),
            tr("Compute quality figures without a reference after fusing; adds some time."),
        )
        add_report(
            self,
            tr("Quality report"),
            tr("Write an HTML report with figures, crops and histograms (implies Assess)."),
        )
        add(
            self,
            QgsProcessingParameterRasterDestination("OUTPUT", tr("Fused image")),
            tr("The sharpened image, a GeoTIFF on the PAN grid with the bands of the MS."),
        )
        add_numbers(self, self._numbers())
        add_figures(self)

    def _add_method(self) -> None:
        titles = "; ".join(f"{name}: {method.title}" for name, method in METHODS.items())
        parameter = QgsProcessingParameterEnum(
            "METHOD", tr("Method"), list(METHODS), defaultValue="gsa", usesStaticStrings=True
        )
        text = tr("How to fuse. gsa is a good first choice; the help page says more. {}.")
        add(self, parameter, text.format(titles))

    def _add_output_options(self) -> None:
        types = QgsProcessingParameterEnum(
            "DTYPE", tr("Data type"), DTYPES, defaultValue=SAME_TYPE, usesStaticStrings=True
        )
        text = tr(
            "Type of the output values; same keeps that of the MS. Values are rounded and clipped."
        )
        add(self, types, text, advanced=True)
        formats = QgsProcessingParameterEnum(
            "FORMAT", tr("Format"), FORMATS, defaultValue=FORMATS[0], usesStaticStrings=True
        )
        text = tr("gtiff writes a tiled, compressed GeoTIFF; cog a Cloud-Optimized GeoTIFF.")
        add(self, formats, text, advanced=True)
        overviews = QgsProcessingParameterBoolean(
            "OVERVIEWS", tr("Build overviews"), defaultValue=True
        )
        text = tr("Pyramids inside the file, so that it draws fast when zoomed out.")
        add(self, overviews, text, advanced=True)
        add_creation_options(self)

    @staticmethod
    def _numbers() -> dict[str, str]:
        return {
            "RATIO": tr("Ratio of MS to PAN pixel size"),
            "SHIFT_X": tr("Estimated shift of PAN against MS in x (PAN pixels)"),
            "SHIFT_Y": tr("Estimated shift of PAN against MS in y (PAN pixels)"),
            "CLIPPED": tr("Values clipped to the range of the data type"),
        }

    def check_parameters(self, parameters, context) -> None:
        creation_options(self.parameterAsString(parameters, "OPTIONS", context))
        check_pair(self, parameters, context)

    def read_parameters(self, parameters, context):
        pair = read_pair(self, parameters, context, self.notes)
        dtype = self.parameterAsEnumString(parameters, "DTYPE", context)
        job = FuseJob(
            pan=pair.pan,
            ms=pair.ms,
            out="",  # known only to the context in which the job runs
            method=self.parameterAsEnumString(parameters, "METHOD", context),
            sensor=self.parameterAsEnumString(parameters, "SENSOR", context),
            bounds=extent_bounds(self, parameters, context, pair.pan_crs),
            protocol=self.parameterAsEnumString(parameters, "PROTOCOL", context),
            dtype=None if dtype in ("", SAME_TYPE) else dtype,
            format=self.parameterAsEnumString(parameters, "FORMAT", context),
            creation_options=creation_options(
                self.parameterAsString(parameters, "OPTIONS", context)
            ),
            overviews=self.parameterAsBool(parameters, "OVERVIEWS", context),
            coregister=self.parameterAsBool(parameters, "COREGISTER", context),
            threads=max(QgsApplication.maxThreads(), 0),
        )
        html = self.parameterAsFileOutput(parameters, "HTML", context) or None
        assess = html is not None or self.parameterAsBool(parameters, "ASSESS", context)
        return job, pair, assess, html

    def execute(self, parameters, context, progress) -> dict:
        job, pair, assess, html = self.prepared
        job = replace(job, out=self.parameterAsOutputLayer(parameters, "OUTPUT", context))
        finished = False
        try:
            results = self._fuse(job, pair, context, assess, html, progress)
            finished = True
        finally:
            if not finished:
                forget_layer(context, job.out)
        return results

    def _fuse(self, job, pair, context, assess, html, progress) -> dict:
        share = 0.6 if assess else 1.0
        result = self.run_job(job, PartOfProgress(progress, 0.0, share))
        results = {"OUTPUT": result.out, "RATIO": result.ratio, "CLIPPED": result.clipped}
        if result.shift is not None:
            results["SHIFT_X"], results["SHIFT_Y"] = result.shift
        if context.willLoadLayerOnCompletion(job.out):
            self._dress(context, job, pair, result)
        if assess:
            try:
                results.update(self._assess(job, pair, html, PartOfProgress(progress, share, 1.0)))
            except WhetstoneError:
                progress.message(tr("The fused image itself is complete: {}").format(job.out))
                raise
        return results

    def _assess(self, job, pair, html, progress) -> dict:
        scored = self.run_job(
            AssessJob(
                fused=RasterSource((job.out,)),
                pan=pair.pan,
                ms=pair.ms,
                sensor=job.sensor,
                protocol=job.protocol,
                html=html,
            ),
            progress,
        )
        progress.message(scored.verdict)
        return {**as_outputs(scored.scores), **({"HTML": scored.html} if scored.html else {})}

    def _dress(self, context, job, pair, result) -> None:
        """Name the layer that will be loaded and give it the look of the MS."""
        look = pair.look or measured_look(
            pair.ms.paths, pair.ms.bands or (), true_colour(result.out, result.sensor)
        )
        details = context.layerToLoadOnCompletionDetails(job.out)
        if details.name == self.parameterDefinition("OUTPUT").description():
            details.name = f"{pair.name} {job.method.upper()}"
        details.setPostProcessor(LookPainter(look))


def forget_layer(context, path: str) -> None:
    """A layer that will never exist shall not be missed by QGIS."""
    waiting = context.layersToLoadOnCompletion()
    if waiting.pop(path, None) is not None:
        context.setLayersToLoadOnCompletion(waiting)
