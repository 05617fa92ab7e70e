"""``whetstone:ssdiff`` and ``whetstone:crossdiff``: fuse by a deep model, in the engine process."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from qgis.core import (
    QgsProcessingOutputString,
    QgsProcessingParameterBoolean,
    QgsProcessingParameterEnum,
    QgsProcessingParameterNumber,
    QgsProcessingParameterRasterDestination,
)
from qgis.PyQt.QtCore import QT_TRANSLATE_NOOP

from ...engine import WhetstoneError
from ...engine.jobs import NOISES, PRECISIONS, STATISTICS
from ..engine_home import ready_engine
from ..layer_group import ResultGroup
from ..styling import Painter, apply_heat, apply_look
from ..translation import tr
from .fusion import FusionAlgorithm
from .models import add_model, check_model, check_names, chosen_model
from .parameters import add, add_device, add_seed

_INTEGER = QgsProcessingParameterNumber.Type.Integer


class DeepAlgorithm(FusionAlgorithm):
    """What both deep models share."""

    section = ("fusion", QT_TRANSLATE_NOOP("Whetstone", "Fusion"))

    def canExecute(self):
        """In the dialog: one sentence on what is missing, before anything is filled in."""
        return self.engine_answer()

    def add_method(self) -> None:
        add_model(self, self.key)
        self.add_sampling()
        add(
            self,
            QgsProcessingParameterNumber(
                "SAMPLES", tr("Samples to average"), _INTEGER, 1, minValue=1, maxValue=64
            ),
            tr(
                "Sample the image several times with other noise and take the mean. Takes as many "
                "times as long; two or more are needed for the uncertainty."
            ),
        )
        add_seed(self)
        add_device(self)
        add(
            self,
            QgsProcessingParameterEnum(
                "PRECISION",
                tr("Precision"),
                list(PRECISIONS),
                defaultValue="auto",
                usesStaticStrings=True,
            ),
            tr(
                "What to compute in. auto takes bf16 where the device is faster with it and the "
                "image stays the same to 60 dB, and fp32 otherwise."
            ),
            advanced=True,
        )
        add(
            self,
            QgsProcessingParameterBoolean(
                "CONSISTENCY", tr("Keep to the measured MS"), defaultValue=False
            ),
            tr(
                "Correct the result until, seen through the MS sensor, it is exactly the MS again, "
                "noise included. The bundled models do so anyway as far as noise allows, where the "
                "sensor is known and the scene shows its MTF."
            ),
        )

    def add_sampling(self) -> None:
        """Add what only one of the models knows."""

    def add_more(self) -> None:
        add(
            self,
            QgsProcessingParameterRasterDestination(
                "UNCERTAINTY", tr("Uncertainty"), optional=True, createByDefault=False
            ),
            tr(
                "Standard deviation of the samples before any correction, per band and in units of "
                "the image: where the model is not sure. Needs two or more samples."
            ),
        )
        self.addOutput(QgsProcessingOutputString("MODEL_USED", tr("Model that was used")))

    def check_first(self, parameters) -> None:
        check_names(self, parameters)

    def check_parameters(self, parameters, context) -> None:
        ready_engine()
        super().check_parameters(parameters, context)

    def check_method(self, parameters, context, facts) -> None:
        check_model(self, parameters, context, self.key, facts)
        samples = self.parameterAsInt(parameters, "SAMPLES", context)
        if parameters.get("UNCERTAINTY") not in (None, "") and samples < 2:
            raise WhetstoneError(
                "SAMPLES",
                tr("The uncertainty is the deviation of several samples; there is one."),
                tr("Ask for 4 or 8 samples."),
            )

    def method_fields(self, parameters, context, pair) -> dict:
        return {
            "method": self.key,
            "model": chosen_model(self, parameters, context),
            "samples": self.parameterAsInt(parameters, "SAMPLES", context),
            "seed": self.parameterAsInt(parameters, "SEED", context),
            "device": self.parameterAsEnumString(parameters, "DEVICE", context),
            "precision": self.parameterAsEnumString(parameters, "PRECISION", context),
            "consistency": self.parameterAsBool(parameters, "CONSISTENCY", context),
        }

    def completed(self, job, parameters, context):
        job = super().completed(job, parameters, context)
        if parameters.get("UNCERTAINTY") in (None, ""):
            return job
        path = self.parameterAsOutputLayer(parameters, "UNCERTAINTY", context)
        return replace(job, uncertainty=path or None)

    def perform(self, job, progress):
        return self.run_in_engine(job, progress)

    def extra_results(self, result) -> dict:
        more = {"UNCERTAINTY": result.uncertainty} if result.uncertainty else {}
        return {"MODEL_USED": result.model, **more}

    def dress(self, context, job, pair, result, look) -> None:
        """Fused image, uncertainty and MS in one group, so that a click compares them."""
        name = self.layer_name(pair, job)
        group = ResultGroup(name, pair.ms_layer, look)
        heat = partial(apply_heat, band=look.bands[0])
        fused = Painter(partial(apply_look, look=look), group.add_fused)
        self.paint(context, "OUTPUT", job.out, name, fused)
        title = tr("{} uncertainty").format(name)
        self.paint(
            context, "UNCERTAINTY", job.uncertainty, title, Painter(heat, group.add_uncertainty)
        )


class SSDiffAlgorithm(DeepAlgorithm):
    """Spatial-spectral integrated diffusion."""

    key = "ssdiff"
    drawing = "ssdiff"
    title = QT_TRANSLATE_NOOP("Whetstone", "Pansharpen by SSDiff (diffusion)")
    keywords = QT_TRANSLATE_NOOP(
        "Whetstone", "fuse deep learning neural network AI diffusion model SSDiff torch GPU CUDA"
    )

    def add_sampling(self) -> None:
        add(
            self,
            QgsProcessingParameterNumber("STEPS", tr("Steps"), _INTEGER, 0, minValue=0),
            tr(
                "Sampling steps; 0 takes the number that the model was made for. More steps take "
                "longer in proportion."
            ),
        )

    def method_fields(self, parameters, context, pair) -> dict:
        fields = super().method_fields(parameters, context, pair)
        return {**fields, "steps": self.parameterAsInt(parameters, "STEPS", context)}


class CrossDiffAlgorithm(DeepAlgorithm):
    """Cross-predictive diffusion."""

    key = "crossdiff"
    drawing = "crossdiff"
    title = QT_TRANSLATE_NOOP("Whetstone", "Pansharpen by CrossDiff (self-supervised diffusion)")
    keywords = QT_TRANSLATE_NOOP(
        "Whetstone",
        "fuse deep learning neural network AI diffusion model CrossDiff torch GPU CUDA",
    )

    def add_sampling(self) -> None:
        for name, label, values, text in (
            (
                "NOISE",
                tr("Noise"),
                list(NOISES),
                tr(
                    "What the encoders are given beside the image. auto is zero for one sample and "
                    "fixed for several; random draws a new seed, which the file remembers."
                ),
            ),
            (
                "STATISTICS",
                tr("Statistics"),
                list(STATISTICS),
                tr(
                    "Where the statistics of norms and gates come from: the scene (no seams), each "
                    "window, or auto, as the model says."
                ),
            ),
        ):
            parameter = QgsProcessingParameterEnum(
                name, label, values, defaultValue="auto", usesStaticStrings=True
            )
            add(self, parameter, text, advanced=True)

    def method_fields(self, parameters, context, pair) -> dict:
        fields = super().method_fields(parameters, context, pair)
        for name in ("NOISE", "STATISTICS"):
            fields[name.lower()] = self.parameterAsEnumString(parameters, name, context)
        return fields
