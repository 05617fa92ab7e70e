"""The base of models that go on from MTF-GLP-FS: the scene's own MTF, and agreement with the MS."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import scenes
import torch
from models import make_card, write_crossdiff
from scene_jobs import StopAt, bounds, job_of, refusal
from scenes import Ground, ergas, make_pair, read
from whetstone.engine import Progress, run
from whetstone.engine.classical import Scene
from whetstone.engine.deep.consistency import CORE, MARGIN, NOISE, Consistency, most_sampled
from whetstone.engine.deep.degradation import down_matrix
from whetstone.engine.deep.inputs import Grid, read_inputs, read_pan_and_lms
from whetstone.engine.deep.presharpen import Presharpener, shown_gain
from whetstone.engine.deep.ssdiff import SSDiff
from whetstone.engine.deep.strip import Corrected, Strip
from whetstone.engine.deep.weights import save_model
from whetstone.engine.fields import WindowFields
from whetstone.engine.pair import open_pair
from whetstone.engine.types import Window


def opened(made, tmp_path):
    job = made.job(tmp_path / "x.tif")
    return open_pair(job.pan, job.ms, sensor="generic")


def learnt(pair):
    return Presharpener(Scene(pair, 1, Progress()))


@pytest.fixture
def pair(tmp_path, backend):
    return make_pair(backend, tmp_path, (192, 160), dtype="float32")


def zero_network():
    network = SSDiff(4, share_resample=True)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
    return network


def on_a_base(path, network):
    save_model(path, network, make_card(normalisation={"kind": "standard"}, base="glp"))
    return str(path)


@pytest.fixture
def model(tmp_path):
    """A model that adds nothing to its base."""
    return on_a_base(tmp_path / "zero.safetensors", zero_network())


@pytest.mark.parametrize("gain", [0.2, 0.3, 0.52, 0.7])
@pytest.mark.parametrize("geometry", [(4.0, None), (2.0, 0.0), (3.7, 1.3)])
def test_a_scene_shows_its_mtf(tmp_path, backend, monkeypatch, gain, geometry):
    monkeypatch.setattr(scenes, "GAIN", gain)
    made = make_pair(backend, tmp_path, (256, 256), *geometry, dtype="float32")
    with opened(made, tmp_path) as pair:
        found, explained = shown_gain(Scene(pair, 1, Progress()))
    assert found == pytest.approx(gain, abs=0.04) and explained > 0.99


def test_a_pan_that_the_bands_do_not_explain_leaves_the_table(tmp_path, backend):
    def spoil(pan, ms):
        pan[:] = np.random.default_rng(1).normal(600, 100, pan.shape)

    made = make_pair(backend, tmp_path, (128, 128), dtype="float32", spoil=spoil)
    with opened(made, tmp_path) as pair:
        base = learnt(pair)
    assert base.gain == 0.3 and "the table's MTF is taken" in base.note


@pytest.mark.parametrize("geometry", [(4.0, None), (4.0, 0.4), (2.0, 0.0), (3.7, 1.3)])
def test_it_agrees_with_the_ms_and_is_nearer_to_the_truth(tmp_path, backend, geometry):
    made = make_pair(backend, tmp_path, (224, 224), *geometry, dtype="float32")
    with opened(made, tmp_path) as pair:
        base, whole = learnt(pair), Window(0, 0, 224, 224)
        image = base.image(pair.read_pan(whole)[0], whole)
        job = made.job(tmp_path / "glp.tif", "mtf-glp-fs", dtype="float32")
        run(job)
        glp = read(backend, job.out)[0]
        count = int(150 / pair.ratio)
        inside = int(48 / pair.ratio)
        seen = []
        places = [pair.geometry.pan_position(a, inside + np.arange(count)) for a in (1, 0)]
        rows, cols = (down_matrix(base.gain, pair.ratio, where, 224) for where in places)
        ms = pair.read_ms(Window(inside, inside, count, count))[0]
        for fused in (image, glp):
            seen.append(np.abs(rows @ fused.astype(float) @ cols.T - ms).mean())
    assert seen[0] < 0.35 * seen[1]
    assert ergas(image, made.truth) < 0.85 * ergas(glp, made.truth)


def test_a_pixel_is_the_same_in_every_window(pair, tmp_path):
    with opened(pair, tmp_path) as opened_pair:
        base, whole = learnt(opened_pair), Window(-16, -16, 224, 192)
        large = base.image(opened_pair.read_pan(whole)[0], whole)
        for window in (Window(60, 30, 32, 48), Window(-16, 0, 16, 16), Window(190, 150, 18, 26)):
            part = base.image(opened_pair.read_pan(window)[0], window)
            np.testing.assert_array_equal(part, large[(..., *window.within(whole))])


# -- agreement with the measured MS ---------------------------------------------------------------


@pytest.fixture
def blurring(tmp_path):
    """A model that takes some of the detail of its base away."""
    network = zero_network()
    with torch.no_grad():
        network.lr_up.conv.weight[range(64), [i // 16 for i in range(64)], 1, 1] = -0.1
    return on_a_base(tmp_path / "blurring.safetensors", network)


def unlike(image, pair, band, gain):
    """What the sensor would see of the middle of an image of ``pair``, less what it measured."""
    places = [pair.geometry.pan_position(axis, 6 + np.arange(28)) for axis in (1, 0)]
    rows, cols = (down_matrix(gain, 4.0, at, size) for at, size in zip(places, image.shape[1:]))
    seen = rows @ image[band].astype(float) @ cols.T
    return np.abs(seen - pair.read_ms(Window(6, 6, 28, 28))[0][band])


def mean_unlike(path, made, tmp_path, backend):
    image = read(backend, path)[0]
    with opened(made, tmp_path) as pair:
        return np.mean([unlike(image, pair, band, 0.3) for band in range(4)])


def fused(made, model, out, **more):
    job = job_of(made, model, out, "ssdiff", **{"sensor": "spot6", **more})
    watch = StopAt(2.0)
    run(job, watch)
    return watch.said


def test_an_image_is_kept_to_the_measured_ms(pair, blurring, tmp_path, backend):
    errors, agreements = {}, {}
    ways = {"kept": {}, "exact": {"consistency": True}, "unknown": {"sensor": "generic"}}
    for name, more in ways.items():
        out = tmp_path / f"{name}.tif"
        said = fused(pair, blurring, out, **more)
        assert any("towards the measured MS" in text for text in said) == (name != "unknown")
        errors[name] = ergas(read(backend, out)[0], pair.truth)
        agreements[name] = mean_unlike(out, pair, tmp_path, backend)
    assert agreements["exact"] < 0.1 * agreements["kept"] < 0.03 * agreements["unknown"]
    assert errors["kept"] < 0.9 * errors["unknown"]


def test_crossdiff_is_corrected_too(pair, tmp_path, backend):
    words = {"base": "glp", "normalisation": {"kind": "standard"}, "centred": True}
    model = write_crossdiff(tmp_path, **words)
    found = []
    for sensor in ("spot6", "generic"):
        job = job_of(pair, model, tmp_path / f"{sensor}.tif", sensor=sensor)
        run(job)
        found.append(mean_unlike(job.out, pair, tmp_path, backend))
    assert found[0] < 0.3 * found[1]


def test_the_forecast_counts_what_a_correction_needs(tmp_path, backend):
    made = make_pair(backend, tmp_path, (1024, 1024), dtype="float32")
    with opened(made, tmp_path) as pair:
        area = Window(400, 410, 200, 190)
        fix = Corrected(Consistency(pair), area, area.row)
        assert most_sampled(pair, "lms", False, area) == (area, 0)
        for wide, held in (
            most_sampled(pair, "glp", False, area),
            most_sampled(pair, "lms", True, area),
        ):
            assert wide == fix.wide and wide.width > 2 * MARGIN * 4 + area.width - 1
            assert held == 2 * 4 * (CORE + 2 * MARGIN)


def test_the_noise_of_the_ms_is_not_blown_up(tmp_path, backend):
    """What the sensor hardly passes, an exact agreement takes from the noise."""

    def spoil(pan, ms):
        ms += np.random.default_rng(5).normal(0, 10, ms.shape)

    made = make_pair(backend, tmp_path, (192, 160), dtype="float32", spoil=spoil)
    whole = Window(0, 0, 192, 160)
    truth = made.truth.astype(np.float32)
    with opened(made, tmp_path) as pair:
        wrong = [
            np.std(Consistency(pair, noise).correct(truth, whole, None) - truth)
            for noise in (0.0, NOISE)
        ]
    assert wrong[1] < 0.7 * wrong[0]


GEOMETRIES = [(4.0, None), (4.0, 3.2), (2.0, 0.0), (1.5, 0.7)]


@pytest.mark.parametrize("geometry", GEOMETRIES)
@pytest.mark.parametrize("noise", [0.0, NOISE])
@pytest.mark.parametrize("holed", [False, True])
def test_edges_and_holes_are_corrected_like_the_rest(tmp_path, backend, geometry, noise, holed):
    """An image that is too dark everywhere becomes brighter everywhere, by the same."""

    def spoil(pan, ms):
        if holed:
            ms[:, 10:13, 12:15] = 0

    made = make_pair(
        backend, tmp_path, (128, 128), *geometry, dtype="float32",
        spoil=spoil, ms_band={"nodata": 0.0},
    )  # fmt: skip
    with opened(made, tmp_path) as pair:
        truth = made.truth[(..., *pair.scene.within(Window(0, 0, 128, 128)))].astype(np.float32)
        fix = Consistency(pair, noise)
        added = fix.correct(truth - 100, pair.scene, None) - truth + 100
        cut = fix.correct(truth, pair.scene, None) - truth  # the sensor's filter is cut off
    assert np.abs(cut).max() < 0.08 * truth.std()
    assert np.abs(added - cut - 100 / (1 + noise)).max() < 12  # in a corner


@pytest.mark.parametrize("sensor", ["qb", "spot6"])
def test_every_band_is_corrected_by_its_own_mtf(pair, tmp_path, sensor):
    job = pair.job(tmp_path / "x.tif")
    rng = np.random.default_rng(1)
    image = (pair.truth + rng.normal(0, 20, pair.truth.shape)).astype(np.float32)
    with open_pair(job.pan, job.ms, sensor=sensor) as opened_pair:
        fixed = Consistency(opened_pair).correct(image, Window(0, 0, 192, 160), None)
        gains = opened_pair.sensor.ms_gains
        assert len(set(gains)) == (4 if sensor == "qb" else 1)
        for band, gain in enumerate(gains):
            assert unlike(fixed, opened_pair, band, gain).max() < 0.5


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_windows_of_a_correction_join(tmp_path, backend, geometry):
    made = make_pair(backend, tmp_path, (330, 290), *geometry, dtype="float32")
    rng = np.random.default_rng(2)
    with opened(made, tmp_path) as pair:
        scene, area = pair.scene, Window(30, 40, 280, 230).intersect(pair.scene)
        image = rng.normal(500, 50, (4, *scene.shape)).astype(np.float32)
        fix = Consistency(pair, NOISE)
        at_once = fix.correct(image, scene, None)
        corrected = Corrected(fix, area, area.row)
        wide = corrected.wide
        strip = Strip(wide, image[(..., *wide.within(scene))], None, None)
        parts = [part.image for part in corrected.strips(iter([strip]))]
    got = np.concatenate(parts, axis=1)
    assert np.abs(got - at_once[(..., *area.within(scene))]).max() < 0.05


@pytest.mark.parametrize("gain", [0.15, 0.6])
def test_a_scene_that_shows_another_mtf_is_left_as_it_is(
    tmp_path, backend, monkeypatch, blurring, gain
):
    monkeypatch.setattr(scenes, "GAIN", gain)
    made = make_pair(backend, tmp_path, (256, 256), dtype="float32")
    said = fused(made, blurring, tmp_path / "a.tif")
    assert not any("towards the measured MS" in text for text in said)
    run(job_of(made, blurring, tmp_path / "b.tif", "ssdiff"))  # a sensor that nobody knows
    ours, plain = (read(backend, tmp_path / f"{name}.tif")[0] for name in "ab")
    np.testing.assert_array_equal(ours, plain)


@pytest.mark.parametrize("shift", [(1.0, -0.6), (3.0, 2.0)])
def test_a_moved_pan_does_not_mislead_it_far(tmp_path, backend, shift):
    made = make_pair(backend, tmp_path, (256, 256), dtype="float32", shift=shift)
    with opened(made, tmp_path) as pair:
        assert 0.2 < learnt(pair).gain < 0.4


def test_what_knows_no_base_refuses_it(pair, tmp_path, model):
    job = job_of(pair, model, tmp_path / "a.tif", "ssdiff", protocol="toolbox")
    assert refusal(job, "goes on from MTF-GLP-FS") == "TOOLBOX_BASE"
    cross = write_crossdiff(tmp_path, base="glp", normalisation={"kind": "standard"}, centred=True)
    job = job_of(pair, cross, tmp_path / "a.tif", preset="reference")
    assert refusal(job, "goes on from a sharpened image") == "REFERENCE"


def test_models_get_it_for_the_lms(pair, tmp_path):
    window = Window(32, 32, 64, 64)
    with opened(pair, tmp_path) as opened_pair:
        base = learnt(opened_pair)
        want = base.image(opened_pair.read_pan(window)[0], window)
        got = read_inputs(opened_pair, window, Grid(4, 1.5), 64, base)
        plain = read_inputs(opened_pair, window, Grid(4, 1.5), 64)
        assert np.array_equal(got.lms, want) and np.array_equal(got.ms, plain.ms)
        np.testing.assert_array_equal(plain.lms, WindowFields(opened_pair, window).lms)
        assert np.array_equal(read_pan_and_lms(opened_pair, window, 64, base)[1], want)


def test_a_model_that_adds_nothing_gives_it(pair, model, tmp_path, backend):
    job, watch = job_of(pair, model, tmp_path / "a.tif", "ssdiff"), StopAt(2.0)
    run(job, watch)
    image = read(backend, job.out)[0]
    with opened(pair, tmp_path) as opened_pair:
        whole = Window(0, 0, 192, 160)
        want = learnt(opened_pair).image(opened_pair.read_pan(whole)[0], whole)
    np.testing.assert_allclose(image, want, rtol=2e-5)
    assert any(said.startswith("Base: MTF-GLP-FS; the bands explain") for said in watch.said)


@pytest.mark.parametrize("sensor", ["generic", "spot6"])
def test_a_part_is_cut_from_the_whole(pair, blurring, tmp_path, backend, sensor):
    job = job_of(pair, blurring, tmp_path / "a.tif", "ssdiff", sensor=sensor)
    run(job)
    run(replace(job, out=str(tmp_path / "b.tif"), bounds=bounds(40, 30, 100, 90)))
    whole, part = (read(backend, tmp_path / f"{name}.tif")[0] for name in "ab")
    np.testing.assert_array_equal(part, whole[:, 30:120, 40:140])


@pytest.mark.parametrize("sensor", ["generic", "spot6"])
def test_holes_do_not_reach_the_pixels_around_them(tmp_path, backend, blurring, sensor):
    def spoil(pan, ms):
        ms[:, 16:20, 20:24] = 0

    ground = Ground(4)
    images = []
    for name, what in (("whole", None), ("holed", spoil)):
        made = make_pair(
            backend,
            tmp_path / name,
            (192, 160),
            dtype="float32",
            ground=ground,
            spoil=what,
            ms_band={"nodata": 0.0},
        )
        job = job_of(made, blurring, tmp_path / f"{name}.tif", "ssdiff", sensor=sensor)
        run(job)
        images.append(read(backend, job.out))
    (whole, _), (holed, valid) = images
    assert not valid[66:78, 82:94].any() and valid[:60].all()
    away = np.ones(valid.shape, bool)
    away[32:112, 48:128] = False
    assert np.abs(holed - whole)[:, away].max() < 0.02 * whole.std()


def test_the_pan_is_moved_onto_the_ms_unless_the_ms_is(tmp_path, backend, model):
    """The colours stay where they are: only detail moves, and no fringes are left."""
    shift = (1.4, -0.7)
    made = make_pair(backend, tmp_path / "moved", (256, 256), dtype="float32", shift=shift)
    plain = make_pair(backend, tmp_path / "plain", (256, 256), dtype="float32")
    result = run(job_of(made, model, tmp_path / "a.tif", "ssdiff"))
    assert any("the PAN is moved onto the MS" in note for note in result.notes)
    assert not result.coregistered
    run(job_of(plain, model, tmp_path / "b.tif", "ssdiff"))
    ours, ideal = (read(backend, tmp_path / f"{name}.tif")[0] for name in "ab")
    assert ergas(ours, made.truth) < 1.1 * ergas(ideal, made.truth)
    result = run(job_of(made, model, tmp_path / "c.tif", "ssdiff", coregister=True))
    assert result.coregistered
    there = np.roll(read(backend, tmp_path / "c.tif")[0], (1, -1), (1, 2))
    assert ergas(there, made.truth) < ergas(read(backend, tmp_path / "c.tif")[0], made.truth)


def test_a_pan_that_lies_well_is_left_alone(pair, model, tmp_path):
    result = run(job_of(pair, model, tmp_path / "a.tif", "ssdiff"))
    assert not any("is moved" in note for note in result.notes)
