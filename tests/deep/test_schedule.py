"""Noise schedules against the numbers of spec §8.2, and the timesteps to visit."""

from __future__ import annotations

from math import ceil

import numpy as np
import pytest
import torch
from whetstone.engine.deep.schedule import (
    SCHEDULES,
    add_noise,
    cosine,
    half_logsnr,
    linear,
    respaced,
    trailing,
    uniform_in_logsnr,
)
from whetstone.engine.errors import WhetstoneError
from whetstone.engine.noise import NoiseField
from whetstone.engine.types import Window

STRIDES = range(1, 1001)
POSSIBLE = sorted({ceil(1000 / stride) for stride in STRIDES})
both = pytest.mark.parametrize("alpha_bar", [cosine(), linear()], ids=["cosine", "linear"])


def betas(alpha_bar):
    return 1 - alpha_bar / np.concatenate([[1], alpha_bar[:-1]])


# -- the schedules --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("t", "beta", "kept"),
    [
        (0, 4.1284224822e-05, 0.99995871578),
        (1, 4.6141752737e-05, 0.99991257593),
        (9, 8.5011179342e-05, 0.99936871840),
        (50, 2.8487096678e-04, 0.99172468461),
        (100, 5.3189915570e-04, 0.97157568181),
        (250, 1.3272239542e-03, 0.84588798650),
        (500, 3.1556914416e-03, 0.49228517245),
        (750, 7.5791226547e-03, 0.14317864643),
        (900, 1.9741855872e-02, 0.023616108794),
        (990, 1.8998754207e-01, 1.9671738012e-04),
        (998, 7.4999939290e-01, 2.4287669070e-06),
        (999, 0.999, 2.4287669070e-09),
    ],
)
def test_cosine_has_the_values_of_the_spec(t, beta, kept):
    alpha_bar = cosine()
    assert alpha_bar[t] == pytest.approx(kept, rel=1e-10)
    assert betas(alpha_bar)[t] == pytest.approx(beta, rel=1e-9)


@pytest.mark.parametrize(
    ("t", "signal", "noise", "decibel"),
    [
        (1, 0.9999793577, 0.0064252801, 43.842),
        (10, 0.9996843094, 0.0251253179, 31.995),
        (50, 0.9959956218, 0.0894020208, 20.938),
        (100, 0.9859476341, 0.1670546704, 15.420),
        (200, 0.9480010130, 0.3182673081, 9.480),
        (400, 0.8046603079, 0.5937354536, 2.640),
        (500, 0.7027400589, 0.7114467018, -0.107),
        (900, 0.1552150899, 0.9878806992, -16.075),
        (990, 0.0155838772, 0.9998785640, -36.145),
        (999, 0.0015584502, 0.9999987856, -56.146),
        (1000, 0.0000492825, 0.9999999988, -86.146),
    ],
)
def test_cosine_has_the_values_of_crossdiff(t, signal, noise, decibel):
    """CrossDiff counts its timesteps from 1."""
    kept = cosine()[t - 1]
    assert [kept**0.5, (1 - kept) ** 0.5] == pytest.approx([signal, noise], abs=6e-11)
    assert 20 * half_logsnr(cosine())[t - 1] / np.log(10) == pytest.approx(decibel, abs=6e-4)


def test_only_the_last_beta_of_cosine_is_clipped():
    found = betas(cosine())
    want = {49: 2.799756722e-4, 499: 3.145886230e-3, 997: 0.5555537567, 998: 0.7499993929}
    assert {t: found[t] for t in want} == pytest.approx(want, rel=1e-9)
    assert found[-1] == pytest.approx(0.999, rel=1e-12)
    assert found[:-1].max() < 0.75


