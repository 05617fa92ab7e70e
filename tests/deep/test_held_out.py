"""Figures on the blocks that an adaptation holds out, and the images they are compared with."""

from __future__ import annotations

import numpy as np
import pytest
from scenes import make_pair, read
from whetstone.engine import Progress, run
from whetstone.engine.deep import chunks as chunks_module
from whetstone.engine.deep.chunks import Images, read_chunks, reduced
from whetstone.engine.deep.held_out import glp, score
from whetstone.engine.jobs import DegradeJob, FuseJob, RasterSource
from whetstone.engine.metrics.reference import ergas, q2n, sam
from whetstone.engine.pair import open_pair
from whetstone.engine.types import Window

GAINS = (0.3,) * 4  # of the sensor called "generic"


@pytest.fixture(scope="module")
def scene(tmp_path_factory, backend):
    """A pair of 128 x 128 MS pixels, and its reduced windows: one, with several blocks."""
    pair = make_pair(backend, tmp_path_factory.mktemp("pair"), (512, 512), dtype="float32")
    with (
        pytest.MonkeyPatch.context() as patch,
        open_pair(RasterSource.of(pair.pan), RasterSource.of(pair.ms), sensor="generic") as source,
    ):
        patch.setattr(chunks_module, "PATCHES", (32,))
        return pair, read_chunks(*reduced(source, None), hold_out=True, progress=Progress())


def at_blocks(chunks, image):
    """The blocks of an image of the only window, side by side."""
    side = chunks.patch
    return np.concatenate(
        [image[:, r : r + side, c : c + side] for _, r, c in chunks.held_out], axis=2
    ).astype(float)


def test_the_truth_is_ideal(scene):
    _, chunks = scene
    found = score(chunks, [images.truth for images in chunks.images], 4)
    assert found["ergas"] == 0 and found["sam"] < 1e-5
    assert found["q2n"] == pytest.approx(1, abs=1e-9)


def test_figures_are_those_of_the_blocks_alone(scene):
    _, chunks = scene
    assert len(chunks.windows) == 1 and len(chunks.held_out) == 2
    (images,) = chunks.images
    fused = images.truth + np.random.default_rng(1).normal(0, 20, images.truth.shape)
    found = score(chunks, [fused], 4)
    true, made = (at_blocks(chunks, image) for image in (images.truth, fused))
    assert found["ergas"] == pytest.approx(ergas(true, made, 4))
    assert found["sam"] == pytest.approx(sam(true, made))
    assert found["q2n"] == pytest.approx(q2n(true, made))
    assert score(chunks, [fused], 2)["ergas"] == pytest.approx(2 * found["ergas"])
    blank = np.zeros_like(fused)
    side = chunks.patch
    for _, row, col in chunks.held_out:
        here = (..., slice(row, row + side), slice(col, col + side))
        blank[here] = fused[here]
    assert score(chunks, [blank], 4) == found


def test_windows_without_blocks_need_no_image(monkeypatch, tmp_path, backend):
    monkeypatch.setattr(chunks_module, "SIDE", 64)
    pair = make_pair(backend, tmp_path, (512, 256))
    with open_pair(RasterSource.of(pair.pan), RasterSource.of(pair.ms), sensor="generic") as source:
        chunks = read_chunks(*reduced(source, None), hold_out=True, progress=Progress())
    assert len(chunks.windows) == 2 and len(chunks.held_out) == 1
    used = chunks.held_out[0, 0]
    images = [i.lms if number == used else None for number, i in enumerate(chunks.images)]
    assert score(chunks, images, 4) == score(chunks, [i.lms for i in chunks.images], 4)


def test_both_yardsticks_are_the_methods_of_that_name(scene, tmp_path, backend):
    pair, chunks = scene
    (images,) = chunks.images
    sources = map(RasterSource.of, (pair.pan, pair.ms))
    made = run(DegradeJob(*sources, str(tmp_path), "generic"))
    ours = {"exp": images.lms, "mtf-glp-fs": glp(images, chunks.windows[0], GAINS, 4)}
    figures = {name: score(chunks, [image], 4) for name, image in ours.items()}
    for name in ours:
        out = str(tmp_path / f"{name}.tif")
        sources = map(RasterSource.of, (made.pan, made.ms))
        run(FuseJob(*sources, out, name, "generic", dtype="float32", overviews=False, threads=1))
        fused, _ = read(backend, out)
        true, theirs = (at_blocks(chunks, image) for image in (images.truth, fused))
        assert figures[name]["ergas"] == pytest.approx(ergas(true, theirs, 4), rel=0.03)
        assert figures[name]["sam"] == pytest.approx(sam(true, theirs), rel=0.03)
        assert figures[name]["q2n"] == pytest.approx(q2n(true, theirs), abs=0.01)
    assert figures["mtf-glp-fs"]["ergas"] < 0.7 * figures["exp"]["ergas"]


def test_invalid_pixels_do_not_weigh():
    rng = np.random.default_rng(3)
    whole, far = Window(0, 0, 96, 96), (slice(None), slice(0, 24))
    rows, cols = np.mgrid[:96, :96]
    detail = 100 * np.sin(rows / 9) * np.cos(cols / 11) + rng.normal(0, 20, (96, 96))
    valid = cols < 56
    pans = [np.where(valid, 500 + detail, wrong) for wrong in (0.0, 3000.0)]
    lms = np.where(valid, 400 + 2 * detail, 900)[None].astype(float)

    def injected(pan, valid):
        images = Images(pan, lms, lms, None, valid, lms, np.ones(pan.shape, bool), whole)
        return (glp(images, whole, GAINS[:1], 4) - lms)[0][far]

    one, two = (injected(pan, valid) for pan in pans)
    wrong, worse = (injected(pan, None) for pan in pans)
    assert one.std() > 10
    assert np.abs(one - two).max() < 0.2 * np.abs(one).max()
    assert np.abs(wrong - worse).max() > 0.4 * np.abs(one).max()


def test_a_flat_pan_adds_nothing():
    lms = np.random.default_rng(4).normal(500, 50, (3, 64, 64))
    flat, window = np.full((64, 64), 700.0), Window(0, 0, 64, 64)
    images = Images(flat, lms, lms, None, None, lms, flat > 0, window)
    np.testing.assert_allclose(glp(images, window, (0.3, 0.25, 0.2), 4), lms, atol=1e-6)
