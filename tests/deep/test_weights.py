"""Models on disk: written whole, read strictly, found where they may be, chosen with a reason."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from plain import filled
from safetensors.torch import load_file, save_file
from whetstone.engine import deep, library
from whetstone.engine.cards import Card, file_hash, read_card
from whetstone.engine.deep.models import find_model, load_model
from whetstone.engine.deep.weights import build_network, read_model, save_model
from whetstone.engine.errors import WhetstoneError
from whetstone.engine.library import choose_model, describe_fit, list_models, user_folder

PARAMETERS = {"bands": 4, "ratio": 4, "width": 32, "share_resample": True}
CARD = Card("small", "ssdiff", PARAMETERS, 4, 4, sensors=("gf2",), limits=(0.0, None))


@pytest.fixture(scope="module")
def network():
    return filled(4)


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A user's model folder, and no bundled models."""
    folder = tmp_path / "models"
    folder.mkdir()
    monkeypatch.setenv("WHETSTONE_MODELS", str(folder))
    monkeypatch.setattr(library, "BUNDLED", tmp_path / "bundled")
    return folder


@pytest.fixture
def saved(tmp_path, network):
    path = tmp_path / "small.safetensors"
    return path, save_model(path, network, CARD)


def put(folder, name, **more):
    """A model of which only the card is read."""
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.safetensors").write_bytes(b"")
    (folder / f"{name}.json").write_text(replace(CARD, name=name, **more).to_json())


def refused(code, act, *args):
    with pytest.raises(WhetstoneError) as caught:
        act(*args)
    assert caught.value.code == code
    assert "\n" not in str(caught.value)
    return str(caught.value)


# -- files ----------------------------------------------------------------------------------------


def test_what_is_saved_comes_back(saved, network, tmp_path):
    path, card = saved
    model = load_model(path)
    assert model.card == card == replace(CARD, sha256=file_hash(path))
    assert not model.network.training
    for name, tensor in network.state_dict().items():
        assert torch.equal(model.network.state_dict()[name], tensor)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["small.json", "small.safetensors"]


def test_files_have_the_rights_that_the_user_gives_to_files(saved, tmp_path):
    (tmp_path / "any").write_text("")
    modes = {p.stat().st_mode for p in tmp_path.iterdir()}
    assert len(modes) == 1


def test_half_precision_weights_are_computed_in_float32(tmp_path, network):
    halves = {k: v.half() if v.is_floating_point() else v for k, v in network.state_dict().items()}
    path = tmp_path / "half.safetensors"
    save_file(halves, path)
    path.with_suffix(".json").write_text(replace(CARD, sha256=file_hash(path)).to_json())
    loaded = load_model(path).network.state_dict()
    assert loaded["head.conv2.weight"].dtype == torch.float32
    assert torch.equal(loaded["head.conv2.weight"], halves["head.conv2.weight"].float())


def test_a_failed_save_leaves_the_old_model_and_no_debris(saved, network, monkeypatch):
    path, card = saved
    before = {p.name: p.read_bytes() for p in path.parent.iterdir()}

    def full(*args, **more):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    said = refused("MODEL_WRITE", save_model, path, network, replace(card, name="other"))
    assert "No space left" in said
    assert {p.name: p.read_bytes() for p in path.parent.iterdir()} == before


def test_a_file_that_is_not_the_one_of_the_card_is_refused(saved):
    path, _ = saved
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    assert "SHA-256" in refused("MODEL_DAMAGED", read_model, path)


@pytest.mark.parametrize("content", [b"", b"no tensors here", b"\x08" + b"\0" * 7 + b"{" * 8])
def test_a_file_without_tensors_is_refused(saved, content):
    path, card = saved
    path.write_bytes(content)
    path.with_suffix(".json").write_text(replace(card, sha256="").to_json())
    assert "no sound safetensors" in refused("MODEL_DAMAGED", read_model, path)


def less(tensors):
    del tensors["apfm.2.t_c.weight"]


def narrow(tensors):
    tensors["apfm.2.t_c.weight"] = torch.zeros(128, 64)


def whole(tensors):
    tensors["apfm.2.t_c.weight"] = torch.zeros(128, 128, dtype=torch.int32)


def endless(tensors):
    tensors["apfm.2.t_c.weight"][3, 5] = float("nan")


def more(tensors):
    tensors["more.weight"] = torch.zeros(1)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (less, "apfm.2.t_c.weight is missing; it must be (128, 128), float32."),
        (narrow, "apfm.2.t_c.weight has the shape (128, 64);"),
        (whole, "apfm.2.t_c.weight has the type torch.int32;"),
        (endless, "apfm.2.t_c.weight has values that are not finite;"),
        (more, "more.weight is unknown."),
    ],
)
def test_the_first_tensor_that_does_not_fit_is_named(saved, change, words):
    path, card = saved
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path)
    path.with_suffix(".json").write_text(replace(card, sha256="").to_json())
    assert words in refused("MODEL_INVALID", read_model, path)


