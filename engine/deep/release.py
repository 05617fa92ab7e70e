"""Import of checkpoints: in the key layouts of the authors of SSDiff and CrossDiff, or in ours."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Sequence

from torch import nn

from ..cards import Card, read_card
from ..errors import WhetstoneError
from ..sensors import SENSORS
from . import release_crossdiff, release_ssdiff
from .checkpoint import Checkpoint, read_checkpoint
from .weights import build_network, put_model, save_model

#: What both authors' codes divide images of every sensor by.
FULL_SCALE = 2047.0
#: PAN pixels per MS pixel in the published data of CrossDiff.
RATIO = 4.0
#: Modules of our own networks.
_OWN = {
    *release_ssdiff.RELEASE.values(),
    *(f"{part}.{ours}" for part in ("p2m", "m2p") for ours in release_crossdiff.UNET.values()),
    *(f"head.{ours}" for ours in release_crossdiff.HEAD.values()),
}


def import_checkpoint(
    sources: Sequence[Path],
    out: Path,
    sensor: str = "",
    full_scale: float = FULL_SCALE,
    ratio: float = RATIO,
    timesteps: Sequence[int] = (),
) -> Card:
    """Write checkpoints as the model ``out`` and its card; returns the card.

    Args:
        sources: The checkpoint of SSDiff; or P2M, M2P and head of CrossDiff in any order (with one
            band, where they look alike, P2M before M2P); or one file in our layout with its card
            beside it, which then says all that follows.
        out: What to write, ``.safetensors``.
        sensor: A key of the sensor table, "" if unknown.
        full_scale: What the training images were divided by, in DN.
        ratio: PAN pixels per MS pixel of the training images (CrossDiff; SSDiff's weights say it).
        timesteps: At which CrossDiff's head takes features, 1 to 1000; none for 50.
    """
    files = [read_checkpoint(source) for source in sources]
    network: nn.Module
    if len(files) > 1 or release_crossdiff.is_part(files[0]):
        network, card = release_crossdiff.from_release(files, ratio, timesteps)
    elif files[0].modules & release_ssdiff.RELEASE.keys():
        network, card = release_ssdiff.from_release(files[0])
    elif files[0].modules & _OWN:
        return _import_own(files[0], out)
    else:
        raise WhetstoneError(
            "MODEL_INVALID",
            f"'{files[0].path}' is no checkpoint of SSDiff or CrossDiff: the tensor "
            f"{next(iter(files[0].tensors))} is unknown, as are all {len(files[0].tensors)}.",
            "Give a checkpoint of the authors' code.",
        )
    roles = SENSORS[sensor].order(card.bands) if sensor else ()
    card = replace(
        card,
        name=out.stem,
        roles=roles if all(roles) else (),
        sensors=(sensor,) if sensor else (),
        normalisation={"kind": "full_scale", "value": full_scale},
        licence="unknown: ask the authors of the checkpoint",
    )
    return save_model(out, network, card)


def _import_own(file: Checkpoint, out: Path) -> Card:
    """Weights in our own layout: only the card beside them knows how their inputs are scaled."""
    beside = file.path.with_suffix(".json")
    if not beside.is_file():
        raise WhetstoneError(
            "MODEL_CARD",
            f"'{file.path}' has Whetstone's own layout, but no card '{beside.name}' beside it says "
            "how its inputs are scaled.",
            "Use the model that the training wrote; it needs no import.",
        )
    card = read_card(beside)
    network = build_network(card)
    put_model(network, card, file.tensors, file.path)
    training = {**card.training, **file.origin()}
    return save_model(out, network, replace(card, name=out.stem, training=training))
