"""What every classical method must do, on scenes of a few pixels held in memory."""

from __future__ import annotations

import importlib

import numpy as np
import pytest
from whetstone.engine.classical import METHODS, Scene
from whetstone.engine.fields import fields
from whetstone.engine.interpolation import filter_taps, mirror, resample
from whetstone.engine.mtf import product_kernel
from whetstone.engine.pair import Geometry, Pair
from whetstone.engine.raster import BandInfo, RasterInfo
from whetstone.engine.sensors import resolve_sensor
from whetstone.engine.types import Progress, Window

ORDER = (
    "exp brovey gihs pca gs gsa bdsd bdsd-pc pracs bt-h hpf sfim atwt awlp mtf-glp mtf-glp-fs "
    "mtf-glp-hpm mtf-glp-hpm-r mtf-glp-hpm-h gs2-glp tv"
).split()
FAMILIES = {"baseline", "component substitution", "multiresolution analysis", "variational"}
#: Methods that multiply by a quotient.
RATIO = set("brovey pracs bt-h sfim awlp mtf-glp-hpm mtf-glp-hpm-r mtf-glp-hpm-h".split())
FAST = [name for name in ORDER if name != "tv"]
ROLES = ("blue", "green", "red", "nir")


@pytest.fixture(autouse=True)
def small_tiles(monkeypatch):
    """TV solves tiles of 256 pixels with 64 around them; these scenes are smaller."""
    module = importlib.import_module("whetstone.engine.classical.tv")
    monkeypatch.setattr(module, "TILE", 64)
    monkeypatch.setattr(module, "MARGIN", 24)


class Held:
    """A raster in memory with the face of a ``Source``."""

    notes = ()

    def __init__(self, values, names=(), valid=None):
        self.values, self.valid = values, valid
        count, height, width = values.shape
        names = [*names] + [""] * count
        bands = tuple(BandInfo(str(values.dtype), name=names[i]) for i in range(count))
        self.info = RasterInfo("held.tif", width, height, bands, "", None, "MEM")
        self.may_be_invalid = valid is not None

    def read(self, window):
        inside = window.within(Window(0, 0, self.info.width, self.info.height))
        return self.values[(..., *inside)], None if self.valid is None else self.valid[inside]

    def close(self):
        """Nothing to close."""


def pair_of(pan, ms, ratio=4, names=(), sensor="generic", protocol="product", **valid):
    pan, ms = Held(pan[None], valid=valid.get("pan_valid")), Held(ms, names, valid.get("ms_valid"))
    ratio = float(ratio)
    phase = ratio // 2 if protocol == "toolbox" else (ratio - 1) / 2
    return Pair(
        *(pan, ms, Geometry((ratio,) * 2, (phase,) * 2)),
        resolve_sensor(sensor, pan.info, ms.info, ratio),
        *(Window(0, 0, pan.info.width, pan.info.height), (), protocol, None),
    )


def fuse(pair, name, window=None, threads=2):
    """(fused, fields) of a window, the whole scene by default."""
    estimate = METHODS[name].estimate(Scene(pair, threads, Progress()))
    f = fields(pair, window or pair.scene)
    return METHODS[name].apply(f, estimate), f


def texture(size, rng, scale=1.5):
    """Smooth noise of unit variance."""
    frequency = np.fft.fftfreq(size)
    damping = np.exp(-2 * (np.pi * scale) ** 2 * (frequency[:, None] ** 2 + frequency**2))
    noise = np.real(np.fft.ifft2(np.fft.fft2(rng.standard_normal((size, size))) * damping))
    return noise / noise.std()


def truth_of(bands=4, size=96, seed=1, own=0.4):
    """Bands with common and own detail, float64 (bands, size, size)."""
    rng = np.random.default_rng(seed)
    common = texture(size, rng)
    images = [
        400 + 60 * i + (50 + 8 * i) * (common + own * texture(size, rng)) for i in range(bands)
    ]
    return np.stack(images)


