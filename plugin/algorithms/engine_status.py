"""``whetstone:enginestatus``: whether the deep models can run here, for people and scripts."""

from __future__ import annotations

from qgis.core import (
    QgsProcessingOutputBoolean,
    QgsProcessingOutputString,
    QgsProcessingParameterBoolean,
)
from qgis.PyQt.QtCore import QT_TRANSLATE_NOOP

from ...engine import WhetstoneError
from ..engine_home import engine_state
from ..engine_process import run_words
from ..translation import tr
from .algorithm import WhetstoneAlgorithm
from .parameters import add

_VERSIONS = ("python", "torch", "rasterio", "gdal", "proj", "numpy", "device")


class EngineStatusAlgorithm(WhetstoneAlgorithm):
    """The state of the engine, and its self-test."""

    key = "enginestatus"
    drawing = "engine"
    section = ("engine", QT_TRANSLATE_NOOP("Whetstone", "Engine and models"))
    title = QT_TRANSLATE_NOOP("Whetstone", "Engine status")
    keywords = QT_TRANSLATE_NOOP(
        "Whetstone", "install torch PyTorch CUDA GPU self-test diagnostics version device"
    )

    def initAlgorithm(self, config=None) -> None:
        add(
            self,
            QgsProcessingParameterBoolean("SELFTEST", tr("Run the self-test"), defaultValue=True),
            tr(
                "Start the engine and try libraries, projections and a small fusion; takes a few "
                "seconds. Without it only files are looked at."
            ),
        )
        self.addOutput(QgsProcessingOutputBoolean("READY", tr("The deep models can run")))
        self.addOutput(QgsProcessingOutputString("STATE", tr("State in one word")))
        self.addOutput(QgsProcessingOutputString("SENTENCE", tr("State in one sentence")))
        self.addOutput(QgsProcessingOutputString("ENGINE_PYTHON", tr("Python of the engine")))
        for name in _VERSIONS:
            label = tr("Device") if name == "device" else tr("Version of {}").format(name)
            self.addOutput(QgsProcessingOutputString(name.upper(), label))

    def read_parameters(self, parameters, context):
        return self.parameterAsBool(parameters, "SELFTEST", context)

    def execute(self, parameters, context, progress) -> dict:
        state = engine_state()
        progress.message(state.sentence)
        results = {
            "READY": state.usable,
            "STATE": state.code,
            "SENTENCE": state.sentence,
            "ENGINE_PYTHON": state.python,
        }
        if not (state.usable and self.prepared):
            return results
        try:
            answer = run_words(state.python, ["selftest"], progress)
        except WhetstoneError as error:
            if error.code == "CANCELLED":
                raise
            progress.warning(str(error))
            return {**results, "READY": False, "STATE": "broken", "SENTENCE": str(error)}
        for check in answer["checks"]:
            tell = progress.message if check["ok"] else progress.warning
            tell(f"{check['name']}: {check['detail']}")
        versions = {name.upper(): answer[name] for name in _VERSIONS}
        return {**results, **versions, "READY": answer["ok"]}
