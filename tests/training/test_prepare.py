"""From GeoTIFF pairs and chips to a file of scenes whose four images lie on each other."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
import torch
from scenes import Ground, as_type, coarse_grid, ergas, fine_grid, make_pair, read, write
from torch.nn import functional as F
from whetstone.engine import DegradeJob, Progress, RasterSource, run
from whetstone.engine.classical import Scene
from whetstone.engine.deep.presharpen import Presharpener
from whetstone.engine.fields import WindowFields
from whetstone.engine.pair import open_pair
from whetstone.engine.raster import backend as make_backend
from whetstone.engine.sensors import SENSORS
from whetstone.engine.types import Window


@pytest.fixture(scope="module")
def backend():
    return make_backend("rasterio")


@pytest.fixture
def folder(backend, tmp_path):
    """Put a scene into the folder of a split; ``truth`` says that it is reduced already."""

    def put(name, split="train", truth=False, **how):
        pair = make_pair(backend, tmp_path / name, **how)
        place = tmp_path / split
        place.mkdir(exist_ok=True)
        for key, path in (("pan", pair.pan), ("ms", pair.ms)):
            (tmp_path / name / f"{key}.tif").rename(place / f"{name}_{key}.tif")
            assert path
        if truth:
            write(backend, place / f"{name}_gt.tif", as_type(pair.truth, "uint16"), fine_grid())
        return place

    return put


def stored(path, scene):
    with h5py.File(path) as file:
        return {key: values[()] for key, values in file[scene].items()}


def test_a_pair_is_degraded_and_its_ms_is_the_truth(folder, start, backend, tmp_path):
    train = folder("a", size=(384, 320))
    folder("b", "val", size=(128, 128))
    out = tmp_path / "made" / "p.h5"
    words = ("--train", train, "--val", tmp_path / "val", "--no-coregister", "--out", out)
    assert start("prepare_patches", *words) == 0
    a = stored(out, "train/a")
    assert {key: value.shape for key, value in a.items()} == {
        "pan": (1, 1, 80, 96),
        "lms": (1, 4, 80, 96),
        "ms": (1, 4, 20, 24),
        "gt": (1, 4, 80, 96),
        "glp": (1, 4, 80, 96),
    }
    assert np.array_equal(a["gt"][0], read(backend, train / "a_ms.tif")[0])
    files = [RasterSource.of(str(train / f"a_{key}.tif")) for key in ("pan", "ms")]
    small = run(DegradeJob(*files, str(tmp_path / "small")))
    with open_pair(RasterSource.of(small.pan), RasterSource.of(small.ms)) as pair:
        fields = WindowFields(pair, Window(0, 0, 96, 80))
        np.testing.assert_allclose(a["lms"][0], fields.lms, rtol=1e-5)
        np.testing.assert_array_equal(a["pan"][0, 0], fields.pan)
    with h5py.File(out) as file:
        assert list(file["val"]) == ["b"]
        assert (file["train/a"].attrs["ratio"], file["train/a"].attrs["phase"]) == (4, 1.5)


def test_the_lms_lies_on_the_truth(folder, start, tmp_path):
    train = folder("a", truth=True, size=(128, 96), ground=Ground(finest=6.0))
    assert start("prepare_patches", "--train", train, "--out", tmp_path / "p.h5") == 0
    a = stored(tmp_path / "p.h5", "train/a")
    lms, gt = a["lms"][0], a["gt"][0]
    assert ergas(lms, gt) < 1.5
    for axis in (1, 2):  # squared errors are a parabola over the shift: its vertex is the offset
        before, here, after = (ergas(np.roll(lms, by, axis), gt) ** 2 for by in (-1, 0, 1))
        assert abs((before - after) / (2 * (before - 2 * here + after))) < 0.02


def seen_by(images):
    """How much of the PAN is not the mix of the truth that it was made as."""
    mix = np.tensordot(Ground(4).weights, images["gt"][0].astype(float), 1)
    inside = (slice(16, -16), slice(16, -16))
    return np.abs(images["pan"][0, 0] - mix)[inside].mean() / mix.std()


def test_a_shifted_pan_is_moved_to_the_truth(folder, start, tmp_path):
    train = folder("a", truth=True, size=(256, 256), shift=(1.4, -0.7))
    found = {}
    for name, flags in (("trusted", ["--no-coregister"]), ("moved", [])):
        out = tmp_path / f"{name}.h5"
        assert start("prepare_patches", "--train", train, "--out", out, *flags) == 0
        found[name] = stored(out, "train/a")
    assert seen_by(found["trusted"]) > 0.15 and seen_by(found["moved"]) < 0.04
    for key in ("lms", "ms", "gt"):
        assert np.array_equal(found["trusted"][key], found["moved"][key])


def test_an_ms_that_lies_off_its_truth_is_moved(folder, start, backend, tmp_path):
    train = folder("a", truth=True, size=(256, 256), phase=0.3)
    values, _ = read(backend, train / "a_ms.tif")
    write(backend, train / "a_ms.tif", values, coarse_grid(4.0, 1.5))  # its header says otherwise
    found = {}
    for name, flags in (("trusted", ["--no-coregister"]), ("moved", [])):
        out = tmp_path / f"{name}.h5"
        assert start("prepare_patches", "--train", train, "--out", out, *flags) == 0
        found[name] = stored(out, "train/a")
    errors = {name: ergas(a["lms"][0], a["gt"][0]) for name, a in found.items()}
    assert errors["moved"] < 0.8 * errors["trusted"]
    assert np.array_equal(found["trusted"]["pan"], found["moved"]["pan"])


def test_full_pairs_as_they_are(folder, start, backend, tmp_path):
    """Without a truth; PAN and MS of the scene itself, the PAN moved onto the MS."""
    train = folder("a", size=(256, 256), shift=(1.4, -0.7))
    reduced_already = folder("b", "val", truth=True, size=(64, 48))
    words = ("--train", train, "--val", reduced_already)
    found = {}
    for name, flags in (("trusted", ["--no-coregister"]), ("moved", [])):
        out = tmp_path / f"{name}.h5"
        assert start("prepare_patches", "--full", *words, "--out", out, *flags) == 0
        found[name] = stored(out, "train/a-full")
        assert set(found[name]) == {"pan", "lms", "ms", "glp"}
        assert set(stored(out, "val/b-full")) == {"pan", "lms", "ms", "glp"}
    trusted, moved = found["trusted"], found["moved"]
    assert np.array_equal(trusted["pan"][0], read(backend, train / "a_pan.tif")[0])
    assert np.array_equal(trusted["ms"][0], read(backend, train / "a_ms.tif")[0])
    assert trusted["lms"].shape == (1, 4, 256, 256)
    for key in ("lms", "ms"):
        assert np.array_equal(trusted[key], moved[key])
    truth = np.tensordot(Ground(4).weights, Ground(4).seen(np.arange(256), np.arange(256)), 1)
    inside = (slice(16, -16), slice(16, -16))
    errors = [np.abs(images["pan"][0, 0] - truth)[inside].mean() for images in (trusted, moved)]
    assert errors[1] < 0.2 * errors[0]


def test_both_forms_in_one_file(folder, start, tmp_path):
    train = folder("a", size=(256, 256))
    np.savez(
        tmp_path / "WV3_x.npz",
        pan=np.arange(2 * 32 * 32, dtype="uint16").reshape(2, 32, 32),
        ms=np.ones((2, 4, 8, 8), "uint16"),
        gt=np.ones((2, 4, 32, 32), "uint16"),
    )
    out, chips = tmp_path / "p.h5", tmp_path / "WV3_x.npz"
    assert start("prepare_patches", "--both", "--train", train, chips, "--out", out) == 0
    with h5py.File(out) as file:
        scenes = {
            name: (*group["pan"].shape, "gt" in group) for name, group in file["train"].items()
        }
        assert file["train/a"].attrs["roles"] == file["train/a-full"].attrs["roles"] != ""
    assert scenes == {
        "a": (1, 1, 64, 64, True),
        "a-full": (1, 1, 256, 256, False),
        "WV3_x": (2, 1, 32, 32, True),
        "WV3_x-full": (2, 1, 32, 32, False),
    }


def test_degraded_as_published(folder, start, backend, tmp_path):
    """Filters of CrossDiff's authors, by the gains that spec §1.2 gives them."""
    train = folder("a", size=(512, 512))
    wave = 1000 + 800 * np.cos(np.pi * (np.arange(512) - 1.5) / 4)  # two reduced pixels long
    ms, pan = np.broadcast_to(wave[:128], (4, 128, 128)), np.broadcast_to(wave, (1, 512, 512))
    write(backend, train / "a_ms.tif", as_type(ms, "uint16"), coarse_grid(4.0, 1.5))
    write(backend, train / "a_pan.tif", as_type(pan, "uint16"), fine_grid())
    words = ("--train", train, "--no-coregister", "--degradation", "reference")
    assert start("prepare_patches", *words, "--out", tmp_path / "p.h5") == 0
    a = stored(tmp_path / "p.h5", "train/a")
    assert np.array_equal(a["gt"][0], as_type(ms, "uint16"))
    for key, gain in (("pan", 0.653), ("ms", 0.369)):
        line = a[key][0, 0, 8, 2:-2]
        np.testing.assert_allclose(np.ptp(line) / 1600, gain, atol=0.002)
    up = F.interpolate(torch.from_numpy(a["ms"]), scale_factor=4, mode="bicubic")
    assert np.array_equal(a["lms"], up.numpy())
    assert start("prepare_patches", "--full", *words, "--out", tmp_path / "f.h5") == 0
    full = stored(tmp_path / "f.h5", "train/a-full")
    up = F.interpolate(torch.from_numpy(full["ms"]).float(), scale_factor=4, mode="bicubic")
    assert np.array_equal(full["lms"], up.numpy())


