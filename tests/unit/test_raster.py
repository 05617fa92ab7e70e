"""Both backends read and write the same pixels, headers and errors."""

from __future__ import annotations

import struct
import subprocess
import sys
import zipfile
import zlib
from dataclasses import replace

import numpy as np
import pytest
from whetstone.engine.errors import WhetstoneError
from whetstone.engine.raster import BandInfo, OutputSpec, rules
from whetstone.engine.raster import backend as make_backend
from whetstone.engine.types import Window

UTM = (500000.0, 0.5, 0.0, 4600000.0, 0.0, -0.5)


def spec_of(backend, dtype="uint16", bands=1, size=(40, 30), crs="EPSG:32633", **kw):
    info = kw.pop("band", {})
    return OutputSpec(
        width=size[0],
        height=size[1],
        bands=tuple(BandInfo(dtype=dtype, **info) for _ in range(bands)),
        crs=backend.crs_wkt(crs) if crs else "",
        transform=kw.pop("transform", UTM),
        **kw,
    )


def ramp(shape, dtype):
    kind = np.dtype(dtype)
    if kind.kind == "f":
        return np.linspace(-3, 7, int(np.prod(shape))).reshape(shape).astype(kind)
    limits = np.iinfo(kind)
    flat = np.linspace(0, 1, int(np.prod(shape)))
    values = (flat * (float(limits.max) - float(limits.min)) * 0.99 + float(limits.min)).astype(
        kind
    )
    values[0], values[-1] = limits.min, limits.max
    return values.reshape(shape) if values.ndim != len(shape) else values


def make(backend, path, values, **kw):
    """Write a small raster and say its name."""
    spec = spec_of(backend, str(values.dtype), len(values), values.shape[:0:-1], **kw)
    writer = backend.create(str(path), spec)
    writer.write(Window(0, 0, spec.width, spec.height), values)
    writer.close()
    return str(path)


def vrt(path, bands, size=(4, 3), extra=""):
    """A VRT of raw bands, for headers that GeoTIFF cannot say; ``bands`` are (type, xml)."""
    text = f'<VRTDataset rasterXSize="{size[0]}" rasterYSize="{size[1]}">{extra}'
    for number, (kind, xml) in enumerate(bands, 1):
        text += f'<VRTRasterBand dataType="{kind}" band="{number}">{xml}</VRTRasterBand>'
    path.write_text(text + "</VRTDataset>")
    return str(path)


def layer(file, band, mask=False):
    """A VRT source."""
    name = f"mask,{band}" if mask else band
    return (
        f'<SimpleSource><SourceFilename relativeToVRT="0">{file}</SourceFilename>'
        f"<SourceBand>{name}</SourceBand></SimpleSource>"
    )


GEO = "<GeoTransform>500000, 0.5, 0, 4600000, 0, -0.5</GeoTransform>"


def fails(backend, path):
    with pytest.raises(WhetstoneError) as caught:
        backend.open(str(path))
    return caught.value


# ---------------------------------------------------------------------------------- round trips


@pytest.mark.parametrize("dtype", rules.DTYPES)
def test_every_type_comes_back(backend, tmp_path, dtype):
    values = ramp((2, 30, 40), dtype)
    name = make(backend, tmp_path / "a.tif", values)
    reader = backend.open(name)
    got, valid = reader.read([1, 2], Window(0, 0, 40, 30))
    assert got.dtype == np.dtype(dtype)
    assert np.array_equal(got, values)
    assert got.flags.writeable
    assert (valid is None) == (np.dtype(dtype).kind != "f")
    assert [band.dtype for band in reader.info.bands] == [dtype] * 2
    reader.close()


@pytest.mark.parametrize("dtype", rules.DTYPES)
def test_both_read_the_same(both, tmp_path, dtype):
    values = ramp((3, 30, 40), dtype)
    for writer in both:
        name = make(writer, tmp_path / f"{writer.name}.tif", values, band={"nodata": 7})
        one, two = (reading.open(name) for reading in both)
        for bands, window in (([3, 1], Window(5, 6, 7, 8)), ([2], Window(0, 0, 40, 30))):
            (a, good_a), (b, good_b) = one.read(bands, window), two.read(bands, window)
            assert a.dtype == b.dtype
            assert np.array_equal(a, b)
            assert np.array_equal(good_a, good_b)
        assert_same_info(both, one.info, two.info)


def assert_same_info(both, one, two):
    assert all(library.same_crs(one.crs, two.crs) for library in both) if one.crs else not two.crs
    assert replace(one, crs="") == replace(two, crs="")


