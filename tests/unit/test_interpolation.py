"""Interpolation by its analytic properties."""

from __future__ import annotations

import numpy as np
import pytest
from whetstone.engine import interpolation as ip
from whetstone.engine import mtf

POSITIONS = np.random.default_rng(1).uniform(20, 40, 200)


def at(taps, signal):
    """The taps applied to a 1-D signal."""
    return np.array([w @ signal[s : s + len(w)] for s, w in zip(taps.start, taps.weights)])


# -------------------------------------------------------------------------------------- Lagrange


def test_lagrange_taps_sum_to_one():
    assert np.abs(ip.lagrange_taps(POSITIONS).weights.sum(axis=1) - 1).max() < 1e-13


@pytest.mark.parametrize("degree", range(12))
def test_lagrange_reproduces_polynomials(degree):
    scaled = (np.arange(60) - 30) / 15
    exact = ((POSITIONS - 30) / 15) ** degree
    assert np.abs(at(ip.lagrange_taps(POSITIONS), scaled**degree) - exact).max() < 1e-11


def test_lagrange_is_no_better_than_degree_11():
    scaled = (np.arange(60) - 30) / 2
    exact = ((POSITIONS - 30) / 2) ** 12
    assert np.abs(at(ip.lagrange_taps(POSITIONS), scaled**12) - exact).max() > 1


def test_lagrange_at_samples_returns_them():
    taps = ip.lagrange_taps(np.array([7.0, 12.0]))
    signal = np.random.default_rng(2).normal(size=30)
    assert np.array_equal(at(taps, signal), signal[[7, 12]])


def test_lagrange_at_the_midpoint_is_the_23_tap_filter():
    weights = ip.lagrange_taps(np.array([10.5])).weights[0]
    half = 2 * np.array(ip.HALF_TAPS[1::2])
    # the published taps have twelve decimals, and one of them is off by 1e-10
    assert np.abs(weights - np.r_[half[::-1], half]).max() < 2.1e-10


def test_taps_know_their_reach_and_move():
    taps = ip.lagrange_taps(np.array([10.25, 20.5]))
    assert (taps.first, taps.stop) == (5, 27)
    moved = taps.shifted(5)
    assert (moved.first, moved.stop) == (0, 22)
    assert moved.weights is taps.weights


# --------------------------------------------------------------------------------------- kernels

KERNELS = ((ip.cubic, 2.0), (ip.triangle, 1.0))


@pytest.mark.parametrize("scale", (1.0, 2.0, 3.7, 4.0))
@pytest.mark.parametrize(("kernel", "support"), KERNELS)
def test_kernel_taps_sum_to_one(kernel, support, scale):
    taps = ip.kernel_taps(POSITIONS, kernel, support, scale)
    assert np.abs(taps.weights.sum(axis=1) - 1).max() < 1e-14


@pytest.mark.parametrize(("kernel", "support"), KERNELS)
def test_kernel_taps_reproduce_ramps(kernel, support):
    ramp = 3 + 0.25 * np.arange(60)
    found = at(ip.kernel_taps(POSITIONS, kernel, support), ramp)
    assert np.abs(found - (3 + 0.25 * POSITIONS)).max() < 1e-12


@pytest.mark.parametrize("scale", (2.0, 3.0, 4.0))
@pytest.mark.parametrize(("kernel", "support"), KERNELS)
def test_reducing_at_centres_reproduces_ramps(kernel, support, scale):
    """Between pixel centres at an integer ratio the widened kernel is symmetric over its taps."""
    centres = 20 + (scale - 1) / 2 + scale * np.arange(5)
    found = at(ip.kernel_taps(centres, kernel, support, scale), np.arange(80.0))
    assert np.abs(found - centres).max() < 1e-12


def test_cubic_is_keys_kernel():
    assert np.allclose(ip.cubic(np.array([0, 1, 2, 3.0])), [1, 0, 0, 0], atol=1e-15)
    assert ip.cubic(np.array([0.5]))[0] == pytest.approx(0.5625)
    assert ip.cubic(np.array([1.5]))[0] == pytest.approx(-0.0625)
    assert ip.cubic(np.array([-1.5]))[0] == ip.cubic(np.array([1.5]))[0]
    # a = -0.5 reproduces parabolas
    found = at(ip.kernel_taps(POSITIONS, ip.cubic, 2), np.arange(60.0) ** 2)
    assert np.abs(found - POSITIONS**2).max() < 1e-10


# ------------------------------------------------------------------------------------ filter taps


def test_filter_taps_at_integers_are_the_filter():
    kernel = mtf.product_kernel(0.3, 4)
    taps = ip.filter_taps(np.array([30.0, 33.0]), kernel)
    signal = np.random.default_rng(3).normal(size=100)
    smooth = np.convolve(signal, kernel[::-1], "same")
    assert np.abs(at(taps, signal) - smooth[[30, 33]]).max() < 1e-14


