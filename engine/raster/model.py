"""What a raster is to the engine: a description, windowed reads, windowed writes.

Two backends implement it, ``osgeo.gdal`` (inside QGIS) and ``rasterio`` (engine environment), with
identical pixels, tags and errors. Nothing outside this room knows which one is at work.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Mapping, Protocol, Sequence

if TYPE_CHECKING:
    from ..types import Array, GeoTransform, Window


@dataclass(frozen=True)
class BandInfo:
    """One band: numpy type name, nodata, physical = value * scale + offset, names."""

    dtype: str
    nodata: float | None = None
    scale: float = 1.0
    offset: float = 0.0
    unit: str = ""
    name: str = ""
    color: str = "undefined"  # GDAL's colour interpretation in lower case: "red", "gray" ...
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class RasterInfo:
    """The header of a raster. ``crs`` is WKT ("" when unknown); ``transform`` None when absent."""

    path: str
    width: int
    height: int
    bands: tuple[BandInfo, ...]
    crs: str
    transform: GeoTransform | None
    driver: str
    tags: Mapping[str, str] = field(default_factory=dict)
    block: tuple[int, int] = (0, 0)  # (width, height) of the blocks of band 1
    masked: bool = False  # an alpha band or a mask band says which pixels are valid
    rpc: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class OutputSpec:
    """Everything a writer needs to know of a file before its first pixel."""

    width: int
    height: int
    bands: tuple[BandInfo, ...]  # all of one dtype and one nodata
    crs: str
    transform: GeoTransform | None
    tags: Mapping[str, str] = field(default_factory=dict)
    creation_options: Mapping[str, str] = field(default_factory=dict)
    rpc: Mapping[str, str] = field(default_factory=dict)


class RasterReader(Protocol):
    """An open raster. Not to be used from two threads at once."""

    info: RasterInfo

    def read(self, bands: Sequence[int], window: Window) -> tuple[Array, Array | None]:
        """Read whole pixels of ``bands`` (1-based) inside the raster.

        Returns the values (n, h, w) in the raster's own dtype and, where some pixel may be invalid
        (nodata, NaN or infinity, alpha 0, mask band 0), a boolean (h, w) that is True where *every*
        one of the bands is valid; None when nothing can be invalid.
        """

    def read_raw(self, bands: Sequence[int], window: Window) -> tuple[Array, Array | None]:
        """Read like :meth:`read`, but only alpha and mask bands (not nodata, not NaN) count."""

    def close(self) -> None:
        """Release the file."""


class RasterWriter(Protocol):
    """A GeoTIFF being written window by window."""

    def write(self, window: Window, values: Array) -> None:
        """Write (bands, h, w) at a window."""

    def flush(self) -> None:
        """Put everything written so far on disk, so that a killed run can be resumed from there."""

    def close(self) -> None:
        """Finish the file; raises if anything could not be written (disk full)."""


class Backend(Protocol):
    """The raster library behind the engine."""

    name: str

    def versions(self) -> dict[str, str]:
        """Versions of the library, and of the GDAL, PROJ and numpy it works with."""

    def open(self, path: str) -> RasterReader:
        """Open a dataset by its GDAL name, or raise ``WhetstoneError`` saying why not."""

    def create(self, path: str, spec: OutputSpec) -> RasterWriter:
        """Start a tiled GeoTIFF."""

    def reopen(self, path: str) -> RasterWriter:
        """Open an unfinished GeoTIFF for further writing."""

    def add_overviews(self, path: str, factors: Sequence[int]) -> None:
        """Build averaged, compressed overviews into a finished GeoTIFF."""

    def copy_cog(self, source: str, target: str, options: Mapping[str, str]) -> None:
        """Rewrite a GeoTIFF as a Cloud-Optimized GeoTIFF."""

    def encode_png(self, rgb: Array) -> bytes:
        """A uint8 array (h, w), (3, h, w) or (4, h, w) as the bytes of a PNG file."""

    def same_crs(self, a: str, b: str) -> bool:
        """Whether two CRS (WKT or "EPSG:n") mean the same (axis order ignored)."""

    def crs_wkt(self, crs: str) -> str:
        """WKT2 of a CRS given as WKT or as "EPSG:n"."""

    def crs_label(self, crs: str) -> str:
        """A CRS in a few words for messages: "EPSG:32633", or its name when it has no code."""

    def crs_unit(self, crs: str) -> str:
        """Unit of the CRS axes for people: "m", "degree", ..., "" when unknown."""
