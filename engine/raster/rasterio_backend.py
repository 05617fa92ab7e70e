"""Rasters through ``rasterio``, in the engine's own environment."""

from __future__ import annotations

import logging
import threading
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Iterator, Mapping, Sequence

import numpy as np
import rasterio
import rasterio.windows
from rasterio.crs import CRS
from rasterio.enums import ColorInterp, MaskFlags, Resampling
from rasterio.errors import CRSError, NotGeoreferencedWarning, RasterioError
from rasterio.io import MemoryFile
from rasterio.shutil import copy as copy_raster
from rasterio.transform import Affine

from ..types import Window
from . import rules
from .model import BandInfo, OutputSpec, RasterInfo

if TYPE_CHECKING:
    from ..types import Array

_CACHE = 256 << 20  # bytes of GDAL's block cache, which otherwise takes 5 % of the memory
_FAILURES = (RasterioError, OSError, ValueError)


class _Ear(logging.Handler):
    """Hears what GDAL reports through rasterio's log: the only trace of an error while closing."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self._local = threading.local()

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the text for whoever listens on this thread."""
        heard = getattr(self._local, "heard", None)
        if heard is not None:
            heard.append(record.getMessage())

    @contextmanager
    def listen(self) -> Iterator[list[str]]:
        """The messages of this thread, from here on."""
        before = getattr(self._local, "heard", None)
        self._local.heard = heard = []
        try:
            yield heard
        finally:
            self._local.heard = before


_EAR = _Ear()
logging.getLogger("rasterio._env").addHandler(_EAR)
logging.getLogger("rasterio._err").addHandler(_EAR)


@contextmanager
def _quiet(side_files: bool = True, **options: str) -> Iterator[list[str]]:
    """GDAL with a small cache and without words on stderr; yields the failures it reports."""
    if not side_files:
        options["GDAL_PAM_ENABLED"] = "NO"
    with rasterio.Env(GDAL_CACHEMAX=_CACHE, **options), _EAR.listen() as heard:
        yield heard


def _said(error: BaseException, heard: Sequence[str] = ()) -> str:
    """What GDAL said: the innermost of chained exceptions."""
    inner: BaseException | None = error
    text = ""
    while inner is not None:
        text = str(inner) or text
        inner = inner.__cause__ or inner.__context__
    return "\n".join([*heard, text])


def _open(path: str, mode: str = "r", **options: str) -> Any:
    """Open without the warning that a raster has no geotransform: that is told in ``info``."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        return rasterio.open(path, mode, **options)


class RasterioReader:
    """An open raster (see :class:`~.model.RasterReader`)."""

    def __init__(self, path: str) -> None:
        rules.refuse_name(path)
        with _quiet() as heard:
            try:
                if not path:
                    raise OSError("no name")
                self._set = _open(path)
            except _FAILURES as error:
                raise rules.open_error(path, _said(error, heard)) from None
            try:
                self.info = _describe(path, self._set)
            except BaseException:
                self._set.close()
                raise
            self._alpha = [n for n, band in enumerate(self.info.bands, 1) if band.color == "alpha"]
            self._masks = [_mask_kind(flags) for flags in self._set.mask_flag_enums]

    def read(self, bands: Sequence[int], window: Window) -> tuple[Array, Array | None]:
        """Values (n, h, w) of 1-based ``bands`` and where all are valid (None: everywhere)."""
        values, mask = self.read_raw(bands, window)
        nodata = [self.info.bands[n - 1].nodata for n in bands]
        return values, rules.valid_pixels(values, nodata, mask)

    def read_raw(self, bands: Sequence[int], window: Window) -> tuple[Array, Array | None]:
        """Values, and where alpha and mask bands call them valid."""
        rules.check_window(window, bands, (self.info.width, self.info.height), len(self.info.bands))
        types = [self.info.bands[n - 1].dtype for n in bands]
        place = rasterio.windows.Window(*window)
        with _quiet() as heard:
            try:
                if len(set(types)) == 1:
                    values = self._set.read(list(bands), window=place)
                else:
                    parts = [self._set.read(n, window=place) for n in bands]
                    values = np.stack([part.astype(np.result_type(*types)) for part in parts])
                return values, self._mask(bands, place)
            except _FAILURES as error:
                raise rules.read_error(self.info.path, window, _said(error, heard)) from None

    def _mask(self, bands: Sequence[int], place: Any) -> Array | None:
        """Alpha bands, then the mask band all bands share or one of each band."""
        masks = [self._set.read(n, window=place) != 0 for n in self._alpha]
        kinds = {n: self._masks[n - 1] for n in bands}
        shared = [n for n, kind in kinds.items() if kind == "shared"][:1]
        for n in shared + [n for n, kind in kinds.items() if kind == "own"]:
            masks.append(self._set.read_masks(n, window=place) != 0)
        return rules.join_masks(*masks)

    def close(self) -> None:
        """Release the file."""
        with _quiet():
            self._set.close()


def _describe(path: str, data: Any) -> RasterInfo:
    """The header, or a refusal in words."""
    rules.refuse_container(path, data.driver, data.count, data.subdatasets)
    colors = [color.name.lower() for color in data.colorinterp]
    rules.refuse_types(path, data.dtypes, colors)
    transform = data.transform.to_gdal()
    gcps = len(data.gcps[0])
    transform = rules.usable_transform(path, transform, (data.width, data.height), gcps)
    masked = any(_mask_kind(flags) for flags in data.mask_flag_enums) or "alpha" in colors
    block = data.block_shapes[0]
    return RasterInfo(
        path=path,
        width=data.width,
        height=data.height,
        bands=tuple(_band(data, n, color) for n, color in enumerate(colors)),
        crs=_wkt(data.crs),
        transform=transform,
        driver=data.driver,
        tags=data.tags(),
        block=(int(block[1]), int(block[0])),
        masked=masked,
        rpc=data.tags(ns="RPC"),
    )


def _band(data: Any, index: int, color: str) -> BandInfo:
    dtype = data.dtypes[index]
    return BandInfo(
        dtype=dtype,
        nodata=rules.usable_nodata(data.nodatavals[index], dtype),
        scale=float(data.scales[index]),
        offset=float(data.offsets[index]),
        unit=data.units[index] or "",
        name=data.descriptions[index] or "",
        color=color,
        tags=data.tags(index + 1),
    )


def _mask_kind(flags: Sequence[MaskFlags]) -> str:
    """ "shared" by all bands, the band's "own", or "" (none, nodata, or the alpha band)."""
    if MaskFlags.all_valid in flags or MaskFlags.alpha in flags:
        return ""
    if MaskFlags.per_dataset in flags:
        return "shared"
    return "" if MaskFlags.nodata in flags else "own"


