"""Images cut into square blocks, and the moments of each block.

The quality indices of the field (UQI, Q2n and all that is built on them) need no more of a block
than its means and covariances, so these are computed once, for all bands and blocks together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Iterator, NamedTuple

import numpy as np

from ..types import Window

if TYPE_CHECKING:
    from ..types import Array

BLOCK = 32
#: A variance below this share of the mean square is the rounding of a constant block.
FLAT = 1e-24


class Moments(NamedTuple):
    """Means and covariances (N-1) of the C channels of n blocks."""

    mean: Array  # (n, C)
    cov: Array  # (n, C, C)

    @property
    def variance(self) -> Array:
        """Variances (n, C)."""
        return np.diagonal(self.cov, axis1=1, axis2=2)

    def pick(self, start: int, stop: int) -> Moments:
        """The moments of the channels ``start`` to ``stop``."""
        return Moments(self.mean[:, start:stop], self.cov[:, start:stop, start:stop])


def pad_to_blocks(x: Array, size: int = BLOCK, step: int = 0) -> Array:
    """Mirror (..., h, w) at bottom and right until whole blocks, ``step`` apart, cover it."""
    step = step or size
    grow = [(-(-n // step) - 1) * step + size - n for n in x.shape[-2:]]
    if not any(grow):
        return x
    return np.pad(x, [(0, 0)] * (x.ndim - 2) + [(0, max(n, 0)) for n in grow], mode="symmetric")


def split(x: Array, size: int = BLOCK, step: int = 0) -> Array:
    """The whole blocks of (C, h, w), row by row, as (n, C, size * size); a rest is cropped.

    Blocks lie ``step`` pixels apart (default: side by side).
    """
    step = step or size
    channels, height, width = x.shape
    if height < size or width < size:
        return np.empty((0, channels, size * size), x.dtype)
    views = np.lib.stride_tricks.sliding_window_view(x, (size, size), axis=(1, 2))
    views = views[:, ::step, ::step].transpose(1, 2, 0, 3, 4)
    return views.reshape(-1, channels, size * size)


def moments(blocks: Array) -> Moments:
    """Moments of blocks (n, C, pixels), about their means, in float64."""
    mean = blocks.mean(axis=2, dtype=float)
    centred = blocks - mean[:, :, None]
    cov = np.matmul(centred, centred.transpose(0, 2, 1)) / (blocks.shape[2] - 1)
    return Moments(mean, cov)


def block_moments(x: Array, valid: Array | None = None, size: int = BLOCK) -> Moments:
    """Moments of the whole blocks of (C, h, w) that hold no invalid pixel (``valid`` (h, w))."""
    blocks = split(x, size)
    if valid is not None:
        blocks = blocks[split(valid[None], size).all(axis=(1, 2))]
    return moments(blocks)


def grid(region: Window, side: int, multiple: int = BLOCK) -> Iterator[Window]:
    """Cut ``region`` into windows of ``side`` pixels, anchored at its first pixel.

    A rest thinner than ``multiple`` joins its neighbour, so that no block is ever cut by a window.
    """
    for row, height in _spans(region.row, region.height, side, multiple):
        for col, width in _spans(region.col, region.width, side, multiple):
            yield Window(col, row, width, height)


def _spans(start: int, length: int, side: int, multiple: int) -> list[tuple[int, int]]:
    side = max(side // multiple, 1) * multiple
    count = max((length - multiple) // side + 1, 1)
    edges = [start + i * side for i in range(count)] + [start + length]
    return [(a, b - a) for a, b in zip(edges, edges[1:])]
