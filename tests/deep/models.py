"""Models for tests of scenes, with residuals as small as real ones."""

from __future__ import annotations

from copy import deepcopy
from functools import lru_cache

import torch
from plain import filled
from whetstone.engine.cards import Card
from whetstone.engine.deep.crossdiff import CrossDiff
from whetstone.engine.deep.weights import Model, save_model

SIDE = 32  # of SSDiff's windows: four times quicker than 64
FULL_SCALE = {"kind": "full_scale", "value": 2047.0}


def make_network(bands=4, ratio=4, strength=0.03):
    """Hash-filled weights whose output has a deviation of about ``strength``."""
    network = filled(bands, ratio=ratio)
    with torch.no_grad():
        for module in (network.head.conv2, network.lr_up.conv):
            for parameter in module.parameters():
                parameter.mul_(strength)
    return network


def make_card(bands=4, ratio=4, **more):
    """The card of such a network."""
    more = {
        "normalisation": FULL_SCALE,
        "limits": (None, None),
        "window": SIDE if ratio != 3 else 36,
        "phase": (ratio - 1) / 2,
        "steps": 2,
        **more,
    }
    parameters = {"bands": bands, "ratio": ratio, "share_resample": True}
    return Card("tiny", "ssdiff", parameters, bands, ratio, **more)


def make_model(bands=4, ratio=4, **more):
    """Network and card in memory."""
    return Model(make_card(bands, ratio, **more), make_network(bands, ratio), torch.device("cpu"))


def write_model(folder, bands=4, ratio=4, name="tiny", **more):
    """The same on disk; its path."""
    path = folder / f"{name}.safetensors"
    save_model(path, make_network(bands, ratio), make_card(bands, ratio, **more))
    return str(path)


@lru_cache(maxsize=4)
def _crossdiff(bands, strength, timesteps, centred):
    torch.manual_seed(0)
    network = CrossDiff(bands, timesteps, centred=centred).requires_grad_(False).eval()
    network.head.conv2.weight.mul_(strength)
    return network


def make_crossdiff(bands=4, *, ratio=4.0, strength=0.1, timesteps=(50,), centred=False, **more):
    """A CrossDiff model in memory; its residual has a deviation of about ``strength / 10``."""
    parameters = {"bands": bands, "timesteps": list(timesteps), "centred": centred}
    more = {"normalisation": FULL_SCALE, "limits": (None, None), **more}
    card = Card("drawn", "crossdiff", parameters, bands, ratio, **more)
    network = deepcopy(_crossdiff(bands, strength, timesteps, centred))
    return Model(card, network, torch.device("cpu"))


def write_crossdiff(folder, bands=4, name="drawn", **more):
    """The same on disk; its path."""
    path, model = folder / f"{name}.safetensors", make_crossdiff(bands, **more)
    save_model(path, model.network, model.card)
    return str(path)
