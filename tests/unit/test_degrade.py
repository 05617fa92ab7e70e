"""Reduced resolution after Wald."""

from __future__ import annotations

import numpy as np
import pytest
from whetstone.engine import DegradeJob, DemoJob, RasterSource, WhetstoneError, run
from whetstone.engine.errors import Cancelled
from whetstone.engine.interpolation import imresize
from whetstone.engine.mtf import correlate, gaussian_mtf, product_kernel
from whetstone.engine.raster import BandInfo, OutputSpec
from whetstone.engine.raster import backend as raster_backend
from whetstone.engine.raster.output import Output
from whetstone.engine.sensors import SENSORS
from whetstone.engine.types import Progress, Window

GAINS = [band.gain for band in SENSORS["qb"].bands]
FINE = (441000.0, 0.5, 0.0, 5331000.0, 0.0, -0.5)


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    return run(DemoJob(str(tmp_path_factory.mktemp("demo")), 256))


def job(pan, ms, out, **kw):
    return DegradeJob(RasterSource.of(str(pan)), RasterSource.of(str(ms)), str(out), **kw)


def load(path):
    """(values, info) of a whole file."""
    reader = raster_backend().open(str(path))
    info = reader.info
    values, _ = reader.read(range(1, len(info.bands) + 1), Window(0, 0, info.width, info.height))
    reader.close()
    return values, info


def write(path, values, transform, nodata=None):
    backend = raster_backend()
    count, height, width = values.shape
    bands = tuple(BandInfo(str(values.dtype), nodata, name=f"b{i}") for i in range(count))
    spec = OutputSpec(width, height, bands, backend.crs_wkt("EPSG:32633"), transform)
    with Output(str(path), spec, backend, fingerprint="", overviews=False) as out:
        out.write(Window(0, 0, width, height), values)
    return path


def centres(info):
    """Coordinates of the columns and rows of a file."""
    x0, dx, _, y0, _, dy = info.transform
    return x0 + dx * (np.arange(info.width) + 0.5), y0 + dy * (np.arange(info.height) + 0.5)


def test_files(demo, tmp_path):
    result = run(job(demo.pan, demo.ms, tmp_path))
    (pan, pan_info), (ms, ms_info), (gt, gt_info) = map(load, (result.pan, result.ms, result.gt))
    original, original_info = load(demo.ms)
    assert (result.ratio, result.sensor) == (4, "qb")
    assert np.array_equal(gt, original)
    assert gt_info.transform == pan_info.transform == original_info.transform
    assert (pan.shape, ms.shape) == ((1, 64, 64), (4, 16, 16))
    # MS and PAN keep their common corner
    x0, dx, _, y0, _, dy = original_info.transform
    assert ms_info.transform == pytest.approx((x0, 4 * dx, 0, y0, 0, 4 * dy))
    for info in (pan_info, ms_info, gt_info):
        assert raster_backend().same_crs(info.crs, original_info.crs)
        assert info.tags["SENSOR"] == original_info.tags["SENSOR"]
        assert info.tags["WHETSTONE_DEGRADED"] == "product"
    assert [b.name for b in ms_info.bands] == [b.name for b in original_info.bands]
    assert pan.dtype == ms.dtype == np.uint16


