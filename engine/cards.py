"""Model cards: what a model is, how its inputs are made, and where it comes from.

A model is ``<name>.safetensors`` with its card ``<name>.json`` beside it. Cards are read without
torch, so that QGIS can list and choose models.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import MISSING, asdict, dataclass, field, fields
from math import inf, lcm
from typing import (
    TYPE_CHECKING,
    Any,
    Callable,
    Dict,
    Optional,
    Tuple,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from .errors import WhetstoneError

if TYPE_CHECKING:
    from pathlib import Path

CARD_VERSION = 1
_DIGEST = "sha256:"
#: What a card's ``architecture`` may name, and what the sides of its windows are multiples of.
STRIDES = {"ssdiff": 4, "crossdiff": 8}
#: Where the statistics of CrossDiff's norms and gates may come from: the scene, each window, or the
#: model, which is frozen at those of the scene it was adapted to.
STATISTICS = ("scene", "window", "model")
#: What a model adds its residual to, and sees in place of the LMS: that itself, or MTF-GLP-FS.
BASES = ("lms", "glp")
#: What a card does not say because it means nothing to the architecture.
_FOREIGN = {
    "ssdiff": ("statistics",),
    "crossdiff": ("phase", "residual_scale", "steps", "start"),
}


@dataclass(frozen=True)
class Card:
    """What a model is, how its inputs are made, and where it comes from.

    Attributes:
        name: What users call it.
        architecture: "ssdiff" or "crossdiff".
        parameters: Keyword arguments of the network.
        bands: Number of MS bands.
        ratio: PAN pixels per MS pixel; whole for SSDiff.
        roles: Band roles in order ("blue", ...), empty when any bands will do.
        sensors: Keys of the sensors it was trained on.
        window: Side of the training patches in PAN pixels; sampling uses windows of this size.
        phase: Where MS pixel 0 lay on the PAN grid of a patch, in PAN pixels.
        normalisation: ``{"kind": "full_scale", "value": DN}`` divides PAN and MS by one number;
            ``{"kind": "percentile", "value": 99.5}`` divides PAN and each band by that percentile
            of the scene's own values; ``{"kind": "standard", ...}`` gives each mean 0 and
            deviation 1; ``{"kind": "fixed", "pan": [offset, divisor], "ms": [[offset, divisor],
            ...]}`` treats every scene like the one the model was adapted to.
        base: What the network gets for the LMS, see BASES and ``deep.presharpen``.
        limits: Range of a normalised image, (low, high), None for open.
        residual_scale: What the residual is multiplied by before it is diffused (spec §3.3).
        schedule: ``{"kind": "cosine" | "linear", "timesteps": T}``; with ``"spacing": "trailing"``
            few steps start at the top of it, as models of large ``residual_scale`` need.
        steps: Sampling steps to use unless the user says otherwise (SSDiff).
        start: What sampling starts from: "noise", or "zero" for a one-step student (SSDiff).
        statistics: Where those of norms and gates come from (CrossDiff), see STATISTICS.
        training: Data, config, command, iterations ... of the training.
        licence: Of the weights, and of the data as far as known.
        scores: Figures by scene or sensor.
        sha256: Of the safetensors file.
    """

    name: str
    architecture: str
    parameters: Dict[str, Any]
    bands: int
    ratio: float
    roles: Tuple[str, ...] = ()
    sensors: Tuple[str, ...] = ()
    window: int = 64
    phase: float = 1.5
    normalisation: Dict[str, Any] = field(
        default_factory=lambda: {"kind": "full_scale", "value": 2047.0}
    )
    base: str = "lms"
    limits: Tuple[Optional[float], Optional[float]] = (0.0, 1.0)
    residual_scale: float = 1.0
    schedule: Dict[str, Any] = field(default_factory=lambda: {"kind": "cosine", "timesteps": 1000})
    steps: int = 10
    start: str = "noise"
    statistics: str = "scene"
    training: Dict[str, Any] = field(default_factory=dict)
    licence: str = ""
    scores: Dict[str, Any] = field(default_factory=dict)
    sha256: str = ""

    def to_json(self) -> str:
        """The card as people and programs read it."""
        data = {"whetstone_model": CARD_VERSION, **_digests(asdict(self), _named)}
        for key in _FOREIGN.get(self.architecture, ()):
            del data[key]
        return json.dumps(data, indent=1) + "\n"


def _named(digest: str) -> str:
    """A digest with its name, or scanners take it for a secret."""
    return digest and f"{_DIGEST}{digest}"


def _bare(digest: str) -> str:
    """A digest without its name."""
    return digest.rpartition(_DIGEST)[2]


def _digests(data: Dict[str, Any], change: Callable[[str], str]) -> Dict[str, Any]:
    """The data with its SHA-256 digests, at any depth, changed."""
    found = {}
    for key, value in data.items():
        if isinstance(value, dict):
            value = _digests(value, change)
        elif key == "sha256" and isinstance(value, str):
            value = change(value)
        found[key] = value
    return found


def file_hash(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def read_card(path: Path) -> Card:
    """The card in a JSON file; what it does not know is refused in words."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise WhetstoneError(
            "MODEL_CARD",
            f"The model card '{path}' cannot be read: {error.strerror}.",
            "A model is NAME.safetensors with its card NAME.json beside it; "
            "'whetstone models import' makes both from a checkpoint.",
        ) from None
    except ValueError as error:
        raise WhetstoneError(
            "MODEL_CARD", f"The model card '{path}' is not JSON: {error}."
        ) from None
    if not isinstance(data, dict) or data.pop("whetstone_model", None) != CARD_VERSION:
        raise WhetstoneError(
            "MODEL_CARD",
            f"'{path}' is not a model card of version {CARD_VERSION}.",
            "Update Whetstone, or import the weights again.",
        )
    needed = {f.name for f in fields(Card) if f.default is MISSING and f.default_factory is MISSING}
    hints = get_type_hints(Card)
    wrong = sorted((set(data) - set(hints)) | (needed - set(data)))
    if wrong:
        raise WhetstoneError(
            "MODEL_CARD",
            f"The model card '{path}' has unknown or missing keys: {', '.join(wrong)}.",
        )
    for key, value in data.items():
        suits = _suits(value, hints[key])
        if not suits or (key in ("bands", "ratio", "window", "steps") and not 1 <= value < inf):
            raise WhetstoneError(
                "MODEL_CARD",
                f"The model card '{path}' cannot have {key} {json.dumps(value)[:80]}.",
            )
        if isinstance(value, list):
            data[key] = tuple(value)
    card = Card(**_digests(data, _bare))
    for key, good in _MEANINGS.items():
        if not _makes_sense(good, card):
            raise WhetstoneError(
                "MODEL_CARD",
                f"The model card '{path}' cannot have {key} {json.dumps(getattr(card, key))[:80]}.",
            )
    return card


