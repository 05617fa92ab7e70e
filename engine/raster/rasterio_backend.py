"""Rasters through ``rasterio``, in the engine's own environment."""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Iterator, Mapping, Sequence

import numpy as np
import rasterio
import rasterio.windows
from rasterio.crs import CRS
from rasterio.enums import ColorInterp, MaskFlags, Resampling
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.io import MemoryFile
from rasterio.shutil import copy as copy_raster
from rasterio.transform import Affine

from ..types import Window
from . import rules
from .model import BandInfo, OutputSpec, RasterInfo
from .rasterio_crs import RasterioCrs, wkt_of
from .rasterio_quiet import quiet

if TYPE_CHECKING:
    from ..types import Array

_FAILURES = (RasterioError, OSError, ValueError)


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
        with quiet() as heard:
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
        with quiet() as heard:
            try:
                if len(set(types)) == 1:
                    values = self._set.read(list(bands), window=place)
                else:
                    parts = [self._set.read(n, window=place) for n in bands]
                    values = np.stack([part.astype(np.result_type(*types)) for part in parts])
                mask = self._mask(bands, place)
            except _FAILURES as error:
                raise rules.read_error(self.info.path, window, _said(error, heard)) from None
        if heard:
            raise rules.read_error(self.info.path, window, "\n".join(heard))
        return values, mask

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
        with quiet():
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
        crs=wkt_of(data.crs),
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
        with quiet(side_files=False) as heard:
            try:
                yield
            except _FAILURES as error:
                raise rules.write_error(self._path, _said(error, heard)) from None
        if heard:
            raise rules.write_error(self._path, "\n".join(heard))


class RasterioBackend(RasterioCrs):
    """The raster library of the engine's environment (see :class:`~.model.Backend`)."""

    name = "rasterio"

    def versions(self) -> dict[str, str]:
        """Versions of the library, and of the GDAL, PROJ and numpy it works with."""
        return {
            "rasterio": rasterio.__version__,
            "gdal": rasterio.__gdal_version__,
            "proj": rasterio.__proj_version__,
            "numpy": np.__version__,
        }

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
        with quiet(side_files=False) as heard, warnings.catch_warnings():
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
        with quiet(side_files=False) as heard:
            try:
                return RasterioWriter(path, _open(path, "r+", NUM_THREADS="ALL_CPUS"))
            except _FAILURES as error:
                raise rules.open_error(path, _said(error, heard)) from None

    def add_overviews(self, path: str, factors: Sequence[int]) -> None:
        """Build averaged, compressed overviews into a finished GeoTIFF."""
        if not factors:
            return
        with quiet(side_files=False, GDAL_TIFF_OVR_BLOCKSIZE="512") as heard:
            try:
                with _open(path, "r+") as data:
                    data.build_overviews(list(factors), Resampling.average)
            except _FAILURES as error:
                raise rules.write_error(path, _said(error, heard)) from None
        if heard:
            raise rules.write_error(path, "\n".join(heard))

    def copy_cog(self, source: str, target: str, options: Mapping[str, str]) -> None:
        """Rewrite a GeoTIFF as a Cloud-Optimized GeoTIFF; ``options`` in GTiff's or COG's words."""
        with quiet(side_files=False) as heard:
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
        with quiet(side_files=False), warnings.catch_warnings(), MemoryFile() as memory:
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            with memory.open(driver="PNG", **shape) as data:
                data.write(image)
            return bytes(memory.read())


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
