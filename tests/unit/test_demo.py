"""The synthetic scene."""

from __future__ import annotations

import numpy as np
import pytest
from whetstone.engine import DemoJob, WhetstoneError, run
from whetstone.engine.interpolation import filter_taps, mirror, resample
from whetstone.engine.mtf import product_kernel
from whetstone.engine.raster import backend as raster_backend
from whetstone.engine.sensors import SENSORS
from whetstone.engine.types import Window


def load(path):
    """(values, info) of a whole file."""
    reader = raster_backend().open(str(path))
    info = reader.info
    values, _ = reader.read(range(1, len(info.bands) + 1), Window(0, 0, info.width, info.height))
    reader.close()
    return values, info


def scene(folder, **kw):
    result = run(DemoJob(str(folder), **{"size": 128, **kw}))
    return {name: load(getattr(result, name)) for name in ("pan", "ms", "gt")}


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    return scene(tmp_path_factory.mktemp("demo"))


def test_files(drawn, tmp_path):
    (pan, pan_info), (ms, ms_info), (gt, gt_info) = (drawn[name] for name in ("pan", "ms", "gt"))
    assert (pan.shape, ms.shape, gt.shape) == ((1, 128, 128), (4, 32, 32), (4, 128, 128))
    for values, info in drawn.values():
        assert values.dtype == np.uint16
        assert values.min() >= 1
        assert values.max() <= 2047
        assert values.std(axis=(1, 2)).min() > 20
        assert raster_backend().same_crs(info.crs, "EPSG:32633")
        assert info.tags["SENSOR"].startswith("QuickBird")
    assert [band.name for band in ms_info.bands] == ["Blue", "Green", "Red", "NIR"]
    assert pan_info.transform == gt_info.transform


def test_a_seed_is_a_scene(drawn, tmp_path):
    again = scene(tmp_path / "again")
    other = scene(tmp_path / "other", seed=8)
    for name, (values, _) in drawn.items():
        assert np.array_equal(values, again[name][0])
        assert not np.array_equal(values, other[name][0])


@pytest.mark.parametrize(("ratio", "phase"), ((4, None), (4, 2.0), (2, 0.0), (8, 1.25), (3, None)))
def test_phase_and_ratio(tmp_path, ratio, phase):
    """The geotransforms say where MS pixel 0 lies on the PAN grid."""
    found = scene(tmp_path, size=192, ratio=ratio, phase=phase)
    (x, dx, _, y, _, dy), (mx, mdx, _, my, _, mdy) = (
        found[name][1].transform for name in ("pan", "ms")
    )
    assert mdx / dx == pytest.approx(ratio)
    assert mdy / dy == pytest.approx(ratio)
    wanted = (ratio - 1) / 2 if phase is None else phase
    assert ((mx + mdx / 2) - (x + dx / 2)) / dx == pytest.approx(wanted, abs=1e-6)
    assert ((my + mdy / 2) - (y + dy / 2)) / dy == pytest.approx(wanted, abs=1e-6)
    assert found["ms"][0].shape == (4, 192 // ratio, 192 // ratio)


@pytest.mark.parametrize("phase", (1.5, 2.0, 0.0))
def test_the_ms_is_the_truth_through_the_mtf(tmp_path, phase):
    found = scene(tmp_path, phase=phase)
    truth, ms = found["gt"][0].astype(float), found["ms"][0]
    for band, seen, spec in zip(truth, ms, SENSORS["qb"].bands):
        taps = filter_taps(phase + 4 * np.arange(32), product_kernel(spec.gain, 4))
        index = mirror(taps.first, taps.stop, 128)
        taps = taps.shifted(taps.first)
        wanted = resample(band[np.ix_(index, index)], taps, taps)
        assert np.std(seen - wanted) < 1.3  # noise of 1, rounded
        assert abs(np.mean(seen - wanted)) < 0.3


def test_the_pan_is_a_mix_of_the_bands(drawn):
    pan, gt = drawn["pan"][0].ravel().astype(float), drawn["gt"][0].reshape(4, -1).astype(float)
    design = np.vstack([gt, np.ones(gt.shape[1])]).T
    weights = np.linalg.lstsq(design, pan, rcond=None)[0]
    assert np.all(weights[:4] > 0.05)
    assert np.std(pan - design @ weights) < 5


@pytest.mark.parametrize(
    ("kw", "code"),
    (
        ({"size": 64}, "SIZE"),
        ({"size": 130}, "SIZE"),
        ({"size": 8192}, "SIZE"),
        ({"ratio": 1}, "RATIO"),
        ({"ratio": 9}, "RATIO"),
    ),
)
def test_refusals(tmp_path, kw, code):
    with pytest.raises(WhetstoneError) as caught:
        run(DemoJob(str(tmp_path / "new"), **kw))
    assert caught.value.code == code
    assert not (tmp_path / "new").exists()
