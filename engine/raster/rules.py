"""The rules both backends follow: which rasters are refused and how, what a valid pixel is."""

from __future__ import annotations

import os
import re
import shutil
from typing import TYPE_CHECKING, Mapping, Sequence

import numpy as np

from ..errors import WhetstoneError

if TYPE_CHECKING:
    from ..types import Array, GeoTransform, Window
    from .model import BandInfo, OutputSpec

#: Types a band may have; complex numbers and half floats are refused.
DTYPES = "int8 uint8 int16 uint16 int32 uint32 int64 uint64 float32 float64".split()
_WEB_DRIVERS = ("WMS", "WMTS", "TMS", "OGCAPI")
_WEB_NAMES = re.compile(r"^(wms:|wmts:|<gdal_wms|<gdal_wmts)|\{-?[xyzq]\}|type=xyz", re.IGNORECASE)
_MISSING = re.compile(r"no such file|does not exist", re.IGNORECASE)
_FULL = re.compile(r"no space left|disk full|disk quota|free disk space", re.IGNORECASE)
#: Creation options users may set, with the words each may take (none listed: a number). Codecs that
#: change values (JPEG, WEBP) are left out: the output is a measurement.
_OPTIONS: dict[str, tuple[str, ...]] = {
    "COMPRESS": ("NONE", "DEFLATE", "LZW", "ZSTD", "LZMA", "PACKBITS"),
    "PREDICTOR": ("1", "2", "3", "NO", "YES", "STANDARD", "FLOATING_POINT"),
    "TILED": ("YES", "NO"),
    "INTERLEAVE": ("PIXEL", "BAND"),
    "BIGTIFF": ("YES", "NO", "IF_NEEDED", "IF_SAFER"),
    **dict.fromkeys(("BLOCKXSIZE", "BLOCKYSIZE", "BLOCKSIZE", "NUM_THREADS"), ()),
    **dict.fromkeys(("LEVEL", "ZLEVEL", "ZSTD_LEVEL", "LZMA_PRESET"), ()),
}
_LOST_ON_REOPEN = {"ZLEVEL", "ZSTD_LEVEL", "LZMA_PRESET"}


def refuse_name(path: str) -> None:
    """Refuse names of web maps before anything is asked of a server."""
    if _WEB_NAMES.search(path):
        raise web_map(path)


def web_map(path: str) -> WhetstoneError:
    """The refusal of WMS, WMTS and tile layers."""
    return WhetstoneError(
        "REMOTE_LAYER",
        f"Web map layers carry pictures, not measurements: '{path[:120]}'.",
        "Save as GeoTIFF or use the original bands.",
    )


def open_error(path: str, text: str) -> WhetstoneError:
    """Why a dataset could not be opened, in words; ``text`` is what GDAL said."""
    plain = is_plain(path)
    if not path or (plain and not os.path.exists(path)) or (not plain and _MISSING.search(text)):
        return WhetstoneError(
            "NOT_FOUND", f"There is no raster '{path}'.", "Check the path and the spelling."
        )
    if plain and os.path.isdir(path):
        return WhetstoneError(
            "UNREADABLE",
            f"'{path}' is a folder, not a raster.",
            "Choose the file inside it.",
        )
    if plain and os.path.getsize(path) == 0:
        return WhetstoneError(
            "UNREADABLE",
            f"'{path}' is empty (0 bytes).",
            "Copy or download it again.",
        )
    if plain and not os.access(path, os.R_OK):
        return WhetstoneError("UNREADABLE", f"You are not allowed to read '{path}'.")
    said = _last_line(text)
    if not said or "not recognized as" in said:
        said = "no raster format that GDAL knows"
    return WhetstoneError(
        "UNREADABLE",
        f"'{path}' cannot be read: {said.rstrip('.')}.",
        "The file is damaged, or not a raster.",
    )


