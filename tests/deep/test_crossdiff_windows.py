"""CrossDiff on windows: with statistics of their own, in little memory, in half precision."""

from __future__ import annotations

import time
from collections import Counter

import numpy as np
import pytest
import torch
from models import make_crossdiff
from plain_scene import (
    assert_close,
    frame_of,
    image_of,
    joined,
    noises,
    opened,
    sampler_of,
    strips_of,
)
from scene_jobs import StopAt
from scenes import make_pair
from whetstone.engine import Cancelled, WhetstoneError
from whetstone.engine.deep import crossdiff_scene
from whetstone.engine.deep import device as machine
from whetstone.engine.deep.crossdiff_scene import CrossDiffScene
from whetstone.engine.deep.sampling import Settings, sharpen
from whetstone.engine.deep.scene import SceneSampler
from whetstone.engine.interpolation import filter_taps, resample
from whetstone.engine.mtf import product_kernel
from whetstone.engine.types import Window

pytestmark = pytest.mark.usefixtures("small_windows")


@pytest.fixture(scope="module")
def model():
    return make_crossdiff()


# -- statistics of each window --------------------------------------------------------------------


@pytest.mark.parametrize("timesteps", [(50,), (50, 100)])
def test_a_scene_of_one_window_is_what_the_network_makes_of_it(tmp_path, backend, timesteps):
    model = make_crossdiff(timesteps=timesteps)
    with opened(make_pair(backend, tmp_path / "pair", (64, 64))) as pair:
        frame, pan, lms = frame_of(pair)
        want = sharpen(model, pan, lms, noises(frame, 4, len(timesteps), seed=3))[0].numpy() * 2047
        got = image_of(model, pair, make=SceneSampler, noise="fixed", seed=3)
    assert_close(got, want, 1e-6)


def test_windows_are_blended_by_raised_cosines(tmp_path, backend, model):
    with opened(make_pair(backend, tmp_path / "pair", (112, 64))) as pair:
        _, pan, lms = frame_of(pair)
        left, right = (
            sharpen(model, pan[..., start : start + 64], lms[..., start : start + 64])[0].numpy()
            for start in (0, 48)
        )
        rise = np.sin((np.arange(16) + 0.5) / 16 * np.pi / 2) ** 2
        both = left[..., 48:] * (1 - rise) + right[..., :16] * rise
        want = 2047 * np.concatenate([left[..., :48], both, right[..., 16:]], axis=2)
        assert_close(image_of(model, pair, make=SceneSampler), want)
        assert np.abs(left[..., 48:] - right[..., :16]).max() * 2047 > 1


def test_a_constant_residual_stays_constant(odd):
    model = make_crossdiff(strength=0.0)
    model.network.head.conv2.bias.fill_(0.01)
    lms = frame_of(odd)[2][0, :, :75, :93].numpy() * 2047
    got = image_of(model, odd, make=SceneSampler)
    np.testing.assert_allclose(got - lms, 20.47, atol=1e-3)


@pytest.mark.parametrize("ratio", [2.0, 3.0, 3.7])
def test_windows_with_their_own_statistics_do_any_ratio(tmp_path, backend, ratio):
    model = make_crossdiff(ratio=4.0 if ratio == 3.7 else ratio)
    made = make_pair(backend, tmp_path / "pair", (150, 70), ratio)
    with opened(made) as pair:
        sampler = SceneSampler(model, pair, Settings(precision="fp32"))
        assert sampler._probe("fp32").shape == (1, 4, 64, 64)
        got = joined(strips_of(sampler))
        area = Window(37, 20, 60, 33)
        part = image_of(model, pair, area, make=SceneSampler)
    assert np.abs(got - made.truth).mean() < 100
    assert_close(part, got[(..., *area.within(Window(0, 0, 150, 70)))])


@pytest.mark.parametrize("make", [CrossDiffScene, SceneSampler])
def test_consistency_gives_the_measured_ms_back(even, model, make):
    kernel = product_kernel(0.3, 4.0)
    rows, cols = (
        even.geometry.pan_position(axis, np.arange(3, n - 3)) for axis, n in ((1, 12), (0, 16))
    )
    taps = [filter_taps(where, kernel) for where in (rows, cols)]
    ms = even.read_ms(Window(3, 3, 10, 6))[0]
    rms = []
    for consistency in (False, True):
        image = image_of(model, even, make=make, consistency=consistency).astype(float)
        rms.append(float(np.sqrt(np.square(resample(image, *taps) - ms).mean())))
    assert rms[0] > 5
    assert rms[1] < 0.5


# -- memory, errors, cancel -----------------------------------------------------------------------


