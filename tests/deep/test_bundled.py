"""The models that ship: sound, described, chosen by themselves, and better than enlargement."""

from __future__ import annotations

import pytest
from whetstone.engine import AssessJob, DemoJob, FuseJob, RasterSource, library, run
from whetstone.engine.deep.weights import read_model

MODELS = sorted(library.BUNDLED.glob("*.safetensors"))


def test_together_they_are_small():
    assert MODELS and sum(path.stat().st_size for path in MODELS) < 16e6


@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)
def test_a_bundled_model_is_sound_and_described(path):
    card = read_model(path).card
    assert card.name == path.stem and card.sensors and card.licence
    assert {"data", "use", "limits", "command"} <= set(card.training)
    assert card.scores and all({"ergas", "sam", "q2n"} <= set(s) for s in card.scores.values())


@pytest.mark.parametrize(
    ("bands", "ratio", "sensor", "family"),
    [
        *((4, 4.0, sensor, "vhr4") for sensor in ("qb", "gf2", "spot6", "ge1", "wv3", "generic")),
        *((8, 4.0, sensor, "worldview") for sensor in ("wv2", "wv3", "generic")),
        *((bands, 2.0, "landsat8", "landsat") for bands in (3, 4, 6, 7)),
    ],
)
@pytest.mark.parametrize("architecture", ["ssdiff", "crossdiff"])
def test_each_sensor_gets_the_model_that_was_made_for_it(
    bands, ratio, sensor, family, architecture, tmp_path, monkeypatch
):
    monkeypatch.setenv("WHETSTONE_MODELS", str(tmp_path / "none"))
    found, _ = library.choose_model(architecture, bands, ratio, sensor, unasked=True)
    assert found.name == f"{architecture}-{family}"


def test_it_is_chosen_and_sharpens(tmp_path, monkeypatch):
    monkeypatch.setenv("WHETSTONE_MODELS", str(tmp_path / "none"))
    made = run(DemoJob(str(tmp_path), size=128))
    pan, ms, truth = map(RasterSource.of, (made.pan, made.ms, made.gt))
    scores = {}
    for method in ("exp", "ssdiff"):
        out = str(tmp_path / f"{method}.tif")
        fused = run(FuseJob(pan, ms, out, method=method))
        scores[method] = run(AssessJob(RasterSource.of(out), pan, ms, reference=truth)).scores
    assert fused.model == "ssdiff-vhr4"
    assert scores["ssdiff"]["ergas"] < 0.8 * scores["exp"]["ergas"]
