"""Small SSDiff models for tests of scenes: quick, with residuals as small as real ones."""

from __future__ import annotations

import torch
from plain import filled
from whetstone.engine.deep.weights import Card, Model, save_model

SIDE = 32  # of the windows: four times quicker than 64


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
        "normalisation": {"kind": "full_scale", "value": 2047.0},
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
