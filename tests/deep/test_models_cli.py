"""The verb ``models``, as it is typed: what it prints, what it writes, its exit status."""

from __future__ import annotations

import json

import pytest
import torch
from plain import filled
from test_release import released
from whetstone.engine import library
from whetstone.engine.cards import Card
from whetstone.engine.cli import main
from whetstone.engine.deep.weights import save_model

PARAMETERS = {"bands": 4, "ratio": 4, "width": 32, "share_resample": True}


@pytest.fixture(scope="module")
def network():
    return filled(4)


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    folder = tmp_path / "models"
    folder.mkdir()
    monkeypatch.setenv("WHETSTONE_MODELS", str(folder))
    monkeypatch.setattr(library, "BUNDLED", tmp_path / "bundled")
    return folder


@pytest.fixture
def small(home, network):
    card = Card(
        "small",
        "ssdiff",
        PARAMETERS,
        4,
        4,
        roles=("blue", "green", "red", "nir"),
        sensors=("gf2", "qb"),
        normalisation={"kind": "percentile", "value": 99.5},
        limits=(0.0, None),
        training={"steps": 7, "data": ["a", "b"]},
        scores={"gf2": {"sam": 1.25, "ergas": 0.5}},
    )
    save_model(home / "small.safetensors", network, card)
    return home / "small.safetensors"


@pytest.fixture
def typed(capsys):
    """Type ``whetstone models ...``: (exit status, stdout, stderr)."""

    def type_it(*words):
        status = main(["models", *map(str, words)])
        return (status, *capsys.readouterr())

    return type_it


def test_list_names_every_model(typed, small, home, tmp_path, monkeypatch):
    (home / "broken.safetensors").write_bytes(b"")
    row = dict.fromkeys(("repo", "file", "card", "sha256"), "x") | {"revision": "a" * 40}
    monkeypatch.setattr(library, "CATALOGUE", tmp_path / "catalogue.json")
    library.CATALOGUE.write_text(json.dumps({"models": {"small": row, "far": row}}))
    status, out, _ = typed("list")
    lines = out.splitlines()
    assert status == 0
    assert lines[0].split() == "name architecture bands ratio sensors where size".split()
    assert lines[1].split() == "small ssdiff 4 4 gf2, qb user 5.2 MB".split()
    assert lines[2].split() == "far - - - - hub not downloaded".split()
    assert lines[3] == f"your model folder: {home}"
    assert lines[4].startswith("note: left out: The model card '") and "broken.json" in lines[4]


def test_list_as_json(typed, small, home):
    status, out, _ = typed("list", "--json")
    answer = json.loads(out)
    assert (status, answer["folder"], answer["notes"]) == (0, str(home), [])
    (row,) = answer["models"]
    assert row["sensors"] == ["gf2", "qb"]
    assert (row["name"], row["path"], row["where"]) == ("small", str(small), "user")


def test_list_without_models(typed, home):
    status, out, _ = typed("list")
    assert status == 0
    assert out == f"There are no models here yet.\nyour model folder: {home}\n"


def test_show_prints_the_card(typed, small):
    status, out, _ = typed("show", "small")
    assert status == 0
    for words in (
        f"{small} (5.2 MB)",
        "ssdiff: bands 4, ratio 4, width 32, share_resample True",
        "4: blue, green, red, nir",
        "4, MS pixel 0 at 1.5 PAN pixels",
        "divided by percentile 99.5 of their own values, windows of 64 PAN pixels",
        "0 to open, residual times 1",
        "10 steps, schedule kind cosine, timesteps 1000",
        "training data   a, b",
        "scores gf2      sam 1.25, ergas 0.5",
        "licence         not stated",
    ):
        assert words in out
    assert typed("show", small)[1] == out
    card = json.loads(typed("show", "small", "--json")[1])["card"]
    assert (card["limits"], card["sensors"]) == ([0.0, None], ["gf2", "qb"])


def test_show_does_not_download(typed, tmp_path, monkeypatch):
    row = dict.fromkeys(("repo", "file", "card", "sha256"), "x") | {"revision": "a" * 40}
    monkeypatch.setattr(library, "CATALOGUE", tmp_path / "catalogue.json")
    library.CATALOGUE.write_text(json.dumps({"models": {"far": row}}))
    status, _, err = typed("show", "far")
    assert (status, err.count("\n")) == (1, 1)
    assert "Get it: whetstone models download far" in err


