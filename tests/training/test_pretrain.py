"""Stage 1 of CrossDiff: both U-Nets learn, nothing else does, and a resumed run goes on alike."""

from __future__ import annotations

import csv

import h5py
import pytest
import torch
from patches import load
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tiny import PERCENTILE, differing, interrupted, state_of, write_both, write_crossdiff
from whetstone.engine.cards import read_card
from whetstone.engine.deep import load_model
from whetstone.engine.deep.schedule import cosine
from whetstone.engine.deep.weights import build_network

SAMPLED = ("p2m_cc", "p2m_psnr", "m2p_cc", "m2p_psnr")


@pytest.fixture
def pretrain(start, both, tmp_path):
    """Run pretrain_crossdiff.py on the tiny scenes into a folder; returns the folder."""

    def go(path, out="run", *words, status=0, patches=both):
        folder = tmp_path / out
        words = (path, "--patches", patches, "--out", folder, *words)
        assert start("pretrain_crossdiff", *words) == status
        return folder

    return go


@pytest.fixture
def small(crossdiff):
    """The tiny config with the smallest patches."""
    return lambda **changes: crossdiff(**{"patch": 16, "window": 16, **changes})


def rows(folder):
    with open(folder / "history.csv", newline="") as file:
        return [{k: float(v) for k, v in row.items()} for row in csv.DictReader(file)]


def test_the_noise_is_found_ever_better(small, pretrain):
    changes = {"iterations": 60, "validate_every": 30, "batch": 4}
    folder = pretrain(small(**changes, ema=0.9))
    first, last = rows(folder)
    assert set(first) == {"step", "loss", "lr", "noise", "p2m", "m2p", *SAMPLED}
    assert last["noise"] == pytest.approx((last["p2m"] + last["m2p"]) / 2)
    assert last["noise"] < 0.8 * first["noise"] and last["loss"] < 0.6 * first["loss"]
    card = load_model(folder / "run.safetensors").card
    assert (card.training["stage"], card.training["head"]) == (1, "untrained")
    assert set(card.scores["validation"]) == {"a", "a-full"}
    pictures = EventAccumulator(str(folder)).Reload().Images("a-full")
    assert (pictures[-1].height, pictures[-1].width) == (2 * 16, 3 * 16)


def test_the_unets_are_trained_and_the_head_is_not(small, pretrain):
    folder = pretrain(small(iterations=2))
    found = load_model(folder / "run.safetensors")
    torch.manual_seed(1)
    fresh = build_network(found.card).state_dict()
    moved = {name[1:] for name in differing(dict(fresh), dict(found.network.state_dict()))}
    assert moved == {name for name in fresh if not name.startswith("head.")}
    assert set(state_of(folder)["optimizers"][0]["state"]) == set(range(len(moved)))


def test_resuming_goes_on_bit_for_bit(small, pretrain, monkeypatch):
    path = small(iterations=4, validate_every=2, lr_end=1e-5, small_t=0.5, clip=1.0)
    straight = pretrain(path, "straight")
    with monkeypatch.context() as patch:
        patch.setattr("runs.Run.draw", interrupted(3))
        stopped = pretrain(path, "stopped", status=130)
    assert state_of(stopped)["step"] == 2
    pretrain(path, "stopped", "--resume")
    one, other = state_of(straight), state_of(stopped)
    assert one["step"] == 4 and differing(one, other) == []
    assert rows(straight) == rows(stopped)


def test_any_pair_will_do(small, pretrain, tmp_path):
    """With a truth or without, the truth changes nothing."""
    folders = [pretrain(small(iterations=2), "with")]
    with h5py.File(write_both(tmp_path / "none.h5"), "a") as file:
        for split in ("train", "val"):
            del file[split]["a"]["gt"]
    folders.append(pretrain(small(iterations=2), "none", patches=tmp_path / "none.h5"))
    one, other = (state_of(folder) for folder in folders)
    assert differing(one["network"], other["network"]) == []


def seen_in_training(start, path, patches, folder, monkeypatch):
    """What Pretext is called with in every step: (x_t, timesteps, images, keep)."""
    from pretext import Pretext

    seen, forward = [], Pretext.forward

    def spy(tasks, *words):
        if torch.is_grad_enabled():
            seen.append(words)
        return forward(tasks, *words)

    monkeypatch.setattr(Pretext, "forward", spy)
    words = (path, "--patches", patches, "--out", folder)
    assert start("pretrain_crossdiff", *words) == 0
    return [torch.cat(part, -1) if part[0].ndim < 3 else part for part in zip(*seen)]


