"""SSDiff against the numbers of spec §8: structure, values, one training step."""

from __future__ import annotations

from math import sqrt

import plain
import pytest
import torch
from plain import filled, hashed, inputs, uniform
from torch.nn import functional as F
from whetstone.engine.deep import ssdiff
from whetstone.engine.deep.schedule import add_noise, cosine
from whetstone.engine.deep.ssdiff import SSDiff, fmim, objective, time_features


def count(module):
    return sum(p.numel() for p in module.parameters())


def stats(x):
    return [float(x.mean()), float(x.std(correction=0))]


def close(got, want, tolerance=1e-4):
    assert got == pytest.approx(want, abs=tolerance)


@pytest.fixture(scope="module")
def network():
    return filled()


def run(network, t, batch=None):
    batch = batch or inputs(network.bands)
    with torch.no_grad():
        return network(*batch, torch.tensor([float(t)]))


# -- structure (§8.1) -----------------------------------------------------------------------------


def test_hash_of_the_spec():
    want = [0.9082257836, 0.4931351636, 0.1038104843, 0.5152080306, 0.9969654011]
    assert hashed(7, (5,)) == pytest.approx(want, abs=1e-10)


@pytest.mark.parametrize(
    ("bands", "shared", "total"),
    [(8, True, 1_300_024), (8, False, 1_420_184), (4, True, 1_288_500), (4, False, 1_408_660)],
)
def test_parameter_counts(bands, shared, total):
    assert count(SSDiff(bands, share_resample=shared)) == total


def test_parameter_counts_by_block():
    n = SSDiff(8)
    assert [count(m) for m in (n.lr_up, n.time_mlp, n.spa_stem, n.spe_stem, n.head)] == [
        *(9_216, 328_704, 28_352, 30_368, 11_560),
    ]
    assert [count(m) for m in n.apfm] == [6_352, 24_992, 99_136, 24_992, 6_352]
    assert [count(m) for m in n.res] == [34_992, 106_848, 361_152, 106_848]
    assert [count(m) for m in (*n.down, *n.up)] == [6_880, 26_048, 69_760, 17_472]
    four = SSDiff(4)
    blocks = (four.lr_up, four.spa_stem, four.spe_stem, four.head)
    assert [count(m) for m in blocks] == [2_304, 27_200, 28_064, 10_404]


def test_shared_network_has_155_tensors():
    assert len(list(SSDiff(8, share_resample=True).parameters())) == 155


@pytest.mark.parametrize(
    ("shared", "sizes"),
    [(False, (811_600, 279_880, 328_704)), (True, (691_440, 159_720, 448_864))],
)
def test_branches_partition_the_parameters(shared, sizes):
    network = SSDiff(8, share_resample=shared)
    named = dict(network.named_parameters())
    groups = network.branches()
    found = [sum(named[n].numel() for n in groups[g]) for g in ("spatial", "spectral", "common")]
    assert tuple(found) == sizes
    assert sorted(name for group in groups.values() for name in group) == sorted(named)


