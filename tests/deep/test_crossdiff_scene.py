"""CrossDiff on whole scenes: windows, parts and resumed runs are one image, that of one piece."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from models import make_crossdiff
from plain_scene import (
    CLOSE,
    assert_close,
    filled,
    frame_of,
    image_of,
    in_one_piece,
    joined,
    noises,
    opened,
    sampler_of,
    strips_of,
)
from scenes import Ground, coarse_grid, make_pair, read, write
from whetstone.engine.deep import crossdiff_scene
from whetstone.engine.deep.bands import band_groups
from whetstone.engine.deep.crossdiff import UNet
from whetstone.engine.deep.crossdiff_scene import CrossDiffScene
from whetstone.engine.deep.scene import SceneSampler
from whetstone.engine.deep.statistics import unfrozen
from whetstone.engine.noise import NoiseField
from whetstone.engine.raster import BandInfo
from whetstone.engine.tiling import grid, scattered
from whetstone.engine.types import Window

pytestmark = pytest.mark.usefixtures("small_windows")


@pytest.fixture(scope="module")
def model():
    return make_crossdiff()


# -- in one piece ---------------------------------------------------------------------------------


@pytest.mark.parametrize("sample_side", [32, 256])
@pytest.mark.parametrize("size", [(64, 48), (96, 88)])
def test_windows_join_to_what_the_network_makes_of_the_frame(
    tmp_path, backend, model, monkeypatch, size, sample_side
):
    monkeypatch.setattr(crossdiff_scene, "SAMPLE_SIDE", sample_side)
    with opened(make_pair(backend, tmp_path / "pair", size)) as pair:
        (want,) = in_one_piece(model, pair)
        got = image_of(model, pair)
        assert_close(got, want)
        residual = want - 2047 * frame_of(pair)[2][0].numpy()
        assert 10 < residual.std() < 100


@pytest.mark.parametrize(
    ("size", "ratio", "phase"),
    [
        ((93, 75), 4.0, None),
        ((100, 85), 4.0, 2.0),
        ((61, 90), 4.0, 1.0),
        ((90, 101), 3.7, None),
        ((7, 13), 4.0, None),
    ],
)
def test_odd_sides_are_mirrored_and_do_not_count(tmp_path, backend, model, size, ratio, phase):
    made = make_pair(
        backend,
        tmp_path / "pair",
        size,
        ratio,
        phase,
        ms_size=tuple(int(-(-n // ratio)) for n in size),
    )
    with opened(made) as pair:
        (want,) = in_one_piece(model, pair, np.ones((size[1], size[0])))
        assert_close(image_of(model, pair), want)


def test_an_ms_that_covers_a_part_of_the_pan(tmp_path, backend, model):
    """The common area begins inside the PAN raster; the grids of windows and noise stay its."""
    made = make_pair(backend, tmp_path, (93, 85), ms_size=(24, 22))
    left, pixel, _, top, _, down = coarse_grid(4.0, 1.5)
    moved = (left + 8 * pixel, pixel, 0.0, top + 5 * down, 0.0, down)
    ms = write(backend, tmp_path / "cut.tif", read(backend, made.ms)[0][:, 5:, 8:], moved)
    with opened(replace(made, ms=ms)) as pair:
        scene, raster = pair.scene, Window(0, 0, 93, 85)
        assert min(scene.col, scene.row) > 8
        counts = np.zeros(raster.shape)
        counts[scene.within(raster)] = 1
        (want,) = in_one_piece(model, pair, counts, seed=3, inputs=filled)
        got = image_of(model, pair, noise="fixed", seed=3)
    assert_close(got, want[(..., *scene.within(raster))])


def test_the_side_of_the_windows_makes_no_difference(wide, model, monkeypatch):
    images = []
    for core in (64, 128):
        monkeypatch.setattr(crossdiff_scene, "CORE", core)
        images.append(image_of(model, wide, noise="fixed", seed=7))
    assert_close(*images, 1e-6)


def test_statistics_are_those_of_the_sample(odd, model, monkeypatch):
    monkeypatch.setattr(crossdiff_scene, "SAMPLE_SIDE", 32)
    monkeypatch.setattr(crossdiff_scene, "SAMPLE", 2)
    counts = np.zeros(odd.scene.shape)
    for window in scattered(grid(odd.scene, 32), 2):
        counts[window.within(odd.scene)] = 1
    (want,), (whole,) = (in_one_piece(model, odd, c) for c in (counts, np.ones_like(counts)))
    got = image_of(model, odd)
    assert_close(got, want)
    assert np.abs(got - whole).max() > 1000 * CLOSE * whole.std()


# -- parts, resumed runs, threads -----------------------------------------------------------------


@pytest.fixture(scope="module")
def whole(odd):
    """The whole image, from one window."""
    return image_of(make_crossdiff(), odd)


@pytest.mark.parametrize("part", [(13, 21, 50, 40), (0, 0, 20, 20), (64, 64, 7, 9), (77, 0, 1, 75)])
def test_a_part_is_the_part_of_the_whole(odd, model, whole, part):
    window = Window(*part)
    assert_close(image_of(model, odd, window), whole[(..., *window.within(odd.scene))], 1e-6)


def test_a_corrected_part_is_the_part_of_the_whole(wide, model):
    window = Window(100, 20, 36, 40)  # its corrections are solved in two windows
    here = (..., *window.within(wide.scene))
    corrected, plain = (image_of(model, wide, consistency=c)[here] for c in (True, False))
    assert_close(image_of(model, wide, window, consistency=True), corrected)
    assert np.abs(corrected - plain).mean() > 0.5


@pytest.mark.parametrize("first_row", [1, 64, 70])
def test_rows_can_begin_anywhere(odd, model, whole, first_row):
    assert_close(image_of(model, odd, first_row=first_row), whole[:, first_row:], 1e-6)


def test_order_does_not_matter(odd, model, whole):
    sampler = sampler_of(model, odd)
    for area in (Window(50, 60, 43, 15), Window(0, 0, 64, 64)):
        image = joined(strips_of(sampler, area))
        assert_close(image, whole[(..., *area.within(odd.scene))], 1e-6)


def test_threads_do_not_matter(even, model):
    try:
        got = image_of(model, even, threads=2)
    finally:
        torch.set_num_threads(1)
    assert_close(got, image_of(model, even), 1e-6)


# -- bands ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("bands", [3, 5, 6, 7])
def test_other_band_counts_go_through_in_groups(tmp_path, backend, model, bands):
    with opened(make_pair(backend, tmp_path / "pair", (64, 48), bands=bands)) as pair:
        frame, pan, lms = frame_of(pair)
        (noise,) = noises(frame, bands, 1, seed=3)
        total, count = np.zeros(lms.shape[1:]), np.zeros((bands, 1, 1))
        groups = band_groups(bands, 4)
        for group in groups:
            with torch.inference_mode(), unfrozen(model.network):
                image = model.network(pan, lms[:, group], [noise[:, [*group, bands]]])[0].numpy()
            for slot, band in enumerate(group):
                total[band] += image[slot]
                count[band] += 1
        assert len(groups) == (1 if bands < 4 else 2)
        assert_close(image_of(model, pair, noise="fixed", seed=3), total / count * 2047)


@pytest.mark.parametrize("reference", [False, True])
def test_bands_in_another_order_reach_the_model_in_its_own(tmp_path, backend, reference):
    """A model of B,G,R,NIR on a file of R,G,B,NIR gives what it gives on B,G,R,NIR."""
    roles = ("blue", "green", "red", "nir")
    known, images = make_crossdiff(roles=roles), []
    for order in ((0, 1, 2, 3), (2, 1, 0, 3)):
        ground, order = Ground(4), list(order)
        ground.amplitude, ground.level = ground.amplitude[order], ground.level[order]
        ground.weights = ground.weights[order]
        bands = [BandInfo("uint16", name=roles[i]) for i in order]
        folder = tmp_path / f"{order[0]}"
        made = make_pair(backend, folder, (64, 48), ground=ground, ms_band={"bands": bands})
        with opened(made) as pair:
            assert sampler_of(known, pair).knows_bands
            images.append(image_of(known, pair, reference=reference))
    np.testing.assert_array_equal(images[1][[2, 1, 0, 3]], images[0])


# -- decoders -------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [CrossDiffScene, SceneSampler])
@pytest.mark.parametrize("reference", [False, True])
def test_decoders_are_never_run(even, monkeypatch, make, reference):
    def broken(*args):
        raise AssertionError("a decoder is run")

    model = make_crossdiff()
    monkeypatch.setattr(UNet, "forward", broken)
    for unet in (model.network.p2m, model.network.m2p):
        for unit in (*unet.up, unet.merge, unet.out):
            monkeypatch.setattr(unit, "forward", broken)
    image = image_of(model, even, make=make, reference=reference)
    assert np.isfinite(image).all()


# -- noise ----------------------------------------------------------------------------------------


def test_no_noise_is_the_default(even, model, monkeypatch):
    def broken(*args):
        raise AssertionError("noise is read")

    want = image_of(model, even, noise="zero", seed=8)
    monkeypatch.setattr(NoiseField, "read", broken)
    np.testing.assert_array_equal(image_of(model, even), want)
    with pytest.raises(AssertionError, match="noise is read"):
        image_of(model, even, noise="fixed")


@pytest.mark.parametrize("timesteps", [(50,), (50, 100, 200)])
def test_fixed_noise_is_that_of_the_field(even, timesteps):
    model = make_crossdiff(timesteps=timesteps)
    (want,) = in_one_piece(model, even, seed=3)
    got = image_of(model, even, noise="fixed", seed=3)
    assert_close(got, want)
    other = image_of(model, even, noise="fixed", seed=4)
    assert 1 < np.abs(got - other).mean() < 50


def test_one_seed_is_one_image(odd, model):
    images = [image_of(model, odd, noise="fixed", seed=2**63) for _ in range(2)]
    np.testing.assert_array_equal(*images)


def test_samples_are_averaged_and_their_deviation_is_known(even, model):
    draws = in_one_piece(model, even, np.ones((48, 64)), seed=3, draws=3)
    (strip,) = strips_of(sampler_of(model, even, noise="fixed", seed=3, samples=3))
    assert_close(strip.image, np.mean(draws, axis=0))
    np.testing.assert_allclose(strip.deviation, np.std(draws, axis=0, ddof=1), atol=1e-3, rtol=1e-3)
    assert strip.deviation.mean() > 1


# -- nodata ---------------------------------------------------------------------------------------


def holed(backend, folder, fill):
    """136 x 72 PAN pixels; half of the PAN and a corner of the MS hold nothing but ``fill``."""

    def spoil(pan, ms):
        pan[0, :, 68:] = fill
        ms[:, 15:, :5] = fill

    band = {"nodata": fill}
    return make_pair(
        backend, folder, (136, 72), dtype="float32", spoil=spoil, pan_band=band, ms_band=band
    )


def valid_of(strips):
    """Where strips are valid, (h, w)."""
    return np.concatenate([strip.valid for strip in strips])


def test_what_invalid_pixels_hold_changes_nothing(tmp_path, backend, model):
    images = []
    for name, fill in (("a", 0.0), ("b", 1e6), ("c", np.nan)):
        with opened(holed(backend, tmp_path / name, fill)) as pair:
            strips = strips_of(sampler_of(model, pair))
            images.append(joined(strips)[:, valid_of(strips)])
            if name == "a":
                (filled_in,) = in_one_piece(model, pair, valid_of(strips), inputs=filled)
                (counted,) = in_one_piece(model, pair)
    mask = np.ones((72, 136), bool)
    mask[:, 68:] = mask[60:, :20] = False
    np.testing.assert_array_equal(valid_of(strips), mask)
    np.testing.assert_array_equal(images[1], images[0])
    np.testing.assert_array_equal(images[2], images[0])
    assert_close(images[0], filled_in[:, mask])
    assert np.abs(images[0] - counted[:, mask]).mean() > 5  # what counting them would do


def test_surroundings_of_invalid_pixels_are_not_polluted(tmp_path, backend, model, wide):
    with opened(holed(backend, tmp_path / "bad", 0.0)) as pair:
        strips = strips_of(sampler_of(model, pair))
    valid = valid_of(strips)
    (want,) = in_one_piece(model, wide, valid)
    error = np.abs(joined(strips) - want)[:, valid]
    assert error.mean() < 5
    assert error.max() < want.std()


def test_windows_without_a_valid_pixel_are_skipped(tmp_path, backend, model, monkeypatch):
    drawn, seen = CrossDiffScene._drawn, []

    def watched(self, part, draw):
        seen.append(part.region)
        return drawn(self, part, draw)

    monkeypatch.setattr(CrossDiffScene, "_drawn", watched)
    with opened(holed(backend, tmp_path / "bad", 0.0)) as pair:
        image = joined(strips_of(sampler_of(model, pair)))
    assert [(region.col, region.row) for region in seen] == [(0, 0), (32, 0), (0, 32), (32, 32)]
    assert not image[:, :, 128:].any()
    assert np.isfinite(image).all()


def test_a_sample_of_invalid_windows_is_drawn_again(tmp_path, backend, model, monkeypatch):
    monkeypatch.setattr(crossdiff_scene, "SAMPLE_SIDE", 32)
    monkeypatch.setattr(crossdiff_scene, "SAMPLE", 1)

    def spoil(pan, ms):
        pan[0, :, 40:] = pan[0, 20:] = 0

    made = make_pair(backend, tmp_path / "p", (93, 75), spoil=spoil, pan_band={"nodata": 0.0})
    with opened(made) as pair:
        windows = grid(pair.scene, 32)
        known = [window for window in windows if window.row == 0 and window.col < 40]
        assert not set(scattered(windows, 1)) & set(known)
        (sample,) = scattered(known, 1)
        counts = np.zeros((75, 93))
        counts[sample.within(pair.scene)] = 1
        counts[20:] = counts[:, 40:] = 0
        (want,) = in_one_piece(model, pair, counts, inputs=filled)
        got = image_of(model, pair)
    assert_close(got[:, :20, :40], want[:, :20, :40])
