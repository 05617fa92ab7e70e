"""The sensor as matrices against the engine's other ways through the sensor."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scenes import make_pair, read, source
from whetstone.engine import DegradeJob, WhetstoneError, run
from whetstone.engine.deep import degradation as module
from whetstone.engine.deep.degradation import MARGIN, degradation_of, down_matrix, inside
from whetstone.engine.interpolation import filter_taps, resample
from whetstone.engine.mtf import product_kernel
from whetstone.engine.raster import backend as raster_backend
from whetstone.engine.sensors import SENSORS

CPU = torch.device("cpu")
GAINS = (0.22, 0.3, 0.36, 0.3)


def rough(shape, seed=1):
    """Noise: every frequency is there."""
    return np.random.default_rng(seed).normal(0.5, 0.1, shape)


def measured(image, gains, ratio, first, count):
    """MS pixels (C, k, k) of a large image (C, h, w), whose filters must lie inside it."""
    rows, cols = (start + ratio * np.arange(count) for start in first)
    kernels = [product_kernel(gain, ratio) for gain in gains]
    return np.stack(
        [resample(x, filter_taps(rows, k), filter_taps(cols, k)) for x, k in zip(image, kernels)]
    )


def as_batch(*arrays):
    return torch.from_numpy(np.stack(arrays)).float()


# -- one axis -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("ratio", "first"), [(4.0, 1.5), (4.0, 2.0), (3.7, 0.83), (2.0, 0.5)])
def test_matrices_are_the_filters_at_the_true_positions(ratio, first):
    size, count = 200, int(100 // ratio)
    places = 50 + first + ratio * np.arange(count)
    down = down_matrix(0.3, ratio, places, size)
    assert down.shape == (count, size)
    image = rough((size, size))
    taps = filter_taps(places, product_kernel(0.3, ratio))
    np.testing.assert_allclose(down @ image @ down.T, resample(image, taps, taps), atol=1e-13)


def test_beyond_the_window_the_image_is_mirrored():
    places, line = np.arange(1.5, 48, 4), rough(48)
    mirrored = np.pad(line, 40, mode="symmetric")
    want = down_matrix(0.3, 4.0, places + 40, len(mirrored)) @ mirrored
    np.testing.assert_allclose(down_matrix(0.3, 4.0, places, 48) @ line, want, atol=1e-13)


def test_a_wave_at_the_nyquist_frequency_of_the_ms_keeps_the_gain():
    places = 100 + 4.0 * np.arange(50)
    line = np.cos(np.pi * np.arange(400) / 4)  # 8 PAN pixels, 2 MS pixels
    got = down_matrix(0.3, 4.0, places, 400) @ line
    assert np.abs(got) == pytest.approx(0.3, abs=0.02)


@pytest.mark.parametrize(
    ("ratio", "first", "size", "want"),
    [
        (4.0, 1.5, 64, range(2, 14)),
        (4.0, 2.0, 64, range(2, 14)),
        (4.0, 0.0, 64, range(2, 14)),
        (3.7, 0.83, 64, range(2, 15)),
        (4.0, -30.5, 64, range(10, 16)),  # MS pixels before the patch
        (4.0, 41.5, 64, range(0, 4)),  # and after it
    ],
)
def test_pixels_inside(ratio, first, size, want):
    places = first + ratio * np.arange(16)
    assert np.flatnonzero(inside(places, ratio, size)).tolist() == list(want)
    edges = np.minimum(places + 0.5, size - 0.5 - places)[list(want)]
    assert edges.min() >= MARGIN * ratio


# -- patches --------------------------------------------------------------------------------------


def test_it_sees_what_degrade_writes(tmp_path):
    """``gt`` through the sensor is ``ms`` of the reduced pair, band by band."""
    backend = raster_backend()
    pair = make_pair(backend, tmp_path / "pair", (512, 512), dtype="float32")
    job = DegradeJob(source(pair.pan), source(pair.ms), str(tmp_path / "low"), sensor="qb")
    done = run(job)
    gt, ms = (read(backend, path)[0] for path in (done.gt, done.ms))
    gains = [band.gain for band in SENSORS["qb"].bands]
    assert len(set(gains)) > 1
    side, count = 64, 16
    places = [(0, 0), (32, 16), (64, 64)]
    patches = as_batch(*(gt[:, r : r + side, c : c + side] for r, c in places))
    want = as_batch(*(ms[:, r // 4 : r // 4 + count, c // 4 : c // 4 + count] for r, c in places))
    degradation = degradation_of(gains, 4.0, (1.5, 1.5), count, side, CPU)
    assert degradation.inside.sum() == 12 * 12
    error = (degradation.seen(patches) - want).abs()
    spread = float(want.std())
    assert error.masked_select(degradation.inside).max() < 1e-3 * spread
    assert error.max() > 0.02 * spread  # the others see the mirrored border


@pytest.mark.parametrize("ratio", [3.7, 2.4, 5.0])
def test_windows_of_a_scene_each_have_their_own_places(ratio):
    scene = rough((4, 300, 300))
    count, side = 14, round(16 * ratio)
    starts = [(60, 71), (83, 62), (77, 97)]
    phases = (0.37, 1.21)  # of MS pixel 0 on the PAN grid
    firsts, want, patches = [], [], []
    for start in starts:
        index = [int(np.ceil((s - p) / ratio)) for s, p in zip(start, phases)]
        centre = [p + ratio * i for p, i in zip(phases, index)]
        want.append(measured(scene, GAINS, ratio, centre, count))
        firsts.append([c - s for c, s in zip(centre, start)])
        row, col = start
        patches.append(scene[:, row : row + side, col : col + side])
    degradation = degradation_of(GAINS, ratio, firsts, count, side, CPU)
    assert degradation.inside.shape == (3, 1, count, count)
    assert (degradation.inside.flatten(1).sum(1) >= 11**2).all()
    error = (degradation.seen(as_batch(*patches)) - as_batch(*want)).abs()
    assert error.masked_select(degradation.inside).max() < 1e-3 * 0.1
    wrong = degradation_of(GAINS, ratio, firsts[::-1], count, side, CPU)
    error = (wrong.seen(as_batch(*patches)) - as_batch(*want)).abs()
    assert error.masked_select(wrong.inside).max() > 0.02


def test_axes_may_differ():
    scene = rough((4, 300, 300))
    ratios, first = (4.0, 4.07), (61.5, 62.1)
    rows, cols = (f + r * np.arange(14) for f, r in zip(first, ratios))
    want = [
        resample(
            x,
            filter_taps(rows, product_kernel(gain, ratios[0])),
            filter_taps(cols, product_kernel(gain, ratios[1])),
        )
        for x, gain in zip(scene, GAINS)
    ]
    degradation = degradation_of(GAINS, ratios, (1.5, 2.1), 14, 64, CPU)
    error = degradation.seen(as_batch(scene[:, 60:124, 60:124])) - as_batch(np.stack(want))
    assert error.masked_select(degradation.inside).abs().max() < 1e-4


def test_every_band_of_every_sample_has_its_gain():
    x = as_batch(*rough((2, 4, 64, 64)))
    gains = np.array([GAINS, (0.3, 0.2, 0.22, 0.36)])
    both = degradation_of(gains, 4.0, (1.5, 1.5), 16, 64, CPU).seen(x)
    for i in range(2):
        for band in range(4):
            alone = degradation_of(gains[i, band], 4.0, (1.5, 1.5), 16, 64, CPU)
            want = alone.seen(x[i : i + 1, band : band + 1])[0, 0]
            torch.testing.assert_close(both[i, band], want, atol=1e-6, rtol=0)
    order = [2, 0, 3, 1]
    turned = degradation_of(gains[:, order], 4.0, (1.5, 1.5), 16, 64, CPU).seen(x[:, order])
    torch.testing.assert_close(turned, both[:, order], atol=0, rtol=0)
    unturned = degradation_of(gains, 4.0, (1.5, 1.5), 16, 64, CPU).seen(x[:, order])
    assert (unturned - turned).abs().max() > 1e-3


def test_a_matrix_is_made_once_per_gain(monkeypatch):
    made = []

    def counted(gain, *more):
        made.append(gain)
        return down_matrix(gain, *more)

    monkeypatch.setattr(module, "down_matrix", counted)
    module._kept.cache_clear()
    rng = np.random.default_rng(1)
    for _ in range(3):  # steps of a training with bands in random order
        gains = rng.permuted(np.tile(GAINS, (5, 1)), axis=1)
        degradation_of(gains, 4.0, (1.5, 1.5), 16, 64, CPU)
    assert sorted(made) == sorted(set(GAINS))


def test_inference_first_does_not_spoil_training():
    module._kept.cache_clear()
    with torch.inference_mode():
        degradation_of(GAINS, 4.0, (1.5, 1.5), 16, 64, CPU)
    x = torch.zeros(1, 4, 64, 64, requires_grad=True)
    degradation_of(GAINS, 4.0, (1.5, 1.5), 16, 64, CPU).seen(x).sum().backward()
    assert float(x.grad.sum()) == pytest.approx(4 * 16**2, rel=1e-5)  # rows have sum 1


def test_patches_without_a_pixel_that_counts_are_refused():
    with pytest.raises(WhetstoneError, match=r"16 PAN pixels.*at least 20") as caught:
        degradation_of(GAINS, 4.0, (1.5, 1.5), 4, 16, CPU)
    assert caught.value.code == "TOO_SMALL"
    assert degradation_of(GAINS, 4.0, (1.5, 1.5), 5, 20, CPU).inside.sum() == 1
    with pytest.raises(WhetstoneError, match="hold no MS pixel"):
        degradation_of(GAINS, 4.0, [(1.5, 1.5), (1.5, 90.5)], 16, 64, CPU)