@pytest.mark.parametrize("size", [(64, 64), (32, 48), (48, 80), (8, 8)])
def test_output_has_the_shape_of_x_t(network, size):
    pan, lms, ms, x_t = inputs(size=80)
    h, w = size
    batch = (
        pan[..., :h, :w],
        lms[..., :h, :w],
        ms[..., : h // 4, : w // 4],
        x_t[..., :h, :w],
    )
    out = run(network, 3, batch)
    assert out.shape == (1, 8, h, w)
    assert torch.isfinite(out).all()


@pytest.mark.parametrize(("ratio", "size"), [(2, 64), (3, 60), (4, 64)])
def test_other_ratios(ratio, size):
    network = SSDiff(3, ratio=ratio)
    b = (torch.rand(2, c, s, s) for c, s in ((1, size), (3, size), (3, size // ratio), (3, size)))
    assert network(*b, torch.tensor([1.0, 2.0])).shape == (2, 3, size, size)


def test_a_fresh_network_sees_only_the_ms():
    network = SSDiff(8).eval()
    pan, lms, ms, x_t = inputs(size=32)
    first = run(network, 500, (pan, lms, ms, x_t))
    other = run(network, 7, (1 - pan, 1 - lms, ms, -x_t))
    assert torch.equal(first, other)
    bright = run(network, 500, (pan, lms, 1 - ms, x_t))
    with torch.no_grad():
        constant, same = first - network.lr_up(ms), bright - network.lr_up(1 - ms)
    torch.testing.assert_close(constant, same, atol=1e-6, rtol=0)
    assert not torch.allclose(first, bright)


def test_every_output_depends_on_every_pan_pixel(network):
    pan, lms, ms, x_t = inputs()
    base = run(network, 500)
    moved = pan.clone()
    moved[0, 0, 5, 7] += 0.5
    change = (run(network, 500, (moved, lms, ms, x_t)) - base).abs()
    assert float(change.max()) == pytest.approx(0.04118, abs=2e-5)
    assert float(change.median()) == pytest.approx(2.98e-4, rel=0.01)
    assert float(change[..., 60:, 60:].max()) == pytest.approx(8.15e-4, rel=0.01)
    noisy = x_t.clone()
    noisy[0, 0, 5, 7] += 0.5
    change = (run(network, 500, (pan, lms, ms, noisy)) - base).abs()
    assert float(change.max()) == pytest.approx(0.0992, abs=1e-4)


def test_samples_of_a_batch_do_not_meet(network):
    batch = [torch.cat([x, 1 - x]) for x in inputs(size=32)]
    with torch.no_grad():
        both = network(*batch, torch.tensor([3.0, 500.0]))
        batch[0][1] += 1
        again = network(*batch, torch.tensor([3.0, 500.0]))
    assert torch.equal(both[0], again[0])
    assert not torch.equal(both[1], again[1])


# -- values (§8.3) --------------------------------------------------------------------------------


def test_values_a(network):
    seen = {}
    hooks = {
        "time_mlp": network.time_mlp,
        "spa_stem": network.spa_stem,
        "spe_stem": network.spe_stem,
        "head": network.head,
        "lr_up": network.lr_up,
        **{f"apfm{k}": m for k, m in enumerate(network.apfm)},
        **{f"res{k}": m for k, m in enumerate(network.res)},
        **{f"down{k}": m for k, m in enumerate(network.down)},
        **{f"up{k}": m for k, m in enumerate(network.up)},
    }
    handles = [
        module.register_forward_hook(
            lambda _m, _i, out, name=name: seen.setdefault(name, []).append(stats(out))
        )
        for name, module in hooks.items()
    ]
    try:
        out = run(network, 500)
    finally:
        for handle in handles:
            handle.remove()
    close(stats(out), [0.293077, 0.991723])
    close(float(out.abs().max()), 4.99167)
    points = [out[0, 0, 0, 0], out[0, 3, 10, 20], out[0, 7, 63, 63], out[0, 4, 31, 32]]
    close([float(p) for p in points], [0.236713, -1.676761, 1.385143, 0.774156])
    want = {  # x before y where a shared block runs for both
        "time_mlp": [(0.0105935, 0.393531)],
        "spa_stem": [(-0.0059465, 0.569771)],
        "spe_stem": [(-0.0727329, 0.482317)],
        "apfm0": [(-0.0106795, 1.150061)],
        "down0": [(0.247090, 0.432164), (0.227364, 0.369803)],
        "res0": [(-0.0624622, 0.835957)],
        "apfm1": [(0.244939, 0.951978)],
        "down1": [(0.204980, 0.351389), (0.132343, 0.237510)],
        "res1": [(0.216773, 0.655542)],
        "apfm2": [(0.210604, 0.863542)],
        "up0": [(0.520160, 0.748144), (0.430773, 0.582183)],
        "res2": [(0.0862285, 0.623383)],
        "apfm3": [(0.614524, 1.302103)],
        "up1": [(0.566259, 0.834613), (0.472990, 0.672779)],
        "res3": [(0.392088, 0.880687)],
        "apfm4": [(0.624471, 1.288066)],
        "head": [(0.271532, 0.875721)],
        "lr_up": [(0.0215453, 0.546789)],
    }
    assert seen.keys() == want.keys()
    for name, values in want.items():
        for got, expected in zip(seen[name], values, strict=True):
            assert got == pytest.approx(expected, abs=1e-4), name


@pytest.mark.parametrize(
    ("t", "mean", "std", "point"),
    [
        (0, 0.296124, 1.008263, -1.429763),
        (1, 0.306786, 1.008336, -1.384569),
        (100, 0.301445, 0.963077, -1.867744),
        (900, 0.221087, 1.006360, -1.134847),
        (999, 0.270810, 1.020229, -1.302739),
    ],
)
def test_values_b(network, t, mean, std, point):
    out = run(network, t)
    close([*stats(out), float(out[0, 3, 10, 20])], [mean, std, point])


def test_values_b_rectangle(network):
    pan, lms, ms, x_t = inputs()
    crop = (pan[..., :32, :48], lms[..., :32, :48], ms[..., :8, :12], x_t[..., :32, :48])
    out = run(network, 500, crop)
    close([*stats(out), float(out[0, 3, 10, 20])], [0.302433, 0.964917, -1.671606])


def test_values_c():
    out = run(filled(bands=4), 500)
    close(stats(out), [0.0978152, 0.864472])
    points = [out[0, 0, 0, 0], out[0, 3, 10, 20], out[0, 2, 63, 63]]
    close([float(p) for p in points], [0.188681, -0.550506, 0.840945])


def test_values_d_one_training_step():
    network = filled().train()
    shape = (2, 8, 32, 32)
    lms, pan = uniform(2000, shape), uniform(2001, (2, 1, 32, 32))
    ms, truth = uniform(2002, (2, 8, 8, 8)), uniform(2004, shape)
    eps = uniform(2003, shape, -sqrt(3), sqrt(3))
    t = torch.tensor([250, 750])
    x_t = add_noise(truth - lms, eps, t, torch.tensor(cosine()))
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, weight_decay=0)
    loss = objective(network(pan, lms, ms, x_t, t), truth - lms)
    loss.backward()
    close(loss.item(), 0.823991, 1e-5)
    grads = {n: float(p.grad.norm()) for n, p in network.named_parameters()}
    close(sum(g**2 for g in grads.values()) ** 0.5, 2.78733, 5e-5)
    want = {
        "spa_stem.conv.weight": 0.07429,
        "spe_stem.conv.weight": 0.13482,
        "apfm.0.t_a.weight": 0.03679,
        "apfm.2.t_d.weight": 0.0320,
        "down.0.squeeze.weight": 0.2558,
        "up.1.deconv.weight": 0.19682,
        "res.2.out.weight": 0.06634,
        "time_mlp.fc1.weight": 0.0991,
        "lr_up.conv.weight": 0.16804,
        "head.conv2.bias": 0.13871,
    }
    assert {name: grads[name] for name in want} == pytest.approx(want, abs=1e-4)
    norm = network.spa_stem.norm
    close(norm.running_mean[:3].tolist(), [-0.018704, 0.010137, 0.038682], 1e-5)
    close(norm.running_var[:3].tolist(), [0.946386, 0.953782, 0.954460], 1e-5)
    optimizer.step()
    after = objective(network(pan, lms, ms, x_t, t), truth - lms)
    close(after.item(), 0.64780, 6e-5)


def test_values_d_without_sharing_start_from_the_same_loss():
    shape = (2, 8, 32, 32)
    batch = inputs(size=32, batch=2, first=2000)
    t = torch.tensor([250.0, 750.0])
    with torch.no_grad():
        shared = filled(share_resample=True).train()(*batch, t)
        apart = filled(share_resample=False).train()(*batch, t)
    assert shared.shape == shape
    assert torch.equal(shared, apart)


def test_values_f_units(network):
    with torch.no_grad():
        x, y = uniform(3000, (2, 64, 8, 8), -1, 1), uniform(3001, (2, 64, 8, 8), -1, 1)
        out = network.apfm[1](x, y)
        close(stats(out), [-0.007989, 0.911861])
        points = [out[0, 0, 0, 0], out[1, 33, 4, 5], out[1, 63, 7, 7]]
        close([float(p) for p in points], [0.674212, -0.016018, -0.284577])
        term = network.apfm[1].attend(x.flatten(2).mT, y.flatten(2).mT)
        close(stats(term), [-0.008447, 0.092571])
        points = [term[0, 0, 0], term[1, 37, 33], term[1, 63, 63]]
        close([float(p) for p in points], [-0.127066, -0.016521, -0.075640])

        out = fmim(uniform(3002, (1, 2, 8, 8)), 0.3)
        close(stats(out), [0.147069, 0.273366])
        points = [out[0, 0, 0, 0], out[0, 0, 3, 5], out[0, 1, 7, 7]]
        close([float(p) for p in points], [0.050549, -0.079406, 0.157494])
        out = fmim(uniform(3003, (1, 1, 6, 12)), 0.6)
        close(stats(out), [0.315418, 0.286472])
        points = [out[0, 0, 0, 0], out[0, 0, 3, 5], out[0, 0, 5, 11]]
        close([float(p) for p in points], [0.031499, -0.030517, 0.253566])

        e = network.time_mlp(torch.tensor([37.5]))
        close([float(e[0, i]) for i in (0, 1, 511)], [-0.086194, 0.954371, 0.571939])
        close(stats(e), [-0.012555, 0.417688])
        out = network.down[0](uniform(3004, (1, 32, 8, 8), -1, 1))
        close([*stats(out), float(out[0, 40, 2, 3])], [0.133534, 0.211195, -0.002741])
        low, skip = uniform(3005, (1, 128, 4, 4), -1, 1), uniform(3006, (1, 64, 8, 8), -1, 1)
        out = network.up[0](low, skip)
        close([*stats(out), float(out[0, 40, 2, 3])], [0.261543, 0.386500, -0.004509])
        out = network.res[1](uniform(3007, (1, 64, 8, 8), -1, 1), e)
        close([*stats(out), float(out[0, 40, 2, 3])], [0.009903, 0.792366, -1.096793])
        out = network.spa_stem(uniform(3008, (1, 9, 8, 8), -1, 1), e)
        close([*stats(out), float(out[0, 20, 2, 3])], [-0.003147, 0.300504, -0.375222])
        out = network.lr_up(uniform(3009, (1, 8, 4, 4)))
        close([*stats(out), float(out[0, 5, 7, 9])], [0.009425, 0.505290, 0.387096])


def test_time_features():
    f = time_features(torch.tensor([37.5]))[0]
    want = [0.980243, 0.490848, 0.999991, -0.197799, 0.871245, 0.004330]
    close([float(f[i]) for i in (0, 1, 63, 64, 65, 127)], want, 1e-6)
    close(float(f.norm()), 8.0, 1e-5)


# -- the fast form is the plain form --------------------------------------------------------------


@pytest.mark.parametrize(
    ("k", "j", "gain"),
    [
        *((0, 0, 0.3), (1, 0, 0.65), (0, 1, 0.65), (1, 1, 0.65)),
        *((1, -1, 1.0), (2, 0, 1.0), (0, 2, 1.0)),
    ],
)
@pytest.mark.parametrize("form", [fmim, plain.fft_fmim], ids=["projection", "fft"])
def test_gains_of_the_frequency_modulation(form, k, j, gain):
    i = torch.arange(16) / 16
    wave = torch.cos(2 * torch.pi * (k * i[:, None] + j * i))[None, None]
    torch.testing.assert_close(form(wave, 0.3), gain * wave, atol=2e-6, rtol=0)


@pytest.mark.parametrize("size", [(64, 64), (32, 32), (16, 16), (48, 80), (20, 12), (2, 2)])
def test_projection_equals_fft(size):
    y = torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(fmim(y, 0.3), plain.fft_fmim(y, 0.3), atol=2e-6, rtol=0)


def test_fused_attention_equals_explicit_softmax():
    g = torch.Generator().manual_seed(2)
    a, b, c = (torch.randn(1, 2, 256, 16, generator=g) for _ in range(3))
    fused = F.scaled_dot_product_attention(a, b, c)
    torch.testing.assert_close(fused, plain.softmax_attention(a, b, c), atol=1e-5, rtol=0)


def test_whole_network_equals_its_plain_form(network):
    batch = inputs(size=32)
    fast = run(network, 500, batch)
    with plain.plain_form():
        slow = run(network, 500, batch)
    torch.testing.assert_close(fast, slow, atol=1e-5, rtol=0)
    assert ssdiff.fmim is fmim


def test_bf16_changes_the_residual_by_less_than_two_percent(network):
    batch = inputs(size=32)
    exact = run(network, 500, batch)
    with torch.autocast("cpu", torch.bfloat16):
        rough = run(network, 500, batch).float()
    assert (rough - exact).square().mean() < 0.02**2 * exact.square().mean()


def test_inference_first_does_not_spoil_training(network):
    batch = inputs(size=24)
    with torch.inference_mode():
        network(*batch, torch.tensor([5.0]))
    network(*batch, torch.tensor([5.0])).mean().backward()
    network.zero_grad()
