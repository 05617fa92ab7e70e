"""CrossDiff against the numbers of spec §8: counts, values, behaviour, and what it promises."""

from __future__ import annotations

from math import sqrt

import numpy as np
import plain_crossdiff
import pytest
import torch
from plain_crossdiff import filled, hashed, images, normal, patches, waves
from torch import nn
from torch.nn import functional as F
from whetstone.engine.deep.crossdiff import (
    Attention,
    CrossDiff,
    UNet,
    dropped,
    guided,
    noise_objective,
    time_features,
)
from whetstone.engine.deep.samplers import ddpm
from whetstone.engine.deep.schedule import add_noise, cosine

#: sqrt(alpha_bar) and sqrt(1 - alpha_bar) by t (§8.2); t counts from 1.
SCHEDULE = {
    1: (0.9999793577, 0.0064252801),
    50: (0.9959956218, 0.0894020208),
    500: (0.7027400589, 0.7114467018),
    1000: (0.0000492825, 0.9999999988),
}
LEVELS = [(32, 1), (64, 2), (128, 4), (256, 8)]  # channels, and by how much the grid shrinks


def count(*modules):
    return sum(p.numel() for module in modules for p in module.parameters())


def drawn(bands=3, seed=0, **more):
    """A network with its own initialisation."""
    torch.manual_seed(seed)
    return CrossDiff(bands, **more)


def inputs(bands=3, size=16, dtype=torch.float32):
    """(pan, lms, noise), the first two around 0.5."""
    noise = normal(1, bands + 1, size, size, seed=1, dtype=dtype)
    scene = 0.5 + 0.1 * normal(1, bands + 1, size, size, seed=2, dtype=dtype)
    return scene[:, bands:], scene[:, :bands], noise


@pytest.fixture(scope="module")
def network():
    """For reading only."""
    return drawn()


# -- structure (§8.1) -----------------------------------------------------------------------------


@pytest.mark.parametrize("bands", [1, 3, 4, 8])
def test_parameters_of_the_unets_by_step(bands):
    with torch.device("meta"):
        network = CrossDiff(bands)
    h1 = 288 * (bands + 1) + 32
    for unet, out in ((network.p2m, bands), (network.m2p, 1)):
        assert (count(unet.time), count(unet.stem)) == (8_448, h1)
        assert [count(unit) for unit in unet.down] == [26_784, 90_432, 328_320]
        up = [361_344, 32_896 + 256 + 147_520, 16_448 + 128 + 36_896]
        assert [count(unit) for unit in unet.up] == up
        assert count(unet.merge) == 8_224 + 64 + 18_464
        assert count(unet.out) == 8_224 + 64 + out * (9 * (33 + bands) + 1)
    assert count(network.p2m) == 1_084_512 + h1 + 9 * bands * (33 + bands) + bands
    assert count(network.m2p) == 1_084_512 + h1 + 9 * (33 + bands) + 1


@pytest.mark.parametrize("bands", [1, 3, 4, 8])
@pytest.mark.parametrize("times", [1, 2, 3])
def test_parameters_of_the_head_by_step(bands, times):
    with torch.device("meta"):
        head = CrossDiff(bands, (50, 100, 200)[:times]).head
    blocks = [times * 9 * width**2 + width for width in (512, 256, 128, 64)]
    assert [count(block) for block in head.block] == blocks
    assert times > 1 or blocks == [2_359_808, 590_080, 147_584, 36_928]
    assert [count(attention) for attention in head.attention] == [1_246_081, 311_745, 78_049]
    gates = [count(a.fc1, a.fc2, a.spatial) for a in head.attention]
    assert gates == [66_177, 16_705, 4_257]
    assert (count(head.conv1), count(head.conv2)) == (18_464, 289 * bands)
    assert count(head) == 4_788_739 + 289 * bands + (times - 1) * 3_133_440


