"""From computed values to the numbers of a file."""

from __future__ import annotations

import numpy as np
import pytest
from whetstone.engine.errors import WhetstoneError
from whetstone.engine.radiometry import (
    OUTPUT_DTYPES,
    holds,
    output_dtype,
    output_nodata,
    to_output,
)
from whetstone.engine.raster import BandInfo, RasterInfo

INTEGERS = [name for name in OUTPUT_DTYPES if np.dtype(name).kind in "iu"]


def info(dtype="uint16", nodata=None):
    return RasterInfo("ms.tif", 4, 4, (BandInfo(dtype, nodata),) * 2, "", None, "GTiff")


def out(values, dtype, nodata=None, valid=None):
    values = np.asarray(values, np.float64).reshape(1, 1, -1)
    valid = None if valid is None else np.asarray(valid, bool).reshape(1, -1)
    result = to_output(values, valid, np.dtype(dtype), nodata)
    assert result.dtype == np.dtype(dtype)
    return result.ravel().tolist()


# ------------------------------------------------------------------------------------------- type


def test_the_type_is_the_ms_type():
    assert output_dtype(None, info("int16"), "product") == np.int16
    assert output_dtype(None, info("int16"), "toolbox") == np.float64
    for name in OUTPUT_DTYPES:
        assert output_dtype(name, info(), "toolbox") == np.dtype(name)


@pytest.mark.parametrize("asked", ("complex64", "uint64", "bool", ""))
def test_odd_types_are_refused(asked):
    with pytest.raises(WhetstoneError, match="no output type") as caught:
        output_dtype(asked, info(), "product")
    assert caught.value.code == "DTYPE"
    assert "uint16" in caught.value.hint


# ----------------------------------------------------------------------------------------- nodata


@pytest.mark.parametrize(
    ("dtype", "declared", "may", "wanted"),
    (
        ("uint16", None, False, None),
        ("uint16", 0.0, False, 0.0),
        ("uint16", 65535.0, True, 65535.0),
        ("uint8", 65535.0, True, 0.0),  # does not fit
        ("uint8", 65535.0, False, None),
        ("int16", None, True, -32768.0),
        ("int16", float("nan"), True, -32768.0),
        ("float32", -9999.0, True, -9999.0),
    ),
)
def test_nodata(dtype, declared, may, wanted):
    assert output_nodata(np.dtype(dtype), info(nodata=declared), may) == wanted


def test_nodata_of_floats_is_nan():
    assert np.isnan(output_nodata(np.dtype("float32"), info("float32"), True))


def test_holds():
    assert holds(np.dtype("uint8"), 255)
    assert not holds(np.dtype("uint8"), 256)
    assert not holds(np.dtype("uint8"), -1)
    assert not holds(np.dtype("int16"), 0.5)
    assert not holds(np.dtype("int32"), float("nan"))
    assert holds(np.dtype("float32"), float("nan"))


# --------------------------------------------------------------------------------------- rounding


@pytest.mark.parametrize("dtype", INTEGERS)
def test_rounding_and_clipping_never_wrap(dtype):
    limits = np.iinfo(dtype)
    values = [limits.min - 1e6, limits.min - 0.4, 3.4, 3.6, limits.max + 0.4, limits.max + 1e12]
    wanted = [limits.min, limits.min, 3, 4, limits.max, limits.max]
    assert out(values, dtype) == wanted


@pytest.mark.parametrize("dtype", ("uint32", "int32"))
def test_32_bits_from_float32(dtype):
    """4294967295 is no float32; the nearest one would wrap."""
    values = np.array([5e9, -5e9, 1e6], np.float32).reshape(1, 1, 3)
    limits = np.iinfo(dtype)
    found = to_output(values, None, np.dtype(dtype), None).ravel().tolist()
    assert found == [limits.max, limits.min, 1000000]


def test_floats_are_not_rounded():
    assert out([1.25, -3.5, 1e30], "float32") == [1.25, -3.5, float(np.float32(1e30))]


def test_valid_pixels_never_become_nodata():
    assert out([-5, 0.2, 1, 7], "uint8", nodata=0.0) == [1, 1, 1, 7]
    assert out([300, 255, 254], "uint8", nodata=255.0) == [254, 254, 254]
    beside = out([-9999.0], "float32", nodata=-9999.0)[0]
    assert beside != -9999 and beside == pytest.approx(-9999)


def test_invalid_pixels_become_nodata():
    valid = [True, False, True]
    assert out([5, 6, 7], "uint16", nodata=0.0, valid=valid) == [5, 0, 7]
    found = out([5, 6, 7], "float32", nodata=float("nan"), valid=valid)
    assert found[::2] == [5, 7]
    assert np.isnan(found[1])


def test_the_input_is_left_alone():
    values = np.full((1, 2, 2), 3.7)
    to_output(values, np.zeros((2, 2), bool), np.dtype("float64"), 0.0)
    assert np.all(values == 3.7)