def test_timesteps_and_dropped_conditions(small, start, both, tmp_path, monkeypatch):
    changes = {"iterations": 12, "validate_every": 12, "batch": 50}
    path = small(small_t=0.5, dropout=0.3, **changes)
    x_t, timesteps, images, keep = seen_in_training(start, path, both, tmp_path / "r", monkeypatch)
    assert timesteps.min() >= 1 and timesteps.max() <= 1000 and (timesteps > 900).any()
    assert (timesteps <= 200).float().mean() == pytest.approx(0.6, abs=0.05)
    assert (~keep).float().mean() == pytest.approx(0.3, abs=0.05)
    assert keep.shape == (2, 600)
    assert (keep[0] != keep[1]).any(), "either task drops on its own"
    first = timesteps[:50] - 1
    kept = torch.from_numpy(cosine(1000)).float()[first][:, None, None, None]
    noise = (x_t[0] - kept.sqrt() * images[0]) / (1 - kept).sqrt()
    strong = noise[first > 100]
    assert abs(float(strong.mean())) < 0.02 and float(strong.std()) == pytest.approx(1, abs=0.02)


class Oracle(torch.nn.Module):
    """A U-Net that knows what is under the noise, at two known timesteps or at all."""

    def __init__(self, truth):
        super().__init__()
        self.truth, self.alpha_bar = truth, torch.from_numpy(cosine(1000))

    def forward(self, x_t, timesteps, condition):
        kept = self.alpha_bar[timesteps.long() - 1][:, None, None, None]
        return ((x_t - kept.sqrt() * self.truth) / (1 - kept).sqrt()).float()


def test_figures_of_a_network_that_knows(tmp_path, both):
    """One that finds all the noise has no error, and its samples are the images."""
    from pretext import pretext_score

    model = load_model(write_crossdiff(tmp_path / "m.safetensors"))
    _, (scene, _) = load(both, None, PERCENTILE)
    figures, picture = pretext_score(model, scene, True, guidance=1.0)
    assert figures["noise"] > 0.5 and abs(figures["p2m_cc"]) < 0.9
    ms, pan = (2 * image[:, :, :32, :32] - 1 for image in (scene.lms, scene.pan))
    model.network.p2m, model.network.m2p = Oracle(ms), Oracle(pan)
    figures, known = pretext_score(model, scene, True, guidance=1.0)
    assert figures["noise"] < 1e-6
    for task, image in (("p2m", ms), ("m2p", pan)):
        inside = bool((image.abs() <= 1).all())
        assert figures[f"{task}_cc"] > (0.999999 if inside else 0.99)
        assert figures[f"{task}_psnr"] > (50 if inside else 20)
    assert known.shape == picture.shape == (3, 64, 96)
    assert pretext_score(model, scene, False, guidance=1.0)[1] is None


def test_starting_from_other_unets(small, pretrain, tmp_path, capsys):
    start = write_crossdiff(tmp_path / "other.safetensors", parameters={"gate": "sigmoid"})
    folder = pretrain(small(iterations=1, lr=1e-9, lr_end=1e-9), "run", "--from", start)
    assert [row["step"] for row in rows(folder)] == [0, 1]
    card = read_card(folder / "run.json")
    origin = read_card(start.with_suffix(".json"))
    assert card.training["from"] == {"name": "other", "sha256": origin.sha256}
    found, theirs = (load_model(m).network for m in (folder / "run.safetensors", start))
    for mine, other in zip(found.p2m.parameters(), theirs.p2m.parameters()):
        torch.testing.assert_close(mine, other, atol=1e-6, rtol=0)
    pretrain(small(normalisation="full_scale"), "again", "--from", start, status=1)
    assert "has the normalisation" in capsys.readouterr().err


def test_configs_of_the_other_architecture(config, crossdiff, start, both, tmp_path, capsys):
    words = ("--patches", both, "--out", tmp_path / "run")
    for script, path, said in (
        ("pretrain_crossdiff", config(), "is a config of ssdiff, and this script trains crossdiff"),
        ("train_ssdiff", crossdiff(), "is a config of crossdiff, and this script trains ssdiff"),
    ):
        assert start(script, path, *words) == 1
        error = capsys.readouterr().err
        assert said in error and error.count("\n") == 1
