"""The method of a fusion that names none."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace

import pytest
from whetstone.engine import WhetstoneError, choice, job_from_json, library, run
from whetstone.engine.cards import Card
from whetstone.engine.jobs import AUTO
from whetstone.engine.pair import open_pair

from .scenes import header, make_pair


@pytest.fixture
def own_models(monkeypatch, tmp_path):
    """No bundled models; puts a card into the user's folder, weights without content beside it."""
    monkeypatch.setattr(library, "BUNDLED", tmp_path / "bundled")
    folder = tmp_path / "models"
    folder.mkdir()
    monkeypatch.setenv("WHETSTONE_MODELS", str(folder))

    def put(name, architecture="ssdiff", bands=4, ratio=4, **more):
        more = {"normalisation": {"kind": "standard"}, **more}
        parameters = {"centred": more["normalisation"]["kind"] == "standard"}
        card = Card(name, architecture, parameters, bands, ratio, **more)
        (folder / f"{name}.json").write_text(card.to_json())
        (folder / f"{name}.safetensors").touch()

    return put


@pytest.fixture
def asked(tmp_path, backend, monkeypatch):
    """Ask for the method of a pair; torch is there unless said otherwise."""

    def ask(torch=True, ratio=4.0, bands=4, **job):
        monkeypatch.setattr(choice, "find_spec", lambda name: torch or None)
        made = make_pair(backend, tmp_path / "pair", (96, 96), ratio, bands=bands)
        wanted = made.job(tmp_path / "out.tif", AUTO, **job)
        with open_pair(wanted.pan, wanted.ms, sensor="generic", protocol=wanted.protocol) as pair:
            found, why = choice.choose(wanted, pair)
        return found.method, found.model, why

    return ask


def test_a_model_that_fits(asked, own_models):
    own_models("mine")
    own_models("other", ratio=2)
    assert asked() == ("ssdiff", "mine", "Method ssdiff: the model mine fits this pair.")
    assert asked(ratio=2.0)[1] == "other"


def test_one_of_the_other_kind_where_there_is_no_other(asked, own_models):
    own_models("cross", "crossdiff")
    assert asked()[:2] == ("crossdiff", "cross")


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ({"ratio": 3.0}, "no model here fits 4 bands at ratio 3"),
        ({"bands": 1}, "no model here fits 1 bands at ratio 4"),
        ({"torch": False}, "the model mine fits, but torch is not installed"),
        ({"protocol": "toolbox"}, "the toolbox protocol is that of classical methods"),
    ],
)
def test_otherwise_a_classical_method_and_why(asked, own_models, how, why):
    own_models("mine")
    method, model, said = asked(**how)
    assert (method, model) == ("mtf-glp-fs", None)
    assert said.startswith(f"Method mtf-glp-fs: {why}")


@pytest.mark.parametrize(
    "what", [{"samples": 8}, {"consistency": True}, {"uncertainty": "u.tif", "samples": 8}]
)
def test_what_only_a_model_can_do_needs_one(asked, own_models, what):
    with pytest.raises(WhetstoneError, match="No ssdiff model here fits 4 bands"):
        asked(**what)
    own_models("mine")
    assert asked(**what)[:2] == ("ssdiff", "mine")
    with pytest.raises(WhetstoneError, match="need torch"):
        asked(torch=False, **what)


def test_what_only_one_kind_can_do_chooses_the_kind(asked, own_models):
    own_models("mine")
    own_models("cross", "crossdiff")
    assert asked(noise="fixed")[:2] == ("crossdiff", "cross")
    assert asked(steps=4)[:2] == ("ssdiff", "mine")


def test_a_model_of_another_scene_is_not_taken_unasked(asked, own_models):
    pair = {"kind": "fixed", "pan": [0, 1], "ms": [[0, 1]] * 4}
    own_models("adapted", "crossdiff", normalisation=pair)
    own_models("dim", normalisation={"kind": "full_scale", "value": 255})
    assert asked()[0] == "mtf-glp-fs"


def test_landsat_is_for_landsat(asked, own_models, monkeypatch):
    own_models("landsat", ratio=2, sensors=("landsat7",))
    assert asked(ratio=2.0)[1] == "landsat", "nobody knows the sensor"
    find = library.choose_model
    for sensor, model in (("landsat8", "landsat"), ("wv2", None)):
        try:
            found = find("ssdiff", 4, 2.0, sensor, unasked=True)[0].name
        except WhetstoneError:
            found = None
        assert found == model
    assert find("ssdiff", 4, 2.0, "wv2")[0].name == "landsat", "who asks for a model gets one"


def test_a_model_that_is_elsewhere_is_fetched(asked, own_models, monkeypatch):
    fetched = []

    def find_model(name, progress):
        fetched.append(name)
        return SimpleNamespace(card=SimpleNamespace(architecture="crossdiff"))

    monkeypatch.setattr(choice.deep, "part", lambda name: SimpleNamespace(find_model=find_model))
    name = f"hf:me/mine@{'0' * 40}/cross.safetensors"
    assert asked(model=name)[:2] == ("crossdiff", name) and fetched == [name]


def test_a_named_model_brings_its_method(asked, own_models):
    own_models("cross", "crossdiff")
    assert asked(model="cross") == ("crossdiff", "cross", "Method crossdiff: that of the model.")


def test_the_output_names_the_method_that_made_it(own_models, tmp_path, backend):
    made = make_pair(backend, tmp_path / "pair", (96, 96), 3.0)
    job = made.job(tmp_path / "a.tif", AUTO)
    result = run(job)
    assert result.method == "mtf-glp-fs"
    assert any(note.startswith("Method mtf-glp-fs: no model") for note in result.notes)
    tags = header(backend, job.out).tags
    assert tags["WHETSTONE_METHOD"] == "mtf-glp-fs"
    again = job_from_json(tags["WHETSTONE_JOB"])
    assert again == replace(job, method="mtf-glp-fs", pan=again.pan, ms=again.ms, out=again.out)
    assert json.loads(tags["WHETSTONE_JOB"])["method"] == "mtf-glp-fs"
