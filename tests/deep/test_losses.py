"""Objectives without truth: the numbers of spec CrossDiff §8.4, and what they must not do."""

from __future__ import annotations

from math import pi

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from whetstone.engine.deep.degradation import degradation_of
from whetstone.engine.deep.losses import (
    gaussian,
    local_correlation,
    physical_loss,
    qnr,
    quality,
    reference_loss,
    spatial,
    spectral,
    ssim,
)
from whetstone.engine.interpolation import filter_taps, resample
from whetstone.engine.mtf import product_kernel

CPU = torch.device("cpu")
GAINS = (0.22, 0.3, 0.36, 0.3)


def images(side=256, bands=4):
    """(pan, ms, ms_up, truth) of spec §8.3."""
    c = torch.arange(bands, dtype=torch.float64)[:, None, None]
    y, x = torch.arange(side, dtype=torch.float64)[:, None], torch.arange(side, dtype=torch.float64)
    truth = 0.3 + 0.05 * c + 0.1 * torch.sin(2 * pi * (x * (c + 1) + 2 * y) / side)
    truth = (truth + 0.05 * torch.cos(2 * pi * (3 * y - x) * (c + 1) / side))[None]
    pan = truth.mean(1, keepdim=True) + 0.02 * torch.sin(2 * pi * x / 5)
    ms = F.avg_pool2d(truth, 4)
    ms_up = F.interpolate(ms, scale_factor=4, mode="bicubic", align_corners=False)
    return tuple(image.float() for image in (pan, ms, ms_up, truth))


@pytest.fixture(scope="module")
def golden():
    """The pair and the three images that the spec scores."""
    pan, ms, ms_up, truth = images()
    sharp = ms_up + 0.5 * (pan - F.avg_pool2d(pan, 5, stride=1, padding=2))
    return pan, ms, ms_up, {"ms_up": ms_up, "gt": truth, "sharp": sharp}


