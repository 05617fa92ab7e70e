"""Distillation: a student that gives in one step what its teacher averages over noises."""

from __future__ import annotations

import pytest
import torch
from patches import load, windows
from tiny import PERCENTILE
from whetstone.engine.deep import load_model
from whetstone.engine.deep.sampling import Batch, sample


@pytest.fixture
def distill(start, patches, tmp_path):
    """Run distill_ssdiff.py on the tiny scenes into a folder; returns the folder."""

    def go(path, teacher, out="run", *words, status=0):
        folder = tmp_path / out
        words = (path, "--from", teacher, "--patches", patches, "--out", folder, *words)
        assert start("distill_ssdiff", *words) == status
        return folder

    return go


def test_the_student_comes_near_its_teacher(config, distill, model, patches):
    changes = {"truth_weight": 0.0, "lr": 2e-3, "lr_end": 1e-4, "draws": 2}
    folder = distill(config(iterations=40, validate_every=40, **changes), model)
    teacher, student = load_model(model), load_model(folder / "run.safetensors")
    card = student.card
    assert (card.start, card.steps, card.training["step"]) == ("zero", 1, 40)
    assert card.training["teacher"] == {"name": "start", "sha256": teacher.card.sha256}
    (scene, _), _ = load(patches, None, PERCENTILE)
    part = next(windows(scene, 16, 4, 4))
    batch = Batch(part.pan, part.lms, part.ms)
    draws = [torch.randn(part.lms.shape) for _ in range(8)]
    taught = torch.stack([sample(teacher, batch, lambda _, x=x: x, steps=2) for x in draws]).mean(0)

    def error(network):
        last = torch.full((len(part.lms),), 999)
        with torch.no_grad():
            residual = network(*batch, torch.zeros_like(part.lms), last)
        return float((part.lms + residual - taught).abs().mean())

    assert error(student.network) < 0.5 * error(teacher.network)
    image = sample(student, batch, lambda _: draws[0], steps=card.steps)
    last = torch.full((len(part.lms),), 999)
    with torch.no_grad():
        residual = student.network(*batch, torch.zeros_like(part.lms), last)
    torch.testing.assert_close(image, (part.lms + residual).clamp(min=0))


def test_the_truth_draws_too(config, distill, model, monkeypatch):
    """The loss is L1 to the teacher plus the weighted L1 to the truth."""
    import distill_ssdiff

    targets = []

    def spy(residual, target):
        targets.append(target)
        return (residual - target).abs().mean()

    monkeypatch.setattr(distill_ssdiff, "objective", spy)
    monkeypatch.setattr(distill_ssdiff, "posterior_mean", lambda run, teacher, batch: batch.gt)
    distill(config(iterations=1, truth_weight=0.5), model)
    torch.testing.assert_close(*targets)


def test_wrong_calls(config, distill, model, tmp_path, capsys):
    folder = distill(config(iterations=2, validate_every=1), model)
    capsys.readouterr()
    student = folder / "run.safetensors"
    distill(config(), student, "again", status=1)
    assert "one-step student itself" in capsys.readouterr().err
    other = tmp_path / "other.safetensors"
    from tiny import write_model

    write_model(other)
    distill(config(validate_every=1), other, "run", "--resume", status=1)
    assert "another teacher" in capsys.readouterr().err
    distill(config(residual_scale=2.0), model, "scaled", status=1)
    assert "has the residual_scale" in capsys.readouterr().err