@pytest.mark.parametrize(
    ("bands", "parts", "encoder", "head_of_three", "loaded", "needed"),
    [
        (4, [1_087_320, 1_086_318, 4_789_895], 455_456, 11_056_775, 6_963_533, 5_700_807),
        (8, [1_090_096, 1_087_506, 4_791_051], 456_608, 11_057_931, 6_968_653, 5_704_267),
    ],
)
def test_parameters_of_published_models(bands, parts, encoder, head_of_three, loaded, needed):
    with torch.device("meta"):
        network, longer = CrossDiff(bands), CrossDiff(bands, (50, 100, 200))
    assert [count(part) for part in (network.p2m, network.m2p, network.head)] == parts
    encoders = [count(u.time, u.stem, u.down) for u in (network.p2m, network.m2p)]
    assert encoders == [encoder, encoder]
    assert count(longer.head) == head_of_three
    assert (count(network), sum(encoders) + count(network.head)) == (loaded, needed)


@pytest.mark.parametrize(("batch", "h", "w"), [(1, 256, 256), (2, 64, 64), (2, 8, 24)])
def test_shapes(network, batch, h, w):
    pan, lms = torch.rand(batch, 1, h, w), torch.rand(batch, 3, h, w)
    with torch.no_grad():
        features = network.features(pan, lms)
        for levels in (features[0][0], features[1][0]):
            shapes = [(batch, channels, h // step, w // step) for channels, step in LEVELS]
            assert [tuple(level.shape) for level in levels] == shapes
        assert network.head(lms, *features).shape == lms.shape
        assert network.p2m(lms, torch.tensor([50]), pan).shape == lms.shape
        assert network.m2p(pan, torch.full((batch,), 7), lms).shape == pan.shape


@pytest.mark.parametrize("size", [(250, 256), (256, 252), (12, 16)])
def test_sides_that_are_no_multiples_of_eight_are_refused(network, size):
    pan, lms = torch.zeros(1, 1, *size), torch.zeros(1, 3, *size)
    for call in (
        lambda: network(pan, lms),
        lambda: network.p2m(lms, torch.tensor([50.0]), pan),
        lambda: network.m2p.encode(pan, torch.tensor([50.0]), lms),
    ):
        with pytest.raises(ValueError, match=r"no multiples of 8"):
            call()


@pytest.mark.parametrize(
    "wrong",
    [
        {"bands": 0},
        {"timesteps": ()},
        {"timesteps": (0,)},
        {"timesteps": (50, 1001)},
        {"finest_level": "dead"},
        {"gate": "relu"},
    ],
    ids=str,
)
def test_what_cannot_be_built_is_refused(wrong):
    with pytest.raises(ValueError, match="do not fit"):
        CrossDiff(**{"bands": 4, **wrong})


@pytest.mark.parametrize("wiring", ["live", "reference"])
def test_what_reaches_the_image_by_wiring(wiring):
    network = drawn(finest_level=wiring)
    pan, lms, _ = inputs()
    features = [
        [level.detach().requires_grad_() for level in f[0]] for f in network.features(pan, lms)
    ]
    network.head(lms, [features[0]], [features[1]]).square().sum().backward()
    live = wiring == "live"
    for levels in features:
        assert [level.grad is not None for level in levels] == [live, True, True, True]
        assert all(level.grad.any() for level in levels[not live :])
    without = {n for n, p in network.head.named_parameters() if p.grad is None}
    assert without == (set() if live else {"block.3.weight", "block.3.bias"})
    assert all(p.grad.any() for p in network.head.parameters() if p.grad is not None)


def test_every_parameter_learns():
    network = drawn()
    pan, lms, noise = inputs()
    t = torch.tensor([300.0])
    loss = noise_objective(network.p2m(lms, t, pan), noise[:, :3])
    loss = loss + noise_objective(network.m2p(pan, t, lms), noise[:, 3:])
    (loss + network(pan, lms).square().mean()).backward()
    assert [n for n, p in network.named_parameters() if p.grad is None or not p.grad.any()] == []


@pytest.mark.parametrize("timesteps", [(50,), (20, 50, 300)])
def test_the_head_sees_p2m_before_m2p_and_timesteps_in_order(timesteps):
    network = drawn(timesteps=timesteps)
    pan, lms, noise = inputs()
    noises = [noise * (i + 1) for i in range(len(timesteps))]
    given = {}
    handles = [
        block.register_forward_pre_hook(lambda _, args, i=i: given.update({i: args[0]}))
        for i, block in enumerate(network.head.block)
    ]
    with torch.no_grad():
        network(pan, lms, noises)
        of_p2m, of_m2p = network.features(pan, lms, noises)
    for handle in handles:
        handle.remove()
    for level in range(4):
        want = torch.cat([levels[level] for levels in (*of_p2m, *of_m2p)], 1)
        assert torch.equal(given[3 - level], want)


# -- schedule (§8.2; alpha_bar itself is tested in test_schedule.py) ------------------------------


@pytest.mark.parametrize("t", [1, 500, 1000])
def test_features_are_those_of_the_timestep(t):
    network = drawn(timesteps=(50, t), centred=True).double()
    pan, lms, noise = inputs(dtype=torch.float64)
    signal, deviation = SCHEDULE[t]
    noisy = signal * torch.cat([lms, pan], 1) + deviation * noise
    with torch.no_grad():
        found = network.features(pan, lms, [0 * noise, noise])
        at = torch.tensor([float(t)])
        want = network.p2m.encode(noisy[:, :3], at, pan), network.m2p.encode(noisy[:, 3:], at, lms)
    for features, levels in zip(found, want, strict=True):
        torch.testing.assert_close(features[1], levels, atol=1e-8, rtol=0)


def step(timestep, x0, x_t, noise):
    """One ancestral step from our ``timestep`` to the one before, of numbers."""
    seen = []

    def denoise(x, t):
        seen.append(float(x))
        return torch.tensor(x0, dtype=torch.float64)

    start = torch.tensor(x_t, dtype=torch.float64)
    ddpm(denoise, start, cosine(), [timestep - 1, timestep], lambda i: torch.tensor(noise))
    return seen[1]


def test_posterior_of_the_ancestral_sampler():
    deviations = {i: step(i, 0.0, 0.0, 1.0) for i in (1, 49, 999)}
    want = {1: 2.17894958e-5, 49: 2.70244e-4, 999: 0.99899757}
    assert {i: d**2 for i, d in deviations.items()} == pytest.approx(want, rel=2e-6)
    weights = step(49, 1.0, 0.0, 0.0), step(49, 0.0, 1.0, 0.0)
    assert weights == pytest.approx((0.03489345, 0.96510631), abs=5e-8)
    last = ddpm(lambda x, t: x, torch.ones(1), cosine(), [0], lambda i: torch.full((1,), torch.nan))
    assert last.item() == pytest.approx(1.0, abs=1e-6)  # variance 0 at index 0: no noise is asked


def test_time_sinusoid():
    f = time_features(torch.tensor([1.0, 50.0], dtype=torch.float64))[1]
    assert f[:4].tolist() == pytest.approx([0.964966, -0.987659, -0.994656, -0.861093], abs=1e-6)
    assert f[16:20].tolist() == pytest.approx([-0.262375, 0.156619, -0.103240, 0.508448], abs=2e-6)
    assert float(f[-1]) == pytest.approx(0.008891, abs=1e-6)
    torch.testing.assert_close(time_features(torch.tensor([50.0]))[0], f.float(), atol=1e-5, rtol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("t", [torch.tensor([50]), torch.tensor([50.0])], ids=["int", "float"])
def test_unets_compute_in_the_precision_of_their_weights(dtype, t):
    pan, lms, _ = inputs(dtype=dtype)
    with torch.no_grad():
        assert UNet(3, 1).to(dtype)(lms, t, pan).dtype == dtype


# -- values (§8.3) --------------------------------------------------------------------------------


def test_hash_of_the_spec():
    want = [0.46544676, 0.91561921, 0.02805469, 0.62731911]
    assert hashed(1, 4).tolist() == pytest.approx(want, abs=6e-9)
    assert hashed(1001, 3).tolist() == pytest.approx(
        [0.88483940, 0.01904690, -0.87313964], abs=6e-9
    )


def test_images_of_the_spec():
    _, lms, _ = images(4, 256)
    assert float(lms[0, 0, 100, 100]) == pytest.approx(0.397352, abs=1e-6)
    assert float(lms[0, 3, 0, 0]) == pytest.approx(0.515232, abs=1e-6)


def five(x):
    """Mean, deviation, first, middle and last element of [1,C,H,W]."""
    x = x[0].double()
    mid = x.shape[1] // 2
    points = (x[0, 0, 0], x[(len(x) - 1) // 2, mid, mid], x[-1, -1, -1])
    return [float(v) for v in (x.mean(), x.std(correction=0), *points)]


@pytest.mark.parametrize(
    ("bands", "noise", "dtype", "tolerance"),
    [
        (4, "zero", torch.float64, 1e-5),
        (4, "sin", torch.float64, 1e-5),
        (8, "zero", torch.float64, 1e-5),
        (4, "sin", torch.float32, 1e-4),
    ],
)
def test_values(bands, noise, dtype, tolerance):
    network = filled(bands, dtype)
    pan, lms, _ = images(bands, dtype=dtype)
    n = waves(bands, dtype=dtype) * (noise == "sin")
    signal, deviation = SCHEDULE[50]
    noisy = signal * (2 * torch.cat([lms, pan], 1) - 1) + deviation * n
    t = torch.tensor([50.0])
    found = {}
    with torch.no_grad():
        for name, features in zip(("p2m", "m2p"), network.features(pan, lms, [n]), strict=True):
            found |= {f"{name} h{i}": level for i, level in enumerate(features[0], 1)}
        found["p2m eps"] = network.p2m(noisy[:, :bands], t, 2 * pan - 1)
        found["m2p eps"] = network.m2p(noisy[:, bands:], t, 2 * lms - 1)
        for wiring in ("live", "reference"):
            network.head.finest_level = wiring
            found[wiring] = network(pan, lms, [n]) - lms
    want = plain_crossdiff.VALUES[bands, noise]
    assert found.keys() == want.keys()
    for name, values in want.items():
        assert five(found[name]) == pytest.approx(values, abs=tolerance), name


def test_bf16_changes_the_residual_by_less_than_three_percent():
    network = filled(4, torch.float32)
    pan, lms, _ = images(4, dtype=torch.float32)
    with torch.no_grad():
        exact = network(pan, lms)
        with torch.autocast("cpu", torch.bfloat16):
            rough = network(pan, lms)
    assert rough.dtype == torch.float32
    assert 0 < (rough - exact).norm() < 0.03 * (exact - lms).norm()


# -- behaviour (§8.5) -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["p2m", "m2p"])
def test_the_encoder_is_that_of_the_whole_unet_bit_for_bit(network, name):
    unet = getattr(network, name)
    x, condition = normal(2, unet.bands, 16, 24), normal(2, 4 - unet.bands, 16, 24, seed=1)
    t, levels = torch.tensor([50.0, 700.0]), []
    handles = [
        module.register_forward_hook(lambda *args: levels.append(args[2]))
        for module in (unet.stem, *unet.down)
    ]
    with torch.no_grad():
        unet(x, t, condition)
        for handle in handles:
            handle.remove()
        found = unet.encode(x, t, condition)
        alone = unet.encode(x[1:], t[1:], condition[1:])
    assert len(levels) == 4
    assert all(torch.equal(a, b) for a, b in zip(found, levels, strict=True))
    for level, second in zip(found, alone, strict=True):  # samples do not meet
        torch.testing.assert_close(level[1:], second, atol=1e-5, rtol=0)


def test_inference_runs_no_decoder(network, monkeypatch):
    pan, lms, _ = inputs()

    def fail(*_):
        raise AssertionError("a decoder was run")

    for unet in (network.p2m, network.m2p):
        for unit in (*unet.up, unet.merge, unet.out):
            monkeypatch.setattr(unit, "forward", fail)
    with torch.no_grad():
        assert torch.isfinite(network(pan, lms)).all()
        with pytest.raises(AssertionError, match="decoder"):
            network.p2m(lms, torch.tensor([50.0]), pan)


def test_no_noise_is_zero_noise(network):
    pan, lms, noise = inputs()
    with torch.no_grad():
        without = network(pan, lms)
        assert torch.equal(without, network(pan, lms, [0 * noise]))
        assert not torch.allclose(without, network(pan, lms, [noise]), atol=1e-3)


def test_centred_images_are_seen_as_they_are(network):
    centred = CrossDiff(3, centred=True)
    centred.load_state_dict(network.state_dict())
    pan, lms, noise = inputs()
    with torch.no_grad():
        a = network.features(pan, lms, [noise])
        b = centred.features(2 * pan - 1, 2 * lms - 1, [noise])
        residual = network(pan, lms, [noise]) - lms
        other = centred(2 * pan - 1, 2 * lms - 1, [noise]) - (2 * lms - 1)
    for (levels,), (others,) in zip(a, b, strict=True):
        assert all(torch.equal(x, y) for x, y in zip(levels, others, strict=True))
    torch.testing.assert_close(residual, other, atol=1e-5, rtol=0)
    assert torch.equal(centred.signed(lms), lms)


def of_task(name, seed=0):
    """(a fresh U-Net, images that it denoises, their conditions)."""
    torch.manual_seed(seed)
    pan, ms = patches()
    return (UNet(4, 1), ms, pan) if name == "p2m" else (UNet(1, 4), pan, ms)


def noise_error(unet, x0, condition, t):
    """The objective of pre-training for one draw of noise, timesteps counted from 1."""
    eps = torch.randn(x0.shape)
    x_t = add_noise(x0, eps, t - 1, torch.tensor(cosine()))
    return noise_objective(unet(x_t, t, condition), eps)


@pytest.mark.parametrize("name", ["p2m", "m2p"])
def test_pretraining_falls_below_a_fifth_within_150_steps(name):
    unet, x0, condition = of_task(name)
    optimizer = torch.optim.AdamW(unet.parameters(), lr=3e-4, weight_decay=0)
    losses = []
    while len(losses) < 20 or (np.mean(losses[-20:]) >= 0.2 and len(losses) < 150):
        some, t = torch.randint(len(x0), (8,)), torch.randint(1, 1001, (8,))
        loss = noise_error(unet, x0[some], condition[some], t)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[0] > 1
    assert np.mean(losses[-20:]) < 0.2


def test_noise_error_of_untrained_networks():
    t, errors = torch.arange(20, 1001, 40), []
    for seed in range(8):
        for name in ("p2m", "m2p"):
            unet, x0, condition = of_task(name, seed)
            with torch.no_grad():
                errors.append(float(noise_error(unet, x0[: len(t)], condition[: len(t)], t)))
    assert 1.3 < np.mean(errors) < 1.45


def test_initial_weights_are_orthogonal_and_biases_zero(network):
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)):
            w = module.weight.detach().flatten(1)
            w = w if len(w) <= w.shape[1] else w.T
            torch.testing.assert_close(w @ w.T, torch.eye(len(w)), atol=1e-5, rtol=0)
            assert not module.bias.any()


# -- parts ----------------------------------------------------------------------------------------


def test_the_objective_is_the_plain_mean():
    eps, noise = normal(2, 1, 4, 4), normal(2, 1, 4, 4, seed=1)
    assert torch.equal(noise_objective(eps, noise), (eps - noise).square().mean())
    assert noise_objective(eps.bfloat16(), noise).dtype == torch.float32


def test_conditions_are_dropped_per_sample():
    condition = normal(3, 2, 4, 4)
    got = dropped(condition, torch.tensor([True, False, True]))
    assert torch.equal(got[[0, 2]], condition[[0, 2]])
    assert not got[1].any()


@pytest.mark.parametrize("gate", ["sigmoid", "leaky"])
def test_gates(gate):
    torch.manual_seed(0)
    attention = Attention(6, 8, gate).requires_grad_(False)
    for layer in (attention.fc1, attention.fc2, attention.spatial):
        layer.weight.copy_(5 * normal(*layer.weight.shape))
    x = normal(2, 6, 8, 8, seed=1)
    y = F.leaky_relu(attention.conv(x))
    squash = torch.sigmoid if gate == "sigmoid" else F.leaky_relu
    of_channel = squash(attention.fc2(F.relu(attention.fc1(y.mean((2, 3))))))[:, :, None, None]
    want = y * of_channel + y * squash(attention.spatial(y))
    got = attention(x)
    assert torch.equal(got, got[..., ::2, ::2].repeat_interleave(2, 2).repeat_interleave(2, 3))
    torch.testing.assert_close(got[..., ::2, ::2], want, atol=1e-5, rtol=1e-5)

    def bounded(low, high):
        gates = attention(x)[..., ::2, ::2] / y
        return bool(((gates >= low) & (gates <= high)).all())

    assert bounded(0, 2) == (gate == "sigmoid")  # both gates together
    attention.spatial.weight.zero_()
    attention.spatial.bias.fill_(-1e4 if gate == "sigmoid" else 0)  # that gate shut
    assert bounded(0, 1 + 1e-6) == (gate == "sigmoid")


# -- guidance (§3.4) ------------------------------------------------------------------------------


class Counted(UNet):
    """A U-Net that keeps what it was asked."""

    def __init__(self):
        super().__init__(3, 1)
        self.requires_grad_(False)
        self.calls = []

    def forward(self, *args):
        self.calls.append(args)
        return super().forward(*args)


def x0_of(x, eps, t):
    """§3.4, t counted from 1."""
    signal, _ = SCHEDULE[t]
    return x / signal - sqrt(1 / signal**2 - 1) * eps


X, CONDITION = normal(2, 3, 8, 8), normal(2, 1, 8, 8, seed=1)


@pytest.mark.parametrize("t", [50, 500])
def test_without_guidance_it_is_the_conditional_estimate(t):
    unet = Counted()
    x0 = guided(unet, CONDITION, 0.0, clip=False)(X, t - 1)
    ((_, asked, _),) = unet.calls
    assert torch.equal(asked, torch.full((2,), float(t)))
    want = x0_of(X, unet(X, asked, CONDITION), t)
    torch.testing.assert_close(x0, want, atol=1e-5, rtol=0)


def test_guidance_extrapolates_from_the_unconditional_estimate():
    unet = Counted()
    x0 = guided(unet, CONDITION, 2.0, clip=False)(X, 499)
    assert len(unet.calls) == 2
    t = torch.full((2,), 500.0)
    with_it, without = unet(X, t, CONDITION), unet(X, t, 0 * CONDITION)
    assert (with_it - without).abs().max() > 0.1
    torch.testing.assert_close(x0, x0_of(X, 3 * with_it - 2 * without, 500), atol=1e-4, rtol=0)


def test_x0_is_clipped_unless_told_otherwise():
    unet = Counted()
    free = guided(unet, CONDITION, 1.0, clip=False)(X, 499)
    assert free.abs().max() > 1
    assert torch.equal(guided(unet, CONDITION, 1.0)(X, 499), free.clamp(-1, 1))
