"""Patches in memory: PanCollection files as they are, and how patches are drawn."""

from __future__ import annotations

from dataclasses import replace

import h5py
import numpy as np
import pytest
import torch
from config import read_config
from patches import (
    KEYS,
    Patches,
    check,
    cut,
    jittered,
    joined,
    load,
    members,
    turned,
    whole_chips,
    windows,
)
from tiny import PERCENTILE, images, write_both, write_scenes
from whetstone.engine.errors import WhetstoneError
from whetstone.engine.sensors import SENSORS

PLAIN = {"kind": "full_scale", "value": 1.0}


@pytest.fixture
def collection(tmp_path):
    """A file in the layout of PanCollection."""
    path = tmp_path / "train_wv3.h5"
    chips = [images(32, 8, seed) for seed in range(3)]
    with h5py.File(path, "w") as file:
        for key in KEYS:
            file[key] = np.stack([chip[key] for chip in chips])
    return path


def test_pancollection_is_read_as_it_is(collection):
    (train,), (val,) = load(collection, collection, {"kind": "full_scale", "value": 2047.0})
    with h5py.File(collection) as file:
        for key in KEYS:
            np.testing.assert_allclose(getattr(train, key) * 2047, file[key], rtol=1e-6)
            assert getattr(train, key).shape == file[key].shape
    assert (train.bands, train.ratio, train.phase) == (8, 4, 2.0)
    assert torch.equal(val.gt, train.gt)


def test_pancollection_needs_a_file_to_validate_on(collection, config, start, tmp_path, capsys):
    with pytest.raises(WhetstoneError, match="--val-patches"):
        load(collection, None, PLAIN)
    words = ("--patches", collection, "--val-patches", collection, "--out", tmp_path / "run")
    assert start("train_ssdiff", config(bands=8), *words) == 1
    assert "set augment = false" in capsys.readouterr().err, "flips would move MS pixel 2 of 4"
    assert start("train_ssdiff", config(bands=8, augment=False, iterations=1), *words) == 0
    assert '"phase": 2.0' in (tmp_path / "run" / "run.json").read_text()


def test_percentiles_are_of_each_scene(patches):
    (a, b), _ = load(patches, None, PERCENTILE)
    assert not np.array_equal(a.scale.ms, b.scale.ms)
    for scene in (a, b):
        for image in (scene.pan, *scene.ms[0]):
            assert 0.9 < float(torch.quantile(image, 0.995)) < 1.1