def seen(truth, ratio=4, gain=0.3, phase=None):
    """The truth as an MS sensor of that MTF sees it."""
    size = int(truth.shape[1] / ratio)
    phase = (ratio - 1) / 2 if phase is None else phase
    taps = filter_taps(phase + ratio * np.arange(size), product_kernel(gain, ratio))
    index = mirror(taps.first, taps.stop, truth.shape[1])
    taps = taps.shifted(taps.first)
    return resample(truth[:, index[:, None], index], taps, taps)


def scene(bands=4, size=96, ratio=4, seed=1, **kw):
    """(pair, truth): PAN is the mean of the bands."""
    truth = truth_of(bands, size, seed)
    return pair_of(truth.mean(axis=0), seen(truth, ratio), ratio, **kw), truth


def rmse(a, b, margin=8):
    inside = np.s_[..., margin:-margin, margin:-margin]
    return float(np.sqrt(np.mean((a[inside] - b[inside]) ** 2)))


# ------------------------------------------------------------------------------------------ list


def test_the_list():
    assert list(METHODS) == ORDER


@pytest.mark.parametrize("name", ORDER)
def test_words(name):
    method = METHODS[name]
    assert method.name == name
    assert method.family in FAMILIES
    assert method.title and method.summary.endswith(".") and method.source
    assert any(word.isdigit() and len(word) == 4 for word in method.source.replace(";", "").split())
    assert sum(other.title == method.title for other in METHODS.values()) == 1


# -------------------------------------------------------------------------------------- constants


@pytest.mark.parametrize("name", [name for name in ORDER if name != "mtf-glp-hpm-h"])
def test_a_constant_scene_stays_constant(name):
    ms = np.array([310.0, 420.0, 530.0, 640.0])[:, None, None] * np.ones((1, 16, 16))
    fused, _ = fuse(pair_of(np.full((64, 64), 777.0), ms), name)
    assert np.abs(fused / ms[:, :1, :1] - 1).max() < 1e-6


@pytest.mark.parametrize("protocol", ("product", "toolbox"))
@pytest.mark.parametrize("name", ORDER)
def test_a_constant_scene_is_no_reason_to_stop(name, protocol):
    """The toolbox's filters have no unit gain; all of a constant PAN may be haze."""
    pair = pair_of(np.full((64, 64), 777.0), np.full((3, 16, 16), 5.0), protocol=protocol)
    assert np.isfinite(fuse(pair, name)[0]).all()


@pytest.mark.parametrize("name", [name for name in FAST if name != "mtf-glp-hpm-h"])
def test_a_constant_pan_adds_nothing(name):
    """Without detail in the PAN no method that only adds or multiplies detail changes much."""
    truth = truth_of()
    fused, f = fuse(pair_of(np.full((96, 96), 500.0), seen(truth)), name)
    assert np.isfinite(fused).all()
    assert rmse(fused, f.lms) < 2 * truth.std()


# ------------------------------------------------------------------------------------- exactness


@pytest.mark.parametrize(
    ("name", "share"),
    (
        *(("gsa", 0.02), ("bdsd", 0.3), ("bdsd-pc", 0.3), ("mtf-glp", 0.06)),
        *(("mtf-glp-fs", 1e-6), ("gs2-glp", 1e-6), ("mtf-glp-hpm-r", 1e-4)),
    ),
)
def test_one_detail_in_all_bands_is_recovered(name, share):
    """PAN is a linear mix of bands that are multiples of one texture: nothing is unknown."""
    truth = truth_of(own=0.0)
    pan = np.tensordot([0.1, 0.2, 0.3, 0.4], truth, 1)
    fused, f = fuse(pair_of(pan, seen(truth)), name)
    assert rmse(fused, truth) < share * rmse(f.lms, truth)


def test_gsa_finds_the_weights_of_the_pan():
    truth = truth_of(size=256)
    weights = np.array([0.1, 0.2, 0.3, 0.4])
    pair = pair_of(np.tensordot(weights, truth, 1) + 55, seen(truth))
    estimate = METHODS["gsa"].estimate(Scene(pair, 1, Progress()))
    assert np.abs(estimate["weights"] - weights).max() < 0.03


