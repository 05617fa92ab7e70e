"""Checkpoints of CrossDiff in the key layout of the authors' code, and files that are none."""

from __future__ import annotations

import json
from itertools import permutations

import pytest
import torch
from torch import nn
from whetstone.engine.cards import Card, file_hash, read_card
from whetstone.engine.cli import main
from whetstone.engine.deep.crossdiff import CrossDiff
from whetstone.engine.deep.models import load_model
from whetstone.engine.deep.release import import_checkpoint
from whetstone.engine.deep.schedule import cosine, linear
from whetstone.engine.deep.weights import save_model
from whetstone.engine.errors import WhetstoneError


def filled(bands=4, timesteps=(50,), finest_level="reference"):
    """A network whose every tensor is random, norms and biases included; in eval mode."""
    network = CrossDiff(bands, timesteps, finest_level=finest_level)
    generator = torch.Generator().manual_seed(bands)
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.05, generator=generator)
    return network.eval()


def weights(theirs, module):
    return {f"{theirs}.{leaf}": tensor for leaf, tensor in module.state_dict().items()}


def betas(alpha_bar):
    before = torch.cat([torch.ones(1, dtype=torch.float64), torch.tensor(alpha_bar[:-1])])
    return (1 - torch.tensor(alpha_bar) / before).float()


def released_unet(n):
    """A U-Net as the authors' code would store it, with the schedule beside it."""
    found = weights("embed.0", n.time) | weights("conv1", n.stem)
    blocks = {"res3": n.down[0], "down1": n.down[1], "down2": n.down[2], "up1": n.up[0]}
    for name, unit in blocks.items():
        found |= weights(f"{name}.dense1.dense", unit.time)
        found |= weights(f"{name}.groupnorm1", unit.norm) | weights(f"{name}.conv20", unit.conv)
    last = {"up2": n.up[1], "up3": n.up[2], "final1": n.merge, "final2": n.out}
    for k, (name, unit) in enumerate(last.items(), 2):
        found |= weights(f"dense{k}.dense", unit.time)
        found |= weights(f"groupnorm{k}", unit.norm) | weights(name, unit.conv)
    buffers = """
        alphas_cumprod alphas_cumprod_prev sqrt_alphas_cumprod sqrt_one_minus_alphas_cumprod
        log_one_minus_alphas_cumprod sqrt_recip_alphas_cumprod_1 sqrt_recipm1_alphas_cumprod_1
        posterior_variance posterior_log_variance_clipped posterior_mean_coef1 posterior_mean_coef2
    """
    return {
        "betas": betas(cosine()),
        **{name: torch.zeros(1000) for name in buffers.split()},
        **{f"denoise_fn.{name}": tensor for name, tensor in found.items()},
    }


def released_head(n):
    """The fusion head as the authors' code would store it."""
    found = {}
    for k, block in enumerate(n.block):
        found |= weights(f"decoder.{2 * k}.block.0", block)
    for k, unit in enumerate(n.attention):
        theirs = f"decoder.{2 * k + 1}.block"
        found |= weights(f"{theirs}.0", unit.conv) | weights(f"{theirs}.2.sSE.conv", unit.spatial)
        found |= weights(f"{theirs}.2.cSE.fc1", unit.fc1) | weights(f"{theirs}.2.cSE.fc2", unit.fc2)
    return found | weights("final", n.conv1) | weights("final2", n.conv2)


def released(n):
    return {"p2m": released_unet(n.p2m), "m2p": released_unet(n.m2p), "head": released_head(n.head)}


def write(folder, parts):
    """The files of {name: tensors}, in that order."""
    paths = []
    for name, tensors in parts.items():
        paths.append(folder / f"{name}.pth")
        torch.save(tensors, paths[-1])
    return paths


@pytest.fixture(scope="module")
def network():
    return filled()


@pytest.fixture
def parts(network):
    return released(network)


@pytest.fixture
def out(tmp_path):
    return tmp_path / "model.safetensors"


def fused(network):
    generator = torch.Generator().manual_seed(1)
    pan = torch.rand(1, 1, 16, 24, generator=generator)
    lms = torch.rand(1, network.bands, 16, 24, generator=generator)
    noise = [torch.randn(1, network.bands + 1, 16, 24, generator=generator)]
    with torch.no_grad():
        return network(pan, lms, noise * len(network.timesteps))


def refused(code, sources, out, **more):
    with pytest.raises(WhetstoneError) as caught:
        import_checkpoint(sources, out, **more)
    assert caught.value.code == code
    assert "\n" not in str(caught.value)
    assert not out.exists() and not out.with_suffix(".json").exists()
    return str(caught.value)


