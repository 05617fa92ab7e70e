"""The residual shift between PAN and MS, estimated to a fraction of a PAN pixel.

The PAN as the MS sensor sees it should be a linear mix of the MS bands. The shift is what makes it
one: per iteration the high-passed PAN is regressed on the bands *and* on the derivatives of their
mix (Gauss-Newton; Lucas and Kanade 1981), and the MS is moved by the result. Shifts larger than the
mix's detail are found first by phase correlation.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from .fields import WindowFields
from .interpolation import lagrange_taps, reach, resample
from .pair import Pair
from .tiling import grid, in_order, scattered
from .types import Window

if TYPE_CHECKING:
    from .types import Array, Progress

WINDOW, MOST_WINDOWS = 256, 9
ITERATIONS = 6
#: A mix of bands that explains less of the PAN's detail than this says nothing about a shift.
MIN_CONFIDENCE = 0.3
#: PAN pixels; a shift that varies more cannot be corrected by one.
MOST_SPREAD = 1.0


@dataclass(frozen=True)
class Shift:
    """Where the PAN lies against the MS, in PAN pixels: features of the MS appear at +dx, +dy.

    ``confidence`` (0 to 1) is the share of the PAN's detail that the shifted bands explain,
    ``spread`` the standard deviation (PAN pixels) of what the windows say on their own.
    """

    dx: float
    dy: float
    confidence: float
    spread: float

    @property
    def known(self) -> bool:
        """Whether the estimate means anything."""
        return self.confidence >= MIN_CONFIDENCE

    @property
    def one_for_all(self) -> bool:
        """Whether it is known and much the same all over the scene."""
        return self.known and self.spread <= MOST_SPREAD

    def describe(self, ratio: float) -> str:
        """One sentence for the user."""
        if not self.known:
            return (
                "The shift between PAN and MS cannot be told: the bands explain only "
                f"{100 * self.confidence:.0f} % of the detail of the PAN."
            )
        size = float(np.hypot(self.dx, self.dy))
        text = (
            f"PAN and MS are shifted by dx {self.dx:+.2f}, dy {self.dy:+.2f} PAN pixels "
            f"(confidence {100 * self.confidence:.0f} %, spread {self.spread:.2f})."
        )
        if size > 0.5 * ratio:
            return text + " Fringes are likely; have the shift corrected (--coregister)."
        if self.spread > MOST_SPREAD:
            return (
                text + " It varies over the scene by more than a pixel; one shift cannot cure that."
            )
        return text


def estimate_shift(pair: Pair, threads: int, progress: Progress) -> Shift:
    """Estimate the shift on at most nine windows spread over the scene."""
    windows = _windows(pair)
    if min(windows[0].width, windows[0].height) < 2 * _box(pair.ratio):
        return Shift(0.0, 0.0, 0.0, 0.0)  # nothing is left of so small a scene without its border
    # periodic fields and roofs can mislead the coarse search: the start that explains more wins
    starts = dict.fromkeys([(0.0, 0.0), _coarse(pair, windows, threads, progress)])
    shifts = [_refine(pair, windows, start, threads, progress) for start in starts]
    return max(shifts, key=lambda shift: shift.confidence)


class PanOnMS(Pair):
    """A pair whose PAN is moved to where the MS lies; both share their files."""

    def __init__(self, pair: Pair, shift: Shift) -> None:
        self.__dict__.update(pair.__dict__)
        self._whole, self._shift = pair, shift

    def read_pan(self, window: Window, steps: int = 0) -> tuple[Array, Array | None]:
        """The moved PAN (h, w) and its validity."""
        return moved_pan(self._whole, window, self._shift, steps)


def moved_pan(
    pair: Pair, window: Window, shift: Shift, steps: int = 0
) -> tuple[Array, Array | None]:
    """The PAN (h, w) of a window and its validity, moved to where the MS lies.

    Fusing moves the MS, since the PAN's grid is the output's. Where a truth lies with the MS, as at
    reduced resolution, it is the PAN that has to move.
    """
    rows = lagrange_taps(np.arange(window.row, window.stop[1]) + shift.dy)
    cols = lagrange_taps(np.arange(window.col, window.stop[0]) + shift.dx)
    around = reach(rows, cols)
    values, valid = pair.read_pan(around, steps)
    if valid is not None:
        near = [
            np.rint(np.arange(*span) + d).astype(int) - first
            for span, d, first in (
                ((window.row, window.stop[1]), shift.dy, around.row),
                ((window.col, window.stop[0]), shift.dx, around.col),
            )
        ]
        valid = valid[np.ix_(*near)]
    return resample(values, rows.shifted(around.row), cols.shifted(around.col)), valid


def _windows(pair: Pair) -> list[Window]:
    """Windows that hold at least 16 MS pixels a side; else one in the middle of the scene."""
    least = int(np.ceil(16 * pair.ratio))
    side = max(WINDOW, least)
    windows = [w for w in grid(pair.scene, side) if min(w.width, w.height) >= least]
    if windows:
        return scattered(windows, MOST_WINDOWS)
    col, row, width, height = pair.scene
    middle = Window(col + max(width - side, 0) // 2, row + max(height - side, 0) // 2, side, side)
    return [middle.intersect(pair.scene)]


def _refine(
    pair: Pair, windows: list[Window], start: tuple[float, float], threads: int, progress: Progress
) -> Shift:
    """Gauss-Newton steps from a start; no confidence when they run away."""
    nothing, limit = Shift(0.0, 0.0, 0.0, 0.0), 4 * pair.ratio
    dx, dy = start
    for _ in range(ITERATIONS):
        look = partial(_look, pair.moved(dx, dy))
        found = (seen for _, seen in in_order(look, windows, threads, progress))
        looks = [seen for seen in found if seen is not None]
        if not looks:
            return nothing
        total = sum(looks[1:], looks[0])
        step = total.step()
        dx, dy = dx + step[0], dy + step[1]
        if not (abs(dx) <= limit and abs(dy) <= limit):
            return nothing
        if np.hypot(*step) < 0.02:  # what is left is of the second order of that
            break
    own = np.array([look.step() for look in looks if look.share() >= MIN_CONFIDENCE])
    scatter = float(np.sqrt(own.var(axis=0).sum())) if len(own) > 1 else 0.0
    return Shift(round(dx, 3), round(dy, 3), round(total.share(), 3), round(scatter, 3))


class _Look:
    """Sums over one window: the Gram matrix of [bands, mix_x, mix_y, pan] after high-passing."""

    def __init__(self, gram: Array) -> None:
        self.gram = gram

    def __add__(self, other: _Look) -> _Look:
        return _Look(self.gram + other.gram)

    def _solve(self) -> Array:
        gram = self.gram
        scale = np.sqrt(np.maximum(np.diagonal(gram)[:-1], 1e-30))
        normal = gram[:-1, :-1] / np.outer(scale, scale) + 1e-9 * np.eye(len(scale))
        return np.linalg.solve(normal, gram[:-1, -1] / scale) / scale

    def step(self) -> tuple[float, float]:
        """(dx, dy) by which the MS must move to fit better."""
        weights = self._solve()
        return -float(weights[-2]), -float(weights[-1])

    def share(self) -> float:
        """Share of the PAN's detail explained, 0 to 1."""
        total = self.gram[-1, -1]
        return (
            float(np.clip(self._solve() @ self.gram[:-1, -1] / total, 0, 1)) if total > 0 else 0.0
        )