# -- cards ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"whetstone_model": 2}, "not a model card of version 1"),
        ({"colour": "red"}, "unknown or missing keys: colour"),
        ({"bands": None}, "cannot have bands null"),
        ({"bands": 0}, "cannot have bands 0"),
        ({"bands": True}, "cannot have bands true"),
        ({"ratio": "4"}, 'cannot have ratio "4"'),
        ({"sensors": "wv3"}, 'cannot have sensors "wv3"'),
        ({"sensors": [3]}, "cannot have sensors [3]"),
        ({"limits": [0.0]}, "cannot have limits [0.0]"),
        ({"parameters": []}, "cannot have parameters []"),
    ],
)
def test_a_card_that_is_none_is_refused(tmp_path, change, words):
    path = tmp_path / "x.json"
    path.write_text(json.dumps({**json.loads(CARD.to_json()), **change}))
    assert words in refused("MODEL_CARD", read_card, path)


@pytest.mark.parametrize("content", ["", "[]", "{", "\xff"])
def test_a_card_that_is_no_json_object_is_refused(tmp_path, content):
    path = tmp_path / "x.json"
    path.write_text(content, encoding="latin-1")
    refused("MODEL_CARD", read_card, path)


def test_a_card_goes_through_json_and_back(tmp_path):
    path = tmp_path / "x.json"
    path.write_text(CARD.to_json())
    assert read_card(path) == CARD


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"architecture": "unet"}, "architecture 'unet'. This version knows ssdiff"),
        ({"parameters": {"bands": 4, "depth": 3}}, "depth"),
        ({"parameters": {"bands": 4, "width": 33}}, "width 33"),
        ({"bands": 8}, "says bands 8, its parameters say 4"),
        ({"ratio": 2}, "says ratio 2, its parameters say 4"),
    ],
)
def test_a_card_without_a_network_is_refused(change, words):
    assert words in refused("MODEL_INVALID", build_network, replace(CARD, **change))


# -- finding --------------------------------------------------------------------------------------


def test_models_are_found_by_name_and_by_path(home, network):
    path = home / "small.v2.safetensors"
    save_model(path, network, CARD)
    for name in ("small.v2", str(path), str(home / "small.v2")):
        found = find_model(name)
        assert (found.path, found.name) == (path, "small.v2")
    assert find_model("small.v2").where == "user"
    assert load_model("small.v2").card == read_card(home / "small.v2.json")


def test_a_bundled_model_goes_before_one_of_the_user(home):
    put(home, "a")
    put(library.BUNDLED, "a")
    put(home, "b")
    assert [(m.name, m.where) for m in list_models()] == [
        *(("a", "bundled"), ("a", "user"), ("b", "user")),
    ]
    assert find_model("a").where == "bundled"


@pytest.mark.parametrize(
    "change",
    [
        {"schedule": {"kind": ["cosine"], "timesteps": 1000}},
        {"normalisation": {"kind": "fixed", "pan": [0, 1], "ms": 5}},
        {"normalisation": {"kind": {}}},
        {"ratio": float("inf")},
        {"ratio": float("nan")},
        {"parameters": {"bands": 4}, "window": 0},
    ],
)
def test_odd_values_in_a_card_are_refused_like_all_others(home, change):
    put(home, "a")
    put(home, "b")
    card = json.loads((home / "a.json").read_text())
    (home / "a.json").write_text(json.dumps({**card, **change}))
    assert [m.name for m in list_models()] == ["b"]
    assert "a.json" in refused("MODEL_CARD", find_model, "a")


def test_a_model_with_a_broken_card_hides_no_other(home):
    put(home, "a")
    put(home, "b")
    (home / "a.json").unlink()
    assert [m.name for m in list_models()] == ["b"]
    assert "a.json" in refused("MODEL_CARD", find_model, "a")


def test_an_unknown_name_is_refused_with_those_there_are(home):
    assert "There are none yet." in refused("MODEL_UNKNOWN", find_model, "ssdif")
    put(home, "ssdiff-wv3")
    put(home, "other")
    said = refused("MODEL_UNKNOWN", find_model, "ssdif-wv3")
    assert "Did you mean ssdiff-wv3? There are: other, ssdiff-wv3." in said
    path = home / "ssdif.safetensors"
    assert f"no file '{path}'" in refused("MODEL_UNKNOWN", find_model, str(path))


@pytest.mark.parametrize(
    ("platform", "variables", "place"),
    [
        ("linux", {}, "home/.local/share"),
        ("linux", {"XDG_DATA_HOME": "data"}, "data"),
        ("darwin", {}, "home/Library/Application Support"),
        ("win32", {"APPDATA": "roaming"}, "roaming"),
        ("win32", {}, "home/AppData/Roaming"),
    ],
)
def test_the_users_folder_is_where_the_platform_keeps_data(
    platform, variables, place, monkeypatch, tmp_path
):
    for name in ("WHETSTONE_MODELS", "XDG_DATA_HOME", "APPDATA"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, str(tmp_path / value))
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(Path, "home", lambda: tmp_path / "home")
    assert user_folder() == tmp_path / place / "whetstone" / "models"


