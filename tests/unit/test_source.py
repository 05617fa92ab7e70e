"""One input, however many files it lies in."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from whetstone.engine.errors import WhetstoneError
from whetstone.engine.jobs import RasterSource
from whetstone.engine.raster import BandInfo, OutputSpec
from whetstone.engine.raster.source import open_source
from whetstone.engine.types import Window

ALL = Window(0, 0, 4, 3)
UTM = (500000.0, 0.5, 0.0, 4600000.0, 0.0, -0.5)


def make(backend, path, values, crs="EPSG:32633", transform=UTM, bands=None):
    """Write a small raster and say its name."""
    bands = bands or tuple(BandInfo(str(values.dtype)) for _ in values)
    wkt = backend.crs_wkt(crs) if crs else ""
    spec = OutputSpec(values.shape[2], values.shape[1], bands, wkt, transform)
    writer = backend.create(str(path), spec)
    writer.write(Window(0, 0, spec.width, spec.height), values)
    writer.close()
    return str(path)


def numbers(count=1, dtype="uint16", start=0):
    return np.arange(start, start + 12 * count).astype(dtype).reshape(count, 3, 4)


def refused(backend, source, role="MS"):
    with pytest.raises(WhetstoneError) as caught:
        open_source(source, backend, role)
    return caught.value


@pytest.fixture
def three(backend, tmp_path):
    """B2, B3 and B4, one file each."""
    return tuple(
        make(
            backend,
            tmp_path / f"B{n}.tif",
            numbers(1, "uint16", 100 * n),
            bands=(BandInfo("uint16", name=f"B{n}"),),
        )
        for n in (2, 3, 4)
    )


def test_one_file(backend, tmp_path):
    values = numbers(3)
    name = make(backend, tmp_path / "a.tif", values)
    with open_source(RasterSource.of(name), backend, "MS") as source:
        got, valid = source.read(ALL)
        assert np.array_equal(got, values)
        assert valid is None
        assert not source.may_be_invalid
        assert len(source.info.bands) == 3
        assert source.notes == ()
        assert np.array_equal(source.read(Window(1, 1, 2, 2))[0], values[:, 1:3, 1:3])


def test_bands_in_any_order(backend, tmp_path):
    values = numbers(4)
    name = make(backend, tmp_path / "a.tif", values)
    with open_source(RasterSource((name,), (4, 1, 1)), backend, "MS") as source:
        assert np.array_equal(source.read(ALL)[0], values[[3, 0, 0]])
        assert len(source.info.bands) == 3


def test_a_file_per_band(backend, three):
    with open_source(RasterSource(three), backend, "MS") as source:
        assert [band.name for band in source.info.bands] == ["B2", "B3", "B4"]
        expected = np.concatenate([numbers(1, "uint16", 100 * n) for n in (2, 3, 4)])
        assert np.array_equal(source.read(ALL)[0], expected)
    with open_source(RasterSource(three, (3, 1)), backend, "MS") as source:
        assert [band.name for band in source.info.bands] == ["B4", "B2"]
        assert np.array_equal(source.read(ALL)[0], expected[[2, 0]])


def test_files_of_several_bands(backend, tmp_path):
    one = make(backend, tmp_path / "a.tif", numbers(2))
    two = make(backend, tmp_path / "b.tif", numbers(2, start=500))
    with open_source(RasterSource((one, two), (4, 2)), backend, "MS") as source:
        got = source.read(ALL)[0]
        assert np.array_equal(got, [numbers(2, start=500)[1], numbers(2)[1]])


def test_alpha_is_not_a_band(backend, tmp_path):
    values = numbers(2, "uint8")
    values[1] = 255
    values[1, 0] = 0
    bands = (BandInfo("uint8", color="gray"), BandInfo("uint8", color="alpha"))
    one = make(backend, tmp_path / "a.tif", values, bands=bands)
    two = make(backend, tmp_path / "b.tif", numbers(1, "uint8"))
    with open_source(RasterSource((one, two)), backend, "MS") as source:
        assert len(source.info.bands) == 2
        assert source.info.masked
        assert source.may_be_invalid
        got, valid = source.read(ALL)
        assert np.array_equal(got, np.stack([values[0], numbers(1, "uint8")[0]]))
        assert valid.tolist() == [[False] * 4, [True] * 4, [True] * 4]
    with open_source(RasterSource((one, two), (2,)), backend, "MS") as source:
        assert not source.may_be_invalid
        assert source.read(ALL)[1] is None


def test_types_are_promoted_and_said(backend, tmp_path):
    bands = (BandInfo("uint8", nodata=0),)
    one = make(backend, tmp_path / "a.tif", numbers(1, "uint8"), bands=bands)
    two = make(backend, tmp_path / "b.tif", -numbers(1, "int16"))
    with open_source(RasterSource((one, two)), backend, "MS") as source:
        got, valid = source.read(ALL)
        assert got.dtype == np.int16
        assert [band.dtype for band in source.info.bands] == ["int16", "int16"]
        assert [band.nodata for band in source.info.bands] == [0, None]
        assert np.array_equal(got[1], -numbers(1, "int16")[0])
        assert valid.sum() == 11
        assert len(source.notes) == 1
        assert "int16, uint8 are read as int16" in source.notes[0]


def test_float_may_be_invalid(backend, tmp_path):
    values = numbers(1, "float32")
    values[0, 0, 0] = np.nan
    name = make(backend, tmp_path / "a.tif", values)
    with open_source(RasterSource.of(name), backend, "PAN") as source:
        assert source.may_be_invalid
        assert source.read(ALL)[1].sum() == 11


def test_nodata_of_the_user_replaces_the_file_s(backend, tmp_path):
    bands = (BandInfo("uint16", nodata=3),)
    name = make(backend, tmp_path / "a.tif", numbers(1), bands=bands)
    with open_source(RasterSource((name,), nodata=5), backend, "MS") as source:
        assert source.info.bands[0].nodata == 5
        assert np.argwhere(~source.read(ALL)[1]).tolist() == [[1, 1]]
    with open_source(RasterSource((name,), nodata=-1), backend, "MS") as source:
        assert source.info.bands[0].nodata is None
        assert not source.may_be_invalid


def test_crs_of_the_user_replaces_the_file_s(backend, tmp_path):
    name = make(backend, tmp_path / "a.tif", numbers(1), crs="")
    other = make(backend, tmp_path / "b.tif", numbers(1), crs="EPSG:3857")
    source = RasterSource((name, other), crs="EPSG:32633")
    with open_source(source, backend, "MS") as opened:
        assert backend.crs_label(opened.info.crs) == "EPSG:32633"
    assert refused(backend, replace(source, crs="EPSG:0")).code == "CRS_INVALID"


def test_one_file_without_crs(backend, tmp_path):
    one = make(backend, tmp_path / "a.tif", numbers(1), crs="")
    two = make(backend, tmp_path / "b.tif", numbers(1))
    with open_source(RasterSource((one, two)), backend, "MS") as source:
        assert backend.crs_label(source.info.crs) == "EPSG:32633"
        assert "has no CRS; EPSG:32633 is taken" in source.notes[0]


def test_a_rounding_of_the_corner_is_the_same_grid(backend, tmp_path):
    one = make(backend, tmp_path / "a.tif", numbers(1))
    near = make(backend, tmp_path / "b.tif", numbers(1), transform=(500000.0002, *UTM[1:]))
    open_source(RasterSource((one, near)), backend, "MS").close()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"transform": (500000.01, *UTM[1:])}, ("500000.01", "upper left corner")),
        ({"transform": (500000.0, 0.501, 0.0, 4600000.0, 0.0, -0.501)}, ("0.501 x 0.501",)),
        ({"transform": None}, ("none",)),
        ({"crs": "EPSG:32634"}, ("EPSG:32633 and EPSG:32634",)),
        ({"values": np.zeros((1, 3, 5), "uint16")}, ("4 x 3 and 5 x 3 pixels",)),
    ],
)
def test_files_that_do_not_lie_on_each_other(backend, tmp_path, change, words):
    one = make(backend, tmp_path / "a.tif", numbers(1))
    two = make(backend, tmp_path / "b.tif", **{"values": numbers(1), **change})
    error = refused(backend, RasterSource((one, two)))
    assert error.code == "GRID_DIFFERENT"
    assert all(word in error.message for word in (*words, f"'{one}'", f"'{two}'", "MS"))
    assert error.hint


@pytest.mark.parametrize(("bands", "word"), [((5,), "no band 5"), ((0,), "no band 0"), ((), "no")])
def test_bands_that_are_not_there(backend, three, bands, word):
    error = refused(backend, RasterSource(three, bands))
    assert error.code == "BAND_MISSING"
    assert word in error.message
    assert "has 3 bands" in error.message


def test_a_missing_file_closes_the_others(backend, three, tmp_path):
    error = refused(backend, RasterSource((*three, str(tmp_path / "B5.tif"))))
    assert error.code == "NOT_FOUND"
    assert "B5.tif" in error.message
    assert refused(backend, RasterSource(())).code == "NOT_FOUND"


def test_a_damaged_file_is_named(backend, tmp_path):
    values = np.random.default_rng(1).integers(0, 60000, (1, 900, 600)).astype("uint16")
    one = make(backend, tmp_path / "a.tif", values)
    two = make(backend, tmp_path / "b.tif", values)
    whole = (tmp_path / "b.tif").read_bytes()
    (tmp_path / "b.tif").write_bytes(whole[: len(whole) // 3])
    with open_source(RasterSource((one, two)), backend, "MS") as source:
        with pytest.raises(WhetstoneError) as caught:
            source.read(Window(0, 600, 100, 100))
        assert caught.value.code == "READ_FAILED"
        assert "b.tif" in caught.value.message
