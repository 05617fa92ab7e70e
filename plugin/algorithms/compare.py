"""``whetstone:compare``: fuse one pair by several methods and score them side by side."""

from __future__ import annotations

from qgis.core import (
    QgsProcessingContext,
    QgsProcessingOutputRasterLayer,
    QgsProcessingOutputString,
    QgsProcessingParameterBoolean,
    QgsProcessingParameterEnum,
    QgsProcessingParameterFolderDestination,
    QgsProcessingParameterNumber,
    QgsProcessingParameterRasterLayer,
)
from qgis.PyQt.QtCore import QT_TRANSLATE_NOOP

from ...engine import CompareJob, WhetstoneError
from ...engine.methods import DEEP, METHODS
from ..engine_home import ready_engine
from ..figures import as_outputs
from ..styling import look_painter, measured_look, true_colour
from ..translation import tr
from .algorithm import WhetstoneAlgorithm
from .inputs import check_pair, other_source, read_pair
from .models import add_model, check_names, chosen_model
from .parameters import (
    add,
    add_coregister,
    add_crop,
    add_device,
    add_figures,
    add_pair,
    add_protocol,
    add_report,
    add_sensor,
)

#: One of each family: enough to see what kind of method suits a scene.
FIRST_CHOICE = ["exp", "brovey", "gsa", "bdsd-pc", "bt-h", "mtf-glp-fs"]
LOADS = ["best", "all", "none"]