def test_header_survives(backend, both, tmp_path):
    bands = tuple(
        BandInfo("int16", -9999.0, 0.0001, -0.1, "reflectance", name, color, {"WAVELENGTH": wave})
        for name, color, wave in (("B", "blue", "490"), ("G", "green", "560"), ("R", "red", "665"))
    )
    bands += (BandInfo("int16", -9999.0, 1.0, 0.0, "", "Nähe", "undefined"),)
    rpc = rpc_tags()
    tags = {"SENSOR": "WV3 é", "AREA_OR_POINT": "Area", "JOB": '{"a": "<b>"}\nline two'}
    spec = OutputSpec(40, 30, bands, backend.crs_wkt("EPSG:25832"), UTM, tags, {}, rpc)
    name = str(tmp_path / "a.tif")
    writer = backend.create(name, spec)
    writer.write(Window(0, 0, 40, 30), np.ones((4, 30, 40), "int16"))
    writer.close()
    assert [p.name for p in tmp_path.iterdir()] == ["a.tif"]
    infos = [library.open(name).info for library in both]
    assert_same_info(both, *infos)
    for info in infos:
        assert info.bands == bands
        assert backend.crs_label(info.crs) == "EPSG:25832"
        assert info.transform == UTM
        assert info.block == (512, 512)
        assert (info.width, info.height, info.driver) == (40, 30, "GTiff")
        assert {key: info.tags[key] for key in tags} == tags
        assert set(rpc) <= set(info.rpc)
        assert float(info.rpc["LINE_OFF"]) == 12.5


def rpc_tags():
    rpc = dict.fromkeys(("ERR_BIAS ERR_RAND SAMP_OFF LAT_OFF LONG_OFF HEIGHT_OFF".split()), "1")
    rpc.update(dict.fromkeys(["LINE_SCALE", "SAMP_SCALE", "LAT_SCALE", "LONG_SCALE"], "100"))
    rpc.update({"HEIGHT_SCALE": "500", "LINE_OFF": "12.5"})
    for part in ("LINE_NUM", "LINE_DEN", "SAMP_NUM", "SAMP_DEN"):
        rpc[f"{part}_COEFF"] = " ".join(["1"] + ["0"] * 19)
    return rpc


@pytest.mark.parametrize(
    "colors",
    [
        ("gray",),
        ("red", "green", "blue"),
        ("red", "green", "blue", "undefined"),
        ("red", "green", "blue", "alpha"),
        ("blue", "green", "red", "undefined"),
        ("undefined",) * 4,
        ("gray", "alpha"),
    ],
)
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_colours_survive(backend, both, tmp_path, colors, dtype):
    bands = tuple(BandInfo(dtype, color=color) for color in colors)
    spec = replace(spec_of(backend, dtype, 1), bands=bands)
    name = str(tmp_path / "a.tif")
    writer = backend.create(name, spec)
    writer.write(Window(0, 0, 40, 30), np.ones((len(colors), 30, 40), dtype))
    writer.close()
    for library in both:
        got = tuple(band.color for band in library.open(name).info.bands)
        # GeoTIFF has no word for a first band of no colour: readers say gray.
        expected = ("gray", *colors[1:]) if colors[0] == "undefined" else colors
        assert got in (colors, expected)
    assert list(tmp_path.iterdir()) == [tmp_path / "a.tif"]


@pytest.mark.parametrize(
    "code", ["EPSG:32633", "EPSG:3857", "EPSG:4326", "EPSG:31467", "EPSG:2154"]
)
def test_epsg_survives(backend, both, tmp_path, code):
    name = make(backend, tmp_path / "a.tif", ramp((1, 30, 40), "uint8"), crs=code)
    for library in both:
        wkt = library.open(name).info.crs
        assert library.crs_label(wkt) == code
        assert library.same_crs(wkt, code)


def test_no_crs_and_no_transform(backend, both, tmp_path):
    name = make(backend, tmp_path / "a.tif", ramp((1, 3, 4), "uint8"), crs="", transform=None)
    for library in both:
        info = library.open(name).info
        assert (info.crs, info.transform) == ("", None)


def test_point_rasters_stay_where_they_are(backend, both, tmp_path):
    tags = {"AREA_OR_POINT": "Point"}
    name = make(backend, tmp_path / "a.tif", ramp((1, 3, 4), "uint8"), tags=tags)
    for library in both:
        assert library.open(name).info.transform == UTM
        assert library.open(name).info.tags["AREA_OR_POINT"] == "Point"


def test_names_with_blanks_and_accents(backend, tmp_path):
    folder = tmp_path / "AÏSSI é 漢 (1) #2?"
    folder.mkdir()
    values = ramp((1, 3, 4), "uint8")
    name = make(backend, folder / "a b & ü.tif", values)
    assert np.array_equal(backend.open(name).read([1], Window(0, 0, 4, 3))[0], values)


# --------------------------------------------------------------------------------------- writer