def is_plain(path: str) -> bool:
    """Whether a GDAL name is an ordinary path (not ``/vsizip/...``, ``NETCDF:...``, XML)."""
    prefix = re.match(r"^[A-Za-z][A-Za-z0-9_]+:", path)
    return os.path.exists(path) or not (path.startswith(("/vsi", "<", "{")) or prefix)


def refuse_container(path: str, driver: str, count: int, names: Sequence[str]) -> None:
    """Refuse web maps by their driver, and datasets without a band."""
    if driver in _WEB_DRIVERS:
        raise web_map(path)
    if count:
        return
    if names:
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        raise WhetstoneError(
            "SUBDATASETS",
            f"'{path}' holds several rasters: {', '.join(names[:3])}{more}.",
            "Give the name of one of them.",
        )
    raise WhetstoneError("UNREADABLE", f"'{path}' holds no raster band.")


def refuse_types(path: str, dtypes: Sequence[str], colors: Sequence[str]) -> None:
    """Refuse bands that hold no measurements: complex numbers, palette indices."""
    if "palette" in colors:
        raise WhetstoneError(
            "DTYPE",
            f"'{path}' is a palette image (a colour table): its values are not measurements. "
            "Palette images are not supported.",
            "Use the original bands.",
        )
    for number, dtype in enumerate(dtypes, 1):
        if dtype not in DTYPES:
            raise WhetstoneError(
                "DTYPE",
                f"Band {number} of '{path}' is of type {dtype}, which is not supported.",
                "Convert it to an integer or floating point type first.",
            )


def usable_transform(
    path: str, transform: Sequence[float] | None, size: tuple[int, int], gcps: int
) -> GeoTransform | None:
    """The geotransform of a north-up raster, None when it has none; others are refused."""
    if transform is None or tuple(transform) == (0, 1, 0, 0, 0, 1):  # what GDAL gives for none
        if gcps:
            raise WhetstoneError(
                "GCPS",
                f"'{path}' has only ground control points.",
                "Warp it first (Raster > Projections > Warp).",
            )
        return None
    x, dx, row_skew, y, column_skew, dy = (float(value) for value in transform)
    # A skew below a hundredth of a pixel over the whole raster is rounding, not rotation.
    turned = abs(row_skew) * size[1] > 0.01 * abs(dx) or abs(column_skew) * size[0] > 0.01 * abs(dy)
    if turned or dx <= 0 or dy >= 0:
        what = "rotated" if turned else "south-up" if dy >= 0 else "mirrored"
        raise WhetstoneError(
            "ROTATED",
            f"The grid of '{path}' is {what}. Rotated grids are not supported;",
            "warp north-up first (Raster > Projections > Warp).",
        )
    return (x, dx, 0.0, y, 0.0, dy)


def usable_nodata(nodata: float | None, dtype: str) -> float | None:
    """The nodata value as the type holds it; None when it cannot occur in the type."""
    if nodata is None:
        return None
    kind = np.dtype(dtype)
    if kind.kind == "f":
        with np.errstate(over="ignore"):
            value = float(kind.type(nodata))
        return value if np.isfinite(value) or not np.isfinite(nodata) else None
    if nodata != nodata or abs(nodata) == float("inf") or int(nodata) != nodata:
        return None
    limits = np.iinfo(kind)
    inside = int(limits.min) <= int(nodata) <= int(limits.max)
    if not inside:
        return None
    # Floats cannot tell large 64-bit integers apart; keep those as they are.
    return int(nodata) if kind.itemsize == 8 else float(nodata)


def valid_pixels(values: Array, nodata: Sequence[float | None], mask: Array | None) -> Array | None:
    """Where every band is valid: not nodata, finite, and True in ``mask``; None: everywhere.

    Args:
        values: (n, h, w), of one type.
        nodata: One value per band as :func:`usable_nodata` gives it.
        mask: (h, w) from alpha or mask bands.
    """
    valid = None if mask is None else mask.copy()
    if values.dtype.kind == "f":
        finite = np.isfinite(values).all(axis=0)
        valid = finite if valid is None else valid & finite
    for band, missing in zip(values, nodata):
        if missing is None or missing != missing:
            continue
        good = band != values.dtype.type(missing)
        valid = good if valid is None else np.logical_and(valid, good, out=valid)
    return valid