@pytest.mark.parametrize("name", [name for name in ORDER if name != "exp"])
def test_a_pan_like_the_bands_helps(name):
    pair, truth = scene(size=128)
    fused, f = fuse(pair, name)
    assert rmse(fused, truth) < 0.9 * rmse(f.lms, truth)


# ------------------------------------------------------------------------------------ invariances


@pytest.mark.parametrize("name", ORDER)
@pytest.mark.parametrize("protocol", ("product", "toolbox"))
def test_the_order_of_the_bands_does_not_matter(name, protocol):
    """Gains, haze factors and weights go by the role of a band, not by its number."""
    truth = truth_of(size=64)
    pan, ms, order = truth.mean(axis=0), seen(truth), [2, 1, 0, 3]
    kw = {"sensor": "qb", "protocol": protocol}
    fused, _ = fuse(pair_of(pan, ms, names=ROLES, **kw), name)
    other, _ = fuse(pair_of(pan, ms[order], names=[ROLES[i] for i in order], **kw), name)
    assert np.abs(other - fused[order]).max() < 1e-6


@pytest.mark.parametrize("name", FAST)  # the TV of an image is not linear
def test_twice_the_numbers_give_twice_the_result(name):
    truth = truth_of(size=64)
    pan, ms = truth.mean(axis=0), seen(truth)
    fused, _ = fuse(pair_of(pan, ms), name)
    twice, _ = fuse(pair_of(2 * pan, 2 * ms), name)
    assert np.abs(twice / 2 - fused).max() < 1e-6


@pytest.mark.parametrize("name", [name for name in FAST if name != "pracs"])
def test_the_level_of_the_pan_does_not_matter(name):
    """Methods match PAN to the MS themselves; PRACS compares their levels by its formula."""
    truth = truth_of(size=64)
    pan, ms = truth.mean(axis=0), seen(truth)
    fused, _ = fuse(pair_of(pan, ms), name)
    other, _ = fuse(pair_of(3 * pan, ms), name)
    assert np.abs(other - fused).max() < 1e-6


@pytest.mark.parametrize("dtype", ("uint16", "float64"))
@pytest.mark.parametrize("name", FAST)
def test_windows_have_the_bits_of_the_whole(name, dtype):
    pair, _ = scene(size=96)
    pan, ms = pair.pan.values[0], pair.ms.values
    rng = np.random.default_rng(3)
    pair = pair_of(
        np.rint(pan).astype(dtype),
        np.rint(ms).astype(dtype),
        pan_valid=rng.uniform(size=pan.shape) > 0.02,
        ms_valid=rng.uniform(size=ms.shape[1:]) > 0.02,
    )
    whole, _ = fuse(pair, name)
    assert whole.dtype == (np.float32 if dtype == "uint16" else np.float64)
    window = Window(13, 37, 41, 22)
    part, _ = fuse(pair, name, window, threads=1)
    assert np.array_equal(part, whole[(..., *window.within(pair.scene))])


# ------------------------------------------------------------------------------- odd input, finite


@pytest.mark.parametrize("protocol", ("product", "toolbox"))
@pytest.mark.parametrize("name", ORDER)
def test_zeros_in_the_data(name, protocol):
    truth = truth_of(size=64)
    truth[:, 16:40, 8:40] = 0
    ms = seen(truth)
    ms[:, 5:9, 3:9] = 0
    fused, _ = fuse(pair_of(truth.mean(axis=0), ms, protocol=protocol), name)
    assert np.isfinite(fused).all()


@pytest.mark.parametrize("bands", range(1, 10))
@pytest.mark.parametrize("name", FAST)
def test_any_number_of_bands(name, bands):
    pair, truth = scene(bands, size=64)
    fused, f = fuse(pair, name)
    assert fused.shape == truth.shape
    assert np.isfinite(fused).all()
    assert rmse(fused, truth) < 2 * rmse(f.lms, truth)


