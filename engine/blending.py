"""Overlapping windows of a fixed size, and the weights that make them one image.

The windows of an axis start at 0, stride, 2 stride, ... of the *PAN raster*, whatever part of it is
asked for. Along each axis a window fades in and out by raised cosines over its overlap with its
neighbours; the weights of an axis sum to one at every pixel, so no sums of weights are kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from .types import Array


@dataclass(frozen=True)
class Axis:
    """The windows along one axis of a raster of ``size`` pixels.

    The first window begins at 0; the last may reach beyond the raster. ``side`` is the width of a
    window, ``overlap`` what it shares with the next (at most half of it).
    """

    size: int
    side: int
    overlap: int

    @property
    def stride(self) -> int:
        """Pixels from one window to the next."""
        return self.side - self.overlap

    @property
    def count(self) -> int:
        """How many windows cover the raster."""
        return max(1, -(-(self.size - self.overlap) // self.stride))

    def touching(self, start: int, stop: int) -> range:
        """The windows that hold a pixel of [start, stop), a part of the raster."""
        first = max(0, (start - self.side) // self.stride + 1)
        return range(first, min(self.count, -(-stop // self.stride)))

    def start(self, index: int) -> int:
        """First pixel of a window."""
        return index * self.stride

    def settled(self, index: int) -> int:
        """First pixel that windows up to ``index`` do not settle: where the next one begins."""
        return self.size if index == self.count - 1 else self.start(index + 1)

    def weights(self, index: int) -> Array:
        """The weights of a window, (side,) float32; windows at the ends do not fade there."""
        return _fade(self.side, self.overlap, index > 0, index < self.count - 1)


@lru_cache(maxsize=16)
def _fade(side: int, overlap: int, fade_in: bool, fade_out: bool) -> Array:
    angle = (np.arange(overlap) + 0.5) / max(overlap, 1) * (np.pi / 2)
    rise = (np.sin(angle) ** 2).astype(np.float32)
    weights = np.ones(side, np.float32)
    if fade_in:
        weights[:overlap] = rise
    if fade_out:
        weights[side - overlap :] = 1 - rise
    weights.flags.writeable = False
    return weights
