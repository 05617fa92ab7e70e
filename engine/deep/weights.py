"""The weights of a model on disk, and its network with them in place."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Callable, Dict, Mapping

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from ..cards import Card, file_hash, read_card
from ..errors import WhetstoneError
from . import crossdiff, ssdiff
from .device import pick_device
from .statistics import freeze_at, frozen_tensors, statistics

#: The networks of the architectures.
ARCHITECTURES: Dict[str, Callable[..., nn.Module]] = {
    "ssdiff": ssdiff.SSDiff,
    "crossdiff": crossdiff.CrossDiff,
}


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