def tiff_tags(name):
    """Number of the first IFD's tags, and whether the file is a BigTIFF."""
    with open(name, "rb") as file:
        head = file.read(16)
    return struct.unpack("<H", head[2:4])[0] == 43


def test_writer_makes_tiles_compressed(backend, tmp_path):
    values = np.zeros((4, 1100, 1100), "uint16")
    values[:] = np.arange(1100)
    name = make(backend, tmp_path / "a.tif", values)
    assert (tmp_path / "a.tif").stat().st_size < values.nbytes / 20
    assert not tiff_tags(name)
    reader = backend.open(name)
    assert reader.info.block == (512, 512)
    assert np.array_equal(
        reader.read([4], Window(500, 500, 30, 20))[0], values[3:, 500:520, 500:530]
    )


def test_creation_options_win(backend, tmp_path):
    options = {"BIGTIFF": "YES", "compress": "LZW", "blockxsize": "256", "BLOCKYSIZE": "256"}
    values = ramp((1, 300, 300), "float32")
    name = make(backend, tmp_path / "a.tif", values, creation_options=options)
    assert tiff_tags(name)
    assert backend.open(name).info.block == (256, 256)


def test_windows_in_any_order_and_unaligned(backend, tmp_path):
    values = np.random.default_rng(1).integers(0, 60000, (3, 700, 600)).astype("uint16")
    name = str(tmp_path / "a.tif")
    writer = backend.create(name, spec_of(backend, "uint16", 3, (600, 700)))
    places = [
        Window(c, r, min(130, 600 - c), min(90, 700 - r))
        for r in range(0, 700, 90)
        for c in range(0, 600, 130)
    ]
    for number, place in enumerate(reversed(places)):
        rows, columns = place.within(Window(0, 0, 600, 700))
        writer.write(place, np.ascontiguousarray(values[:, rows, columns]))
        if number % 20 == 0:
            writer.flush()
    writer.close()
    writer.close()
    assert np.array_equal(backend.open(name).read([1, 2, 3], Window(0, 0, 600, 700))[0], values)


def test_flushed_pixels_are_in_the_file(backend, tmp_path):
    name = str(tmp_path / "a.tif")
    writer = backend.create(name, spec_of(backend, size=(600, 1200)))
    writer.write(Window(0, 0, 600, 512), np.full((1, 512, 600), 9, "uint16"))
    writer.flush()
    other = backend.open(name)
    assert (other.read([1], Window(0, 0, 600, 512))[0] == 9).all()
    other.close()
    writer.write(Window(0, 512, 600, 688), np.full((1, 688, 600), 8, "uint16"))
    writer.close()
    again = backend.reopen(name)
    again.write(Window(0, 600, 600, 600), np.full((1, 600, 600), 7, "uint16"))
    again.close()
    values = backend.open(name).read([1], Window(0, 0, 600, 1200))[0][0]
    assert (values[:512] == 9).all()
    assert (values[512:600] == 8).all()
    assert (values[600:] == 7).all()


@pytest.mark.parametrize("window", [Window(-1, 0, 4, 4), Window(38, 0, 4, 4), Window(0, 0, 0, 4)])
def test_windows_outside_are_mistakes(backend, tmp_path, window):
    name = make(backend, tmp_path / "a.tif", ramp((1, 30, 40), "uint8"))
    with pytest.raises(ValueError, match="inside"):
        backend.open(name).read([1], window)
    with pytest.raises(ValueError, match="inside"):
        backend.reopen(name).write(window, np.zeros((1, *window.shape), "uint8"))


def test_writing_another_type_is_a_mistake(backend, tmp_path):
    name = make(backend, tmp_path / "a.tif", ramp((1, 30, 40), "uint8"))
    with pytest.raises(ValueError, match="float64"):
        backend.reopen(name).write(Window(0, 0, 4, 4), np.zeros((1, 4, 4)))


def test_overviews_honour_nodata(backend, both, tmp_path):
    values = np.full((2, 1100, 1100), 100, "uint16")
    values[:, ::2] = 0
    name = make(backend, tmp_path / "a.tif", values, band={"nodata": 0})
    factors = rules.overview_factors(1100, 1100)
    assert factors == (2, 4, 8)
    backend.add_overviews(name, factors)
    assert list(tmp_path.iterdir()) == [tmp_path / "a.tif"]
    for n, factor in enumerate(factors):
        got, valid = backend.open(f"GTIFF_DIR:{n + 2}:{name}").read([1], Window(0, 0, 100, 100))
        assert (got == 100).all()
        assert valid.all() if valid is not None else True
        assert factor > 1
    for library in both:
        assert np.array_equal(library.open(name).read([1, 2], Window(0, 0, 1100, 1100))[0], values)