# -- what is read ---------------------------------------------------------------------------------


def test_the_stand_in_is_as_the_release_is(parts):
    counts = {
        name: sum(v.numel() for k, v in tensors.items() if name == "head" or "denoise_fn" in k)
        for name, tensors in parts.items()
    }
    assert counts == {"p2m": 1_087_320, "m2p": 1_086_318, "head": 4_789_895}  # spec §7.1
    assert [len(tensors) for tensors in parts.values()] == [64, 64, 36]


@pytest.mark.parametrize("bands", [1, 4, 8])
def test_an_imported_model_is_the_network_bit_for_bit(bands, tmp_path, out):
    network = filled(bands)
    import_checkpoint(write(tmp_path, released(network)), out)
    model = load_model(out)
    assert torch.equal(fused(model.network), fused(network))
    loaded = model.network.state_dict()  # the decoders of the U-Nets, too, which fusion leaves out
    assert all(torch.equal(loaded[name], value) for name, value in network.state_dict().items())


def test_the_card_says_what_the_published_models_are(parts, tmp_path, out):
    sources = write(tmp_path, parts)
    card = import_checkpoint(sources, out, "qb")
    assert load_model(out).card == card
    assert (card.name, card.architecture, card.bands, card.ratio) == ("model", "crossdiff", 4, 4)
    assert card.parameters == {
        "bands": 4,
        "timesteps": [50],
        "finest_level": "reference",
        "gate": "leaky",
    }
    assert card.roles == ("blue", "green", "red", "nir")
    assert card.sensors == ("qb",)
    assert card.normalisation == {"kind": "full_scale", "value": 2047.0}
    assert (card.limits, card.window, card.statistics) == ((0.0, 1.0), 256, "scene")
    assert card.schedule == {"kind": "cosine", "timesteps": 1000}
    assert card.licence.startswith("unknown")
    assert card.training == {
        "imported_from": {"P2M": "p2m.pth", "M2P": "m2p.pth", "head": "head.pth"},
        "sha256": dict(zip(("P2M", "M2P", "head"), map(file_hash, sources))),
    }


def test_full_scale_and_ratio_are_those_given(parts, tmp_path, out):
    card = import_checkpoint(write(tmp_path, parts), out, full_scale=1023.0, ratio=2.5)
    assert read_card(out.with_suffix(".json")) == card
    assert (card.normalisation["value"], card.ratio) == (1023.0, 2.5)


@pytest.mark.parametrize("order", list(permutations(("p2m", "m2p", "head")))[1:])
def test_the_files_may_come_in_any_order(order, parts, network, tmp_path, out):
    card = import_checkpoint(write(tmp_path, {name: parts[name] for name in order}), out)
    assert list(card.training["imported_from"].values()) == ["p2m.pth", "m2p.pth", "head.pth"]
    assert torch.equal(fused(load_model(out).network), fused(network))


@pytest.mark.parametrize("order", [("p2m", "head", "m2p"), ("m2p", "head", "p2m")])
def test_with_one_band_the_first_unet_is_p2m(order, tmp_path, out):
    network = filled(1)
    parts = released(network)
    card = import_checkpoint(write(tmp_path, {name: parts[name] for name in order}), out)
    assert card.training["imported_from"]["P2M"] == f"{order[0]}.pth"
    same = torch.equal(fused(load_model(out).network), fused(network))
    assert same == (order[0] == "p2m")


def test_prefixes_and_nests_of_training_scripts_are_seen_through(parts, network, tmp_path, out):
    parts = {
        name: {f"module.{key}": tensor for key, tensor in tensors.items()}
        for name, tensors in parts.items()
    }
    parts["head"] = {"ema": parts["head"], "epoch": 7}
    card = import_checkpoint(write(tmp_path, parts), out)
    assert card.training["part"] == {"head": "ema"}
    assert torch.equal(fused(load_model(out).network), fused(network))


def test_a_schedule_need_not_be_there(parts, network, tmp_path, out):
    del parts["p2m"]["betas"]
    parts["m2p"] = {k: v for k, v in parts["m2p"].items() if k.startswith("denoise_fn.")}
    import_checkpoint(write(tmp_path, parts), out)
    assert torch.equal(fused(load_model(out).network), fused(network))


