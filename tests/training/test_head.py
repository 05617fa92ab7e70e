"""Stage 2 of CrossDiff: the head learns on frozen encoders, with truth, without, or both."""

from __future__ import annotations

import csv
from dataclasses import replace

import h5py
import numpy as np
import pytest
import torch
from encoders import SceneStatistics, has_noise
from patches import cut, joined, load, turned, whole_chips
from scenes import Ground
from tiny import (
    PERCENTILE,
    differing,
    interrupted,
    state_of,
    write_both,
    write_crossdiff,
    write_scenes,
)
from whetstone.engine.cards import read_card
from whetstone.engine.deep import load_model
from whetstone.engine.deep.sampling import sharpen
from whetstone.engine.deep.statistics import unfrozen
from whetstone.engine.metrics.reference import ergas


@pytest.fixture(scope="module")
def encoders(tmp_path_factory):
    """A model of stage 1."""
    return write_crossdiff(tmp_path_factory.mktemp("models") / "encoders.safetensors", stage=1)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A model of stage 2."""
    return write_crossdiff(tmp_path_factory.mktemp("models") / "finished.safetensors")


@pytest.fixture
def train(start, both, tmp_path):
    """Run train_crossdiff.py on the tiny scenes into a folder; returns the folder."""

    def go(path, out="run", *words, status=0, patches=both):
        folder = tmp_path / out
        words = (path, "--patches", patches, "--out", folder, *words)
        assert start("train_crossdiff", *words) == status
        return folder

    return go


def rows(folder):
    with open(folder / "history.csv", newline="") as file:
        return [{k: float(v) for k, v in row.items()} for row in csv.DictReader(file)]


def spread(head):
    return float(head.conv2.weight.detach().std())


def network_of(model):
    return load_model(model).network


# -- what is trained ------------------------------------------------------------------------------


@pytest.mark.parametrize("objective", ["reduced", "full", "both"])
def test_the_head_is_trained_and_nothing_else(objective, crossdiff, train, encoders):
    folder = train(crossdiff(objective=objective, iterations=2), "run", "--from", encoders)
    state, found = state_of(folder), load_model(folder / "run.safetensors")
    before = network_of(encoders).state_dict()
    for after in (state["network"], state["ema"]["network"], found.network.state_dict()):
        moved = {name[1:] for name in differing(dict(before), dict(after))}
        assert moved == {name for name in before if name.startswith("head.")}
    training = found.card.training
    origin = read_card(encoders.with_suffix(".json"))
    assert training["encoders"] == {
        "name": "encoders",
        "sha256": origin.sha256,
        "sensors": ["wv4"],
    }
    assert training["stage"] == 2 and "from" not in training and "head" not in training
    assert found.card.sensors == ("qb",)
    assert [row["step"] for row in rows(folder)] == [2], "a fresh head is not worth a score"
    assert set(found.card.scores["validation"]) == {"a"}, "the scene that has a truth"


def test_the_dropped_level_is_not_trained(crossdiff, train, encoders):
    path = crossdiff(finest_level="reference", statistics="window", iterations=2)
    head = network_of(train(path, "run", "--from", encoders) / "run.safetensors").head
    again = network_of(train(path, "again", "--from", encoders) / "again.safetensors").head
    for one, other in zip(head.parameters(), again.parameters()):
        assert torch.equal(one, other), "deterministic"
    assert head.block[-1].bias.abs().max() == 0 and head.block[-2].bias.abs().max() > 0


def test_a_finished_model_goes_on_or_lends_its_encoders(crossdiff, train, finished):
    origin = read_card(finished.with_suffix(".json"))
    mine = {"name": "finished", "sha256": origin.sha256}
    path = crossdiff(iterations=1, lr=1e-9, lr_end=1e-9)
    folder = train(path, "same", "--from", finished)
    card = read_card(folder / "same.json")
    assert card.training["from"] == mine
    assert card.training["encoders"] == {**mine, "sensors": ["wv4"]}
    assert [row["step"] for row in rows(folder)] == [0, 1]
    same = network_of(folder / "same.safetensors").head
    for one, other in zip(same.parameters(), network_of(finished).head.parameters()):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=0)

    other = crossdiff(iterations=1, lr=1e-9, lr_end=1e-9, gate="sigmoid", timesteps=[20, 50])
    folder = train(other, "new", "--from", finished, "--new-head")
    card, new = read_card(folder / "new.json"), network_of(folder / "new.safetensors")
    assert "from" not in card.training
    assert card.training["encoders"] == {**mine, "sensors": ["wv4"]}, "whose head is for qb now"
    assert card.sensors == ("qb",)
    assert spread(new.head) > 10 * spread(same), "begun anew"
    assert torch.equal(new.m2p.stem.weight, network_of(finished).m2p.stem.weight)

    path = crossdiff(iterations=1, window=48, statistics="window")
    third = train(path, "third", "--from", folder.parent / "same" / "same.safetensors")
    assert read_card(third / "third.json").training["encoders"]["name"] == "finished"


def test_resuming_goes_on_bit_for_bit(crossdiff, train, encoders, monkeypatch):
    path = crossdiff(
        objective="both", iterations=4, validate_every=2, lr_end=1e-5, clip=1.0, batch=1
    )
    straight = train(path, "straight", "--from", encoders)
    with monkeypatch.context() as patch:
        patch.setattr("runs.Run.draw", interrupted(3))
        stopped = train(path, "stopped", "--from", encoders, status=130)
    assert state_of(stopped)["step"] == 2
    train(path, "stopped", "--resume")
    one, other = state_of(straight), state_of(stopped)
    assert one["step"] == 4 and differing(one, other) == []
    assert rows(straight) == rows(stopped)
    cards = [read_card(folder / f"{folder.name}.json") for folder in (straight, stopped)]
    assert cards[0].training == cards[1].training


# -- objectives -----------------------------------------------------------------------------------


def chips_of(path, seed, size):
    """A chip with its truth, as a sensor with the customary MTF would see it."""
    ground = Ground(4, seed=seed)
    fine, coarse = np.arange(size), 1.5 + 4 * np.arange(size // 4)
    gt, ms = ground.seen(fine, fine), ground.seen(coarse, coarse, 4.0)
    np.savez(path, pan=np.tensordot(ground.weights, gt, 1)[None], ms=ms[None], gt=gt[None])
    return path


def test_training_without_truth_leaves_the_identity(start, crossdiff, train, tmp_path, finished):
    """The authors' script takes the LMS for the truth and teaches a residual of 0 (spec §8.5)."""
    a, b = chips_of(tmp_path / "generic_a.npz", 1, 256), chips_of(tmp_path / "generic_b.npz", 2, 96)
    drawn = tmp_path / "drawn.h5"
    assert start("prepare_patches", "--both", "--train", a, "--val", b, "--out", drawn) == 0
    with h5py.File(drawn, "a") as file:
        del file["train/generic_a"]  # its truth is not even there
    changes = {"iterations": 40, "validate_every": 40, "batch": 4, "patch": 48, "clip": 1.0}
    path = crossdiff(objective="full", correlation_weight=0.1, lr_end=1e-4, noise="zero", **changes)
    folder = train(path, "run", "--from", finished, patches=drawn)
    _, (scene, _) = load(drawn, None, PERCENTILE)
    part = next(whole_chips(scene, 8, 4))
    truth, lms = part.truth, part.lms
    untrained, trained = (
        sharpen(load_model(m), part.pan, lms) for m in (finished, folder / "run.safetensors")
    )
    assert (untrained - lms).std() < 0.1 * (truth - lms).std(), "it begins as the identity"
    assert (trained - lms).std() > 0.3 * (truth - lms).std()
    before, after = (
        ergas(*(scene.scale.to_dn(x.double().numpy())[0] for x in (truth, image)), 4)
        for image in (lms, trained)
    )
    assert after < 0.85 * before
    assert rows(folder)[-1]["ergas"] == pytest.approx(after, rel=1e-4), "of whole chips"


