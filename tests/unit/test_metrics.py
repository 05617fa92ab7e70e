"""The figures as functions and accumulators: ideals, invariances, streaming, nodata."""

from __future__ import annotations

from math import inf, isnan

import numpy as np
import pytest
from whetstone.engine.metrics.blocks import grid, pad_to_blocks, split
from whetstone.engine.metrics.no_reference import (
    FullResolution,
    LocalCorrelation,
    d_lambda,
    d_lambda_k,
    d_rho,
    d_s,
    qnr,
    r_ergas,
    r_q2n,
    r_sam,
    uqi,
)
from whetstone.engine.metrics.q2n import Q2n, multiplication, q2n, q2n_map
from whetstone.engine.metrics.reference import (
    BandErrors,
    SpatialCorrelation,
    SpectralAngle,
    StructuralSimilarity,
    cc,
    ergas,
    psnr,
    rmse,
    sam,
    scc,
    ssim,
)
from whetstone.engine.metrics.smooth import correlate, sample
from whetstone.engine.types import Window


def scene(bands=4, height=160, width=192, seed=0):
    """Smooth random bands around 500 DN, as integers."""
    noise = np.random.default_rng(seed).normal(size=(bands + 1, height, width))
    for _ in range(3):
        noise = (noise + np.roll(noise, 1, 1) + np.roll(noise, 1, 2)) / 2
    noise /= noise.std(axis=(1, 2), keepdims=True)
    mixed = 500 + 60 * noise[:1] + 40 * noise[1:] + 25 * np.arange(bands)[:, None, None]
    return np.round(mixed)


def like(image, seed=1, amount=12.0):
    return np.round(image + np.random.default_rng(seed).normal(0, amount, image.shape))


# --- ideals and known values ----------------------------------------------------------------------


@pytest.mark.parametrize("bands", [1, 3, 4, 5, 8])
def test_identical_images_are_ideal(bands):
    x = scene(bands)
    assert sam(x, x) == 0 and ergas(x, x, 4) == 0 and rmse(x, x) == 0 and psnr(x, x, 2047) == inf
    for value in (q2n(x, x), q2n(x, x, rounded=False), scc(x, x), ssim(x, x, 2047), cc(x, x)):
        assert value == pytest.approx(1, abs=1e-12)
    assert r_sam(x, x) == 0 and r_ergas(x, x, 4) == 0 and r_q2n(x, x) == pytest.approx(1)


def test_values_that_can_be_worked_out():
    g = np.zeros((2, 40, 40))
    g[0] = 3.0
    f = np.zeros_like(g)
    f[1] = 4.0
    assert sam(g, f) == pytest.approx(90)
    assert rmse(g, f) == pytest.approx(np.sqrt((9 + 16) / 2))
    assert psnr(g, f, 10) == pytest.approx(10 * np.log10(100 / 12.5))
    g[1] = 5.0
    f[0], f[1] = 3.3, 5.5
    assert ergas(g, f, 4) == pytest.approx(100 / 4 * 0.1)
    assert isnan(ergas(np.zeros_like(g), f, 4))  # relative to nothing


def test_black_pixels_have_no_angle():
    g, f = scene(), like(scene())
    half = np.arange(g.shape[2]) < 96
    black = np.where(half, 0.0, g)
    assert sam(black, f) == pytest.approx(sam(g[:, :, ~half], f[:, :, ~half]), rel=1e-12)
    assert isnan(sam(np.zeros_like(g), f))


def test_correlation_ignores_gain_and_offset():
    g, f = scene(), like(scene())
    assert cc(g, 2 * f + 100) == pytest.approx(cc(g, f), rel=1e-12)
    loop = np.mean([np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in zip(g, f)])
    assert cc(g, f) == pytest.approx(loop, rel=1e-12)


