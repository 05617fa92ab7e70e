"""Samplers: from noise to x0 by a denoiser, after the papers and knowing no pansharpening.

All take ``denoise(x, timestep) -> x0``, the start state ``x``, the schedule ``alpha_bar`` (T,) and
ascending ``timesteps`` to visit from the last to the first. The denoiser clips, maps timesteps
and turns a prediction of eps into one of x0 (:func:`x0_from_eps`); noise comes in as an argument.
"""

from __future__ import annotations

from math import expm1, sqrt
from typing import TYPE_CHECKING, Callable, Sequence

from .schedule import half_logsnr

if TYPE_CHECKING:
    import torch

    from ..types import Array

    Denoiser = Callable[[torch.Tensor, int], torch.Tensor]
    #: Standard normal noise for the i-th step, counted from 0; the last step asks for none.
    Noise = Callable[[int], torch.Tensor]


def ddim(
    denoise: Denoiser,
    x: torch.Tensor,
    alpha_bar: Array,
    timesteps: Sequence[int],
    eta: float = 0.0,
    noise: Noise | None = None,
) -> torch.Tensor:
    """DDIM (Song et al. 2021, eq. 12 and 16); ``eta`` 0 is deterministic, 1 is ancestral.

    ``noise`` is needed for eta > 0 only.
    """
    if eta and noise is None:
        raise ValueError("eta > 0 needs noise")
    for number, i in enumerate(reversed(range(len(timesteps)))):
        here = float(alpha_bar[timesteps[i]])
        before = float(alpha_bar[timesteps[i - 1]]) if i else 1.0
        x0 = denoise(x, timesteps[i])
        eps = (x - sqrt(here) * x0) / sqrt(1 - here)
        sigma = eta * sqrt((1 - before) / (1 - here)) * sqrt(1 - here / before)
        x = sqrt(before) * x0 + sqrt(1 - before - sigma**2) * eps
        if sigma and noise:
            x = x + sigma * noise(number)
    return x


def ddpm(
    denoise: Denoiser,
    x: torch.Tensor,
    alpha_bar: Array,
    timesteps: Sequence[int],
    noise: Noise,
) -> torch.Tensor:
    """Ancestral sampling (Ho et al. 2020, eq. 7) with the posterior variance, on any respacing.

    That is DDIM with eta 1: the same mean and variance, written otherwise.
    """
    return ddim(denoise, x, alpha_bar, timesteps, 1.0, noise)


def dpmpp_2m(
    denoise: Denoiser, x: torch.Tensor, alpha_bar: Array, timesteps: Sequence[int]
) -> torch.Tensor:
    """DPM-Solver++(2M) in data prediction (Lu et al. 2022, algorithm 2); returns the last x0.

    The first and the last step are of first order.
    """
    lam = half_logsnr(alpha_bar)
    last_x0: torch.Tensor | None = None
    last_h = 0.0
    for i in range(len(timesteps) - 1, 0, -1):
        t, s = timesteps[i], timesteps[i - 1]
        x0, h = denoise(x, t), float(lam[s] - lam[t])
        direction = x0
        if last_x0 is not None and i > 1:
            slope = h / (2 * last_h)
            direction = (1 + slope) * x0 - slope * last_x0
        shrink = sqrt((1 - float(alpha_bar[s])) / (1 - float(alpha_bar[t])))
        x = shrink * x - sqrt(float(alpha_bar[s])) * expm1(-h) * direction
        last_x0, last_h = x0, h
    return denoise(x, timesteps[0])


def x0_from_eps(
    x: torch.Tensor, eps: torch.Tensor, alpha_bar: Array, timestep: int
) -> torch.Tensor:
    """x0 from a prediction of the noise in ``x``."""
    kept = float(alpha_bar[timestep])
    return (x - sqrt(1 - kept) * eps) / sqrt(kept)