# -- choosing -------------------------------------------------------------------------------------


@pytest.fixture
def several(home):
    put(home, "a8-wv3", bands=8, sensors=("wv3",))
    put(home, "b4-any", bands=4, sensors=())
    put(home, "c4-gf2", bands=4, sensors=("gf2", "qb"))
    put(home, "d6-any", bands=6, sensors=())
    put(home, "e4-ratio2", bands=4, ratio=2)
    put(home, "f4-other", bands=4, architecture="crossdiff", sensors=("gf2",))


@pytest.mark.parametrize(
    ("bands", "ratio", "sensor", "name"),
    [
        (8, 4.0, "wv3", "a8-wv3"),
        (4, 4.0, "gf2", "c4-gf2"),
        (8, 4.0, "gf2", "c4-gf2"),  # the sensor counts before the bands
        (4, 4.0, "generic", "b4-any"),
        (7, 4.0, "generic", "d6-any"),  # in groups of six; eight would need a band repeated
        (3, 4.0, "generic", "b4-any"),
        (4, 2.1, "gf2", "e4-ratio2"),
        (4, 4.5, "qb", "c4-gf2"),
        (4, 3.5, "qb", "c4-gf2"),
    ],
)
def test_the_model_that_suits_best_is_chosen(several, bands, ratio, sensor, name):
    model, reason = choose_model("ssdiff", bands, ratio, sensor)
    assert model.name == name
    assert reason == describe_fit(model, bands, ratio, sensor)
    assert reason.startswith(f"Model {name}: ")


def test_the_reason_says_what_differs(several):
    _, reason = choose_model("ssdiff", 8, 3.9, "gf2")
    assert reason == (
        "Model c4-gf2: 4 bands at ratio 4; trained on gf2, qb; the 8 bands of this image go "
        "through it in groups; the ratio of this pair is 3.9."
    )
    reason = describe_fit(find_model("c4-gf2"), 4, 4.0, "wv3")
    assert reason == "Model c4-gf2: 4 bands at ratio 4; trained on gf2, qb and not on wv3."


@pytest.mark.parametrize(("bands", "ratio"), [(2, 4.0), (4, 4.7), (4, 3.3), (4, 6.0)])
def test_a_pair_that_no_model_fits_is_refused(several, bands, ratio):
    said = refused("MODEL_MISSING", choose_model, "ssdiff", bands, ratio, "gf2")
    assert f"fits {bands} bands at ratio {ratio:g}; there are: a8-wv3 (8 bands, ratio 4)" in said
    assert "whetstone models import" in said


def test_without_models_the_way_to_one_is_told(home):
    said = refused("MODEL_MISSING", choose_model, "ssdiff", 4, 4.0, "gf2")
    assert "there are none." in said and "--model" in said


@pytest.mark.parametrize(
    ("bands", "ratio", "words"),
    [(8, 6.0, "trained for ratio 4, and this pair has 6"), (2, 4.0, "needs 4 bands")],
)
def test_a_named_model_that_does_not_fit_is_refused(several, bands, ratio, words):
    model = find_model("c4-gf2")
    assert words in refused("MODEL_MISMATCH", describe_fit, model, bands, ratio, "gf2")


# -- the package ----------------------------------------------------------------------------------


def python(code, root):
    load = (
        "import importlib.util as u, sys\n"
        f"s = u.spec_from_file_location('whetstone', {str(root / '__init__.py')!r}, "
        f"submodule_search_locations=[{str(root)!r}])\n"
        "m = sys.modules['whetstone'] = u.module_from_spec(s); s.loader.exec_module(m)\n"
    )
    return subprocess.run(
        [sys.executable, "-c", load + code], capture_output=True, text=True, env=dict(os.environ)
    )


def test_importing_the_package_does_not_import_torch(root):
    done = python(
        "import whetstone.engine.deep, whetstone.engine.models_cli\n"
        "print({'torch', 'huggingface_hub', 'numpy'} & set(sys.modules))",
        root,
    )
    assert done.stdout.strip() == "set()", done.stderr


def test_without_torch_it_is_said_what_to_install(root):
    done = python(
        "sys.modules['torch'] = None\n"
        "from whetstone.engine.cli import main\n"
        "sys.exit(main(['models', 'verify']))",
        root,
    )
    assert done.returncode == 1
    assert done.stderr == (
        "DEEP_MISSING: The deep models need torch, which is not installed. "
        'Install what they need, in the folder of Whetstone: pip install ".[deep]"\n'
    )


def test_the_package_offers_load_model_and_nothing_else():
    assert deep.load_model is load_model
    with pytest.raises(AttributeError):
        _ = deep.load_models