def join_masks(*masks: Array | None) -> Array | None:
    """Where all the given masks are True; None when there is no mask."""
    joined = None
    for mask in masks:
        if mask is not None:
            joined = mask if joined is None else joined & mask
    return joined


def check_window(window: Window, bands: Sequence[int], size: tuple[int, int], count: int) -> None:
    """Refuse reads and writes outside the raster: a mistake of the caller, not of the user."""
    (right, bottom), (width, height) = window.stop, size
    if window.empty or min(window.col, window.row) < 0 or right > width or bottom > height:
        raise ValueError(f"{window} is not inside a raster of {width} x {height} pixels")
    if not bands or min(bands) < 1 or max(bands) > count:
        raise ValueError(f"bands {list(bands)} of {count}")


def read_error(path: str, window: Window, text: str) -> WhetstoneError:
    """A read that failed in the middle of a file."""
    (right, bottom), said = window.stop, _last_line(text).rstrip(".")
    return WhetstoneError(
        "READ_FAILED",
        f"'{path}' cannot be read at columns {window.col} to {right - 1}, rows {window.row} to "
        f"{bottom - 1}{': ' + said if said else ''}.",
        "The file is damaged or incomplete: copy or download it again.",
    )


def write_error(path: str, text: str) -> WhetstoneError:
    """A write that failed: a full disk is named as such, with the space that is left."""
    folder = os.path.dirname(os.path.abspath(path))
    try:
        free = shutil.disk_usage(folder).free
    except OSError:
        free = None
    if _FULL.search(text) or (free is not None and free < 1 << 20):
        left = "" if free is None else f" ({free / 1e6:.1f} MB left in '{folder}')"
        return WhetstoneError(
            "DISK_FULL",
            f"The disk is full{left}.",
            "Free some space or choose another folder.",
        )
    said = _last_line(text).rstrip(".") or "unknown reason"
    return WhetstoneError("WRITE_FAILED", f"'{path}' cannot be written: {said}.")


def unwritable_type(dtype: str) -> WhetstoneError:
    """The refusal of a type that this GDAL cannot write."""
    return WhetstoneError(
        "DTYPE",
        f"GeoTIFF files of type {dtype} are not supported by this GDAL.",
        "Choose another output type.",
    )


def unwritable_nodata(nodata: float) -> WhetstoneError:
    """The refusal of a nodata value that rasterio would change."""
    return WhetstoneError(
        "DTYPE",
        f"The nodata value {nodata} cannot be written by rasterio.",
        "Choose one below 2^53.",
    )


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else ""


def check_options(options: Mapping[str, str]) -> None:
    """Refuse creation options that GDAL would ignore, or that change the values.

    Raises:
        WhetstoneError: ``OUT_OPTION`` naming the option and what there is.
    """
    for name, value in options.items():
        key, word = name.upper(), str(value).upper()
        if key not in _OPTIONS:
            raise WhetstoneError(
                "OUT_OPTION",
                f"There is no creation option {name} here.",
                f"Choose from {', '.join(sorted(_OPTIONS))}.",
            )
        if _OPTIONS[key] and word not in _OPTIONS[key]:
            raise WhetstoneError(
                "OUT_OPTION",
                f"{key} cannot be {value}.",
                f"Choose from {', '.join(_OPTIONS[key])}.",
            )


def resumable(spec: OutputSpec) -> bool:
    """Whether an unfinished file can be reopened and go on as it was begun.

    GDAL keeps the compression of a file it reopens, but not how hard or how well it compresses.
    """
    return not {key.upper() for key in spec.creation_options} & _LOST_ON_REOPEN


