"""PAN and MS as one thing: tied by their geotransforms, read with borders, freed of nodata.

``phase`` is where the centre of MS pixel 0 lies on the PAN grid, in PAN pixel indices:
((x0_ms + res_ms/2) - (x0_pan + res_pan/2)) / res_pan. 1.5 for a common corner at ratio 4, 0 for
Landsat, 2 for the data sets of the literature. Half a PAN pixel here costs more quality than the
choice between most methods.
"""

from __future__ import annotations

import copy
import threading
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from .errors import WhetstoneError
from .interpolation import mirror
from .nodata import fill, fill_reach
from .raster import backend as raster_backend
from .raster.source import Source, open_source
from .sensors import SensorMatch, resolve_sensor
from .types import Progress, Window

if TYPE_CHECKING:
    from .jobs import RasterSource
    from .raster.model import Backend, RasterInfo
    from .types import Array, BBox

Coordinate = TypeVar("Coordinate", float, np.ndarray)

MIN_RATIO = 1.5
#: Steps of filling invalid MS pixels, and PAN pixels at ratios up to 10 (see ``_pan_steps``).
PAN_FILL_STEPS, MS_FILL_STEPS = 5, 3
#: Axes whose pixel size ratios differ by more are a stretched grid, not a measuring error.
MAX_ANISOTROPY = 0.02


@dataclass(frozen=True)
class Geometry:
    """Where the MS grid lies on the PAN grid; every pair is (x, y)."""

    ratio: tuple[float, float]
    phase: tuple[float, float]

    def ms_position(self, axis: int, pan_index: Coordinate) -> Coordinate:
        """Fractional MS index of PAN pixel centres along an axis (0 = x, 1 = y)."""
        return (pan_index - self.phase[axis]) / self.ratio[axis]

    def pan_position(self, axis: int, ms_index: Coordinate) -> Coordinate:
        """Fractional PAN index of MS pixel centres along an axis (0 = x, 1 = y)."""
        return ms_index * self.ratio[axis] + self.phase[axis]

    def ms_positions(self, window: Window) -> tuple[Array, Array]:
        """Fractional MS indices of the rows and of the columns of a PAN window."""
        (rows, cols), at = _indices(window), self.ms_position
        return at(1, rows), at(0, cols)

    def pan_positions(self, window: Window) -> tuple[Array, Array]:
        """Fractional PAN indices of the rows and of the columns of an MS window."""
        (rows, cols), at = _indices(window), self.pan_position
        return at(1, rows), at(0, cols)

    def shifted(self, dx: float, dy: float) -> Geometry:
        """The geometry after moving the MS by (dx, dy) PAN pixels on the PAN grid."""
        return replace(self, phase=(self.phase[0] + dx, self.phase[1] + dy))

    def ms_window(self, window: Window) -> Window:
        """The MS pixels whose centres lie inside a PAN window: windows that tile, tile here too."""
        edges = []
        for axis, (start, size) in enumerate(
            ((window.col, window.width), (window.row, window.height))
        ):
            first, stop = (
                int(np.ceil(self.ms_position(axis, edge - 0.5) - 1e-9))
                for edge in (start, start + size)
            )
            edges.append((first, stop - first))
        (col, width), (row, height) = edges
        return Window(col, row, width, height)


def _indices(window: Window) -> tuple[Array, Array]:
    (left, top), (right, bottom) = (window.col, window.row), window.stop
    return np.arange(top, bottom), np.arange(left, right)


