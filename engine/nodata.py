"""Invalid pixels: give them harmless values so that filters do not pollute their neighbours."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from .types import Array


def fill_reach(steps: int) -> int:
    """How far (in pixels) :func:`fill` carries valid values, and the border it needs."""
    return 2**steps - 1


def steps_to(pixels: int) -> int:
    """Steps of filling that reach at least ``pixels``."""
    steps = 1
    while fill_reach(steps) < pixels:
        steps += 1
    return steps


def fill(values: Array, valid: Array, steps: int) -> Array:
    """Replace invalid pixels of (..., h, w) by the mean of valid neighbours, then of filled ones.

    Step k looks 2^k pixels away, so ``steps`` steps fill everything within ``2^steps - 1`` pixels
    of a valid one; what lies farther becomes 0. Each value depends on its surroundings only, never
    on the window it was computed in.
    """
    out = np.where(valid, values, 0).astype(values.dtype, copy=False)
    known = valid.copy()
    for step in range(steps):
        if known.all():
            break
        distance = 2**step
        weights = _neighbour_sum(known.astype(values.dtype), distance)
        sums = _neighbour_sum(np.where(known, out, 0), distance)
        new = ~known & (weights > 0)
        out = np.where(new, sums / np.where(weights > 0, weights, 1), out)
        known |= new
    return out


def _neighbour_sum(x: Array, distance: int) -> Array:
    """Sum over the 8 neighbours ``distance`` away; nothing comes from beyond the array."""
    d = distance
    pad = [(0, 0)] * (x.ndim - 2) + [(d, d), (d, d)]
    wide = np.pad(x, pad)
    h, w = x.shape[-2:]
    total = np.zeros_like(x)
    for row in (0, d, 2 * d):
        for col in (0, d, 2 * d):
            if (row, col) != (d, d):
                total += wide[..., row : row + h, col : col + w]
    return total
