"""CrossDiff over a scene in memory, and the same in one piece from plain arithmetic."""

from __future__ import annotations

from contextlib import contextmanager

import numpy as np
import torch
from whetstone.engine import Progress
from whetstone.engine.deep.crossdiff import REACH, STRIDE
from whetstone.engine.deep.crossdiff_scene import CrossDiffScene
from whetstone.engine.deep.inputs import read_pan_and_lms, scale_of
from whetstone.engine.deep.sampling import Settings
from whetstone.engine.deep.statistics import learn, unfrozen
from whetstone.engine.interpolation import lagrange_taps, resample
from whetstone.engine.noise import NoiseField
from whetstone.engine.pair import open_pair
from whetstone.engine.types import Window

#: Of the deviation of an image: what may be lost by computing it in other windows.
CLOSE = 1e-5


@contextmanager
def opened(made):
    with open_pair(made.job("-").pan, made.job("-").ms, sensor="generic") as pair:
        yield pair


def sampler_of(model, pair, make=CrossDiffScene, **settings):
    return make(model, pair, Settings(**{"precision": "fp32", **settings}))


def strips_of(sampler, area=None, first_row=None, progress=None):
    area = area or sampler.pair.scene
    bands = np.empty((sampler.pair.bands, 0))
    scale = scale_of(sampler.model.card.normalisation, np.empty(0), bands)
    first = area.row if first_row is None else first_row
    found = list(sampler.strips(area, scale, first, progress or Progress()))
    rows = [strip.window.row for strip in found]
    assert rows[0] == first
    assert [strip.window.stop[1] for strip in found] == [*rows[1:], area.stop[1]]
    return found


def image_of(model, pair, area=None, first_row=None, progress=None, **settings):
    """(B, h, w) in digital numbers."""
    return joined(strips_of(sampler_of(model, pair, **settings), area, first_row, progress))


def joined(strips):
    """(B, h, w) of strips."""
    return np.concatenate([strip.image for strip in strips], axis=1)


def assert_close(got, want, share=CLOSE):
    """Equal but for a share of the deviation of the image."""
    assert got.shape == want.shape
    assert np.abs(got - want).max() < share * want.std()


def tensor(values):
    return torch.from_numpy(np.ascontiguousarray(values, np.float32))[None]


def frame_of(pair):
    """(frame, PAN, LMS) of the raster, mirrored to multiples of 8: tensors divided by 2047."""
    pan, ms = (
        source.read(Window(0, 0, source.info.width, source.info.height))[0].astype(np.float32)
        for source in (pair.pan, pair.ms)
    )
    shape = [-(-size // STRIDE) * STRIDE for size in pan.shape[1:]]
    beyond = [(0, to - size) for to, size in zip(shape, pan.shape[1:], strict=True)]
    pan = np.pad(pan, [(0, 0), *beyond], "symmetric")
    ms = np.pad(ms, [(0, 0), (9, 9), (9, 9)], "symmetric")
    taps = [
        lagrange_taps(pair.geometry.ms_position(axis, np.arange(size))).shifted(-9)
        for axis, size in ((1, shape[0]), (0, shape[1]))
    ]
    frame = Window(0, 0, shape[1], shape[0])
    return frame, tensor(pan / np.float32(2047)), tensor(resample(ms, *taps) / np.float32(2047))


def filled(pair):
    """The same as the engine reads it, invalid pixels filled."""
    info = pair.pan.info
    frame = Window(0, 0, *(-(-size // STRIDE) * STRIDE for size in (info.width, info.height)))
    pan, lms, _ = read_pan_and_lms(pair, frame, REACH)
    return frame, tensor(pan[None] / np.float32(2047)), tensor(lms / np.float32(2047))


def noises(frame, bands, count, seed, draw=0):
    """Per feature timestep the noise of the bands and of PAN, [1,C+1,h,w]."""
    if seed is None:
        return None
    field = NoiseField(seed)
    return [tensor(field.read(frame, bands + 1, draw, step)) for step in range(count)]


def in_one_piece(model, pair, counts=None, seed=None, draws=1, inputs=frame_of):
    """Per draw the image of the whole frame, behind its own statistics or those of what counts."""
    frame, pan, lms = inputs(pair)
    network, raster = model.network, Window(0, 0, pair.pan.info.width, pair.pan.info.height)

    def made(draw=0):
        noise = noises(frame, pair.bands, len(network.timesteps), seed, draw)
        return network(pan, lms, noise)

    with torch.inference_mode(), unfrozen(network):
        if counts is not None:
            weights = torch.zeros(1, 1, *frame.shape)
            weights[(..., *raster.within(frame))] = tensor(counts)
            learn(network, lambda: [(weights, made)])
        images = [made(draw)[0].numpy() * 2047 for draw in range(draws)]
        return [image[(..., *raster.within(frame))] for image in images]