def test_chips_have_the_inputs_of_pairs(folder, start, backend, tmp_path):
    train = folder("a", truth=True, size=(64, 48))
    pan, ms, gt = (read(backend, train / f"a_{key}.tif")[0] for key in ("pan", "ms", "gt"))
    np.savez(tmp_path / "WV3_x.npz", pan=pan, ms=ms[None], gt=gt[None])
    words = ("--train", train, tmp_path / "WV3_x.npz", "--no-coregister")
    assert start("prepare_patches", *words, "--out", tmp_path / "p.h5") == 0
    a, chips = (stored(tmp_path / "p.h5", f"train/{name}") for name in ("a", "WV3_x"))
    for key in ("pan", "lms", "ms", "gt"):
        np.testing.assert_allclose(a[key], chips[key], rtol=1e-6)
    with h5py.File(tmp_path / "p.h5") as file:
        assert file["train/WV3_x"].attrs["sensor"] == "wv3"


def test_the_base_is_that_of_a_fusion(folder, start, tmp_path):
    train = folder("a", truth=True, size=(192, 160))
    words = ("--train", train, "--no-coregister", "--out", tmp_path / "p.h5")
    assert start("prepare_patches", *words) == 0
    a = stored(tmp_path / "p.h5", "train/a")
    sources = [RasterSource.of(str(train / f"a_{key}.tif")) for key in ("pan", "ms")]
    with open_pair(*sources) as pair:
        base, whole = Presharpener(Scene(pair, 1, Progress())), Window(0, 0, 192, 160)
        want = base.image(pair.read_pan(whole)[0], whole)
    np.testing.assert_allclose(a["glp"][0], want, rtol=1e-5)