def test_overview_factors():
    assert rules.overview_factors(256, 9999) == ()
    assert rules.overview_factors(257, 9999) == (2,)
    assert rules.overview_factors(30000, 30000) == (2, 4, 8, 16, 32, 64, 128)


def test_cog(backend, both, tmp_path):
    values = np.random.default_rng(1).integers(0, 3000, (3, 600, 700)).astype("uint16")
    band = {"nodata": 0, "scale": 0.5, "name": "x"}
    name = make(backend, tmp_path / "a.tif", values, band=band, tags={"JOB": "1"})
    target = str(tmp_path / "b.tif")
    backend.copy_cog(name, target, {"PREDICTOR": "2", "TILED": "YES", "ZLEVEL": "9"})
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.tif", "b.tif"]
    assert b"LAYOUT=IFDS_BEFORE_DATA" in (tmp_path / "b.tif").read_bytes()[:400]
    infos = [library.open(target).info for library in both]
    assert_same_info(both, *infos)
    assert infos[0].bands == backend.open(name).info.bands
    assert infos[0].tags["JOB"] == "1"
    got = backend.open(target).read([1, 2, 3], Window(0, 0, 700, 600))[0]
    assert np.array_equal(got, values)


# ------------------------------------------------------------------------------------- validity


def test_nodata_per_band(backend, tmp_path):
    values = np.array([[[1, 2], [3, 4]], [[1, 5], [6, 4]]], "uint8")
    tif = make(backend, tmp_path / "a.tif", values)
    bands = [
        ("Byte", f"<NoDataValue>{missing}</NoDataValue>{layer(tif, n)}")
        for n, missing in ((1, 2), (2, 4))
    ]
    reader = backend.open(vrt(tmp_path / "a.vrt", bands, (2, 2)))
    assert [band.nodata for band in reader.info.bands] == [2, 4]
    window = Window(0, 0, 2, 2)
    assert reader.read([1], window)[1].tolist() == [[True, False], [True, True]]
    assert reader.read([2], window)[1].tolist() == [[True, True], [True, False]]
    assert reader.read([1, 2], window)[1].tolist() == [[True, False], [True, False]]
    assert reader.read_raw([1, 2], window)[1] is None
    assert not reader.info.masked


@pytest.mark.parametrize(
    ("dtype", "gdal_type", "nodata"),
    [
        ("uint8", "Byte", "-9999"),
        ("uint8", "Byte", "nan"),
        ("int16", "Int16", "1.5"),
        ("uint16", "UInt16", "1e10"),
    ],
)
def test_nodata_that_cannot_occur_is_ignored(backend, tmp_path, dtype, gdal_type, nodata):
    tif = make(backend, tmp_path / "a.tif", np.ones((1, 3, 4), dtype))
    xml = f"<NoDataValue>{nodata}</NoDataValue>{layer(tif, 1)}"
    reader = backend.open(vrt(tmp_path / "a.vrt", [(gdal_type, xml)]))
    assert reader.info.bands[0].nodata is None
    assert reader.read([1], Window(0, 0, 4, 3))[1] is None


def test_usable_nodata():
    assert rules.usable_nodata(0.1, "float32") == float(np.float32(0.1))
    assert rules.usable_nodata(1e300, "float32") is None
    assert rules.usable_nodata(2**63 - 1, "int64") == 2**63 - 1
    assert rules.usable_nodata(255.0, "uint8") == 255
    assert rules.usable_nodata(256, "uint8") is None
    missing = rules.usable_nodata(float("nan"), "float64")
    assert missing != missing


def test_float_nodata_is_compared_in_the_type(backend, both, tmp_path):
    values = np.array([[[0.1, 1.0, np.nan, np.inf]]], "float32")
    name = make(backend, tmp_path / "a.tif", values, band={"nodata": 0.1})
    for library in both:
        valid = library.open(name).read([1], Window(0, 0, 4, 1))[1]
        assert valid.tolist() == [[False, True, False, False]]


def test_nan_nodata(backend, both, tmp_path):
    values = np.array([[[np.nan, 1.0, 2.0]]], "float64")
    name = make(backend, tmp_path / "a.tif", values, band={"nodata": float("nan")})
    for library in both:
        reader = library.open(name)
        assert np.isnan(reader.info.bands[0].nodata)
        assert reader.read([1], Window(0, 0, 3, 1))[1].tolist() == [[False, True, True]]