class Pair:
    """An open PAN and MS with their geometry. Reads are safe from several threads."""

    def __init__(
        self,
        pan: Source,
        ms: Source,
        geometry: Geometry,
        sensor: SensorMatch,
        scene: Window,
        notes: tuple[str, ...],
        protocol: str,
        backend: Backend,
    ) -> None:
        self.pan, self.ms, self.geometry, self.sensor, self.scene = pan, ms, geometry, sensor, scene
        self.notes, self.protocol, self.backend = notes, protocol, backend
        #: Asked for a cancel by whatever computes for long.
        self.progress = Progress()
        self.dtype = _working_dtype(pan.info, ms.info, protocol)
        self._lock = threading.Lock()

    @property
    def ratio(self) -> float:
        """PAN pixels per MS pixel (mean of the axes)."""
        return (self.geometry.ratio[0] + self.geometry.ratio[1]) / 2

    @property
    def _pan_steps(self) -> int:
        """Steps that fill the PAN beyond the reach of its low-passes: more at large ratios."""
        return max(PAN_FILL_STEPS, int(np.ceil(np.log2(3 * self.ratio))))

    @property
    def bands(self) -> int:
        """Number of MS bands."""
        return len(self.ms.info.bands)

    def within(self, window: Window) -> Pair:
        """The same pair with a part of its scene; both share their files."""
        other = copy.copy(self)
        other.scene = window
        return other

    def with_sensor(self, sensor: SensorMatch) -> Pair:
        """The same pair as of another sensor; both share their files."""
        other = copy.copy(self)
        other.sensor = sensor
        return other

    def moved(self, dx: float, dy: float) -> Pair:
        """The same pair with the MS moved by (dx, dy) PAN pixels; both share their files."""
        other = copy.copy(self)
        other.geometry = self.geometry.shifted(dx, dy)
        return other

    def read_pan(self, window: Window, steps: int = 0) -> tuple[Array, Array | None]:
        """PAN values (h, w) and their validity; mirrored beyond the raster, nodata filled.

        ``steps`` of filling reach 2^steps - 1 pixels; 0 takes what the classical filters need.
        """
        values, valid = self._read(self.pan, window, steps or self._pan_steps)
        return values[0], valid

    def read_ms(self, window: Window, steps: int = 0) -> tuple[Array, Array | None]:
        """MS values (B, h, w) and their validity (h, w); mirrored and filled like the PAN."""
        return self._read(self.ms, window, steps or MS_FILL_STEPS)

    def valid(
        self, window: Window, pan_valid: Array | None, ms_valid: Array | None, ms: Window
    ) -> Array | None:
        """Which PAN pixels of ``window`` have PAN and the nearest MS pixel valid; None: all.

        ``ms_valid`` covers the MS window ``ms``, which must reach one pixel beyond ``window``.
        """
        if ms_valid is not None:
            rows, cols = (
                np.clip(np.floor(position + 0.5).astype(int) - first, 0, size - 1)
                for position, first, size in zip(
                    self.geometry.ms_positions(window), (ms.row, ms.col), ms.shape
                )
            )
            near = ms_valid[np.ix_(rows, cols)]
            return near if pan_valid is None else near & pan_valid
        return pan_valid

    def _read(self, source: Source, window: Window, steps: int) -> tuple[Array, Array | None]:
        """Read any window of a source: mirrored beyond its edges, invalid pixels filled."""
        margin = fill_reach(steps) if source.may_be_invalid else 0
        wide = window.expand(margin)
        cols = mirror(wide.col, wide.col + wide.width, source.info.width)
        rows = mirror(wide.row, wide.row + wide.height, source.info.height)
        inner = Window(
            int(cols.min()), int(rows.min()), int(np.ptp(cols)) + 1, int(np.ptp(rows)) + 1
        )
        with self._lock:
            values, valid = source.read(inner)
        values = values.astype(self.dtype)
        if inner != wide:
            rows, cols = rows - inner.row, cols - inner.col
            values = values[:, rows[:, None], cols]
            valid = None if valid is None else valid[rows[:, None], cols]
        inside = window.within(wide)
        if valid is not None and not valid.all():
            values = fill(values, valid, steps)
            return np.ascontiguousarray(values[(..., *inside)]), valid[inside]
        return (values[(..., *inside)] if margin else values), None

    def window_of(self, bounds: BBox | None) -> Window:
        """The part of the scene with pixel centres in ``bounds`` (PAN CRS); None: all of it."""
        if bounds is None:
            return self.scene
        if self.pan.info.transform is None:
            raise WhetstoneError(
                "BOUNDS_NO_GEOREFERENCE",
                "The PAN has no georeferencing, so bounds mean nothing.",
                "Leave the bounds out.",
            )
        xmin, ymin, xmax, ymax = bounds
        if not (xmin < xmax and ymin < ymax):
            raise WhetstoneError(
                "BOUNDS_EMPTY",
                f"The bounds {xmin:g} {ymin:g} {xmax:g} {ymax:g} hold no area.",
                "Give them as XMIN YMIN XMAX YMAX in the CRS of the PAN.",
            )
        x0, dx, _, y0, _, dy = self.pan.info.transform
        width, height = self.pan.info.width, self.pan.info.height
        cols = [_first_from((x - x0) / dx, width) for x in (xmin, xmax)]
        rows = [_first_from((y - y0) / dy, height) for y in (ymax, ymin)]
        window = Window(cols[0], rows[0], cols[1] - cols[0], rows[1] - rows[0]).intersect(
            self.scene
        )
        if window.empty:
            raise WhetstoneError(
                "NO_OVERLAP",
                f"The bounds {xmin:g} {ymin:g} {xmax:g} {ymax:g} do not touch the common area "
                f"of PAN and MS, {_span(_bounds(self.pan.info, self.scene))}.",
                "Check that they are in the CRS of the PAN.",
            )
        return window

    def close(self) -> None:
        """Release both files."""
        self.pan.close()
        self.ms.close()

    def __enter__(self) -> Pair:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def open_pair(
    pan: RasterSource, ms: RasterSource, *, sensor: str = "auto", protocol: str = "product"
) -> Pair:
    """Open PAN and MS and tie them; refuses in words whatever could only give a wrong picture."""
    backend = raster_backend()
    pan_source = open_source(pan, backend, "PAN")
    try:
        ms_source = open_source(ms, backend, "MS")
        try:
            return _tie(pan_source, ms_source, sensor, protocol, backend)
        except BaseException:
            ms_source.close()
            raise
    except BaseException:
        pan_source.close()
        raise


