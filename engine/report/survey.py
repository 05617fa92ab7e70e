"""One streaming pass over a scene for the report: detail, errors and histograms, tile by tile.

Memory does not grow with the scene: every raster is read in windows, and what is kept are coarse
grids of sums and a few dozen counters per band.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, log, pi, sqrt
from typing import TYPE_CHECKING, Mapping, Protocol, Sequence, Tuple

import numpy as np

from ..errors import Cancelled
from ..tiling import grid, scattered
from ..types import Progress, Window

if TYPE_CHECKING:
    from ..raster.model import RasterInfo
    from ..types import Array

    Pair = Tuple[Array, Array]

TILE = 512
BINS = 64
DEFAULT_GAIN = 0.3


class Source(Protocol):
    """What the report reads from: a header and windows of pixels inside the raster."""

    info: RasterInfo

    def read(self, window: Window) -> tuple[Array, Array | None]:
        """Values (bands, h, w) and where they are valid (h, w), None for everywhere."""


@dataclass(frozen=True)
class Tie:
    """Where a pixel position of the base grid lies on another grid: ``a * position + b``."""

    ax: float
    bx: float
    ay: float
    by: float

    @staticmethod
    def between(base: RasterInfo, other: RasterInfo) -> Tie:
        """Tie two rasters by their geotransforms; without those they cover the same ground."""
        a, b = base.transform, other.transform
        if a is None or b is None:
            a = (0.0, 1 / base.width, 0.0, 0.0, 0.0, 1 / base.height)
            b = (0.0, 1 / other.width, 0.0, 0.0, 0.0, 1 / other.height)
        return Tie(a[1] / b[1], (a[0] - b[0]) / b[1], a[5] / b[5], (a[3] - b[3]) / b[5])


def read_nearest(source: Source, tie: Tie, x: Array, y: Array) -> Pair:
    """The pixels of a source under base positions ``x``, ``y``; False where there are none."""
    info = source.info
    cols = np.floor(tie.ax * x + tie.bx + 1e-6).astype(int)
    rows = np.floor(tie.ay * y + tie.by + 1e-6).astype(int)
    inside_x, inside_y = (cols >= 0) & (cols < info.width), (rows >= 0) & (rows < info.height)
    shape = (len(info.bands), len(rows), len(cols))
    if not inside_x.any() or not inside_y.any():
        return np.zeros(shape), np.zeros(shape[1:], bool)
    c0, c1 = cols[inside_x].min(), cols[inside_x].max()
    r0, r1 = rows[inside_y].min(), rows[inside_y].max()
    values, valid = source.read(Window(int(c0), int(r0), int(c1 - c0 + 1), int(r1 - r0 + 1)))
    mask = inside_y[:, None] & inside_x[None, :]
    picked, valid = np.asarray(values), None if valid is None else np.asarray(valid)
    if not (mask.all() and (np.diff(cols) == 1).all() and (np.diff(rows) == 1).all()):
        at = np.clip(rows, r0, r1)[:, None] - r0, np.clip(cols, c0, c1)[None, :] - c0
        picked, valid = picked[:, at[0], at[1]], None if valid is None else valid[at]
    mask = mask if valid is None else mask & valid
    picked = picked.astype(np.float64)
    if not mask.all():
        picked[:, ~mask] = 0.0
    return picked, mask


class Grid:
    """Means over coarse cells of the base grid."""

    def __init__(self, width: int, height: int, cols: int, rows: int, step: float = 0) -> None:
        self.cols, self.rows = cols, rows
        self.step_x, self.step_y = step or width / cols, step or height / rows
        self.total = np.zeros(cols * rows)
        self.count = np.zeros(cols * rows)

    def add(self, x: Array, y: Array, values: Array, valid: Array) -> None:
        """Add values (h, w) at base positions ``x``, ``y`` where valid."""
        cols = np.clip((x / self.step_x).astype(int), 0, self.cols - 1)
        rows = np.clip((y / self.step_y).astype(int), 0, self.rows - 1)
        index = (rows[:, None] * self.cols + cols[None, :])[valid]
        if index.size:
            self.total += np.bincount(index, values[valid], self.total.size)
            self.count += np.bincount(index, minlength=self.total.size)

    def mean(self) -> Array:
        """Mean of every cell (rows, cols), NaN where nothing fell."""
        mean = np.full(self.total.size, np.nan)
        np.divide(self.total, self.count, out=mean, where=self.count > 0)
        return mean.reshape(self.rows, self.cols)


@dataclass(frozen=True)
class Bins:
    """The shared bins of one band."""

    low: float
    width: float

    def count(self, values: Array) -> Array:
        """Counts of the values; the outer bins hold the tails, so that nothing is lost."""
        index = np.clip(np.floor((values - self.low) / self.width), 0, BINS - 1).astype(int)
        return np.bincount(index, minlength=BINS)


@dataclass(frozen=True)
class Levels:
    """Per band what a sample of windows says: mean, 2 and 98 per cent, histogram bins."""

    mean: Array
    low: Array
    high: Array
    bins: tuple[Bins, ...]


def sample_levels(source: Source, windows: int = 64, per_window: int = 4096) -> Levels:
    """Look at up to ``windows`` evenly spread windows of a raster."""
    info = source.info
    places = grid(Window(0, 0, info.width, info.height), 256)
    parts = []
    for window in scattered(places, windows):
        values, valid = source.read(window)
        flat = np.asarray(values).reshape(len(info.bands), -1).astype(np.float64)
        flat = flat if valid is None else flat[:, valid.ravel()]
        parts.append(flat[:, :: max(1, flat.shape[1] // per_window)].copy())
    sample = np.concatenate(parts, axis=1)
    if sample.shape[1] == 0:
        sample = np.zeros((len(info.bands), 1))
    low, high = np.percentile(sample, (2, 98), axis=1)
    whole = np.dtype(info.bands[0].dtype).kind in "iu"
    tails = np.percentile(sample, (0.1, 99.9), axis=1).T
    bins = tuple(_bins(float(first), float(last), whole) for first, last in tails)
    return Levels(sample.mean(axis=1), low, np.maximum(high, low + 1e-9), bins)


def _bins(low: float, high: float, whole: bool) -> Bins:
    """Bins a little wider than the data; whole steps for whole numbers: none stays empty."""
    margin = 0.1 * (high - low)
    first, width = low - margin, (high - low + 2 * margin) / BINS
    if whole:
        first, width = np.floor(max(first, min(low, 0))), max(1, ceil(width))
    return Bins(float(first), float(width) or 1.0)


def degrade(
    values: Array, valid: Array, at: Pair, centres: Pair, sigmas: Sequence[tuple[float, float]]
) -> Pair:
    """Blur with a Gaussian and pick the positions ``centres`` (x, y); all in base positions.

    ``at`` holds the positions of the columns and rows of ``values``; ``sigmas`` (x, y) per band.
    """
    short = values.astype(np.float32)  # enough for a map, and twice as fast
    weights = {
        sigma: [_weights(centres[i], at[i], sigma[i]) for i in (0, 1)] for sigma in set(sigmas)
    }
    small = np.stack([_blur(short[b], *weights[sigma]) for b, sigma in enumerate(sigmas)])
    if valid.all():
        return small, np.ones(small.shape[1:], bool)
    return small, _blur(valid.astype(np.float32), *weights[sigmas[0]]) > 0.9999


def _blur(band: Array, wx: Array, wy: Array) -> Array:
    return _along_rows(_along_rows(band, wx).T, wy).T


def _along_rows(band: Array, weights: Array, step: int = 32) -> Array:
    """``band @ weights.T``, a few outputs at a time: each of them needs few of the inputs."""
    out = np.empty((band.shape[0], weights.shape[0]), np.float32)
    for start in range(0, weights.shape[0], step):
        some = weights[start : start + step]
        used = np.flatnonzero(some.any(axis=0))
        part = slice(used[0], used[-1] + 1) if used.size else slice(0, 0)
        out[:, start : start + step] = band[:, part] @ some[:, part].T
    return out


def _weights(centres: Array, positions: Array, sigma: float) -> Array:
    weights = np.exp(-0.5 * ((positions[None, :] - centres[:, None]) / sigma) ** 2)
    weights[weights < 1e-4] = 0
    weights /= np.maximum(weights.sum(axis=1, keepdims=True), 1e-12)
    return weights.astype(np.float32)


def gaussian_sigma(gain: float) -> float:
    """Standard deviation in MS pixels of a Gaussian with this gain at the MS Nyquist frequency."""
    return sqrt(-2 * log(gain if 0 < gain < 1 else DEFAULT_GAIN)) / pi


class Survey:
    """The pass itself; ``run`` fills ``energy``, ``change``, ``errors``, ``angles``, ``counts``.

    ``baseline`` names the image that does not count when looking for the largest change.
    """

    def __init__(
        self,
        pan: Source,
        ms: Source,
        fused: Mapping[str, Source],
        reference: Source | None,
        gains: Sequence[float] | None,
        cell: int,
        map_side: int,
        baseline: str,
    ) -> None:
        self.pan, self.ms, self.fused, self.reference = pan, ms, dict(fused), reference
        base = next(iter(fused.values())).info
        self.base, self.cell = base, cell
        self.baseline = baseline if len(self.fused) > 1 else ""
        self.n = min([len(ms.info.bands)] + [len(s.info.bands) for s in self.fused.values()])
        self.tie_ms = Tie.between(base, ms.info)
        self.levels = sample_levels(ms)
        scale = sample_levels(reference) if reference else self.levels
        self._scale = np.where(scale.mean > 0, scale.mean, 1.0)[: self.n, None, None]
        gains = tuple(gains or ()) or (DEFAULT_GAIN,) * self.n
        ax, ay = abs(self.tie_ms.ax), abs(self.tie_ms.ay)
        self._sigmas = [(gaussian_sigma(g) / ax, gaussian_sigma(g) / ay) for g in gains[: self.n]]
        self._make_grids(map_side)
        series = ["ms", *(["reference"] if reference else []), *self.fused]
        self.counts = {name: np.zeros((self.n, BINS), np.int64) for name in series}

    def _make_grids(self, map_side: int) -> None:
        width, height = self.base.width, self.base.height
        cells = ceil(width / self.cell), ceil(height / self.cell)
        self.energy = Grid(width, height, *cells, step=self.cell)
        self.change = Grid(width, height, *cells, step=self.cell)
        finest = (1.0, 1.0) if self.reference else (abs(self.tie_ms.ax), abs(self.tie_ms.ay))
        shrink = min(1.0, map_side / max(width * finest[0], height * finest[1]))
        size = (
            max(1, int(width * finest[0] * shrink)),
            max(1, int(height * finest[1] * shrink)),
        )
        self.errors = {name: Grid(width, height, *size) for name in self.fused}
        self.angles = {name: Grid(width, height, *size) for name in self.fused}

    def run(self, progress: Progress) -> None:
        """Read everything once."""
        side = self.cell * max(1, TILE // self.cell)
        places = grid(Window(0, 0, self.base.width, self.base.height), side)
        for number, tile in enumerate(places):
            self._look_at(tile, progress)
            progress.update((number + 1) / len(places))

    def _look_at(self, tile: Window, progress: Progress) -> None:
        x = tile.col + np.arange(tile.width) + 0.5
        y = tile.row + np.arange(tile.height) + 0.5
        self._add_detail(x, y)
        centres = self._ms_centres(tile)
        ms = read_nearest(self.ms, self.tie_ms, *centres)
        self._add_counts("ms", *ms)
        truth = None
        if self.reference:
            truth = read_nearest(self.reference, Tie.between(self.base, self.reference.info), x, y)
            self._add_counts("reference", *truth)
        for name, source in self.fused.items():
            if progress.cancelled():
                raise Cancelled
            if truth is not None:
                values, valid = read_nearest(source, Tie.between(self.base, source.info), x, y)
                self._add_counts(name, values, valid)
                self._add_errors(name, (x, y), (values, valid), truth)
            else:
                self._add_residual(name, source, (x, y), centres, ms)

    def _ms_centres(self, tile: Window) -> Pair:
        """Base positions of the MS pixel centres inside a tile: every MS pixel in one tile only."""
        tie, out = self.tie_ms, []
        for start, size, a, b in (
            (tile.col, tile.width, tie.ax, tie.bx),
            (tile.row, tile.height, tie.ay, tie.by),
        ):
            first, last = sorted((a * start + b, a * (start + size) + b))
            index = np.arange(ceil(first - 0.5 - 1e-9), ceil(last - 0.5 - 1e-9))
            out.append((index + 0.5 - b) / a)
        return out[0], out[1]

    def _add_detail(self, x: Array, y: Array) -> None:
        pan, valid = read_nearest(self.pan, Tie.between(self.base, self.pan.info), x, y)
        slope = np.zeros(valid.shape)
        slope[:, :-1] += np.abs(np.diff(pan[0], axis=1)) * (valid[:, 1:] & valid[:, :-1])
        slope[:-1] += np.abs(np.diff(pan[0], axis=0)) * (valid[1:] & valid[:-1])
        self.energy.add(x, y, slope, valid)

    def _add_counts(self, name: str, values: Array, valid: Array) -> None:
        for band in range(self.n):
            self.counts[name][band] += self.levels.bins[band].count(values[band][valid])

    def _add_residual(self, name: str, source: Source, at: Pair, centres: Pair, ms: Pair) -> None:
        """Blur the fused image like the sensor would, and compare it with the MS."""
        tie = Tie.between(self.base, source.info)
        wide = self._with_halo(at)
        values, valid = read_nearest(source, tie, *wide)
        col, row = (int(at[axis][0] - wide[axis][0]) for axis in (0, 1))
        inner = slice(row, row + at[1].size), slice(col, col + at[0].size)
        self._add_counts(name, values[:, inner[0], inner[1]], valid[inner])
        if centres[0].size and centres[1].size:
            small = degrade(values[: self.n], valid, wide, centres, self._sigmas)
            self._add_errors(name, centres, small, ms)

    def _with_halo(self, at: Pair) -> Pair:
        """Positions grown by what the blur needs, as far as the image goes."""
        out = []
        for axis, size in enumerate((self.base.width, self.base.height)):
            halo = ceil(4 * max(sigma[axis] for sigma in self._sigmas))
            grown = np.arange(at[axis][0] - halo, at[axis][-1] + halo + 0.5)
            out.append(grown[(grown > 0) & (grown < size)])
        return out[0], out[1]

    def _add_errors(self, name: str, at: Pair, image: Pair, target: Pair) -> None:
        (values, ok), (truth, known) = image, target
        values, truth, valid = values[: self.n], truth[: self.n], ok & known
        error = np.mean(((values - truth) / self._scale) ** 2, axis=0)
        self.errors[name].add(at[0], at[1], error, valid)
        if name != self.baseline:
            self.change.add(at[0], at[1], error, valid)
        norms = np.sqrt(np.sum(values**2, axis=0) * np.sum(truth**2, axis=0))
        seen = valid & (norms > 0)
        cosine = np.sum(values * truth, axis=0) / np.where(norms > 0, norms, 1.0)
        self.angles[name].add(at[0], at[1], np.degrees(np.arccos(np.clip(cosine, -1, 1))), seen)
