"""Rasters through ``osgeo.gdal``, as QGIS ships it.

``gdal_array`` is not used: it breaks when another NumPy got into QGIS. GDAL's global state belongs
to QGIS, so error handling and options are set around each act, on this thread, and put back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable, Mapping, Sequence

import numpy as np
from osgeo import gdal, osr

from ..types import Window
from . import rules
from .gdal_crs import GdalCrs, wkt_of
from .gdal_quiet import Quiet, small_cache
from .model import BandInfo, OutputSpec, RasterInfo

if TYPE_CHECKING:
    from ..types import Array

_FLUSH_BYTES = 128 << 20  # empties GDAL's block cache, which otherwise takes 5 % of the memory
_SIGNED = "SIGNEDBYTE"  # how GDAL before 3.7 says int8


def _types() -> dict[int, str]:
    names = "Byte UInt16 Int16 UInt32 Int32 Float32 Float64 Int8 UInt64 Int64".split()
    known = {getattr(gdal, f"GDT_{name}", None): name.lower() for name in names}
    return {code: "uint8" if n == "byte" else n for code, n in known.items() if code is not None}


_NUMPY = _types()
_GDAL = {name: code for code, name in _NUMPY.items()}
_COLORS = {
    gdal.GetColorInterpretationName(code).lower().replace("ycbcr_", ""): code for code in range(17)
}


class GdalReader:
    """An open raster (see :class:`~.model.RasterReader`)."""

    def __init__(self, path: str) -> None:
        rules.refuse_name(path)
        with Quiet() as heard:
            self._set: Any = (
                gdal.OpenEx(path, gdal.OF_RASTER | gdal.OF_VERBOSE_ERROR) if path else None
            )
            if self._set is None:
                raise rules.open_error(path, heard.text)
            try:
                self.info = _describe(path, self._set)
            except BaseException:
                self._set = None
                raise
            self._alpha = [n for n, band in enumerate(self.info.bands, 1) if band.color == "alpha"]
            self._masks = [_mask_kind(self._set, n) for n in range(1, len(self.info.bands) + 1)]
        self._read_bytes = 0

    def read(self, bands: Sequence[int], window: Window) -> tuple[Array, Array | None]:
        """Values (n, h, w) of 1-based ``bands`` and where all are valid (None: everywhere)."""
        values, mask = self.read_raw(bands, window)
        nodata = [self.info.bands[n - 1].nodata for n in bands]
        return values, rules.valid_pixels(values, nodata, mask)

    def read_raw(self, bands: Sequence[int], window: Window) -> tuple[Array, Array | None]:
        """Values, and where alpha and mask bands call them valid."""
        rules.check_window(window, bands, (self.info.width, self.info.height), len(self.info.bands))
        types = [self.info.bands[n - 1].dtype for n in bands]
        with Quiet() as heard:
            if len(set(types)) == 1:
                values = self._values(self._set, list(bands), window, types[0], heard)
            else:
                parts = [
                    self._values(self._set, [n], window, kind, heard)
                    for n, kind in zip(bands, types)
                ]
                values = np.concatenate([part.astype(np.result_type(*types)) for part in parts])
            mask = self._mask(bands, window, heard)
            self._read_bytes += values.nbytes
            if self._read_bytes > _FLUSH_BYTES:
                self._set.FlushCache()
                self._read_bytes = 0
        return values, mask

    def _values(
        self, source: Any, bands: list[int] | None, window: Window, dtype: str, heard: Quiet
    ) -> Array:
        """Read a dataset (several bands) or, with ``bands`` None, one band object."""
        which = {} if bands is None else {"band_list": bands}
        code = _GDAL.get(dtype, gdal.GDT_Byte)
        data = source.ReadRaster(*window, buf_type=code, **which)
        if data is None or heard.failures:
            raise rules.read_error(self.info.path, window, heard.text)
        values = np.frombuffer(data, dtype=dtype).reshape(-1, *window.shape)
        return values if values.flags.writeable else values.copy()

    def _mask(self, bands: Sequence[int], window: Window, heard: Quiet) -> Array | None:
        """Alpha bands, then the mask band all bands share or one of each band."""
        masks = [
            self._values(self._set, [n], window, self.info.bands[n - 1].dtype, heard)[0] != 0
            for n in self._alpha
        ]
        kinds = {n: self._masks[n - 1] for n in bands}
        shared = [n for n, kind in kinds.items() if kind == "shared"][:1]
        for n in shared + [n for n, kind in kinds.items() if kind == "own"]:
            band = self._set.GetRasterBand(n).GetMaskBand()
            masks.append(self._values(band, None, window, "uint8", heard)[0] != 0)
        return rules.join_masks(*masks)

    def close(self) -> None:
        """Release the file."""
        with Quiet():
            self._set = None


def _describe(path: str, data: Any) -> RasterInfo:
    """The header, or a refusal in words."""
    driver = data.GetDriver().ShortName
    names = [name for name, _ in data.GetSubDatasets()]
    rules.refuse_container(path, driver, data.RasterCount, names)
    every = [data.GetRasterBand(n) for n in range(1, data.RasterCount + 1)]
    colors = [_color(band) for band in every]
    rules.refuse_types(path, [_dtype(band) for band in every], colors)
    size = (data.RasterXSize, data.RasterYSize)
    transform = data.GetGeoTransform(can_return_null=True)
    transform = rules.usable_transform(path, transform, size, data.GetGCPCount())
    masked = any(_mask_kind(data, n) for n in range(1, len(every) + 1)) or "alpha" in colors
    block = every[0].GetBlockSize()
    return RasterInfo(
        path=path,
        width=size[0],
        height=size[1],
        bands=tuple(_band(band, color) for band, color in zip(every, colors)),
        crs=wkt_of(data.GetSpatialRef()),
        transform=transform,
        driver=driver,
        tags=dict(data.GetMetadata() or {}),
        block=(int(block[0]), int(block[1])),
        masked=masked,
        rpc=dict(data.GetMetadata("RPC") or {}),
    )


def _band(band: Any, color: str) -> BandInfo:
    dtype = _dtype(band)
    scale, offset = band.GetScale(), band.GetOffset()
    return BandInfo(
        dtype=dtype,
        nodata=rules.usable_nodata(_nodata(band, dtype), dtype),
        scale=1.0 if scale is None else float(scale),
        offset=0.0 if offset is None else float(offset),
        unit=band.GetUnitType() or "",
        name=band.GetDescription() or "",
        color=color,
        tags=dict(band.GetMetadata() or {}),
    )


def _nodata(band: Any, dtype: str) -> float | None:
    """The nodata value; 64-bit integers have getters of their own since GDAL 3.5."""
    getter = {"int64": "GetNoDataValueAsInt64", "uint64": "GetNoDataValueAsUInt64"}.get(dtype, "")
    return getattr(band, getter, band.GetNoDataValue)()


def _dtype(band: Any) -> str:
    """NumPy's name of the type, GDAL's in lower case when NumPy has none."""
    dtype = _NUMPY.get(band.DataType)
    if dtype == "uint8" and band.GetMetadataItem("PIXELTYPE", "IMAGE_STRUCTURE") == _SIGNED:
        return "int8"
    if dtype is None:
        name = gdal.GetDataTypeName(band.DataType).lower()
        return {"cfloat32": "complex64", "cfloat64": "complex128"}.get(
            name, name.replace("cint", "complex_int")
        )
    return dtype


def _color(band: Any) -> str:
    name = gdal.GetColorInterpretationName(band.GetColorInterpretation())
    return name.lower().replace("ycbcr_", "")


def _mask_kind(data: Any, number: int) -> str:
    """ "shared" by all bands, the band's "own", or "" (none, nodata, or the alpha band)."""
    flags = data.GetRasterBand(number).GetMaskFlags()
    if flags & (gdal.GMF_ALL_VALID | gdal.GMF_ALPHA):
        return ""
    if flags & gdal.GMF_PER_DATASET:
        return "shared"
    return "" if flags & gdal.GMF_NODATA else "own"