def _tie(pan: Source, ms: Source, sensor: str, protocol: str, backend: Backend) -> Pair:
    notes = [*pan.notes, *ms.notes]
    if protocol not in ("product", "toolbox"):
        raise WhetstoneError(
            "PROTOCOL", f"There is no protocol {protocol!r}.", "Choose product or toolbox."
        )
    if len(pan.info.bands) != 1:
        raise WhetstoneError(
            "PAN_BANDS",
            f"PAN must be one band; this layer has {len(pan.info.bands)}.",
            "Did you swap PAN and MS? Otherwise choose one band of the PAN.",
        )
    if protocol == "toolbox":
        geometry, scene = _tie_arrays(pan.info, ms.info)
    else:
        geometry, scene = tie_rasters(pan.info, ms.info, backend, notes)
    match = resolve_sensor(sensor, pan.info, ms.info, sum(geometry.ratio) / 2)
    notes.insert(0, f"Sensor: {match.title} ({match.reason}).")
    return Pair(pan, ms, geometry, match, scene, tuple(notes), protocol, backend)


def tie_rasters(
    pan: RasterInfo, ms: RasterInfo, backend: Backend, notes: list[str]
) -> tuple[Geometry, Window]:
    """Geometry and common area of a pair by its geotransforms; only headers are looked at."""
    _check_crs(pan, ms, backend, notes)
    if pan.transform is None or ms.transform is None:
        ratio = (pan.width / ms.width, pan.height / ms.height)
        phase = ((ratio[0] - 1) / 2, (ratio[1] - 1) / 2)
        notes.append("Neither image is georeferenced: they are taken to cover the same area.")
    else:
        (px, pdx, _, py, _, pdy), (mx, mdx, _, my, _, mdy) = pan.transform, ms.transform
        ratio = (_round(mdx / pdx), _round(mdy / pdy))
        phase = (
            round(((mx + mdx / 2) - (px + pdx / 2)) / pdx, 6),
            round(((my + mdy / 2) - (py + pdy / 2)) / pdy, 6),
        )
    _check_ratio(ratio, pan, ms)
    geometry = Geometry(ratio, phase)
    scene = _common(geometry, pan, ms, notes)
    if abs(ratio[0] - round(ratio[0])) > 1e-3:
        notes.append(f"The ratio of pixel sizes is {ratio[0]:.4f}, not an integer; it is handled.")
    return geometry, scene


def _round(ratio: float) -> float:
    """A ratio freed of the rounding of header fields (1e-7: 1/100 pixel on the largest scenes)."""
    return float(round(ratio)) if abs(ratio - round(ratio)) < 1e-7 * ratio else float(ratio)


