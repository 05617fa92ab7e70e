"""Checkpoints in the key layout of the authors' code, and files that are none."""

from __future__ import annotations

import os
import pickle
import zipfile
from pathlib import Path

import pytest
import torch
from plain import filled, inputs
from safetensors.torch import save_file
from torch import nn
from whetstone.engine.cards import Card, file_hash
from whetstone.engine.deep.models import load_model
from whetstone.engine.deep.release import import_checkpoint
from whetstone.engine.deep.ssdiff import SSDiff
from whetstone.engine.deep.weights import save_model
from whetstone.engine.errors import WhetstoneError


def weights(theirs, module):
    return {f"{theirs}.{leaf}": tensor for leaf, tensor in module.state_dict().items()}


def released(n, bands=8):
    """A network as the authors' code would store it (spec §2.9), with the layers it never uses."""
    found = {}

    def conv(name, out, into, side=3):
        found[f"{name}.weight"] = torch.ones(out, into, side, side)
        found[f"{name}.bias"] = torch.ones(out)

    conv("raise_ms_dim.0", 32, bands)
    conv("raise_pan_dim.0", 32, 32)
    conv("conv_x_t", 32, 32)
    found |= weights("upsample.upsamle.0", n.lr_up.conv)
    found |= weights("time_embed.0", n.time_mlp.fc1) | weights("time_embed.2", n.time_mlp.fc2)
    for ours, name in ((n.spa_stem, "pan"), (n.spe_stem, "lms")):
        found |= weights(f"conv_{name}2x_t", ours.conv)
        found |= weights(f"emb_layers_{name}.1", ours.time)
        found |= weights(f"out_layers_{name}.0", ours.norm)
        found |= weights(f"out_layers_{name}.3", ours.out)
    for k, ours in enumerate(n.apfm):
        attention, feed = (f"fusformer{k}.layers.0.{i}.fn" for i in (0, 1))
        found |= weights(f"{attention}.norm", ours.norm)
        for name in ("sa1 t_a", "sa2 t_b", "se1 t_c", "se2 t_d", "to_out.0 proj"):
            theirs, attribute = name.split()
            found |= weights(f"{attention}.fn.{theirs}", getattr(ours, attribute))
        found |= weights(f"{feed}.norm", ours.ff_norm)
        found |= weights(f"{feed}.fn.net.0", ours.ff1) | weights(f"{feed}.fn.net.3", ours.ff2)
    for k, d in enumerate((32, 64)):
        found |= weights(f"down{k}.conv.0", n.down[k].squeeze)
        found |= weights(f"down{k}.conv.2", n.down[k].pw)
        found |= weights(f"down{k}.conv.3", n.down[k].dw)
        conv(f"down{k}.maxpool_conv.1", 2 * d, d, 1)
        conv(f"down{k}.maxpool_conv.2", 2 * d, 1)
    for k, d in enumerate((64, 32)):
        conv(f"up{k}.up0.1", d, 2 * d)
        conv(f"up{k}.up0.2", d, 1)
        found |= {f"up{k}.up0.4.weight": torch.ones(d), f"up{k}.up0.4.bias": torch.ones(d)}
        found |= weights(f"up{k}.up1.0", n.up[k].deconv) | weights(f"up{k}.conv", n.up[k].conv)
    for k, ours in enumerate(n.res):
        found |= weights(f"resblock{k}.conv0", ours.conv1)
        found |= weights(f"resblock{k}.conv1", ours.conv2)
        found |= weights(f"resblock{k}.emb_layers.1", ours.time)
        found |= weights(f"resblock{k}.out_layers.0", ours.norm)
        found |= weights(f"resblock{k}.out_layers.3", ours.out)
    found |= weights("to_hrms.0", n.head.conv1) | weights("to_hrms.2", n.head.conv2)
    return found


@pytest.fixture(scope="module")
def network():
    return filled(8)


@pytest.fixture
def tensors(network):
    return released(network)


@pytest.fixture
def out(tmp_path):
    return tmp_path / "model.safetensors"


def write(tmp_path, tensors):
    path = tmp_path / "ema_150000.pt"
    torch.save(tensors, path)
    return path


def refused(code, source, out):
    with pytest.raises(WhetstoneError) as caught:
        import_checkpoint([source], out)
    assert caught.value.code == code
    assert "\n" not in str(caught.value)
    assert not out.exists() and not out.with_suffix(".json").exists()
    return str(caught.value)