def test_truths_are_degraded_anew_to_train_on(folder, start, tmp_path):
    words = ("--train", folder("a", truth=True, size=(192, 160)))
    words += ("--val", folder("b", "val", truth=True, size=(64, 64)))
    words += ("--mtf-gains", 0.2, 0.5, "--out", tmp_path / "p.h5")
    assert start("prepare_patches", *words) == 0
    with h5py.File(tmp_path / "p.h5") as file:
        assert list(file["val"]) == ["b"]
        assert list(file["train"]) == ["a", "a-mtf0.2", "a-mtf0.5"]
    a, soft, sharp = (stored(tmp_path / "p.h5", f"train/a{s}") for s in ("", "-mtf0.2", "-mtf0.5"))
    for key in ("pan", "gt"):
        assert np.array_equal(a[key], soft[key]) and np.array_equal(a[key], sharp[key])
    # the scene's own MS has a gain of 0.3
    assert soft["ms"].std() < a["ms"].std() < sharp["ms"].std()
    inside = (..., slice(16, -16), slice(16, -16))
    errors = [np.abs(x["lms"] - x["gt"])[inside].mean() for x in (soft, a, sharp)]
    assert errors[0] > errors[1] > errors[2]


def test_chips_that_repeat_count_once_and_can_be_had_as_pairs(start, tmp_path, capsys):
    rng = np.random.default_rng(1)
    pan, ms, gt = (rng.integers(1, 900, s) for s in ((3, 32, 32), (3, 4, 8, 8), (3, 4, 32, 32)))
    chips = {"pan": pan, "ms": ms, "gt": gt}
    chips = {key: np.float32(x)[[0, 1, 0, 2, 1]] for key, x in chips.items()}
    np.savez(tmp_path / "WV3_x.npz", **chips)
    words = ("--train", tmp_path / "WV3_x.npz", "--out", tmp_path / "p.h5")
    assert start("prepare_patches", *words, "--chips-to", tmp_path / "pairs") == 0
    assert "2 of 5 chips left out, since they repeat others" in capsys.readouterr().err
    assert np.array_equal(stored(tmp_path / "p.h5", "train/WV3_x")["gt"], gt)
    places = [tmp_path / "pairs" / f"WV3_x-2_{kind}.tif" for kind in ("pan", "ms")]
    with open_pair(*(RasterSource.of(str(place)) for place in places)) as pair:
        assert (pair.ratio, pair.geometry.phase, pair.sensor.key) == (4, (1.5, 1.5), "wv3")
        assert np.array_equal(pair.read_ms(Window(0, 0, 8, 8))[0], ms[2])


