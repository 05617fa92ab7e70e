"""A fusion that names no method takes a model, unless that would take too long."""

from __future__ import annotations

import pytest
from scene_jobs import StopAt, recorded
from scenes import make_pair
from whetstone.engine import WhetstoneError, run
from whetstone.engine import fuse as fusion


def test_a_bundled_model_by_default(tmp_path, backend):
    made = make_pair(backend, tmp_path, (96, 96))
    job, watch = made.job(tmp_path / "a.tif", "auto", threads=1), StopAt(2.0)
    result = run(job, watch)
    assert result.method in ("ssdiff", "crossdiff")
    assert result.model in watch.said[0]
    written = recorded(backend, job.out)
    assert (written.method, written.model) == (result.method, result.model)
    assert any(note.startswith(f"Method {result.method}: the model") for note in result.notes)


def test_a_model_that_takes_too_long_gives_way(tmp_path, backend, monkeypatch):
    monkeypatch.setattr(fusion, "MOST_SECONDS", 0)
    made = make_pair(backend, tmp_path, (96, 96))
    result = run(made.job(tmp_path / "a.tif", "auto", threads=1))
    assert (result.method, result.model) == ("mtf-glp-fs", None)
    assert any("would take about" in note for note in result.notes)


def test_a_model_that_cannot_be_run_gives_way(tmp_path, backend, monkeypatch):
    def broken(*words):
        raise WhetstoneError("MODEL_INVALID", "The weights are damaged.")

    monkeypatch.setattr(fusion, "_deep", broken)
    made = make_pair(backend, tmp_path, (96, 96))
    result = run(made.job(tmp_path / "a.tif", "auto", threads=1))
    assert result.method == "mtf-glp-fs"
    assert "Method mtf-glp-fs: The weights are damaged." in result.notes
    with pytest.raises(WhetstoneError, match="damaged"):
        run(made.job(tmp_path / "b.tif", "auto", threads=1, samples=4))


def test_a_model_that_was_asked_for_takes_its_time(tmp_path, backend, monkeypatch):
    monkeypatch.setattr(fusion, "MOST_SECONDS", 0)
    made = make_pair(backend, tmp_path, (96, 96))
    result = run(made.job(tmp_path / "a.tif", "auto", threads=1, model="ssdiff-vhr4"))
    assert (result.method, result.model) == ("ssdiff", "ssdiff-vhr4")
