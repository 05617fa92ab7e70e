"""Adaptations as they are asked for: models to start from, comparisons, the command line."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from adaptations import (
    Scripted,
    Watched,
    adapt_words,
    crossdiff_model,
    fewer_patches,
    job_of,
    left_in,
    model_folder,
)
from models import write_model
from safetensors.torch import load_file
from scenes import Ground, make_pair, read
from whetstone.engine import Progress, WhetstoneError, run
from whetstone.engine.cards import read_card
from whetstone.engine.cli import main
from whetstone.engine.deep import adaptation, fitting
from whetstone.engine.deep.adaptation import Adaptation
from whetstone.engine.deep.chunks import full
from whetstone.engine.deep.fitting import find_start
from whetstone.engine.errors import Cancelled
from whetstone.engine.jobs import AdaptJob, CompareJob, DemoJob, FuseJob, RasterSource
from whetstone.engine.pair import open_pair
from whetstone.engine.types import Window


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    return model_folder(tmp_path, monkeypatch)


@pytest.fixture
def quick(monkeypatch):
    """Small batches, and a model is written however good it is."""
    fewer_patches(monkeypatch)
    monkeypatch.setattr(Adaptation, "_judge", lambda self, ended: None)


@pytest.fixture(scope="module")
def small(tmp_path_factory, backend):
    """128 PAN pixels at ratio 2: one window of 64 pixels at reduced resolution."""
    return make_pair(backend, tmp_path_factory.mktemp("small"), (128, 128), 2.0)


@pytest.fixture
def scripted(monkeypatch):
    fewer_patches(monkeypatch)

    def use(*values):
        monkeypatch.setattr(adaptation, "score", Scripted(*values))

    return use


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """A drawn scene with its truth."""
    return run(DemoJob(str(tmp_path_factory.mktemp("demo")), size=256))


# -- where it starts ------------------------------------------------------------------------------


def test_a_model_that_does_not_fit_is_refused(small, tmp_path):
    others = {
        "CrossDiff model of 3 bands": crossdiff_model(tmp_path / "three.safetensors", bands=3),
        "ssdiff model of 4 bands": write_model(tmp_path, ratio=2),
    }
    for words, path in others.items():
        with pytest.raises(WhetstoneError, match=words.split(" of ")[1]) as caught:
            run(job_of(small, tmp_path / "m.safetensors", start=path))
        assert caught.value.code == "MODEL_MISMATCH" and "--from scratch" in caught.value.hint
    with pytest.raises(WhetstoneError) as caught:
        run(job_of(small, tmp_path / "m.safetensors", start="nosuch"))
    assert caught.value.code == "MODEL_UNKNOWN"


def test_bands_go_to_a_model_in_its_order(home, demo, quick, backend, tmp_path):
    """The same as if the user had given them so; fused, they are in the order of the image."""
    order = ("red", "green", "blue", "nir")
    crossdiff_model(home / "base.safetensors", ratio=4.0, roles=order)
    weights, cards, fused = [], [], []
    for name, bands in (("sorted", None), ("given", (3, 2, 1, 4))):
        model, ms = tmp_path / f"{name}.safetensors", RasterSource((demo.ms,), bands)
        job = replace(job_of(demo, model, start=None, steps=2), ms=ms)
        made = run(job)
        assert made.start == "base"
        sorted_anew = "The bands are taken in the order of the model: red, green, blue, nir."
        assert (sorted_anew in made.notes) == (bands is None)
        weights.append(load_file(model))
        cards.append(read_card(model.with_suffix(".json")))
        out = str(tmp_path / f"{name}.tif")
        run(FuseJob(job.pan, ms, out, "crossdiff", model=str(model), overviews=False))
        fused.append(read(backend, out)[0])
    assert cards[0].roles == order and cards[0].normalisation == cards[1].normalisation
    assert all(torch.equal(weights[0][name], value) for name, value in weights[1].items())
    assert np.array_equal(fused[0][[2, 1, 0, 3]], fused[1])


def test_bands_without_names_keep_their_roles_in_another_order(home, small, monkeypatch):
    """Nothing in the file says which is which, only the sensor does."""
    order = ("nir", "red", "green", "blue")
    crossdiff_model(home / "base.safetensors", roles=order)
    seen = []

    def watch(job, pair, *rest):
        seen.append((pair.sensor, pair.read_ms(Window(0, 0, 9, 9))[0]))
        raise Cancelled()

    monkeypatch.setattr(fitting, "fit", watch)
    job = job_of(small, home / "m.safetensors", start=None, sensor="qb")
    with pytest.raises(Cancelled):
        run(job)
    with open_pair(job.pan, job.ms, sensor="qb") as own:
        assert own.sensor.roles == order[::-1]
        ((sensor, values),) = seen
        assert (sensor.roles, sensor.ms_gains) == (order, own.sensor.ms_gains[::-1])
        assert np.array_equal(values, own.read_ms(Window(0, 0, 9, 9))[0][::-1])


def test_an_adapted_model_can_be_a_start(quick, backend, small, tmp_path):
    """It keeps its scale and its statistics, which the features of its encoders need."""
    first, second = (tmp_path / f"{name}.safetensors" for name in "ab")
    run(job_of(small, first))
    other = make_pair(backend, tmp_path / "pair", (128, 128), 2.0, ground=Ground(seed=2))
    result = run(job_of(other, second, start=str(first)))
    assert result.start == "a"
    before, after = (read_card(path.with_suffix(".json")) for path in (first, second))
    assert before.normalisation == after.normalisation
    a, b = load_file(first), load_file(second)
    assert any(".frozen_" in n for n in a if not n.startswith("head"))
    assert all(torch.equal(a[n], b[n]) for n in a if not n.startswith("head"))
    assert any(not torch.equal(a[n], b[n]) for n in a if n.startswith("head"))


def test_the_start_is_chosen_by_bands_ratio_and_sensor(home, small):
    def started():
        job = job_of(small, "m.safetensors", start=None)
        with open_pair(job.pan, job.ms, sensor="WV3") as pair:
            found = find_start(job, pair, Progress())
        assert ("From scratch" if found.model is None else found.model.name) in found.why
        return found.model and found.model.name

    assert started() is None
    crossdiff_model(home / "far.safetensors", ratio=4.0, sensors=("wv3",))
    crossdiff_model(home / "fewer.safetensors", bands=3, sensors=("wv3",))
    write_model(home, ratio=2)
    assert started() is None
    crossdiff_model(home / "other.safetensors", sensors=("qb",))
    assert started() == "other"  # one with other bands and the right sensor does not hide it
    crossdiff_model(home / "right.safetensors", ratio=2.1, sensors=("wv3",))
    assert started() == "right"


def test_statistics_are_those_that_the_head_has_learnt_with(quick, small, tmp_path):
    base = crossdiff_model(tmp_path / "base.safetensors", statistics="window")
    run(job_of(small, tmp_path / "m.safetensors", start=base))
    assert read_card(tmp_path / "m.json").statistics == "model"
    names = load_file(tmp_path / "m.safetensors")
    assert all(any(f"{part}." in n and ".frozen_" in n for n in names) for part in ("p2m", "head"))


def test_a_shift_is_told_and_learnt_with(quick, monkeypatch, backend, tmp_path):
    pair = make_pair(backend, tmp_path / "pair", (256, 256), 2.0, shift=(1.5, -1.0))
    asked = []
    from whetstone.engine.deep import fitting

    monkeypatch.setattr(
        fitting, "full", lambda pair, shift, base: asked.append(shift) or full(pair, shift, base)
    )
    result = run(job_of(pair, tmp_path / "m.safetensors", sensor="generic"))
    assert asked[0].dx == pytest.approx(1.5, abs=0.2)
    assert asked[0].dy == pytest.approx(-1.0, abs=0.2)
    assert "It was trained with the shift corrected; correct it when fusing, too." in result.notes


# -- comparisons ----------------------------------------------------------------------------------


def compare_job(pair, out, methods=("exp",), **more):
    sources = RasterSource.of(pair.pan), RasterSource.of(pair.ms)
    words = {"sensor": "generic", "device": "cpu", **more}
    return CompareJob(*sources, methods, str(out), **words)


@pytest.fixture
def few_steps(monkeypatch):
    """A comparison gives its adaptation minutes; here it has one step."""
    from whetstone.engine import compare

    asked, adapt = [], compare.adapt

    def brief(job, progress):
        asked.append(job)
        return adapt(AdaptJob(**{**vars(job), "steps": 1, "threads": 1}), progress)

    monkeypatch.setattr(compare, "adapt", brief)
    return asked


def test_a_comparison_adapts_to_the_degraded_pair(quick, few_steps, backend, tmp_path):
    pair, out = make_pair(backend, tmp_path / "pair", (256, 256), 2.0), tmp_path / "out"
    result = run(compare_job(pair, out, reduced=True, adapt=2.0))
    assert [row["method"] for row in result.rows] == ["exp", "crossdiff"], result.notes
    (job,) = few_steps
    assert job.minutes == 2.0 and job.ms.paths == (str(out / "ms.tif"),)
    assert {"crossdiff.safetensors", "crossdiff.tif", "exp.tif"} <= set(left_in(out))
    assert any("crossdiff was adapted to this pair in 1 steps" in note for note in result.notes)
    assert "ergas" in result.rows[1]["scores"]


def test_a_comparison_leaves_out_what_could_not_be_adapted(few_steps, scripted, small, tmp_path):
    scripted(3.5)
    result = run(compare_job(small, tmp_path / "out", ("crossdiff", "exp"), adapt=1.0))
    assert [row["method"] for row in result.rows] == ["exp"]
    (note,) = [note for note in result.notes if "was left out" in note]
    assert note.startswith("crossdiff was left out: After 1 steps the adapted model has ERGAS 3.5")
    with pytest.raises(WhetstoneError) as caught:
        run(compare_job(small, tmp_path / "out", ("crossdiff",), adapt=1.0))
    assert caught.value.code == "ADAPT_WORSE"


def test_a_cancelled_adaptation_cancels_the_comparison(few_steps, scripted, small, tmp_path):
    scripted(2.0)
    stop = Watched(lambda text: "training the head" in text)
    with pytest.raises(Cancelled):
        run(compare_job(small, tmp_path / "out", adapt=1.0), stop)


def test_a_model_and_an_adaptation_are_refused_together(small, tmp_path):
    with pytest.raises(WhetstoneError) as caught:
        run(compare_job(small, tmp_path / "out", model="mine", adapt=1.0))
    assert caught.value.code == "USAGE" and not (tmp_path / "out").exists()


def test_a_model_is_for_the_method_of_its_kind(monkeypatch, small, tmp_path):
    from whetstone.engine import compare

    asked, fuse = {}, compare.fuse

    def brief(job, progress):
        asked[job.method] = (job.model, job.consistency)
        if job.method == "exp":
            return fuse(job, progress)
        raise WhetstoneError("STOPPED", "Enough is known.")

    monkeypatch.setattr(compare, "fuse", brief)
    mine = crossdiff_model(tmp_path / "mine.safetensors")
    names = ("SSDiff", "CROSSDIFF", "exp")  # in any case
    run(compare_job(small, tmp_path / "a", names, model=mine, steps=1, consistency=True))
    assert asked == {"ssdiff": (None, True), "crossdiff": (mine, True), "exp": (None, False)}
    run(compare_job(small, tmp_path / "b", ("ssdiff", "exp"), model=mine))
    assert asked["ssdiff"] == (mine, False)  # which then says that it is of another kind


@pytest.mark.parametrize("words", [{"model": "mine"}, {"steps": 2}, {"consistency": True}])
def test_what_is_for_models_alone_is_refused_without_one(small, tmp_path, words):
    with pytest.raises(WhetstoneError, match="none of the methods is a deep one") as caught:
        run(compare_job(small, tmp_path / "out", ("gsa", "exp"), **words))
    assert caught.value.code == "NOT_DEEP" and not (tmp_path / "out").exists()


def test_without_a_model_of_its_kind_a_method_is_left_out(small, tmp_path):
    mine = crossdiff_model(tmp_path / "mine.safetensors")
    result = run(compare_job(small, tmp_path / "a", ("ssdiff", "CrossDiff"), model=mine, steps=1))
    assert [row["method"] for row in result.rows] == ["crossdiff"]
    (note,) = [note for note in result.notes if note.startswith("ssdiff was left out: ")]
    assert "No ssdiff model here fits 4 bands at ratio 2" in note


# -- the command line -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "status", "code"),
    [
        (["--out", "m.pt"], 1, "OUT_FORMAT"),
        (["--out", "nowhere/m.safetensors"], 1, "OUT_FOLDER"),
        (["--minutes", "0"], 1, "TIME"),
        (["--minutes", "nan"], 1, "TIME"),
        (["--minutes", "1441"], 1, "TIME"),
        (["--objective", "best"], 2, "USAGE"),
        (["--steps", "-1"], 2, "USAGE"),
        (["--seed", str(2**63)], 1, "USAGE"),
        (["--from", "nosuch"], 1, "MODEL_UNKNOWN"),
        (["--device", "abacus"], 1, "DEVICE"),
        (["--sensor", "abacus"], 2, "SENSOR_UNKNOWN"),
        (["--bounds", "1", "1", "0", "0"], 2, "USAGE"),
    ],
)
def test_wrong_calls(small, tmp_path, capsys, monkeypatch, more, status, code):
    monkeypatch.chdir(tmp_path)
    assert main(adapt_words(small, "m.safetensors", *more)) == status
    out, err = capsys.readouterr()
    assert json.loads(out)["error"]["code"] == code
    assert err.splitlines()[-1].startswith(f"{code}: ")
    assert left_in(tmp_path) == ["models"]


def test_the_engine_checks_what_the_command_line_does(small, tmp_path):
    for more, code in (({"objective": "best"}, "OBJECTIVE"), ({"steps": -1}, "USAGE")):
        with pytest.raises(WhetstoneError) as caught:
            run(job_of(small, tmp_path / "m.safetensors", **more))
        assert caught.value.code == code


def test_too_many_bands_are_refused(backend, tmp_path):
    pair = make_pair(backend, tmp_path, (128, 128), 2.0, bands=17)
    with pytest.raises(WhetstoneError, match="17 bands") as caught:
        run(job_of(pair, tmp_path / "m.safetensors"))
    assert caught.value.code == "BANDS"


def test_too_small_a_scene_is_refused(backend, tmp_path):
    pair = make_pair(backend, tmp_path, (80, 80), 2.0)
    with pytest.raises(WhetstoneError) as caught:
        run(job_of(pair, tmp_path / "m.safetensors"))
    assert caught.value.code == "TOO_SMALL"


def test_ctrl_c_leaves_nothing(small, tmp_path):
    out = tmp_path / "m.safetensors"
    words = adapt_words(small, out, "--from", "scratch", "--minutes", "30")
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "whetstone.engine.cli", *words],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        for line in process.stderr:
            if "PAN and MS are shifted" in line:
                break
        time.sleep(0.5)  # now it reads, or trains the encoders
        process.send_signal(signal.SIGINT)
        said, told = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130
    assert json.loads(said)["error"]["code"] == "CANCELLED"
    assert told.splitlines()[-1].startswith("CANCELLED: ")
    assert left_in(tmp_path) == ["models"]
