"""Consistency: the fused image, seen through the MS sensor, is the measured MS.

The least correction that makes it so is added (back-projection): ``D' m`` with
``D D' m = ms - D x``, where D filters by the MTF of a band and samples at the MS pixel centres. D
is separable, and so are the eigenvectors of ``D D'``: of two small matrices per window and band.
What the sensor hardly passes, a correction blows up with its noise; a share of the largest
eigenvalue that is added to all of them holds that down (Tikhonov).
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from ..types import Window
from .degradation import down_matrix, inside

if TYPE_CHECKING:
    from ..pair import Pair
    from ..types import Array
    from .presharpen import Presharpener

#: Side of the windows the correction is solved in, and the margin around them, in PAN pixels per
#: unit of ratio (so, in MS pixels). Beyond the margin nothing of a correction is left.
CORE, MARGIN = 32, 16
#: Noise in the measured MS, as a share of what the sensor passes best. With a fifth of it images at
#: full resolution agree better (and HQNR rises), but the colour noise of single MS pixels shows on
#: even ground, and dark scenes of 11 bits lose at reduced resolution.
NOISE = 0.1


def correction(pair: Pair, base: Presharpener | None, exact: bool) -> Consistency | None:
    """How the image of a model is corrected.

    Exactly where that is asked for. Else the images of models with a base are, up to the noise, and
    only where the scene shows the MTF that the table of its sensor has: another MTF makes an image
    worse that was good.
    """
    if exact:
        return Consistency(base.believed or base.pair if base else pair)
    return Consistency(base.believed, NOISE) if base and base.believed else None


class Consistency:
    """The correction for windows of a pair, exact without ``noise``."""

    def __init__(self, pair: Pair, noise: float = 0.0) -> None:
        self._pair, self._noise = pair, noise
        self.core = round(CORE * pair.ratio)
        self.margin = round(MARGIN * pair.ratio)
        self._gains = pair.sensor.ms_gains

    def correct(self, image: Array, region: Window, valid: Array | None) -> Array:
        """``image`` (B, h, w) of a PAN region in digital numbers, corrected.

        Nothing is known beyond the edges of a scene, so MS pixels that see beyond them are left
        out, as invalid ones are.
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
            for band in (b for b, g in enumerate(self._gains) if g == gain):
                seen = rows.down @ image[band].astype(np.float64) @ cols.down.T
                residual = measured[band] - seen
                residual[~rows.inside] = 0
                residual[:, ~cols.inside] = 0
                if ms_valid is not None:
                    residual[~ms_valid] = 0
                if valid is not None:
                    covered = rows.reach @ (~valid).astype(np.float64) @ cols.reach.T
                    residual[covered > 0.05] = 0
                power = np.outer(rows.values, cols.values)
                m = (rows.vectors.T @ residual @ cols.vectors) / (power + self._noise * power.max())
                m = rows.vectors @ m @ cols.vectors.T
                out[band] += (rows.down.T @ m @ cols.down).astype(image.dtype)
        return out


class _Operators:
    """The 1-D matrices of a window's axis with ``n`` PAN and ``k`` MS pixels."""

    def __init__(self, gain: float, ratio: float, places: Array, size: int) -> None:
        self.down = down_matrix(gain, ratio, places, size)  # (k, n)
        self.inside = inside(places, ratio, size)
        self.reach = np.abs(self.down)
        self.values, self.vectors = np.linalg.eigh(self.down @ self.down.T)


@lru_cache(maxsize=64)
def _operators(gain: float, ratio: float, places: tuple[float, ...], size: int) -> _Operators:
    return _Operators(gain, ratio, np.array(places), size)
