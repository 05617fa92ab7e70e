"""A finished model becomes one that ships."""

from __future__ import annotations

import json

import pytest
import torch
from tiny import write_crossdiff, write_model
from whetstone.engine.deep import load_model

ABOUT = ("data", "licence", "use", "limits", "command")


@pytest.fixture
def about(tmp_path):
    path = tmp_path / "about.toml"
    path.write_text("\n".join(f'{key} = "some {key}"' for key in ABOUT))
    return path


def added(path):
    """What a model adds to flat images, at once."""
    network = load_model(str(path), device="cpu").network.float().eval()
    torch.manual_seed(0)
    pan, lms, ms = (torch.rand(1, n, s, s) for n, s in ((1, 32), (4, 32), (4, 8)))
    with torch.no_grad():
        if hasattr(network, "lr_up"):
            return network(pan, lms, ms, torch.zeros_like(lms), torch.tensor([999]))
        return network(pan, lms) - lms


@pytest.mark.parametrize("write", [write_model, write_crossdiff])
@pytest.mark.parametrize("share", [1.0, 0.6])
def test_weights_are_halved_in_size_and_shrunk(write, share, about, start, tmp_path):
    model = write(tmp_path / "run.safetensors")
    words = (model, "--as", "shipped", "--about", about, "--shrink", share, "--out", tmp_path)
    assert start("bundle_model", *words) in (0, None)
    shipped = tmp_path / "shipped.safetensors"
    assert shipped.stat().st_size < 0.55 * model.stat().st_size
    whole, kept = added(model), added(shipped)
    assert whole.abs().mean() > 1e-4
    torch.testing.assert_close(kept, share * whole, rtol=0.05, atol=0.02 * float(whole.std()))
    card = load_model(str(shipped), device="cpu").card
    assert (card.name, card.licence) == ("shipped", "some licence")
    assert card.training["use"] == "some use"
    assert card.training.get("residual_kept", 1.0) == share


def test_scores_are_means_by_group_of_the_bundled_model(about, start, tmp_path, capsys):
    def row(method, group, ergas, resolution="reduced"):
        scores = {"ergas": ergas, "sam": 1.0, "q2n": 0.9}
        return {"method": method, "group": group, "resolution": resolution, "scores": scores}

    rows = [row("shipped", "A", 1.0), row("shipped", "A", 2.0), row("shipped", "B", 3.0)]
    rows += [row("gsa", "A", 9.0), row("shipped", "A", 9.0, "full")]
    (tmp_path / "scores.json").write_text(json.dumps({"rows": rows}))
    model = write_model(tmp_path / "run.safetensors")
    words = (model, "--about", about, "--scores", tmp_path / "scores.json", "--out", tmp_path)
    start("bundle_model", *words, "--as", "shipped")
    scores = load_model(str(tmp_path / "shipped.safetensors"), device="cpu").card.scores
    assert {k: v["ergas"] for k, v in scores.items()} == {"A": 1.5, "B": 3.0}
    start("bundle_model", *words, "--as", "other")
    assert "has no reduced-resolution scores of 'other'" in capsys.readouterr().err