@pytest.mark.parametrize("nodata", [-(2**63), 2**53 - 1])
def test_big_integers(both, tmp_path, nodata):
    values = np.array([[[nodata, nodata + 1]]], "int64")
    for writer in both:
        name = str(tmp_path / f"{writer.name}.tif")
        if writer.name == "rasterio" and nodata < -(2**53):
            with pytest.raises(WhetstoneError, match="cannot be written by rasterio"):
                make(writer, name, values, band={"nodata": nodata})
            continue
        make(writer, name, values, band={"nodata": nodata})
        for library in both:
            reader = library.open(name)
            assert reader.info.bands[0].nodata == nodata
            assert reader.read([1], Window(0, 0, 2, 1))[1].tolist() == [[False, True]]


def test_alpha(backend, both, tmp_path):
    values = np.ones((4, 30, 40), "uint8")
    values[3, :5] = 0
    values[3, 5:8] = 1
    bands = tuple(BandInfo("uint8", color=c) for c in ("red", "green", "blue", "alpha"))
    name = str(tmp_path / "a.tif")
    writer = backend.create(name, replace(spec_of(backend, "uint8"), bands=bands))
    writer.write(Window(0, 0, 40, 30), values)
    writer.close()
    for library in both:
        reader = library.open(name)
        valid = reader.read([2], Window(0, 0, 40, 30))[1]
        assert reader.info.masked
        assert not valid[:5].any()
        assert valid[5:].all()


def test_mask_band_and_nodata_together(both, backend, tmp_path):
    values = np.array([[[1, 2, 3, 4]], [[1, 2, 9, 4]]], "uint8")
    tif = make(backend, tmp_path / "a.tif", values)
    mask = make(backend, tmp_path / "m.tif", np.array([[[0, 255, 255, 255]]], "uint8"))
    extra = f'<MaskBand><VRTRasterBand dataType="Byte">{layer(mask, 1)}</VRTRasterBand></MaskBand>'
    bands = [("Byte", layer(tif, 1)), ("Byte", "<NoDataValue>9</NoDataValue>" + layer(tif, 2))]
    name = vrt(tmp_path / "a.vrt", bands, (4, 1), extra)
    for library in both:
        reader = library.open(name)
        assert reader.info.masked
        assert reader.read([1], Window(0, 0, 4, 1))[1].tolist() == [[False, True, True, True]]
        assert reader.read([1, 2], Window(0, 0, 4, 1))[1].tolist() == [[False, True, False, True]]


def test_masks_of_single_bands(both, backend, tmp_path):
    tif = make(backend, tmp_path / "a.tif", np.ones((2, 1, 3), "uint8"))
    mask = make(backend, tmp_path / "m.tif", np.array([[[0, 1, 1]], [[1, 1, 0]]], "uint8"))
    bands = [
        (
            "Byte",
            layer(tif, n) + f'<MaskBand><VRTRasterBand dataType="Byte">{layer(mask, n)}'
            "</VRTRasterBand></MaskBand>",
        )
        for n in (1, 2)
    ]
    name = vrt(tmp_path / "a.vrt", bands, (3, 1))
    for library in both:
        reader = library.open(name)
        assert reader.read([1], Window(0, 0, 3, 1))[1].tolist() == [[False, True, True]]
        assert reader.read([1, 2], Window(0, 0, 3, 1))[1].tolist() == [[False, True, False]]


def test_bands_of_different_types(both, backend, tmp_path):
    one = make(backend, tmp_path / "a.tif", np.array([[[1, 255]]], "uint8"))
    two = make(backend, tmp_path / "b.tif", np.array([[[-5, 300]]], "int16"))
    bands = [("Byte", "<NoDataValue>255</NoDataValue>" + layer(one, 1)), ("Int16", layer(two, 1))]
    name = vrt(tmp_path / "a.vrt", bands, (2, 1))
    for library in both:
        got, valid = library.open(name).read([1, 2], Window(0, 0, 2, 1))
        assert got.dtype == np.int16
        assert got.tolist() == [[[1, 255]], [[-5, 300]]]
        assert valid.tolist() == [[True, False]]


# ---------------------------------------------------------------------- names other than a path


def test_inside_a_zip(backend, both, tmp_path):
    values = ramp((1, 3, 4), "uint16")
    make(backend, tmp_path / "a.tif", values)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.write(tmp_path / "a.tif", "in/a.tif")
    for library in both:
        reader = library.open(f"/vsizip/{tmp_path}/a.zip/in/a.tif")
        assert np.array_equal(reader.read([1], Window(0, 0, 4, 3))[0], values)
    for library in both:
        assert fails(library, f"/vsizip/{tmp_path}/a.zip/in/b.tif").code in (
            "NOT_FOUND",
            "UNREADABLE",
        )


def test_subdataset_by_name(backend, both, tmp_path):
    name = make(backend, tmp_path / "a.tif", np.full((1, 600, 600), 5, "uint8"))
    backend.add_overviews(name, [2])
    for library in both:
        assert library.open(f"GTIFF_DIR:2:{name}").info.width == 300