def test_the_stand_in_is_as_the_release_is(tensors):
    parameters = {k: v for k, v in tensors.items() if "running" not in k and "num_batches" not in k}
    assert (len(tensors), len(parameters)) == (187, 181)
    assert sum(v.numel() for v in parameters.values()) == 1_426_616


def test_an_imported_checkpoint_gives_the_numbers_of_the_spec(tensors, tmp_path, out):
    source = write(tmp_path, tensors)
    card = import_checkpoint([source], out, "wv3")
    model = load_model(out)
    with torch.no_grad():
        result = model.network(*inputs(), torch.tensor([500.0]))
    got = [float(result.mean()), float(result.std(correction=0)), float(result[0, 3, 10, 20])]
    assert got == pytest.approx([0.293077, 0.991723, -1.676761], abs=1e-4)
    assert model.card == card
    assert card.parameters == {"bands": 8, "ratio": 4, "width": 32, "share_resample": True}
    assert (card.name, card.phase, card.steps, card.sensors) == ("model", 2.0, 10, ("wv3",))
    assert card.roles[:3] == ("coastal", "blue", "green")
    assert card.normalisation == {"kind": "full_scale", "value": 2047.0}
    assert card.training == {
        "imported_from": "ema_150000.pt",
        "sha256": file_hash(source),
    }
    assert card.licence.startswith("unknown")


def nested(tensors):
    return {"model": {"state_dict": tensors}, "step": 7}


def averaged(tensors):
    zeros = {k: torch.zeros_like(v) for k, v in tensors.items()}
    return {"model": zeros, "ema": tensors, "optimizer": {"state": {}, "param_groups": []}}


def parallel(tensors):
    return {f"module.{k}": v for k, v in tensors.items()}


@pytest.mark.parametrize(
    ("wrap", "part"), [(nested, "model.state_dict"), (averaged, "ema"), (parallel, None)]
)
def test_weights_are_found_where_training_scripts_put_them(wrap, part, tensors, tmp_path, out):
    card = import_checkpoint([write(tmp_path, wrap(tensors))], out)
    assert card.training.get("part") == part
    weight = load_model(out).network.head.conv2.weight
    assert torch.equal(weight, tensors["to_hrms.2.weight"])


def test_safetensors_and_half_precision_are_read(tensors, tmp_path, out):
    source = tmp_path / "release.safetensors"
    save_file({k: v.half() if v.is_floating_point() else v for k, v in tensors.items()}, source)
    import_checkpoint([source], out)
    weight = load_model(out).network.head.conv2.weight
    assert weight.dtype == torch.float32
    assert torch.equal(weight, tensors["to_hrms.2.weight"].half().float())


@pytest.mark.parametrize("shared", [True, False])
def test_our_own_layout_keeps_what_its_card_says(shared, tmp_path, out):
    parameters = {"bands": 3, "ratio": 2, "width": 64, "share_resample": shared}
    network = SSDiff(**parameters)
    card = Card(
        *("mine", "ssdiff", parameters, 3, 2),
        phase=0.5,
        normalisation={"kind": "standard"},
        limits=(None, None),
        residual_scale=4.0,
    )
    save_model(tmp_path / "mine.safetensors", network, card)
    got = import_checkpoint([tmp_path / "mine.safetensors"], out)
    for key in ("parameters", "bands", "ratio", "phase", "normalisation", "limits"):
        assert getattr(got, key) == getattr(card, key)
    assert (got.name, got.residual_scale) == (out.stem, 4.0)
    assert got.training["imported_from"] == "mine.safetensors"
    loaded = load_model(out).network.state_dict()
    assert all(torch.equal(loaded[name], value) for name, value in network.state_dict().items())


def test_our_own_layout_without_a_card_is_refused(tmp_path, out):
    said = refused("MODEL_CARD", write(tmp_path, SSDiff(4).state_dict()), out)
    assert "no card" in said


@pytest.mark.parametrize(("ratio", "window", "phase"), [(2, 64, 1.0), (3, 60, 1.0), (4, 64, 2.0)])
def test_windows_and_phase_follow_the_ratio(ratio, window, phase, tmp_path, out):
    tensors = released(SSDiff(4, ratio, share_resample=True), 4)
    card = import_checkpoint([write(tmp_path, tensors)], out)
    assert (card.ratio, card.window, card.phase) == (ratio, window, phase)


