"""The estimate act: moments, regression, percentiles, constrained least squares."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from whetstone.engine.classical.bdsd import nonnegative
from whetstone.engine.classical.statistics import Moments, divide, percentile, regress, solve

# --------------------------------------------------------------------------------------- moments


def windows(count=4, seed=1, offset=0.0):
    """Windows of differing size with groups "a" (2 images), "b" (1 image) and a mask."""
    rng = np.random.default_rng(seed)
    for i in range(count):
        shape = (10 + i, 15)
        a = rng.normal(5, 3, (2, *shape)) + offset
        b = 0.5 * a[0] - a[1] + rng.normal(size=shape)
        yield a, b, None if i % 2 else rng.uniform(size=shape) > 0.3


def summed(offset=0.0):
    """Moments of all windows, and the same pixels in one array (3, n)."""
    moments, pixels = Moments(), []
    for a, b, valid in windows(offset=offset):
        moments.add({"a": a, "b": b}, valid)
        use = np.ones(b.shape, bool) if valid is None else valid
        pixels.append(np.vstack([a[:, use], b[use]]))
    return moments, np.concatenate(pixels, axis=1)


@pytest.mark.parametrize("offset", (0.0, 1e6))
def test_moments_are_those_of_all_valid_pixels(offset):
    moments, pixels = summed(offset)
    cov = np.cov(pixels)
    assert moments.count == pixels.shape[1]
    assert np.allclose(moments.mean("a"), pixels[:2].mean(axis=1), rtol=1e-13)
    assert np.allclose(moments.mean("b"), pixels[2:].mean(axis=1), rtol=1e-13)
    assert np.allclose(moments.cov("a", "a"), cov[:2, :2], rtol=1e-8)
    assert np.allclose(moments.cov("a", "b"), cov[:2, 2:], rtol=1e-8)
    assert np.allclose(moments.var("a"), np.diagonal(cov)[:2], rtol=1e-8)
    assert np.allclose(moments.std("b"), np.sqrt(cov[2, 2]), rtol=1e-8)
    products = pixels[:2] @ pixels[2:].T / pixels.shape[1]
    assert np.allclose(moments.product("a", "b"), products, rtol=1e-12)


def test_windows_without_valid_pixels_do_not_count():
    moments, _ = summed()
    before = moments.count, moments.cov("a", "b")
    a, b, _ = next(windows(seed=9))
    moments.add({"a": a, "b": b}, np.zeros(b.shape, bool))
    assert moments.count == before[0]
    assert np.array_equal(moments.cov("a", "b"), before[1])


def test_invalid_pixels_may_be_anything():
    moments, clean = Moments(), Moments()
    for a, b, valid in windows():
        use = np.ones(b.shape, bool) if valid is None else valid
        moments.add({"a": np.where(use, a, np.nan), "b": np.where(use, b, np.inf)}, use)
        clean.add({"a": a, "b": b}, use)
    assert np.array_equal(moments.cov("a", "b"), clean.cov("a", "b"))


def test_constants_have_no_variance():
    moments = Moments()
    moments.add({"a": np.full((1, 20, 20), 0.1), "b": np.full((20, 20), 7.0)}, None)
    assert moments.mean("b")[0] == 7
    assert moments.var("a")[0] == 0
    assert moments.std("b")[0] == 0


def test_float32_windows_are_summed_in_float64():
    values = np.random.default_rng(2).normal(1e4, 1, (1, 300, 300)).astype(np.float32)
    moments = Moments()
    moments.add({"a": values}, None)
    assert moments.var("a")[0] == pytest.approx(np.var(values.astype(float), ddof=1), rel=1e-9)


def test_divide():
    assert np.array_equal(divide([1.0, 2.0, 0.0], [2.0, 0.0, 0.0]), [0.5, 0, 0])
    assert np.array_equal(divide(3.0, [1.5, 0.0]), [2, 0])


# ------------------------------------------------------------------------------------- regression


@pytest.mark.parametrize("intercept", (True, False))
def test_regress_is_least_squares(intercept):
    moments, pixels = summed()
    weights, constant = regress(moments, "b", ["a"], intercept=intercept)
    x = pixels[:2].T
    if intercept:
        x = np.c_[x, np.ones(len(x))]
    wanted = np.linalg.lstsq(x, pixels[2], rcond=None)[0]
    assert np.allclose(weights, wanted[:2], rtol=1e-9)
    assert constant == pytest.approx(wanted[2] if intercept else 0.0, rel=1e-9)


def test_regress_on_several_groups():
    rng = np.random.default_rng(3)
    a, b = rng.normal(size=(2, 30, 30)), rng.normal(size=(30, 30))
    moments = Moments()
    moments.add({"a": a, "b": b, "y": 2 * a[0] - 3 * a[1] + 4 * b + 5}, None)
    weights, constant = regress(moments, "y", ["a", "b"], intercept=True)
    assert np.allclose(weights, [2, -3, 4])
    assert constant == pytest.approx(5)


@pytest.mark.parametrize("intercept", (True, False))
def test_duplicate_bands_share_their_weight(intercept):
    rng = np.random.default_rng(4)
    a, b = rng.normal(5, 1, (40, 40)), rng.normal(3, 1, (40, 40))
    moments = Moments()
    moments.add({"x": np.stack([a, b, a]), "y": 2 * a + b}, None)
    weights, _ = regress(moments, "y", ["x"], intercept=intercept)
    assert np.allclose(weights, [1, 1, 1], atol=1e-6)


def test_a_constant_band_gets_no_weight():
    rng = np.random.default_rng(5)
    a = rng.normal(size=(40, 40))
    moments = Moments()
    moments.add({"x": np.stack([a, np.full_like(a, 9.0)]), "y": 2 * a}, None)
    weights, constant = regress(moments, "y", ["x"], intercept=True)
    assert np.allclose(weights, [2, 0], atol=1e-9)
    assert constant == pytest.approx(0, abs=1e-9)


def test_solve_is_indifferent_to_units():
    rng = np.random.default_rng(6)
    x, y = rng.normal(size=(50, 3)), rng.normal(size=50)
    units = np.array([1e-6, 1.0, 1e6])
    plain = solve(x.T @ x, x.T @ y)
    scaled = solve((x * units).T @ (x * units), (x * units).T @ y)
    assert np.allclose(scaled * units, plain, rtol=1e-10)


def test_solve_of_nothing_but_zeros():
    assert not solve(np.zeros((3, 3)), np.zeros(3)).any()


# ------------------------------------------------------------------------------------- percentile


@pytest.mark.parametrize("count", (1, 2, 7, 100, 1001))
@pytest.mark.parametrize("percent", (0, 0.3, 1, 37.5, 50, 99.9, 100))
def test_percentile_is_hazens(count, percent):
    values = np.random.default_rng(7).normal(size=count)
    rank = np.clip(percent / 100 * count - 0.5, 0, count - 1)
    wanted = np.interp(rank, np.arange(count), np.sort(values))
    assert percentile(values, percent) == pytest.approx(wanted, abs=1e-12)


def test_percentile_against_numpy():
    values = np.random.default_rng(8).normal(size=345)
    try:
        wanted = np.percentile(values, (1, 20, 77), method="hazen")
    except TypeError:
        pytest.skip("this numpy has no percentile methods")
    assert np.allclose([percentile(values, p) for p in (1, 20, 77)], wanted, rtol=1e-13)


# ------------------------------------------------------------------------------------------- NNLS


def cost(gram, right, x):
    return float(x @ gram @ x - 2 * right @ x)


def best_of_all_subsets(gram, right):
    """The minimum over x >= 0 by trying every set of free variables."""
    size = len(right)
    best = np.zeros(size)
    for count in range(1, size + 1):
        for chosen in map(list, combinations(range(size), count)):
            x = np.zeros(size)
            x[chosen] = np.linalg.lstsq(gram[np.ix_(chosen, chosen)], right[chosen], rcond=None)[0]
            if x.min() >= 0 and cost(gram, right, x) < cost(gram, right, best):
                best = x
    return best


@pytest.mark.parametrize("size", (1, 2, 3, 5, 6))
def test_nonnegative_against_all_subsets(size):
    rng = np.random.default_rng(size)
    for _ in range(25):
        units = 10.0 ** rng.uniform(-3, 3, size)
        a = (rng.normal(size=(20, size)) + rng.normal()) * units
        y = rng.normal(size=20) + rng.normal()
        gram, right = a.T @ a, a.T @ y
        x = nonnegative(gram, right)
        wanted = best_of_all_subsets(gram, right)
        assert x.min() >= 0
        assert np.allclose(x * units, wanted * units, rtol=1e-6, atol=1e-9)


def test_nonnegative_meets_the_optimality_conditions():
    """Correlated columns, as bands are."""
    rng = np.random.default_rng(9)
    common = rng.normal(size=(200, 1))
    for _ in range(20):
        a = common + 0.05 * rng.normal(size=(200, 9))
        gram, right = a.T @ a, a.T @ (common[:, 0] + rng.normal(size=200))
        x = nonnegative(gram, right)
        slope = right - gram @ x
        assert x.min() >= 0
        assert slope.max() < 1e-8 * np.abs(right).max()
        assert np.abs(slope[x > 0]).max(initial=0) < 1e-8 * np.abs(right).max()


def test_nonnegative_edge_cases():
    eye = np.eye(3)
    assert np.array_equal(nonnegative(eye, np.array([-1.0, -2, -3])), [0, 0, 0])
    assert np.allclose(nonnegative(eye, np.array([1.0, -2, 3])), [1, 0, 3])
    assert np.array_equal(nonnegative(np.zeros((3, 3)), np.zeros(3)), [0, 0, 0])
    twins = nonnegative(np.ones((2, 2)), np.ones(2))
    assert twins.min() >= 0
    assert twins.sum() == pytest.approx(1)
