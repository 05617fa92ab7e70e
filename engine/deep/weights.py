"""Models on disk: ``<name>.safetensors`` beside ``<name>.json``, the card that says what it is."""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import suppress
from dataclasses import MISSING, asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Dict, Optional, Tuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from ..errors import WhetstoneError
from .ssdiff import SSDiff

CARD_VERSION = 1
#: What a card's ``architecture`` may name.
ARCHITECTURES = {"ssdiff": SSDiff}


@dataclass(frozen=True)
class Card:
    """What a model is, how its inputs are made, and where it comes from.

    Attributes:
        name: What users call it.
        architecture: "ssdiff".
        parameters: Keyword arguments of the network.
        bands: Number of MS bands.
        ratio: PAN pixels per MS pixel.
        roles: Band roles in order ("blue", ...), empty when any bands will do.
        sensors: Keys of the sensors it was trained on.
        window: Side of the training patches in PAN pixels; sampling uses windows of this size.
        phase: Where MS pixel 0 lay on the PAN grid of a patch, in PAN pixels.
        normalisation: ``{"kind": "full_scale", "value": DN}`` divides PAN and MS by one number;
            ``{"kind": "percentile", "value": 99.5}`` divides PAN and each band by that percentile
            of the scene's own values.
        limits: Range of a normalised image, (low, high), None for open.
        residual_scale: What the residual is multiplied by before it is diffused (spec §3.3).
        schedule: ``{"kind": "cosine" | "linear", "timesteps": T}``.
        steps: Sampling steps to use unless the user says otherwise.
        training: Data, config, command, iterations ... of the training.
        licence: Of the weights, and of the data as far as known.
        scores: Figures by scene or sensor.
        sha256: Of the safetensors file.
    """

    name: str
    architecture: str
    parameters: Dict[str, Any]
    bands: int
    ratio: int
    roles: Tuple[str, ...] = ()
    sensors: Tuple[str, ...] = ()
    window: int = 64
    phase: float = 1.5
    normalisation: Dict[str, Any] = field(
        default_factory=lambda: {"kind": "full_scale", "value": 2047.0}
    )
    limits: Tuple[Optional[float], Optional[float]] = (0.0, 1.0)
    residual_scale: float = 1.0
    schedule: Dict[str, Any] = field(
        default_factory=lambda: {"kind": "cosine", "timesteps": 1000}
    )
    steps: int = 10
    training: Dict[str, Any] = field(default_factory=dict)
    licence: str = ""
    scores: Dict[str, Any] = field(default_factory=dict)
    sha256: str = ""

    def to_json(self) -> str:
        """The card as people and programs read it."""
        return json.dumps({"whetstone_model": CARD_VERSION, **asdict(self)}, indent=1) + "\n"


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
        return make(**card.parameters)
    except (TypeError, ValueError) as error:
        raise WhetstoneError(
            "MODEL_INVALID", f"The card of {card.name!r} does not fit: {error}."
        ) from None


def save_model(path: str | os.PathLike[str], network: nn.Module, card: Card) -> Card:
    """Write weights and card; both appear only when complete. Returns the card with its hash."""
    target = Path(path)
    tensors = {k: v.detach().cpu().contiguous() for k, v in network.state_dict().items()}
    part = target.with_name(target.name + ".part")
    card_part = target.with_name(target.name + ".card.part")
    try:
        save_file(tensors, part, metadata={"format": "pt"})
        card = Card(**{**_values(card), "sha256": file_hash(part)})
        card_part.write_text(card.to_json(), encoding="utf-8")
        os.replace(part, target)
        os.replace(card_part, target.with_suffix(".json"))
    except OSError as error:
        raise WhetstoneError(
            "MODEL_WRITE", f"'{target}' could not be written: {error.strerror or error}."
        ) from None
    finally:
        for leftover in (part, card_part):
            with suppress(OSError):
                leftover.unlink()
    return card


def _values(card: Card) -> dict[str, Any]:
    return {f.name: getattr(card, f.name) for f in fields(Card)}


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
            "MODEL_CARD", f"The model card '{path}' cannot be read: {error.strerror}."
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
    known = {f.name for f in fields(Card)}
    needed = {
        f.name for f in fields(Card) if f.default is MISSING and f.default_factory is MISSING
    }
    wrong = sorted((set(data) - known) | (needed - set(data)))
    if wrong:
        raise WhetstoneError("MODEL_CARD", f"The model card '{path}' has wrong keys: {wrong}.")
    for key in ("roles", "sensors", "limits"):
        if key in data:
            data[key] = tuple(data[key])
    return Card(**data)


def load_weights(path: Path, card: Card, network: nn.Module) -> None:
    """Put the tensors of a safetensors file into a network; the first that does not fit is named."""
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
    for name, want in network.state_dict().items():
        found = tensors.pop(name, None)
        if found is None or found.shape != want.shape:
            has = "missing" if found is None else f"of shape {tuple(found.shape)}"
            raise WhetstoneError(
                "MODEL_INVALID",
                f"'{path}': the tensor {name} is {has}, it must be {tuple(want.shape)}.",
            )
        with torch.no_grad():
            want.copy_(found)
    if tensors:
        raise WhetstoneError("MODEL_INVALID", f"'{path}': the tensor {min(tensors)} is unknown.")