def test_a_patch_is_a_piece_turned_one_of_eight_ways(patches):
    (scene, _), _ = load(patches, None, PLAIN)
    seen = []
    for turn in range(8):
        places, bands = np.array([[0, 8, 12]]), np.array([[3, 0]])
        drawn = cut(scene, 16, places, bands, np.array([turn]))
        for key in KEYS:
            step = 4 if key == "ms" else 1
            rows, cols = slice(8 // step, 24 // step), slice(12 // step, 28 // step)
            piece = getattr(scene, key)[0, :, rows, cols]
            piece = piece if key == "pan" else piece[[3, 0]]
            piece = piece.flip([axis for axis in (1, 2) if turn >> axis & 1])
            piece = piece.transpose(1, 2) if turn & 1 else piece
            assert torch.equal(getattr(drawn, key)[0], piece)
        seen.append(drawn.gt[0])
    assert not any(torch.equal(a, b) for i, a in enumerate(seen) for b in seen[:i])


def test_draws_depend_on_the_generator_alone(config, patches):
    train, _ = load(patches, None, PLAIN)
    source = Patches(train, read_config(str(config())))
    one, same, other = (source.draw(6, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert all(map(torch.equal, one[:4], same[:4])) and not torch.equal(one.gt, other.gt)
    assert [tuple(x.shape) for x in one[:4]] == [
        (6, n, s, s) for n, s in zip((1, 4, 4, 4), (16, 16, 4, 16))
    ]
    assert torch.equal(one.lms[..., ::4, ::4], one.ms), "all four images lie on each other"


def test_any_bands_are_random_and_agree_between_the_images(config, tmp_path):
    train, _ = load(write_scenes(tmp_path / "8.h5", bands=8), None, PLAIN)
    tiny = read_config(str(config(any_bands=True)))
    check(train, tiny, 1.5)
    drawn = Patches(train, tiny).draw(40, np.random.default_rng(0))
    assert torch.equal(drawn.lms[..., ::4, ::4], drawn.ms)
    orders = set()
    for patch in drawn.gt:
        found = [
            band
            for image in patch
            for scene in train
            for band, whole in enumerate(scene.gt[0])
            if torch.isin(image, whole).all()
        ]
        assert len(set(found)) == 4
        orders.add(tuple(found))
    assert len(orders) > 30 and {band for order in orders for band in order} == set(range(8))


def test_the_base_comes_for_the_lms(patches, collection):
    (plain, _), _ = load(patches, None, PLAIN)
    (scene, _), _ = load(patches, None, PLAIN, "glp")
    assert torch.allclose(scene.lms, (plain.lms + plain.gt) / 2)
    assert torch.equal(scene.ms, plain.ms)
    with pytest.raises(WhetstoneError, match="lacks glp"):
        load(collection, collection, PLAIN, "glp")


def test_bands_of_a_role_come_first(tmp_path):
    path = write_scenes(tmp_path / "8.h5", bands=8)
    with h5py.File(path, "a") as file:
        file["train/a"].attrs["sensor"] = "wv2"
        file["train/b"].attrs["sensor"] = ""
    (scene, nameless), _ = load(path, None, {"kind": "standard"})
    roles = ("blue", "green", "red", "nir")
    led = scene.led_by(roles)
    assert led.leads_with(roles) and not scene.leads_with(roles)
    order = [1, 2, 4, 6, 0, 3, 5, 7]
    for key in ("lms", "ms", "gt"):
        assert torch.equal(getattr(led, key), getattr(scene, key)[:, order])
    assert np.array_equal(led.scale.ms, scale_in(scene, order)) and led.pan is scene.pan
    assert led.gains == tuple(scene.gains[i] for i in order)
    assert nameless.led_by(roles) is nameless and not nameless.leads_with(roles)
    short = replace(scene, roles=roles)
    assert short.led_by(roles) is short, "eight bands, of which four have names"


def scale_in(scene, order):
    return scene.scale.ms[order]


def test_a_share_of_the_patches_keeps_the_order_of_the_roles(config, tmp_path):
    path = write_scenes(tmp_path / "4.h5")
    train, _ = load(path, None, PLAIN)
    words = {"any_bands": True, "roles": ["blue", "green", "red", "nir"]}
    rng = np.random.default_rng(0)
    for share, least, most in ((0.0, 0, 0.2), (0.6, 0.5, 0.75), (1.0, 1, 1)):
        tiny = read_config(str(config(ordered=share, **words)))
        drawn = Patches([scene.led_by(tiny.roles) for scene in train], tiny).draw(200, rng)
        kept = (drawn.bands == np.arange(4)).all(1).mean()
        assert least <= kept <= most


def test_a_share_of_the_patches_is_of_the_sensors_own_scenes(config, tmp_path):
    train, _ = load(write_scenes(tmp_path / "4.h5"), None, PLAIN)
    train = [replace(scene, sensor="qb") for scene in train]
    train.append(replace(train[0], sensor="wv2"))
    tiny = read_config(str(config(own_share=0.8, sensors=["wv2"])))
    drawn = Patches(train, tiny).draw(400, np.random.default_rng(0))
    assert sum(scene.sensor == "wv2" for scene in drawn.scenes) == pytest.approx(320, abs=40)


def test_jitter_moves_all_images_of_a_band_alike(config, patches):
    train, _ = load(patches, None, {"kind": "standard"})
    words = {"normalisation": "standard", "limits": None}
    one, other = (
        Patches(train, read_config(str(config(jitter=amount, **words)))) for amount in (0.0, 0.4)
    )
    drawn = [source.draw(8, np.random.default_rng(3)) for source in (one, other)]
    assert not torch.equal(drawn[0].pan, drawn[1].pan)
    plain, moved = drawn[0], jittered(drawn[0], 0.4, np.random.default_rng(4))
    gains = set()
    for patch in range(8):
        for band in range(4):
            found = []
            for key in ("lms", "ms", "gt"):
                a, b = (getattr(d, key)[patch, band].flatten() for d in (plain, moved))
                gain = (b[1:] - b[:-1]).norm() / (a[1:] - a[:-1]).norm()
                found += [float(gain), float((b - gain * a).mean())]
            assert found[:2] == pytest.approx(found[2:4], abs=1e-4)
            assert found[:2] == pytest.approx(found[4:], abs=1e-4)
            gains.add(round(found[0], 3))
    assert len(gains) > 25 and 0.3 < np.std(np.log(list(gains))) < 0.55


def test_a_scene_without_truth_has_none(config, tmp_path):
    train, _ = load(write_both(tmp_path / "both.h5"), None, PLAIN)
    reduced, full = (members(train, source) for source in ("reduced", "full"))
    assert [scene.name for scene in (*reduced, *full)] == ["a", "a-full"]
    assert members(train, "all") == train
    assert full[0].gt is None and full[0].to(torch.device("cpu")).gt is None
    tiny = read_config(str(config()))
    draws = [Patches(scenes, tiny).draw(3, np.random.default_rng(0)) for scenes in (reduced, full)]
    assert draws[0].truth.shape == (3, 4, 16, 16) and draws[1].gt is None
    mixed = joined(draws)
    assert mixed.gt is None and mixed.pan.shape == (6, 1, 16, 16)
    assert torch.equal(mixed.lms[3:], draws[1].lms)
    assert mixed.scenes == (*reduced * 3, *full * 3)
    assert mixed.bands.shape == (6, 4) and mixed.turns.shape == (6,)


def test_pancollection_without_truth(collection, tmp_path):
    with h5py.File(collection, "a") as file:
        del file["gt"]
    (scene,), _ = load(collection, collection, PLAIN)
    assert scene.gt is None and (scene.bands, scene.sensor, scene.gains) == (8, "", ())


def test_gains_are_those_of_the_sensor(tmp_path):
    path = write_scenes(tmp_path / "x.h5")
    with h5py.File(path, "a") as file:
        file["train/a"].attrs["roles"] = "nir,red,green,blue"
        file["train/b"].attrs["roles"] = "nir,,,"
        file["val/c"].attrs["sensor"] = "sputnik"
    (a, b), (c,) = load(path, None, PLAIN)
    gains = {band.role: band.gain for band in SENSORS["qb"].bands}
    assert a.gains == tuple(gains[role] for role in ("nir", "red", "green", "blue"))
    typical = sum(gains.values()) / 4
    assert b.gains == pytest.approx((gains["nir"], typical, typical, typical))
    assert c.gains == ()


def test_whole_scenes_are_turned_like_patches(patches):
    (scene, _), _ = load(patches, None, PLAIN)
    for turn in range(8):
        drawn = cut(scene, 32, np.zeros((1, 3), int), np.arange(4)[None], np.array([turn]))
        assert torch.equal(turned(scene.lms, turn), drawn.lms)
        assert torch.equal(turned(scene.pan, turn), drawn.pan)


def test_whole_chips(tmp_path):
    (scene, _), _ = load(write_scenes(tmp_path / "44.h5", size=44), None, PLAIN)
    (part,) = whole_chips(scene, 8, 3)
    assert torch.equal(part.truth, scene.gt[:, :3, :40, :40])
    assert torch.equal(part.ms, scene.ms[:, :3, :10, :10]) and part.pan.shape == (1, 1, 40, 40)


def test_so_many_windows_at_most(patches):
    (scene, _), _ = load(patches, None, PLAIN)
    every = torch.cat([part.pan for part in windows(scene, 8, 4, 5)])
    few = torch.cat([part.pan for part in windows(scene, 8, 4, 5, most=3)])
    assert len(every) == 16 and len(few) == 3
    assert all(any(torch.equal(one, other) for other in every) for one in few)


def test_windows_cover_every_chip_once(patches):
    (scene, _), _ = load(patches, None, PLAIN)
    parts = list(windows(scene, 16, 2, 3))
    assert [len(part.gt) for part in parts] == [3, 1]
    gt = torch.cat([part.gt for part in parts])
    top, bottom = torch.cat([gt[0], gt[1]], 2), torch.cat([gt[2], gt[3]], 2)
    assert torch.equal(torch.cat([top, bottom], 1), scene.gt[0, :2])


def test_files_that_are_none(tmp_path):
    (tmp_path / "x.h5").write_text("no")
    for path in (tmp_path / "x.h5", tmp_path / "y.h5"):
        with pytest.raises(WhetstoneError, match=r"prepare_patches\.py"):
            load(path, None, PLAIN)
    with h5py.File(tmp_path / "z.h5", "w") as file:
        file.create_group("val")
    with pytest.raises(WhetstoneError, match="no scene to train on"):
        load(tmp_path / "z.h5", None, PLAIN)
