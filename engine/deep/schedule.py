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
    """``alpha_bar`` of the cosine schedule (Nichol and Dhariwal 2021, eq. 17), betas below 0.999."""
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
    for stride in range(1, timesteps + 1) if steps > 1 else ():
        found = range(0, timesteps, stride)
        if len(found) == steps:
            return list(found)
    possible = sorted({len(range(0, timesteps, k)) for k in range(1, timesteps + 1)})
    near = sorted(sorted(possible, key=lambda n: abs(n - steps))[:2])
    raise WhetstoneError(
        "STEPS",
        f"{steps} steps cannot be spread evenly over {timesteps} timesteps.",
        f"Take {' or '.join(map(str, near))}.",
    )


def uniform_in_logsnr(alpha_bar: Array, steps: int) -> list[int]:
    """``steps`` timesteps evenly spaced in log SNR, the top of the schedule first, 0 last.

    These are the time points of DPM-Solver++ (Lu et al. 2022); ascending like :func:`respaced`.
    """
    top = round(TOP_OF_LOGSNR * (len(alpha_bar) - 1))
    if steps == 1:
        return [len(alpha_bar) - 1]
    if not 1 < steps <= top:
        raise WhetstoneError("STEPS", f"{steps} steps do not fit into {top} timesteps.")
    lam = half_logsnr(alpha_bar)
    wanted = np.linspace(lam[0], lam[top], steps)
    found = np.searchsorted(-lam, -wanted)
    found[-1] = top
    for i in range(1, steps):  # near 0 several wishes may fall on one timestep
        found[i] = max(found[i], found[i - 1] + 1)
    for i in range(steps - 2, -1, -1):
        found[i] = min(found[i], found[i + 1] - 1)
    return [int(t) for t in found]


def half_logsnr(alpha_bar: Array) -> Array:
    """lambda = ln(sqrt(alpha_bar) / sqrt(1 - alpha_bar))."""
    return 0.5 * (np.log(alpha_bar) - np.log1p(-alpha_bar))


def add_noise(
    x0: torch.Tensor, eps: torch.Tensor, timesteps: torch.Tensor, alpha_bar: torch.Tensor
) -> torch.Tensor:
    """The forward process q(x_t | x0), with one timestep per sample of x0 (B, ...)."""
    kept = alpha_bar[timesteps].reshape(-1, *[1] * (x0.ndim - 1))
    return (kept.sqrt() * x0 + (1 - kept).sqrt() * eps).to(x0.dtype)
