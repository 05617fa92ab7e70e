"""An adapted model treats parts of its scene like the whole, and knows scenes that are not it."""

from __future__ import annotations

import numpy as np
import pytest
import rasterio
import torch
from adaptations import Watched
from models import write_crossdiff
from whetstone.engine import FuseJob, RasterSource, WhetstoneError, run
from whetstone.engine.cards import Card
from whetstone.engine.deep.crossdiff import CrossDiff
from whetstone.engine.deep.inputs import as_fixed, scale_of
from whetstone.engine.deep.statistics import learn
from whetstone.engine.deep.weights import read_model, save_model

MEANS, DEVIATIONS = [100.0, 200.0, 300.0], [10.0, 20.0, 30.0]
FIXED = {
    "kind": "fixed",
    "pan": [150.0, 15.0],
    "ms": [list(pair) for pair in zip(MEANS, DEVIATIONS)],
}


def test_a_fixed_scale_does_not_ask_the_scene():
    rng = np.random.default_rng(1)
    scale = scale_of(FIXED, rng.random(50), rng.random((3, 50)))
    np.testing.assert_allclose(scale.of_pan(np.array([150.0, 165.0])), [0, 1])
    image = np.array(MEANS)[:, None, None] + np.array(DEVIATIONS)[:, None, None]
    np.testing.assert_allclose(scale.of_image(image), 1)
    np.testing.assert_allclose(scale.to_dn(scale.of_image(image)), image, rtol=1e-6)
    assert as_fixed(scale) == FIXED


def test_an_image_in_another_order_gets_its_own_bands_scale():
    scale = scale_of(FIXED, np.zeros(1), np.zeros((3, 1)))
    turned = scale.ordered([2, 0, 1])  # the model's first band is the image's third
    np.testing.assert_array_equal(turned.ms_offset, [200, 300, 100])


@pytest.mark.parametrize(
    "broken",
    [
        {"pan": [1.0]},
        {"pan": [1.0, 0.0]},
        {"ms": FIXED["ms"][:2]},
        {"ms": "much"},
        {"ms": [[1.0, -2.0]] * 3},
    ],
)
def test_a_card_with_half_a_scale_is_refused(tmp_path, broken):
    card = card_of(normalisation={**FIXED, **broken})
    network = CrossDiff(3, centred=True)
    save_model(tmp_path / "m.safetensors", network, card)
    with pytest.raises(WhetstoneError, match="cannot have normalisation"):
        read_model(tmp_path / "m.safetensors")


def card_of(**more):
    more = {"normalisation": FIXED, "limits": (None, None), "statistics": "model", **more}
    return Card("m", "crossdiff", {"bands": 3, "centred": True}, 3, 4.0, **more)


def test_statistics_of_the_model_come_back_bit_for_bit(tmp_path):
    torch.manual_seed(3)
    network, path = CrossDiff(3, centred=True).eval(), tmp_path / "m.safetensors"
    pan, lms = torch.randn(1, 1, 48, 48), torch.randn(1, 3, 48, 48)
    learn(network, lambda: [(torch.ones(1, 1, 48, 48), lambda: network(pan, lms))])
    other = torch.randn(1, 3, 64, 64)
    want = network(other[:, :1], other)
    save_model(path, network, card_of())
    again = read_model(path).network
    assert torch.equal(again(other[:, :1], other), want)


def test_a_model_that_lacks_its_statistics_is_refused(tmp_path):
    path = tmp_path / "m.safetensors"
    save_model(path, CrossDiff(3, centred=True), card_of())
    with pytest.raises(WhetstoneError, match="lacks the statistics"):
        read_model(path)


@pytest.mark.parametrize(("away", "said"), [(0.0, False), (2.5, True), (6.0, None)])
def test_another_scene_is_told_or_refused(tmp_path, drawn, away, said):
    """The model was adapted to a scene that is ``away`` deviations brighter."""
    with rasterio.open(drawn.pan) as pan, rasterio.open(drawn.ms) as ms:
        scale = as_fixed(scale_of({"kind": "standard"}, pan.read(1), ms.read()))
    scale["pan"][0] += away * scale["pan"][1]
    bands = len(scale["ms"])
    model = write_crossdiff(
        tmp_path, bands, normalisation=scale, centred=True, statistics="window", window=32
    )
    sources = (RasterSource.of(str(path)) for path in (drawn.pan, drawn.ms))
    job = FuseJob(*sources, str(tmp_path / "o.tif"), "crossdiff", model=model, device="cpu")
    told = Watched()
    if said is None:
        with pytest.raises(WhetstoneError, match="medians of this scene") as caught:
            run(job, told)
        assert caught.value.code == "MODEL_RANGE" and not (tmp_path / "o.tif").exists()
        return
    run(job, told)
    assert any("medians of this scene" in text for text in told.notes) == said
