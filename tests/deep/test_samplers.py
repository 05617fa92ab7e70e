"""Samplers: exact where theory is exact, and the numbers of spec §8.3 E."""

from __future__ import annotations

from math import cos, sqrt

import numpy as np
import pytest
import torch
from plain import filled, inputs
from whetstone.engine.deep.residual import clipped, compat, consistent
from whetstone.engine.deep.samplers import ddim, ddpm, dpmpp_2m, x0_from_eps
from whetstone.engine.deep.schedule import (
    add_noise,
    cosine,
    linear,
    respaced,
    uniform_in_logsnr,
)
from whetstone.engine.noise import NoiseField
from whetstone.engine.types import Window

COSINE = cosine()
UNIT = (0.0, 1.0)


def field(size, seed=3, draw=0):
    """Noise of a square of one band: the start with -1, then that of the i-th step."""
    window = Window(0, 0, size, size)
    return lambda i=-1: torch.from_numpy(NoiseField(seed).read(window, 1, draw, i + 1))


def eta(value):
    return lambda *state, noise: ddim(*state, value, noise)


def solver(*state, noise):
    return dpmpp_2m(*state)


SAMPLERS = {
    "ddim": eta(0.0),
    "ddim, eta 0.5": eta(0.5),
    "ddim, eta 1": eta(1.0),
    "ddpm": lambda *state, noise: ddpm(*state, noise),
    "dpmpp_2m": solver,
}
every_sampler = pytest.mark.parametrize("sample", SAMPLERS.values(), ids=SAMPLERS)


# -- what holds for every sampler (§8.4) ----------------------------------------------------------


@every_sampler
@pytest.mark.parametrize("steps", [1, 2, 3, 4, 5, 10, 20, 50])
def test_a_perfect_predictor_returns_the_truth(sample, steps):
    truth = 0.06 * field(16, seed=1)()
    for alpha_bar in (cosine(), linear()):
        for timesteps in (respaced(1000, steps), uniform_in_logsnr(alpha_bar, steps)):
            for start in (field(16)(), torch.zeros_like(truth), 1e3 * field(16, seed=9)()):
                got = sample(lambda x, t: truth, start, alpha_bar, timesteps, noise=field(16))
                assert torch.equal(got, truth)


@every_sampler
def test_a_perfect_network_returns_the_true_image(sample):
    _, lms, _, x = inputs(size=16)
    truth = 0.5 * lms.flip(2)
    denoise = consistent(lambda x, t: truth - lms, lms, UNIT)
    got = sample(denoise, x, COSINE, respaced(1000, 5), noise=lambda i: x.flip(3))
    assert torch.equal(got, truth - lms)


@every_sampler
def test_a_network_that_says_nothing_returns_the_clipped_lms(sample):
    _, lms, _, x = inputs(size=16)
    lms = 1.4 * lms - 0.2
    denoise = consistent(lambda x, t: torch.zeros_like(x), lms, UNIT)
    got = sample(denoise, x, COSINE, respaced(1000, 10), noise=lambda i: x.flip(3))
    torch.testing.assert_close(lms + got, lms.clamp(0, 1), atol=1e-7, rtol=0)


@every_sampler
@pytest.mark.parametrize("steps", [1, 2, 10])
def test_each_timestep_is_asked_once_from_the_last_to_the_first(sample, steps):
    asked = []

    def denoise(x, timestep):
        asked.append(timestep)
        return 0.5 * x

    timesteps = respaced(1000, steps)
    sample(denoise, torch.ones(2), COSINE, timesteps, noise=lambda i: torch.ones(2))
    assert asked == timesteps[::-1]


@every_sampler
def test_precision_of_the_state_is_kept(sample):
    for x in (torch.ones(3), torch.ones(3).double()):
        got = sample(lambda x, t: 0.5 * x, x, COSINE, [0, 500], noise=x.mul)
        assert got.dtype == x.dtype


@every_sampler
def test_the_start_noise_is_left_as_it_is(sample):
    x = torch.ones(3)
    sample(lambda x, t: 0.5 * x, x, COSINE, [0, 500], noise=torch.ones_like(x).mul)
    assert torch.equal(x, torch.ones(3))


# -- the numbers of the spec ----------------------------------------------------------------------


TOYS = {
    "0.1 x": lambda x, t: 0.1 * x,
    "0.02 x cos(t/100)": lambda x, t: 0.02 * x * cos(t / 100),
}


def hash_filled():
    pan, lms, ms, _ = inputs()
    network = filled()

    def call(x, timestep):
        with torch.no_grad():
            return network(pan, lms, ms, x, torch.tensor([timestep]))

    return call