def test_doubling_the_numbers_changes_no_relative_figure():
    g, f, pan = scene(), like(scene()), scene(1, seed=3)[0]
    for figure in (sam, cc, scc):
        assert figure(2 * g, 2 * f) == pytest.approx(figure(g, f), rel=1e-12)
    assert ergas(2 * g, 2 * f, 4) == pytest.approx(ergas(g, f, 4), rel=1e-12)
    assert ssim(2 * g, 2 * f, 4094) == pytest.approx(ssim(g, f, 2047), rel=1e-9)
    assert q2n(2 * g, 2 * f, rounded=False) == pytest.approx(q2n(g, f, rounded=False), rel=1e-12)
    assert q2n(2 * g, 2 * f) == pytest.approx(q2n(g, f), abs=1e-6)
    assert d_rho(2 * f, pan, 4) == pytest.approx(d_rho(f, pan, 4), rel=1e-12)
    one, two = FullResolution(4, rounded=False), FullResolution(4, rounded=False)
    one.add(f, pan, g, pan, g)
    two.add(2 * f, 2 * pan, 2 * g, 2 * pan, 2 * g)
    assert one.value() == pytest.approx(two.value(), rel=1e-10, abs=1e-14)


def test_joint_figures_agree_with_their_parts():
    fused, lms, pan, coarse = like(scene()), scene(), scene(1, seed=3)[0], scene(1, seed=4)[0]
    figure = FullResolution(4)
    figure.add(fused, pan, lms, coarse, like(lms, 5, 3))
    found = figure.value()
    assert found["d_lambda"] == pytest.approx(d_lambda(fused, lms))
    assert found["d_s"] == pytest.approx(d_s(fused, pan, lms, coarse))
    assert found["d_lambda_k"] == pytest.approx(d_lambda_k(lms, like(lms, 5, 3)))
    assert found["qnr"] == qnr(found["d_lambda"], found["d_s"])
    assert found["hqnr"] == qnr(found["d_lambda_k"], found["d_s"])
    assert d_lambda(lms, lms) == 0


# --- Q2n and UQI ----------------------------------------------------------------------------------


def _product(a, b):
    """The toolbox's recursion, literally."""
    if len(a) == 1:
        return a * b
    half = len(a) // 2
    p, u, v = a[:half], b[:half], _conj(b[half:])
    return np.concatenate(
        [
            _product(p, u) - _product(v, a[half:]),
            _product(_conj(p), v) + _product(u, _conj(a[half:])),
        ]
    )


def _conj(a):
    return np.concatenate([a[:1], -a[1:]])


@pytest.mark.parametrize("order", [1, 2, 4, 8, 16])
def test_hypercomplex_product(order):
    a, b = np.random.default_rng(order).normal(size=(2, order))
    table = np.einsum("i,j,ijk->k", a, b, multiplication(order))
    assert np.allclose(table, _product(a, b), atol=1e-12)


def _slow_q2n_block(g, f, size):
    """One block pixel by pixel, from the published recipe."""
    order = 1 << (len(g) - 1).bit_length()
    pad = [(0, order - len(g)), (0, 0)]
    g, f = (np.pad(np.clip(np.floor(x + 0.5), 0, 65535), pad) for x in (g, f))
    x, y = np.empty_like(g), np.empty_like(f)
    for b in range(order):
        m, s = g[b].mean(), g[b].std(ddof=1) or np.finfo(float).eps
        x[b] = (g[b] - m) / s + 1
        y[b] = f[b] + 1 if m == 0 else (f[b] - m) / s + 1
    y[1:] *= -1
    k = size**2 / (size**2 - 1)
    mx, my = x.mean(axis=1), y.mean(axis=1)
    c = k * (_product(x, y).mean(axis=1) - _product(mx, my))
    a, b = (mx**2).sum(), (my**2).sum()
    v = k * ((x**2).sum(axis=0).mean() + (y**2).sum(axis=0).mean() - a - b)
    first = 2 * np.sqrt(a * b) / (a + b)
    return first if v == 0 else np.linalg.norm(c * first * 2 / v)