class GdalWriter:
    """A GeoTIFF being written (see :class:`~.model.RasterWriter`)."""

    def __init__(self, path: str, data: Any) -> None:
        self._path, self._set, self._written = path, data, 0
        self._dtype = _dtype(data.GetRasterBand(1))

    def write(self, window: Window, values: Array) -> None:
        """Write (bands, h, w), of the file's own type, at a window inside the raster."""
        size = (self._set.RasterXSize, self._set.RasterYSize)
        rules.check_window(window, [1], size, self._set.RasterCount)
        if values.shape != (self._set.RasterCount, *window.shape) or values.dtype != self._dtype:
            raise ValueError(f"{values.dtype} values of shape {values.shape} for {window}")
        code = _GDAL.get(self._dtype, gdal.GDT_Byte)
        self._act(
            lambda: self._set.WriteRaster(*window, np.ascontiguousarray(values), buf_type=code)
        )
        self._written += values.nbytes
        if self._written > _FLUSH_BYTES:
            self._act(self._set.FlushCache)
            self._written = 0

    def flush(self) -> None:
        """Put everything written so far on disk."""
        # FlushCache writes the blocks, but the list of where they are only when the file is closed.
        self.close()
        self._set, self._written = _open_update(self._path), 0

    def close(self) -> None:
        """Finish the file; raises ``DISK_FULL`` or ``WRITE_FAILED`` if anything went wrong."""
        if self._set is not None:
            self._act(self._finish)

    def _finish(self) -> None:
        data, self._set = self._set, None
        data.FlushCache()
        if hasattr(data, "Close"):
            data.Close()
        # Without Close (GDAL < 3.8) the file is closed as ``data`` goes, still being listened to.

    def _act(self, act: Callable[[], Any]) -> None:
        with Quiet(side_files=False) as heard:
            failed = act()
        if heard.failures or failed:
            raise rules.write_error(self._path, heard.text)


