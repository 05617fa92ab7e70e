"""Filling invalid pixels."""

from __future__ import annotations

import numpy as np
import pytest
from whetstone.engine.nodata import fill, fill_reach

STEPS = 3


def holes(shape=(60, 70), share=0.6, dtype=np.float64):
    rng = np.random.default_rng(1)
    valid = rng.uniform(size=shape) > share
    valid[20:45, 15:50] = False  # a hole wider than the reach
    return rng.uniform(1, 1000, (2, *shape)).astype(dtype), valid


def test_valid_pixels_are_kept():
    values, valid = holes()
    assert np.array_equal(fill(values, valid, STEPS)[:, valid], values[:, valid])


def test_nothing_is_changed_where_all_is_valid():
    values, valid = holes()
    assert np.array_equal(fill(values, np.ones_like(valid), STEPS), values)


def test_invalid_values_never_leak():
    values, valid = holes()
    spoilt = np.where(valid, values, np.nan)
    assert np.array_equal(fill(spoilt, valid, STEPS), fill(values, valid, STEPS))


@pytest.mark.parametrize("steps", (1, 2, 3, 5))
def test_reach(steps):
    """One valid pixel fills the square within the reach and nothing beyond."""
    assert fill_reach(steps) == 2**steps - 1
    size = 2 * 40 + 1
    valid = np.zeros((size, size), bool)
    valid[40, 40] = True
    filled = fill(np.where(valid, 7.0, 0.0)[None], valid, steps)[0]
    rows, cols = np.nonzero(filled)
    reach = fill_reach(steps)
    assert (rows.min(), rows.max(), cols.min(), cols.max()) == (40 - reach, 40 + reach) * 2
    assert np.all(filled[40 - reach : 41 + reach, 40 - reach : 41 + reach] == 7)


def test_constants_stay_constant():
    _, valid = holes()
    filled = fill(np.where(valid, 5.0, -9999.0)[None], valid, 6)
    assert np.abs(filled - 5).max() < 1e-12


def test_filled_values_lie_between_their_neighbours():
    values, valid = holes()
    filled = fill(values, valid, 6)
    assert filled.min() >= values[:, valid].min() - 1e-9
    assert filled.max() <= values[:, valid].max() + 1e-9


@pytest.mark.parametrize("dtype", (np.float32, np.float64))
def test_the_window_does_not_matter(dtype):
    """A window with its reach around it gives the same bits as the whole."""
    values, valid = holes(dtype=dtype)
    whole = fill(values, valid, STEPS)
    assert whole.dtype == dtype
    margin = fill_reach(STEPS)
    for row, col, size in ((7, 7, 20), (21, 12, 30), (30, 30, 5)):
        cut = np.s_[row - margin : row + size + margin, col - margin : col + size + margin]
        part = fill(values[(..., *cut)], valid[cut], STEPS)[:, margin:-margin, margin:-margin]
        assert np.array_equal(part, whole[:, row : row + size, col : col + size])


def test_without_any_valid_pixel_all_becomes_zero():
    assert not fill(np.full((1, 5, 5), np.nan), np.zeros((5, 5), bool), 3).any()