@pytest.mark.parametrize("offset", (0.0, 0.25, -0.5))
@pytest.mark.parametrize("ratio", (2, 4))
def test_a_wave_keeps_its_place(tmp_path, ratio, offset):
    """A known wave in the ground comes out damped by the MTF, and nowhere else."""
    fine, coarse = 0.5, 0.5 * ratio
    size = 128 * ratio
    wave_x, wave_y = 2 * np.pi / (9.7 * coarse), 2 * np.pi / (12.1 * coarse)

    def ground(x, y, damp=(1.0, 1.0)):
        across = 100 * damp[0] * np.cos(wave_x * (x - 441000))
        along = 80 * damp[1] * np.sin(wave_y * (y - 5331000))
        return (1000 + across + along[:, None])[None]

    shifted = (441000.0 + offset, coarse, 0.0, 5331000.0 - offset, 0.0, -coarse)
    grid = {
        "pan": ((441000.0, fine, 0.0, 5331000.0, 0.0, -fine), size),
        "ms": (shifted, 128),
    }
    for name, (transform, count) in grid.items():
        x0, dx, _, y0, _, dy = transform
        index = np.arange(count) + 0.5
        write(tmp_path / f"{name}.tif", ground(x0 + dx * index, y0 + dy * index), transform)
    result = run(job(tmp_path / "pan.tif", tmp_path / "ms.tif", tmp_path / "out", sensor="generic"))
    for path, gain, step in ((result.pan, 0.15, fine), (result.ms, 0.30, coarse)):
        values, info = load(path)
        kernel = product_kernel(gain, ratio)
        away = step * (np.arange(len(kernel)) - len(kernel) // 2)
        damp = [float(np.sum(kernel * np.cos(w * away))) for w in (wave_x, wave_y)]
        inside = np.s_[:, 12:-12, 12:-12]
        if path == result.pan:
            inside = np.s_[:, 24:-24, 24:-24]
        assert np.abs(values - ground(*centres(info), damp))[inside].max() < 0.05


def test_the_toolbox_variant(demo, tmp_path):
    result = run(job(demo.pan, demo.ms, tmp_path, protocol="toolbox"))
    pan, ms, gt = (load(path)[0] for path in (result.pan, result.ms, result.gt))
    fine, original = load(demo.pan)[0].astype(float), load(demo.ms)[0].astype(float)
    assert np.array_equal(gt, original)
    filtered = [correlate(b, gaussian_mtf(g, 4))[2::4, 2::4] for b, g in zip(original, GAINS)]
    assert np.array_equal(ms, np.rint(filtered))
    assert np.array_equal(pan[0], np.rint(imresize(fine[0], (64, 64))))
    # MS sample 0 is centred on sample 2 of the truth
    (x0, dx, *_), (mx, mdx, *_) = load(result.gt)[1].transform, load(result.ms)[1].transform
    assert ((mx + mdx / 2) - (x0 + dx / 2)) / dx == pytest.approx(2)


def test_blocks_leave_no_seams(demo, tmp_path, monkeypatch):
    from importlib import import_module

    whole = run(job(demo.pan, demo.ms, tmp_path / "whole"))
    monkeypatch.setattr(import_module("whetstone.engine.degrade"), "BLOCK", 20)
    parts = run(job(demo.pan, demo.ms, tmp_path / "parts"))
    for name in ("pan", "ms", "gt"):
        a, b = (load(getattr(result, name))[0] for result in (whole, parts))
        assert np.array_equal(a, b)


def test_sizes_that_do_not_divide(tmp_path):
    rng = np.random.default_rng(1)
    pan = write(tmp_path / "p.tif", rng.integers(1, 900, (1, 268, 312), np.uint16), FINE)
    coarse = (441000.0, 2.0, 0.0, 5331000.0, 0.0, -2.0)
    ms = write(tmp_path / "m.tif", rng.integers(1, 900, (3, 67, 78), np.uint16), coarse)
    result = run(job(pan, ms, tmp_path / "out"))
    assert load(result.gt)[0].shape == (3, 64, 76)
    assert load(result.pan)[0].shape == (1, 64, 76)
    assert load(result.ms)[0].shape == (3, 16, 19)
    assert np.array_equal(load(result.gt)[0], load(ms)[0][:, :64, :76])


def test_nodata_stays_nodata(tmp_path):
    rng = np.random.default_rng(2)
    pan = write(tmp_path / "p.tif", rng.integers(100, 900, (1, 256, 256), np.uint16), FINE)
    values = rng.integers(100, 900, (2, 64, 64), np.uint16)
    values[:, :16, :32] = 0
    ms = write(tmp_path / "m.tif", values, (441000.0, 2.0, 0.0, 5331000.0, 0.0, -2.0), 0.0)
    result = run(job(pan, ms, tmp_path / "out"))
    small, info = load(result.ms)
    assert info.bands[0].nodata == 0
    assert not small[:, :4, :8].any()
    assert small[:, 4:].min() > 0
    assert small[:, :, 8:].min() > 0
    assert np.array_equal(load(result.gt)[0], values)


def test_too_small(tmp_path):
    pan = write(tmp_path / "p.tif", np.ones((1, 60, 60), np.uint16), FINE)
    coarse = (441000.0, 2.0, 0.0, 5331000.0, 0.0, -2.0)
    ms = write(tmp_path / "m.tif", np.ones((1, 15, 15), np.uint16), coarse)
    with pytest.raises(WhetstoneError) as caught:
        run(job(pan, ms, tmp_path / "out"))
    assert caught.value.code == "TOO_SMALL"


def test_a_cancelled_run_leaves_nothing(demo, tmp_path):
    class Stop(Progress):
        def cancelled(self):
            return True

    with pytest.raises(Cancelled):
        run(job(demo.pan, demo.ms, tmp_path / "out"), Stop())
    assert not any((tmp_path / "out").glob("*"))
