"""Runs of a second: config, scenes and model; and what a run left, compared bit for bit."""

from __future__ import annotations

import h5py
import numpy as np
import torch
from accelerate.state import AcceleratorState
from scenes import Ground
from whetstone.engine.cards import Card
from whetstone.engine.deep.weights import build_network, save_model

PERCENTILE = {"kind": "percentile", "value": 99.5}
CONFIG = {
    "bands": 4,
    "normalisation": "percentile",
    "normalisation_value": 99.5,
    "limits": [0.0, float("inf")],
    "iterations": 6,
    "batch": 2,
    "patch": 16,
    "window": 32,
    "validate_every": 3,
    "validate_steps": 1,
    "ema": 0.5,
}
CROSSDIFF = {
    "architecture": "crossdiff",
    "bands": 4,
    "normalisation": "percentile",
    "normalisation_value": 99.5,
    "limits": [0.0, float("inf")],
    "iterations": 6,
    "batch": 2,
    "patch": 32,
    "window": 32,
    "lr": 1e-3,
    "lr_end": 1e-3,
    "validate_every": 3,
    "ema": 0.5,
}


def one_thread():
    """Small tensors: more threads only wait for each other."""
    torch.set_num_threads(1)


def forget_accelerator():
    """Let the next run choose its precision anew."""
    AcceleratorState._reset_state(reset_partial_state=True)


def write_config(path, plain=CONFIG, **changes):
    """A tiny config with changes; None leaves a key out."""
    values = {key: value for key, value in {**plain, **changes}.items() if value is not None}
    for key, value in values.items():
        values[key] = str(value).lower() if isinstance(value, bool) else repr(value)
    path.write_text("\n".join(f"{key} = {value}" for key, value in values.items()))
    return path


def images(size=32, bands=4, seed=1):
    """PAN, LMS, MS, truth and base of one chip; the LMS is the MS, each pixel repeated."""
    ground = Ground(bands, seed=seed)
    fine, coarse = np.arange(size), 1.5 + 4 * np.arange(size // 4)
    gt, ms = ground.seen(fine, fine), ground.seen(coarse, coarse, 4.0)
    pan = np.tensordot(ground.weights, gt, 1)[None]
    lms = ms.repeat(4, 1).repeat(4, 2)
    return {"pan": pan, "lms": lms, "ms": ms, "gt": gt, "glp": (lms + gt) / 2}


def write_scenes(path, bands=4, size=32, names=("train/a", "train/b", "val/c")):
    """A prepared file of scenes of one chip; those called -full have no truth."""
    with h5py.File(path, "w") as file:
        for number, name in enumerate(names):
            group = file.create_group(name)
            group.attrs.update({"phase": 1.5, "sensor": "qb"})
            for key, values in images(size, bands, seed=number + 1).items():
                if key != "gt" or not name.endswith("-full"):
                    group[key] = values[None].astype(np.float32)
    return path


def write_both(path, size=48):
    """A prepared file of either split in both forms, all of different ground."""
    names = [f"{split}/{name}" for split in ("train", "val") for name in ("a", "a-full")]
    return write_scenes(path, size=size, names=names)


def write_model(path):
    """A model that fits the tiny config, none of its weights zero."""
    card = Card(
        name=path.stem,
        architecture="ssdiff",
        parameters={"bands": 4, "ratio": 4, "width": 32, "share_resample": False},
        bands=4,
        ratio=4,
        window=32,
        normalisation=PERCENTILE,
        limits=(0.0, None),
        steps=2,
    )
    torch.manual_seed(5)
    network = build_network(card)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.02 * torch.randn(parameter.shape)
    save_model(path, network, card)
    return path


def write_crossdiff(path, stage=2, **changes):
    """A model that fits the tiny config of CrossDiff; its head changes little of an image."""
    more = {"name": path.stem, "sensors": ("wv4",), "training": {"stage": stage}, **changes}
    parameters = {
        "bands": 4,
        "timesteps": [50],
        "finest_level": "live",
        "gate": "leaky",
        "centred": False,
    }
    card = Card(
        architecture="crossdiff",
        parameters={**parameters, **more.pop("parameters", {})},
        bands=4,
        ratio=4,
        **{"window": 32, "normalisation": PERCENTILE, "limits": (0.0, None), **more},
    )
    torch.manual_seed(5)
    network = build_network(card)
    with torch.no_grad():
        for parameter in network.head.conv2.parameters():
            parameter.mul_(0.01)
    save_model(path, network, card)
    return path


def interrupted(step):
    """Like Run.draw, until Ctrl-C at a step."""
    from runs import Run

    draw = Run.draw

    def until(run, *source):
        if run.step == step:
            raise KeyboardInterrupt
        return draw(run, *source)

    return until


def state_of(folder):
    """What a run left to resume from."""
    return torch.load(folder / "state.pt", weights_only=True)


def leaves(value, place=""):
    """(place, leaf) of nested dictionaries and lists."""
    if isinstance(value, (dict, list)):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        return [leaf for key, part in items for leaf in leaves(part, f"{place}/{key}")]
    return [(place, value)]


def differing(one, other):
    """Places where two states are not equal bit for bit."""
    mine, theirs = leaves(one), leaves(other)
    assert [place for place, _ in mine] == [place for place, _ in theirs]
    return [
        place
        for (place, a), (_, b) in zip(mine, theirs)
        if not (torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b)
    ]