def _images(pair: Pair, window: Window) -> tuple[Array, Array, Array | None]:
    """PAN at MS detail (h, w), the bands (B, h, w), and validity."""
    f = WindowFields(pair, window)
    return f.pan_glp.mean(axis=0).astype(np.float64), f.lms.astype(np.float64), f.valid


def _look(pair: Pair, window: Window) -> _Look | None:
    pan, bands, valid = _images(pair, window)
    high_pan, high_bands = _high_pass(pan, pair.ratio), _high_pass(bands, pair.ratio)
    use = _usable(valid, pan.shape, pair.ratio)
    if np.count_nonzero(use) < 64 * len(bands):
        return None
    x, y = high_bands[:, use], high_pan[use]
    gram = x @ x.T
    ridge = 1e-6 * np.trace(gram) / len(gram) * np.eye(len(gram))
    weights = np.linalg.solve(gram + ridge + 1e-30 * np.eye(len(gram)), x @ y)
    blend = np.tensordot(weights, high_bands, 1)
    slope_y, slope_x = np.gradient(blend)
    rows = np.concatenate([x, [slope_x[use], slope_y[use], y]])
    return _Look(rows @ rows.T)


def _box(ratio: float) -> int:
    """Side of the window, about four MS pixels, whose mean is taken away; odd."""
    return 2 * round(2 * ratio) + 1


def _local_mean(image: Array, size: int) -> Array:
    """Mean over ``size`` x ``size`` windows of (..., h, w), valid part, by running sums."""
    for axis in (-1, -2):
        sums = np.cumsum(np.insert(image, 0, 0, axis=axis), axis=axis)
        count = sums.shape[axis] - size
        upper = np.take(sums, range(size, size + count), axis=axis)
        image = (upper - np.take(sums, range(count), axis=axis)) / size
    return image


def _high_pass(image: Array, ratio: float) -> Array:
    """The image less its local mean; loses a border."""
    half = _box(ratio) // 2
    return image[..., half:-half, half:-half] - _local_mean(image, _box(ratio))


def _usable(valid: Array | None, shape: tuple[int, int], ratio: float) -> Array:
    """High-passed pixels, less one at the border, that no invalid pixel took part in."""
    size = _box(ratio)
    use = np.zeros((shape[0] - size + 1, shape[1] - size + 1), bool)
    use[1:-1, 1:-1] = True
    if valid is not None and not valid.all():
        use &= _local_mean(valid.astype(np.float64), size) > 1 - 0.5 / size**2
    return use


def _coarse(
    pair: Pair, windows: list[Window], threads: int, progress: Progress
) -> tuple[float, float]:
    """The whole-pixel shift by phase correlation, summed over windows."""
    shape = max(w.height for w in windows), max(w.width for w in windows)

    def spectrum(window: Window) -> Array:
        pan, bands, valid = _images(pair, window)
        use = _usable(valid, pan.shape, pair.ratio)
        a, b = _high_pass(pan, pair.ratio), _high_pass(bands.mean(axis=0), pair.ratio)
        taper = np.outer(np.hanning(a.shape[0]), np.hanning(a.shape[1])) * use
        cross = np.fft.fft2(np.abs(a) * taper, shape) * np.conj(
            np.fft.fft2(np.abs(b) * taper, shape)
        )
        cross[0, 0] = 0
        return cross / (np.sqrt(np.abs(cross)) + 1e-12)

    spectra = [s for _, s in in_order(spectrum, windows, threads, progress)]
    surface = np.real(np.fft.ifft2(sum(spectra)))
    reach = int(3 * pair.ratio)
    near = np.roll(surface, (reach, reach), (0, 1))[: 2 * reach + 1, : 2 * reach + 1]
    row, col = np.unravel_index(int(np.argmax(near)), near.shape)
    return float(col - reach), float(row - reach)
