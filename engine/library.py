"""The library of models: the bundled ones, the user's folder, the Hub's catalogue; which one suits.

Without torch: what is said here can be said in QGIS before any engine starts.
"""

from __future__ import annotations

import difflib
import json
import os
import re
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Mapping

from .cards import Card, read_card
from .errors import WhetstoneError

BUNDLED = Path(__file__).resolve().parents[1] / "resources" / "models"
#: Model name -> ``{"repo", "revision", "file", "card", "sha256"}``.
CATALOGUE = BUNDLED / "catalogue.json"
_ADDRESS = re.compile(r"hf:([\w.-]+/[\w.-]+)@([^/@]+)/((?:[^/\\]+/)*[^/\\]+)\.safetensors")


#: A pair may be this much off the ratio of a model.
RATIO_TOLERANCE = 0.15


@dataclass(frozen=True)
class LocalModel:
    """A model on this machine; ``where`` is "bundled", "user" (its folder) or "path"."""

    card: Card
    path: Path
    where: str

    @property
    def name(self) -> str:
        """What it is asked for by: the name of its file."""
        return self.path.stem


@dataclass(frozen=True)
class HubModel:
    """Files of one commit of a repository; ``sha256`` is that of the weights, "" if unknown."""

    name: str
    repo: str
    revision: str
    file: str
    card: str
    sha256: str = ""

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[0-9a-f]{40}", self.revision):
            raise WhetstoneError(
                "HUB_REVISION",
                f"{self.revision!r} is not a commit: models come from a pinned commit of "
                f"{self.repo}, not from a branch or a tag.",
                "Give the 40 hexadecimal digits of the commit.",
            )


def address(name: str) -> HubModel | None:
    """The model in ``hf:OWNER/REPO@COMMIT/FILE.safetensors``; None if this is no such address."""
    if not name.startswith("hf:"):
        return None
    match = _ADDRESS.fullmatch(name)
    if match is None or ".." in match[3].split("/"):
        raise WhetstoneError(
            "HUB_ADDRESS",
            f"{name!r} is no address on the Hub.",
            "It looks like this: hf:OWNER/REPO@COMMIT/FILE.safetensors",
        )
    repo, revision, stem = match.groups()
    return HubModel(stem.rpartition("/")[2], repo, revision, f"{stem}.safetensors", f"{stem}.json")


def catalogue() -> dict[str, HubModel]:
    """The models that can be downloaded by name."""
    rows = json.loads(CATALOGUE.read_text(encoding="utf-8"))["models"]
    return {name: HubModel(name, **row) for name, row in rows.items()}


def user_folder() -> Path:
    """Where a user's models are: ``WHETSTONE_MODELS``, or the platform's place for data."""
    if os.environ.get("WHETSTONE_MODELS"):
        return Path(os.environ["WHETSTONE_MODELS"])
    return data_home("Roaming", os.environ, sys.platform, Path.home()) / "models"


def data_home(profile: str, environ: Mapping[str, str], platform: str, home: Path) -> Path:
    """The platform's place for data of Whetstone.

    ``profile`` is for Windows: "Roaming" follows the user to other computers, "Local" does not.
    """
    if platform == "win32":
        variable = {"Roaming": "APPDATA", "Local": "LOCALAPPDATA"}[profile]
        data = environ.get(variable) or home / "AppData" / profile
    elif platform == "darwin":
        data = home / "Library" / "Application Support"
    else:
        data = environ.get("XDG_DATA_HOME") or home / ".local" / "share"
    return Path(data) / "whetstone"


def model_files() -> list[tuple[str, Path]]:
    """(where, path) of the weights of every model that is bundled or in the user's folder."""
    return [
        (where, path)
        for where, folder in (("bundled", BUNDLED), ("user", user_folder()))
        for path in sorted(folder.glob("*.safetensors"))
    ]


def open_model(where: str, path: Path) -> LocalModel:
    """A model by its file; its card is read, its weights are not."""
    return LocalModel(read_card(path.with_suffix(".json")), path, where)


def list_models() -> list[LocalModel]:
    """The bundled models and those in the user's folder, without those whose card is unreadable."""
    found = []
    for where, path in model_files():
        with suppress(WhetstoneError):
            found.append(open_model(where, path))
    return found