def _makes_sense(good: Callable[[Card], bool], card: Card) -> bool:
    """Values of a wrong kind inside a dictionary make no sense either."""
    try:
        return good(card)
    except (TypeError, ValueError, KeyError, AttributeError, IndexError, ArithmeticError):
        return False


def _scales(card: Card) -> bool:
    kind, value = card.normalisation.get("kind"), card.normalisation.get("value")
    if kind == "fixed":
        pairs = [card.normalisation.get("pan"), *(card.normalisation.get("ms") or [])]
        numbers = Tuple[float, float]
        sound = all(_suits(pair, numbers) and pair[1] > 0 for pair in pairs)
        return sound and len(pairs) == 1 + card.bands
    scaled = kind in ("full_scale", "percentile")
    return kind == "standard" or (scaled and isinstance(value, (int, float)) and value > 0)


def _schedules(card: Card) -> bool:
    from .deep.schedule import SCHEDULES, SPACINGS  # numpy is not needed to list models

    known = card.schedule.get("kind") in SCHEDULES
    known = known and card.schedule.get("spacing", "leading") in SPACINGS
    return known and type(card.schedule.get("timesteps")) is int


#: Which values of a card mean something; windows must lie on the grids of the MS and the network.
_MEANINGS: Dict[str, Callable[[Card], bool]] = {
    "normalisation": _scales,
    "schedule": _schedules,
    "base": lambda card: card.base in BASES,
    "start": lambda card: card.start in ("noise", "zero"),
    "statistics": lambda card: card.statistics in STATISTICS,
    "ratio": lambda card: card.architecture != "ssdiff" or card.ratio == round(card.ratio),
    "window": lambda card: card.window % step_of(card.architecture, card.ratio) == 0,
    "parameters": lambda card: (
        card.architecture != "crossdiff"
        or card.normalisation["kind"] == "fixed"
        or card.parameters.get("centred", False) == (card.normalisation["kind"] == "standard")
    ),
}


def step_of(architecture: str, ratio: float) -> int:
    """What the sides of a network's windows must be multiples of, in PAN pixels."""
    stride = STRIDES.get(architecture, 1)
    return stride if architecture == "crossdiff" else lcm(stride, round(ratio))


def _suits(value: Any, hint: Any) -> bool:
    """Whether a value from JSON has the type of a field."""
    kind, parts = get_origin(hint) or hint, get_args(hint)
    if kind is Union:
        return any(_suits(value, option) for option in parts)
    if kind is tuple and isinstance(value, list):
        each = [parts[0]] * len(value) if parts[-1] is Ellipsis else list(parts)
        return len(each) == len(value) and all(map(_suits, value, each))
    return type(value) in ((int, float) if kind is float else (kind,))
