"""The image under test: where it lies on the PAN grid, and how it looks through the MS sensor."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Callable, Sequence

import numpy as np

from ..errors import WhetstoneError
from ..interpolation import Taps, filter_taps
from ..mtf import gaussian_mtf, product_kernel, separate
from ..nodata import fill
from ..types import Window
from .smooth import correlate, sample

if TYPE_CHECKING:
    from ..pair import Pair
    from ..raster.model import RasterInfo
    from ..raster.source import Source
    from ..types import Array

#: Grids that differ by less (in PAN pixels) are the same.
SAME_GRID = 1e-3
#: A low-passed value counts when at least this share of its filter lies on valid pixels.
MIN_WEIGHT = 0.4
FILL_STEPS = 5


def place(pair: Pair, source: Source, name: str) -> Window:
    """Where an image lies on the PAN grid; refused in words when it does not lie on it.

    ``name`` is what messages call it ("The fused image"). Without georeferencing, and always in the
    toolbox protocol, it must have the size of the PAN.
    """
    info, pan = source.info, pair.pan.info
    _check_bands(pair, info, name)
    if pair.protocol == "toolbox" or info.transform is None or pan.transform is None:
        if (info.width, info.height) != (pan.width, pan.height):
            why = "the toolbox protocol" if pair.protocol == "toolbox" else "no georeferencing"
            raise _refusal(
                f"{name} has {info.width} x {info.height} pixels, the PAN {pan.width} x "
                f"{pan.height}; with {why} they must be equal."
            )
        return Window(0, 0, pan.width, pan.height)
    if info.crs and pan.crs and not pair.backend.same_crs(info.crs, pan.crs):
        labels = [pair.backend.crs_label(crs) for crs in (info.crs, pan.crs)]
        raise WhetstoneError(
            "CRS_DIFFERENT",
            f"{name} is {labels[0]}, the PAN is {labels[1]}.",
            "Choose the image that was fused from this PAN.",
        )
    col = _start(info.transform[:2], pan.transform[:2], info.width, f"{name} (in x)")
    row = _start(info.transform[3::2], pan.transform[3::2], info.height, f"{name} (in y)")
    window = Window(col, row, info.width, info.height)
    if window.intersect(Window(0, 0, pan.width, pan.height)).empty:
        raise WhetstoneError(
            "NO_OVERLAP",
            f"{name} does not overlap the PAN: it begins at PAN pixel ({col}, {row}).",
            "Choose the image that was fused from this PAN.",
        )
    return window


def _check_bands(pair: Pair, info: RasterInfo, name: str) -> None:
    if len(info.bands) != pair.bands:
        raise WhetstoneError(
            "BANDS_DIFFERENT",
            f"{name} has {len(info.bands)} band(s), the MS has {pair.bands}.",
            "Choose the bands of the MS that were fused, in the same order.",
        )


def _start(here: Sequence[float], there: Sequence[float], size: int, name: str) -> int:
    """PAN index of the first of ``size`` pixels, from (origin, step) of both grids on one axis."""
    start = (here[0] - there[0]) / there[1]
    stop = start + size * here[1] / there[1]
    if abs(stop - start - size) > SAME_GRID:
        raise _refusal(
            f"{name} has pixels of {abs(here[1]):.10g}, the PAN of {abs(there[1]):.10g}."
        )
    if max(abs(start - round(start)), abs(stop - round(stop))) > SAME_GRID:
        raise _refusal(
            f"{name} lies {start - round(start):+.4f} PAN pixels beside the grid of the PAN."
        )
    return round(start)


def _refusal(message: str) -> WhetstoneError:
    return WhetstoneError(
        "GRID_DIFFERENT",
        message,
        "Warp it to the grid of the PAN, or choose the image fused from it.",
    )


class FusedImage:
    """An image on the PAN grid, read by PAN windows as float64, also from several threads.

    ``window`` is what it covers, in PAN pixels.
    """

    def __init__(self, pair: Pair, source: Source, window: Window) -> None:
        self._pair, self._source, self.window = pair, source, window
        self._lock = threading.Lock()
        self._whole_low: Array | None = None

    @property
    def dtype(self) -> str:
        """The type of its pixels in the file."""
        return self._source.info.bands[0].dtype

    def read(self, window: Window) -> tuple[Array, Array | None]:
        """(B, h, w) of a window inside the image and its validity (h, w), None for all."""
        own = window._replace(col=window.col - self.window.col, row=window.row - self.window.row)
        with self._lock:
            values, valid = self._source.read(own)
        if valid is not None and valid.all():
            valid = None
        return values.astype(float), valid

    def _padded(self, window: Window) -> tuple[Array, Array | None]:
        """Any window: 0 where the image is invalid or ends; and weights 0 there, None for all 1."""
        inside = window.intersect(self.window)
        values, valid = self.read(inside)
        if inside == window and valid is None:
            return values, None
        padded, weights = np.zeros((len(values), *window.shape)), np.zeros(window.shape)
        target = inside.within(window)
        padded[(..., *target)] = values if valid is None else np.where(valid, values, 0.0)
        weights[target] = 1.0 if valid is None else valid
        return padded, weights

    def low(self, window: Window) -> Array:
        """(B, h, w): a window as the MS sensor's MTF shows it, at PAN sampling.

        In the product, pixels that are missing (nodata, beyond the edge) take no part; the toolbox
        repeats the border and is asked for the whole image only.
        """
        if self._pair.protocol == "toolbox":
            return self._toolbox_low(window)

        def one(values: Array, weights: Array | None, kernel: Array, margin: int) -> Array:
            spare = margin - len(kernel) // 2
            rows, cols = (slice(spare, size - spare) for size in values.shape[-2:])
            top = correlate(values[..., rows, cols], kernel)
            if weights is None:
                return top
            share = correlate(weights[rows, cols], kernel)
            return top / np.where(share > 1e-6, share, 1.0)

        kernels = self._kernels()
        margin = max(len(kernel) for kernel in kernels) // 2
        values, weights = self._padded(window.expand(margin))
        return self._by_gain(lambda index, kernel: one(values[index], weights, kernel, margin))

    def at_ms(self, ms_window: Window) -> tuple[Array, Array | None]:
        """(B, h, w) at MS pixel centres through the MTF, and where that is known (h, w)."""
        if self._pair.protocol == "toolbox":
            ratio = int(self._pair.ratio)
            low = self._toolbox_low(self.window)
            return low[:, ratio // 2 :: ratio, ratio // 2 :: ratio], None
        taps = {kernel.tobytes(): self._ms_taps(ms_window, kernel) for kernel in self._kernels()}
        every = [axis for axes in taps.values() for axis in axes]
        rows, cols = every[::2], every[1::2]
        col, row = min(t.first for t in cols), min(t.first for t in rows)
        reach = Window(col, row, max(t.stop for t in cols) - col, max(t.stop for t in rows) - row)
        values, weights = self._padded(reach)
        known = None if weights is None else self._centres(ms_window, reach, weights)

        def one(index: Array, kernel: Array) -> Array:
            rows, cols = (t.shifted(o) for t, o in zip(taps[kernel.tobytes()], (row, col)))
            top = sample(values[index], rows, cols)
            if weights is None or known is None:
                return top
            share = sample(weights, rows, cols)
            known[share < MIN_WEIGHT] = False
            return top / np.where(share >= MIN_WEIGHT, share, 1.0)

        return self._by_gain(one), known

    def _centres(self, ms_window: Window, reach: Window, weights: Array) -> Array:
        """Whether the PAN pixel at the centre of each MS pixel is valid, (h, w)."""
        where = self._pair.geometry.pan_position
        rows = where(1, np.arange(ms_window.row, ms_window.stop[1]))
        cols = where(0, np.arange(ms_window.col, ms_window.stop[0]))
        near = [np.floor(index + 0.5).astype(int) for index in (rows, cols)]
        return weights[np.ix_(near[0] - reach.row, near[1] - reach.col)] > 0

    def _ms_taps(self, ms: Window, kernel: Array) -> tuple[Taps, Taps]:
        where = self._pair.geometry.pan_position
        return (
            filter_taps(where(1, np.arange(ms.row, ms.row + ms.height)), kernel),
            filter_taps(where(0, np.arange(ms.col, ms.col + ms.width)), kernel),
        )

    def _kernels(self) -> list[Array]:
        return [product_kernel(gain, self._pair.ratio) for gain in self._pair.sensor.ms_gains]

    def _by_gain(self, filtered: Callable[[Array, Array], Array]) -> Array:
        """Bands filtered group by group: ``filtered(band indices, kernel)`` for every MTF gain."""
        gains = np.array(self._pair.sensor.ms_gains)
        bands: list[Array] = [gains] * len(gains)  # every place is filled below
        for gain in dict.fromkeys(self._pair.sensor.ms_gains):
            index = np.flatnonzero(gains == gain)
            group = filtered(index, product_kernel(gain, self._pair.ratio))
            for place, image in zip(index, group):
                bands[place] = image
        return np.stack(bands)

    def _toolbox_low(self, window: Window) -> Array:
        """The whole image through the unnormalised 41-tap filters, border repeated; kept."""
        if self._whole_low is None:
            values, valid = self.read(window)
            if valid is not None:
                values = fill(values, valid, FILL_STEPS)
            gains = self._pair.sensor.ms_gains
            kernels = [gaussian_mtf(gain, self._pair.ratio) for gain in gains]
            self._whole_low = np.stack([_filtered(b, k) for b, k in zip(values, kernels)])
        return self._whole_low


def _filtered(band: Array, kernel: Array) -> Array:
    """Correlate (h, w) with a symmetric 2-D kernel, exactly, replicate border."""
    padded = np.pad(band, kernel.shape[0] // 2, mode="edge")
    terms = [weight * correlate(padded, profile) for weight, profile in separate(kernel, 1e-17)]
    return np.sum(terms, axis=0)