def noise(shape, seed=1):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def loss_of_batch(hrms, pan, ms, ms_up):
    """Both losses of images with shared corners at ratio 4, by name."""
    side = hrms.shape[-1]
    degradation = degradation_of([0.3], 4.0, (1.5, 1.5), side // 4, side, CPU)
    return {
        "reference": reference_loss(hrms, pan, ms, ms_up),
        "physical": physical_loss(hrms, pan, ms, degradation),
    }


# -- numbers of the spec --------------------------------------------------------------------------


def test_the_interpolation_that_the_numbers_stand_on(golden):
    ms_up = golden[2]
    assert float(ms_up[0, 0, 100, 100]) == pytest.approx(0.397352, abs=1e-6)
    assert float(ms_up[0, 3, 0, 0]) == pytest.approx(0.515232, abs=1e-6)


@pytest.mark.parametrize(
    ("name", "want"),
    [
        ("ms_up", (0.991369, 0.000138, 0.008494, 0.201300, 0.041677, 0.032586, 0.011061)),
        ("gt", (0.990825, 0.000005, 0.009170, 0.200934, 0.041079, 0.031246, 0.011595)),
        ("sharp", (0.956352, 0.032062, 0.011970, 0.062785, 0.039529, 0.015293, 0.044671)),
    ],
)
def test_losses_of_the_spec(golden, name, want):
    pan, ms, ms_up, scored = golden
    hrms = scored[name]
    coarse = F.avg_pool2d(gaussian(hrms), 4)
    spectral_reduced = F.l1_loss(coarse, ms) + 1 - ssim(coarse, ms)
    parts = [*qnr(hrms, pan, ms), spatial(hrms, pan), spectral(hrms, ms_up), spectral_reduced]
    got = [float(part) for part in (*parts, reference_loss(hrms, pan, ms, ms_up))]
    assert got == pytest.approx(want, abs=1e-5)  # the table's own float32 rounding is 6e-6


@pytest.mark.parametrize(("name", "want"), [("ms_up", 0.998485), ("sharp", 0.938550), ("gt", 1)])
def test_ssim_of_the_spec(golden, name, want):
    scored = golden[3]
    assert float(ssim(scored[name], scored["gt"])) == pytest.approx(want, abs=2e-6)


def test_taps_of_the_gaussian():
    point = torch.zeros(1, 2, 9, 9)
    point[0, 1, 4, 4] = 1
    taps = gaussian(point)
    assert float(taps[0, 0].abs().max()) == 0
    kernel = taps[0, 1, 2:7, 2:7]
    got = [float(kernel[at]) for at in ((2, 2), (0, 2), (2, 4), (0, 0), (4, 4))]
    assert got == pytest.approx([0.0631915, 0.0383276, 0.0383276, 0.0232468, 0.0232468], abs=1e-7)
    one = kernel.sum(0).tolist()
    assert one[:3] == pytest.approx([0.1524691, 0.2218413, 0.2513791], abs=1e-7)
    assert float(taps.sum()) == pytest.approx(1, abs=1e-6)
    corner = gaussian(torch.ones(1, 1, 9, 9))[0, 0, 0, 0]
    assert float(corner) == pytest.approx(sum(one[2:]) ** 2, abs=1e-6)  # zeros beyond the border


# -- QNR ------------------------------------------------------------------------------------------


def test_samples_of_a_batch_do_not_meet():
    pan, ms, ms_up, _ = (torch.cat([x, x.flip(-1) ** 2]) for x in images(64))
    hrms = ms_up * torch.tensor([0.9, 1.2])[:, None, None, None]
    hrms = hrms + 0.3 * (pan - pan.mean()) * torch.tensor([1.0, -1.0])[:, None, None, None]
    both = qnr(hrms, pan, ms)
    each = [qnr(*(x[i : i + 1] for x in (hrms, pan, ms))) for i in range(2)]
    for k in range(3):
        torch.testing.assert_close(both[k], torch.cat([one[k] for one in each]))
    for name, value in loss_of_batch(hrms, pan, ms, ms_up).items():
        alone = [
            loss_of_batch(*(x[i : i + 1] for x in (hrms, pan, ms, ms_up)))[name] for i in range(2)
        ]
        assert float(value) == pytest.approx(float(sum(alone)) / 2, rel=1e-5)


def test_gaps_of_opposite_sign_in_a_batch_do_not_cancel():
    """One sample follows the PAN better than its MS does, the other worse."""
    pan = noise((2, 1, 32, 32))
    pan_lr = F.avg_pool2d(pan, 4)
    ms = 0.5 * pan_lr + 0.2 * noise((2, 2, 8, 8), 2)
    hrms = pan * torch.tensor([0.7, 0.2])[:, None, None, None] + 0.1 * noise((2, 2, 32, 32), 3)
    gap = (quality(torch.cat([hrms, pan], 1)) - quality(torch.cat([ms, pan_lr], 1)))[:, :2, 2]
    assert gap[0].min() > 0 > gap[1].max()
    d_s = qnr(hrms, pan, ms).d_s
    torch.testing.assert_close(d_s, gap.abs().mean(1))
    assert gap.mean(0).abs().mean() < d_s.mean() / 2  # what coupling the batch would give


def test_qnr_of_a_pair_that_agrees_is_one():
    ms = noise((1, 4, 16, 16))
    hrms = F.interpolate(ms, scale_factor=4, mode="nearest")
    result = qnr(hrms, hrms[:, :1], ms)
    assert [float(x) for x in result] == pytest.approx([1, 0, 0], abs=1e-5)
    assert float(qnr(hrms[:, :1], hrms[:, :1], ms[:, :1]).d_lambda) == 0  # one band, no pairs


# -- local correlation ----------------------------------------------------------------------------


@pytest.mark.parametrize("side", [9, 5])
def test_local_correlation_is_that_of_every_window(side):
    pan, other = noise((2, 1, 20, 24)), noise((2, 3, 20, 24), 2)
    hrms = 0.3 * other + 0.2 * pan + 5
    found = []
    for sample in range(2):
        for band in range(3):
            a, b = (
                np.lib.stride_tricks.sliding_window_view(x.double().numpy(), (side, side))
                for x in (hrms[sample, band], pan[sample, 0])
            )
            a, b = (x.reshape(-1, side * side) for x in (a, b))
            found += [np.corrcoef(p, q)[0, 1] for p, q in zip(a, b)]
    assert float(local_correlation(hrms, pan, side)) == pytest.approx(np.mean(found), abs=1e-4)


def test_local_correlation_knows_no_gain_but_a_sign():
    pan = noise((1, 1, 24, 24))
    hrms = torch.cat([3 * pan + 1, 0.4 * pan], 1)
    assert float(local_correlation(hrms, pan)) == pytest.approx(1, abs=1e-4)
    assert float(local_correlation(-hrms, pan)) == pytest.approx(-1, abs=1e-4)
    assert float(local_correlation(torch.full_like(hrms, 0.7), pan)) == pytest.approx(0, abs=1e-4)


# -- the physical loss ----------------------------------------------------------------------------


@pytest.mark.parametrize(("ratio", "first"), [(4.0, (1.5, 1.5)), (3.7, (0.83, 2.41))])
def test_physical_loss_has_no_spectral_term_at_the_truth(ratio, first):
    scene = noise((4, 200, 200)).double().numpy()
    count = 15
    truth = torch.from_numpy(scene[:, 60:124, 60:124]).float()[None]
    pan = truth.mean(1, keepdim=True)
    degradation = degradation_of(GAINS, ratio, first, count, 64, CPU)
    zero = physical_loss(truth, pan, degradation.seen(truth), degradation, 0.0)
    assert float(zero) == 0

    rows, cols = (60 + start + ratio * np.arange(count) for start in first)
    kernels = [product_kernel(gain, ratio) for gain in GAINS]
    measured = np.stack(
        [resample(x, filter_taps(rows, k), filter_taps(cols, k)) for x, k in zip(scene, kernels)]
    )
    ms = torch.from_numpy(measured).float()[None]
    assert float(physical_loss(truth, pan, ms, degradation, 0.0)) < 1e-5
    for wrong in (truth.roll(1, 3), truth.flip(1), gaussian(truth) * 1.01):
        assert float(physical_loss(wrong, pan, ms, degradation, 0.0)) > 0.003
    weighted = physical_loss(truth, pan, ms, degradation)
    other_term = 0.01 * (1 - float(local_correlation(truth, pan)))
    assert float(weighted) == pytest.approx(other_term, abs=1e-5)


def test_only_ms_pixels_inside_count():
    truth = noise((2, 4, 64, 64))
    pan = truth.mean(1, keepdim=True)
    degradation = degradation_of(GAINS, 4.0, (1.5, 1.5), 16, 64, CPU)
    ms = degradation.seen(truth)
    outside = ms.where(degradation.inside, torch.tensor(9.0))
    assert float(physical_loss(truth, pan, outside, degradation, 0.0)) == 0
    ms[1, 2, 7, 5] += 0.6
    got = physical_loss(truth, pan, ms, degradation, 0.0)
    assert float(got) == pytest.approx(0.6 / (2 * 4 * 12 * 12), rel=1e-4)


# -- gradients ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["reference", "physical"])
def test_every_band_gets_a_gradient(name):
    pan, ms, ms_up, _ = images(64)
    hrms = ms_up.clone().requires_grad_()
    loss_of_batch(hrms, pan, ms, ms_up)[name].backward()
    assert torch.isfinite(hrms.grad).all()
    assert (hrms.grad.abs().amax((0, 2, 3)) > 0).all()


@pytest.mark.parametrize("name", ["reference", "physical"])
@pytest.mark.parametrize("value", [0.0, 0.3, -1.0])
@pytest.mark.parametrize("all_flat", [False, True])
def test_constant_images_have_finite_gradients(name, value, all_flat):
    pan, ms, ms_up, _ = images(32)
    hrms = torch.full_like(ms_up, value).requires_grad_()
    if all_flat:
        pan, ms, ms_up = (torch.full_like(x, value) for x in (pan, ms, ms_up))
    loss = loss_of_batch(hrms, pan, ms, ms_up)[name]
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(hrms.grad).all()


def test_descent_on_the_physical_loss_gives_the_measured_ms():
    pan, _, ms_up, truth = images(64)
    degradation = degradation_of(GAINS, 4.0, (1.5, 1.5), 16, 64, CPU)
    ms = degradation.seen(truth)
    hrms = (0.9 * ms_up).requires_grad_()
    optimizer = torch.optim.Adam([hrms], lr=1e-3)
    follows = float(local_correlation(hrms.detach(), pan))
    for _ in range(100):
        optimizer.zero_grad()
        physical_loss(hrms, pan, ms, degradation).backward()
        optimizer.step()
    fitted = hrms.detach()
    assert float(physical_loss(0.9 * ms_up, pan, ms, degradation, 0.0)) > 0.03
    assert float(physical_loss(fitted, pan, ms, degradation, 0.0)) < 0.002
    assert float(local_correlation(fitted, pan)) > follows + 0.1
