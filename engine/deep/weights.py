"""Models on disk: ``<name>.safetensors`` beside ``<name>.json``, the card that says what it is."""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import suppress
from dataclasses import MISSING, asdict, dataclass, field, fields, replace
from math import lcm
from pathlib import Path
from typing import (
    Any,
    Callable,
    Dict,
    Mapping,
    Optional,
    Tuple,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from ..errors import WhetstoneError
from . import crossdiff, ssdiff
from .device import pick_device
from .schedule import SCHEDULES, SPACINGS
from .statistics import freeze_at, frozen_tensors, statistics

CARD_VERSION = 1
#: What a card's ``architecture`` may name.
ARCHITECTURES: Dict[str, Callable[..., nn.Module]] = {
    "ssdiff": ssdiff.SSDiff,
    "crossdiff": crossdiff.CrossDiff,
}
#: Where the statistics of CrossDiff's norms and gates may come from: the scene, each window, or the
#: model, which is frozen at those of the scene it was adapted to.
STATISTICS = ("scene", "window", "model")


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
        data = {"whetstone_model": CARD_VERSION, **asdict(self)}
        for key in _FOREIGN.get(self.architecture, ()):
            del data[key]
        return json.dumps(data, indent=1) + "\n"


@dataclass(frozen=True)
class Model:
    """A network with its card, ready to use on ``device``."""

    card: Card
    network: nn.Module
    device: torch.device


def build_network(card: Card) -> nn.Module:
    """The network of a card, with fresh weights."""
    make = ARCHITECTURES.get(card.architecture)
    if make is None:
        raise WhetstoneError(
            "MODEL_INVALID",
            f"The model {card.name!r} has the architecture {card.architecture!r}.",
            f"This version knows {', '.join(ARCHITECTURES)}.",
        )
    try:
        network = make(**card.parameters)
    except (TypeError, ValueError) as error:
        raise WhetstoneError(
            "MODEL_INVALID", f"The card of {card.name!r} does not fit: {error}."
        ) from None
    for key in ("bands", "ratio"):
        stated = getattr(card, key)
        built = getattr(network, key, stated)  # CrossDiff takes any ratio
        if stated != built:
            raise WhetstoneError(
                "MODEL_INVALID",
                f"The card of {card.name!r} says {key} {stated}, its parameters say {built}.",
            )
    return network


def save_model(path: str | os.PathLike[str], network: nn.Module, card: Card) -> Card:
    """Write weights and card; both appear only when complete. Returns the card with its hash."""
    target = Path(path)
    values = {**network.state_dict(), **(frozen_tensors(network) if frozen(card) else {})}
    tensors = {k: v.detach().cpu().contiguous() for k, v in values.items()}
    part = target.with_name(target.name + ".part")
    card_part = target.with_name(target.name + ".card.part")
    try:
        part.write_bytes(save(tensors, metadata={"format": "pt"}))
        card = replace(card, sha256=file_hash(part))
        card_part.write_text(card.to_json(), encoding="utf-8")
        os.replace(card_part, target.with_suffix(".json"))
        os.replace(part, target)  # last: models are found by their weights
    except OSError as error:
        raise WhetstoneError(
            "MODEL_WRITE", f"'{target}' could not be written: {error.strerror or error}."
        ) from None
    finally:
        for leftover in (part, card_part):
            with suppress(OSError):
                leftover.unlink()
    return card


def frozen(card: Card) -> bool:
    """Whether a model's statistics are its own, and lie beside its weights."""
    return card.architecture == "crossdiff" and card.statistics == "model"


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
        if not suits or (key in ("bands", "ratio", "window", "steps") and value < 1):
            raise WhetstoneError(
                "MODEL_CARD",
                f"The model card '{path}' cannot have {key} {json.dumps(value)[:80]}.",
            )
        if isinstance(value, list):
            data[key] = tuple(value)
    card = Card(**data)
    for key, good in _MEANINGS.items():
        if not good(card):
            raise WhetstoneError(
                "MODEL_CARD",
                f"The model card '{path}' cannot have {key} {json.dumps(getattr(card, key))[:80]}.",
            )
    return card


def _scales(card: Card) -> bool:
    kind, value = card.normalisation.get("kind"), card.normalisation.get("value")
    if kind == "fixed":
        pairs = [card.normalisation.get("pan"), *(card.normalisation.get("ms") or [])]
        numbers = Tuple[float, float]
        sound = all(_suits(pair, numbers) and pair[1] > 0 for pair in pairs)
        return sound and len(pairs) == 1 + card.bands
    scaled = kind in ("full_scale", "percentile")
    return kind == "standard" or (scaled and isinstance(value, (int, float)) and value > 0)


#: Which values of a card mean something; windows must lie on the grids of the MS and the network.
_MEANINGS: Dict[str, Callable[[Card], bool]] = {
    "normalisation": _scales,
    "schedule": lambda card: (
        card.schedule.get("kind") in SCHEDULES
        and card.schedule.get("spacing", "leading") in SPACINGS
        and type(card.schedule.get("timesteps")) is int
    ),
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
    return crossdiff.STRIDE if architecture == "crossdiff" else lcm(ssdiff.STRIDE, round(ratio))


def _suits(value: Any, hint: Any) -> bool:
    """Whether a value from JSON has the type of a field."""
    kind, parts = get_origin(hint) or hint, get_args(hint)
    if kind is Union:
        return any(_suits(value, option) for option in parts)
    if kind is tuple and isinstance(value, list):
        each = [parts[0]] * len(value) if parts[-1] is Ellipsis else list(parts)
        return len(each) == len(value) and all(map(_suits, value, each))
    return type(value) in ((int, float) if kind is float else (kind,))


def load_weights(path: Path, card: Card, network: nn.Module) -> None:
    """Put the tensors of a model's file into its network; its hash must be that of the card."""
    try:
        if card.sha256 and file_hash(path) != card.sha256:
            raise WhetstoneError(
                "MODEL_DAMAGED",
                f"'{path}' is not the file its card describes (SHA-256 differs).",
                "Download or import it again.",
            )
        tensors = load_file(path)
    except (OSError, SafetensorError) as error:
        raise WhetstoneError(
            "MODEL_DAMAGED", f"'{path}' is no sound safetensors file: {error}."
        ) from None
    put_model(network, card, tensors, path)


def put_model(network: nn.Module, card: Card, tensors: Mapping[str, Tensor], path: Path) -> None:
    """Copy the tensors of a model of our own into its network, statistics as well as weights."""
    rest = freeze_at(network, tensors) if frozen(card) else tensors
    put_tensors(network, rest, path)
    if frozen(card) and not any(layer.frozen for layer in statistics(network)):
        raise WhetstoneError("MODEL_INVALID", f"'{path}' lacks the statistics its card promises.")


def put_tensors(
    network: nn.Module,
    tensors: Mapping[str, Tensor],
    path: Path,
    name_in_file: Callable[[str], str] = str,
) -> None:
    """Copy tensors into a network, all or none; the first that does not fit is named."""
    own = network.state_dict()
    for name, want in own.items():
        found = tensors.get(name)
        if found is None:
            trouble = "is missing"
        elif found.shape != want.shape:
            trouble = f"has the shape {tuple(found.shape)}"
        elif found.is_floating_point() != want.is_floating_point():
            trouble = f"has the type {found.dtype}"
        elif not bool(found.isfinite().all()):
            trouble = "has values that are not finite"
        else:
            continue
        raise WhetstoneError(
            "MODEL_INVALID",
            f"'{path}': the tensor {name_in_file(name)} {trouble}; "
            f"it must be {tuple(want.shape)}, {str(want.dtype).replace('torch.', '')}.",
        )
    unknown = next((name for name in tensors if name not in own), None)
    if unknown is not None:
        raise WhetstoneError("MODEL_INVALID", f"'{path}': the tensor {unknown} is unknown.")
    with torch.no_grad():
        for name, want in own.items():
            want.copy_(tensors[name])


def read_model(path: Path, device: str | torch.device = "cpu") -> Model:
    """The model in ``path`` and the card beside it: float32, in eval mode, on ``device``."""
    card = read_card(path.with_suffix(".json"))
    network = build_network(card)
    load_weights(path, card, network)
    where = pick_device(device) if isinstance(device, str) else device
    for layer in statistics(network):
        layer.move(where)
    return Model(card, network.to(where).eval(), where)
