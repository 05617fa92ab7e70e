"""The MS sensor as matrices: an image on the PAN grid, as the MS pixels would measure it.

Filtering by a band's MTF and sampling at the MS pixel centres is linear and separable, so a band X
is seen as ``R X C'`` with one small matrix per axis. They hold the numbers of the engine's other
ways through the sensor (``degrade``, the figures at MS scale): :func:`product_kernel` evaluated
between the PAN pixels by :func:`filter_taps`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import ceil
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ..errors import WhetstoneError
from ..interpolation import Taps, filter_taps, mirror
from ..mtf import product_kernel

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from ..types import Array

#: MS pixels count when they lie this many MS pixels within a patch. Of the filter's weight then
#: less than 1e-3 still falls on the mirrored border, at gains from 0.15 to 0.4 and ratios from 2.5
#: on (1e-2 at ratio 1.5); one MS pixel within the patch it is 1e-2 to 6e-2.
MARGIN = 2


def down_matrix(gain: float, ratio: float, places: Array, size: int) -> Array:
    """The sensor along one axis: (k, size) float64 for k MS pixels and ``size`` PAN pixels.

    Args:
        gain: MTF of the band at the MS Nyquist frequency, 0 to 1.
        ratio: PAN pixels per MS pixel.
        places: Where the MS pixel centres lie, (k,) PAN pixel indices, fractional.
        size: Of the window; beyond it the image is mirrored.
    """
    return matrix(filter_taps(places, product_kernel(gain, ratio)), size)


def matrix(taps: Taps, size: int) -> Array:
    """Taps as a dense matrix (outputs, size); what they reach beyond the input is mirrored."""
    out = np.zeros((len(taps.start), size))
    reached = taps.start[:, None] + np.arange(taps.weights.shape[1])
    columns = mirror(taps.first, taps.stop, size)[reached - taps.first]
    np.add.at(out, (np.arange(len(out))[:, None], columns), taps.weights)
    return out


def inside(places: Array, ratio: float, size: int) -> Array:
    """Which MS pixel centres lie ``MARGIN`` MS pixels or more within a window of ``size`` pixels.

    The others see so much of the mirrored border that their values are not the sensor's.
    """
    rounding = 1e-6
    return np.minimum(places + 0.5, size - 0.5 - places) >= MARGIN * ratio - rounding


@dataclass(frozen=True, eq=False)
class Degradation:
    """The sensor for a batch of patches, per sample and band; float32, differentiable.

    Attributes:
        rows: [B or 1,C or 1,k,H]
        cols: [B or 1,C or 1,l,W]
        inside: Which MS pixels count, [B or 1,1,k,l] bool (see :func:`inside`).
    """

    rows: Tensor
    cols: Tensor
    inside: Tensor

    def seen(self, hrms: Tensor) -> Tensor:
        """Images [B,C,H,W] at the MS pixel centres, [B,C,k,l]. Call it outside of autocast."""
        return self.rows @ hrms @ self.cols.mT


def degradation_of(
    gains: ArrayLike,
    ratio: float | tuple[float, float],
    first: ArrayLike,
    count: int,
    side: int,
    device: torch.device,
) -> Degradation:
    """The sensor for square patches. Matrices are kept: one per gain where places are the same.

    Args:
        gains: MTF of the bands at the MS Nyquist frequency, [C] or per sample [B,C].
        ratio: PAN pixels per MS pixel; of rows and columns where they differ.
        first: Row and column of the centre of the first MS pixel, [2] or per sample [B,2], in PAN
            pixel indices of the patch: (r - 1) / 2 where corners are shared.
        count: MS pixels along either side; those beyond the patch do not count.
        side: Of the patches in PAN pixels.
        device: Where the matrices are wanted.

    Raises:
        WhetstoneError: ``TOO_SMALL`` when a patch holds no MS pixel that counts.
    """
    per_band, start = np.atleast_2d(np.asarray(gains, float)), np.atleast_2d(first)
    matrices, counted = [], []
    for axis, step in enumerate(np.broadcast_to(ratio, 2).tolist()):
        places = np.round(start[:, axis, None] + step * np.arange(count), 6)
        matrices.append(_stacked(per_band, step, places, side, device))
        counted.append(inside(places, step, side))
        if not counted[axis].any(axis=1).all():
            raise WhetstoneError(
                "TOO_SMALL",
                f"Patches of {side} PAN pixels hold no MS pixel that is {MARGIN} MS pixels from "
                f"their border at the ratio {step:g}.",
                f"Use patches of at least {ceil((2 * MARGIN + 1) * step)} pixels.",
            )
    both = counted[0][:, None, :, None] & counted[1][:, None, None, :]
    return Degradation(matrices[0], matrices[1], torch.from_numpy(both).to(device))


def _stacked(gains: Array, ratio: float, places: Array, size: int, device: torch.device) -> Tensor:
    """The matrices [B or 1,C,k,size] of gains [B or 1,C] and places [B or 1,k]."""
    samples = max(len(gains), len(places))
    gains, places = (np.broadcast_to(x, (samples, x.shape[1])) for x in (gains, places))
    return torch.stack(
        [
            torch.stack([_kept(gain, ratio, where, size, device) for gain in row])
            for row, where in zip(gains.tolist(), map(tuple, places.tolist()))
        ]
    )


@lru_cache(maxsize=256)
@torch.inference_mode(False)  # what inference makes first, training must be able to use
def _kept(
    gain: float, ratio: float, places: tuple[float, ...], size: int, device: torch.device
) -> Tensor:
    return torch.from_numpy(down_matrix(gain, ratio, np.array(places), size)).float().to(device)
