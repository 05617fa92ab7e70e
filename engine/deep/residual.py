"""From a network that estimates the residual HRMS - LMS to the denoiser that samplers ask."""

from __future__ import annotations

from typing import TYPE_CHECKING, Callable, Sequence

if TYPE_CHECKING:
    from torch import Tensor

    from .samplers import Denoiser

    #: (state, timestep) -> residual in the units of the image.
    NetworkCall = Callable[[Tensor, int], Tensor]
    #: Lowest and highest value of an image; None is open.
    Limits = Sequence[float | None]


def consistent(
    network_call: NetworkCall, lms: Tensor, limits: Limits, residual_scale: float = 1.0
) -> Denoiser:
    """Sampling as in training: the state is ``residual_scale`` times the residual, plus noise.

    The image is LMS + x0 / ``residual_scale``.
    """

    def denoise(x: Tensor, timestep: int) -> Tensor:
        return residual_scale * clipped(network_call(x, timestep), lms, limits)

    return denoise


def compat(
    network_call: NetworkCall, lms: Tensor, limits: Limits, timesteps: Sequence[int]
) -> Denoiser:
    """Sampling as in the authors' code (spec §6.1), where x0 is the image itself.

    The state drifts towards the image instead of the residual, and the network is told the index
    of the timestep among ``timesteps``.
    """

    def denoise(x: Tensor, timestep: int) -> Tensor:
        return lms + clipped(network_call(x, timesteps.index(timestep)), lms, limits)

    return denoise


def clipped(residual: Tensor, lms: Tensor, limits: Limits) -> Tensor:
    """The residual whose image LMS + residual stays within ``limits``; others stay bit for bit."""
    low, high = limits
    if low is not None:
        residual = residual.maximum(low - lms)
    if high is not None:
        residual = residual.minimum(high - lms)
    return residual
