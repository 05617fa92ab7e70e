"""Low-pass filters by their analytic properties."""

from __future__ import annotations

import numpy as np
import pytest
from whetstone.engine import mtf

GAINS, RATIOS = (0.11, 0.22, 0.3, 0.36, 0.55), (2, 3, 4, 3.7)


def response(kernel, frequency):
    """Response of a symmetric 1-D kernel at ``frequency`` in cycles per pixel."""
    offsets = np.arange(len(kernel)) - len(kernel) // 2
    return float(np.sum(kernel * np.cos(2 * np.pi * frequency * offsets)))


# -------------------------------------------------------------------------------- toolbox filters


def test_the_toolbox_filter_is_not_normalised():
    assert 0.9977 < mtf.gaussian_mtf(0.3, 4).sum() < 0.9989


@pytest.mark.parametrize("gain", GAINS)
def test_the_toolbox_filter_is_symmetric(gain):
    kernel = mtf.gaussian_mtf(gain, 4)
    assert kernel.shape == (41, 41)
    for other in (kernel.T, kernel[::-1], kernel[:, ::-1]):
        assert np.abs(kernel - other).max() < 1e-15
    assert kernel.argmax() == 20 * 41 + 20


def test_the_generic_lowpass_differs_from_the_mtf_of_the_same_gain():
    """Its width is counted in 41 samples instead of 40: narrower in space."""
    assert mtf.generic_lowpass(4).max() > mtf.gaussian_mtf(mtf.GENERIC_GAIN, 4).max()


# -------------------------------------------------------------------------------- product filters


@pytest.mark.parametrize("ratio", RATIOS)
@pytest.mark.parametrize("gain", GAINS)
def test_product_kernel(gain, ratio):
    kernel = mtf.product_kernel(gain, ratio)
    assert len(kernel) % 2 == 1
    assert kernel.sum() == pytest.approx(1, abs=1e-12)
    assert np.abs(kernel - kernel[::-1]).max() < 1e-12
    assert kernel.argmax() == len(kernel) // 2
    # The toolbox counts 40 frequency steps where 41 taps have 41: gain ** 1.05 comes out of it.
    assert response(kernel, 0.5 / ratio) == pytest.approx(gain ** (41 / 40) ** 2, rel=0.01)
    assert response(kernel, 0.5 / ratio) == pytest.approx(gain, rel=0.11)


@pytest.mark.parametrize("ratio", (6, 8, 10))
def test_product_kernel_of_large_ratios(ratio):
    assert mtf.filter_size(ratio) >= 10 * ratio
    assert response(mtf.product_kernel(0.3, ratio), 0.5 / ratio) == pytest.approx(0.3, rel=0.05)


def test_a_higher_gain_is_a_narrower_filter():
    peaks = [mtf.product_kernel(gain, 4).max() for gain in GAINS]
    assert peaks == sorted(peaks)


def test_the_product_kernel_is_close_to_the_toolbox_filter():
    kernel, full = mtf.product_kernel(0.3, 4), mtf.gaussian_mtf(0.3, 4)
    margin = (41 - len(kernel)) // 2
    wide = np.pad(np.outer(kernel, kernel), margin)
    assert np.abs(wide - full / full.sum()).max() < 1e-4 * full.max()


# ------------------------------------------------------------------------------- spline and boxes


@pytest.mark.parametrize(("ratio", "passes"), ((1.5, 1), (2, 1), (3, 2), (3.7, 3), (4, 4), (8, 16)))
def test_spline_kernel(ratio, passes):
    kernel = mtf.spline_kernel(ratio)
    assert len(kernel) == 4 * passes + 1
    assert kernel.sum() == pytest.approx(1, abs=1e-14)
    offsets = np.arange(len(kernel)) - len(kernel) // 2
    assert np.sum(kernel * offsets) == pytest.approx(0, abs=1e-14)
    assert np.sum(kernel * offsets**2) == pytest.approx(passes)  # [1 4 6 4 1]/16 has variance 1


def test_spline_lowpass_is_its_kernel_away_from_borders():
    image = np.random.default_rng(1).normal(size=(60, 70))
    kernel = mtf.spline_kernel(4)
    inner = mtf.correlate_separable(image, kernel, kernel)
    assert np.abs(mtf.spline_lowpass(image, 4)[8:-8, 8:-8] - inner).max() < 1e-13


@pytest.mark.parametrize(("ratio", "size"), ((2, 3), (3, 3), (4, 5), (3.7, 5), (5, 5), (1.5, 3)))
def test_box_kernel(ratio, size):
    assert np.array_equal(mtf.box_kernel(ratio), np.full(size, 1 / size))


# ------------------------------------------------------------------------------------ correlation


@pytest.mark.parametrize("gain", (0.22, 0.34))
def test_separate_rebuilds_the_kernel(gain):
    kernel = mtf.gaussian_mtf(gain, 4)
    terms = mtf.separate(kernel, 1e-17)
    rebuilt = sum(weight * np.outer(q, q) for weight, q in terms)
    assert np.abs(rebuilt - kernel).max() < 1e-16
    assert all(q[len(q) // 2] >= 0 for _, q in terms)
    sizes = [abs(weight) for weight, _ in terms]
    assert sizes == sorted(sizes, reverse=True)


def test_separate_drops_small_terms():
    kernel = mtf.gaussian_mtf(0.3, 4)
    assert len(mtf.separate(kernel, 1e-4)) == 1 < len(mtf.separate(kernel, 1e-12))


def test_correlate_against_the_definition():
    rng = np.random.default_rng(2)
    image, kernel = rng.normal(size=(2, 9, 11)), rng.normal(size=(5, 5))
    kernel = kernel + kernel.T
    wide = np.pad(image, [(0, 0), (2, 2), (2, 2)], mode="edge")
    wanted = np.zeros_like(image)
    for i in range(5):
        for j in range(5):
            wanted += kernel[i, j] * wide[:, i : i + 9, j : j + 11]
    assert np.abs(mtf.correlate(image, kernel) - wanted).max() < 1e-13


@pytest.mark.parametrize("axis", (-1, -2))
def test_correlate_axis_keeps_what_lies_inside(axis):
    image = np.random.default_rng(3).normal(size=(8, 9))
    kernel = np.array([1.0, 0.0, 2.0])
    lines = np.moveaxis(image, axis, -1)
    wanted = np.moveaxis(lines[..., :-2] + 2 * lines[..., 2:], -1, axis)
    assert np.array_equal(mtf.correlate_axis(image, kernel, axis), wanted)


def test_correlate_axis_with_a_kernel_of_zeros():
    assert not mtf.correlate_axis(np.ones((4, 4)), np.zeros(3), -1).any()
    assert mtf.correlate_axis(np.ones((4, 4)), np.zeros(3), -1).shape == (4, 2)
