"""Stage 1: the loss falls, a resumed run goes on alike, the best weights are kept."""

from __future__ import annotations

import csv
import subprocess
import sys

import h5py
import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tiny import differing, images, interrupted, state_of
from whetstone.engine.cards import read_card
from whetstone.engine.deep import load_model


@pytest.fixture
def train(start, patches, tmp_path):
    """Run train_ssdiff.py on the tiny scenes into a folder; returns the folder."""

    def go(path, out="run", *words, status=0):
        folder = tmp_path / out
        assert start("train_ssdiff", path, "--patches", patches, "--out", folder, *words) == status
        return folder

    return go


def rows(folder):
    with open(folder / "history.csv", newline="") as file:
        return [{k: float(v) for k, v in row.items()} for row in csv.DictReader(file)]


def test_the_loss_falls_and_everything_is_written(config, train):
    folder = train(config(iterations=60, validate_every=20, lr_end=1e-4, clip=1.0))
    history = rows(folder)
    assert [row["step"] for row in history] == [20, 40, 60]
    assert history[2]["loss"] < 0.6 * history[0]["loss"]
    assert history[2]["ergas"] < history[0]["ergas"]
    assert set(history[0]) == {"step", "loss", "lr", "ergas", "sam", "q2n"}
    assert sorted(p.suffix for p in folder.iterdir() if "tfevents" not in p.name) == [
        ".csv",
        ".json",
        ".pt",
        ".safetensors",
    ]
    model = load_model(folder / "run.safetensors")
    assert (model.card.name, model.card.sensors, model.card.phase) == ("run", ("qb",), 1.5)
    assert model.card.training["patches"] == "patches.h5"
    assert model.card.scores["validation"]["c"]["ergas"] == min(row["ergas"] for row in history)

    curves = EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload()
    assert set(curves.Tags()["scalars"]) == {"loss", "lr", "ergas", "sam", "q2n"}
    assert curves.Tags()["images"] == ["c"]
    assert [event.step for event in curves.Scalars("ergas")] == [20, 40, 60]
    assert [event.step for event in curves.Scalars("loss")] == [50]
    picture = curves.Images("c")[-1]
    assert (picture.height, picture.width) == (32, 4 * 32)


def test_resuming_goes_on_bit_for_bit(config, train, monkeypatch, capsys):
    path = config(lr_end=1e-5, warmup=2, clip=1.0)
    straight = train(path, "straight")
    with monkeypatch.context() as patch:
        patch.setattr("runs.Run.draw", interrupted(4))
        stopped = train(path, "stopped", status=130)
    assert "--resume" in capsys.readouterr().err
    assert state_of(stopped)["step"] == 3
    train(path, "stopped", "--resume")
    one, other = state_of(straight), state_of(stopped)
    assert one["step"] == 6 and one["history"][1]["loss"] > 0
    assert differing(one, other) == []
    assert rows(straight) == rows(stopped)


def test_what_cannot_be_resumed(config, train, capsys):
    train(config(iterations=1), status=0)
    train(config(iterations=1), status=1)
    assert "is of an earlier run" in capsys.readouterr().err
    train(config(iterations=2, seed=7), "run", "--resume", status=1)
    assert "made with another seed." in capsys.readouterr().err
    train(config(iterations=2), "other", "--resume", status=1)
    assert "to go on from" in capsys.readouterr().err
    train(config(iterations=2), "run", "--resume")
    assert [row["step"] for row in rows(train(config(), "run", "--resume"))] == [1, 2, 3, 6]


def test_the_best_is_kept(config, train, monkeypatch):
    scores = iter([5.0, 3.0, 4.0])
    monkeypatch.setattr("validation.ergas", lambda *images: next(scores))
    folder = train(config(validate_every=1, iterations=3))
    card = load_model(folder / "run.safetensors").card
    assert card.training["step"] == 2 and card.scores["validation"]["c"]["ergas"] == 3.0


def test_without_scenes_to_validate_on_the_last_is_kept(config, train, patches):
    import h5py

    with h5py.File(patches, "a") as file:
        del file["val"]
    folder = train(config(iterations=2, validate_every=1))
    assert load_model(folder / "run.safetensors").card.training["step"] == 2
    assert set(rows(folder)[0]) == {"step", "loss", "lr"}


def test_scenes_without_room_for_a_patch_are_left_out(config, train, patches, capsys):
    import h5py

    with h5py.File(patches, "a") as file:
        group = file.create_group("train/small")
        group.attrs.update(file["train/a"].attrs)
        for key, values in images(16).items():
            group[key] = values[None]
    train(config(iterations=1, patch=32))
    assert "small: left out, chips of 16 pixels" in capsys.readouterr().out


