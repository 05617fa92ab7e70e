"""The noise field: standard normal noise as a function of seed, draw, step, band and PAN pixel.

Whatever window asks, and whatever device computes with it, a pixel has the same noise: that is what
makes windows, shards, resumed runs and previews agree. The field is made in blocks by the
counter-based generator Philox: the seed is its key, the address of a block its counter.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .types import Window

if TYPE_CHECKING:
    from .types import Array

BLOCK = 64  # pixels; a power of two
_LOW = 2**32 - 1


@dataclass(frozen=True)
class NoiseField:
    """The field of one seed (any integer from 0 to 2^64 - 1)."""

    seed: int = 0

    def read(self, window: Window, bands: int, draw: int = 0, step: int = 0) -> Array:
        """The noise of a window (which may lie anywhere), (bands, h, w) float32.

        Args:
            window: In PAN pixels of the whole raster.
            bands: How many bands; band b is the same however many are asked for.
            draw: Number of the sample.
            step: 0 for the start noise, i for what a stochastic sampler adds in its i-th step.
        """
        out = np.empty((bands, *window.shape), np.float32)
        col_stop, row_stop = window.stop
        for row in range(window.row // BLOCK, -(-row_stop // BLOCK)):
            for col in range(window.col // BLOCK, -(-col_stop // BLOCK)):
                block = Window(col * BLOCK, row * BLOCK, BLOCK, BLOCK)
                common = block.intersect(window)
                for band in range(bands):
                    values = self._block(row, col, band, draw, step)
                    out[(band, *common.within(window))] = values[common.within(block)]
        return out

    def _block(self, row: int, col: int, band: int, draw: int, step: int) -> Array:
        """One block, (BLOCK, BLOCK): Box-Muller on raw counters, whose stream never changes."""
        place = (row & _LOW) << 32 | (col & _LOW)
        counter = np.array([0, place, band, (draw & _LOW) << 32 | step & _LOW], np.uint64)
        key = np.array([self.seed & 2**64 - 1, 0], np.uint64)
        raw = np.random.Philox(counter=counter, key=key).random_raw(BLOCK * BLOCK)
        uniform = (raw >> np.uint64(11)).astype(np.float64) * 2.0**-53
        first, second = uniform[::2], uniform[1::2]
        radius = np.sqrt(-2 * np.log1p(-first))
        angle = 2 * np.pi * second
        normal = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=-1)
        return normal.reshape(BLOCK, BLOCK).astype(np.float32)