def test_linear_has_evenly_spaced_betas():
    found = betas(linear())
    assert found[[0, -1]].tolist() == pytest.approx([1e-4, 0.02], rel=1e-9)
    np.testing.assert_allclose(np.diff(found), (0.02 - 1e-4) / 999, rtol=1e-6)
    assert linear()[-1] == pytest.approx(4.0358e-05, rel=1e-4)


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("timesteps", [100, 1000])
def test_a_schedule_falls_from_nearly_one_to_nearly_zero(name, timesteps):
    alpha_bar = SCHEDULES[name](timesteps)
    assert (alpha_bar.shape, alpha_bar.dtype) == ((timesteps,), np.float64)
    assert (np.diff(alpha_bar, prepend=1) < 0).all()
    assert alpha_bar[0] > 0.998
    assert 0 < alpha_bar[-1] < 5e-5


@both
def test_log_snr_is_that_of_the_schedule(alpha_bar):
    snr = np.exp(2 * half_logsnr(alpha_bar))
    np.testing.assert_allclose(snr / (1 + snr), alpha_bar, rtol=1e-12)


# -- respacing ------------------------------------------------------------------------------------


def test_ddim10_is_that_of_the_spec():
    steps = respaced(1000, 10)
    assert steps == list(range(0, 1000, 100))
    kept = cosine()[steps]
    want = [0.99995872, 0.97157568, 0.89776291, 0.78563241, 0.64598817]
    want += [0.49228517, 0.33933300, 0.20186889, 0.09313778, 0.02361611]
    assert kept.tolist() == pytest.approx(want, abs=6e-9)
    want = [0.00004128, 0.02838421, 0.07597223, 0.12489990, 0.17774756]
    want += [0.23793469, 0.31069831, 0.40510091, 0.53862243, 0.74643900]
    assert betas(kept).tolist() == pytest.approx(want, abs=6e-9)


@pytest.mark.parametrize(
    ("steps", "last", "kept"),
    [
        (2, 500, 0.49229),
        (4, 750, 0.14318),
        (5, 800, 0.093138),
        (20, 950, 5.8201e-3),
        (25, 960, 3.6896e-3),
        (50, 980, 8.7653e-4),
        (100, 990, 1.9672e-4),
    ],
)
def test_last_kept_step_is_that_of_the_spec(steps, last, kept):
    assert respaced(1000, steps)[-1] == last
    assert cosine()[last] == pytest.approx(kept, rel=2e-5)


def test_one_step_starts_at_the_top():
    assert respaced(1000, 1) == [999]
    assert uniform_in_logsnr(cosine(), 1) == [999]


@pytest.mark.parametrize("steps", POSSIBLE[1:])
def test_respacing_takes_the_smallest_stride_that_gives_n(steps):
    stride = min(k for k in STRIDES if ceil(1000 / k) == steps)
    assert respaced(1000, steps) == [stride * i for i in range(steps)]


@pytest.mark.parametrize(
    ("steps", "hint"),
    [
        (37, "Take 36 or 38."),
        (45, "Take 44 or 46."),
        (75, "Take 72 or 77."),
        (499, "Take 334 or 500."),
        (0, "Take 1 or 2."),
        (-5, "Take 1 or 2."),
        (1001, "Take 500 or 1000."),
    ],
)
def test_impossible_numbers_of_steps_name_the_nearest_possible_ones(steps, hint):
    with pytest.raises(WhetstoneError, match=f"{steps} steps cannot be spread") as error:
        respaced(1000, steps)
    assert (error.value.code, error.value.hint) == ("STEPS", hint)


def test_every_other_number_of_steps_is_refused():
    for steps in sorted(set(range(1, 1001)) - set(POSSIBLE)):
        with pytest.raises(WhetstoneError):
            respaced(1000, steps)


# -- steps evenly spaced in log SNR ---------------------------------------------------------------


@both
@pytest.mark.parametrize("steps", [2, 3, 4, 5, 10, 20, 50, 183, 250, 500, 979, 980])
def test_steps_in_log_snr_ascend_from_0_to_the_top(alpha_bar, steps):
    found = uniform_in_logsnr(alpha_bar, steps)
    assert (found[0], found[-1], len(found)) == (0, 979, steps)
    assert found == sorted(set(found))
    assert all(type(t) is int for t in found)


