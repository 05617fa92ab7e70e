"""Filters, interpolation and resizing against numbers of the original toolbox."""

from __future__ import annotations

import numpy as np
import pytest
from whetstone.engine import interpolation, mtf
from whetstone.engine.sensors import find_sensor

pytestmark = pytest.mark.oracle

#: Names of the golden file -> names a user would type.
SENSORS = {
    "QB": "QB",
    "IKONOS": "IKONOS",
    "GeoEye1": "GeoEye-1",
    "WV4": "WV4",
    "WV2": "WV2",
    "WV3": "WV3",
    "none": "generic",
}
TAPS, PIXELS, SINGLE = 1e-12, 1e-9, 2e-4  # SINGLE: maps stored as float32


@pytest.fixture(scope="module")
def golden(shared):
    path = shared / "oracle" / "classical_and_metrics_qb.npz"
    if not path.is_file():
        pytest.skip(f"no reference numbers at {path}")
    with np.load(path, allow_pickle=False) as file:
        yield {name: file[name] for name in file.files}


@pytest.fixture(scope="module")
def scene(golden):
    """PAN, MS and truth as the engine has them: band axis first, float64."""
    return {
        "pan": golden["qb/pan"].astype(float),
        "ms": np.moveaxis(golden["qb/ms_lr"], -1, 0).astype(float),
        "gt": np.moveaxis(golden["qb/gt"], -1, 0).astype(float),
    }


def worst(ours, theirs):
    assert ours.shape == theirs.shape
    return float(np.abs(ours - theirs).max())


def at_probes(golden, image):
    """Values of (H, W) or (B, H, W) at the probes, in the golden file's axis order."""
    rows, cols = golden["qb/probe_rc"].T
    return np.moveaxis(image[..., rows, cols], -1, 0)


def agrees(golden, name, image):
    assert worst(at_probes(golden, image), golden[f"qb/probe/{name}"]) <= PIXELS


# ------------------------------------------------------------------------------------------ taps


@pytest.mark.parametrize("name", SENSORS)
def test_ms_filters_of_every_sensor(golden, name):
    theirs = golden[f"filters/h_ms_{name}"]
    bands = find_sensor(SENSORS[name]).bands
    assert len(bands) == theirs.shape[-1]
    for i, band in enumerate(bands):
        assert worst(mtf.gaussian_mtf(band.gain, 4), theirs[..., i]) <= TAPS, band.role


@pytest.mark.parametrize("name", SENSORS)
def test_pan_filter_of_every_sensor(golden, name):
    ours = mtf.gaussian_mtf(find_sensor(SENSORS[name]).pan_gain, 4)
    assert worst(ours, golden[f"filters/h_pan_{name}"]) <= TAPS


def test_the_golden_file_has_no_other_sensor(golden):
    found = {k.split("_", 2)[2] for k in golden if k.startswith("filters/")}
    assert found == {*SENSORS, "none_ratio2"}


def test_filter_at_ratio_2(golden):
    gain = find_sensor("generic").bands[0].gain
    assert worst(mtf.gaussian_mtf(gain, 2), golden["filters/h_ms_none_ratio2"]) <= TAPS


def test_filters_of_the_scene(golden):
    sensor = find_sensor("QB")
    for i, band in enumerate(sensor.bands):
        assert worst(mtf.gaussian_mtf(band.gain, 4), golden["qb/h_mtf_ms"][..., i]) <= TAPS
    assert worst(mtf.gaussian_mtf(sensor.pan_gain, 4), golden["qb/h_mtf_pan"]) <= TAPS
    assert worst(mtf.generic_lowpass(4), golden["qb/h_lpgauss"]) <= TAPS


# ------------------------------------------------------------------------------------- low-passes


def test_mtf_lowpass_of_truth_and_exp(golden, scene):
    filters = [mtf.gaussian_mtf(band.gain, 4) for band in find_sensor("QB").bands]
    exp = interpolation.interp23(scene["ms"], 4)
    for name, image in (("gt_mtf", scene["gt"]), ("ms_mtf", exp)):
        low = np.stack([mtf.correlate(band, kernel) for band, kernel in zip(image, filters)])
        agrees(golden, name, low)


def test_mtf_lowpass_of_pan(golden, scene):
    sensor = find_sensor("QB")
    low = [mtf.correlate(scene["pan"], mtf.gaussian_mtf(band.gain, 4)) for band in sensor.bands]
    agrees(golden, "pan_mtf_ms", np.stack(low))
    own = mtf.correlate(scene["pan"], mtf.gaussian_mtf(sensor.pan_gain, 4))
    agrees(golden, "pan_mtf_pan", own)
    agrees(golden, "pan_lpfiltergauss", mtf.correlate(scene["pan"], mtf.generic_lowpass(4)))


def test_a_trous(golden, scene):
    low = mtf.spline_lowpass(scene["pan"], 4)
    agrees(golden, "pan_atrous", low)
    assert worst(low[2::4, 2::4], golden["qb/pan_atrous_dec"]) <= PIXELS


# ---------------------------------------------------------------------- interpolation and resizing


def test_interpolation_by_4(golden, scene):
    exp = interpolation.interp23(scene["ms"], 4)
    agrees(golden, "exp", exp)
    assert worst(np.moveaxis(exp, 0, -1), golden["qb/full/exp"]) <= SINGLE


def test_interpolation_by_2(golden, scene):
    ours = np.moveaxis(interpolation.interp23(scene["ms"], 2), 0, -1)
    assert worst(ours, golden["qb/interp23tap_x2"]) <= SINGLE
    # The golden map is float32: ours, rounded, is its equal or its neighbour.
    rounded = ours.astype(np.float32)
    assert worst(rounded, golden["qb/interp23tap_x2"]) <= np.spacing(np.float32(2047))


def test_imresize(golden, scene):
    small = interpolation.imresize(scene["pan"], (64, 64))
    assert worst(small, golden["qb/pan_imresize_bicubic_quarter"]) <= PIXELS
    agrees(golden, "pan_bicubic_down_up", interpolation.imresize(small, (256, 256)))
    agrees(golden, "pan_down_interp23", interpolation.interp23(small, 4))
    assert worst(scene["pan"][2::4, 2::4], golden["qb/pan_nearest_quarter"]) == 0