class RasterioWriter:
    """A GeoTIFF being written (see :class:`~.model.RasterWriter`)."""

    def __init__(self, path: str, data: Any) -> None:
        self._path, self._set = path, data

    def write(self, window: Window, values: Array) -> None:
        """Write (bands, h, w), of the file's own type, at a window inside the raster."""
        data = self._set
        rules.check_window(window, [1], (data.width, data.height), data.count)
        if values.shape != (data.count, *window.shape) or values.dtype != data.dtypes[0]:
            raise ValueError(f"{values.dtype} values of shape {values.shape} for {window}")
        with self._writing():
            data.write(values, window=rasterio.windows.Window(*window))

    def flush(self) -> None:
        """Put everything written so far on disk."""
        # rasterio cannot flush an open dataset.
        self.close()
        with self._writing():
            self._set = _open(self._path, "r+", NUM_THREADS="ALL_CPUS")

    def close(self) -> None:
        """Finish the file; raises ``DISK_FULL`` or ``WRITE_FAILED`` if anything went wrong."""
        if self._set is None:
            return
        data, self._set = self._set, None
        with self._writing():
            data.close()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        with _quiet(side_files=False) as heard:
            try:
                yield
            except _FAILURES as error:
                raise rules.write_error(self._path, _said(error, heard)) from None
        if heard:
            raise rules.write_error(self._path, "\n".join(heard))


