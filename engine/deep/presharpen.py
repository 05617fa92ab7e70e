"""The image that a model sees in place of the LMS, and adds its residual to.

For models whose card says ``base = "glp"`` it is sharpened already: MTF-GLP-FS (Vivone et al. 2018)
with the MTF that the scene itself shows, brought to agree with the measured MS:

    base_b = g_b P + U S (MS_b - g_b D P)

P is the PAN, D the MS sensor (its MTF, sampled at the MS pixel centres), U the interpolation to the
PAN grid, g_b the injection gain of a band, S the inverse of D U to a few terms. With S = 1 this is
MTF-GLP-FS; with the whole inverse D base_b = MS_b.

The gain of the MTF at the MS Nyquist frequency is the one at which D P is explained best by the
bands (a regression on all of them, as in the semi-blind estimates of the MS filter by Vivone et al.
2015). Published test sets were degraded by other filters than their sensors have, and sensors age;
the tables know neither.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, cast

import numpy as np

from ..classical import METHODS, Scene
from ..fields import WindowFields
from ..interpolation import filter_taps, lagrange_taps, reach, resample
from ..mtf import correlate_axis, product_kernel
from ..nodata import steps_to
from .degradation import down_matrix, matrix

if TYPE_CHECKING:
    from ..classical.statistics import Moments
    from ..fields import Fields
    from ..pair import Pair
    from ..types import Array, Window

#: Gains that are tried.
GAINS = np.round(np.arange(0.1, 0.91, 0.05), 2)
#: Share of the PAN's variance that the bands must explain, and most of it at a gain between the
#: first and the last, for the scene to be believed. (It is not where PAN and MS lie far apart.)
LEAST_EXPLAINED = 0.5
#: How far the gain that a scene shows may be from the table's, as a factor, for the table to hold.
#: Chosen on the scenes of the benchmark: products, and what was degraded by the table, show up to
#: 1.52 times as much (where the PAN is blurred, too); sets that were degraded otherwise from 1.59
#: times on, most of them twice.
MOST_APART = 1.55
#: Terms of the inverse beyond the first: more sharpen noise and aliasing, too.
TERMS = 3
#: MS pixels that the inverse reaches on either side, and around the one at which it is read off.
_REACH, _AROUND = 12, 24
#: MS pixels around a window that its base depends on: those of the inverse and the interpolation.
MS_REACH = _REACH + 6


class Presharpener:
    """Makes the base of any window of a pair.

    Attributes:
        pair: With the MTF gain of the scene in place of its sensor's.
        gain: The MTF gain, of all bands.
        by_table: With the MTF gains of its sensor, where that is known and the scene shows them.
        note: What the user should know about it.
    """

    def __init__(self, scene: Scene) -> None:
        """Learn a scene; raises ``EMPTY`` where it holds no valid pixel."""
        pair = scene.pair
        table = float(np.mean(pair.sensor.ms_gains))
        known = pair.sensor.key != "generic"
        gain, explained = shown_gain(scene)
        shown = explained >= LEAST_EXPLAINED and 1 / MOST_APART <= gain / table <= MOST_APART
        if explained < LEAST_EXPLAINED:
            said = f"the bands explain {explained:.0%} of the PAN: the table's MTF is taken"
            gain = table
        elif not GAINS[0] < gain < GAINS[-1]:
            said = f"no MTF gain from {GAINS[0]} to {GAINS[-1]} is best: the table's MTF is taken"
            gain = table
        else:
            said = f"the bands explain {explained:.1%} of the PAN at an MTF gain of {gain:.2f}"
        self.by_table = pair if known and shown else None
        so = "; so the image is corrected towards the measured MS" if self.by_table else ""
        self.note = f"Base: MTF-GLP-FS; {said} (table: {table:.2f}{so})."
        self.gain = gain
        self._kernel = product_kernel(gain, pair.ratio)
        self.pair = seen_through(pair, gain)
        learnt = METHODS["mtf-glp-fs"].estimate(scene.of(self.pair))
        self._injection = np.asarray(learnt["gain"], np.float64).reshape(-1, 1, 1)

    def image(self, pan: Array, window: Window, filled: int = 0) -> Array:
        """The base (B, h, w) of a window, which may leave the scene, in digital numbers.

        Args:
            pan: PAN of the window, (h, w).
            window: In PAN pixels.
            filled: PAN pixels beyond valid ones that must be good, too.
        """
        pair, geometry = self.pair, self.pair.geometry
        ms_steps = steps_to(int(filled / pair.ratio) + MS_REACH)
        pan_steps = steps_to(filled + round(MS_REACH * pair.ratio) + len(self._kernel) // 2)
        up = [lagrange_taps(where) for where in geometry.ms_positions(window)]
        inner = reach(*up)
        wide = inner.expand(_REACH)
        down = [filter_taps(where, self._kernel) for where in geometry.pan_positions(wide)]
        seen = reach(*down)
        around = pair.read_pan(seen, pan_steps)[0]
        small = resample(around, down[0].shifted(seen.row), down[1].shifted(seen.col))
        gains = self._injection.astype(pan.dtype)
        unlike = pair.read_ms(wide, ms_steps)[0] - gains * small
        for axis in (1, 0):
            inverse = _inverse(self.gain, geometry.ratio[axis], round(geometry.phase[axis] % 1, 6))
            unlike = correlate_axis(unlike, inverse, -1 - axis)
        rest = resample(unlike, up[0].shifted(inner.row), up[1].shifted(inner.col))
        return rest + gains * pan


def seen_through(pair: Pair, gain: float) -> Pair:
    """The pair, all of whose MS bands have one MTF gain."""
    sensor = replace(pair.sensor, ms_gains=(gain,) * pair.bands)
    return pair.with_sensor(sensor)


def shown_gain(scene: Scene) -> tuple[float, float]:
    """The MTF gain at which the bands explain PAN best, and the share that they explain."""

    def images(f: Fields) -> dict[str, Array]:
        own = cast(WindowFields, f)  # the toolbox protocol is refused before
        return {"ms": f.ms, "seen": np.stack([own.pan_at_ms(gain) for gain in GAINS])}

    _, moments = scene.moments(None, images)
    shares = _explained(moments)
    best = int(np.argmax(shares))
    gain = float(GAINS[best])
    if 0 < best < len(GAINS) - 1:  # the top of the parabola through it and its neighbours
        before, top, after = shares[best - 1 : best + 2]
        step = float(GAINS[1] - GAINS[0])
        gain += 0.5 * step * float((before - after) / (before - 2 * top + after))
    return gain, float(shares[best])


def _explained(moments: Moments) -> Array:
    """The share of the variance of each image of "seen" that a regression on "ms" explains."""
    between = moments.cov("ms", "seen")
    weights = np.linalg.pinv(moments.cov("ms", "ms"), hermitian=True) @ between
    variance = moments.var("seen")
    return np.divide(
        (weights * between).sum(0), variance, out=np.zeros(len(variance)), where=variance > 0
    )


@lru_cache(maxsize=64)
def _inverse(gain: float, ratio: float, place: float) -> Array:
    """S along one axis: a symmetric kernel of sum 1 for MS pixels that lie ``place`` off the PAN's.

    The Neumann series 1 + (1 - A) + (1 - A)^2 + ... of A = D U, of which one row is taken for all.
    """
    count = 2 * _AROUND + 1
    places = place + ratio * np.arange(count)
    size = int(np.ceil(places[-1])) + 1
    down = down_matrix(gain, ratio, places, size)
    up = matrix(lagrange_taps((np.arange(size) - place) / ratio), count)
    row = (down @ up)[_AROUND]
    rest = -(row + row[::-1]) / 2
    rest[_AROUND] += 1
    series = term = np.eye(1, count, _AROUND)[0]
    for _ in range(TERMS):
        term = np.convolve(term, rest, mode="same")
        series = series + term
    kernel = series[_AROUND - _REACH : _AROUND + _REACH + 1]
    return kernel / kernel.sum()
