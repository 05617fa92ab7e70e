"""What a deep model is given of a scene: PAN, LMS and MS on the grids it was trained on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Callable, Mapping, NamedTuple, Sequence

import numpy as np

from ..classical.statistics import percentile
from ..interpolation import lagrange_taps, reach, resample
from ..nodata import steps_to
from ..types import Window

if TYPE_CHECKING:
    from ..classical import Scene
    from ..pair import Geometry, Pair
    from ..types import Array
    from .presharpen import Presharpener

#: Reads MS values (B, h, w) of any window.
ReadMS = Callable[[Window], "Array"]


@dataclass(frozen=True)
class Grid:
    """The grids of a model: MS sample k of a window lies at PAN pixel ratio * k + phase of it."""

    ratio: int
    phase: float


class Inputs(NamedTuple):
    """A window as a model sees it, in digital numbers; ``valid`` is None where all pixels are."""

    pan: Array  # (h, w)
    lms: Array  # (B, h, w)
    ms: Array  # (B, h / ratio, w / ratio)
    valid: Array | None  # (h, w)


@dataclass(frozen=True)
class Scale:
    """Digital numbers to a model's units: ``(DN - offset) / divisor``, for the PAN and per band."""

    pan: float
    ms: Array  # (B,) float32
    pan_offset: float
    ms_offset: Array  # (B,) float32

    def ordered(self, bands: Sequence[int]) -> Scale:
        """The scale of an image whose band ``bands[k]`` is the k-th of this one."""
        order = np.argsort(bands)
        return replace(self, ms=self.ms[order], ms_offset=self.ms_offset[order])

    def first(self, bands: int) -> Scale:
        """The scale of the first bands alone."""
        return replace(self, ms=self.ms[:bands], ms_offset=self.ms_offset[:bands])

    def of_pan(self, pan: Array) -> Array:
        """PAN of any shape in the model's units, float32."""
        return ((pan - np.float32(self.pan_offset)) / np.float32(self.pan)).astype(np.float32)

    def of_image(self, image: Array) -> Array:
        """An image (..., B, h, w) in the model's units, float32."""
        return ((image - _by_band(self.ms_offset)) / _by_band(self.ms)).astype(np.float32)

    def to_dn(self, image: Array) -> Array:
        """An image (..., B, h, w) of the model's units in digital numbers."""
        return image * _by_band(self.ms) + _by_band(self.ms_offset)


def _by_band(values: Array) -> Array:
    return values[:, None, None]


def scale_of(normalisation: Mapping[str, Any], pan: Array, ms: Array) -> Scale:
    """The scale of images held in memory: ``pan`` of any shape, ``ms`` (B, ...)."""
    kind, flat = normalisation["kind"], ms.reshape(len(ms), -1)
    if kind == "full_scale":
        return _full_scale(normalisation, len(ms))
    if kind == "fixed":
        return _fixed(normalisation)
    if kind == "standard":
        spread = pan.std(dtype=np.float64), flat.std(axis=1, dtype=np.float64)
        return _scale(*spread, pan.mean(dtype=np.float64), flat.mean(axis=1, dtype=np.float64))
    percent = float(normalisation["value"])
    bands = [percentile(band, percent) for band in flat]
    return _scale(percentile(pan.ravel(), percent), np.array(bands))


def estimate_scale(normalisation: Mapping[str, Any], scene: Scene) -> Scale:
    """The scale of a scene, from a sample of its windows."""
    kind = normalisation["kind"]
    if kind == "full_scale":
        return _full_scale(normalisation, scene.bands)
    if kind == "fixed":
        return _fixed(normalisation)
    if kind == "standard":
        pan, ms = scene.moments(lambda f: {"pan": f.pan}, lambda f: {"ms": f.ms})
        spread = float(pan.std("pan")[0]), ms.std("ms")
        return _scale(*spread, float(pan.mean("pan")[0]), ms.mean("ms"))
    return _scale(*scene.percentiles(float(normalisation["value"])))


def as_fixed(scale: Scale) -> dict[str, Any]:
    """A scale as a model's normalisation, whatever the scene: offsets and divisors."""
    bands = zip(scale.ms_offset.tolist(), scale.ms.tolist())
    return {
        "kind": "fixed",
        "pan": [scale.pan_offset, scale.pan],
        "ms": [list(pair) for pair in bands],
    }


