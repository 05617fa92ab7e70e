"""The ``reference`` preset of CrossDiff: the arithmetic of the authors' release."""

from __future__ import annotations

from dataclasses import replace
from math import sqrt

import numpy as np
import pytest
import torch
from models import make_crossdiff, write_crossdiff
from plain_scene import assert_close, image_of, tensor
from scene_jobs import StopAt, bounds, job_of, recorded, refusal
from scenes import coarse_grid, make_pair, read, source, write
from torch.nn import functional as F
from whetstone.engine import Cancelled, WhetstoneError, run
from whetstone.engine.deep import crossdiff_scene
from whetstone.engine.noise import NoiseField
from whetstone.engine.types import Window


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write_crossdiff(tmp_path_factory.mktemp("model"))


def as_released(made, backend, seed, limits, timesteps=(50,)):
    """Spec §1.1, §2.2 and §2.3: 2 v - 1, noise at t, both encoders, a dead finest level."""
    pan, ms = (tensor(read(backend, path)[0] / 2047.0) for path in (made.pan, made.ms))
    lms = F.interpolate(ms, scale_factor=4, mode="bicubic", align_corners=False)
    size = lms.shape[2:]
    beyond = [(0, 0), *((0, -n % 8) for n in size)]
    pan, lms = (tensor(np.pad(x[0].numpy(), beyond, "symmetric")) for x in (pan, lms))
    network = make_crossdiff(timesteps=timesteps).network
    frame = Window(0, 0, lms.shape[3], lms.shape[2])
    of_p2m, of_m2p = [], []
    for step, t in enumerate(timesteps):
        signal = {50: 0.9959956218, 100: 0.9859476341}[t]
        noise = torch.tensor(NoiseField(seed or 0).read(frame, 5, 0, step))[None]
        noise = noise * sqrt(1 - signal**2) * (seed is not None)
        pan1, ms1, t = 2 * pan - 1, 2 * lms - 1, torch.tensor([float(t)])
        of_p2m.append(network.p2m.encode(signal * ms1 + noise[:, :4], t, pan1))
        of_m2p.append(network.m2p.encode(signal * pan1 + noise[:, 4:], t, ms1))
    head = network.head
    x = 0
    for level in (3, 2, 1):
        both = torch.cat([f[level] for of in (of_p2m, of_m2p) for f in of], 1)
        x = F.leaky_relu(head.block[3 - level](both)) + x
        x = head.attention[3 - level](x)
    image = lms + head.conv2(F.leaky_relu(head.conv1(x)))
    return 2047 * image.clamp(*limits)[0, :, : size[0], : size[1]].numpy()


@pytest.mark.parametrize(
    ("size", "noise", "statistics", "timesteps"),
    [
        ((64, 48), "auto", "scene", (50,)),
        ((64, 48), "zero", "window", (50, 100)),
        ((68, 52), "fixed", "scene", (50, 100)),
    ],
)
def test_the_reference_preset_is_the_release(tmp_path, backend, size, noise, statistics, timesteps):
    limits = (0.3, 0.42)
    model = write_crossdiff(tmp_path, timesteps=timesteps, statistics=statistics, limits=limits)
    made = make_pair(backend, tmp_path / "p", size)
    job = job_of(made, model, tmp_path / "o.tif", preset="reference", noise=noise)
    run(job)
    got, done = read(backend, tmp_path / "o.tif")[0], recorded(backend, tmp_path / "o.tif")
    seed = None if done.noise == "zero" else done.seed
    want = as_released(made, backend, seed, limits, timesteps)
    assert_close(got, want)
    assert 0.1 < (want == want.min()).mean() < 0.9  # the limits are reached
    part = Window(13, 5, 30, 40)
    run(replace(done, out=str(tmp_path / "p.tif"), bounds=bounds(*part)))
    np.testing.assert_array_equal(
        read(backend, tmp_path / "p.tif")[0], got[(..., *part.within(Window(0, 0, *size)))]
    )


def test_the_rows_of_one_piece_can_begin_anywhere(even):
    whole = image_of(make_crossdiff(), even, reference=True)
    got = image_of(make_crossdiff(), even, first_row=20, reference=True)
    np.testing.assert_array_equal(got, whole[:, 20:])


def test_cancel_between_the_samples_of_one_piece(even):
    watch = StopAt(-1)
    with pytest.raises(Cancelled):
        image_of(make_crossdiff(), even, progress=watch, reference=True)


def test_a_device_too_small_for_one_piece_is_refused(even, monkeypatch):
    def full(*args):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(crossdiff_scene, "sharpen", full)
    with pytest.raises(WhetstoneError, match="64 x 48 pixels in one piece does not") as caught:
        image_of(make_crossdiff(), even, reference=True)
    assert caught.value.code == "OOM_DEVICE"


def test_the_reference_preset_takes_scenes_of_one_ms_pixel(tmp_path, backend, model):
    made = make_pair(backend, tmp_path, (4, 4), ms_size=(1, 1))
    run(job_of(made, model, tmp_path / "o.tif", preset="reference"))
    assert np.isfinite(read(backend, tmp_path / "o.tif")[0]).all()


@pytest.mark.parametrize(
    ("drawn_as", "more", "match"),
    [
        ({"size": (66, 48)}, {}, "whole number of times the MS; these are 66 x 48 and 16 x 12"),
        ({"size": (59, 37), "ratio": 3.7}, {}, "whole number of times"),
        ({"size": (72, 48)}, {}, "at most 3072 PAN pixels, in one piece; this scene has 3456"),
        ({"bands": 5}, {}, "4 bands; this image has 5"),
        ({}, {"consistency": True}, "without --consistency"),
        ({}, {"coregister": True}, "without --coregister"),
        ({}, {"statistics": "scene"}, "and --statistics"),
    ],
)
def test_what_the_release_could_not_do_is_refused(
    tmp_path, backend, model, monkeypatch, drawn_as, more, match
):
    monkeypatch.setattr(crossdiff_scene, "MOST_REFERENCE_PIXELS", 64 * 48)
    made = make_pair(backend, tmp_path / "p", **{"size": (64, 48), **drawn_as})
    job = job_of(made, model, tmp_path / "o.tif", preset="reference", **more)
    assert refusal(job, match) == "REFERENCE"


def test_the_reference_preset_refuses_images_of_two_areas(tmp_path, backend, drawn, model):
    left, width, _, top, _, height = coarse_grid(4.0, 1.5)
    moved = (left + 8 * width, width, 0.0, top, 0.0, height)
    ms = write(backend, tmp_path / "ms.tif", read(backend, drawn.ms)[0], moved)
    job = job_of(drawn, model, tmp_path / "o.tif", preset="reference")
    assert refusal(replace(job, ms=source(ms)), "a part of theirs in common") == "REFERENCE"
