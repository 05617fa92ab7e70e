"""The parameter that chooses a model, and what is said when none fits; ``whetstone:models``."""

from __future__ import annotations

import json
from pathlib import Path

from qgis.core import (
    QgsProcessingOutputString,
    QgsProcessingParameterEnum,
    QgsProcessingParameterFile,
    QgsProcessingParameterFileDestination,
)
from qgis.PyQt.QtCore import QT_TRANSLATE_NOOP

from ...engine import WhetstoneError
from ...engine.library import choose_model, describe_fit, find_local, list_models, unknown_model
from ..translation import tr
from .algorithm import WhetstoneAlgorithm
from .inputs import PairFacts
from .parameters import add, add_numbers

AUTO = "auto"
#: Codes of errors about models whose hints speak of the command line.
_HINTED = ("MODEL_MISSING", "MODEL_MISMATCH", "MODEL_UNKNOWN")


def model_names(*architectures: str) -> list[str]:
    """The models of this machine for some methods, by name."""
    found = [model.name for model in list_models() if model.card.architecture in architectures]
    return list(dict.fromkeys(found))


def add_model(
    algorithm, *architectures: str, first: tuple[str, ...] = (AUTO,), advanced: bool = False
) -> None:
    """MODEL, by name, and MODEL_FILE, which goes before it."""
    parameter = QgsProcessingParameterEnum(
        "MODEL",
        tr("Model"),
        [*first, *model_names(*architectures)],
        defaultValue=AUTO,
        usesStaticStrings=True,
    )
    parameter.setMetadata({"varies": True})  # with the models on this machine
    text = tr(
        "auto chooses by sensor, bands and ratio among the models of this machine, and the log "
        "says which one and why. Models are listed in Settings > Options > Whetstone."
    )
    add(algorithm, parameter, text, advanced)
    file = QgsProcessingParameterFile(
        "MODEL_FILE",
        tr("Model file"),
        fileFilter=tr("Models (*.safetensors)"),
        optional=True,
    )
    text = tr(
        "A model of your own instead, such as one that was adapted to this scene; its card (.json) "
        "lies beside it."
    )
    add(algorithm, file, text, advanced)


def chosen_model(algorithm, parameters, context) -> str | None:
    """The model that is asked for: a file, a name, or None for the one that fits best."""
    file = algorithm.parameterAsFile(parameters, "MODEL_FILE", context)
    if file:
        return file
    name = algorithm.parameterAsEnumString(parameters, "MODEL", context)
    return None if name in ("", AUTO) else name


def check_names(algorithm, parameters) -> None:
    """Refuse a model that is not on this machine in better words than QGIS has."""
    name = parameters.get("MODEL")
    known = algorithm.parameterDefinition("MODEL").options()
    if isinstance(name, str) and name and name not in known:
        raise in_qgis(unknown_model(name))


def check_model(algorithm, parameters, context, architecture: str, facts: PairFacts) -> None:
    """Refuse, before any work, a model that does not suit the pair."""
    name = chosen_model(algorithm, parameters, context)
    try:
        if name is None:
            choose_model(architecture, *facts)
            return
        found = find_local(name)
        if found is None:
            raise unknown_model(name)
        describe_fit(found, *facts)
    except WhetstoneError as error:
        raise in_qgis(error) from None
    if found.card.architecture != architecture:
        raise WhetstoneError(
            "MODEL_MISMATCH",
            tr("{} is a model of {}, not of {}.").format(
                found.name, found.card.architecture, architecture
            ),
            tr("Choose another model, or the other algorithm."),
        )


def in_qgis(error: WhetstoneError) -> WhetstoneError:
    """An error about models with the advice that fits here."""
    if error.code not in _HINTED:
        return error
    return WhetstoneError(
        error.code,
        error.message,
        tr(
            "Settings > Options > Whetstone lists the models, gets more of them and imports yours; "
            "«Adapt a model to a scene» makes one of CrossDiff for this pair; the classical "
            "methods need none."
        ),
    )


class ModelsAlgorithm(WhetstoneAlgorithm):
    """What models are there, for scripts."""

    key = "models"
    drawing = "models"
    section = ("engine", QT_TRANSLATE_NOOP("Whetstone", "Engine and models"))
    title = QT_TRANSLATE_NOOP("Whetstone", "List the models")
    keywords = QT_TRANSLATE_NOOP(
        "Whetstone", "weights checkpoints list cards scores licence SSDiff CrossDiff"
    )

    def initAlgorithm(self, config=None) -> None:
        add(
            self,
            QgsProcessingParameterFileDestination(
                "JSON",
                tr("List as a file"),
                tr("JSON files (*.json)"),
                optional=True,
                createByDefault=False,
            ),
            tr("Write the cards of all models there, one object per model."),
        )
        add_numbers(self, {"COUNT": tr("Number of models on this machine")})
        self.addOutput(QgsProcessingOutputString("NAMES", tr("Names, with commas")))
        self.addOutput(QgsProcessingOutputString("MODELS", tr("All about them, as JSON")))

    def read_parameters(self, parameters, context):
        return self.parameterAsFileOutput(parameters, "JSON", context) or None

    def execute(self, parameters, context, progress) -> dict:
        models = list_models()
        rows = [
            {
                "name": model.name,
                "where": model.where,
                "path": str(model.path),
                "bytes": model.path.stat().st_size,
                "card": json.loads(model.card.to_json()),
            }
            for model in models
        ]
        for model in models:
            card = model.card
            sensors = ", ".join(card.sensors) or tr("any")
            progress.message(
                tr("{}: {}, {} bands at ratio {:g}, sensors {}").format(
                    model.name, card.architecture, card.bands, card.ratio, sensors
                )
            )
        if not models:
            progress.message(
                tr("There are no models on this machine yet; see Settings > Options > Whetstone.")
            )
        text = json.dumps(rows, indent=1)
        results = {
            "COUNT": len(models),
            "NAMES": ",".join(model.name for model in models),
            "MODELS": text,
        }
        if self.prepared:
            try:
                Path(self.prepared).write_text(text + "\n", encoding="utf-8")
            except OSError as error:
                raise WhetstoneError(
                    "OUT_FOLDER",
                    tr("{} cannot be written: {}.").format(self.prepared, error.strerror or error),
                    tr("Choose a folder that you may write to."),
                ) from None
            results["JSON"] = self.prepared
        return results
