"""Configs: the published ones, ours, and what is refused in one line."""

from __future__ import annotations

import pytest
from config import CONFIGS, CrossDiffConfig, SSDiffConfig, read_config
from whetstone.engine.deep.weights import build_network
from whetstone.engine.errors import WhetstoneError


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.toml")), ids=lambda path: path.stem)
def test_every_config_makes_a_network(path):
    config = read_config(path.stem)
    card = config.card("x", path, 1.5, ("qb",))
    assert build_network(card).bands == config.bands == len(config.roles or range(config.bands))
    lines = path.read_text().splitlines()
    assert lines[0].startswith("# ") and len(lines) <= 30


@pytest.mark.parametrize(
    ("name", "bands", "divisor", "iterations"),
    [("wv3", 8, 2047, 150_000), ("qb", 4, 2047, 200_000), ("gf2", 4, 1023, 100_000)],
)
def test_published_set_ups(name, bands, divisor, iterations):
    config = read_config(name)
    assert (config.bands, config.iterations, config.batch) == (bands, iterations, 20)
    assert (config.normalisation, config.normalisation_value) == ("full_scale", divisor)
    assert (config.lr, config.lr_end, config.ema, config.augment) == (1e-3, 1e-3, 0.9999, False)
    assert (config.patch, config.clip, config.residual_scale) == (64, 0.0, 1.0)


@pytest.mark.parametrize(
    ("name", "patch", "iterations"),
    [
        ("crossdiff-qb-pretrain", 256, 217_000),
        ("crossdiff-qb", 64, 43_400),
        ("crossdiff-reference", 256, 10_850),
    ],
)
def test_published_set_ups_of_crossdiff(name, patch, iterations):
    config = read_config(name)
    assert (config.patch, config.iterations, config.batch) == (patch, iterations, 32)
    assert (config.normalisation, config.normalisation_value) == ("full_scale", 2047)
    assert (config.lr, config.augment, config.dropout) == (3e-4, False, 0.1)
    assert (config.small_t, config.timesteps, config.gate) == (0.0, (50,), "leaky")
    reference = name == "crossdiff-reference"
    found = (config.finest_level, config.noise, config.statistics, config.loss, config.objective)
    if reference:
        assert found == ("reference", "random", "window", "reference", "full")
    else:
        assert found == ("live", "mixed", "scene", "physical", "reduced")


def test_the_architecture_chooses_the_keys(config, crossdiff):
    plain, cross = read_config(str(config())), read_config(str(crossdiff(timesteps=[20, 50])))
    assert (type(plain), type(cross)) == (SSDiffConfig, CrossDiffConfig)
    assert read_config(str(config(architecture="ssdiff"))) == plain
    card = cross.card("x", CONFIGS, 1.5, ("qb",))
    assert (card.architecture, card.statistics, card.sensors) == ("crossdiff", "scene", ("qb",))
    assert card.parameters["timesteps"] == [20, 50] and not card.parameters["centred"]
    centred = read_config(str(crossdiff(normalisation="standard"))).card("x", CONFIGS, 1.5, ())
    assert centred.parameters["centred"] and centred.normalisation == {"kind": "standard"}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"share_resample": True}, "unknown: share_resample"),
        ({"architecture": "unet"}, "architecture = 'unet'"),
        ({"loss": "qnr"}, "loss = 'qnr'"),
        ({"objective": "half"}, "objective = 'half'"),
        ({"noise": "fixed"}, "noise = 'fixed'"),
        ({"gate": "open"}, "gate = 'open'"),
        ({"patch": 20}, "patch must be a multiple of 8"),
        ({"dropout": 1.5}, "dropout is a share"),
        ({"small_t": -0.1}, "small_t is a share"),
        ({"guidance": -1.0}, "guidance must not be negative"),
        ({"any_bands": True}, 'statistics = "window"'),
        ({"loss": "reference", "normalisation": "standard"}, '"standard" gives them mean 0'),
    ],
)
def test_configs_of_crossdiff_that_do_not_fit(changes, words, crossdiff):
    with pytest.raises(WhetstoneError) as caught:
        read_config(str(crossdiff(**changes)))
    assert caught.value.code == "CONFIG" and words in str(caught.value)


def test_timesteps_that_are_none(crossdiff, start, both, tmp_path, capsys):
    path = crossdiff(timesteps=[0])
    assert start("pretrain_crossdiff", path, "--patches", both, "--out", tmp_path / "run") == 1
    assert "timesteps [0]" in capsys.readouterr().err


def test_learning_rate_warms_up_and_falls(config):
    tiny = read_config(str(config(lr=1e-3, lr_end=1e-5, warmup=3, iterations=100)))
    rates = [tiny.learning_rate(step) for step in range(100)]
    assert rates[0] == pytest.approx(1e-3 / 4) and max(rates) == pytest.approx(1e-3, rel=0.01)
    assert rates[99] == pytest.approx(1e-5, rel=0.1) and sorted(rates[5:])[::-1] == rates[5:]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"bandz": 4}, "unknown: bandz"),
        ({"iterations": None}, "missing: iterations"),
        ({"iterations": "many"}, "iterations = 'many'"),
        ({"iterations": True}, "iterations = True"),
        ({"precision": "fp16"}, "precision = 'fp16'"),
        ({"normalisation": "max"}, "normalisation = 'max'"),
        ({"patch": 18}, "patch must be a multiple of 4"),
        ({"batch": 0}, "batch must be at least 1"),
        ({"validate_steps": 300}, "300 steps"),
        ({"width": 40}, "width 40"),
        ({"ordered": 1.5}, "ordered and own_share are shares"),
        ({"own_share": 0.5}, "sensors, which are not named"),
        ({"ordered": 0.5}, "ordered means something with any_bands"),
        ({"jitter": 0.1}, "jitter is of images of mean 0"),
        ({"base": "gsa"}, "base = 'gsa'"),
        ({"bands": 5}, "The scene a has 4 bands, the config 5."),
        ({"ratio": 2}, "has the ratio 4, the config 2"),
        ({"patch": 64}, "Patches of 64 pixels are asked for, the largest chips have 32."),
        ({"window": 64}, "Patches of 64 pixels are asked for, the largest chips have 32."),
    ],
)
def test_what_does_not_fit_is_said_in_one_line(
    changes, words, config, patches, start, tmp_path, capsys
):
    path = config(**changes)
    assert start("train_ssdiff", path, "--patches", patches, "--out", tmp_path / "run") == 1
    error = capsys.readouterr().err
    assert words in error and error.count("\n") == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ["nothing", "nothing.toml"])
def test_unknown_config_names_the_known(name, start, patches, capsys):
    assert start("train_ssdiff", name, "--patches", patches, "--out", "run") == 1
    assert ", gf2, landsat-base-cpu, " in capsys.readouterr().err


def test_not_toml(start, patches, tmp_path, capsys):
    (tmp_path / "x.toml").write_text("bands: 4")
    assert start("train_ssdiff", tmp_path / "x.toml", "--patches", patches, "--out", "run") == 1
    assert "is not TOML" in capsys.readouterr().err