@pytest.fixture
def spied(crossdiff, train, encoders, monkeypatch):
    """Train four steps; (arguments, result) of every call of some functions, by their names."""
    import train_crossdiff

    def go(*names, **changes):
        seen = {name: [] for name in names}
        for name in names:
            original = getattr(train_crossdiff, name)

            def spy(*words, original=original, name=name):
                seen[name].append((words, original(*words)))
                return seen[name][-1][1]

            monkeypatch.setattr(train_crossdiff, name, spy)
        path = crossdiff(**{"iterations": 4, "validate_every": 4, **changes})
        train(path, "spied", "--from", encoders)
        return seen

    return go


def test_both_objectives_are_added_with_a_ramp(spied):
    """Beside the L1 to the truth the other rises to its weight over the first half."""
    seen = spied("of_truth", "without_truth", "objective", objective="both", full_weight=0.4)
    for step, weight in enumerate((0, 0.2, 0.4, 0.4)):
        ((image, draw), supervised), (_, other) = (
            seen["of_truth"][step],
            seen["without_truth"][step],
        )
        torch.testing.assert_close(supervised, (image - draw.gt).abs().mean())
        torch.testing.assert_close(seen["objective"][step][1], supervised + weight * other)
    for name, scene in (("of_truth", "a"), ("without_truth", "a-full")):
        draws = [words[1] for words, _ in seen[name]]
        assert {s.name for draw in draws for s in draw.scenes} == {scene}
        assert {draw.pan.shape for draw in draws} == {(2, 1, 32, 32)}


