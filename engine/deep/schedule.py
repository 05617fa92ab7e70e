"""Noise schedules: how much of the signal is left at a timestep, and which timesteps to visit.

A schedule is the float64 array ``alpha_bar`` (T,): ``x_t = sqrt(alpha_bar[t]) x0 +
sqrt(1 - alpha_bar[t]) eps``. Timestep 0 is one noise step already.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..errors import WhetstoneError

if TYPE_CHECKING:
    import torch

    from ..types import Array

#: Timesteps of training in both models.
TIMESTEPS = 1000
MAX_BETA = 0.999
#: Beyond this timestep of a cosine schedule of 1000 the signal is numerically gone.
TOP_OF_LOGSNR = 0.98


def cosine(timesteps: int = TIMESTEPS) -> Array:
    """``alpha_bar`` of the cosine schedule (Nichol and Dhariwal 2021, eq. 17), betas to 0.999."""
    u = np.arange(timesteps + 1, dtype=np.float64) / timesteps
    f = np.cos((u + 0.008) / 1.008 * np.pi / 2) ** 2
    return np.cumprod(1 - np.minimum(1 - f[1:] / f[:-1], MAX_BETA))


def linear(timesteps: int = TIMESTEPS) -> Array:
    """``alpha_bar`` of the linear schedule (Ho et al. 2020): beta from 1e-4 to 0.02 at T = 1000."""
    scale = 1000 / timesteps
    return np.cumprod(1 - np.linspace(1e-4 * scale, 0.02 * scale, timesteps))


SCHEDULES = {"cosine": cosine, "linear": linear}


def respaced(timesteps: int, steps: int) -> list[int]:
    """The ``steps`` timesteps of "ddimN": 0, k, 2k, ... with the smallest stride that gives N.

    One step starts at the top of the schedule, not at 0, where pure noise is no valid state.

    Raises:
        WhetstoneError: ``STEPS`` when no stride gives that many.
    """
    if steps == 1:
        return [timesteps - 1]
    strides = {len(range(0, timesteps, k)): k for k in range(timesteps, 0, -1)}
    if steps in strides:
        return list(range(0, timesteps, strides[steps]))
    near = sorted(sorted(strides, key=lambda n: abs(n - steps))[:2])
    raise WhetstoneError(
        "STEPS",
        f"{steps} steps cannot be spread evenly over {timesteps} timesteps.",
        f"Take {' or '.join(map(str, near))}.",
    )


def trailing(timesteps: int, steps: int) -> list[int]:
    """``steps`` timesteps spread evenly up to the very top of the schedule (Lin et al. 2024).

    For models whose x0 is still visible where :func:`respaced` starts from pure noise: with 2 steps
    that is the middle of the schedule, where half of the variance is signal.
    """
    if not 1 <= steps <= timesteps:
        raise WhetstoneError("STEPS", f"{steps} steps do not fit into {timesteps} timesteps.")
    return [round((i + 1) * timesteps / steps) - 1 for i in range(steps)]


SPACINGS = {"leading": respaced, "trailing": trailing}


def uniform_in_logsnr(alpha_bar: Array, steps: int) -> list[int]:
    """``steps`` timesteps evenly spaced in log SNR, from 0 to where the signal is nearly gone.

    These are the time points of DPM-Solver++ (Lu et al. 2022); ascending like :func:`respaced`,
    and one step starts at the top of the schedule like there.

    Raises:
        WhetstoneError: ``STEPS`` when there are not that many timesteps.
    """
    top = round(TOP_OF_LOGSNR * (len(alpha_bar) - 1))
    if steps == 1:
        return [len(alpha_bar) - 1]
    if not 1 < steps <= top + 1:
        raise WhetstoneError("STEPS", f"{steps} steps do not fit into {top + 1} timesteps.")
    lam = half_logsnr(alpha_bar)
    wanted = np.linspace(lam[0], lam[top], steps)
    nearest = np.abs(lam[:, None] - wanted).argmin(axis=0)
    index = np.arange(steps)  # where several wishes fall on one timestep, they move apart
    found = np.maximum.accumulate(nearest - index) + index
    return [int(t) for t in np.minimum(found, top - index[::-1])]


def half_logsnr(alpha_bar: Array) -> Array:
    """lambda = ln(sqrt(alpha_bar) / sqrt(1 - alpha_bar))."""
    return 0.5 * (np.log(alpha_bar) - np.log1p(-alpha_bar))


def add_noise(
    x0: torch.Tensor, eps: torch.Tensor, timesteps: torch.Tensor, alpha_bar: torch.Tensor
) -> torch.Tensor:
    """The forward process q(x_t | x0), with one timestep per sample of x0 (B, ...)."""
    kept = alpha_bar[timesteps].reshape(-1, *[1] * (x0.ndim - 1))
    return (kept.sqrt() * x0 + (1 - kept).sqrt() * eps).to(x0.dtype)