def test_filter_taps_between_pixels_do_not_shift():
    kernel = mtf.product_kernel(0.3, 4)
    where = 80 + np.linspace(0, 1, 11)
    # ramps pass a symmetric filter of unit gain
    assert np.abs(at(ip.filter_taps(where, kernel), np.arange(200.0)) - where).max() < 1e-11
    # a slow wave keeps its phase: the filtered wave is gain * wave, at every fraction
    frequency = 0.35
    wave = np.exp(1j * frequency * np.arange(200))
    gain = np.sum(kernel * np.exp(1j * frequency * (np.arange(len(kernel)) - len(kernel) // 2)))
    found = at(ip.filter_taps(where, kernel), wave)
    assert np.abs(found - gain * np.exp(1j * frequency * where)).max() < 1e-7


# ---------------------------------------------------------------------------------------- mirror


def test_mirror_repeats_the_edge_pixel():
    assert list(ip.mirror(-3, 7, 4)) == [2, 1, 0, 0, 1, 2, 3, 3, 2, 1]


def test_mirror_folds_as_often_as_needed():
    wanted = np.pad(np.arange(3), 20, mode="symmetric")
    assert np.array_equal(ip.mirror(-20, 23, 3), wanted)
    assert set(ip.mirror(-9, 9, 1)) == {0}


# -------------------------------------------------------------------------------------- resample


def test_resample_does_not_depend_on_the_window():
    image = np.random.default_rng(4).normal(size=(2, 40, 50)).astype(np.float32)
    where = np.arange(24, 120) / 3.7
    rows, cols = ip.lagrange_taps(where), ip.lagrange_taps(where[:70])
    whole = ip.resample(image, rows, cols)
    part_rows = ip.Taps(rows.start[30:60], rows.weights[30:60])
    part_cols = ip.Taps(cols.start[11:40], cols.weights[11:40])
    top, left = part_rows.first, part_cols.first
    cut = image[:, top : part_rows.stop, left : part_cols.stop]
    part = ip.resample(cut, part_rows.shifted(top), part_cols.shifted(left))
    assert part.dtype == np.float32
    assert np.array_equal(part, whole[:, 30:60, 11:40])


# -------------------------------------------------------------------------------------- interp23


@pytest.mark.parametrize("ratio", (2, 3, 4, 5, 6, 8))
def test_interp23_keeps_samples_at_their_place(ratio):
    ms = np.random.default_rng(5).uniform(0, 1000, (2, 24, 28))
    out = ip.interp23(ms, ratio)
    assert out.shape == (2, 24 * ratio, 28 * ratio)
    place = ratio // 2
    assert np.abs(out[:, place::ratio, place::ratio] - ms).max() < 1e-9


@pytest.mark.parametrize("ratio", (2, 3, 4, 8))
def test_interp23_of_a_slow_circular_wave(ratio):
    count = 48
    x = 2 * np.pi * np.arange(count) / count
    ms = np.cos(2 * x)[:, None] + np.sin(x)[None]
    fine = 2 * np.pi * (np.arange(count * ratio) - ratio // 2) / (count * ratio)
    wanted = np.cos(2 * fine)[:, None] + np.sin(fine)[None]
    assert np.abs(ip.interp23(ms, ratio) - wanted).max() < 1e-7


def test_interp23_at_ratio_2_is_the_lagrange_polynomial():
    ms = np.random.default_rng(6).uniform(0, 1000, (20, 20))
    assert np.abs(ip.interp23(ms, 2) - ip._lagrange_circular(ms, 2)).max() < 2e-6


# -------------------------------------------------------------------------------------- imresize


@pytest.mark.parametrize("kernel", ("bicubic", "bilinear"))
@pytest.mark.parametrize("shape", ((16, 16), (64, 96), (7, 13), (37, 200)))
def test_imresize_of_a_constant(kernel, shape):
    out = ip.imresize(np.full((3, 32, 48), 1234.5), shape, kernel)
    assert out.shape == (3, *shape)
    assert np.abs(out - 1234.5).max() < 1e-10


@pytest.mark.parametrize("kernel", ("bicubic", "bilinear"))
def test_imresize_keeps_areas_in_place(kernel):
    ramp = np.tile(np.arange(64.0), (64, 1))
    small = ip.imresize(ramp, (16, 16), kernel)
    inside = slice(3, -3)
    wanted = np.tile(np.arange(16) * 4 + 1.5, (16, 1))
    assert np.allclose(small[inside, inside], wanted[inside, inside])
    large = ip.imresize(small, (64, 64), kernel)
    assert np.allclose(large[20:-20, 20:-20], ramp[20:-20, 20:-20])


def test_imresize_to_the_same_size_changes_nothing():
    image = np.random.default_rng(7).normal(size=(10, 12))
    assert np.array_equal(ip.imresize(image, (10, 12)), image)