def test_several_timesteps_are_asked_for_and_kept_in_order(tmp_path, out):
    network = filled(timesteps=(400, 50, 100))
    sources = write(tmp_path, released(network))
    said = refused("TIMESTEPS", sources, out)
    assert "head.pth' takes: 3; given: 0. " in said
    assert said.endswith("--timesteps T T T")
    assert "takes: 3; given: 2." in refused("TIMESTEPS", sources, out, timesteps=(50, 100))
    card = import_checkpoint(sources, out, timesteps=(400, 50, 100))
    assert card.parameters["timesteps"] == [400, 50, 100]
    assert torch.equal(fused(load_model(out).network), fused(network))


def test_one_timestep_may_be_another(parts, tmp_path, out):
    sources = write(tmp_path, parts)
    assert "takes: 1; given: 2." in refused("TIMESTEPS", sources, out, timesteps=(50, 100))
    assert import_checkpoint(sources, out, timesteps=(75,)).parameters["timesteps"] == [75]
    assert load_model(out).network.timesteps == (75,)


def test_our_own_layout_keeps_what_its_card_says(tmp_path, out):
    network = filled(3, (50, 300), "live")
    parameters = {"bands": 3, "timesteps": [50, 300], "finest_level": "live", "gate": "leaky"}
    mine = tmp_path / "mine.safetensors"
    card = Card("mine", "crossdiff", parameters, 3, 2.5, window=128, statistics="window")
    save_model(mine, network, card)
    got = import_checkpoint([mine], out)
    for key in ("parameters", "bands", "ratio", "window", "statistics", "normalisation"):
        assert getattr(got, key) == getattr(card, key)
    assert (got.name, got.training["imported_from"]) == ("model", "mine.safetensors")
    assert torch.equal(fused(load_model(out).network), fused(network))


# -- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "given"),
    [
        (["p2m"], "Given: P2M ('{p2m}')."),
        (["head"], "Given: head ('{head}')."),
        (["m2p", "head"], "Given: M2P ('{m2p}'), head ('{head}')."),
        (["p2m", "head", "p2m"], "Given: P2M ('{p2m}'), head ('{head}'), P2M ('{p2m}')."),
        (["p2m", "m2p", "head", "head"], "head ('{head}'), head ('{head}')."),
    ],
)
def test_missing_and_doubled_parts_are_named(names, given, parts, tmp_path, out):
    paths = dict(zip(parts, write(tmp_path, parts)))
    said = refused("MODEL_PARTS", [paths[name] for name in names], out)
    assert "A CrossDiff model is three checkpoints: P2M, M2P and head." in said
    assert given.format(**paths) in said


def test_three_unets_of_one_band_are_refused(tmp_path, out):
    parts = released(filled(1))
    parts["head"] = parts["p2m"]
    assert "P2M ('" in refused("MODEL_PARTS", write(tmp_path, parts), out)


def test_parts_of_different_models_are_refused(parts, tmp_path, out):
    parts["m2p"] = released_unet(filled(8).m2p)
    p2m, m2p, head = sources = write(tmp_path, parts)
    said = refused("MODEL_PARTS", sources, out)
    assert f"Their bands: P2M '{p2m}' 4, M2P '{m2p}' 8, head '{head}' 4." in said


@pytest.mark.parametrize(
    ("part", "name", "shape", "words"),
    [
        ("p2m", "denoise_fn.conv1.weight", (32, 1, 3, 3), "(32, 1, 3, 3); it must be (32, bands"),
        ("p2m", "denoise_fn.conv1.weight", None, "is missing; it must be (32, bands + 1, 3, 3)"),
        ("m2p", "denoise_fn.final2.weight", (2, 37, 3, 3), "it must be (4 for P2M or 1 for M2P, "),
        ("m2p", "denoise_fn.final2.bias", (4,), "has the shape (4,); it must be (1,), float32"),
        ("m2p", "denoise_fn.up2.weight", (256, 32, 3, 3), "it must be (256, 64, 3, 3), float32"),
        ("p2m", "denoise_fn.down2.dense1.dense.bias", None, "is missing; it must be (128,)"),
        ("p2m", "denoise_fn.attention.weight", (8, 8), "is unknown"),
        ("m2p", "gammas", (1000,), "is unknown"),
        ("head", "decoder.0.block.0.weight", (512, 500, 3, 3), "must be (512, 512 x timesteps, 3"),
        ("head", "decoder.3.block.2.sSE.conv.weight", (2, 128, 1, 1), "it must be (1, 128, 1, 1)"),
        ("head", "decoder.5.block.2.cSE.fc1.weight", None, "is missing; it must be (32, 64)"),
        ("head", "final2.weight", (4, 32), "(4, 32); it must be (bands, 32, 3, 3)"),
        ("head", "final3.weight", (4, 32), "is unknown"),
    ],
)
def test_the_first_tensor_that_does_not_fit_is_named(
    part, name, shape, words, parts, tmp_path, out
):
    if shape is None:
        del parts[part][name]
    else:
        parts[part][name] = torch.zeros(shape)
    said = refused("MODEL_INVALID", write(tmp_path, parts), out)
    assert f"{part}.pth': the tensor {name} " in said and words in said