def test_container_of_subdatasets(both, tmp_path):
    osgeo = pytest.importorskip("osgeo.gdal")
    name = str(tmp_path / "a.gpkg")
    for table in ("one", "two"):
        data = osgeo.GetDriverByName("MEM").Create("", 300, 300, 1)
        data.SetGeoTransform([0, 1, 0, 0, 0, -1])
        options = [f"RASTER_TABLE={table}", "APPEND_SUBDATASET=YES"]
        osgeo.GetDriverByName("GPKG").CreateCopy(name, data, options=options)
    errors = [fails(library, name) for library in both]
    assert {e.code for e in errors} == {"SUBDATASETS"}
    assert errors[0].to_dict() == errors[1].to_dict()
    assert f"GPKG:{name}:one" in errors[0].message
    for library in both:
        assert library.open(f"GPKG:{name}:one").info.width == 300


# ------------------------------------------------------------------------------------- refusals


def test_rotated(both, tmp_path):
    tif = make(both[0], tmp_path / "a.tif", np.ones((1, 3, 4), "uint8"))
    for transform, word in (
        ("0, 1, 0.2, 0, 0.2, -1", "rotated"),
        ("0, 1, 0, 0, 0, 1.5", "south-up"),
        ("0, -1, 0, 0, 0, -1", "mirrored"),
    ):
        extra = f"<GeoTransform>{transform}</GeoTransform>"
        name = vrt(tmp_path / "a.vrt", [("Byte", layer(tif, 1))], extra=extra)
        errors = [fails(library, name) for library in both]
        assert errors[0].to_dict() == errors[1].to_dict()
        assert errors[0].code == "ROTATED"
        assert word in errors[0].message
        assert "Rotated grids are not supported; warp north-up first" in str(errors[0])


def test_identity_transform_is_none(backend, tmp_path):
    tif = make(backend, tmp_path / "a.tif", np.ones((1, 3, 4), "uint8"), transform=None)
    extra = "<GeoTransform>0, 1, 0, 0, 0, 1</GeoTransform>"
    name = vrt(tmp_path / "a.vrt", [("Byte", layer(tif, 1))], extra=extra)
    assert backend.open(name).info.transform is None


def test_ground_control_points(both, tmp_path):
    tif = make(both[0], tmp_path / "a.tif", np.ones((1, 3, 4), "uint8"), transform=None)
    points = "".join(
        f'<GCP Id="{n}" Pixel="{x}" Line="{y}" X="{10 + x}" Y="{50 - y}"/>'
        for n, (x, y) in enumerate(((0, 0), (4, 0), (0, 3)))
    )
    extra = f'<GCPList Projection="EPSG:4326">{points}</GCPList>'
    name = vrt(tmp_path / "a.vrt", [("Byte", layer(tif, 1))], extra=extra)
    errors = [fails(library, name) for library in both]
    assert errors[0].to_dict() == errors[1].to_dict()
    assert errors[0].code == "GCPS"
    assert "only ground control points" in errors[0].message
    assert "Warp it first" in errors[0].hint


@pytest.mark.parametrize("kind", ["CInt16", "CInt32", "CFloat32", "CFloat64"])
def test_complex(both, tmp_path, kind):
    name = vrt(tmp_path / "a.vrt", [(kind, "")], extra=GEO)
    errors = [fails(library, name) for library in both]
    assert {e.code for e in errors} == {"DTYPE"}
    assert all("complex" in e.message and "not supported" in e.message for e in errors)


def test_palette(both, tmp_path):
    xml = '<ColorInterp>Palette</ColorInterp><ColorTable><Entry c1="1" c2="2" c3="3"/></ColorTable>'
    name = vrt(tmp_path / "a.vrt", [("Byte", xml)], extra=GEO)
    errors = [fails(library, name) for library in both]
    assert errors[0].to_dict() == errors[1].to_dict()
    assert errors[0].code == "DTYPE"
    assert "palette" in errors[0].message


@pytest.mark.parametrize(
    "name",
    [
        "WMS:https://example.invalid/wms?LAYERS=a",
        "WMTS:https://example.invalid/wmts",
        "type=xyz&url=https://example.invalid/{z}/{x}/{y}.png",
        "<GDAL_WMS><Service name='TMS'/></GDAL_WMS>",
    ],
)
def test_web_maps(both, name):
    errors = [fails(library, name) for library in both]
    assert errors[0].to_dict() == errors[1].to_dict()
    assert errors[0].code == "REMOTE_LAYER"
    assert "Web map layers carry pictures, not measurements" in errors[0].message
    assert errors[0].hint == "Save as GeoTIFF or use the original bands."


