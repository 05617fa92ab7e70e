"""L-BAF: what belongs to the other branch stays bit for bit (spec §4.3)."""

from __future__ import annotations

import pytest
import torch
from tiny import differing, state_of
from whetstone.engine.deep import load_model

BUFFERS = {"spectral": "spe_stem.norm.", "spatial": "spa_stem.norm."}
OTHER = {"spectral": "spatial", "spatial": "spectral"}


@pytest.fixture
def finetune(start, patches, tmp_path):
    """Run finetune_ssdiff.py on the tiny scenes into a folder; returns the folder."""

    def go(path, out="run", *words, status=0):
        folder = tmp_path / out
        words = (path, "--patches", patches, "--out", folder, *words)
        assert start("finetune_ssdiff", *words) == status
        return folder

    return go


def tensors_of(network, branch):
    """Names of the parameters and batch-norm statistics of a branch."""
    state = network.state_dict()
    buffers = [name for name in state if name not in dict(network.named_parameters())]
    return {
        *network.branches()[branch],
        *(name for name in buffers if name.startswith(BUFFERS.get(branch, "-"))),
    }


def test_a_block_changes_its_branch_alone(config, finetune, model):
    network = load_model(model).network
    parts = {branch: tensors_of(network, branch) for branch in ("spatial", "spectral", "common")}
    assert sum(map(len, parts.values())) == len(network.state_dict())
    before = {"network": network.state_dict(), "ema": network.state_dict()}
    moments = {"spectral": {}, "spatial": {}}
    for count, branch in ((2, "spectral"), (4, "spatial"), (6, "spectral")):
        path = config(iterations=count, period=2, clip=1.0)
        folder = finetune(path, "run", *(["--from", model] if count == 2 else ["--resume"]))
        state = state_of(folder)
        after = {"network": dict(state["network"]), "ema": dict(state["ema"]["network"])}
        for which in ("network", "ema"):
            moved = {name[1:] for name in differing(dict(before[which]), after[which])}
            assert moved == parts[branch], f"{which} after the {branch} block"
        found = dict(zip(moments, (optimizer["state"] for optimizer in state["optimizers"])))
        assert differing(moments[OTHER[branch]], found[OTHER[branch]]) == []
        assert len(found[branch]) == len(network.branches()[branch])
        before, moments = after, found


def test_resuming_inside_a_block_goes_on_bit_for_bit(config, finetune, model):
    changes = {"period": 2, "validate_every": 3, "lr": 1e-3, "lr_end": 1e-3}
    straight = finetune(config(iterations=5, **changes), "straight", "--from", model)
    halved = finetune(config(iterations=3, **changes), "halved", "--from", model)
    finetune(config(iterations=5, **changes), "halved", "--resume")
    one, other = state_of(straight), state_of(halved)
    assert one["step"] == 5
    for state in (one, other):
        del state["history"][0]  # the loss before the first step is no number
        del state["config"]["iterations"]
        del state["training"]["config"]["iterations"]
    assert differing(one, other) == []
    assert load_model(halved / "halved.safetensors").card.training["from"]["name"] == "start"


def test_gradients_flow_through_frozen_layers(model):
    from finetune_ssdiff import train_only

    network = load_model(model).network.train()
    inputs = [torch.rand(1, n, s, s) for n, s in ((1, 16), (4, 16), (4, 4), (4, 16))]
    for branch in ("spatial", "spectral"):
        network.zero_grad(set_to_none=True)
        assert train_only(network, branch) == tensors_of(network, branch)
        network(*inputs, torch.tensor([500])).abs().mean().backward()
        trained = {name for name, p in network.named_parameters() if p.grad is not None}
        assert trained == set(network.branches()[branch])
        assert all(network.get_parameter(name).grad.abs().max() > 0 for name in trained)


def test_wrong_calls(config, finetune, model, capsys):
    for changes, words, text in (
        ({}, [], "Nothing to fine-tune"),
        ({"limits": [0.0, 1.0]}, ["--from", model], "has the limits"),
        ({"normalisation_value": 98.0}, ["--from", model], "has the normalisation"),
        ({}, ["--from", "nobody"], "nobody"),
    ):
        folder = finetune(config(**changes), "run", *words, status=1)
        error = capsys.readouterr().err
        assert text in error and error.count("\n") == 1
        assert not folder.exists()
