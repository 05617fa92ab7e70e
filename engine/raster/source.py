"""An input as the engine sees it: one raster, whether it lies in one file or in a file per band."""

from __future__ import annotations

from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np

from ..errors import WhetstoneError
from . import rules
from .model import Backend, BandInfo, RasterInfo, RasterReader

if TYPE_CHECKING:
    from ..jobs import RasterSource
    from ..types import Array, Window

_SAME_GRID = 1e-3  # pixels that the corners of two files of one source may differ by


def open_source(source: RasterSource, backend: Backend, role: str) -> Source:
    """Open all files of an input and check that they are one raster.

    Args:
        source: The files, the bands, and what the user overrides.
        backend: The raster library.
        role: What messages call the input: "PAN", "MS" ...

    Raises:
        WhetstoneError: Whatever opening raises; ``GRID_DIFFERENT`` for files that do not lie on
            each other, ``BAND_MISSING`` for a band that is not there, ``CRS_INVALID`` for an
            override that is no CRS.
    """
    if not source.paths:
        raise WhetstoneError("NOT_FOUND", f"No file is given for {role}.", "Choose a raster.")
    readers: list[RasterReader] = []
    try:
        for path in source.paths:
            readers.append(backend.open(path))
        return Source(source, readers, backend, role)
    except BaseException:
        for reader in readers:
            reader.close()
        raise


class Source:
    """An open input: its selected data bands, alpha left out. Not for two threads at once.

    Attributes:
        info: The header, with only the selected bands, all of the common type, and the overrides.
        notes: What a user should know about how the files were joined.
    """

    info: RasterInfo
    notes: tuple[str, ...]

    def __init__(
        self, source: RasterSource, readers: list[RasterReader], backend: Backend, role: str
    ) -> None:
        self._readers, self._role = readers, role
        for reader in readers[1:]:
            _check_grid(readers[0].info, reader.info, role)
        crs, notes = _common_crs(source, [reader.info for reader in readers], backend, role)
        #: (file, band in the file) of each selected band
        self._places = _select(source, readers, role)
        bands = [readers[file].info.bands[band - 1] for file, band in self._places]
        self._dtype = np.result_type(*(band.dtype for band in bands))
        types = sorted({band.dtype for band in bands})
        if len(types) > 1:
            notes.append(f"{role}: bands of types {', '.join(types)} are read as {self._dtype}.")
        self._bands = tuple(self._merged(band, source) for band in bands)
        self._masked = any(readers[file].info.masked for file, _ in self._places)
        self.info = replace(readers[0].info, bands=self._bands, crs=crs, masked=self._masked)
        self.notes = tuple(notes)

    def _merged(self, band: BandInfo, source: RasterSource) -> BandInfo:
        """A band in the common type, with the user's nodata in place of the file's."""
        given = band.nodata if source.nodata is None else source.nodata
        nodata = rules.usable_nodata(given, str(self._dtype))
        return replace(band, dtype=str(self._dtype), nodata=nodata)

    @property
    def may_be_invalid(self) -> bool:
        """Whether some pixel may be invalid: nodata, a mask or alpha band, floating point."""
        missing = any(band.nodata is not None for band in self._bands)
        return missing or self._masked or self._dtype.kind == "f"

    def read(self, window: Window) -> tuple[Array, Array | None]:
        """Read the selected bands of a window inside the raster.

        Returns:
            Values (n, h, w) in the common type, and a boolean (h, w) that is True where every band
            is valid, None when nothing can be invalid.

        Raises:
            WhetstoneError: ``READ_FAILED`` with the file and the window.
        """
        values = np.empty((len(self._places), *window.shape), self._dtype)
        mask = None
        for file, reader in enumerate(self._readers):
            rows = [row for row, place in enumerate(self._places) if place[0] == file]
            if rows:
                bands = [self._places[row][1] for row in rows]
                part, good = reader.read_raw(bands, window)
                if len(rows) == len(self._places) and part.dtype == self._dtype:
                    values = part
                else:
                    values[rows] = part
                mask = rules.join_masks(mask, good)
        return values, rules.valid_pixels(values, [band.nodata for band in self._bands], mask)

    def close(self) -> None:
        """Release the files."""
        for reader in self._readers:
            reader.close()

    def __enter__(self) -> Source:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _select(source: RasterSource, readers: list[RasterReader], role: str) -> list[tuple[int, int]]:
    """(file, band) of the bands asked for, counted through all files without alpha bands."""
    every = [
        (file, number)
        for file, reader in enumerate(readers)
        for number, band in enumerate(reader.info.bands, 1)
        if band.color != "alpha"
    ]
    asked = range(1, len(every) + 1) if source.bands is None else source.bands
    absent = [band for band in asked if not 1 <= band <= len(every)]
    if absent or not asked:
        has = f"{len(every)} band{'' if len(every) == 1 else 's'}"
        what = f"no band {absent[0]}" if absent else "no band to use"
        raise WhetstoneError(
            "BAND_MISSING",
            f"{role} has {what}: {_names(readers)} has {has} (alpha is not counted).",
            "Bands are counted from 1, through all files of the input.",
        )
    return [every[band - 1] for band in asked]


def _names(readers: list[RasterReader]) -> str:
    more = f" and {len(readers) - 1} more" if len(readers) > 1 else ""
    return f"'{readers[0].info.path}'{more}"


def _check_grid(first: RasterInfo, other: RasterInfo, role: str) -> None:
    """Refuse files that do not lie on each other, pixel by pixel."""
    if (first.width, first.height) != (other.width, other.height):
        what = f"{first.width} x {first.height} and {other.width} x {other.height} pixels"
        raise _different(first, other, role, what)
    one, two = first.transform, other.transform
    if one is None or two is None:
        if one is not two:
            raise _different(first, other, role, f"position {_corner(one)} and {_corner(two)}")
        return
    for start, step, size in ((0, 1, first.width), (3, 5, first.height)):
        begin = abs(one[start] - two[start])
        end = abs(one[start] + one[step] * size - two[start] - two[step] * size)
        if max(begin, end) > _SAME_GRID * abs(one[step]):
            what = f"upper left corner and pixel size {_corner(one)} and {_corner(two)}"
            raise _different(first, other, role, what)


def _corner(transform: tuple[float, ...] | None) -> str:
    if transform is None:
        return "none"
    x, dx, _, y, _, dy = transform
    return f"({x:.10g}, {y:.10g}) at {dx:.10g} x {-dy:.10g}"


def _common_crs(
    source: RasterSource, infos: list[RasterInfo], backend: Backend, role: str
) -> tuple[str, list[str]]:
    """The CRS of all files, or the user's; and what to say about it."""
    if source.crs:
        return backend.crs_wkt(source.crs), []
    known = [info for info in infos if info.crs]
    for info in known[1:]:
        if not backend.same_crs(known[0].crs, info.crs):
            labels = f"{backend.crs_label(known[0].crs)} and {backend.crs_label(info.crs)}"
            raise _different(known[0], info, role, labels)
    if known and len(known) < len(infos):
        bare = next(info.path for info in infos if not info.crs)
        label = backend.crs_label(known[0].crs)
        return known[0].crs, [f"{role}: '{bare}' has no CRS; {label} is taken from the others."]
    return (known[0].crs if known else ""), []


def _different(first: RasterInfo, other: RasterInfo, role: str, what: str) -> WhetstoneError:
    return WhetstoneError(
        "GRID_DIFFERENT",
        f"The files of {role} do not lie on the same grid: '{first.path}' and '{other.path}' "
        f"have {what}.",
        "Use files of one size, position and CRS (Raster > Projections > Warp).",
    )