def test_starting_from_a_model(config, train, model, capsys):
    folder = train(config(iterations=1, lr=1e-9, lr_end=1e-9), "run", "--from", model)
    found, origin = load_model(folder / "run.safetensors"), load_model(model)
    assert found.card.training["from"] == {"name": "start", "sha256": origin.card.sha256}
    assert [row["step"] for row in rows(folder)] == [0, 1]
    for mine, theirs in zip(found.network.parameters(), origin.network.parameters()):
        torch.testing.assert_close(mine, theirs, atol=1e-6, rtol=0)
    train(config(share_resample=True), "shared", "--from", model, status=1)
    assert "has the parameters" in capsys.readouterr().err


def test_bf16(config, train):
    """The same steps, rounded; what is kept is float32."""
    plain, short = (train(config(precision=p, iterations=4), p) for p in ("no", "bf16"))
    losses = [rows(folder)[0]["loss"] for folder in (plain, short)]
    assert losses[0] != losses[1] and losses[0] == pytest.approx(losses[1], rel=0.02)
    dtypes = {p.dtype for p in load_model(short / "bf16.safetensors").network.parameters()}
    assert dtypes == {torch.float32}


def test_a_base_goes_into_the_card_and_bands_into_order(config, train, patches):
    with h5py.File(patches, "a") as file:
        for scene in ("train/a", "train/b", "val/c"):
            file[scene].attrs["roles"] = "red,green,blue,nir"
    words = {"normalisation": "standard", "limits": [-float("inf"), float("inf")]}
    more = {"base": "glp", "any_bands": True, "ordered": 1.0, "jitter": 0.2}
    folder = train(config(roles=["blue", "green", "red", "nir"], **more, **words))
    card = read_card(folder / "run.json")
    assert card.base == "glp" and card.roles == ("blue", "green", "red", "nir")
    lms = train(config(**words), "lms")
    cards = (card, read_card(lms / "lms.json"))
    ours, plain = (each.scores["validation"]["c"]["ergas"] for each in cards)
    assert ours < 0.8 * plain, "the base of these scenes is half the way to the truth"


def test_a_loss_that_is_no_number_stops_the_run(config, train, capsys):
    folder = train(config(lr=1e30, lr_end=1e30), status=1)
    assert "DIVERGED" in capsys.readouterr().err
    assert not (folder / "run.safetensors").exists()


def test_noise_is_scaled_with_the_residual(config, start, patches, tmp_path, monkeypatch):
    """``residual_scale`` s diffuses s times the residual and still predicts the residual."""
    import train_ssdiff

    seen = []

    def spy(x0, eps, timesteps, alpha_bar):
        seen.append((x0, eps, timesteps))
        return x0

    monkeypatch.setattr(train_ssdiff, "add_noise", spy)
    for scale in (1.0, 8.0):
        path = config(residual_scale=scale, iterations=1)
        words = ("--patches", patches, "--out", tmp_path / f"run{scale:g}")
        assert start("train_ssdiff", path, *words) == 0
    (plain, eps, timesteps), (scaled, *same) = seen
    assert torch.equal(8 * plain, scaled)
    assert torch.equal(eps, same[0]) and torch.equal(timesteps, same[1])
    assert timesteps.shape == (2,) and abs(float(eps.std()) - 1) < 0.1


def test_random_numbers_cover_their_ranges(config, patches, tmp_path):
    from types import SimpleNamespace

    from config import SSDiffConfig
    from runs import Run

    words = SimpleNamespace(
        config=str(config(batch=50)),
        patches=patches,
        val_patches=None,
        out=tmp_path / "run",
        resume=False,
        iterations=None,
    )
    run = Run(words, SSDiffConfig)
    drawn = []
    for run.step in range(40):
        drawn.append(run.timesteps())
    timesteps = torch.cat(drawn).numpy()
    assert timesteps.min() < 10 and timesteps.max() > 989
    counts, _ = np.histogram(timesteps, 10, (0, 1000))
    assert counts.min() > 150
    noises = [run.noise(torch.empty(1, 4, 16, 16), number) for number in (0, 1)]
    run.step += 1
    noises.append(run.noise(torch.empty(1, 4, 16, 16)))
    mixed = torch.corrcoef(torch.stack([x.flatten() for x in noises]))
    assert (mixed - torch.eye(3)).abs().max() < 0.15


def test_the_command_line(config, root, tmp_path):
    """As users call it, from anywhere; a wrong call is one line."""
    words = [config(), "--patches", "none.h5", "--out", "run"]
    script = root / "training" / "train_ssdiff.py"
    done = subprocess.run(
        [sys.executable, script, *words], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "PATCHES: 'none.h5' is not there, or no HDF5 file. "
        "Make it with training/prepare_patches.py."
    ]