def full_above(pixels, monkeypatch, learning):
    """The device holds no more than so many pixels while it is learning, or after that."""

    def limited(model, pan, lms, noise=None, precision="fp32"):
        frozen = model.network.head.attention[2].mean.frozen is not None
        if lms[0, 0].numel() > pixels and learning != frozen:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return sharpen(model, pan, lms, noise, precision)

    monkeypatch.setattr(crossdiff_scene, "sharpen", limited)


@pytest.mark.parametrize("learning", [True, False])
def test_out_of_memory_goes_on_with_smaller_windows(wide, model, monkeypatch, learning):
    monkeypatch.setattr(crossdiff_scene, "CORE", 128)
    monkeypatch.setattr(crossdiff_scene, "SAMPLE_SIDE", 128)
    words, watch = {"noise": "fixed", "samples": 2}, StopAt(2)
    want = strips_of(sampler_of(model, wide, **words))
    full_above(128 * 72, monkeypatch, learning)
    got = strips_of(sampler_of(model, wide, **words), progress=watch)
    assert watch.said == ["The device's memory is full; going on with windows of 64 pixels."]
    assert_close(joined(got), joined(want))
    deviations = (np.concatenate([s.deviation for s in strips], axis=1) for strips in (got, want))
    assert_close(*deviations, 1e-3)


@pytest.mark.parametrize("learning", [True, False])
def test_a_device_too_small_for_the_least_window_is_refused(odd, model, monkeypatch, learning):
    full_above(0, monkeypatch, learning)
    with pytest.raises(WhetstoneError, match="One window of 64 pixels does not fit") as caught:
        image_of(model, odd)
    assert caught.value.code == "OOM_DEVICE"


@pytest.mark.parametrize("reference", [False, True])
def test_other_errors_of_torch_are_not_taken_for_memory(even, monkeypatch, reference):
    def broken(*args):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    monkeypatch.setattr(crossdiff_scene, "sharpen", broken)
    with pytest.raises(RuntimeError, match="mat1"):
        image_of(make_crossdiff(), even, reference=reference)


def test_learning_can_be_cancelled(odd, model):
    sampler = sampler_of(model, odd)
    with pytest.raises(Cancelled):
        strips_of(sampler, progress=StopAt(0.01))
    assert not sampler._frozen


def test_few_windows_are_read_ahead(wide, model, monkeypatch):
    monkeypatch.setattr(crossdiff_scene, "CORE", 32)
    read_one, number, ahead = CrossDiffScene._read, Counter(), []

    def read(self, *args):
        number["read"] += 1
        return read_one(self, *args)

    def sharpened(self, part, window, *args):
        time.sleep(0.02)  # lets the reader run as far ahead as it will
        number["done"] += 1
        ahead.append(number["read"] - number["done"])
        return np.zeros((4, *window.shape), np.float32), None

    monkeypatch.setattr(CrossDiffScene, "_estimate", lambda *args: None)
    monkeypatch.setattr(CrossDiffScene, "_read", read)
    monkeypatch.setattr(CrossDiffScene, "_sharpened", sharpened)
    strips_of(sampler_of(model, wide))
    assert number == {"read": 15, "done": 15}
    assert max(ahead) <= 3


# -- precision ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("has", "kind", "convolutional", "gains"),
    [
        ({"avx512_bf16": True}, "cpu", True, True),
        ({"amx_bf16": True, "avx512_bf16": False}, "cpu", True, True),
        ({"avx512_f": True, "avx512_bf16": False}, "cpu", True, False),
        ({}, "cpu", True, False),
        ({"avx512_bf16": True}, "cpu", False, False),
        ({"avx512_bf16": True}, "mps", True, False),
    ],
)
def test_a_cpu_gains_by_bf16_where_it_has_it(monkeypatch, has, kind, convolutional, gains):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: has)
    assert machine.bf16_gains(torch.device(kind), convolutional) == gains


@pytest.mark.parametrize("make", [CrossDiffScene, SceneSampler])
def test_bf16_is_chosen_where_the_cpu_has_it_and_it_keeps_60_db(even, monkeypatch, make):
    def chosen(model):
        found = make(model, even, Settings())
        return found.precision, found.precision_reason

    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True})
    precision, why = chosen(make_crossdiff())
    assert precision == "bf16"
    assert "60 are needed" in why
    precision, why = chosen(make_crossdiff(strength=100.0))
    assert precision == "fp32"
    assert "60 are needed" in why
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {})
    assert chosen(make_crossdiff()) == ("fp32", "bf16 gains nothing here")


def test_bf16_keeps_60_db(odd, model):
    exact, rough = image_of(model, odd), image_of(model, odd, precision="bf16")
    assert not np.array_equal(rough, exact)
    assert -10 * np.log10(np.square((exact - rough) / 2047).mean()) > 60
