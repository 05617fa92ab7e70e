"""The dry run."""

from __future__ import annotations

import json

import numpy as np
import pytest
from whetstone.engine import CheckJob, DemoJob, RasterSource, WhetstoneError, result_to_dict, run
from whetstone.engine.raster import BandInfo, OutputSpec
from whetstone.engine.raster import backend as raster_backend
from whetstone.engine.raster.output import Output
from whetstone.engine.types import Window

FINE = (441000.0, 0.5, 0.0, 5331000.0, 0.0, -0.5)
COARSE = (441000.0, 2.0, 0.0, 5331000.0, 0.0, -2.0)


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    return run(DemoJob(str(tmp_path_factory.mktemp("demo")), 256))


def check(pan, ms, **kw):
    return run(CheckJob(RasterSource.of(str(pan)), RasterSource.of(str(ms)), **kw))


def write(path, values, transform, nodata=None):
    backend = raster_backend()
    count, height, width = values.shape
    bands = (BandInfo(str(values.dtype), nodata),) * count
    spec = OutputSpec(width, height, bands, backend.crs_wkt("EPSG:32633"), transform)
    with Output(str(path), spec, backend, fingerprint="", overviews=False) as out:
        out.write(Window(0, 0, width, height), values)
    return path


def pixels(path):
    reader = raster_backend().open(str(path))
    info = reader.info
    values, _ = reader.read(range(1, len(info.bands) + 1), Window(0, 0, info.width, info.height))
    reader.close()
    return values


def test_the_demo_scene(demo):
    found = check(demo.pan, demo.ms)
    assert found.ok
    assert found.sensor == "qb"
    assert "by the tag" in found.sensor_reason
    assert found.ratio == pytest.approx(4)
    assert found.phase == pytest.approx((1.5, 1.5))
    assert found.overlap == 1
    assert found.shift == pytest.approx((0, 0), abs=0.1)
    assert found.shift_confidence > 0.7
    assert found.bands == ("blue", "green", "red", "nir")
    assert found.dtype == "uint16"
    assert (found.pan_size, found.ms_size) == ((256, 256), (64, 64))
    assert max(found.pan_correlation) > 0.5
    ms = pixels(demo.ms)
    assert found.ms_range == tuple((float(b.min()), float(b.max())) for b in ms)
    pan = pixels(demo.pan)
    assert pan.min() <= found.pan_range[0] < found.pan_range[1] <= pan.max()
    json.dumps(result_to_dict(found), allow_nan=False)


def test_a_chosen_sensor(demo):
    assert check(demo.pan, demo.ms, sensor="wv4").sensor == "wv4"


def test_refusals_are_those_of_a_fusion(demo):
    with pytest.raises(WhetstoneError) as caught:
        check(demo.gt, demo.ms)
    assert caught.value.code == "PAN_BANDS"
    with pytest.raises(WhetstoneError) as caught:
        check(demo.pan, demo.gt)
    assert caught.value.code == "NOT_FINER"
    with pytest.raises(WhetstoneError) as caught:
        check(demo.pan, demo.ms, sensor="qbb")
    assert caught.value.code == "SENSOR_UNKNOWN"


def test_images_that_have_nothing_in_common(tmp_path):
    rng = np.random.default_rng(1)
    pan = write(tmp_path / "a.tif", rng.integers(100, 900, (1, 256, 256), np.uint16), FINE)
    ms = write(tmp_path / "b.tif", rng.integers(100, 900, (3, 64, 64), np.uint16), COARSE)
    found = check(pan, ms)
    assert not found.ok
    assert found.shift is None
    assert max(found.pan_correlation) < 0.3
    assert any("No band resembles the PAN" in note for note in found.notes)


def test_odd_radiometry_is_told(tmp_path, demo):
    pan, ms = pixels(demo.pan), pixels(demo.ms)
    ms[1] = 500
    ms[2, :20] = 2047
    odd = write(tmp_path / "ms.tif", ms, COARSE)
    faint = write(tmp_path / "pan.tif", (pan / 100).astype(np.float32), FINE)
    notes = " ".join(check(faint, odd, sensor="qb").notes)
    assert "band 2 is constant (500)" in notes
    assert "saturated" in notes
    assert "differ in scale" in notes


def test_reflectances(tmp_path, demo):
    pan = write(tmp_path / "p.tif", pixels(demo.pan) / np.float32(2047), FINE)
    ms = write(tmp_path / "m.tif", pixels(demo.ms) / np.float32(2047), COARSE)
    found = check(pan, ms)
    assert found.ok
    assert found.dtype == "float32"
    assert any("reflectance" in note for note in found.notes)


def test_nodata_does_not_count(tmp_path, demo):
    ms = pixels(demo.ms)
    ms[:, :16] = 0
    grid = (441000.0, 2.4, 0.0, 5331000.0, 0.0, -2.4)  # the demo's own
    found = check(demo.pan, write(tmp_path / "m.tif", ms, grid, 0.0))
    assert found.ms_range == tuple((float(b.min()), float(b.max())) for b in ms[:, 16:])


def test_nothing_but_nodata(tmp_path, demo):
    empty = np.zeros((3, 64, 64), np.uint16)
    with pytest.raises(WhetstoneError) as caught:
        check(demo.pan, write(tmp_path / "m.tif", empty, COARSE, 0.0))
    assert caught.value.code == "EMPTY"
