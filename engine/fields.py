"""The images every method and metric is made of, for one window of a scene.

``pan``, ``lms`` (MS interpolated to the PAN grid), the low-passed PANs and their MS-scale
counterparts, each computed when first asked for. Two ways of making them share their names:

* :class:`WindowFields` - the product: any window, true phase from the geotransforms, mirrored
  borders, filters of unit gain. A pixel has the same bits whatever window it is computed in.
* :class:`SceneFields` - the toolbox protocol: the whole scene as arrays, with the borders, phases
  and filter gains of the published tables.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Callable, NamedTuple, Union

import numpy as np

from .interpolation import (
    Taps,
    cubic,
    filter_taps,
    imresize,
    interp23,
    kernel_taps,
    lagrange_taps,
    mirror,
    reach,
    resample,
)
from .mtf import (
    box_kernel,
    correlate,
    correlate_separable,
    gaussian_mtf,
    generic_lowpass,
    product_kernel,
    spline_kernel,
    spline_lowpass,
)
from .types import Window

if TYPE_CHECKING:
    from .pair import Pair
    from .types import Array

#: Ratio methods multiply by PAN / low-passed PAN; beyond this range that quotient is noise.
RATIO_RANGE = (0.0, 10.0)


class Observation(NamedTuple):
    """PAN and MS of a region with the operators between their grids, for iterative methods."""

    pan: Array  # (H, W)
    ms: Array  # (B, h, w)
    down: Callable[[Array], Array]  # (B, H, W) -> (B, h, w)
    up: Callable[[Array], Array]  # (B, h, w) -> (B, H, W)
    inside: tuple[slice, slice]  # rows, columns of the asked window inside the region


class _Shared:
    """What both kinds share."""

    clips = False

    def __init__(self, pair: Pair, window: Window) -> None:
        self.pair, self.window = pair, window
        self.dtype = pair.dtype
        self.clipped = 0

    def _gains_once(self, image_of: Callable[[float], Array]) -> Array:
        """(B, ...) images that depend on a band's MTF gain; equal gains are computed once."""
        gains = self.pair.sensor.ms_gains
        images = {gain: image_of(gain) for gain in dict.fromkeys(gains)}
        return np.stack([images[gain] for gain in gains])

    def quotient(self, numerator: Array, denominator: Array) -> Array:
        """``numerator / denominator``; the product clips it to [0, 10] and counts the pixels."""
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = numerator / (denominator + np.finfo(np.float64).eps.astype(self.dtype))
        if not self.clips:
            return ratio
        low, high = RATIO_RANGE
        odd = ~((ratio >= low) & (ratio <= high))
        if odd.any():
            ratio = np.clip(np.where(np.isnan(ratio), 1, ratio), low, high)
            if self.valid is not None:
                odd &= self.valid
            self.clipped += int(np.count_nonzero(odd if odd.ndim == 2 else odd.any(axis=0)))
        return ratio

    @property
    def valid(self) -> Array | None:
        """Where PAN and MS are valid, (h, w); None: everywhere."""
        raise NotImplementedError