class CompareAlgorithm(WhetstoneAlgorithm):
    """Several methods, one table, one winner."""

    key = "compare"
    drawing = "compare"
    section = ("quality", QT_TRANSLATE_NOOP("Whetstone", "Quality"))
    title = QT_TRANSLATE_NOOP("Whetstone", "Compare pansharpening methods")
    keywords = QT_TRANSLATE_NOOP(
        "Whetstone", "quality ranking best method benchmark Brovey Gram-Schmidt GSA MTF-GLP report"
    )

    def initAlgorithm(self, config=None) -> None:
        add_pair(self)
        methods = QgsProcessingParameterEnum(
            "METHODS",
            tr("Methods"),
            list(METHODS),
            allowMultiple=True,
            defaultValue=[name for name in FIRST_CHOICE if name in METHODS],
            usesStaticStrings=True,
        )
        text = tr(
            "The methods to compare; exp is plain interpolation, the mark every method must beat. "
            "ssdiff and crossdiff need the engine and a model."
        )
        add(self, methods, text)
        add_sensor(self)
        self._add_truth()
        self._add_deep()
        add_coregister(self)
        add_protocol(self)
        load = QgsProcessingParameterEnum(
            "LOAD", tr("Load into the project"), LOADS, defaultValue="best", usesStaticStrings=True
        )
        add(self, load, tr("Which of the fused images to add to the project afterwards."))
        add_report(
            self,
            tr("Comparison report"),
            tr("An HTML file with the table, bar charts and crops side by side."),
        )
        folder = QgsProcessingParameterFolderDestination("OUTPUT_FOLDER", tr("Fused images"))
        add(self, folder, tr("The folder for the fused images, one GeoTIFF per method."))
        self.addOutput(QgsProcessingOutputString("BEST", tr("Best method")))
        self.addOutput(QgsProcessingOutputRasterLayer("BEST_IMAGE", tr("Image of the best method")))
        add_figures(self)

    def _add_deep(self) -> None:
        add_model(self, *DEEP, advanced=True)
        adapt = QgsProcessingParameterNumber(
            "ADAPT",
            tr("Minutes to adapt CrossDiff"),
            QgsProcessingParameterNumber.Type.Double,
            0.0,
            minValue=0.0,
            maxValue=1440.0,
        )
        text = tr(
            "First adapt a CrossDiff model to the pair that is compared, without its truth. "
            "0 leaves that out."
        )
        add(self, adapt, text, advanced=True)
        add_device(self, advanced=True)

    def _add_truth(self) -> None:
        reduced = QgsProcessingParameterBoolean(
            "REDUCED", tr("Compare at reduced resolution (Wald)"), defaultValue=False
        )
        text = tr(
            "First degrade PAN and MS by their ratio, so that the original MS is the truth to "
            "compare with. The surest ranking; the fused images are then as coarse as the MS."
        )
        add(self, reduced, text)
        reference = QgsProcessingParameterRasterLayer(
            "REFERENCE", tr("Reference image (ground truth)"), optional=True
        )
        add(self, reference, tr("The true sharp image on the PAN grid, when there is one."))
        crop = QgsProcessingParameterNumber(
            "CROP",
            tr("Border pixels to leave out"),
            QgsProcessingParameterNumber.Type.Integer,
            0,
            minValue=0,
        )
        add_crop(self, crop)

    def check_first(self, parameters) -> None:
        check_names(self, parameters)

    def check_parameters(self, parameters, context) -> None:
        methods = set(DEEP) & set(self.parameterAsEnumStrings(parameters, "METHODS", context))
        adapt = self.parameterAsDouble(parameters, "ADAPT", context) > 0
        model = chosen_model(self, parameters, context)
        if methods or adapt:
            ready_engine()
        if model and (adapt or not methods):
            raise WhetstoneError(
                "USAGE",
                tr("A model is given, and {}.").format(
                    tr("one is to be adapted") if adapt else tr("no method among those takes one")
                ),
                tr("Leave the model out, or choose ssdiff or crossdiff without adaptation."),
            )
        check_pair(self, parameters, context)
        other_source(self, parameters, context, "REFERENCE", [])

    def read_parameters(self, parameters, context):
        pair = read_pair(self, parameters, context, self.notes)
        job = CompareJob(
            pan=pair.pan,
            ms=pair.ms,
            methods=tuple(self.parameterAsEnumStrings(parameters, "METHODS", context)),
            out_dir=self.parameterAsFileOutput(parameters, "OUTPUT_FOLDER", context),
            reference=other_source(self, parameters, context, "REFERENCE", self.notes),
            reduced=self.parameterAsBool(parameters, "REDUCED", context),
            sensor=self.parameterAsEnumString(parameters, "SENSOR", context),
            protocol=self.parameterAsEnumString(parameters, "PROTOCOL", context),
            crop=self.parameterAsInt(parameters, "CROP", context),
            coregister=self.parameterAsBool(parameters, "COREGISTER", context),
            html=self.parameterAsFileOutput(parameters, "HTML", context) or None,
            model=chosen_model(self, parameters, context),
            device=self.parameterAsEnumString(parameters, "DEVICE", context),
            adapt=self.parameterAsDouble(parameters, "ADAPT", context),
        )
        return job, pair, self.parameterAsEnumString(parameters, "LOAD", context)

    def execute(self, parameters, context, progress) -> dict:
        job, pair, load = self.prepared
        if job.adapt or set(DEEP) & set(job.methods):  # all methods there
            result = self.run_in_engine(job, progress)
        else:
            result = self.run_job(job, progress)
        best = next(row for row in result.rows if row["method"] == result.best)
        wanted = {"best": [best], "all": result.rows}.get(load, ())
        for row in wanted:
            self._load(context, pair, job, row)
        results = {
            **as_outputs(best["scores"]),
            "BEST": result.best,
            "BEST_IMAGE": best["out"],
            "OUTPUT_FOLDER": job.out_dir,
        }
        return {**results, "HTML": result.html} if result.html else results

    def _load(self, context, pair, job, row) -> None:
        """Ask QGIS to add one fused image, looking like the MS."""
        project = context.project()
        if project is None:
            return
        look = pair.look or measured_look(
            pair.ms.paths, pair.ms.bands or (), true_colour(row["out"], job.sensor)
        )
        name = f"{pair.name} {row['method'].upper()}"
        details = QgsProcessingContext.LayerDetails(name, project, "BEST_IMAGE")
        details.setPostProcessor(look_painter(look))
        context.addLayerToLoadOnCompletion(row["out"], details)