@pytest.mark.parametrize(
    ("name", "shape", "words"),
    [
        ("fusformer2.layers.0.0.fn.fn.se1.weight", (128, 64), "has the shape (128, 64); it must"),
        ("fusformer2.layers.0.0.fn.fn.se1.weight", None, "is missing; it must be (128, 128)"),
        ("upsample.upsamle.0.weight", (100, 8, 3, 3), "has the shape (100, 8, 3, 3); it must be ("),
        ("upsample.upsamle.0.weight", (128, 8), "has the shape (128, 8); it must be (bands x"),
        ("upsample.upsamle.0.weight", None, "is missing; it must be (bands x ratio²"),
        ("to_hrms.2.weight", (4, 32, 3, 3), "has the shape (4, 32, 3, 3); it must be (8, width,"),
        ("to_hrms.2.weight", (8, 33, 3, 3), "multiple of 32"),
        ("out_layers_pan.0.running_var", None, "is missing; it must be (32,)"),
        ("resblock4.conv0.weight", (1,), "is unknown"),
    ],
)
def test_the_first_tensor_that_does_not_fit_is_named(name, shape, words, tensors, tmp_path, out):
    if shape is None:
        del tensors[name]
    else:
        tensors[name] = torch.zeros(shape)
    said = refused("MODEL_INVALID", write(tmp_path, tensors), out)
    assert f"the tensor {name} " in said and words in said


def test_a_checkpoint_of_another_network_is_refused(tmp_path, out):
    resnet = {"conv1.weight": torch.zeros(64, 3, 7, 7), "layer1.0.bn1.bias": torch.zeros(64)}
    said = refused("MODEL_INVALID", write(tmp_path, resnet), out)
    assert "of SSDiff or CrossDiff: the tensor conv1.weight is unknown, as are all 2." in said


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({}, "holds no named tensors"),
        ([torch.zeros(2)], "holds no named tensors"),
        (torch.zeros(2), "holds no named tensors"),
        ({"epoch": 3}, "holds no named tensors"),
        ({"a": torch.zeros(2), "epoch": 3}, "the entry epoch is no tensor"),
    ],
)
def test_a_file_without_named_tensors_is_refused(content, words, tmp_path, out):
    assert words in refused("MODEL_INVALID", write(tmp_path, content), out)


class Trap:
    """Runs a command when it is unpickled."""

    def __reduce__(self):
        return os.system, ("exit 1",)


def test_code_in_a_checkpoint_is_not_run(tmp_path, out, monkeypatch):
    ran = []
    monkeypatch.setattr(os, "system", ran.append)
    path = write(tmp_path, {"a": Trap()})
    assert "it was not run" in refused("MODEL_UNSAFE", path, out)
    path.write_bytes(pickle.dumps({"a": Trap()}, 2))
    assert "it was not run" in refused("MODEL_UNSAFE", path, out)
    assert not ran


def test_a_whole_module_is_refused_with_the_way_out(tmp_path, out):
    said = refused("MODEL_UNSAFE", write(tmp_path, nn.Linear(2, 2)), out)
    assert "torch.nn.modules.linear.Linear" in said and "state_dict()" in said


def cut(path):
    path.write_bytes(path.read_bytes()[:3000])


def text(path):
    path.write_text("epoch 1: loss 0.3\n" * 9)


def empty(path):
    path.write_bytes(b"")


def other_zip(path):
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("readme.txt", "hello")


@pytest.mark.parametrize("damage", [cut, text, empty, other_zip])
@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_damaged_files_are_refused(damage, suffix, tensors, tmp_path, out):
    path = Path(write(tmp_path, tensors)).rename(tmp_path / f"x{suffix}")
    damage(path)
    said = refused("MODEL_DAMAGED", path, out)
    assert f"'{path}'" in said


def test_files_that_cannot_be_opened_are_refused(tmp_path, out):
    said = refused("MODEL_UNREADABLE", tmp_path / "none.pt", out)
    assert "No such file" in said
    assert "directory" in refused("MODEL_UNREADABLE", tmp_path, out)
    said = refused("MODEL_UNREADABLE", tmp_path / "none.safetensors", out)
    assert "none.safetensors" in said