@pytest.mark.parametrize(
    ("predictor", "way", "want", "tolerance"),
    [
        ("0.1 x", "consistent", (0.499812, 0.289124, 0.271727), 2e-6),
        ("0.1 x", "compat", (0.549434, 0.312668, 0.301895), 2e-6),
        ("0.02 x cos(t/100)", "consistent", (0.499826, 0.289173, 0.273758), 2e-6),
        ("0.02 x cos(t/100)", "compat", (0.509797, 0.294711, 0.279304), 2e-6),
        ("network", "consistent", (0.637747, 0.411032, 0), 1e-3),
        ("network", "compat", (0.556101, 0.437460, 0), 1e-3),
    ],
)
def test_values_e(predictor, way, want, tolerance):
    _, lms, _, x = inputs()
    call = hash_filled() if predictor == "network" else TOYS[predictor]
    timesteps = respaced(1000, 10)
    if way == "consistent":
        image = lms + ddim(consistent(call, lms, UNIT), x, COSINE, timesteps)
    else:
        image = ddim(compat(call, lms, UNIT, timesteps), x, COSINE, timesteps)
    got = [float(image.mean()), float(image.std(correction=0)), float(image[0, 3, 10, 20])]
    assert got == pytest.approx(want, abs=tolerance)


def test_one_ancestral_step_has_the_posterior_of_the_spec():
    """Weights of x0 and x_t, and the variance of what is added, from CrossDiff's table."""
    states = []

    def step_to(index, x0, x, grain):
        def denoise(x, t):
            states.append(x)
            return x0

        states.clear()
        timesteps = [index - 1, index]
        ddpm(denoise, torch.tensor(x).double(), COSINE, timesteps, lambda i: torch.tensor(grain))
        return float(states[1])

    assert step_to(49, 1.0, 0.0, 0.0) == pytest.approx(0.03489345, abs=6e-9)
    assert step_to(49, 0.0, 1.0, 0.0) == pytest.approx(0.96510631, abs=4e-8)
    for index, variance in ((1, 2.17894958e-5), (49, 2.70244e-4), (999, 0.99899757)):
        assert step_to(index, 0.0, 0.0, 1.0) ** 2 == pytest.approx(variance, rel=2e-6)


# -- residuals and images -------------------------------------------------------------------------


def test_the_state_is_scaled_and_the_network_is_not():
    _, lms, _, x = inputs(size=16)
    residual = torch.full_like(lms, 0.25)
    want = (lms + residual).clamp(0, 1)
    for scale in (1.0, 16.0):
        denoise = consistent(lambda x, t: residual, lms, UNIT, scale)
        got = ddim(denoise, x, COSINE, respaced(1000, 4))
        torch.testing.assert_close(lms + got / scale, want, atol=1e-6, rtol=0)


def test_compat_gives_the_network_the_index_and_the_sampler_the_image():
    _, lms, _, x = inputs(size=16)
    asked = []

    def call(x, t):
        asked.append(t)
        return torch.full_like(x, 0.25)

    timesteps = respaced(1000, 5)
    got = ddim(compat(call, lms, UNIT, timesteps), x, COSINE, timesteps)
    assert asked == [4, 3, 2, 1, 0]
    torch.testing.assert_close(got, (lms + 0.25).clamp(0, 1), atol=1e-7, rtol=0)


@pytest.mark.parametrize("limits", [(0.0, 1.0), (0.0, None), (None, 1.0), (None, None)])
def test_residuals_are_clipped_by_their_image(limits):
    _, lms, _, residual = inputs(size=16)
    got = clipped(residual, lms, limits)
    image = lms + residual
    low, high = (float("-inf"), float("inf")) if limits == (None, None) else limits
    want = image.clamp(low, high)
    torch.testing.assert_close(lms + got, want, atol=3e-7, rtol=0)
    inside = want == image
    assert inside.any()
    assert torch.equal(got[inside], residual[inside])


def test_a_clipped_image_is_exactly_within_its_limits():
    _, lms, _, residual = inputs(size=64)
    image = lms + clipped(9 * residual, lms, UNIT)
    assert (float(image.min()), float(image.max())) == (0, 1)


# -- data with a known ideal denoiser -------------------------------------------------------------


class Gaussian:
    """Scalar data x0 ~ N(mean, sd^2): E[x0 | x_t] and the flow from noise to data are known."""

    def __init__(self, mean, sd, alpha_bar):
        self.mean, self.sd, self.alpha_bar = mean, sd, alpha_bar

    def spread(self, t):
        kept = float(self.alpha_bar[t])
        return sqrt(kept), sqrt(kept * self.sd**2 + 1 - kept)

    def denoise(self, x, t):
        signal, sd = self.spread(t)
        return self.mean + signal * self.sd**2 / sd**2 * (x - signal * self.mean)

    def flow(self, x, t, to):
        """The exact solution of the probability flow ODE: the standardised state stays."""
        signal, sd = self.spread(t)
        signal_to, sd_to = self.spread(to)
        return signal_to * self.mean + sd_to * (x - signal * self.mean) / sd


