"""Checkpoints of CrossDiff in the key layout of its authors' code: P2M, M2P and fusion head."""

from __future__ import annotations

import re
from typing import Any, Sequence

import numpy as np

from ..cards import Card
from ..errors import WhetstoneError
from .checkpoint import Checkpoint
from .crossdiff import FEATURE_TIMESTEPS, WIDTHS, CrossDiff
from .schedule import TIMESTEPS, cosine

#: Our units, and the release's time layer, norm and convolution of each (spec §2.1).
_UNITS = """
down.0  res3.dense1.dense   res3.groupnorm1   res3.conv20
down.1  down1.dense1.dense  down1.groupnorm1  down1.conv20
down.2  down2.dense1.dense  down2.groupnorm1  down2.conv20
up.0    up1.dense1.dense    up1.groupnorm1    up1.conv20
up.1    dense2.dense        groupnorm2        up2
up.2    dense3.dense        groupnorm3        up3
merge   dense4.dense        groupnorm4        final1
out     dense5.dense        groupnorm5        final2
"""
#: Modules of the release and ours, for either U-Net and for the head.
UNET = {
    "denoise_fn.embed.0": "time",
    "denoise_fn.conv1": "stem",
    **{
        f"denoise_fn.{theirs}": f"{unit}.{layer}"
        for unit, *three in (line.split() for line in _UNITS.split("\n") if line)
        for layer, theirs in zip(("time", "norm", "conv"), three, strict=True)
    },
}
HEAD = {
    **{f"decoder.{2 * k}.block.0": f"block.{k}" for k in range(4)},
    **{
        f"decoder.{2 * k + 1}.block.{theirs}": f"attention.{k}.{ours}"
        for k in range(3)
        for theirs, ours in (
            ("0", "conv"),
            ("2.cSE.fc1", "fc1"),
            ("2.cSE.fc2", "fc2"),
            ("2.sSE.conv", "spatial"),
        )
    },
    "final": "conv1",
    "final2": "conv2",
}
#: The schedule beside a U-Net; ours is computed.
_SCHEDULE = re.compile(
    r"(betas|(sqrt_|sqrt_one_minus_|log_one_minus_)?alphas_cumprod(_prev)?"
    r"|sqrt_recip(m1)?_alphas_cumprod_1|posterior_(variance|log_variance_clipped|mean_coef[12]))$"
)
#: Modules that only the first generation of the authors' networks has (spec §2.5).
_FIRST_GENERATION = re.compile(r"denoise_fn\.(conv3|res1|res4)\.|(up[234]|res[12]|backbone)\.")
#: What tells the three from other files; other networks have a "final", too.
_MARKS = {*UNET, *(theirs for theirs in HEAD if theirs.startswith("decoder."))}
PARTS = ("P2M", "M2P", "head")


def is_part(file: Checkpoint) -> bool:
    """Whether a file is one of the three, of either generation."""
    return bool(file.modules & _MARKS)


def from_release(
    files: Sequence[Checkpoint], ratio: float, timesteps: Sequence[int]
) -> tuple[CrossDiff, Card]:
    """The network in three checkpoints of the authors' code, and what they say for its card.

    Args:
        files: P2M, M2P and head in any order. With one band nothing tells the U-Nets apart, and
            the first of them is P2M.
        ratio: Of the training data.
        timesteps: Of the features, 1 to 1000, in the order of the training; none for those of the
            authors' configurations if the head takes one.
    """
    parts = _parts(files)
    p2m, m2p, head = (parts[part] for part in PARTS)
    for file in (p2m, m2p):
        _check_schedule(file)
    counts = {part: _bands(file) for part, file in parts.items()}
    bands = counts["P2M"]
    if set(counts.values()) != {bands}:
        found = ", ".join(f"{part} '{parts[part].path}' {counts[part]}" for part in PARTS)
        raise WhetstoneError(
            "MODEL_PARTS", f"The checkpoints are of different models. Their bands: {found}."
        )
    parameters: dict[str, Any] = {
        "bands": bands,
        "timesteps": _timesteps(head, timesteps),
        "finest_level": "reference",
        "gate": "leaky",
    }
    network = CrossDiff(**parameters)
    p2m.put_into(network.p2m, UNET, _SCHEDULE)
    m2p.put_into(network.m2p, UNET, _SCHEDULE)
    head.put_into(network.head, HEAD)
    training: dict[str, dict[str, str]] = {}
    for part in PARTS:
        for key, value in parts[part].origin().items():
            training.setdefault(key, {})[part] = value
    card = Card(
        name=head.path.stem,
        architecture="crossdiff",
        parameters=parameters,
        bands=bands,
        ratio=ratio,
        window=256,
        statistics="scene",
        training=training,
    )
    return network, card