@pytest.mark.parametrize("bands", [1, 2, 3, 4, 5, 7, 8])
def test_q2n_against_the_recipe(bands):
    g, f = scene(bands, 64, 64), like(scene(bands, 64, 64), amount=30)
    blocks = [
        _slow_q2n_block(*(x[:, r : r + 32, c : c + 32].reshape(bands, -1) for x in (g, f)), 32)
        for r in (0, 32)
        for c in (0, 32)
    ]
    assert np.allclose(q2n_map(g, f).ravel(), blocks, atol=1e-11)
    assert q2n(g, f) == pytest.approx(np.mean(blocks), abs=1e-11)


def test_q2n_mirrors_a_cut_block_and_uqi_leaves_it_out():
    g, f = scene(3, 70, 96), like(scene(3, 70, 96))
    padded = [np.pad(x, [(0, 0), (0, 26), (0, 0)], mode="symmetric") for x in (g, f)]
    assert q2n(g, f) == pytest.approx(q2n(*padded), abs=1e-14)
    assert np.allclose(uqi(g), uqi(g[:, :64]), atol=1e-15)
    assert pad_to_blocks(g).shape == (3, 96, 96) and split(g).shape == (6, 3, 1024)


def test_q2n_of_reflectances_needs_no_rounding():
    g, f = scene() / 10000, like(scene()) / 10000
    assert q2n(g, f, rounded=False) == pytest.approx(q2n(g * 10000, f * 10000), abs=1e-9)


def test_constant_blocks():
    g = scene(2, 64, 64)
    g[:, :32, :32] = 7.1  # not representable: its mean is rounded
    assert np.allclose(np.diag(uqi(g)), 1)
    flat = np.full((2, 64, 64), 7.1)
    assert np.isnan(uqi(flat)).all()
    assert isnan(q2n(flat, flat, rounded=False)) and q2n(flat, flat) == 1
    f = like(g)
    figure = Q2n(rounded=False)
    figure.add(g, f)
    textured = q2n_map(g, f, rounded=False).ravel()[1:]
    assert figure.value() == pytest.approx(textured.mean())


# --- local figures --------------------------------------------------------------------------------


def test_local_correlation_of_copies_and_opposites():
    pan = scene(1, seed=3)[0]
    assert d_rho(np.stack([pan, 3 * pan + 5]), pan, 4, zero_border=False) == pytest.approx(0)
    assert d_rho(-pan[None], pan, 4, zero_border=False) == pytest.approx(2)
    flat = np.full_like(pan, 9.0)
    assert d_rho(flat[None], pan, 4, zero_border=False) == 1  # no detail at all
    assert isnan(d_rho(pan[None], flat, 4, zero_border=False))  # nothing to follow


@pytest.mark.parametrize("ratio", [1.5, 2, 3, 4, 6.4])
def test_local_correlation_counts_pixels_with_all_their_surroundings(ratio):
    fused, pan = scene(2), scene(1, seed=3)[0]
    figure = LocalCorrelation(ratio)
    whole = (slice(0, 160), slice(0, 192))
    figure.add(fused, pan, None, whole)
    half = int(np.ceil(ratio / 2))
    assert figure._count == 2 * (160 - 4 * half + 2) * (192 - 4 * half + 2)


def test_fast_correlation_is_correlation():
    x, kernel = scene(2), np.array([0.1, 0.2, 0.4, 0.25, 0.05])
    slow = sum(
        a * b * x[:, i : i + 156, j : j + 188]
        for i, a in enumerate(kernel)
        for j, b in enumerate(kernel)
    )
    assert np.allclose(correlate(x, kernel), slow, atol=1e-10)
    assert correlate(x[:, :3], kernel).shape == (2, 0, 188)


def test_sampling_is_resampling():
    from whetstone.engine.interpolation import lagrange_taps, resample

    x, rows, cols = scene(2), lagrange_taps(np.array([20.3, 40.0])), lagrange_taps(np.array([9.7]))
    assert np.allclose(sample(x, rows, cols), resample(x, rows, cols), atol=1e-9)