def _open_update(path: str, threads: str = "ALL_CPUS") -> Any:
    flags = gdal.OF_RASTER | gdal.OF_UPDATE | gdal.OF_VERBOSE_ERROR
    with Quiet(side_files=False) as heard:
        data = gdal.OpenEx(path, flags, open_options=[f"NUM_THREADS={threads}"])
        if data is None:
            raise rules.open_error(path, heard.text)
    return data


class GdalBackend(GdalCrs):
    """The raster library of QGIS (see :class:`~.model.Backend`)."""

    name = "osgeo"

    def versions(self) -> dict[str, str]:
        """Versions of the library, and of the GDAL, PROJ and numpy it works with."""
        number = osr.GetPROJVersionMajor, osr.GetPROJVersionMinor, osr.GetPROJVersionMicro
        return {
            "osgeo": gdal.__version__,
            "gdal": gdal.__version__,
            "proj": ".".join(str(part()) for part in number),
            "numpy": np.__version__,
        }

    def open(self, path: str) -> GdalReader:
        """Open a dataset by its GDAL name, or raise ``WhetstoneError`` saying why not."""
        return GdalReader(path)

    def create(self, path: str, spec: OutputSpec) -> GdalWriter:
        """Start a tiled GeoTIFF; raises ``WRITE_FAILED``, ``DISK_FULL`` or ``DTYPE``."""
        dtype = spec.bands[0].dtype
        options = rules.creation_options(spec)
        if dtype not in _GDAL and dtype == "int8":
            options["PIXELTYPE"] = _SIGNED
        elif dtype not in _GDAL:
            raise rules.unwritable_type(dtype)
        code = _GDAL.get(dtype, gdal.GDT_Byte)
        pairs = [f"{key}={value}" for key, value in options.items()]
        with Quiet(side_files=False) as heard:
            driver = gdal.GetDriverByName("GTiff")
            data = driver.Create(path, spec.width, spec.height, len(spec.bands), code, pairs)
            if data is not None:
                _fill_header(data, spec)
            if data is None or heard.failures:
                data = None
                raise rules.write_error(path, heard.text)
        return GdalWriter(path, data)

    def reopen(self, path: str) -> GdalWriter:
        """Open an unfinished GeoTIFF for further writing."""
        return GdalWriter(path, _open_update(path))

    def add_overviews(self, path: str, factors: Sequence[int]) -> None:
        """Build averaged, compressed overviews into a finished GeoTIFF."""
        if not factors:
            return
        # One thread: GDAL 3.6 reads wrong tags, aloud, when it decodes several blocks at once.
        data = _open_update(path, threads="1")
        with small_cache(), Quiet(side_files=False, GDAL_TIFF_OVR_BLOCKSIZE="512") as heard:
            data.BuildOverviews("AVERAGE", list(factors))
            data.FlushCache()
            data = None
        if heard.failures:
            raise rules.write_error(path, heard.text)

    def copy_cog(self, source: str, target: str, options: Mapping[str, str]) -> None:
        """Rewrite a GeoTIFF as a Cloud-Optimized GeoTIFF; ``options`` in GTiff's or COG's words."""
        pairs = [f"{key}={value}" for key, value in rules.cog_options(options).items()]
        with small_cache(), Quiet(side_files=False) as heard:
            data = gdal.OpenEx(source, gdal.OF_RASTER | gdal.OF_VERBOSE_ERROR)
            made = data and gdal.GetDriverByName("COG").CreateCopy(target, data, options=pairs)
            done, made, data = made is not None, None, None
        if heard.failures or not done:
            raise rules.write_error(target, heard.text)

    def encode_png(self, rgb: Array) -> bytes:
        """A uint8 array (h, w), (3, h, w) or (4, h, w) as the bytes of a PNG file."""
        image = np.ascontiguousarray(rgb if rgb.ndim == 3 else rgb[None], dtype=np.uint8)
        count, height, width = image.shape
        name = f"/vsimem/whetstone-{id(image)}.png"
        with Quiet(side_files=False) as heard:
            memory = gdal.GetDriverByName("MEM").Create("", width, height, count, gdal.GDT_Byte)
            memory.WriteRaster(0, 0, width, height, image)
            done = gdal.GetDriverByName("PNG").CreateCopy(name, memory)
            if done is None:
                raise rules.write_error(name, heard.text)
            done = memory = None
            try:
                return _read_memory(name)
            finally:
                gdal.Unlink(name)


