"""From computed values back to the numbers of a file: type, range, nodata."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .errors import WhetstoneError
from .jobs import OUTPUT_DTYPES

if TYPE_CHECKING:
    from .raster.model import RasterInfo
    from .types import Array


def output_dtype(asked: str | None, ms: RasterInfo, protocol: str) -> np.dtype:
    """The type to write: as asked, else the MS's own (float64 for the toolbox protocol)."""
    if asked is None:
        return np.dtype("float64" if protocol == "toolbox" else ms.bands[0].dtype)
    if asked not in OUTPUT_DTYPES:
        raise WhetstoneError(
            "DTYPE", f"There is no output type {asked!r}.", f"Choose {', '.join(OUTPUT_DTYPES)}."
        )
    return np.dtype(asked)


def output_nodata(dtype: np.dtype, ms: RasterInfo, may_be_invalid: bool) -> float | None:
    """The nodata value to write: the MS's own if the type can hold it, else one out of the way.

    None when no pixel can be invalid.
    """
    declared = next((band.nodata for band in ms.bands if band.nodata is not None), None)
    if declared is not None and holds(dtype, declared):
        return declared  # as it is: a float cannot tell large 64-bit integers apart
    if not may_be_invalid:
        return None
    if dtype.kind == "f":
        return float("nan")
    return float(np.iinfo(dtype).min)


def holds(dtype: np.dtype, value: float) -> bool:
    """Whether a type can hold a value exactly."""
    if dtype.kind == "f":
        return not np.isfinite(value) or abs(value) <= float(np.finfo(dtype).max)
    limits = np.iinfo(dtype)
    return bool(np.isfinite(value) and value == round(value) and limits.min <= value <= limits.max)


def to_output(values: Array, valid: Array | None, dtype: np.dtype, nodata: float | None) -> Array:
    """Round and clip (B, h, w) values to ``dtype``, never wrapping; invalid pixels become nodata.

    A valid value that would round to the nodata value takes the next one, so that dark pixels do
    not turn into holes.
    """
    if dtype.kind == "f":
        out = values.astype(dtype)
    else:
        limits = np.iinfo(dtype)
        rounded = np.rint(values)
        # the limits of 32-bit types are not numbers of float32, so clip in float64 there
        if dtype.itemsize > 2:
            rounded = rounded.astype(np.float64)
        top = float(limits.max)
        with np.errstate(invalid="ignore"):
            out = np.clip(rounded, limits.min, top).astype(dtype)
        if dtype.itemsize == 8:  # and the limits of 64-bit types are not numbers of float64
            out[rounded >= top] = limits.max
    if nodata is None:
        return out
    if not np.isnan(nodata):
        mark = dtype.type(nodata)
        hit = out == mark
        if hit.any():
            out[hit] = _beside(mark, dtype)
    if valid is not None:
        out[:, ~valid] = nodata
    return out


def _beside(mark: np.generic, dtype: np.dtype) -> np.generic:
    """The value next to ``mark`` that is in range."""
    if dtype.kind == "f":
        return np.nextafter(mark, dtype.type(np.inf))
    return dtype.type(int(mark) + 1 if int(mark) < np.iinfo(dtype).max else int(mark) - 1)