def test_the_reference_loss(spied):
    from whetstone.engine.deep.losses import reference_loss

    seen = spied("without_truth", objective="full", loss="reference", noise="random")
    for (image, draw, _), loss in seen["without_truth"]:
        assert torch.equal(loss, reference_loss(image, draw.pan, draw.ms, draw.lms))


def test_the_sensor_has_the_gains_of_the_bands_it_is_given(spied):
    """At the truth only the correlation is left of the physical loss, whatever the bands' order."""
    from train_crossdiff import sensor_of
    from whetstone.engine.sensors import SENSORS

    seen = spied("without_truth", objective="full", any_bands=True, statistics="window", batch=8)
    gains = {band.gain for band in SENSORS["qb"].bands}
    orders = set()
    for (_, draw, _), _ in seen["without_truth"]:
        for rows, bands, scene in zip(sensor_of(draw).rows, draw.bands, draw.scenes):
            for matrix, band in zip(rows, bands):
                flat = sensor_of(draw._replace(bands=np.full_like(draw.bands, band))).rows
                assert torch.equal(matrix, flat[0, 0]), scene.gains[band]
            orders.add(tuple(bands))
    assert len(orders) > 5 and set(scene.gains) == gains


# -- what the encoders see ------------------------------------------------------------------------


def test_noise_of_half_of_the_patches():
    assert has_noise("zero", 3, 0) == [False] * 3 and has_noise("random", 3, 0) == [True] * 3
    assert has_noise("mixed", 4, 0) == [False, True, False, True]
    single = [has_noise("mixed", 1, step)[0] for step in range(4)]
    assert single == [False, True, False, True], "batches of one take turns"


def test_noise_is_of_the_patches_that_have_it(spied):
    from train_crossdiff import noise_of

    changes = {"timesteps": [20, 50], "batch": 4, "patch": 16, "window": 16}
    seen = spied("noise_of", **changes)["noise_of"]
    for step, (_, noises) in enumerate(seen):
        assert len(noises) == 2 and not torch.equal(*noises)
        for noise in noises:
            assert noise.shape == (4, 5, 16, 16)
            noisy = noise.flatten(1).std(1) > 0.5
            assert noisy.tolist() == has_noise("mixed", 4, step)
    assert not torch.equal(seen[0][1][0][1], seen[2][1][0][1]), "ever fresh"
    assert noise_of(None, None, [False, False]) is None


def test_patches_are_normalised_like_their_scenes(tmp_path):
    """Inside a patch its features are those of the whole scene, turned like it, at any timestep."""
    path = tmp_path / "two.safetensors"
    network = load_model(write_crossdiff(path, parameters={"timesteps": [20, 300]})).network
    scenes, _ = load(write_both(tmp_path / "96.h5", size=96), None, PERCENTILE)
    statistics, bands = SceneStatistics(network), np.arange(4)[None]
    middle, turns = np.array([[0, 16, 16]]), (0, 3)
    draw = joined(
        [cut(scene, 64, middle, bands, np.array([turn])) for scene, turn in zip(scenes, turns)]
    )
    statistics.freeze(draw, [False, False])
    patches = network.features(draw.pan, draw.lms)
    for number, (scene, turn) in enumerate(zip(scenes, turns)):
        with unfrozen(network):
            whole = network.features(turned(scene.pan, turn), turned(scene.lms, turn))
        for of_patches, of_whole in zip(patches, whole):
            for here, there in zip(of_patches, of_whole):
                for level in range(4):
                    inner, same = ((..., *[slice(a >> level, b >> level)] * 2) for a, b in (
                        (16, 48), (32, 64)
                    ))  # fmt: skip
                    torch.testing.assert_close(
                        here[level][number][inner], there[level][0][same], atol=1e-4, rtol=1e-3
                    )
    noisy, clean = (statistics.of(scenes[0], 0, on)[0].variance for on in (True, False))
    assert (noisy[1] > clean[1]).all() and (noisy[1] > noisy[0]).float().mean() > 0.9