def _tie_arrays(pan: RasterInfo, ms: RasterInfo) -> tuple[Geometry, Window]:
    """The toolbox's geometry: arrays of an exact integer ratio, MS sample j on PAN r*j + r//2."""
    ratio = pan.width // max(ms.width, 1)
    if ratio < 2 or (ms.width * ratio, ms.height * ratio) != (pan.width, pan.height):
        raise WhetstoneError(
            "TOOLBOX_RATIO",
            "The toolbox protocol needs a PAN an integer number of times the size of the MS; "
            f"these are {pan.width} x {pan.height} and {ms.width} x {ms.height}.",
            "Use the product protocol.",
        )
    scene = Window(0, 0, pan.width, pan.height)
    return Geometry((float(ratio),) * 2, (float(ratio // 2),) * 2), scene


def _check_crs(pan: RasterInfo, ms: RasterInfo, backend: Backend, notes: list[str]) -> None:
    if (pan.transform is None) != (ms.transform is None):
        lost = "PAN" if pan.transform is None else "MS"
        raise WhetstoneError(
            "CRS_MISSING",
            f"The {lost} has no georeferencing while the other image has one.",
            "Assign it first (Raster > Projections > Assign Projection, gdal_translate -a_ullr).",
        )
    if bool(pan.crs) != bool(ms.crs):
        lost, other = ("PAN", ms.crs) if not pan.crs else ("MS", pan.crs)
        raise WhetstoneError(
            "CRS_MISSING",
            f"The {lost} has no CRS; the other image is {backend.crs_label(other)}.",
            "Set it first (Raster > Projections > Assign Projection).",
        )
    if pan.crs and not backend.same_crs(pan.crs, ms.crs):
        raise WhetstoneError(
            "CRS_DIFFERENT",
            f"PAN is {backend.crs_label(pan.crs)}, MS is {backend.crs_label(ms.crs)}.",
            "Reproject one of them first (Raster > Projections > Warp).",
        )
    if not pan.crs and pan.transform is not None:
        notes.append(
            "Neither image states a CRS; their coordinates are taken to be in the same one."
        )


def _check_ratio(ratio: tuple[float, float], pan: RasterInfo, ms: RasterInfo) -> None:
    x, y = ratio
    if min(x, y) < MIN_RATIO:
        sizes = f"{_pixel(pan)} vs {_pixel(ms)}"
        swapped = " Did you swap PAN and MS?" if max(x, y) < 1 else ""
        raise WhetstoneError(
            "NOT_FINER",
            f"The PAN layer is not finer ({sizes}): the ratio is {x:.2f}, "
            f"it must be at least {MIN_RATIO}.",
            f"Choose a PAN with smaller pixels.{swapped}",
        )
    if abs(x / y - 1) > MAX_ANISOTROPY:
        raise WhetstoneError(
            "ANISOTROPIC",
            f"The pixel size ratio is {x:.3f} in x but {y:.3f} in y.",
            "Warp one image to the pixel shape of the other first.",
        )


def _common(geometry: Geometry, pan: RasterInfo, ms: RasterInfo, notes: list[str]) -> Window:
    """PAN pixels with an MS pixel at most one MS pixel away; a note or a refusal if not all."""
    spans = []
    for axis, (size, count) in enumerate(((pan.width, ms.width), (pan.height, ms.height))):
        # Half an MS pixel belongs to the pixel; one more is mirrored (extents differ by fractions).
        first = int(np.ceil(geometry.pan_position(axis, -1.5) - 1e-6))
        stop = int(np.ceil(geometry.pan_position(axis, count + 0.5) - 1e-6))
        spans.append((max(first, 0), min(stop, size)))
    (c0, c1), (r0, r1) = spans
    scene = Window(c0, r0, c1 - c0, r1 - r0)
    if scene.width < 1 or scene.height < 1:
        raise WhetstoneError(
            "NO_OVERLAP",
            f"The layers do not overlap: PAN covers {_span(_bounds(pan))}, "
            f"MS covers {_span(_bounds(ms))}.",
            "Check that both are of the same place and in the right CRS.",
        )
    share = scene.width * scene.height / (pan.width * pan.height)
    if share < 1:
        notes.append(f"Only the common area ({100 * share:.0f} % of the PAN) will be fused.")
    return scene


def _first_from(edge: float, size: int) -> int:
    """The first pixel whose centre lies at or beyond ``edge``; far outside the raster, its end."""
    return int(np.ceil(np.clip(edge, -1, size + 1) - 0.5 - 1e-6))


def _working_dtype(pan: RasterInfo, ms: RasterInfo, protocol: str) -> np.dtype:
    """float32 holds 16-bit integers and their sums well; anything wider is computed in float64."""
    if protocol == "toolbox":
        return np.dtype(np.float64)
    kinds = {np.dtype(band.dtype) for band in (*pan.bands, *ms.bands)}
    small = all(kind == np.float32 or (kind.kind in "iu" and kind.itemsize <= 2) for kind in kinds)
    return np.dtype(np.float32 if small else np.float64)


def _bounds(info: RasterInfo, window: Window | None = None) -> BBox:
    x0, dx, _, y0, _, dy = info.transform or (0.0, 1.0, 0.0, 0.0, 0.0, -1.0)
    w = window or Window(0, 0, info.width, info.height)
    xs, ys = (x0 + dx * w.col, x0 + dx * w.stop[0]), (y0 + dy * w.row, y0 + dy * w.stop[1])
    return min(xs), min(ys), max(xs), max(ys)


def _span(bounds: BBox) -> str:
    xmin, ymin, xmax, ymax = bounds
    return f"{xmin:.10g} to {xmax:.10g} by {ymin:.10g} to {ymax:.10g}"


def _pixel(info: RasterInfo) -> str:
    return f"{abs(info.transform[1]):g}" if info.transform else f"{info.width} px"
