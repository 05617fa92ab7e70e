"""Consistency: the fused image, seen through the MS sensor, is the measured MS.

A smooth correction ``U m`` is added (back-projection): ``D U m = ms - D x``, where D filters by the
MTF of a band and samples at the MS pixel centres, and U interpolates. Both are separable, so this
takes two small matrices per window and band. What the sensor hardly passes, the inverse blows up
with its noise; a little that is added to the squares of its singular values holds that down
(Tikhonov).
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from ..interpolation import lagrange_taps
from ..nodata import fill, steps_to
from ..types import Window
from .degradation import MARGIN as EDGE
from .degradation import down_matrix, inside, matrix

if TYPE_CHECKING:
    from ..pair import Pair
    from ..types import Array
    from .presharpen import Presharpener

#: Side of the windows the correction is solved in, and the margin around them, in PAN pixels per
#: unit of ratio (so, in MS pixels). Beyond the margin nothing of a correction is left.
CORE, MARGIN = 32, 16
#: Noise of the measured MS relative to what a correction must mend, squared. With a fifth of it
#: images at full resolution agree better (and HQNR rises), but the colour noise of single MS pixels
#: shows on even ground, and dark scenes of 11 bits lose at reduced resolution.
NOISE = 0.03
#: Most of an MS pixel that invalid pixels may make up. They hold anything, 0 for one.
MOST_INVALID = 1e-3


def correction(pair: Pair, base: Presharpener | None, exact: bool) -> Consistency | None:
    """How the image of a model is corrected.

    Exactly where that is asked for. Else the images of models with a base are, up to the noise, and
    only where the scene shows the MTF that the table of its sensor has: another MTF makes an image
    worse that was good.
    """
    if exact:
        return Consistency(base.by_table or base.pair if base else pair)
    return Consistency(base.by_table, NOISE) if base and base.by_table else None


def most_sampled(pair: Pair, base: str, exact: bool, area: Window) -> tuple[Window, int]:
    """What a correction of ``area`` needs at most: pixels of the image, and rows kept at a time.

    Whether a model with a ``base`` is corrected is not known before it has seen the scene.
    """
    if base == "lms" and not exact:
        return area, 0
    fix = Consistency(pair)
    return fix.around(area, area.row), 2 * (fix.core + 2 * fix.margin)


class Consistency:
    """The correction for windows of a pair, exact without ``noise``."""

    def __init__(self, pair: Pair, noise: float = 0.0) -> None:
        self._pair, self._noise = pair, noise
        self.core = round(CORE * pair.ratio)
        self.margin = round(MARGIN * pair.ratio)
        self.scene = pair.scene
        self._gains = pair.sensor.ms_gains

    def around(self, area: Window, first_row: int) -> Window:
        """What must be known to correct ``area`` from ``first_row`` on, on the grid of windows."""
        core = self.core
        left, top = (n - n % core for n in (area.col, first_row))
        right, bottom = (-(-n // core) * core for n in area.stop)
        return (
            Window(left, top, right - left, bottom - top).expand(self.margin).intersect(self.scene)
        )

    def correct(self, image: Array, region: Window, valid: Array | None) -> Array:
        """``image`` (B, h, w) of a PAN region in digital numbers, corrected.

        MS pixels that are invalid, or see invalid pixels or what lies beyond the region, do not
        count: the correction goes on there as beside them.
        """
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
            counts = rows.inside[:, None] & cols.inside
            if ms_valid is not None:
                counts &= ms_valid
            if valid is not None:
                covered = rows.reach @ (~valid).astype(np.float64) @ cols.reach.T
                counts &= covered <= MOST_INVALID
            strengths = np.outer(rows.strengths, cols.strengths)
            for band in (b for b, g in enumerate(self._gains) if g == gain):
                seen = rows.down @ image[band].astype(np.float64) @ cols.down.T
                residual = fill(measured[band] - seen, counts, steps_to(EDGE))
                part = rows.left.T @ residual @ cols.left
                part *= strengths / (strengths**2 + self._noise)
                m = rows.right.T @ part @ cols.right
                out[band] += (rows.up @ m @ cols.up.T).astype(image.dtype)
        return out


class _Operators:
    """The 1-D matrices of a window's axis with ``n`` PAN and ``k`` MS pixels.

    ``down @ up`` (k, k) is ``left @ diag(strengths) @ right``.
    """

    def __init__(self, gain: float, ratio: float, places: Array, size: int) -> None:
        self.down = down_matrix(gain, ratio, places, size)  # (k, n)
        positions = (np.arange(size) - places[0]) / ratio
        self.up = matrix(lagrange_taps(np.round(positions, 9)), len(places))  # (n, k)
        self.inside = inside(places, ratio, size)
        self.reach = np.abs(self.down)
        self.left, self.strengths, self.right = np.linalg.svd(self.down @ self.up)


@lru_cache(maxsize=64)
def _operators(gain: float, ratio: float, places: tuple[float, ...], size: int) -> _Operators:
    return _Operators(gain, ratio, np.array(places), size)
