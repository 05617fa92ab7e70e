"""``whetstone:adapt``: train CrossDiff on a scene of one's own, in the engine process."""

from __future__ import annotations

from qgis.core import (
    QgsProcessingOutputString,
    QgsProcessingParameterEnum,
    QgsProcessingParameterExtent,
    QgsProcessingParameterFileDestination,
    QgsProcessingParameterNumber,
)
from qgis.PyQt.QtCore import QT_TRANSLATE_NOOP

from ...engine import AdaptJob
from ...engine.jobs import OBJECTIVES
from ..engine_home import ready_engine
from ..translation import tr
from .algorithm import WhetstoneAlgorithm
from .inputs import check_pair, extent_bounds, read_pair
from .models import AUTO, add_model, check_model, check_names, chosen_model
from .parameters import add, add_device, add_numbers, add_pair, add_seed, add_sensor

SCRATCH = "scratch"


class AdaptAlgorithm(WhetstoneAlgorithm):
    """No truth is needed: the scene itself is the teacher."""

    key = "adapt"
    drawing = "adapt"
    section = ("fusion", QT_TRANSLATE_NOOP("Whetstone", "Fusion"))
    title = QT_TRANSLATE_NOOP("Whetstone", "Adapt a model to a scene")
    keywords = QT_TRANSLATE_NOOP(
        "Whetstone", "train fine-tune self-supervised own sensor deep learning CrossDiff model"
    )

    def canExecute(self):
        """In the dialog: one sentence on what is missing, before anything is filled in."""
        return self.engine_answer()

    def initAlgorithm(self, config=None) -> None:
        add_pair(self)
        add_model(self, "crossdiff", first=(AUTO, SCRATCH))
        minutes = QgsProcessingParameterNumber(
            "MINUTES",
            tr("Minutes to train"),
            QgsProcessingParameterNumber.Type.Double,
            10.0,
            minValue=0.1,
            maxValue=1440.0,
        )
        text = tr(
            "It ends earlier when the model gets no better. Cancel keeps the best model so far, if "
            "it is better than what needs no training."
        )
        add(self, minutes, text)
        objective = QgsProcessingParameterEnum(
            "OBJECTIVE",
            tr("What to learn from"),
            list(OBJECTIVES),
            defaultValue=OBJECTIVES[0],
            usesStaticStrings=True,
        )
        text = tr(
            "reduced learns on the degraded scene, where the MS itself is the truth; full learns "
            "also at the resolution of the scene, and keeps the colours there better."
        )
        add(self, objective, text)
        add_sensor(self)
        add(
            self,
            QgsProcessingParameterExtent("EXTENT", tr("Extent to learn from"), optional=True),
            tr("Learn from this part only: leave out clouds, or water that fills the scene."),
        )
        add_device(self)
        add_seed(self)
        add(
            self,
            QgsProcessingParameterFileDestination(
                "OUTPUT", tr("Adapted model"), tr("Models (*.safetensors)")
            ),
            tr("The model, with its card (.json) beside it. Give it to CrossDiff as Model file."),
        )
        add_numbers(self, self._numbers())
        self.addOutput(QgsProcessingOutputString("ENDED", tr("Why training ended")))

    @staticmethod
    def _numbers() -> dict[str, str]:
        return {
            "STEPS": tr("Training steps"),
            "HELD_OUT": tr("Share of the scene that was held out for validation (percent)"),
            "ERGAS_ADAPTED": tr("ERGAS of the adapted model on what was held out"),
            "ERGAS_MTF_GLP_FS": tr("ERGAS of MTF-GLP-FS on what was held out"),
            "ERGAS_BASE": tr("ERGAS of the image that the model adds to, on what was held out"),
            "ERGAS_EXP": tr("ERGAS of plain interpolation on what was held out"),
        }

    def check_first(self, parameters) -> None:
        check_names(self, parameters)

    def check_parameters(self, parameters, context) -> None:
        ready_engine()
        facts = check_pair(self, parameters, context)
        if chosen_model(self, parameters, context) not in (None, SCRATCH):
            check_model(self, parameters, context, "crossdiff", facts)

    def read_parameters(self, parameters, context):
        pair = read_pair(self, parameters, context, self.notes)
        return AdaptJob(
            pan=pair.pan,
            ms=pair.ms,
            out=self.parameterAsFileOutput(parameters, "OUTPUT", context),
            start=chosen_model(self, parameters, context),
            objective=self.parameterAsEnumString(parameters, "OBJECTIVE", context),
            minutes=self.parameterAsDouble(parameters, "MINUTES", context),
            sensor=self.parameterAsEnumString(parameters, "SENSOR", context),
            bounds=extent_bounds(self, parameters, context, pair.pan_crs),
            seed=self.parameterAsInt(parameters, "SEED", context),
            device=self.parameterAsEnumString(parameters, "DEVICE", context),
        )

    def execute(self, parameters, context, progress) -> dict:
        result = self.run_in_engine(self.prepared, progress)
        results = {
            "OUTPUT": result.out,
            "STEPS": result.steps,
            "HELD_OUT": result.held_out,
            "ENDED": result.ended,
        }
        for name, scores in result.scores.items():
            label = f"ERGAS_{name.upper().replace('-', '_')}"
            if label in self._numbers() and scores.get("ergas") is not None:
                results[label] = scores["ergas"]
                progress.message(
                    tr("On what was held out: {} has ERGAS {:.3f}").format(name, scores["ergas"])
                )
        return results