@pytest.mark.parametrize(
    ("part", "name"),
    [
        ("p2m", "denoise_fn.conv3.weight"),
        ("m2p", "denoise_fn.res1.conv20.bias"),
        ("head", "up2.weight"),
        ("head", "backbone.0.conv20.weight"),
    ],
)
def test_the_first_generation_is_refused_in_words(part, name, parts, tmp_path, out):
    parts[part][name] = torch.zeros(2)
    said = refused("MODEL_INVALID", write(tmp_path, parts), out)
    assert f"{part}.pth' is of the first generation of CrossDiff's networks ({name})" in said
    said = refused("MODEL_INVALID", [tmp_path / f"{part}.pth"], out)
    assert "first generation" in said


@pytest.mark.parametrize(
    ("schedule", "words"),
    [
        (linear(), "1000 betas from 0.0001 to 0.02; it must"),
        (cosine(500), "500 betas from"),
        ([], "0 betas from"),
    ],
)
def test_another_schedule_is_refused(schedule, words, parts, tmp_path, out):
    parts["m2p"]["betas"] = betas(schedule) if len(schedule) else torch.zeros(0)
    said = refused("MODEL_INVALID", write(tmp_path, parts), out)
    assert "m2p.pth' was trained with another noise schedule: " in said and words in said
    assert "1000 betas from 4.128e-05 to 0.999." in said


def test_a_beta_that_is_slightly_off_is_another_schedule(parts, tmp_path, out):
    parts["p2m"]["betas"][49] *= 1.001
    assert "another noise schedule" in refused("MODEL_INVALID", write(tmp_path, parts), out)


def test_other_files_among_the_three_are_refused(parts, tmp_path, out):
    parts["head"] = {"final.weight": torch.zeros(32, 64, 3, 3), "x.bias": torch.zeros(1)}
    said = refused("MODEL_INVALID", write(tmp_path, parts), out)
    assert "head.pth' is no CrossDiff checkpoint: of its 2 tensors the first is final.wei" in said


# -- the command line -----------------------------------------------------------------------------


def test_the_three_are_imported_on_the_command_line(parts, network, tmp_path, out, capsys):
    words = ["models", "import", *map(str, write(tmp_path, parts)), "--out", str(out), "--json"]
    assert main([*words, "--sensor", "QB", "--ratio", "2", "--full-scale", "1023"]) == 0
    card = json.loads(capsys.readouterr().out)["card"]
    assert (card["name"], card["architecture"]) == ("model", "crossdiff")
    assert (card["ratio"], card["sensors"]) == (2, ["qb"])
    assert card["normalisation"]["value"] == 1023
    assert torch.equal(fused(load_model(out).network), fused(network))
    assert main([*words, "--timesteps", "30"]) == 0
    card = json.loads(capsys.readouterr().out)["card"]
    assert (card["ratio"], card["parameters"]["timesteps"]) == (4, [30])
    assert main(words[:3] + words[-3:]) == 1
    assert "MODEL_PARTS" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["a", "b"], "2 files are given"),
        (["a", "b", "c", "d"], "4 files are given"),
        (["a", "b", "c", "--ratio", "1"], "--ratio 1 must be above 1"),
        (["a", "b", "c", "--ratio", "nan"], "--ratio nan"),
        (["a", "b", "c", "--timesteps", "50", "1001"], "--timesteps 1001 must be 1000 or less"),
        (["a", "b", "c", "--timesteps", "0"], "0 is not 1 or more"),
        (["a", "b", "m.safetensors"], "--out is the checkpoint itself"),
    ],
)
def test_a_wrong_import_is_a_wrong_call(words, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "m.safetensors").write_bytes(b"kept")
    assert main(["models", "import", *words, "--out", "m.safetensors"]) == 2
    err = capsys.readouterr().err
    assert said in err and err.count("\n") == 1
    assert (tmp_path / "m.safetensors").read_bytes() == b"kept"