def find_local(name: str) -> LocalModel | None:
    """The model on this machine that is called ``name``, or in that file; None if none is."""
    path = Path(name)
    if path.suffix == ".safetensors" or path.name != name:
        if path.suffix != ".safetensors":
            path = path.with_name(f"{path.name}.safetensors")
        if not path.is_file():
            raise WhetstoneError(
                "MODEL_UNKNOWN",
                f"There is no file '{path}'.",
                "Check the path, or see 'whetstone models list'.",
            )
        return open_model("path", path)
    for where, path in model_files():
        if path.stem == name:
            return open_model(where, path)
    return None


def unknown_model(name: str) -> WhetstoneError:
    """The error for a name that no model has."""
    names = list(dict.fromkeys([*(path.stem for _, path in model_files()), *catalogue()]))
    close = difflib.get_close_matches(name, names, 1)
    hint = f"Did you mean {close[0]}? " if close else ""
    have = f"There are: {', '.join(names)}." if names else "There are none yet."
    return WhetstoneError("MODEL_UNKNOWN", f"There is no model called {name!r}.", hint + have)


def choose_model(
    architecture: str, bands: int, ratio: float, sensor: str, unasked: bool = False
) -> tuple[LocalModel, str]:
    """The model of this machine that suits a pair best, and why in one sentence.

    ``unasked`` leaves out models that refuse scenes which are too bright or too unlike their own,
    and keeps models of Landsat and of other sensors apart.
    """
    have = [model for model in list_models() if model.card.architecture == architecture]
    if unasked:
        kinds = ("standard", "percentile")
        have = [
            model
            for model in have
            if model.card.normalisation["kind"] in kinds
            and any(_alike(known, sensor) for known in model.card.sensors or [sensor])
        ]
    fitting = [model for model in have if not _misfit(model.card, bands, ratio)]
    if not fitting:
        names = ", ".join(
            f"{m.name} ({m.card.bands} bands, ratio {m.card.ratio:g})" for m in have[:10]
        )
        raise WhetstoneError(
            "MODEL_MISSING",
            f"No {architecture} model here fits {bands} bands at ratio {ratio:.4g}; "
            f"there {'are: ' + names if have else 'are none'}.",
            "Train one, get one with 'whetstone models download' or 'whetstone models import', or "
            "name one with --model.",
        )

    def badness(model: LocalModel) -> tuple[bool, bool, bool, int, float]:
        card = model.card
        return (
            sensor not in card.sensors,
            card.bands != bands,
            card.bands > bands,
            abs(card.bands - bands),
            abs(ratio / card.ratio - 1),
        )

    best = min(fitting, key=badness)
    return best, describe_fit(best, bands, ratio, sensor)


def _alike(one: str, other: str) -> bool:
    """Whether two sensors see a ground alike: both Landsat or neither, or one is not known."""
    return "generic" in (one, other) or ("landsat" in one) == ("landsat" in other)


def describe_fit(model: LocalModel, bands: int, ratio: float, sensor: str) -> str:
    """How a model suits a pair, in one sentence; refused when it does not."""
    card = model.card
    misfit = _misfit(card, bands, ratio)
    if misfit:
        raise WhetstoneError(
            "MODEL_MISMATCH",
            f"The model {model.name} does not fit: {misfit}.",
            "Name another model; see 'whetstone models list'.",
        )
    said = [f"{card.bands} bands at ratio {card.ratio:g}"]
    if card.sensors:
        trained = f"trained on {', '.join(card.sensors)}"
        said.append(trained if sensor in card.sensors else f"{trained} and not on {sensor}")
    if card.bands != bands:
        said.append(f"the {bands} bands of this image go through it in groups")
    if abs(ratio - card.ratio) > 0.01:
        said.append(f"the ratio of this pair is {ratio:.4g}")
    return f"Model {model.name}: {'; '.join(said)}."


def _misfit(card: Card, bands: int, ratio: float) -> str:
    """Why a model cannot do a pair, "" if it can. One band too few is made up by a repeated one."""
    if card.bands > bands + 1:
        return f"it needs {card.bands} bands, and the image has {bands}"
    if card.normalisation["kind"] == "fixed" and card.bands != bands:
        return f"it was adapted to {card.bands} bands, and the image has {bands}"
    if abs(ratio / card.ratio - 1) > RATIO_TOLERANCE:
        return f"it was trained for ratio {card.ratio:g}, and this pair has {ratio:.4g}"
    return ""