@both
@pytest.mark.parametrize("steps", [2, 3, 5, 10, 20])
def test_steps_in_log_snr_are_evenly_spaced(alpha_bar, steps):
    """Each is the timestep nearest to where it should be, or one further where two collide."""
    lam = half_logsnr(alpha_bar)
    found = uniform_in_logsnr(alpha_bar, steps)
    for t, want in zip(found, np.linspace(lam[0], lam[979], steps)):
        assert lam[t + 1] < want < lam[max(t - 1, 0)] or want == lam[t]


@pytest.mark.parametrize("steps", [0, -1, 981, 5000])
def test_impossible_numbers_of_steps_in_log_snr_are_refused(steps):
    with pytest.raises(WhetstoneError, match=f"{steps} steps do not fit into 980") as error:
        uniform_in_logsnr(cosine(), steps)
    assert error.value.code == "STEPS"


# -- the forward process --------------------------------------------------------------------------


def noise(shape):
    batch, bands, height, width = shape
    field = NoiseField(1)
    window = Window(0, 0, width, height)
    return torch.stack([torch.from_numpy(field.read(window, bands, draw=i)) for i in range(batch)])


def test_noise_is_added_by_the_timestep_of_each_sample():
    alpha_bar = torch.tensor(cosine())
    x0, eps = torch.rand(3, 2, 8, 8), noise((3, 2, 8, 8))
    t = torch.tensor([0, 500, 999])
    got = add_noise(x0, eps, t, alpha_bar)
    assert (got.shape, got.dtype) == (x0.shape, torch.float32)
    for i, kept in enumerate(cosine()[[0, 500, 999]]):
        want = kept**0.5 * x0[i] + (1 - kept) ** 0.5 * eps[i]
        torch.testing.assert_close(got[i], want)
    torch.testing.assert_close(got[2], eps[2], atol=1e-4, rtol=0)


def test_without_noise_the_signal_shrinks_and_without_signal_the_noise_does():
    alpha_bar = torch.tensor(linear())
    x = torch.ones(1000, 1, 1, 1, dtype=torch.float64)
    t = torch.arange(1000)
    signal = add_noise(x, torch.zeros_like(x), t, alpha_bar)
    grain = add_noise(torch.zeros_like(x), x, t, alpha_bar)
    torch.testing.assert_close(signal.flatten(), alpha_bar.sqrt())
    torch.testing.assert_close(signal**2 + grain**2, x)


@pytest.mark.parametrize("t", [0, 100, 500, 900])
def test_unit_variance_is_preserved(t):
    eps = noise((2, 1, 512, 512))
    x0 = eps[:1]
    got = add_noise(x0, eps[1:], torch.tensor([t]), torch.tensor(cosine()))
    assert float(got.var()) == pytest.approx(1, abs=0.015)
    correlation = float((got * x0).mean() / got.std() / x0.std())
    assert correlation == pytest.approx(cosine()[t] ** 0.5, abs=0.01)


def test_any_number_of_dimensions_may_follow_the_batch():
    alpha_bar, t = torch.tensor(cosine()), torch.tensor([3, 4])
    for shape in ((2,), (2, 5), (2, 1, 2, 3, 4)):
        assert add_noise(torch.rand(shape), torch.rand(shape), t, alpha_bar).shape == shape


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 7, 10, 37, 1000])
def test_trailing_steps_end_at_the_top(steps):
    found = trailing(1000, steps)
    assert len(found) == len(set(found)) == steps
    assert found == sorted(found)
    assert found[-1] == 999
    gaps = np.diff([-1, *found])
    assert gaps.max() - gaps.min() <= 1


@pytest.mark.parametrize("steps", [0, 1001])
def test_trailing_steps_that_do_not_fit_are_refused(steps):
    with pytest.raises(WhetstoneError, match="do not fit"):
        trailing(1000, steps)
