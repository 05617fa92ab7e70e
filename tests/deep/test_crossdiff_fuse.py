"""CrossDiff as a job: what is written, recorded and refused."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from models import write_crossdiff, write_model
from plain_scene import opened
from scene_jobs import StopAt, bounds, job_of, killed, recorded, refusal
from scenes import Ground, header, make_pair, read
from whetstone.engine import Cancelled, run
from whetstone.engine.cli import main
from whetstone.engine.deep import crossdiff_scene
from whetstone.engine.deep.fusion import DeepFusion

pytestmark = pytest.mark.usefixtures("small_windows")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write_crossdiff(tmp_path_factory.mktemp("model"))


# -- what is written ------------------------------------------------------------------------------


def test_the_output_lies_on_the_pan_grid_and_says_how_it_was_made(tmp_path, backend, drawn, model):
    out = tmp_path / "fused.tif"
    result = run(job_of(drawn, model, out, dtype=None))
    info, pan, ms = (header(backend, path) for path in (out, drawn.pan, drawn.ms))
    assert (info.width, info.height, info.transform) == (pan.width, pan.height, pan.transform)
    assert backend.same_crs(info.crs, pan.crs)
    assert [band.dtype for band in info.bands] == [band.dtype for band in ms.bands]
    assert (result.model, result.method) == (model, "crossdiff")
    assert any("one pass, no noise, fp32 (chosen)" in note for note in result.notes)
    assert info.tags["WHETSTONE_MODEL"] == "drawn"
    assert len(info.tags["WHETSTONE_MODEL_SHA256"]) == 64
    assert recorded(backend, out).noise == "zero"


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "float32"])
def test_types_are_kept(tmp_path, backend, dtype):
    model = write_crossdiff(tmp_path, normalisation={"kind": "percentile", "value": 99.5})
    ground = Ground(4, level=120.0, contrast=20.0)
    made = make_pair(backend, tmp_path / "p", (64, 48), dtype=dtype, ground=ground)
    run(job_of(made, model, tmp_path / "o.tif", dtype=None))
    values, _ = read(backend, tmp_path / "o.tif")
    assert values.dtype == dtype
    assert 0 < np.abs(values - made.truth).mean() < 20


@pytest.mark.parametrize(("kind", "haze"), [("percentile", 0.0), ("standard", 300.0)])
def test_the_scale_of_a_scene_makes_units_and_haze_harmless(tmp_path, backend, kind, haze):
    words = {"normalisation": {"kind": kind, "value": 99.5}, "centred": kind == "standard"}
    model, images = write_crossdiff(tmp_path, **words), []
    for name, gain, offset in (("one", 1.0, 0.0), ("ten", 10.0, haze)):
        ground = Ground(4)
        ground.amplitude, ground.level = ground.amplitude * gain, ground.level * gain + offset
        made = make_pair(backend, tmp_path / name, (64, 48), dtype="float32", ground=ground)
        run(job_of(made, model, tmp_path / f"{name}.tif"))
        images.append(read(backend, tmp_path / f"{name}.tif")[0])
    np.testing.assert_allclose(images[1], 10 * images[0] + haze, rtol=1e-3, atol=0.5)


def test_the_toolbox_protocol_is_phase_2(tmp_path, backend, model):
    made = make_pair(backend, tmp_path, (64, 48), phase=2.0)
    for name, protocol in (("p", "product"), ("t", "toolbox")):
        run(job_of(made, model, tmp_path / f"{name}.tif", protocol=protocol))
    ours, toolbox = (read(backend, tmp_path / f"{name}.tif")[0] for name in "pt")
    np.testing.assert_allclose(toolbox, ours, atol=0.05)


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (31, 8), (70, 9)])
def test_scenes_smaller_than_the_grid_of_the_network(tmp_path, backend, model, size):
    made = make_pair(backend, tmp_path, size, ms_size=tuple(-(-n // 4) for n in size))
    for statistics in ("scene", "window"):
        run(job_of(made, model, tmp_path / "o.tif", statistics=statistics, consistency=True))
        values = read(backend, tmp_path / "o.tif")[0]
        assert values.shape == (4, size[1], size[0])
        assert np.abs(values - made.truth).mean() < 200


@pytest.mark.parametrize(
    "more", [{"statistics": "scene"}, {"statistics": "window"}, {"preset": "reference"}]
)
def test_nodata_stays_nodata(tmp_path, backend, model, more):
    def spoil(pan, ms):
        pan[0, :20, :30] = 0
        ms[:, 10:, 12:] = 0

    words = {"pan_band": {"nodata": 0.0}, "ms_band": {"nodata": 0.0}}
    made = make_pair(backend, tmp_path / "p", (64, 48), spoil=spoil, **words)
    job = job_of(made, model, tmp_path / "o.tif", dtype=None, **more)
    run(job)
    got, valid = read(backend, tmp_path / "o.tif")
    mask = np.ones((48, 64), bool)
    mask[:20, :30] = mask[40:, 48:] = False
    np.testing.assert_array_equal(valid, mask)
    assert not got[:, ~mask].any()
    assert np.abs(got.astype(float) - made.truth)[:, mask].mean() < 100
    part = replace(job, out=str(tmp_path / "e.tif"), bounds=bounds(2, 2, 20, 10))
    assert refusal(part, "No valid pixels in the chosen area") == "EMPTY"


@pytest.mark.parametrize("limits", [(None, None), (0.0, 1.0)])
def test_a_scene_without_valid_pixels_is_refused(tmp_path, backend, limits):
    def spoil(pan, ms):
        pan[:] = 0

    model = write_crossdiff(tmp_path, limits=limits)
    made = make_pair(backend, tmp_path / "p", (64, 48), spoil=spoil, pan_band={"nodata": 0.0})
    assert refusal(job_of(made, model, tmp_path / "o.tif"), "No valid pixels") == "EMPTY"


# -- all or nothing -------------------------------------------------------------------------------


def test_a_killed_run_is_resumed_to_the_same_image(tmp_path, backend, model):
    made = make_pair(backend, tmp_path / "tall", (40, 200))
    words = {"samples": 2, "uncertainty": str(tmp_path / "u.tif"), "seed": 5}
    job = job_of(made, model, tmp_path / "r.tif", **words)
    assert 0 < killed(job) < 200
    watch = StopAt(2)
    run(job, watch)
    assert any("Resuming" in text for text in watch.said)
    run(replace(job, out=str(tmp_path / "s.tif"), uncertainty=str(tmp_path / "v.tif")))
    for a, b in (("r", "s"), ("u", "v")):
        got, want = (read(backend, tmp_path / f"{name}.tif")[0] for name in (a, b))
        np.testing.assert_array_equal(got, want)
    assert sorted(p.name for p in tmp_path.glob("*.*")) == ["r.tif", "s.tif", "u.tif", "v.tif"]


@pytest.mark.parametrize(
    ("fraction", "doing", "more"),
    [
        (0.12, "learning the scene", {}),
        (0.5, "sharpening", {}),
        (0.5, "sampling", {"statistics": "window"}),
    ],
)
def test_cancel_leaves_nothing(tmp_path, backend, model, fraction, doing, more):
    made = make_pair(backend, tmp_path / "p", (40, 300))
    watch = StopAt(fraction)
    with pytest.raises(Cancelled):
        run(job_of(made, model, tmp_path / "c.tif", **more), watch)
    assert watch.doing == doing
    assert not list(tmp_path.glob("c*"))


def test_an_error_leaves_nothing(tmp_path, drawn, model, monkeypatch):
    drawn_one, calls = crossdiff_scene.CrossDiffScene._drawn, []

    def broken(self, part, draw):
        calls.append(draw)
        if len(calls) > 1:
            raise OSError("the disk is gone")
        return drawn_one(self, part, draw)

    monkeypatch.setattr(crossdiff_scene, "CORE", 32)
    monkeypatch.setattr(crossdiff_scene.CrossDiffScene, "_drawn", broken)
    with pytest.raises(OSError, match="the disk is gone"):
        run(job_of(drawn, model, tmp_path / "o.tif"))
    assert not list(tmp_path.iterdir())


# -- noise ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "noise", "seed"),
    [
        ({}, "zero", 0),
        ({"seed": 4}, "zero", 4),
        ({"samples": 2, "seed": 4}, "fixed", 4),
        ({"noise": "fixed", "seed": 4}, "fixed", 4),
        ({"noise": "random", "seed": 4}, "fixed", None),
        ({"preset": "reference"}, "fixed", None),
        ({"preset": "reference", "noise": "zero"}, "zero", 0),
        ({"preset": "reference", "noise": "fixed", "seed": 4}, "fixed", 4),
    ],
)
def test_noise_is_settled_in_the_job(drawn, model, words, noise, seed):
    job = job_of(drawn, model, "o.tif", **words)
    with opened(drawn) as pair:
        settled = [
            DeepFusion(job, "crossdiff", pair, 1) for _ in range(1 if seed is not None else 2)
        ]
    assert {one.job.noise for one in settled} == {noise}
    seeds = [one.job.seed for one in settled]
    if seed is None:
        assert len({*seeds, job.seed}) == 3
        assert all(0 <= one < 2**63 for one in seeds)
    else:
        assert seeds == [seed]
    assert settled[0].tags["WHETSTONE_SEED"] == str(seeds[0])


def test_random_noise_is_recorded_and_made_again(tmp_path, backend, drawn, model):
    words = {"noise": "random", "samples": 2, "uncertainty": str(tmp_path / "u.tif")}
    run(job_of(drawn, model, tmp_path / "a.tif", **words))
    job = recorded(backend, tmp_path / "a.tif")
    assert (job.noise, job.samples) == ("fixed", 2)
    assert header(backend, tmp_path / "a.tif").tags["WHETSTONE_SEED"] == str(job.seed)
    assert main(["run", str(tmp_path / "a.tif"), "--out", str(tmp_path / "b.tif"), "--json"]) == 0
    for a, b in (("a", "b"), ("u", "b_std")):
        first, again = (read(backend, tmp_path / f"{name}.tif")[0] for name in (a, b))
        np.testing.assert_array_equal(again, first)
    assert read(backend, tmp_path / "u.tif")[0].mean() > 1
    assert header(backend, tmp_path / "u.tif").bands[1].name == "standard deviation of band 2"


# -- statistics -----------------------------------------------------------------------------------


def test_statistics_are_as_the_model_says_unless_asked_for(tmp_path, backend, drawn, model):
    other = write_crossdiff(tmp_path, statistics="window")
    images = {}
    for path, asked in ((model, "auto"), (model, "window"), (other, "auto"), (other, "scene")):
        run(job_of(drawn, path, tmp_path / "o.tif", statistics=asked))
        images[path == other, asked] = read(backend, tmp_path / "o.tif")[0]
    np.testing.assert_array_equal(images[False, "window"], images[True, "auto"])
    np.testing.assert_array_equal(images[False, "auto"], images[True, "scene"])
    assert np.abs(images[False, "window"] - images[False, "auto"]).max() > 1


# -- refusals -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "code", "match"),
    [
        ({"steps": 4}, "NOT_THIS_MODEL", "steps: that means nothing to the deep method crossdiff"),
        ({"sampler": "ddpm"}, "NOT_THIS_MODEL", "sampler: that means"),
        ({"batch": 2}, "NOT_THIS_MODEL", "batch: that means"),
        ({"noise": "white"}, "NOISE", "no noise 'white'. Choose auto, zero, fixed, random"),
        ({"statistics": "tile"}, "STATISTICS", "no statistics 'tile'. Choose auto, scene, window"),
        ({"preset": "paper"}, "PRESET", "no preset 'paper'. Choose product, reference"),
        ({"noise": "zero", "samples": 3}, "SAMPLES", "all 3 samples are the same"),
        ({"samples": 65}, "SAMPLES", "65 samples"),
        ({"uncertainty": "u.tif"}, "SAMPLES", "deviation of several samples"),
        ({"seed": -1}, "SEED", "The seed is -1"),
        ({"precision": "fp16"}, "PRECISION", "no precision 'fp16'"),
        ({"device": "cuda:9"}, "DEVICE", "no device"),
    ],
)
def test_bad_options_are_refused_before_the_work(tmp_path, drawn, model, words, code, match):
    assert refusal(job_of(drawn, model, tmp_path / "o.tif", **words), match) == code


@pytest.mark.parametrize(
    "words", [{"noise": "fixed"}, {"statistics": "window"}, {"preset": "reference"}]
)
@pytest.mark.parametrize(("method", "code"), [("ssdiff", "NOT_THIS_MODEL"), ("gsa", "NOT_DEEP")])
def test_options_of_crossdiff_mean_nothing_to_others(tmp_path, drawn, words, method, code):
    (name,) = words
    job = drawn.job(tmp_path / "o.tif", method, **words)
    assert refusal(job, f"^{name}: that means nothing to the .* method {method}") == code


@pytest.mark.parametrize("method", ["ssdiff", "crossdiff"])
def test_a_model_of_the_other_architecture_is_refused(tmp_path, drawn, model, method):
    path = model if method == "ssdiff" else write_model(tmp_path)
    job = replace(job_of(drawn, path, tmp_path / "o.tif"), method=method)
    assert refusal(job, f"model, not {method}. Use --method") == "MODEL_MISMATCH"


def test_models_that_do_not_fit_are_refused(tmp_path, backend, drawn):
    eight = write_crossdiff(tmp_path, 8)
    job = job_of(drawn, eight, tmp_path / "o.tif")
    assert refusal(job, "it needs 8 bands, and the image has 4") == "MODEL_MISMATCH"
    job = job_of(drawn, write_crossdiff(tmp_path, ratio=2.0), tmp_path / "o.tif")
    assert refusal(job, "trained for ratio 2") == "MODEL_MISMATCH"


def test_a_damaged_model_is_refused(tmp_path, drawn):
    path = write_crossdiff(tmp_path)
    with open(path, "r+b") as file:
        file.seek(-5, 2)
        file.write(b"\xff")
    job = job_of(drawn, path, tmp_path / "o.tif")
    assert refusal(job, "not the file its card describes") == "MODEL_DAMAGED"


# -- command line ---------------------------------------------------------------------------------


def test_the_command_line(tmp_path, backend, drawn, model):
    words = f"fuse --pan {drawn.pan} --ms {drawn.ms} --method crossdiff --model {model} --json"
    words += f" --out {tmp_path / 'o.tif'} --uncertainty {tmp_path / 'u.tif'} --samples 2"
    words += " --noise fixed --seed 3 --statistics window --precision fp32 --device cpu --threads 1"
    done = subprocess.run(
        [sys.executable, "-m", "whetstone.engine.cli", *words.split()],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert (result["method"], result["model"], result["bands"]) == ("crossdiff", model, 4)
    assert "fixed noise, statistics of each window" in done.stderr
    job = recorded(backend, tmp_path / "o.tif")
    assert (job.noise, job.seed, job.samples, job.statistics) == ("fixed", 3, 2, "window")
    assert read(backend, tmp_path / "u.tif")[0].mean() > 1


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        ("--noise white", 2, "invalid choice: 'white'"),
        ("--statistics tile", 2, "invalid choice: 'tile'"),
        ("--preset paper", 2, "invalid choice: 'paper'"),
        ("--steps 4", 1, "NOT_THIS_MODEL: steps: that means nothing"),
        ("--noise zero --samples 2", 1, "SAMPLES: Without noise"),
    ],
)
def test_the_command_line_refuses_in_one_line(tmp_path, drawn, model, capsys, words, status, said):
    call = f"fuse --pan {drawn.pan} --ms {drawn.ms} --out {tmp_path / 'o.tif'} --model {model}"
    assert main(f"{call} --method crossdiff {words}".split()) == status
    lines = capsys.readouterr().err.splitlines()
    assert said in lines[-1]
    assert not list(tmp_path.iterdir())
