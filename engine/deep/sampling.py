"""Sampling windows: from PAN, LMS and MS of a batch to sharpened images, by any of the samplers.

Arrays to arrays, with the noise as an argument: nothing here knows scenes or files.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Callable, ContextManager, NamedTuple, Sequence

import torch
from torch import Tensor

from ..errors import WhetstoneError
from ..jobs import SAMPLERS
from .residual import compat, consistent
from .samplers import ddim, ddpm, dpmpp_2m
from .schedule import SCHEDULES, SPACINGS, uniform_in_logsnr

if TYPE_CHECKING:
    from ..cards import Card
    from ..types import Array
    from .weights import Model

    #: Standard normal noise [n,C,H,W]: 0 is the start state, i what the i-th step adds.
    Noise = Callable[[int], Tensor]


@dataclass(frozen=True)
class Settings:
    """How to sample; ``steps`` 0 and ``batch`` 0 leave the choice to the model and the machine.

    ``steps``, ``sampler`` and ``batch`` are for SSDiff; ``noise`` ("zero" or "fixed"),
    ``statistics`` ("" for the model's own) and ``reference`` (the arithmetic of the authors'
    release) for CrossDiff.
    """

    steps: int = 0
    sampler: str = "ddim"
    seed: int = 0
    samples: int = 1
    precision: str = "auto"
    batch: int = 0
    threads: int = 1
    consistency: bool = False
    noise: str = "zero"
    statistics: str = ""
    reference: bool = False


class Batch(NamedTuple):
    """Normalised windows: [n,1,H,W], [n,C,H,W], [n,C,H/r,W/r]."""

    pan: Tensor
    lms: Tensor
    ms: Tensor


def schedule_of(card: Card) -> Array:
    """``alpha_bar`` of a model."""
    return SCHEDULES[card.schedule["kind"]](int(card.schedule["timesteps"]))


def timesteps_of(card: Card, sampler: str, steps: int) -> list[int]:
    """The timesteps a sampler visits; refuses numbers of steps that do not fit."""
    if sampler not in SAMPLERS:
        raise WhetstoneError(
            "SAMPLER", f"There is no sampler {sampler!r}.", f"Choose {', '.join(SAMPLERS)}."
        )
    if sampler == "dpmpp-2m":
        return uniform_in_logsnr(schedule_of(card), steps)
    spread = SPACINGS[card.schedule.get("spacing", "leading")]
    return spread(int(card.schedule["timesteps"]), steps)


@torch.inference_mode()
def sample(
    model: Model,
    batch: Batch,
    noise: Noise,
    *,
    steps: int,
    sampler: str = "ddim",
    precision: str = "fp32",
    pulse: Callable[[], None] = lambda: None,
) -> Tensor:
    """Sharpened images [n,C,H,W], float32, in the normalised units of the batch.

    ``pulse`` is called before every evaluation of the network, and may raise to stop.

    Raises:
        WhetstoneError: ``SAMPLER``, ``STEPS``.
    """
    card, lms = model.card, batch.lms
    alpha_bar, timesteps = schedule_of(card), timesteps_of(card, sampler, steps)

    def residual(x: Tensor, timestep: int) -> Tensor:
        pulse()
        t = torch.full((len(x),), float(timestep), device=x.device)
        with autocast(x.device, precision):
            return model.network(*batch, x, t).float()

    start = noise(0) if card.start == "noise" else torch.zeros_like(lms)
    if sampler == "compat":
        image = compat(residual, lms, card.limits, timesteps)
        return ddim(image, start, alpha_bar, timesteps)
    denoise = consistent(residual, lms, card.limits, card.residual_scale)
    if sampler == "dpmpp-2m":
        x0 = dpmpp_2m(denoise, start, alpha_bar, timesteps)
    elif sampler == "ddpm":
        x0 = ddpm(denoise, start, alpha_bar, timesteps, lambda number: noise(number + 1))
    else:
        x0 = ddim(denoise, start, alpha_bar, timesteps)
    return lms + x0 / card.residual_scale


@torch.inference_mode()
def sharpen(
    model: Model,
    pan: Tensor,
    lms: Tensor,
    noise: Sequence[Tensor] | None = None,
    precision: str = "fp32",
) -> Tensor:
    """CrossDiff's one pass: images [n,C,H,W], float32, in the normalised units of the inputs."""
    with autocast(lms.device, precision):
        image: Tensor = model.network(pan, lms, noise).float()
    low, high = model.card.limits
    return image if low is None and high is None else image.clamp(low, high)


def autocast(device: torch.device, precision: str) -> ContextManager[object]:
    """Compute in ``precision``, "fp32" or "bf16"."""
    if precision == "fp32":
        return nullcontext()
    return torch.autocast(device.type, torch.bfloat16)