gaussians = pytest.mark.parametrize(
    "data",
    [Gaussian(m, s, a) for a in (cosine(), linear()) for m, s in ((0.3, 0.5), (-1, 1), (0.3, 2))],
    ids=lambda d: f"N({d.mean}, {d.sd}^2)",
)


@gaussians
def test_ddim_with_every_step_reproduces_mean_and_variance(data):
    """The sampler is affine in the start noise here, so two starts tell all."""
    ends = ddim(data.denoise, torch.tensor([0.0, 1.0]).double(), data.alpha_bar, range(1000))
    assert float(ends[0]) == pytest.approx(data.mean, abs=0.01)
    assert float(ends[1] - ends[0]) == pytest.approx(data.sd, rel=0.005)


@gaussians
@pytest.mark.parametrize(("sample", "order"), [(ddim, 1), (dpmpp_2m, 2)])
def test_deterministic_samplers_approach_the_flow_with_their_order(data, sample, order):
    error = [flow_error(data, sample, steps) for steps in (20, 40)]
    assert np.log2(error[0] / error[1]) == pytest.approx(order, abs=0.25)


@gaussians
@pytest.mark.parametrize("steps", [5, 10, 20])
def test_the_second_order_solver_is_nearer_to_the_flow_than_ddim(data, steps):
    assert flow_error(data, dpmpp_2m, steps) < 0.7 * flow_error(data, ddim, steps)


def flow_error(data, sample, steps):
    start = torch.tensor([-1.0, 0.0, 1.0]).double()
    timesteps = uniform_in_logsnr(data.alpha_bar, steps)
    exact = data.denoise(data.flow(start, timesteps[-1], 0), 0)
    got = sample(data.denoise, start, data.alpha_bar, timesteps)
    return float((got - exact).abs().max())


@gaussians
def test_two_steps_of_the_second_order_solver_are_two_steps_of_ddim(data):
    x = torch.tensor([-1.0, 0.0, 1.0]).double()
    one, other = (s(data.denoise, x, data.alpha_bar, [0, 900]) for s in (ddim, dpmpp_2m))
    torch.testing.assert_close(one, other)


@pytest.mark.parametrize("name", ["ddim, eta 0.5", "ddim, eta 1", "ddpm"])
@pytest.mark.parametrize(("mean", "sd"), [(0.3, 0.5), (-1.0, 1.0)])
def test_stochastic_samplers_reproduce_mean_and_variance(name, mean, sd):
    data, noise = Gaussian(mean, sd, COSINE), field(128)
    got = SAMPLERS[name](data.denoise, noise(), COSINE, respaced(1000, 250), noise=noise)
    assert float(got.mean()) == pytest.approx(mean, abs=0.02)
    assert float(got.std()) == pytest.approx(sd, rel=0.025)
    z = (got - got.mean()) / got.std()
    assert float((z**4).mean()) == pytest.approx(3, abs=0.15)


def test_eta_decides_how_much_of_the_start_noise_remains():
    data, noise = Gaussian(0.0, 1.0, COSINE), field(64)
    timesteps = respaced(1000, 100)

    def remains(sample):
        start = noise()
        got = sample(data.denoise, start, COSINE, timesteps, noise=noise)
        return float(torch.corrcoef(torch.stack([start.flatten(), got.flatten()]))[0, 1])

    assert remains(eta(0.0)) == pytest.approx(1, abs=1e-5)
    assert 0.1 < remains(eta(0.5)) < 0.9
    assert remains(eta(1.0)) == pytest.approx(0, abs=0.05)


# -- noise and its predictions --------------------------------------------------------------------


@pytest.mark.parametrize("name", ["ddim, eta 0.5", "ddpm"])
def test_noise_is_asked_for_by_the_number_of_the_step(name):
    """From 0; the last step adds none."""
    asked = []

    def noise(number):
        asked.append(number)
        return torch.zeros(1)

    SAMPLERS[name](lambda x, t: x, torch.ones(1), COSINE, respaced(1000, 5), noise=noise)
    assert asked == [0, 1, 2, 3]


def test_without_eta_no_noise_is_asked_for():
    ddim(lambda x, t: x, torch.ones(1), COSINE, [0, 500], noise=lambda i: pytest.fail("asked"))


def test_eta_without_noise_is_refused():
    with pytest.raises(ValueError, match="noise"):
        ddim(lambda x, t: x, torch.ones(1), COSINE, [0, 500], eta=0.5)


@pytest.mark.parametrize("t", [0, 100, 500, 900, 998])
def test_a_prediction_of_the_noise_is_one_of_the_data(t):
    x0, eps = field(16, draw=1)().double(), field(16, draw=2)().double()
    x = add_noise(x0, eps, torch.tensor([t]), torch.tensor(COSINE))
    torch.testing.assert_close(x0_from_eps(x, eps, COSINE, t), x0, atol=1e-9, rtol=0)