def _fixed(normalisation: Mapping[str, Any]) -> Scale:
    offset, divisor = normalisation["pan"]
    offsets, divisors = np.array(normalisation["ms"]).T
    return _scale(divisor, divisors, offset, offsets)


def _full_scale(normalisation: Mapping[str, Any], bands: int) -> Scale:
    value = float(normalisation["value"])
    return _scale(value, np.full(bands, value))


def _scale(pan: float, ms: Array, pan_offset: float = 0.0, ms_offset: Array | None = None) -> Scale:
    """Divisors that are positive, whatever a constant band says."""
    offset = np.zeros(len(ms)) if ms_offset is None else ms_offset
    return Scale(
        float(pan) if pan > 0 else 1.0,
        np.where(ms > 0, ms, 1).astype(np.float32),
        float(pan_offset),
        offset.astype(np.float32),
    )


def lms_and_ms(
    read_ms: ReadMS, geometry: Geometry, window: Window, grid: Grid
) -> tuple[Array, Array]:
    """LMS (B, h, w) of a PAN window, and the MS on the model's grid (B, h / ratio, w / ratio).

    Both by 12-point Lagrange interpolation; where the model's grid is the MS's own, the MS comes
    out as it is.
    """
    up = [lagrange_taps(where) for where in geometry.ms_positions(window)]
    own = []
    for axis, start, size in ((1, window.row, window.height), (0, window.col, window.width)):
        centres = start + grid.phase + grid.ratio * np.arange(size // grid.ratio)
        # freed of rounding, so that a grid that fits, fits exactly
        own.append(lagrange_taps(np.round(geometry.ms_position(axis, centres), 9)))
    first = [min(u.first, o.first) for u, o in zip(up, own)]
    stop = [max(u.stop, o.stop) for u, o in zip(up, own)]
    values = read_ms(Window(first[1], first[0], stop[1] - first[1], stop[0] - first[0]))
    lms, ms = (
        resample(values, rows.shifted(first[0]), cols.shifted(first[1])) for rows, cols in (up, own)
    )
    return lms, ms


def read_inputs(
    pair: Pair, window: Window, grid: Grid, side: int, base: Presharpener | None = None
) -> Inputs:
    """Read a PAN window with sides that are multiples of the ratio; it may leave the scene.

    Invalid pixels are filled as far as a model's window (of ``side`` pixels) reaches, so that its
    window-wide operations see no holes. With a ``base`` its image comes in place of the LMS.
    """
    ms_steps = steps_to(side // grid.ratio)
    pan, pan_valid = pair.read_pan(window, steps_to(side - 1))
    seen: list[tuple[Window, Array | None]] = []

    def read_ms(around: Window) -> Array:
        values, valid = pair.read_ms(around, ms_steps)
        seen.append((around, valid))
        return values

    lms, ms = lms_and_ms(read_ms, pair.geometry, window, grid)
    if base:
        lms = base.image(pan, window, side - 1)
    around, ms_valid = seen[0]
    return Inputs(pan, lms, ms, pair.valid(window, pan_valid, ms_valid, around))


def read_pan_and_lms(
    pair: Pair, window: Window, filled: int, base: Presharpener | None = None
) -> tuple[Array, Array, Array | None]:
    """PAN (h, w), LMS (B, h, w) and validity (h, w) of any PAN window, None where all is valid.

    Invalid pixels are filled as far as ``filled`` PAN pixels. With a ``base`` its image comes in
    place of the LMS.
    """
    pan, pan_valid = pair.read_pan(window, steps_to(filled))
    rows, cols = map(lagrange_taps, pair.geometry.ms_positions(window))
    around = reach(rows, cols)
    ms, ms_valid = pair.read_ms(around, steps_to(int(filled / pair.ratio) + 1))
    if base:
        lms = base.image(pan, window, filled)
    else:
        lms = resample(ms, rows.shifted(around.row), cols.shifted(around.col))
    return pan, lms, pair.valid(window, pan_valid, ms_valid, around)