class RasterioBackend:
    """The raster library of the engine's environment (see :class:`~.model.Backend`)."""

    name = "rasterio"

    def open(self, path: str) -> RasterioReader:
        """Open a dataset by its GDAL name, or raise ``WhetstoneError`` saying why not."""
        return RasterioReader(path)

    def create(self, path: str, spec: OutputSpec) -> RasterioWriter:
        """Start a tiled GeoTIFF; raises ``WRITE_FAILED``, ``DISK_FULL`` or ``DTYPE``."""
        first = spec.bands[0]
        if not rasterio.dtypes.check_dtype(first.dtype):
            raise rules.unwritable_type(first.dtype)
        nodata = rules.usable_nodata(first.nodata, first.dtype)
        if nodata is not None and abs(nodata) > 2**53 and first.dtype in ("int64", "uint64"):
            raise rules.unwritable_nodata(nodata)  # rasterio makes a float of it
        with _quiet(side_files=False) as heard, warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            try:
                data = rasterio.open(
                    path,
                    "w",
                    driver="GTiff",
                    width=spec.width,
                    height=spec.height,
                    count=len(spec.bands),
                    dtype=first.dtype,
                    nodata=nodata,
                    crs=CRS.from_wkt(spec.crs) if spec.crs else None,
                    transform=Affine.from_gdal(*spec.transform) if spec.transform else None,
                    **rules.creation_options(spec),
                )
                _fill_header(data, spec)
            except _FAILURES as error:
                raise rules.write_error(path, _said(error, heard)) from None
        return RasterioWriter(path, data)

    def reopen(self, path: str) -> RasterioWriter:
        """Open an unfinished GeoTIFF for further writing."""
        with _quiet(side_files=False) as heard:
            try:
                return RasterioWriter(path, _open(path, "r+", NUM_THREADS="ALL_CPUS"))
            except _FAILURES as error:
                raise rules.open_error(path, _said(error, heard)) from None

    def add_overviews(self, path: str, factors: Sequence[int]) -> None:
        """Build averaged, compressed overviews into a finished GeoTIFF."""
        if not factors:
            return
        with _quiet(side_files=False, GDAL_TIFF_OVR_BLOCKSIZE="512") as heard:
            try:
                with _open(path, "r+") as data:
                    data.build_overviews(list(factors), Resampling.average)
            except _FAILURES as error:
                raise rules.write_error(path, _said(error, heard)) from None
        if heard:
            raise rules.write_error(path, "\n".join(heard))

    def copy_cog(self, source: str, target: str, options: Mapping[str, str]) -> None:
        """Rewrite a GeoTIFF as a Cloud-Optimized GeoTIFF; ``options`` in GTiff's or COG's words."""
        with _quiet(side_files=False) as heard:
            try:
                copy_raster(source, target, driver="COG", **rules.cog_options(options))
            except _FAILURES as error:
                raise rules.write_error(target, _said(error, heard)) from None
        if heard:
            raise rules.write_error(target, "\n".join(heard))

    def encode_png(self, rgb: Array) -> bytes:
        """A uint8 array (h, w), (3, h, w) or (4, h, w) as the bytes of a PNG file."""
        image = np.ascontiguousarray(rgb if rgb.ndim == 3 else rgb[None], dtype=np.uint8)
        count, height, width = image.shape
        shape = {"count": count, "height": height, "width": width, "dtype": "uint8"}
        with _quiet(side_files=False), warnings.catch_warnings(), MemoryFile() as memory:
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            with memory.open(driver="PNG", **shape) as data:
                data.write(image)
            return bytes(memory.read())

    def same_crs(self, a: str, b: str) -> bool:
        """Whether two CRS (WKT or "EPSG:n") mean the same (axis order and names ignored)."""
        one, two = _crs(a), _crs(b)
        with _quiet():
            if one == two:
                return True
            return _plain(one) == _plain(two) or bool(_code(one)) and _code(one) == _code(two)

    def crs_wkt(self, crs: str) -> str:
        """WKT2 of a CRS given as WKT or as "EPSG:n"; raises ``CRS_INVALID``."""
        return _wkt(_crs(crs))

    def crs_label(self, crs: str) -> str:
        """A CRS in a few words: "EPSG:32633", or its name when it has no code."""
        if not crs:
            return "unknown"
        known = _crs(crs)
        with _quiet():
            return _code(known) or rules.wkt_name(crs)

    def crs_unit(self, crs: str) -> str:
        """Unit of the CRS axes for people: "m", "degree", ..., "" when unknown."""
        if not crs:
            return ""
        known = _crs(crs)
        with _quiet():
            try:
                name = known.units_factor[0] if known.is_geographic else known.linear_units
            except CRSError:
                return ""
        return rules.unit_label(name or "")


def _fill_header(data: Any, spec: OutputSpec) -> None:
    """Everything but pixels, before the first pixel, so that it lies inside the TIFF."""
    if spec.tags:
        data.update_tags(**{key: str(value) for key, value in spec.tags.items()})
    if spec.rpc:
        data.update_tags(ns="RPC", **spec.rpc)
    data.colorinterp = [
        ColorInterp.__members__.get(_color_key(band.color), ColorInterp.undefined)
        for band in spec.bands
    ]
    for number, band in enumerate(spec.bands, 1):
        if band.name:
            data.set_band_description(number, band.name)
        if band.unit:
            data.set_band_unit(number, band.unit)
        if band.tags:
            data.update_tags(number, **band.tags)
    if any((band.scale, band.offset) != (1.0, 0.0) for band in spec.bands):
        data.scales = [band.scale for band in spec.bands]
        data.offsets = [band.offset for band in spec.bands]


def _color_key(color: str) -> str:
    return {"y": "Y", "cb": "Cb", "cr": "Cr"}.get(color, color)


def _crs(crs: str) -> CRS:
    with _quiet():
        try:
            if not crs:
                raise CRSError("empty")
            return CRS.from_user_input(crs)
        except CRSError:
            raise rules.unknown_crs(crs) from None


def _wkt(crs: CRS | None) -> str:
    return crs.to_wkt(version="WKT2_2019") if crs else ""


def _code(crs: CRS) -> str:
    """ "EPSG:n" of a CRS, by its own word or by what it is equal to; "" without one."""
    try:
        found = crs.to_authority(confidence_threshold=70)
    except CRSError:
        return ""
    return ":".join(found) if found else ""


def _plain(crs: CRS) -> CRS:
    """The CRS without its axes, which only ESRI's WKT leaves out; itself where that has no word."""
    try:
        return CRS.from_wkt(crs.to_wkt(version="WKT1_ESRI"))
    except CRSError:
        return crs
