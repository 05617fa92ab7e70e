"""Faults that were found once: each test fails without its fix."""

from __future__ import annotations

import importlib
import os
import threading

import numpy as np
import pytest
from whetstone.engine import (
    AssessJob,
    CheckJob,
    CompareJob,
    DegradeJob,
    WhetstoneError,
    check,
    registration,
    run,
)
from whetstone.engine.classical import METHODS, statistics
from whetstone.engine.fields import WindowFields
from whetstone.engine.mtf import spline_kernel
from whetstone.engine.pair import open_pair
from whetstone.engine.raster.output import Output
from whetstone.engine.tiling import grid, scattered
from whetstone.engine.types import Window

from .scenes import Ground, header, make_pair, read, source


@pytest.fixture(autouse=True)
def _chosen(backend, monkeypatch):
    monkeypatch.setenv("WHETSTONE_BACKEND", backend.name)


@pytest.mark.parametrize("name", ["fused.part.tif", "fused.cog.part.tif"])
def test_an_input_named_like_the_part_file_survives(backend, tmp_path, name):
    pair = make_pair(backend, tmp_path / "scene")
    pan = tmp_path / "scene" / name
    os.rename(pair.pan, pan)
    with pytest.raises(WhetstoneError, match="never overwritten") as caught:
        run(pair.job(tmp_path / "scene" / "fused.tif", pan=str(pan)))
    assert caught.value.code == "OUT_IS_INPUT"
    assert pan.exists()


@pytest.mark.parametrize("dtype", ["int64", "uint64"])
def test_nodata_at_the_end_of_64_bits(backend, tmp_path, dtype):
    if backend.name == "rasterio":
        pytest.skip("rasterio makes a float of such a nodata value; the backend refuses it")
    top = np.iinfo(dtype).max

    def spoil(pan, ms):
        ms[:, 3:5, 3:5] = top

    pair = make_pair(backend, tmp_path, dtype=dtype, spoil=spoil, ms_band={"nodata": int(top)})
    run(pair.job(tmp_path / "out.tif", "brovey"))
    assert header(backend, tmp_path / "out.tif").bands[0].nodata == top
    values, valid = read(backend, tmp_path / "out.tif")
    assert not valid[14:18, 14:18].any() and (values[:, ~valid] == top).all()