# --- streaming and nodata -------------------------------------------------------------------------


@pytest.mark.parametrize("side", [32, 64, 256, 100])
@pytest.mark.parametrize(
    "region", [Window(5, 3, 515, 290), Window(0, 0, 20, 900), Window(1, 1, 33, 31)]
)
def test_windows_cover_a_region_once_in_whole_blocks(side, region):
    seen = np.zeros((1000, 1000), int)
    for window in grid(region, side):
        seen[window.row : window.stop[1], window.col : window.stop[0]] += 1
        assert (window.col - region.col) % 32 == 0 and (window.row - region.row) % 32 == 0
    assert seen.sum() == region.width * region.height and seen.max() == 1


def _streamed(side, valid=None, region=None):
    """All accumulators over one scene in windows of ``side``."""
    g, f = scene(3, 300, 333), like(scene(3, 300, 333))
    pan = scene(1, 300, 333, seed=3)[0]
    region = region or Window(0, 0, 333, 300)
    angle, errors, index, edges = SpectralAngle(), BandErrors(3), Q2n(), SpatialCorrelation()
    similar, full, local = StructuralSimilarity(2047), FullResolution(3), LocalCorrelation(4)
    if valid is not None:
        g, f, pan = (np.where(valid, x, np.nan) for x in (g, f, pan))
    for window in grid(region, side):
        wide = window.expand(8).intersect(region)
        at = wide.within(Window(0, 0, 333, 300))
        ok = None if valid is None else valid[at]
        wg, wf, wp, inner = g[(..., *at)], f[(..., *at)], pan[at], window.within(wide)
        cut = (..., *inner)
        near = None if ok is None else ok[inner]
        for figure in (angle, errors, index):
            figure.add(wg[cut], wf[cut], near)
        for figure in (edges, similar):
            figure.add(wg, wf, ok, inner)
        full.add(wf[cut], wp[inner], wg[cut], wp[inner], wg[cut], near)
        local.add(wf, wp, ok, inner)
    return {
        "sam": angle.value(), "ergas": errors.ergas(4), "psnr": errors.psnr(2047),
        "rmse": errors.rmse(), "cc": errors.cc(), "q2n": index.value(), "scc": edges.value(),
        "ssim": similar.value(), **full.value(), "d_rho": local.value(),
    }  # fmt: skip


@pytest.mark.parametrize("side", [32, 64, 256])
def test_streamed_equals_whole(side):
    assert _streamed(side) == pytest.approx(_streamed(10_000), rel=1e-12, abs=1e-14)


@pytest.mark.parametrize("side", [64, 256])
def test_streamed_equals_whole_with_holes(side):
    valid = np.ones((300, 333), bool)
    valid[40:60, 100:111] = valid[299, 332] = valid[128, 64:70] = False
    one, other = _streamed(side, valid), _streamed(10_000, valid)
    assert not any(isnan(value) for value in one.values())
    assert one == pytest.approx(other, rel=1e-12, abs=1e-14)


def test_a_collar_of_nodata_changes_nothing_inside():
    valid = np.zeros((300, 333), bool)
    valid[64:256, 32:288] = True
    inside = _streamed(64, None, Window(32, 64, 256, 192))
    assert _streamed(64, valid) == pytest.approx(inside, rel=1e-12, abs=1e-14)


def test_nothing_valid_is_nan():
    found = _streamed(64, np.zeros((300, 333), bool))
    assert all(isnan(value) for value in found.values())


def test_images_smaller_than_a_block():
    g, f = scene(3, 20, 9), like(scene(3, 20, 9))
    assert 0 < q2n(g, f) <= 1  # mirrored up to a block
    assert isnan(d_lambda(f, g)) and isnan(d_s(f, f[0], g, g[0]))
    tiny = np.ones((2, 2, 2))
    assert isnan(scc(tiny, tiny, zero_border=False)) and isnan(ssim(tiny, tiny, 1))
    assert isnan(d_rho(tiny, tiny[0], 4, zero_border=False))