def test_an_unknown_model_is_one_line(typed, small):
    status, out, err = typed("show", "smal", "--json")
    assert (status, err.count("\n")) == (1, 1)
    assert err.startswith("MODEL_UNKNOWN: There is no model called 'smal'. Did you mean small?")
    assert json.loads(out)["error"]["code"] == "MODEL_UNKNOWN"


def test_import_writes_a_model_that_is_then_known(typed, home, network, tmp_path):
    source, out_path = tmp_path / "e.pt", home / "mine.safetensors"
    torch.save({"state_dict": released(network, network.bands)}, source)
    words = ("import", source, "--out", out_path, "--sensor", "GaoFen-2", "--full-scale", "1023")
    status, out, _ = typed(*words)
    assert status == 0
    assert f"{out_path} (5.2 MB)" in out
    assert "divided by 1023" in out and "training part           state_dict" in out
    (row,) = json.loads(typed("list", "--json")[1])["models"]
    assert (row["name"], row["sensors"]) == ("mine", ["gf2"])
    assert typed("verify")[:2] == (0, "name  where  state\nmine  user   ok\n")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["a.pt", "b.pt", "--out", "m.safetensors"], "2 files are given"),
        (["a.pt", "--out", "m.pt"], "must end in .safetensors"),
        (["a.pt"], "--out"),
        (["a.pt", "--out", "m.safetensors", "--full-scale", "0"], "--full-scale 0 must be above 0"),
        (["a.pt", "--out", "m.safetensors", "--full-scale", "nan"], "--full-scale nan"),
        (["a.pt", "--out", "m.safetensors", "--sensor", "wv33"], "no sensor called 'wv33'"),
    ],
)
def test_a_wrong_import_is_a_wrong_call(words, said, typed, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    status, _, err = typed("import", *words)
    assert (status, err.count("\n")) == (2, 1)
    assert said in err
    assert [p.name for p in tmp_path.iterdir()] == ["models"]


def test_a_checkpoint_is_not_written_over(typed, small):
    before = small.read_bytes()
    status, _, err = typed("import", small, "--out", small)
    assert (status, small.read_bytes()) == (2, before)
    assert "--out is the checkpoint itself" in err


def test_a_damaged_checkpoint_is_a_failed_import(typed, tmp_path):
    (tmp_path / "x.pt").write_text("no checkpoint")
    status, _, err = typed("import", tmp_path / "x.pt", "--out", tmp_path / "m.safetensors")
    assert (status, err.count("\n")) == (1, 1)
    assert err.startswith("MODEL_DAMAGED: ")


def test_verify_says_per_model_whether_it_is_sound(typed, small, home):
    (home / "bare.safetensors").write_bytes(small.read_bytes())
    data = bytearray(small.read_bytes())
    data[-1] ^= 1
    (home / "bent.safetensors").write_bytes(data)
    (home / "bent.json").write_bytes((home / "small.json").read_bytes())
    status, out, _ = typed("verify", "--json")
    answer = json.loads(out)
    assert (status, answer["failed"]) == (1, True)
    assert [(m["name"], m["ok"]) for m in answer["models"]] == [
        *(("bare", False), ("bent", False), ("small", True)),
    ]
    assert "bare.json" in answer["models"][0]["trouble"]
    assert "SHA-256 differs" in answer["models"][1]["trouble"]
    status, out, _ = typed("verify")
    assert status == 1
    assert out.splitlines()[3].split() == ["small", "user", "ok"]


def test_verify_without_models(typed):
    assert typed("verify")[:2] == (0, "There are no models here to verify.\n")


def test_download_refuses_a_branch(typed):
    status, _, err = typed("download", "hf:a/b@main/x.safetensors")
    assert (status, err.count("\n")) == (1, 1)
    assert err.startswith("HUB_REVISION: 'main' is not a commit")


@pytest.mark.parametrize("words", [[], ["lst"], ["show"]])
def test_a_wrong_call_is_one_line(words, typed):
    status, _, err = typed(*words)
    assert (status, err.count("\n")) == (2, 1)
    assert err.startswith("USAGE: ")