def test_scenes_get_the_bands_of_another_sensor(folder, start, tmp_path):
    words = ("--train", folder("QB_a", truth=True, size=(64, 64)), "--mtf-gains", 0.2)
    words += ("--val", folder("QB_b", "val", truth=True, size=(64, 64)))
    for name, more in (("plain", ()), ("spread", ("--spread", "wv2"))):
        assert start("prepare_patches", *words, *more, "--out", tmp_path / f"{name}.h5") == 0
    four, eight = (stored(tmp_path / f"{n}.h5", "train/QB_a") for n in ("plain", "spread"))
    with h5py.File(tmp_path / "spread.h5") as file:
        roles = file["train/QB_a"].attrs["roles"].split(",")
        assert (
            file["train/QB_a-mtf0.2"]["ms"].shape[1] == 8 and file["val/QB_b"]["ms"].shape[1] == 4
        )
    assert roles == [band.role for band in SENSORS["wv2"].bands]
    assert np.array_equal(four["pan"], eight["pan"])
    for key in ("gt", "ms", "lms"):
        blue, green, red, nir = np.float64(four[key][0])
        coastal, _, _, yellow, _, _, _, last = eight[key][0]
        near = {"rtol": 1e-4, "atol": 1e-4 * float(four[key].max())}
        np.testing.assert_allclose(coastal, blue, **near)
        np.testing.assert_allclose(last, nir, **near)
        share = (608 - 560) / (660 - 560)  # wavelengths of WorldView-2 yellow, QuickBird green, red
        np.testing.assert_allclose(yellow, green + share * (red - green), **near)


def test_missing_pixels_leave_whole_chips(folder, start, tmp_path):
    def spoil(pan, ms):
        pan[:, :40, :40] = 0

    train = folder(
        "a", truth=True, size=(200, 200), spoil=spoil, pan_band={"nodata": 0.0}, ms_band={}
    )
    assert start("prepare_patches", "--train", train, "--out", tmp_path / "p.h5") == 0
    a = stored(tmp_path / "p.h5", "train/a")
    assert a["gt"].shape == (3, 4, 96, 96) and a["ms"].shape == (3, 4, 24, 24)
    assert a["pan"].min() > 0


def test_another_ratio_is_left_out_and_said(folder, start, tmp_path, capsys):
    folder("two", size=(128, 128), ratio=2.0)
    out = tmp_path / "p.h5"
    assert start("prepare_patches", "--train", tmp_path / "train", "--out", out) == 1
    said = capsys.readouterr().err
    assert "two: left out, its ratio is 2" in said and "No scene is left" in said
    assert not list(tmp_path.glob("p.h5*"))
    train = folder("four", size=(128, 128))
    assert start("prepare_patches", "--train", train, "--out", out) == 0
    with h5py.File(out) as file:
        assert list(file["train"]) == ["four"]


def test_wrong_calls(folder, start, backend, tmp_path, capsys):
    train = folder("a", truth=True, size=(64, 64))
    (tmp_path / "bad.npz").write_text("no")
    counts = {"pan": (3, 32, 32), "ms": (2, 4, 8, 8), "gt": (3, 4, 32, 32)}
    np.savez(tmp_path / "odd.npz", **{key: np.ones(shape) for key, shape in counts.items()})
    write(backend, tmp_path / "gt.tif", np.ones((4, 32, 64), "uint16"), fine_grid())
    for words, text in (
        (("--train", train, "--val", train / "a_pan.tif"), "named for both splits"),
        (("--train", train, train), "Two scenes of a split are called a"),
        (("--train", tmp_path / "none"), "holds no scene"),
        (("--train", train, "--only", "QB_*"), "holds no scene named QB_*"),
        (("--train", tmp_path / "bad.npz"), "holds no chips"),
        (("--train", tmp_path / "odd.npz"), "there are 3 of pan, 2 of ms, 3 of gt"),
    ):
        assert start("prepare_patches", *words, "--out", tmp_path / "p.h5") == 1
        error = capsys.readouterr().err
        assert text in error and error.count("\n") == 1
    (tmp_path / "gt.tif").replace(train / "a_gt.tif")
    assert start("prepare_patches", "--train", train, "--out", tmp_path / "p.h5") == 1
    assert "The truth of" in capsys.readouterr().err