def creation_options(spec: OutputSpec) -> dict[str, str]:
    """GTiff creation options: tiled, compressed, and what the bands ask for, then the user's."""
    floats = np.dtype(spec.bands[0].dtype).kind == "f"
    options = {
        "TILED": "YES",
        "BLOCKXSIZE": "512",
        "BLOCKYSIZE": "512",
        "COMPRESS": "DEFLATE",
        "BIGTIFF": "IF_SAFER",
        "NUM_THREADS": "ALL_CPUS",
        # BAND is as fast to write and 3 % smaller, but its overviews take a third longer.
        "INTERLEAVE": "PIXEL",
        **_photometric(spec.bands),
        **{key.upper(): str(value) for key, value in spec.creation_options.items()},
    }
    if options["COMPRESS"].upper() in ("DEFLATE", "LZW", "ZSTD"):
        options.setdefault("PREDICTOR", "3" if floats else "2")
    return options


def _photometric(bands: Sequence[BandInfo]) -> dict[str, str]:
    """Say what the bands are: GDAL would take any three or four bytes for RGB and alpha."""
    colors = [band.color for band in bands]
    rgb = colors[:3] == ["red", "green", "blue"] and bands[0].dtype in ("uint8", "uint16")
    extra = colors[3 if rgb else 1 :]
    return {
        "PHOTOMETRIC": "RGB" if rgb else "MINISBLACK",
        **({"ALPHA": "YES" if extra[0] == "alpha" else "NO"} if extra else {}),
    }


def cog_options(options: Mapping[str, str]) -> dict[str, str]:
    """COG creation options from GTiff ones; those that the COG driver has no word for are left."""
    given = {key.upper(): str(value) for key, value in options.items()}
    chosen = {
        "COMPRESS": "DEFLATE",
        "PREDICTOR": "YES",
        "BLOCKSIZE": "512",
        "OVERVIEW_RESAMPLING": "AVERAGE",
        "BIGTIFF": "IF_SAFER",
        "NUM_THREADS": "ALL_CPUS",
    }
    for key in ("COMPRESS", "BIGTIFF", "NUM_THREADS", "LEVEL", "BLOCKSIZE", "OVERVIEWS"):
        if key in given:
            chosen[key] = given[key]
    chosen["LEVEL"] = given.get("ZLEVEL", given.get("LEVEL", ""))
    words = {"1": "NO", "2": "STANDARD", "3": "FLOATING_POINT"}
    predictor = given.get("PREDICTOR", "YES")
    chosen["PREDICTOR"] = words.get(predictor, predictor)
    if chosen["COMPRESS"].upper() not in ("DEFLATE", "LZW", "ZSTD"):
        del chosen["PREDICTOR"]
    return {key: value for key, value in chosen.items() if value}


def overview_factors(width: int, height: int, smallest: int = 256) -> tuple[int, ...]:
    """Powers of two until the smaller side of the overview is at most ``smallest`` pixels."""
    factors, factor = [], 1
    while min(width, height) > smallest * factor:
        factor *= 2
        factors.append(factor)
    return tuple(factors)


def unit_label(name: str) -> str:
    """A CRS unit for people: "m", "degree", "ft"; other names as they are."""
    known = {"metre": "m", "meter": "m", "m": "m", "foot": "ft", "us survey foot": "ft (US)"}
    known.update({"degree": "degree", "kilometre": "km", "unknown": "", "international foot": "ft"})
    return known.get(name.lower(), name)


def wkt_name(wkt: str) -> str:
    """The name inside a WKT: its first quoted text."""
    found = re.search(r'"([^"]*)"', wkt)
    return found.group(1) if found else ""


def unknown_crs(crs: str) -> WhetstoneError:
    """The refusal of a text that is no CRS."""
    return WhetstoneError(
        "CRS_INVALID",
        f"'{crs[:120]}' is not a coordinate reference system.",
        'Give it as "EPSG:32633" or as WKT.',
    )
