"""How an adaptation ends: by steps, time, validation, a cancel, or a refusal."""

from __future__ import annotations

import numpy as np
import pytest
from adaptations import (
    Scripted,
    Watched,
    crossdiff_model,
    fewer_patches,
    job_of,
    left_in,
    model_folder,
    parts_of,
    same,
)
from scenes import make_pair
from whetstone.engine import WhetstoneError, run
from whetstone.engine.cards import read_card
from whetstone.engine.deep import adaptation
from whetstone.engine.deep import chunks as chunks_module
from whetstone.engine.deep.adaptation import Adaptation
from whetstone.engine.errors import Cancelled


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

    def use(*values, yardsticks=3):
        monkeypatch.setattr(adaptation, "score", Scripted(*values, yardsticks=yardsticks))

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
    if start == "base":
        scripted(2.0, 2.5, yardsticks=2)
    else:
        scripted(3.5)
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
