"""What a deep model is given of a scene: PAN, LMS and MS on the grids it was trained on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Callable, Mapping, NamedTuple

import numpy as np

from ..classical.statistics import percentile
from ..interpolation import Taps, lagrange_taps, resample
from ..nodata import fill_reach
from ..types import Window

if TYPE_CHECKING:
    from ..classical import Scene
    from ..pair import Geometry, Pair
    from ..types import Array

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
    """What PAN and MS are divided by: ``pan`` one number, ``ms`` (B,), both float32."""

    pan: float
    ms: Array

    @property
    def image(self) -> Array:
        """The divisors of an image, (B, 1, 1)."""
        return self.ms[:, None, None]


def scale_of(normalisation: Mapping[str, Any], pan: Array, ms: Array) -> Scale:
    """The scale of images held in memory: ``pan`` of any shape, ``ms`` (B, ...)."""
    if normalisation["kind"] == "full_scale":
        return _scale(float(normalisation["value"]), np.full(len(ms), normalisation["value"]))
    percent = float(normalisation["value"])
    bands = [percentile(band.ravel(), percent) for band in ms]
    return _scale(percentile(pan.ravel(), percent), np.array(bands))


def estimate_scale(normalisation: Mapping[str, Any], scene: Scene) -> Scale:
    """The scale of a scene, from a sample of its windows."""
    if normalisation["kind"] == "full_scale":
        return scale_of(normalisation, np.empty(0), np.empty((scene.bands, 0)))
    return _scale(*scene.percentiles(float(normalisation["value"])))


def _scale(pan: float, ms: Array) -> Scale:
    """Divisors that are positive, whatever a black band says."""
    one = [value if value > 0 else 1.0 for value in (pan, *ms)]
    return Scale(float(one[0]), np.array(one[1:], np.float32))


def lms_and_ms(
    read_ms: ReadMS, geometry: Geometry, window: Window, grid: Grid
) -> tuple[Array, Array]:
    """LMS (B, h, w) of a PAN window, and the MS on the model's grid (B, h / ratio, w / ratio).

    Both by 12-point Lagrange interpolation; where the model's grid is the MS's own, the MS comes
    out as it is.
    """
    up, own = [], []
    for axis, start, size in ((1, window.row, window.height), (0, window.col, window.width)):
        pixels = np.arange(start, start + size)
        centres = start + grid.phase + grid.ratio * np.arange(size // grid.ratio)
        up.append(_taps(geometry.ms_position(axis, pixels)))
        own.append(_taps(geometry.ms_position(axis, centres)))
    first = [min(u.first, o.first) for u, o in zip(up, own)]
    stop = [max(u.stop, o.stop) for u, o in zip(up, own)]
    values = read_ms(Window(first[1], first[0], stop[1] - first[1], stop[0] - first[0]))
    lms, ms = (
        resample(values, rows.shifted(first[0]), cols.shifted(first[1])) for rows, cols in (up, own)
    )
    return lms, ms


def _taps(positions: Array) -> Taps:
    """Lagrange taps; positions are freed of rounding, so that a grid that fits, fits exactly."""
    return lagrange_taps(np.round(positions, 9))


def read_inputs(pair: Pair, window: Window, grid: Grid, side: int) -> Inputs:
    """Read a PAN window with sides that are multiples of the ratio; it may leave the scene.

    Invalid pixels are filled as far as a model's window (of ``side`` pixels) reaches, so that its
    window-wide operations see no holes.
    """
    pan, pan_valid = pair.read_pan(window, _steps(side - 1))
    seen: list[tuple[Window, Array | None]] = []

    def read_ms(around: Window) -> Array:
        values, valid = pair.read_ms(around, _steps(side // grid.ratio))
        seen.append((around, valid))
        return values

    lms, ms = lms_and_ms(read_ms, pair.geometry, window, grid)
    around, ms_valid = seen[0]
    return Inputs(pan, lms, ms, pair.valid(window, pan_valid, ms_valid, around))


def _steps(pixels: int) -> int:
    """Steps of filling that reach at least ``pixels``."""
    steps = 1
    while fill_reach(steps) < pixels:
        steps += 1
    return steps
