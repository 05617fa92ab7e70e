"""Consistency: the fused image, seen through the MS sensor, is the measured MS.

A smooth correction is added: ``up(m)`` with ``down(x + up(m)) = ms``, where ``down`` filters by
each band's MTF and samples at the MS pixel centres and ``up`` interpolates. Both are separable, so
m solves ``D_r U_r m (D_c U_c)' = ms - down(x)`` with two small matrices per window and band.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from ..interpolation import lagrange_taps
from ..types import Window
from .degradation import down_matrix, matrix

if TYPE_CHECKING:
    from ..pair import Pair
    from ..types import Array

#: Side of the windows the correction is solved in, and the margin around them, in PAN pixels per
#: unit of ratio (so, in MS pixels). Beyond the margin nothing of a correction is left.
CORE, MARGIN = 32, 16


class Consistency:
    """The correction for windows of a pair."""

    def __init__(self, pair: Pair) -> None:
        self._pair = pair
        self.core = round(CORE * pair.ratio)
        self.margin = round(MARGIN * pair.ratio)
        self._gains = pair.sensor.ms_gains

    def correct(self, image: Array, region: Window, valid: Array | None) -> Array:
        """``image`` (B, h, w) of a PAN region in digital numbers, corrected; edges are mirrored."""
        geometry, info = self._pair.geometry, self._pair.ms.info
        ms = geometry.ms_window(region).intersect(Window(0, 0, info.width, info.height))
        if ms.empty:
            return image
        measured, ms_valid = self._pair.read_ms(ms)
        along_rows, along_cols = geometry.pan_positions(ms)
        rows_at = tuple(np.round(along_rows - region.row, 6))
        cols_at = tuple(np.round(along_cols - region.col, 6))
        out = image.copy()
        for gain in dict.fromkeys(self._gains):
            rows = _operators(gain, geometry.ratio[1], rows_at, region.height)
            cols = _operators(gain, geometry.ratio[0], cols_at, region.width)
            for band in (b for b, g in enumerate(self._gains) if g == gain):
                seen = rows.down @ image[band].astype(np.float64) @ cols.down.T
                residual = measured[band] - seen
                if ms_valid is not None:
                    residual[~ms_valid] = 0
                if valid is not None:
                    covered = rows.reach @ (~valid).astype(np.float64) @ cols.reach.T
                    residual[covered > 0.05] = 0
                m = rows.inverse @ residual @ cols.inverse.T
                out[band] += (rows.up @ m @ cols.up.T).astype(image.dtype)
        return out


class _Operators:
    """The 1-D matrices of a window's axis with ``n`` PAN and ``k`` MS pixels."""

    def __init__(self, gain: float, ratio: float, places: Array, size: int) -> None:
        self.down = down_matrix(gain, ratio, places, size)  # (k, n)
        positions = (np.arange(size) - places[0]) / ratio
        self.up = matrix(lagrange_taps(np.round(positions, 9)), len(places))  # (n, k)
        self.reach = np.abs(self.down)
        self.inverse = np.linalg.inv(self.down @ self.up)  # (k, k)


@lru_cache(maxsize=64)
def _operators(gain: float, ratio: float, places: tuple[float, ...], size: int) -> _Operators:
    return _Operators(gain, ratio, np.array(places), size)