@pytest.mark.parametrize("bands", (1, 2, 8))
def test_any_number_of_bands_for_tv(bands):
    pair, truth = scene(bands, size=64, protocol="toolbox")
    fused, _ = fuse(pair, "tv")
    assert fused.shape == truth.shape
    assert np.isfinite(fused).all()


@pytest.mark.parametrize("ratio", (1.5, 2, 3, 3.7, 6))
@pytest.mark.parametrize("name", ("gsa", "bdsd-pc", "pracs", "mtf-glp-fs", "awlp"))
def test_any_ratio(name, ratio):
    pair, truth = scene(size=120, ratio=ratio)
    fused, f = fuse(pair, name)
    assert np.isfinite(fused).all()
    assert rmse(fused, truth, 20) < 0.95 * rmse(f.lms, truth, 20)


@pytest.mark.parametrize("name", FAST)
def test_duplicate_bands(name):
    """Copies of a band are treated alike."""
    truth = truth_of(2, size=64)[[0, 1, 0]]
    fused, _ = fuse(pair_of(truth.mean(axis=0), seen(truth)), name)
    assert np.isfinite(fused).all()
    assert np.abs(fused[0] - fused[2]).max() < 1e-3 * truth.mean()


@pytest.mark.parametrize("name", ORDER)
def test_invalid_pixels_do_not_change_the_estimate(name):
    """What lies under nodata is never looked at."""
    truth = truth_of(size=96)
    pan, ms = truth.mean(axis=0), seen(truth)
    pan_valid, ms_valid = np.ones(pan.shape, bool), np.ones(ms.shape[1:], bool)
    pan_valid[:16], ms_valid[:4] = False, False
    found = []
    for value in (0.0, 60000.0):
        kw = {"pan_valid": pan_valid, "ms_valid": ms_valid}
        pair = pair_of(np.where(pan_valid, pan, value), np.where(ms_valid, ms, value), **kw)
        found.append(METHODS[name].estimate(Scene(pair, 1, Progress())))
    for key, value in found[0].items():
        assert np.array_equal(value, found[1][key]), key


# --------------------------------------------------------------------------------------- clipping


def spotty():
    """A PAN with black holes and blinding spots, an MS with dark ground."""
    truth = truth_of(size=64)
    ms = seen(truth)
    ms[:, 4:9, 4:9] = 0.5
    pan = truth.mean(axis=0)
    pan[30:40, 30:40] = 0
    pan[16:40:3, 16:40:3] = 20000
    return pair_of(pan, ms)


def unlike():
    """Bright fields on black ground, and a PAN that is black or bright elsewhere."""
    rng = np.random.default_rng(5)
    bright = texture(64, rng, 3) > 0.7
    truth = 1 + bright * np.array([900.0, 1000, 1100, 1200])[:, None, None]
    return pair_of(1000.0 * (texture(64, rng, 1.2) > 0), seen(truth))


@pytest.mark.parametrize("name", ORDER)
def test_ratio_methods_report_clipped_pixels(name):
    """Which of the two scenes is too much for a method depends on how it matches PAN."""
    counts = []
    for pair in (spotty(), unlike()):
        fused, f = fuse(pair, name)
        assert np.isfinite(fused).all()
        counts.append(f.clipped)
    assert (max(counts) > 0) == (name in RATIO)
    assert max(counts) <= 64 * 64


@pytest.mark.parametrize("name", sorted(RATIO))
def test_ordinary_scenes_are_not_clipped(name):
    _, f = fuse(scene()[0], name)
    assert f.clipped == 0


@pytest.mark.parametrize("name", ("brovey", "sfim", "mtf-glp-hpm", "mtf-glp-hpm-r"))
def test_no_pixel_is_brightened_more_than_tenfold(name):
    fused, f = fuse(spotty(), name)
    low, high = np.minimum(f.lms * 10, 0), np.maximum(f.lms * 10, 0)
    assert np.all((fused >= low - 1e-6) & (fused <= high + 1e-6))


def test_the_toolbox_does_not_clip():
    pair = spotty()
    raw = pair_of(pair.pan.values[0], pair.ms.values, protocol="toolbox")
    assert fuse(raw, "brovey")[1].clipped == 0