def test_web_map_in_a_file(both, tmp_path):
    (tmp_path / "map.xml").write_text(
        "<GDAL_WMS><Service name='TMS'><ServerUrl>http://example.invalid/${z}/${x}/${y}.png"
        "</ServerUrl></Service><DataWindow><UpperLeftX>-20037508</UpperLeftX><UpperLeftY>20037508"
        "</UpperLeftY><LowerRightX>20037508</LowerRightX><LowerRightY>-20037508</LowerRightY>"
        "<TileLevel>4</TileLevel><TileCountX>1</TileCountX><TileCountY>1</TileCountY></DataWindow>"
        "<Projection>EPSG:3857</Projection><BandsCount>3</BandsCount></GDAL_WMS>"
    )
    assert [fails(library, tmp_path / "map.xml").code for library in both] == ["REMOTE_LAYER"] * 2


def test_missing_empty_folder_garbage(both, tmp_path):
    (tmp_path / "empty.tif").write_bytes(b"")
    (tmp_path / "junk.tif").write_bytes(b"this is not a raster" * 20)
    (tmp_path / "a folder").mkdir()
    for name, code, word in (
        ("none.tif", "NOT_FOUND", "There is no raster"),
        ("empty.tif", "UNREADABLE", "is empty (0 bytes)"),
        ("junk.tif", "UNREADABLE", "no raster format that GDAL knows"),
        ("a folder", "UNREADABLE", "is a folder"),
    ):
        errors = [fails(library, tmp_path / name) for library in both]
        assert errors[0].to_dict() == errors[1].to_dict()
        assert errors[0].code == code
        assert word in errors[0].message
        assert name in errors[0].message
        assert errors[0].hint
    assert {fails(library, "").code for library in both} == {"NOT_FOUND"}


def test_damaged_header_tells_gdal_s_words(both, tmp_path):
    name = make(both[0], tmp_path / "a.tif", np.ones((1, 30, 40), "uint8"))
    whole = (tmp_path / "a.tif").read_bytes()
    (tmp_path / "a.tif").write_bytes(whole[:20])
    errors = [fails(library, name) for library in both]
    assert {e.code for e in errors} == {"UNREADABLE"}
    assert all("cannot be read: " in e.message and "TIFF" in e.message for e in errors)


@pytest.mark.parametrize("compress", ["NONE", "DEFLATE"])
def test_truncated_in_the_middle(both, tmp_path, compress):
    values = np.random.default_rng(1).integers(0, 60000, (1, 1500, 600)).astype("uint16")
    name = make(both[0], tmp_path / "a.tif", values, creation_options={"COMPRESS": compress})
    whole = (tmp_path / "a.tif").read_bytes()
    (tmp_path / "a.tif").write_bytes(whole[: len(whole) // 2])
    messages = []
    for library in both:
        reader = library.open(name)
        assert np.array_equal(reader.read([1], Window(0, 0, 300, 300))[0], values[:, :300, :300])
        with pytest.raises(WhetstoneError) as caught:
            reader.read([1], Window(100, 1200, 50, 300))
        assert caught.value.code == "READ_FAILED"
        assert f"'{name}'" in caught.value.message
        assert "columns 100 to 149, rows 1200 to 1499" in caught.value.message
        messages.append(caught.value.message.split(": ")[0])
    assert messages[0] == messages[1]


# ------------------------------------------------------------------------------ CRS and pictures

ESRI_33N = (
    'PROJCS["WGS_1984_UTM_Zone_33N",GEOGCS["GCS_WGS_1984",DATUM["D_WGS_1984",SPHEROID["WGS_1984",'
    '6378137.0,298.257223563]],PRIMEM["Greenwich",0.0],UNIT["Degree",0.0174532925199433]],'
    'PROJECTION["Transverse_Mercator"],PARAMETER["False_Easting",500000.0],PARAMETER["False_Northing"'
    ',0.0],PARAMETER["Central_Meridian",15.0],PARAMETER["Scale_Factor",0.9996],PARAMETER['
    '"Latitude_Of_Origin",0.0],UNIT["Meter",1.0]]'
)
GDAL_4326 = (
    'GEOGCS["my own name",DATUM["WGS_1984",SPHEROID["WGS 84",6378137,298.257223563]],'
    'PRIMEM["Greenwich",0],UNIT["degree",0.0174532925199433]]'
)
OWN = "+proj=laea +lat_0=47 +lon_0=11 +x_0=0 +y_0=0 +datum=WGS84 +units=m +no_defs"


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        ("EPSG:32633", "EPSG:32633", True),
        ("EPSG:32633", "EPSG:32634", False),
        ("EPSG:32633", ESRI_33N, True),
        ("EPSG:4326", GDAL_4326, True),
        ("EPSG:4326", "EPSG:3857", False),
        ("EPSG:31467", "EPSG:31467", True),
        ("EPSG:25833", "EPSG:32633", False),
        ("EPSG:31467", "EPSG:5677", True),
        (OWN, OWN, True),
        (OWN, "EPSG:3035", False),
    ],
)
def test_same_crs(backend, a, b, same):
    assert backend.same_crs(a, b) is same
    assert backend.same_crs(backend.crs_wkt(b), a) is same


