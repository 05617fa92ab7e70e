"""Adaptation: CrossDiff trained on a drawn scene, and what becomes of it."""

from __future__ import annotations

import contextlib
import io
import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from models import write_model
from safetensors.torch import load_file
from scenes import Ground, make_pair, read
from whetstone.engine import Progress, WhetstoneError, run
from whetstone.engine.cli import main
from whetstone.engine.deep import adaptation, models
from whetstone.engine.deep import chunks as chunks_module
from whetstone.engine.deep.adaptation import Adaptation
from whetstone.engine.deep.chunks import full, read_chunks, reduced
from whetstone.engine.deep.crossdiff import CrossDiff
from whetstone.engine.deep.fitting import find_start
from whetstone.engine.deep.weights import Card, read_card, save_model
from whetstone.engine.errors import Cancelled
from whetstone.engine.jobs import AdaptJob, CompareJob, DemoJob, FuseJob, RasterSource
from whetstone.engine.metrics.reference import ergas
from whetstone.engine.pair import open_pair
from whetstone.engine.raster import backend as make_backend

STEPS = 60


class Watched(Progress):
    """Keeps what it is told; ``stop`` says by a message or an act whether to cancel from then."""

    def __init__(self, stop=lambda text: False):
        self.fractions, self.acts, self.notes = [], [], []
        self._stop, self._stopped = stop, False

    def update(self, fraction, text=""):
        self.fractions.append(fraction)
        self.acts.append(text)
        self._stopped |= self._stop(text)

    def message(self, text):
        self.notes.append(text)
        self._stopped |= self._stop(text)

    def cancelled(self):
        return self._stopped


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """No models of the machine take part."""
    folder = tmp_path / "models"
    folder.mkdir()
    monkeypatch.setenv("WHETSTONE_MODELS", str(folder))
    monkeypatch.setattr(models, "BUNDLED", tmp_path / "bundled")
    return folder


@pytest.fixture(scope="module")
def backend():
    return make_backend("rasterio")


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """A drawn scene with its truth."""
    return run(DemoJob(str(tmp_path_factory.mktemp("demo")), size=256))


@pytest.fixture(scope="module")
def trained(demo, tmp_path_factory):
    """One training by the command line: exit status, answer, path of the model, and what it told.

    It needs to beat the plain enlargement alone: so few steps need not beat MTF-GLP-FS.
    """
    out = tmp_path_factory.mktemp("trained") / "mine.safetensors"
    words = ["--from", "scratch", "--steps", str(STEPS), "--minutes", "60", "--seed", "3"]
    said, told = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(adaptation, "glp", lambda images, *rest: images.lms)
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(told):
            status = main(adapt_words(demo, out, *words))
    return SimpleNamespace(
        status=status, answer=json.loads(said.getvalue()), out=out, told=told.getvalue()
    )


def adapt_words(pair, out, *more):
    return [
        "adapt", "--pan", str(pair.pan), "--ms", str(pair.ms), "--out", str(out),
        "--device", "cpu", "--threads", "1", "--json", *more,
    ]  # fmt: skip


def job_of(pair, out, **more):
    words = {"start": "scratch", "steps": 1, "device": "cpu", "threads": 1, **more}
    return AdaptJob(RasterSource.of(pair.pan), RasterSource.of(pair.ms), str(out), **words)