def _fill_header(data: Any, spec: OutputSpec) -> None:
    """Everything but pixels, before the first pixel, so that it lies inside the TIFF."""
    if spec.crs:
        data.SetProjection(spec.crs)
    if spec.transform is not None:
        data.SetGeoTransform(list(spec.transform))
    if spec.tags:
        data.SetMetadata({key: str(value) for key, value in spec.tags.items()})
    if spec.rpc:
        data.SetMetadata(dict(spec.rpc), "RPC")
    for number, info in enumerate(spec.bands, 1):
        band = data.GetRasterBand(number)
        nodata = rules.usable_nodata(info.nodata, info.dtype)
        if nodata is not None:
            names = {"int64": "SetNoDataValueAsInt64", "uint64": "SetNoDataValueAsUInt64"}
            getattr(band, names.get(info.dtype, ""), band.SetNoDataValue)(nodata)
        band.SetColorInterpretation(_COLORS.get(info.color, gdal.GCI_Undefined))
        if info.name:
            band.SetDescription(info.name)
        if info.unit:
            band.SetUnitType(info.unit)
        if (info.scale, info.offset) != (1.0, 0.0):
            band.SetScale(info.scale)
            band.SetOffset(info.offset)
        if info.tags:
            band.SetMetadata(dict(info.tags))


def _read_memory(name: str) -> bytes:
    handle = gdal.VSIFOpenL(name, "rb")
    try:
        return bytes(gdal.VSIFReadL(1, gdal.VSIStatL(name).size, handle))
    finally:
        gdal.VSIFCloseL(handle)