def test_crs_words(backend):
    assert backend.crs_label("EPSG:32633") == "EPSG:32633"
    assert backend.crs_label(backend.crs_wkt("EPSG:4326")) == "EPSG:4326"
    assert backend.crs_label(ESRI_33N) == "EPSG:32633"
    assert backend.crs_label(backend.crs_wkt(OWN)) == "unknown"
    assert backend.crs_label("") == "unknown"
    assert backend.crs_unit("EPSG:32633") == "m"
    assert backend.crs_unit("EPSG:4326") == "degree"
    assert backend.crs_unit("EPSG:2263") == "ft (US)"
    assert backend.crs_unit("") == ""
    assert backend.crs_wkt("EPSG:32633").startswith("PROJCRS[")
    for bad in ("EPSG:99999999", "nonsense", ""):
        with pytest.raises(WhetstoneError) as caught:
            backend.crs_wkt(bad)
        assert caught.value.code == "CRS_INVALID"


@pytest.mark.parametrize("shape", [(5, 7), (3, 5, 7), (4, 5, 7)])
def test_png(backend, tmp_path, shape):
    image = np.random.default_rng(1).integers(0, 256, shape).astype("uint8")
    data = backend.encode_png(image)
    assert data.startswith(b"\x89PNG")
    (tmp_path / "a.png").write_bytes(data)
    bands = list(range(1, (1 if len(shape) == 2 else shape[0]) + 1))
    got = backend.open(str(tmp_path / "a.png")).read_raw(bands, Window(0, 0, 7, 5))[0]
    assert np.array_equal(got.reshape(shape), image)
    assert zlib.crc32(data) != 0


# ------------------------------------------------------------------------------ choosing, manners


def test_choice(monkeypatch):
    for name in ("osgeo", "rasterio"):
        monkeypatch.setenv("WHETSTONE_BACKEND", name)
        try:
            assert make_backend().name == name
        except WhetstoneError as error:
            assert error.code == "BACKEND_MISSING"
    with pytest.raises(WhetstoneError) as caught:
        make_backend("arcpy")
    assert caught.value.code == "BACKEND_MISSING"
    assert caught.value.hint


def test_no_library(monkeypatch):
    monkeypatch.setitem(sys.modules, "whetstone.engine.raster.rasterio_backend", None)
    monkeypatch.delenv("WHETSTONE_BACKEND", raising=False)
    with pytest.raises(WhetstoneError) as caught:
        make_backend("rasterio")
    assert caught.value.code == "BACKEND_MISSING"
    assert "pip install rasterio" in caught.value.hint


def test_inside_qgis_it_is_osgeo(monkeypatch):
    from whetstone.engine import raster

    monkeypatch.setitem(sys.modules, "qgis", sys)
    assert raster._default() == "osgeo"
    monkeypatch.delitem(sys.modules, "qgis")
    monkeypatch.setitem(sys.modules, "rasterio", None)
    assert raster._default() == "osgeo"


def test_import_is_cheap(root):
    code = (
        "import importlib.util, sys\n"
        f"spec = importlib.util.spec_from_file_location('whetstone', {str(root / '__init__.py')!r},"
        f" submodule_search_locations=[{str(root)!r}])\n"
        "sys.modules['whetstone'] = m = importlib.util.module_from_spec(spec)\n"
        "spec.loader.exec_module(m)\n"
        "import whetstone.engine.raster\n"
        "print([n for n in ('osgeo', 'rasterio', 'torch') if n in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("raising", [True, False])
def test_gdal_s_switches_are_left_alone(tmp_path, capfd, raising):
    gdal = pytest.importorskip("osgeo.gdal")
    before = gdal.GetUseExceptions()
    library = make_backend("osgeo")
    (gdal.UseExceptions if raising else gdal.DontUseExceptions)()
    try:
        fails(library, tmp_path / "none.tif")
        size = gdal.GetCacheMax()
        name = make(library, tmp_path / "a.tif", np.ones((1, 600, 600), "uint8"))
        library.add_overviews(name, [2])
        library.copy_cog(name, str(tmp_path / "b.tif"), {})
        assert gdal.GetCacheMax() == size
        assert bool(gdal.GetUseExceptions()) is raising
        assert gdal.GetThreadLocalConfigOption("GDAL_PAM_ENABLED") is None
    finally:
        (gdal.UseExceptions if before else gdal.DontUseExceptions)()
    assert capfd.readouterr().err == ""
