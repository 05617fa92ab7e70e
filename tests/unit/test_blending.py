"""Windows of one axis cover a raster, and their weights sum to one."""

from __future__ import annotations

import numpy as np
import pytest
from whetstone.engine.blending import Axis

SIZES = (1, 15, 16, 63, 64, 65, 112, 113, 500)
AXES = [Axis(n, s, o) for n in SIZES for s, o in ((64, 16), (12, 3), (16, 0))]


@pytest.mark.parametrize("axis", AXES, ids=str)
def test_weights_sum_to_one_at_every_pixel(axis):
    total = np.zeros(axis.start(axis.count - 1) + axis.side)
    for index in range(axis.count):
        total[axis.start(index) : axis.start(index) + axis.side] += axis.weights(index)
    assert len(total) >= axis.size
    np.testing.assert_allclose(total, 1, atol=1e-6)


@pytest.mark.parametrize("axis", AXES, ids=str)
def test_no_window_too_many(axis):
    assert axis.count == 1 or axis.start(axis.count - 2) + axis.side < axis.size


@pytest.mark.parametrize("axis", [Axis(500, 64, 16), Axis(113, 12, 3)], ids=str)
def test_windows_that_touch_a_part(axis):
    starts = [axis.start(i) for i in range(axis.count)]
    rng = np.random.default_rng(1)
    for start in rng.integers(0, axis.size, 50):
        stop = int(rng.integers(start + 1, axis.size + 1))
        want = [i for i, s in enumerate(starts) if s < stop and s + axis.side > start]
        assert list(axis.touching(int(start), stop)) == want


@pytest.mark.parametrize("axis", AXES, ids=str)
def test_rows_settle_in_order_and_completely(axis):
    settled = [axis.settled(i) for i in range(axis.count)]
    assert settled == sorted(settled)
    assert settled[-1] == axis.size
    for index, row in enumerate(settled[:-1]):
        assert axis.touching(row - 1, row)[-1] <= index


def test_a_constant_stays_constant():
    axis = Axis(200, 64, 16)
    out = np.zeros(axis.start(axis.count - 1) + axis.side, np.float32)
    for i in range(axis.count):
        out[axis.start(i) : axis.start(i) + axis.side] += np.float32(700) * axis.weights(i)
    np.testing.assert_allclose(out, 700, rtol=2e-7)
