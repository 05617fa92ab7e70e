"""CrossDiff trained on a drawn scene: what it learns, what it depends on, what becomes of it."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from adaptations import (
    Watched,
    adapt_words,
    crossdiff_model,
    fewer_patches,
    job_of,
    left_in,
    model_folder,
    parts_of,
    same,
)
from safetensors.torch import load_file
from scenes import Ground, make_pair, read
from whetstone.engine import Progress, WhetstoneError, run
from whetstone.engine.cards import read_card
from whetstone.engine.cli import main
from whetstone.engine.deep import adaptation
from whetstone.engine.deep.adaptation import Adaptation
from whetstone.engine.deep.chunks import full, read_chunks, reduced
from whetstone.engine.deep.crossdiff import CrossDiff
from whetstone.engine.jobs import DemoJob, FuseJob, RasterSource
from whetstone.engine.metrics.reference import ergas
from whetstone.engine.pair import open_pair

STEPS = 60


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


# -- one training, and the model that comes of it -------------------------------------------------


def test_training_beats_the_plain_enlargement(trained):
    answer = trained.answer
    assert trained.status == 0
    assert (answer["steps"], answer["ended"], answer["start"]) == (STEPS, "steps", None)
    assert (answer["bands"], answer["ratio"], answer["name"]) == (4, 4.0, "mine")
    assert set(answer["scores"]) == {"exp", "mtf-glp-fs", "base", "adapted"}
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
    pan, truth = domain.patches(places, np.arange(8), [domain.pan, domain.images[2]])
    number, row, col = places[0]
    side = domain.chunks.patch
    plain = domain.images[2][number, :, row : row + side, col : col + side]
    assert torch.equal(truth[0], plain)
    ways = [torch.rot90(plain, k, (1, 2)) for k in range(4)]
    ways += [way.flip(2) for way in ways]
    assert all(any(torch.equal(patch, way) for patch in truth) for way in ways)
    mean = domain.images[2].mean(1, keepdim=True)
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
    a.full.images[1] = torch.from_numpy(a.full.scale.of_image(np.stack(truth)))
    monkeypatch.setattr(a, "_fused", lambda pan, lms: lms)
    a._loss_without_truth()
    ((image, ms, sensor),) = seen

    def off(image):
        counted = sensor.inside.expand_as(ms)
        return (sensor.seen(image) - ms)[counted].abs().mean()

    assert off(image) < 0.02
    assert all(off(image.roll(1, axis)) > 5 * off(image) for axis in (2, 3))