class WindowFields(_Shared):
    """Fields of a window in product mode. ``window`` is in PAN pixels and inside the scene."""

    clips = True

    def __init__(self, pair: Pair, window: Window) -> None:
        super().__init__(pair, window)
        self._pan_block: tuple[Window, Array, Array | None] | None = None

    # -- axes -------------------------------------------------------------------------------------

    @cached_property
    def _up(self) -> tuple[Taps, Taps]:
        """From MS to the window's PAN pixels by the Lagrange polynomial."""
        rows, cols = self.pair.geometry.ms_positions(self.window)
        return lagrange_taps(rows), lagrange_taps(cols)

    def _down(self, ms: Window, make: Callable[[Array, float], Taps]) -> tuple[Taps, Taps]:
        """From PAN to the MS pixels of ``ms``; ``make`` turns positions and ratio into taps."""
        geometry = self.pair.geometry
        rows, cols = geometry.pan_positions(ms)
        return make(rows, geometry.ratio[1]), make(cols, geometry.ratio[0])

    def _pan_at(self, rows: Taps, cols: Taps) -> Array:
        """PAN resampled by absolute taps."""
        window = reach(rows, cols)
        return resample(self._pan(window), rows.shifted(window.row), cols.shifted(window.col))

    def _up_from(self, image: Array, origin: Window, up: tuple[Taps, Taps]) -> Array:
        """MS-scale images that start at ``origin`` brought to the window."""
        rows, cols = up
        return resample(image, rows.shifted(origin.row), cols.shifted(origin.col))

    # -- inputs -----------------------------------------------------------------------------------

    def _pan(self, window: Window) -> Array:
        """PAN in any window; the largest one read so far is kept."""
        if self._pan_block is None or not self._pan_block[0].contains(window):
            self._pan_block = (window, *self.pair.read_pan(window))
        kept, values, _ = self._pan_block
        return values[window.within(kept)]

    @cached_property
    def pan(self) -> Array:
        """PAN, (h, w)."""
        return self._pan(self.window)

    @cached_property
    def _ms_block(self) -> tuple[Window, Array, Array | None]:
        window = reach(*self._up)
        return (window, *self.pair.read_ms(window))

    @cached_property
    def lms(self) -> Array:
        """MS interpolated to the PAN grid, (B, h, w)."""
        window, values, _ = self._ms_block
        return self._up_from(values, window, self._up)

    @cached_property
    def valid(self) -> Array | None:
        """Where PAN and the nearest MS pixel are valid, (h, w); None: everywhere."""
        self._pan(self.window)
        kept, _, pan_valid = self._pan_block  # type: ignore[misc]
        if pan_valid is not None:
            pan_valid = pan_valid[self.window.within(kept)]
        window, _, ms_valid = self._ms_block
        return self.pair.valid(self.window, pan_valid, ms_valid, window)

    # -- low-passed PANs on the PAN grid -----------------------------------------------------------

    def _smooth(self, kernel: Array) -> Array:
        return correlate_separable(self._pan(self.window.expand(len(kernel) // 2)), kernel, kernel)

    @cached_property
    def pan_generic(self) -> Array:
        """PAN through the Gaussian of gain 0.3, (h, w)."""
        return self._smooth(product_kernel(0.3, self.pair.ratio, generic=True))

    @cached_property
    def pan_spline(self) -> Array:
        """PAN through the a-trous low-pass, (h, w)."""
        return self._smooth(spline_kernel(self.pair.ratio))

    @cached_property
    def pan_box(self) -> Array:
        """PAN through the box of HPF and SFIM, (h, w)."""
        return self._smooth(box_kernel(self.pair.ratio))

    @cached_property
    def pan_cubic(self) -> Array:
        """PAN reduced to the MS grid and enlarged again, both bicubic, (h, w)."""
        return self._down_up_cubic(self._pan_at)

    def down_up_cubic(self, image_of: Callable[[WindowFields], Array]) -> Array:
        """The same for any image (n, h, w) that ``image_of`` makes of the fields of a window."""

        def at(rows: Taps, cols: Taps) -> Array:
            window = reach(rows, cols)
            image = image_of(WindowFields(self.pair, window))
            return resample(image, rows.shifted(window.row), cols.shifted(window.col))

        return self._down_up_cubic(at)

    def _down_up_cubic(self, at: Callable[[Taps, Taps], Array]) -> Array:
        rows, cols = self.pair.geometry.ms_positions(self.window)
        up = kernel_taps(rows, cubic, 2), kernel_taps(cols, cubic, 2)
        ms = reach(*up)
        small = at(*self._down(ms, lambda where, ratio: kernel_taps(where, cubic, 2, ratio)))
        return self._up_from(small, ms, up)

    @cached_property
    def pan_lms(self) -> Array:
        """PAN reduced bicubically and interpolated like the MS, (h, w): the reference of D_s."""
        ms = reach(*self._up)
        small = self._pan_at(*self._down(ms, lambda w, ratio: kernel_taps(w, cubic, 2, ratio)))
        return self._up_from(small, ms, self._up)

    @cached_property
    def pan_glp(self) -> Array:
        """PAN seen through each MS band's MTF, sampled and interpolated like the MS, (B, h, w)."""
        ms = reach(*self._up)

        def image(gain: float) -> Array:
            kernel = product_kernel(gain, self.pair.ratio)
            small = self._pan_at(*self._down(ms, lambda where, _: filter_taps(where, kernel)))
            return self._up_from(small, ms, self._up)

        return self._gains_once(image)

    @property
    def glp_of_one(self) -> Array:
        """What ``pan_glp`` makes of a PAN that is 1 everywhere: 1, (1, 1, 1)."""
        return np.ones((1, 1, 1), self.dtype)

    # -- MS scale ---------------------------------------------------------------------------------

    @cached_property
    def ms_window(self) -> Window:
        """The MS pixels whose centres lie in the window."""
        whole = Window(0, 0, self.pair.ms.info.width, self.pair.ms.info.height)
        return self.pair.geometry.ms_window(self.window).intersect(whole)

    @cached_property
    def ms(self) -> Array:
        """The measured MS, (B, h, w) of ``ms_window``."""
        window, values, _ = self._ms_block
        if window.contains(self.ms_window):
            return values[(..., *self.ms_window.within(window))]
        return self.pair.read_ms(self.ms_window)[0]

    @cached_property
    def ms_valid(self) -> Array | None:
        """Where the MS pixel and the PAN pixel at its centre are valid, (h, w) of ``ms_window``."""
        ms_valid = self.pair.read_ms(self.ms_window)[1]
        if self.valid is None:
            return ms_valid
        rows, cols = self._down(self.ms_window, lambda where, _: lagrange_taps(where))
        near_rows = np.clip(rows.start + 5 - self.window.row, 0, self.window.height - 1)
        near_cols = np.clip(cols.start + 5 - self.window.col, 0, self.window.width - 1)
        pan_valid = self.valid[np.ix_(near_rows, near_cols)]
        return pan_valid if ms_valid is None else ms_valid & pan_valid

    @property
    def ms_reduced(self) -> Array:
        """The MS-scale image BDSD trains on: the MS itself, (B, h, w)."""
        return self.ms

    @cached_property
    def ms_blurred(self) -> Array:
        """The MS low-passed by each band's MTF once more, (B, h, w)."""
        kernels = [product_kernel(gain, self.pair.ratio) for gain in self.pair.sensor.ms_gains]
        margin = max(len(kernel) for kernel in kernels) // 2
        values, _ = self.pair.read_ms(self.ms_window.expand(margin))
        return np.stack(
            [
                correlate_separable(_trim(band, margin - len(kernel) // 2), kernel, kernel)
                for band, kernel in zip(values, kernels)
            ]
        )

    @cached_property
    def pan_spline_ms(self) -> Array:
        """The a-trous low-passed PAN at the MS pixel centres, (h, w) of ``ms_window``."""
        return self._pan_filtered_at_ms(spline_kernel(self.pair.ratio))

    @cached_property
    def pan_mtf_ms(self) -> Array:
        """PAN through the PAN's MTF gain at the MS pixel centres, (h, w) of ``ms_window``."""
        return self.pan_at_ms(self.pair.sensor.pan_gain)

    def pan_at_ms(self, gain: float) -> Array:
        """PAN through an MTF gain at the MS pixel centres, (h, w) of ``ms_window``."""
        return self._pan_filtered_at_ms(product_kernel(gain, self.pair.ratio))

    def _pan_filtered_at_ms(self, kernel: Array) -> Array:
        return self._pan_at(
            *self._down(self.ms_window, lambda where, _: filter_taps(where, kernel))
        )

    # -- iterative methods ------------------------------------------------------------------------

    def observation(self, margin: int) -> Observation:
        """PAN and MS of the window and its surroundings; ``down`` is the sensor's own MTF."""
        region = self.window.expand(margin)
        geometry = self.pair.geometry
        ms = geometry.ms_window(region)
        kernel = product_kernel(float(np.mean(self.pair.sensor.ms_gains)), self.pair.ratio)
        down = self._down(ms, lambda where, _: filter_taps(where, kernel))
        up = [lagrange_taps(where) for where in geometry.ms_positions(region)]
        return Observation(
            self._pan(region),
            self.pair.read_ms(ms)[0],
            _Folded(down[0].shifted(region.row), down[1].shifted(region.col), region.shape),
            _Folded(up[0].shifted(ms.row), up[1].shifted(ms.col), ms.shape),
            self.window.within(region),
        )


class SceneFields(_Shared):
    """Fields of the whole scene after the toolbox protocol (spec: DLPan/V21), float64."""

    @cached_property
    def _r(self) -> int:
        return int(self.pair.geometry.ratio[0])

    @cached_property
    def _read(self) -> tuple[Array, Array | None, Array, Array | None]:
        info = self.pair.ms.info
        pan, pan_valid = self.pair.read_pan(self.window)
        ms, ms_valid = self.pair.read_ms(Window(0, 0, info.width, info.height))
        return pan, pan_valid, ms, ms_valid

    @property
    def pan(self) -> Array:
        """PAN, (H, W)."""
        return self._read[0]

    @property
    def ms(self) -> Array:
        """MS, (B, h, w)."""
        return self._read[2]

    @property
    def ms_window(self) -> Window:
        """All of the MS."""
        return Window(0, 0, self.pair.ms.info.width, self.pair.ms.info.height)

    @cached_property
    def valid(self) -> Array | None:
        """Where PAN and MS are valid, (H, W); None: everywhere."""
        _, pan_valid, _, ms_valid = self._read
        return self.pair.valid(self.window, pan_valid, ms_valid, self.ms_window)

    @property
    def ms_valid(self) -> Array | None:
        """Where the MS is valid, (h, w)."""
        return self._read[3]

    @cached_property
    def lms(self) -> Array:
        """EXP: MS through the 23-tap interpolator, (B, H, W)."""
        return interp23(self.ms, self._r)

    def _decimate(self, image: Array) -> Array:
        return image[..., self._r // 2 :: self._r, self._r // 2 :: self._r]

    def _small(self, image: Array) -> Array:
        return imresize(image, self.ms.shape[-2:])

    @cached_property
    def pan_generic(self) -> Array:
        """LPGauss of PAN, (H, W)."""
        return correlate(self.pan, generic_lowpass(self._r))

    @cached_property
    def pan_spline(self) -> Array:
        """A-trous low-pass of PAN, (H, W)."""
        return spline_lowpass(self.pan, self._r)

    @cached_property
    def pan_box(self) -> Array:
        """Box-filtered PAN, (H, W)."""
        kernel = box_kernel(self._r)
        return correlate(self.pan, np.outer(kernel, kernel))

    @cached_property
    def pan_cubic(self) -> Array:
        """PAN through ``imresize`` down and up, (H, W)."""
        return self.down_up_cubic(lambda fields: fields.pan)

    def down_up_cubic(self, image_of: Callable[[SceneFields], Array]) -> Array:
        """Any image of the fields through ``imresize`` down and up."""
        return imresize(self._small(image_of(self)), self.pan.shape)

    @cached_property
    def pan_lms(self) -> Array:
        """EXP of the bicubically reduced PAN, (H, W)."""
        return interp23(self._small(self.pan), self._r)

    @cached_property
    def pan_glp(self) -> Array:
        """EXP of the MTF-filtered, decimated PAN, (B, H, W)."""
        return self._gains_once(
            lambda gain: interp23(
                self._decimate(correlate(self.pan, gaussian_mtf(gain, self._r))), self._r
            )
        )

    @cached_property
    def glp_of_one(self) -> Array:
        """What ``pan_glp`` makes of a PAN that is 1 everywhere, (B, H, W).

        Not 1: the toolbox normalises neither the MTF filters (0.998) nor the interpolator
        (1 - 4e-10).
        """
        gains = np.array([gaussian_mtf(gain, self._r).sum() for gain in self.pair.sensor.ms_gains])
        return gains[:, None, None] * interp23(np.ones(self.ms.shape[-2:]), self._r)

    @cached_property
    def ms_reduced(self) -> Array:
        """``imresize`` of EXP back to the MS grid, (B, h, w)."""
        return self._small(self.lms)

    @cached_property
    def ms_blurred(self) -> Array:
        """``ms_reduced`` through each band's MTF, (B, h, w)."""
        gains = self.pair.sensor.ms_gains
        return np.stack(
            [correlate(b, gaussian_mtf(g, self._r)) for b, g in zip(self.ms_reduced, gains)]
        )

    @cached_property
    def pan_spline_ms(self) -> Array:
        """Decimated a-trous low-pass of PAN, (h, w)."""
        return self._decimate(self.pan_spline)

    @cached_property
    def pan_mtf_ms(self) -> Array:
        """Decimated MTF-filtered PAN, (h, w)."""
        return self._decimate(correlate(self.pan, gaussian_mtf(self.pair.sensor.pan_gain, self._r)))

    def observation(self, margin: int) -> Observation:
        """The whole scene with ``imresize`` bilinear between the grids."""
        small, large = self.ms.shape[-2:], self.pan.shape
        return Observation(
            self.pan,
            self.ms,
            lambda x: imresize(x, small, "bilinear"),
            lambda x: imresize(x, large, "bilinear"),
            (slice(0, large[0]), slice(0, large[1])),
        )


class _Folded:
    """A resampling whose taps may reach beyond the array: the array is mirrored there."""

    def __init__(self, rows: Taps, cols: Taps, shape: tuple[int, int]) -> None:
        self._rows, self._cols = rows.shifted(rows.first), cols.shifted(cols.first)
        self._row_index = mirror(rows.first, rows.stop, shape[0])[:, None]
        self._col_index = mirror(cols.first, cols.stop, shape[1])

    def __call__(self, x: Array) -> Array:
        return resample(x[..., self._row_index, self._col_index], self._rows, self._cols)


def _trim(x: Array, margin: int) -> Array:
    return x[..., margin : x.shape[-2] - margin, margin : x.shape[-1] - margin] if margin else x


Fields = Union[WindowFields, SceneFields]


def fields(pair: Pair, window: Window) -> Fields:
    """The fields of a window after the pair's protocol."""
    return SceneFields(pair, window) if pair.protocol == "toolbox" else WindowFields(pair, window)