def test_statistics_of_many_chips_and_windows(encoders, both, monkeypatch):
    """Windows with their halo see what one pass over the chip sees; chips are pooled."""
    network = load_model(encoders).network
    (scene, _), _ = load(both, None, PERCENTILE)
    monkeypatch.setattr("encoders.SAMPLE_SIDE", 24)
    in_windows = SceneStatistics(network).of(scene, 0, False)
    monkeypatch.undo()
    in_one = SceneStatistics(network).of(scene, 0, False)
    twice = {key: getattr(scene, key).repeat(2, 1, 1, 1) for key in ("pan", "lms", "ms")}
    pooled = SceneStatistics(network).of(replace(scene, **twice), 0, False)
    for one, *others in zip(in_one, in_windows, pooled):
        for other in others:
            torch.testing.assert_close(other.mean, one.mean, atol=1e-4, rtol=1e-3)
            torch.testing.assert_close(other.variance, one.variance, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("where", ["scene", "window"])
def test_training_normalises_as_the_config_says(where, spied):
    seen = []

    import encoders as module

    freeze = module.SceneStatistics.freeze

    def spy(statistics, draw, noisy):
        freeze(statistics, draw, noisy)
        seen.append([norm.frozen.mean.shape[0] for norm in statistics.norms])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module.SceneStatistics, "freeze", spy)
        spied("noise_of", statistics=where, objective="both", patch=24, window=32)
    assert seen == ([[4] * 6] * 4 if where == "scene" else [])


# -- refusals -------------------------------------------------------------------------------------


def test_files_that_lack_what_is_asked_for(crossdiff, train, encoders, tmp_path, capsys):
    start = ("--from", encoders)
    full, reduced = (write_scenes(tmp_path / f"{n}.h5", size=48, names=names) for n, names in (
        ("full", ("train/a-full", "val/c-full")), ("reduced", ("train/a", "val/c"))
    ))  # fmt: skip
    for objective, patches, said in (
        ("reduced", full, "None of the scenes (a-full) has a truth."),
        ("both", reduced, "None of the scenes (a) is at full resolution, without a truth."),
        ("full", reduced, "None of the scenes (a) is at full resolution, without a truth."),
        ("full", full, "None of the scenes (c-full) has a truth."),
    ):
        folder = train(crossdiff(objective=objective), "no", *start, status=1, patches=patches)
        error = capsys.readouterr().err
        assert said in error and "--both" in error and error.count("\n") == 1
        assert not folder.exists()


def test_sensors_of_unknown_mtf(crossdiff, train, encoders, both, capsys):
    with h5py.File(both, "a") as file:
        del file["train/a-full"].attrs["sensor"]
    start = ("--from", encoders)
    train(crossdiff(objective="full"), "no", *start, status=1)
    assert "The scene a-full is of the sensor '', of unknown MTF." in capsys.readouterr().err
    train(crossdiff(objective="full", loss="reference", iterations=1), "qnr", *start)
    path = crossdiff(objective="full", sensors=["wv4"], iterations=1)
    assert read_card(train(path, "named", *start) / "named.json").sensors == ("wv4",)


def test_models_that_do_not_fit(crossdiff, train, encoders, finished, model, tmp_path, capsys):
    other = write_crossdiff(
        tmp_path / "other.safetensors",
        stage=1,
        normalisation={"kind": "standard"},
        parameters={"centred": True},
    )
    for words, said in (
        ([], "There are no encoders."),
        (["--from", model], "has the architecture ssdiff"),
        (["--from", other], "has the normalisation standard, this run percentile."),
        (["--from", finished, "--resume"], "to go on from"),
    ):
        train(crossdiff(), "no", *words, status=1)
        error = capsys.readouterr().err
        assert said in error and error.count("\n") == 1
    train(crossdiff(gate="sigmoid"), "no", "--from", finished, status=1)
    assert "has the parameters" in capsys.readouterr().err
    train(crossdiff(iterations=1), "run", "--from", encoders)
    train(crossdiff(), "run", "--from", finished, "--new-head", "--resume", status=1)
    assert "made with another encoders" in capsys.readouterr().err
