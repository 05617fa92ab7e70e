"""What all fusion algorithms share: parameters of the output, preview, styling, assessment.

A subclass says which method the job is for, and on which engine it runs.
"""

from __future__ import annotations

from dataclasses import replace

from qgis.core import (
    QgsApplication,
    QgsProcessingParameterBoolean,
    QgsProcessingParameterEnum,
    QgsProcessingParameterExtent,
    QgsProcessingParameterRasterDestination,
)

from ...engine import AssessJob, FuseJob, RasterSource, WhetstoneError
from ...engine.types import PartOfProgress
from ..figures import as_outputs
from ..preview import SIDE, preview_bounds
from ..styling import Painter, look_painter, measured_look, true_colour
from ..translation import tr
from .algorithm import WhetstoneAlgorithm
from .inputs import PairFacts, check_pair, creation_options, extent_bounds, pan_layer, read_pair
from .parameters import (
    add,
    add_coregister,
    add_creation_options,
    add_figures,
    add_numbers,
    add_pair,
    add_report,
    add_sensor,
)

SAME_TYPE = "same"
DTYPES = [SAME_TYPE, "uint8", "uint16", "int16", "uint32", "int32", "float32", "float64"]
FORMATS = ["gtiff", "cog"]


class FusionAlgorithm(WhetstoneAlgorithm):
    """Fuse, style and, when asked for, assess."""

    def initAlgorithm(self, config=None) -> None:
        add_pair(self)
        self.add_method()
        add_sensor(self)
        self._add_area()
        add_coregister(self)
        self._add_output_options()
        self.add_more()
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

    # -- what subclasses give -----------------------------------------------------------------

    def add_method(self) -> None:
        """Add the parameters that choose the method."""
        raise NotImplementedError

    def add_more(self) -> None:
        """Add what follows the options of the output."""

    def method_fields(self, parameters, context, pair) -> dict:
        """The fields of the job that are the method's own."""
        raise NotImplementedError

    def completed(self, job, parameters, context):
        """The job with what is known only to the context in which it runs."""
        return replace(job, out=self.parameterAsOutputLayer(parameters, "OUTPUT", context))

    def perform(self, job, progress):
        """Run a job, the fusion or the assessment, where the method runs."""
        return self.run_job(job, progress)

    def extra_results(self, result) -> dict:
        """Outputs that only some methods have."""
        return {}

    def dress(self, context, job, pair, result, look) -> None:
        """Name the layers that will be loaded and style them; ``look`` is that of the MS."""
        self.paint(context, "OUTPUT", job.out, self.layer_name(pair, job), look_painter(look))

    def paint(self, context, output: str, path: str | None, title: str, painter: Painter) -> None:
        """Let QGIS style a layer that it will load, and name it unless the user has."""
        if path and context.willLoadLayerOnCompletion(path):
            details = context.layerToLoadOnCompletionDetails(path)
            if details.name == self.parameterDefinition(output).description():
                details.name = title
            details.setPostProcessor(painter)

    def layer_name(self, pair, job) -> str:
        """What the fused layer is called."""
        name = f"{pair.name} {job.method.upper()}"
        return tr("{} (preview)").format(name) if self.is_preview else name

    # -- parameters -----------------------------------------------------------------------------

    def _add_area(self) -> None:
        add(
            self,
            QgsProcessingParameterExtent("EXTENT", tr("Extent to fuse"), optional=True),
            tr(
                "Fuse only this part; the pixels there are the same as when the whole is fused. "
                "Any coordinate system will do."
            ),
        )
        add(
            self,
            QgsProcessingParameterBoolean("PREVIEW", tr("Preview only"), defaultValue=False),
            tr(
                "Fuse only what the map canvas shows, at most {0} x {0} PAN pixels around its "
                "middle: seconds instead of minutes. Without a map, the middle of the extent."
            ).format(SIDE),
        )

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

    # -- the run --------------------------------------------------------------------------------

    def check_parameters(self, parameters, context) -> None:
        creation_options(self.parameterAsString(parameters, "OPTIONS", context))
        self.check_method(parameters, context, check_pair(self, parameters, context))

    def check_method(self, parameters, context, facts: PairFacts) -> None:
        """Raise ``WhetstoneError`` when the method cannot do such a pair."""

    def read_parameters(self, parameters, context):
        pair = read_pair(self, parameters, context, self.notes)
        dtype = self.parameterAsEnumString(parameters, "DTYPE", context)
        bounds = extent_bounds(self, parameters, context, pair.pan_crs)
        self.is_preview = self.parameterAsBool(parameters, "PREVIEW", context)
        if self.is_preview:
            bounds = preview_bounds(pan_layer(self, parameters, context), bounds)
        job = FuseJob(
            pan=pair.pan,
            ms=pair.ms,
            out="",  # known only to the context in which the job runs
            sensor=self.parameterAsEnumString(parameters, "SENSOR", context),
            bounds=bounds,
            dtype=None if dtype in ("", SAME_TYPE) else dtype,
            format=self.parameterAsEnumString(parameters, "FORMAT", context),
            creation_options=creation_options(
                self.parameterAsString(parameters, "OPTIONS", context)
            ),
            overviews=self.parameterAsBool(parameters, "OVERVIEWS", context),
            coregister=self.parameterAsBool(parameters, "COREGISTER", context),
            threads=max(QgsApplication.maxThreads(), 0),
        )
        job = replace(job, **self.method_fields(parameters, context, pair))
        html = self.parameterAsFileOutput(parameters, "HTML", context) or None
        assess = html is not None or self.parameterAsBool(parameters, "ASSESS", context)
        return job, pair, assess, html

    def execute(self, parameters, context, progress) -> dict:
        job, pair, assess, html = self.prepared
        job = self.completed(job, parameters, context)
        finished = False
        try:
            results = self._fuse(job, pair, context, assess, html, progress)
            finished = True
        finally:
            if not finished:
                for path in filter(None, (job.out, job.uncertainty)):
                    forget_layer(context, path)
        return results

    def _fuse(self, job, pair, context, assess, html, progress) -> dict:
        share = 0.6 if assess else 1.0
        result = self.perform(job, PartOfProgress(progress, 0.0, share))
        results = {"OUTPUT": result.out, "RATIO": result.ratio, "CLIPPED": result.clipped}
        results.update(self.extra_results(result))
        if result.shift is not None:
            results["SHIFT_X"], results["SHIFT_Y"] = result.shift
        if any(map(context.willLoadLayerOnCompletion, filter(None, (job.out, job.uncertainty)))):
            look = pair.look or measured_look(
                pair.ms.paths, pair.ms.bands or (), true_colour(result.out, result.sensor)
            )
            self.dress(context, job, pair, result, look)
        if assess:
            try:
                results.update(self._assess(job, pair, html, PartOfProgress(progress, share, 1.0)))
            except WhetstoneError:
                progress.message(tr("The fused image itself is complete: {}").format(job.out))
                raise
        return results

    def _assess(self, job, pair, html, progress) -> dict:
        scored = self.perform(
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


def forget_layer(context, path: str) -> None:
    """A layer that will never exist shall not be missed by QGIS."""
    waiting = context.layersToLoadOnCompletion()
    if waiting.pop(path, None) is not None:
        context.setLayersToLoadOnCompletion(waiting)
