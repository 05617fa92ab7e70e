"""The noise field: one value per seed, draw, step, band and pixel, whoever asks."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from whetstone.engine.noise import BLOCK, NoiseField
from whetstone.engine.types import Window

FAR = 2**31 + 5
PLACE = Window(0, 0, 256, 256)


def read(seed=7, window=PLACE, band=0, draw=0, step=0):
    return NoiseField(seed).read(window, band + 1, draw, step)[band]


def correlation(a, b):
    return float(np.corrcoef(a.ravel(), b.ravel())[0, 1])


# ---------------------------------------------------------------------------------------- windows


@pytest.mark.parametrize("col", [0, 17, -100, FAR, -FAR, 64 * 2**31 - 30])
@pytest.mark.parametrize("row", [0, -64, 63, FAR])
def test_windows_agree_where_they_meet(col, row):
    field = NoiseField(3)
    whole = Window(col, row, 150, 130)
    values = field.read(whole, 2, draw=1, step=2)
    assert (values.shape, values.dtype) == ((2, 130, 150), np.float32)
    for dx, dy, width, height in ((40, 50, 64, 64), (-30, -7, 90, 33), (149, 129, 200, 70)):
        other = Window(col + dx, row + dy, width, height)
        common = whole.intersect(other)
        mine = values[(slice(None), *common.within(whole))]
        theirs = field.read(other, 2, draw=1, step=2)[(slice(None), *common.within(other))]
        assert mine.size
        assert np.array_equal(mine, theirs)


def test_single_pixels_make_up_a_window():
    window = Window(-3, 60, 7, 8)
    one_by_one = [
        [read(window=Window(window.col + x, window.row + y, 1, 1)).item() for x in range(7)]
        for y in range(8)
    ]
    assert np.array_equal(read(window=window), np.array(one_by_one, np.float32))


def test_a_band_is_the_same_however_many_are_asked_for():
    field, window = NoiseField(5), Window(10, 20, 30, 40)
    eight = field.read(window, 8)
    for bands in (1, 2, 7):
        assert np.array_equal(field.read(window, bands), eight[:bands])


def test_an_empty_window_has_no_noise():
    assert NoiseField().read(Window(5, 5, 0, 3), 2).shape == (2, 3, 0)


# -------------------------------------------------------------------------------------- addresses


def test_different_addresses_have_unrelated_noise():
    fields = {
        "base": read(),
        "other seed": read(seed=8),
        "seed 0": read(seed=0),
        "seed, high half": read(seed=7 + 2**32),
        "largest seed": read(seed=2**64 - 1),
        "draw 1": read(draw=1),
        "step 1": read(step=1),
        "band 1": read(band=1),
        "draw and step": read(draw=1, step=1),
        "draw 1, step 2": read(draw=1, step=2),
        "draw 2, step 1": read(draw=2, step=1),
        "right": read(window=Window(5 * BLOCK, 0, 256, 256)),
        "below": read(window=Window(0, 5 * BLOCK, 256, 256)),
        "left": read(window=Window(-5 * BLOCK, 0, 256, 256)),
        "above": read(window=Window(0, -5 * BLOCK, 256, 256)),
        "far": read(window=Window(BLOCK * 2**31, 0, 256, 256)),
    }
    for (one, a), (other, b) in combinations(fields.items(), 2):
        assert abs(correlation(a, b)) < 0.02, (one, other)
        assert abs(correlation(a, b.T)) < 0.02, (one, f"{other}, transposed")


def test_noise_is_a_function_of_its_address():
    assert np.array_equal(read(draw=3, step=4, band=2), read(draw=3, step=4, band=2))


# ------------------------------------------------------------------------------------- statistics


@pytest.fixture(scope="module")
def large():
    return NoiseField(11).read(Window(-200, 37, 1024, 1024), 1)[0].astype(np.float64)


def test_noise_is_standard_normal(large):
    assert np.isfinite(large).all()
    assert large.mean() == pytest.approx(0, abs=0.004)
    assert large.var() == pytest.approx(1, abs=0.006)
    assert (large**3).mean() == pytest.approx(0, abs=0.02)
    assert (large**4).mean() == pytest.approx(3, abs=0.04)
    for limit, share in ((1, 0.682689), (2, 0.954500), (3, 0.997300)):
        assert (np.abs(large) < limit).mean() == pytest.approx(share, abs=0.002)


@pytest.mark.parametrize("power", [1, 2], ids=["values", "squares"])
@pytest.mark.parametrize("lag", [1, 2, BLOCK - 1, BLOCK, BLOCK + 1])
def test_neighbours_are_independent(large, lag, power):
    x = large**power
    for a, b in (
        (x[:, lag:], x[:, :-lag]),
        (x[lag:], x[:-lag]),
        (x[lag:, lag:], x[:-lag, :-lag]),
        (x[lag:, :-lag], x[:-lag, lag:]),
    ):
        assert abs(correlation(a, b)) < 0.005


# ------------------------------------------------------------------------------------ the stream


def test_the_stream_never_changes():
    """Results and checkpoints in the world depend on it; across a block border of rows and columns.

    Libraries of mathematics may differ in the last bit of a float32, no more.
    """
    want = [
        [[0.36792853, -1.0544802, 0.79749304, 0.40727547]],
        [[-1.2520456, -0.15591942, 1.1387203, -1.6845047]],
        [[-1.0070354, 0.97539556, -1.4442697, 0.07015643]],
        [[-0.07142934, -0.46714008, 0.587835, -0.33069295]],
    ]
    got = NoiseField(7).read(Window(62, -1, 4, 2), 2)
    want = np.array(want, np.float32).reshape(2, 2, 4)
    np.testing.assert_array_max_ulp(got, want, maxulp=1)
    far = NoiseField(2**63 + 1).read(Window(-2, FAR, 2, 1), 3, draw=5, step=9)[2, 0]
    np.testing.assert_array_max_ulp(far, np.array([1.1186534, 0.7353623], np.float32), maxulp=1)