@pytest.mark.parametrize("side", [4608, 8192, 16384, 30000, 32768, 10980])
def test_sampled_windows_cover_both_axes(side):
    windows = grid(Window(0, 0, side, side), 512)
    found = scattered(windows, 64)
    assert len(found) == 64 and found == sorted(set(found), key=lambda w: (w.row, w.col))
    for axis in (0, 1):  # every eighth of the scene is looked at
        assert {8 * w[axis] // side for w in found} == set(range(8))


def test_few_windows_are_all_sampled():
    windows = grid(Window(300, 200, 1000, 900), 512)
    assert scattered(windows, 64) == windows


def test_the_shift_of_a_scene_with_a_huge_ratio_is_sought_in_windows(backend, tmp_path):
    pair = make_pair(backend, tmp_path, size=(2600, 1300), ratio=32.0, dtype="float32")
    with open_pair(source(pair.pan), source(pair.ms), sensor="generic") as opened:
        windows = registration._windows(opened)
        assert len(windows) > 1 and max(max(w.shape) for w in windows) <= 16 * 32
        opened.scene = Window(1000, 10, 1500, 40)
        (window,) = registration._windows(opened)
        assert window == Window(1494, 10, 512, 40)


@pytest.mark.parametrize("method", ["gsa", "bt-h", "tv"])
def test_pixels_that_no_sampled_window_holds_are_found(backend, tmp_path, monkeypatch, method):
    monkeypatch.setattr(statistics, "WINDOW", 64)
    monkeypatch.setattr(statistics, "SAMPLE", 4)

    def spoil(pan, ms):
        kept = pan[:, 5:45, 5:45].copy()
        pan[:] = 0
        pan[:, 5:45, 5:45] = kept

    pair = make_pair(backend, tmp_path, (256, 256), spoil=spoil, pan_band={"nodata": 0})
    result = run(pair.job(tmp_path / "out.tif", method))
    assert result.valid_fraction == pytest.approx((40 / 256) ** 2)
    monkeypatch.setattr(check, "WINDOW", 64)
    monkeypatch.setattr(check, "MOST_WINDOWS", 4)
    assert run(CheckJob(source(pair.pan), source(pair.ms))).pan_range[0] > 0


@pytest.mark.parametrize("method", METHODS)
def test_a_pair_without_pixels_is_refused_by_every_method(backend, tmp_path, method):
    def spoil(pan, ms):
        pan[:] = 0

    pair = make_pair(backend, tmp_path, spoil=spoil, pan_band={"nodata": 0})
    with pytest.raises(WhetstoneError, match="No valid pixels") as caught:
        run(pair.job(tmp_path / "out.tif", method))
    assert caught.value.code == "EMPTY"


def test_a_place_for_the_report_is_checked_before_the_work(backend, tmp_path):
    pair = make_pair(backend, tmp_path)
    pan, ms = source(pair.pan), source(pair.ms)
    for html, code in ((str(tmp_path / "no" / "r.html"), "OUT_FOLDER"), (pair.pan, "OUT_IS_INPUT")):
        with pytest.raises(WhetstoneError) as caught:
            run(CompareJob(pan, ms, ("exp",), str(tmp_path / "out"), html=html))
        assert caught.value.code == code
        assert not (tmp_path / "out").exists()
        with pytest.raises(WhetstoneError) as caught:
            run(AssessJob(pan, pan, ms, html=html))
        assert caught.value.code == code
    run(CompareJob(pan, ms, ("exp",), str(tmp_path / "out"), html=str(tmp_path / "out" / "r.html")))
    assert (tmp_path / "out" / "r.html").exists()


@pytest.mark.parametrize("ratio", [8, 32, 60])
def test_the_a_trous_filter_stays_short(ratio):
    kernel = spline_kernel(ratio)
    assert len(kernel) <= 10 * ratio and kernel.sum() == pytest.approx(1)
    offset = np.arange(len(kernel)) - len(kernel) // 2
    assert (kernel * offset**2).sum() == pytest.approx(ratio**2 / 4, rel=0.01)


def test_check_tells_the_range_of_the_pan_itself(backend, tmp_path):
    def spoil(pan, ms):
        pan[0, 40, 40] = 60000

    pair = make_pair(backend, tmp_path, spoil=spoil)
    assert run(CheckJob(source(pair.pan), source(pair.ms), "generic")).pan_range[1] == 60000


@pytest.mark.parametrize(("level", "saturated"), [(4000.0, False), (2047.0, True)])
def test_values_beyond_the_bit_depth_are_not_saturated(backend, tmp_path, level, saturated):
    """Reflectance times 10000 of an 11-bit sensor is no picture of burnt-out pixels."""

    def spoil(pan, ms):
        if saturated:
            np.minimum(ms, 2047, out=ms)

    pair = make_pair(backend, tmp_path, ground=Ground(4, level=level), spoil=spoil)
    notes = run(CheckJob(source(pair.pan), source(pair.ms), "wv3")).notes
    assert any("band 3" in note and "saturated" in note for note in notes) == saturated


@pytest.mark.parametrize("ratio", [4.0, 32.0])
def test_missing_pixels_far_from_the_rest_do_not_darken_it(backend, tmp_path, ratio):
    """The low-passes reach farther at large ratios, and so must the filling."""
    side, flat = int(32 * ratio), Ground(4, contrast=0.0)

    def spoil(pan, ms):
        pan[:, :, : side // 2] = np.nan

    pair = make_pair(
        backend, tmp_path, (side, side), ratio, ground=flat, dtype="float32", spoil=spoil
    )
    with open_pair(source(pair.pan), source(pair.ms), sensor="generic") as opened:
        seen = WindowFields(opened, Window(side // 2, side // 4, 32, 32)).pan_glp
    assert np.ptp(seen) < 0.01 * seen.mean()


def test_gdal_raises_nothing_while_another_thread_has_it_quiet():
    gdal = pytest.importorskip("osgeo.gdal")
    quiet = importlib.import_module("whetstone.engine.raster.gdal_quiet").Quiet
    before = gdal.GetUseExceptions()
    gdal.UseExceptions()
    inside, leave = threading.Event(), threading.Event()

    def other():
        with quiet():
            inside.set()
            leave.wait()

    thread = threading.Thread(target=other)
    try:
        thread.start()
        inside.wait()
        with quiet():
            leave.set()
            thread.join()
            assert gdal.OpenEx("/not/there.tif") is None
        assert gdal.GetUseExceptions()
    finally:
        leave.set()
        thread.join()
        if not before:
            gdal.DontUseExceptions()


def test_a_degraded_pair_appears_as_a_whole_or_not_at_all(backend, tmp_path, monkeypatch):
    pair = make_pair(backend, tmp_path)
    real = Output.complete

    def full_at_the_truth(self):
        if self.path.endswith("gt.tif"):
            raise WhetstoneError("DISK_FULL", "The disk is full.")
        real(self)

    monkeypatch.setattr(Output, "complete", full_at_the_truth)
    with pytest.raises(WhetstoneError, match="full"):
        run(DegradeJob(source(pair.pan), source(pair.ms), str(tmp_path / "out")))
    assert not (tmp_path / "out").exists()
