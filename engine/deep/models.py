"""Where models are found: a path, the bundled ones, the user's folder, the Hugging Face Hub."""

from __future__ import annotations

import difflib
import os
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import WhetstoneError
from ..types import Progress
from . import hub
from .weights import Card, Model, read_card, read_model

if TYPE_CHECKING:
    import torch

BUNDLED = Path(__file__).resolve().parents[2] / "resources" / "models"
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


def load_model(name_or_path: str | os.PathLike[str], device: str | torch.device = "cpu") -> Model:
    """The model called so, ready to use: float32, in eval mode, on ``device``."""
    return read_model(find_model(os.fspath(name_or_path)).path, device)


def user_folder() -> Path:
    """Where a user's models are: ``WHETSTONE_MODELS``, or the platform's place for data."""
    if os.environ.get("WHETSTONE_MODELS"):
        return Path(os.environ["WHETSTONE_MODELS"])
    home = Path.home()
    if sys.platform == "win32":
        data = os.environ.get("APPDATA") or home / "AppData" / "Roaming"
    elif sys.platform == "darwin":
        data = home / "Library" / "Application Support"
    else:
        data = os.environ.get("XDG_DATA_HOME") or home / ".local" / "share"
    return Path(data) / "whetstone" / "models"


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


def find_model(name: str, progress: Progress | None = None) -> LocalModel:
    """The model called ``name``; what only the Hub has is downloaded. Unknown names are refused."""
    wanted = hub.address(name)
    found = None if wanted else find_local(name)
    if found is not None:
        return found
    wanted = wanted or hub.catalogue().get(name)
    if wanted is None:
        raise unknown_model(name)
    return fetch_model(wanted, progress or Progress())


def download_model(name: str, progress: Progress) -> LocalModel:
    """Get a model of the catalogue, or ``hf:OWNER/REPO@COMMIT/FILE.safetensors``, from the Hub."""
    wanted = hub.address(name) or hub.catalogue().get(name)
    if wanted is not None:
        return fetch_model(wanted, progress)
    here = next((where for where, path in model_files() if path.stem == name), None)
    if here is None:
        raise unknown_model(name)
    raise WhetstoneError(
        "MODEL_LOCAL",
        f"The model {name!r} is on this machine already, and the Hub's catalogue has none of "
        "this name.",
    )


def fetch_model(wanted: hub.HubModel, progress: Progress) -> LocalModel:
    """Download a model of the Hub into the user's folder."""
    return open_model("user", hub.download(wanted, user_folder(), progress))


def unknown_model(name: str) -> WhetstoneError:
    """The error for a name that no model has."""
    names = list(dict.fromkeys([*(path.stem for _, path in model_files()), *hub.catalogue()]))
    close = difflib.get_close_matches(name, names, 1)
    hint = f"Did you mean {close[0]}? " if close else ""
    have = f"There are: {', '.join(names)}." if names else "There are none yet."
    return WhetstoneError("MODEL_UNKNOWN", f"There is no model called {name!r}.", hint + have)


def choose_model(
    architecture: str, bands: int, ratio: float, sensor: str
) -> tuple[LocalModel, str]:
    """The model of this machine that suits a pair best, and why in one sentence."""
    have = [model for model in list_models() if model.card.architecture == architecture]
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