def fewer_patches(patch):
    """A quarter of the patches in every batch."""
    for name in ("BATCH", "FRESH", "NOISY"):
        if hasattr(adaptation, name):
            patch.setattr(adaptation, name, max(getattr(adaptation, name) // 4, 1))


@pytest.fixture
def quick(monkeypatch):
    """Small batches, and a model is written however good it is."""
    fewer_patches(monkeypatch)
    monkeypatch.setattr(Adaptation, "_judge", lambda self, ended: None)


@pytest.fixture(scope="module")
def small(tmp_path_factory, backend):
    """128 PAN pixels at ratio 2: one window of 64 pixels at reduced resolution."""
    return make_pair(backend, tmp_path_factory.mktemp("small"), (128, 128), 2.0)


def crossdiff_model(path, bands=4, ratio=2.0, **more):
    """Fresh weights with a card of what an adaptation writes; its path."""
    torch.manual_seed(1)
    card = Card(
        path.stem,
        "crossdiff",
        {"bands": bands, "centred": True},
        bands,
        ratio,
        normalisation={"kind": "standard"},
        limits=(None, None),
        **more,
    )
    save_model(path, CrossDiff(bands, centred=True), card)
    return str(path)


def parts_of(path):
    """The weights of a model by network: p2m, m2p, head."""
    found = {"p2m": {}, "m2p": {}, "head": {}}
    for name, tensor in load_file(path).items():
        part, _, rest = name.partition(".")
        if ".frozen_" not in name:
            found[part][rest] = tensor
    return found


def same(a, b):
    assert a.keys() == b.keys()
    return all(torch.equal(a[name], b[name]) for name in a)


def left_in(folder):
    return sorted(path.name for path in Path(folder).iterdir())


# -- one training, and the model that comes of it -------------------------------------------------


def test_training_beats_the_plain_enlargement(trained):
    answer = trained.answer
    assert trained.status == 0
    assert (answer["steps"], answer["ended"], answer["start"]) == (STEPS, "steps", None)
    assert (answer["bands"], answer["ratio"], answer["name"]) == (4, 4.0, "mine")
    assert set(answer["scores"]) == {"exp", "mtf-glp-fs", "adapted"}
    exp, adapted = (answer["scores"][name] for name in ("exp", "adapted"))
    assert adapted["ergas"] < 0.9 * exp["ergas"]
    assert adapted["q2n"] > exp["q2n"]
    assert answer["out"] == str(trained.out)
    assert 0 < answer["held_out"] < 100
    assert "note: From scratch, as asked for." in trained.told
    assert f"note: Step {STEPS}: ERGAS " in trained.told


def test_the_card_says_how_it_was_made_and_no_folders(trained, demo):
    card = read_card(trained.out.with_suffix(".json"))
    assert (card.name, card.architecture, card.bands, card.ratio) == ("mine", "crossdiff", 4, 4.0)
    assert card.parameters == {"bands": 4, "centred": True}
    assert card.normalisation["kind"] == "fixed" and len(card.normalisation["ms"]) == 4
    assert card.limits == (None, None)
    assert card.roles == ("blue", "green", "red", "nir") and card.sensors == ("qb",)
    assert (card.window, card.statistics) == (32, "model")
    assert card.training["adapted_to"] == {
        "pan": "pan.tif", "ms": "ms.tif", "sensor": "qb", "pan_pixels": [256, 256],
    }  # fmt: skip
    for key, value in (("objective", "reduced"), ("seed", 3), ("steps", STEPS), ("minutes", 60)):
        assert card.training[key] == value
    assert card.training["ended"] == "steps" and "from" not in card.training
    assert card.scores == {"held out": trained.answer["scores"]}
    assert card.licence == "that of the images it was adapted to"
    text = trained.out.with_suffix(".json").read_text(encoding="utf-8")
    assert str(Path(demo.pan).parent) not in text and len(card.sha256) == 64
    assert left_in(trained.out.parent) == ["mine.json", "mine.safetensors"]


def test_the_model_fuses_better_than_the_plain_enlargement(trained, demo, backend, tmp_path):
    truth, _ = read(backend, demo.gt)
    errors = {}
    for method, model in (("exp", None), ("crossdiff", str(trained.out))):
        out = str(tmp_path / f"{method}.tif")
        sources = RasterSource.of(demo.pan), RasterSource.of(demo.ms)
        words = {"model": model, "device": "cpu", "threads": 1, "overviews": False}
        run(FuseJob(*sources, out, method, dtype="float32", **words))
        fused, _ = read(backend, out)
        errors[method] = ergas(truth.astype(float), fused.astype(float), 4)
    assert errors["crossdiff"] < 0.95 * errors["exp"]
    again = str(tmp_path / "again.tif")
    assert main(["run", out, "--out", again]) == 0
    np.testing.assert_array_equal(read(backend, again)[0], fused)


def test_the_answer_in_words(trained, capsys):
    from whetstone.engine.answers import to_text
    from whetstone.engine.jobs import AdaptResult

    text = to_text(AdaptResult(**trained.answer))
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert f"model {trained.out}" in lines and "started from scratch" in lines
    assert "fits 4 bands at ratio 4" in lines
    assert any(line.startswith(f"training {STEPS} steps in ") for line in lines)
    for name in ("exp", "mtf-glp-fs", "adapted"):
        scores = trained.answer["scores"][name]
        row = next(line for line in lines if line.startswith(f"{name} "))
        assert all(f"{scores[key]:.4f}" in row for key in ("sam", "ergas", "q2n"))
    assert main(["models", "show", str(trained.out)]) == 0
    shown = capsys.readouterr().out
    assert "training adapted_to" in shown and "scores held out" in shown


# -- what the weights depend on -------------------------------------------------------------------


def test_the_same_seed_gives_the_same_weights(quick, small, tmp_path):
    paths = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        torch.manual_seed(len(paths))  # what was drawn before plays no part
        paths.append(tmp_path / f"{name}.safetensors")
        result = run(job_of(small, paths[-1], steps=2, seed=seed, objective="full"))
        assert (result.steps, result.ended) == (2, "steps")
    a, b, c = map(load_file, paths)
    assert same(a, b)
    assert not any(torch.equal(a[n], c[n]) for n in a if a[n].ndim > 1)


def test_the_randomness_of_the_host_is_left_alone(quick, small, tmp_path):
    torch.manual_seed(5)
    want = torch.rand(3)
    torch.manual_seed(5)
    run(job_of(small, tmp_path / "a.safetensors", seed=9))
    assert torch.equal(torch.rand(3), want)


def test_stages_train_their_own_parts(quick, monkeypatch, small, tmp_path):
    """Decoders and encoders in the first stage alone, the head in the second alone."""
    seen, encoders = [], Adaptation._train_encoders

    def state(network):
        return {name: value.clone() for name, value in network.state_dict().items()}

    def watched(self):
        seen.append(state(self.network))
        encoders(self)
        seen.append(state(self.network))

    monkeypatch.setattr(Adaptation, "_train_encoders", watched)
    run(job_of(small, tmp_path / "a.safetensors", steps=3))
    (fresh, pretrained), final = seen, load_file(tmp_path / "a.safetensors")
    assert any(name.startswith("p2m.out") for name in fresh)
    for name in fresh:
        first = not torch.equal(fresh[name], pretrained[name])
        second = not torch.equal(pretrained[name], final[name])
        of_head = name.startswith("head")
        assert (first, second) == (not of_head, of_head), name


@pytest.mark.parametrize("objective", ["reduced", "full"])
def test_from_a_model_only_the_head_changes(quick, home, small, tmp_path, objective):
    base = crossdiff_model(tmp_path / "base.safetensors", training={"data": "elsewhere"})
    out = tmp_path / "mine.safetensors"
    watched = Watched()
    result = run(job_of(small, out, start=base, objective=objective), watched)
    before, after = parts_of(base), parts_of(out)
    assert same(before["p2m"], after["p2m"]) and same(before["m2p"], after["m2p"])
    assert not any(torch.equal(before["head"][n], after["head"][n]) for n in before["head"])
    assert result.start == "base" and "From the model base." in watched.notes
    assert set(result.scores) == {"exp", "mtf-glp-fs", "start", "adapted"}
    card, old = read_card(out.with_suffix(".json")), read_card(Path(base).with_suffix(".json"))
    assert card.training["from"] == {
        "name": "base", "sha256": old.sha256, "training": {"data": "elsewhere"},
    }  # fmt: skip
    assert card.training["objective"] == objective
    assert card.licence.endswith("of the weights it started from: not stated")
    assert card.name == "mine" and card.sha256 != old.sha256


@pytest.mark.parametrize(
    ("bands", "ratio", "objective"),
    [(1, 4.0, "full"), (3, 3.7, "full"), (16, 2.0, "full"), (3, 3.7, "reduced")],
)
def test_any_bands_and_ratios(quick, backend, tmp_path, bands, ratio, objective):
    side = int(66 * ratio)
    pair = make_pair(backend, tmp_path / "pair", (side, side), ratio, 1.0, bands=bands)
    out = tmp_path / "m.safetensors"
    result = run(job_of(pair, out, objective=objective, sensor="generic"))
    assert (result.bands, result.ratio, result.steps) == (bands, pytest.approx(ratio), 1)
    assert all(np.isfinite(v) for scores in result.scores.values() for v in scores.values())
    sources = RasterSource.of(pair.pan), RasterSource.of(pair.ms)
    fused = run(
        FuseJob(*sources, str(tmp_path / "f.tif"), "crossdiff", model=str(out), device="cpu",
                threads=1, overviews=False, sensor="generic")
    )  # fmt: skip
    assert fused.bands == bands


def test_invalid_pixels_have_no_influence(quick, backend, tmp_path):
    """What lies beyond the reach of valid pixels may say anything."""
    ground, outs = Ground(), []
    for number, value in enumerate((0, 40000)):

        def spoil(pan, ms, value=value):
            pan[0, :, 150:], ms[:, :, 75:] = value, value

        band = {"nodata": value}
        pair = make_pair(
            backend, tmp_path / f"pair{number}", (220, 132), 2.0, ground=ground, spoil=spoil,
            pan_band=band, ms_band=band,
        )  # fmt: skip
        outs.append(tmp_path / f"{number}.safetensors")
        run(job_of(pair, outs[-1], objective="full", sensor="generic"))
    assert same(*map(load_file, outs))


def test_a_part_of_the_scene_is_learnt_from(quick, backend, tmp_path):
    """``bounds`` sees what an image cut there shows, apart from its surroundings."""
    pair = make_pair(backend, tmp_path, (300, 280), 2.0)
    with open_pair(RasterSource.of(pair.pan), RasterSource.of(pair.ms)) as source:
        x0, dx, _, y0, _, dy = source.pan.info.transform
    bounds = (x0 + 100 * dx, y0 + 240 * dy, x0 + 260 * dx, y0 + 80 * dy)
    result = run(job_of(pair, tmp_path / "m.safetensors", bounds=bounds))
    card = read_card(Path(result.out).with_suffix(".json"))
    assert card.training["adapted_to"]["pan_pixels"] == [160, 160]
    with pytest.raises(WhetstoneError) as caught:
        run(job_of(pair, tmp_path / "m.safetensors", bounds=(0, 0, 1, 1)))
    assert caught.value.code == "NO_OVERLAP"


# -- patches --------------------------------------------------------------------------------------


def adaptation_of(pair):
    """An adaptation that has not begun."""
    small = read_chunks(*reduced(pair, None), hold_out=True, progress=Progress())
    return Adaptation(
        CrossDiff(pair.bands, centred=True),
        small,
        read_chunks(*full(pair, None), hold_out=False, progress=Progress()),
        pair,
        objective="full",
        scale=small.scale({"kind": "standard"}),
        seed=0,
        seconds=600,
        steps=1,
        progress=Progress(),
    )


@pytest.fixture(scope="module")
def ready(small):
    with open_pair(RasterSource.of(small.pan), RasterSource.of(small.ms)) as pair:
        yield adaptation_of(pair)


def test_patches_are_turned_in_all_eight_ways_and_alike(ready):
    domain = ready.reduced
    places = domain.chunks.origins[:1].repeat(8, axis=0)
    pan, truth = domain.patches(places, np.arange(8), [domain.pan, domain.truth])
    number, row, col = places[0]
    side = domain.chunks.patch
    plain = domain.truth[number, :, row : row + side, col : col + side]
    assert torch.equal(truth[0], plain)
    ways = [torch.rot90(plain, k, (1, 2)) for k in range(4)]
    ways += [way.flip(2) for way in ways]
    assert all(any(torch.equal(patch, way) for patch in truth) for way in ways)
    mean = domain.truth.mean(1, keepdim=True)
    (turned,) = domain.patches(places, np.arange(8), [mean])
    torch.testing.assert_close(turned, truth.mean(1, keepdim=True))
    assert pan.shape == (8, 1, side, side)


def test_the_truth_has_next_to_no_loss_at_full_resolution(backend, tmp_path, monkeypatch):
    """The places of the measured MS under a patch are right: the truth, seen there, is the MS."""
    shift, ground, seen = (0.8, -0.5), Ground(), []
    pair = make_pair(backend, tmp_path, (250, 230), 3.7, 1.2, "float32", ground=ground, shift=shift)
    monkeypatch.setattr(
        adaptation,
        "physical_loss",
        lambda image, pan, ms, sensor: seen.append((image, ms, sensor)) or image.mean(),
    )
    with open_pair(RasterSource.of(pair.pan), RasterSource.of(pair.ms), sensor="generic") as source:
        a = adaptation_of(source.moved(*shift))  # its phases differ between the axes
    windows = a.full.chunks.windows
    truth = [
        ground.seen(np.arange(w.col, w.stop[0]) - shift[0], np.arange(w.row, w.stop[1]) - shift[1])
        for w in windows
    ]
    a.full.lms = torch.from_numpy(a.full.scale.of_image(np.stack(truth)))
    monkeypatch.setattr(a, "_fused", lambda pan, lms: lms)
    a._loss_without_truth()
    ((image, ms, sensor),) = seen

    def off(image):
        counted = sensor.inside.expand_as(ms)
        return (sensor.seen(image) - ms)[counted].abs().mean()

    assert off(image) < 0.02
    assert all(off(image.roll(1, axis)) > 5 * off(image) for axis in (2, 3))


# -- how it ends ----------------------------------------------------------------------------------


class Scripted:
    """Stands in for ``score``: 3 for both yardsticks, then ERGAS as listed, the last one on."""

    def __init__(self, *values):
        self.values, self.calls = values, 0

    def __call__(self, chunks, images, ratio):
        self.calls += 1
        value = 3.0
        if self.calls > 2:
            value = self.values[min(self.calls - 3, len(self.values) - 1)]
        return {"ergas": value, "sam": 1.0, "q2n": 0.9}


@pytest.fixture
def scripted(monkeypatch):
    fewer_patches(monkeypatch)

    def use(*values):
        monkeypatch.setattr(adaptation, "score", Scripted(*values))

    return use


def test_it_stops_when_validation_gains_nothing(scripted, monkeypatch, small, tmp_path):
    monkeypatch.setattr(adaptation, "VALIDATIONS", 10)
    monkeypatch.setattr(adaptation, "PATIENCE", 2)
    scripted(2.0, 2.1, 1.5, 1.6, 1.7)
    kept = []
    monkeypatch.setattr(Adaptation, "_tell", lambda self, scores: kept.append(self.step))
    result = run(job_of(small, tmp_path / "m.safetensors", steps=10))
    assert result.ended == "converged" and result.steps == kept[-1] < 10
    assert len(kept) == 5


def test_the_best_weights_are_kept(scripted, monkeypatch, small, tmp_path):
    monkeypatch.setattr(adaptation, "VALIDATIONS", 4)
    validated, validate = [], Adaptation._validate

    def keep(self, head):
        validated.append({name: value.clone() for name, value in head.state_dict().items()})
        return validate(self, head)

    monkeypatch.setattr(Adaptation, "_validate", keep)
    scripted(2.0, 1.0, 2.5)
    run(job_of(small, tmp_path / "m.safetensors", steps=4))
    head = parts_of(tmp_path / "m.safetensors")["head"]
    assert len(validated) > 3 and same(head, validated[1]) and not same(head, validated[2])


class Clock:
    """Every look at it takes a while."""

    def __init__(self, step):
        self.now, self.step = 0.0, step

    def monotonic(self):
        self.now += self.step
        return self.now


def test_the_time_ends_it(scripted, monkeypatch, small, tmp_path):
    scripted(*np.linspace(2, 1, 200))
    monkeypatch.setattr(adaptation, "time", Clock(1.0))
    watched = Watched()
    result = run(job_of(small, tmp_path / "m.safetensors", minutes=2, steps=0), watched)
    assert result.ended == "time" and 1 < result.steps < 120
    encoders = sum("training the encoders" in act for act in watched.acts)
    heads = sum("training the head" in act for act in watched.acts)
    assert 1 <= encoders < heads == result.steps
    assert watched.fractions == sorted(watched.fractions) and watched.fractions[-1] == 1


@pytest.mark.parametrize("start", ["scratch", None])
def test_progress_rises_evenly_with_the_steps(quick, monkeypatch, home, small, tmp_path, start):
    monkeypatch.setattr(chunks_module, "SIDE", 64)  # several windows are read
    if start is None:
        crossdiff_model(home / "base.safetensors")
    watched = Watched()
    run(job_of(small, tmp_path / "m.safetensors", start=start, steps=4, minutes=60), watched)
    assert watched.fractions == sorted(watched.fractions) and watched.fractions[-1] == 1
    at = [f for f, act in zip(watched.fractions, watched.acts) if "training" in act]
    assert max(np.diff(at)) < 0.35 and at[-1] > 0.7


def test_time_that_is_over_before_training_is_said(small, tmp_path):
    with pytest.raises(WhetstoneError, match="over before training began") as caught:
        run(job_of(small, tmp_path / "m.safetensors", minutes=1e-5))
    assert caught.value.code == "TIME"


def test_a_cancel_keeps_what_is_better(scripted, small, tmp_path):
    scripted(2.0)
    watched = Watched(lambda text: text.endswith("head: step 2"))
    result = run(job_of(small, tmp_path / "m.safetensors", steps=6), watched)
    assert (result.ended, result.steps) == ("cancelled", 2)
    assert left_in(tmp_path) == ["m.json", "m.safetensors", "models"]
    assert read_card(tmp_path / "m.json").training["ended"] == "cancelled"


@pytest.mark.parametrize(
    ("when", "ergas_then"),
    [
        ("head: step 2", 3.5),  # worse than the enlargement
        ("reading the scene", 1.0),
        ("training the encoders: noise error", 1.0),
    ],
)
def test_a_cancel_before_that_writes_nothing(scripted, small, tmp_path, when, ergas_then):
    scripted(ergas_then)
    out = tmp_path / "m.safetensors"
    out.write_bytes(b"old")
    with pytest.raises(Cancelled):
        run(job_of(small, out, steps=6), Watched(lambda text: when in text))
    assert out.read_bytes() == b"old" and left_in(tmp_path) == ["m.safetensors", "models"]


def test_learning_the_scene_can_be_cancelled(scripted, monkeypatch, small, tmp_path):
    scripted(1.0)
    watched, encoders = Watched(), Adaptation._train_encoders

    def stop(self):
        encoders(self)
        watched._stopped = True

    monkeypatch.setattr(Adaptation, "_train_encoders", stop)
    monkeypatch.setattr(Adaptation, "_train_head", None)  # is not reached
    with pytest.raises(Cancelled):
        run(job_of(small, tmp_path / "m.safetensors"), watched)


@pytest.mark.parametrize("start", ["scratch", "base"])
def test_a_model_that_is_no_better_is_refused(scripted, home, small, tmp_path, start):
    crossdiff_model(home / "base.safetensors")
    scripted(*((2.0, 2.5) if start == "base" else (3.5,)))
    out = tmp_path / "m.safetensors"
    out.write_bytes(b"old")
    with pytest.raises(WhetstoneError) as caught:
        run(job_of(small, out, start=start, steps=2))
    error = caught.value
    assert error.code == "ADAPT_WORSE" and "no model was written" in error.message
    best = "start has 2.000" if start == "base" else "exp has 3.000"
    assert best in error.message and "After 2 steps" in error.message
    assert out.read_bytes() == b"old" and left_in(tmp_path) == ["m.safetensors", "models"]


def test_a_loss_that_is_not_finite_is_said(quick, monkeypatch, small, tmp_path):
    monkeypatch.setattr(
        Adaptation,
        "_loss",
        lambda self, share: sum(p.sum() for p in self.network.head.parameters()) * float("nan"),
    )
    with pytest.raises(WhetstoneError) as caught:
        run(job_of(small, tmp_path / "m.safetensors"))
    assert caught.value.code == "DIVERGED" and left_in(tmp_path) == ["models"]


def test_an_empty_band_is_said_before_training(monkeypatch, backend, tmp_path):
    def spoil(pan, ms):
        ms[1] = 0

    pair = make_pair(backend, tmp_path / "pair", (128, 128), 2.0, spoil=spoil)
    monkeypatch.setattr(Adaptation, "_train_encoders", None)  # is not reached
    with pytest.raises(WhetstoneError) as caught:
        run(job_of(pair, tmp_path / "m.safetensors"))
    assert caught.value.code == "EMPTY_BAND"


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
        fitting, "full", lambda pair, shift: asked.append(shift) or full(pair, shift)
    )
    result = run(job_of(pair, tmp_path / "m.safetensors", sensor="generic"))
    assert asked[0].dx == pytest.approx(1.5, abs=0.2)
    assert asked[0].dy == pytest.approx(-1.0, abs=0.2)
    assert "It was trained with PAN on MS; fuse with --coregister, too." in result.notes


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
        asked[job.method] = job.model
        if job.method == "exp":
            return fuse(job, progress)
        raise WhetstoneError("STOPPED", "Enough is known.")

    monkeypatch.setattr(compare, "fuse", brief)
    mine = crossdiff_model(tmp_path / "mine.safetensors")
    names = ("SSDiff", "CROSSDIFF", "exp")  # in any case
    run(compare_job(small, tmp_path / "a", names, model=mine, steps=1))
    assert asked == {"ssdiff": None, "crossdiff": mine, "exp": None}
    run(compare_job(small, tmp_path / "b", ("ssdiff", "exp"), model=mine))
    assert asked["ssdiff"] == mine  # which then says that it is of another kind


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