def _parts(files: Sequence[Checkpoint]) -> dict[str, Checkpoint]:
    """The files by what they are, each part once."""
    named: list[tuple[str, Checkpoint]] = []
    for file in files:
        if not is_part(file):
            raise WhetstoneError(
                "MODEL_INVALID",
                f"'{file.path}' is no CrossDiff checkpoint: of its {len(file.tensors)} tensors the "
                f"first is {next(iter(file.tensors))}.",
                "Give P2M, M2P and head as the authors' code saves them.",
            )
        first = next(filter(_FIRST_GENERATION.match, file.tensors), None)
        if first is not None:
            raise WhetstoneError(
                "MODEL_INVALID",
                f"'{file.path}' is of the first generation of CrossDiff's networks ({first}); "
                "only the second can be imported.",
                "Train it again with pan_ms_v2, ms_pan_v2 and fusionnet_2 of the authors' code.",
            )
        named.append((_part(file, [part for part, _ in named]), file))
    parts = dict(named)
    if len(named) != len(PARTS) or len(parts) != len(PARTS):
        given = ", ".join(f"{part} ('{file.path}')" for part, file in named)
        raise WhetstoneError(
            "MODEL_PARTS",
            f"A CrossDiff model is three checkpoints: P2M, M2P and head. Given: {given}.",
            "Give each of them once.",
        )
    return parts


def _part(file: Checkpoint, before: Sequence[str]) -> str:
    """Which part a file is; the U-Nets differ in how many bands they estimate."""
    if not file.modules & UNET.keys():
        return "head"
    bands = _bands(file)
    estimated = file.shape(
        "denoise_fn.final2.weight",
        f"({bands} for P2M or 1 for M2P, {WIDTHS[0] + bands + 1}, 3, 3)",
        lambda s: s[0] in (bands, 1),
    )[0]
    if bands == 1:
        return "M2P" if "P2M" in before else "P2M"
    return "P2M" if estimated == bands else "M2P"


def _bands(file: Checkpoint) -> int:
    """MS bands of a part, by its first or its last convolution."""
    if not file.modules & UNET.keys():
        return file.shape("final2.weight", f"(bands, {WIDTHS[0]}, 3, 3)", lambda s: True)[0]
    rule = f"({WIDTHS[0]}, bands + 1, 3, 3)"
    return file.shape("denoise_fn.conv1.weight", rule, lambda s: s[1] > 1)[1] - 1


def _check_schedule(file: Checkpoint) -> None:
    """Refuse a U-Net that learnt with another schedule than ours."""
    if "betas" not in file.tensors:
        return
    alpha_bar = np.append(1.0, cosine(TIMESTEPS))
    betas = 1 - alpha_bar[1:] / alpha_bar[:-1]
    found = file.tensors["betas"].flatten().double().numpy()
    if found.shape == betas.shape and np.allclose(found, betas, rtol=1e-5, atol=0):
        return
    low, high = min(found, default=0), max(found, default=0)
    raise WhetstoneError(
        "MODEL_INVALID",
        f"'{file.path}' was trained with another noise schedule: {len(found)} betas from {low:.4g} "
        f"to {high:.4g}; it must be the cosine schedule, {len(betas)} betas from {betas[0]:.4g} to "
        f"{betas[-1]:.4g}.",
    )


def _timesteps(head: Checkpoint, given: Sequence[int]) -> list[int]:
    """The timesteps of the features, as many as the head takes."""
    width = 2 * WIDTHS[-1]
    taken = head.shape(
        "decoder.0.block.0.weight",
        f"({width}, {width} x timesteps, 3, 3)",
        lambda s: s[0] == width and s[1] % width == 0,
    )[1]
    count, timesteps = taken // width, list(given or FEATURE_TIMESTEPS)
    if len(timesteps) != count:
        raise WhetstoneError(
            "TIMESTEPS",
            f"Timesteps whose features '{head.path}' takes: {count}; given: {len(given)}.",
            f"Give those of its training: --timesteps{' T' * count}",
        )
    return timesteps
