"""What is promised of every fused image (DESIGN, section 5): each promise a test."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest
from whetstone.engine import __version__, cli, job_from_json, run
from whetstone.engine.classical import METHODS
from whetstone.engine.errors import Cancelled, WhetstoneError
from whetstone.engine.jobs import CheckJob, RasterSource, job_to_json
from whetstone.engine.radiometry import OUTPUT_DTYPES, to_output
from whetstone.engine.raster import BandInfo
from whetstone.engine.raster import backend as make_backend
from whetstone.engine.registration import Shift
from whetstone.engine.types import Progress, Window

from . import scenes
from .scenes import Ground, ergas, header, make_pair, read, source

#: One of each kind.
SOME = "exp gsa mtf-glp-fs brovey bdsd-pc tv".split()


@pytest.fixture(autouse=True)
def library(request, monkeypatch):
    """Jobs run with the backend of the test."""
    if "backend" in request.fixturenames:
        monkeypatch.setenv("WHETSTONE_BACKEND", request.getfixturevalue("backend").name)


@pytest.fixture(scope="module")
def stock(tmp_path_factory):
    """``stock(**words)``: a pair, made once however often it is asked for."""
    made = {}

    def ask(**words):
        key = repr(sorted(words.items()))
        if key not in made:
            made[key] = make_pair(make_backend(), tmp_path_factory.mktemp("pair"), **words)
        return made[key]

    return ask


@pytest.fixture
def no_shift(monkeypatch):
    """Leave the shift alone where it takes most of the time and does not matter."""
    monkeypatch.setattr(
        "whetstone.engine.fuse.estimate_shift", lambda *_: Shift(0.0, 0.0, 0.0, 0.0)
    )


def fuse(pair, folder, method="exp", name="fused.tif", **more):
    """Fuse; all pixels and where they are valid."""
    result = run(pair.job(folder / name, method, **more))
    return read(make_backend(), result.out)


# -------------------------------------------------------------------------------- geometry


@pytest.mark.parametrize("code", ["EPSG:32633", "EPSG:2056", "EPSG:4326"])
def test_the_grid_is_that_of_the_pan(backend, tmp_path, code):
    pair = make_pair(backend, tmp_path / "p", (90, 70), crs=code)
    run(pair.job(tmp_path / "a.tif"))
    pan, out = header(backend, pair.pan), header(backend, tmp_path / "a.tif")
    assert (out.width, out.height, out.transform) == (pan.width, pan.height, pan.transform)
    assert backend.crs_label(out.crs) == code


GRIDS = {
    "common corner": {},
    "landsat": {"phase": 0.0},
    "toolbox": {"phase": 2.0},
    "half a pixel": {"phase": 1.0},
    "ratio 2": {"ratio": 2.0},
    "ratio 3": {"ratio": 3.0, "phase": 1.37},
    "no integer": {"ratio": 3.7},
    "no integer and aside": {"ratio": 2.5, "phase": -0.7},
    "a real header": {"ratio": 27511 / 6877, "phase": 1.4},
    "ratio 1.5": {"ratio": 1.5},
    "partial overlap": {"phase": 41.3, "ms_size": (15, 20)},
    "ms larger": {"phase": -21.1, "ms_size": (50, 60)},
}


@pytest.mark.parametrize("name", GRIDS)
def test_pixels_lie_where_the_geotransforms_say(backend, tmp_path, no_shift, name):
    """The interpolated MS against the waves themselves, and against waves a quarter pixel off."""
    words = {"ratio": 4.0, "size": (160, 150), "dtype": "float64", **GRIDS[name]}
    smooth = Ground(finest=6 * words["ratio"])
    pair = make_pair(backend, tmp_path / "p", ground=smooth, **words)
    got, _ = fuse(pair, tmp_path)
    x, _, _, y, _, _ = header(backend, tmp_path / "fused.tif").transform
    col, row = (x - scenes.LEFT) / scenes.PIXEL, (scenes.TOP - y) / scenes.PIXEL
    assert (col, row) == (round(col), round(row))
    cols, rows = col + np.arange(got.shape[2]), row + np.arange(got.shape[1])
    inner = int(8 * words["ratio"])
    core = (slice(None), slice(inner, -inner), slice(inner, -inner))

    def error(dx, dy):
        truth = smooth.seen(cols + dx, rows + dy, words["ratio"])
        return np.sqrt(((got - truth)[core] ** 2).mean())

    assert error(0, 0) < 0.1
    assert min(error(0.25, 0), error(-0.25, 0), error(0, 0.25), error(0, -0.25)) > 3 * error(0, 0)


@pytest.mark.parametrize("method", SOME)
def test_every_phase_is_as_good(stock, tmp_path, no_shift, method):
    """Common corner, Landsat and the data sets of the literature: ERGAS within 1 %."""
    scores = []
    for phase in (1.5, 0.0, 2.0):
        words = {"phase": phase, "ground": Ground(seed=5), "dtype": "float32"}
        pair = make_pair(make_backend(), tmp_path / "p", (252, 252), **words)
        scores.append(ergas(fuse(pair, tmp_path, method)[0], pair.truth))
    assert max(scores) < 1.01 * min(scores)
    if method != "exp":
        assert max(scores) < 0.6 * ergas(fuse(pair, tmp_path, "exp")[0], pair.truth)


# ------------------------------------------------------------------------------ the shift


@pytest.mark.parametrize(
    ("shift", "words"),
    [
        ((0.0, 0.0), {}),
        ((0.3, -0.7), {}),
        ((-1.45, 2.2), {}),
        ((3.1, 0.6), {"phase": 0.0}),
        ((-4.6, -5.3), {}),
        ((1.2, 0.9), {"ratio": 3.7}),
        ((0.8, -1.1), {"bands": 3, "ratio": 2.0}),
    ],
)
def test_a_shift_is_found(stock, shift, words):
    pair = stock(size=(320, 300), shift=shift, **words)
    found = run(CheckJob(source(pair.pan), source(pair.ms)))
    assert found.shift == pytest.approx(shift, abs=0.1)
    assert found.shift_confidence > 0.9


@pytest.mark.parametrize("method", ["gsa", "mtf-glp-fs"])
def test_coregistration_corrects_a_shift(stock, tmp_path, method):
    """The result then lies on the PAN, so the truth moves with it."""
    pair = stock(size=(320, 300), shift=(2.0, -1.0))
    straight = stock(size=(320, 300))
    moved = np.roll(straight.truth, (-1, 2), (1, 2))
    plain = ergas(fuse(pair, tmp_path, method)[0], moved)
    result = run(pair.job(tmp_path / "c.tif", method, coregister=True))
    corrected = ergas(read(make_backend(), result.out)[0], moved)
    best = ergas(fuse(straight, tmp_path, method)[0], straight.truth)
    assert result.coregistered and "Corrected: " in " ".join(result.notes)
    assert corrected < 0.75 * plain
    assert corrected < 1.05 * best


# ------------------------------------------------------------------------------ radiometry


@pytest.mark.parametrize(
    "dtype", ["uint8", "int16", "uint16", "uint32", "int32", "float32", "float64"]
)
def test_the_type_is_kept_rounded_and_clipped(backend, tmp_path, no_shift, dtype):
    """Bright and dark edges overshoot the type; nothing may wrap around."""
    kind = np.dtype(dtype)
    low, high = (0, 10000) if kind.kind == "f" else (np.iinfo(kind).min, np.iinfo(kind).max)

    def spoil(pan, ms):
        for image, step in ((pan, 16), (ms, 4)):
            dark = np.indices(image.shape[1:]).sum(axis=0) // step % 2 == 0
            image[:] = kind.type(high)
            image[:, dark] = kind.type(low)

    pair = make_pair(backend, tmp_path / "p", dtype=dtype, bands=3, spoil=spoil)
    got, _ = fuse(pair, tmp_path, "hpf")
    exact, _ = fuse(pair, tmp_path, "hpf", name="exact.tif", dtype="float64")
    assert got.dtype == kind
    assert exact.max() > high and exact.min() < low  # it does overshoot
    if kind.kind == "f":
        assert np.allclose(got, exact, rtol=1e-6)
    else:
        assert np.array_equal(got.astype(float), np.clip(np.rint(exact), low, high))


@pytest.mark.parametrize("dtype", [*OUTPUT_DTYPES, "int64", "uint64"])
def test_no_type_wraps(dtype):
    kind = np.dtype(dtype)
    values = np.array([-1e30, -0.6, 0.4, 2.5, 3.5, 1e30]).reshape(1, 1, 6)
    got = to_output(values, None, kind, None).ravel()
    if kind.kind == "f":
        assert np.allclose(got, values.ravel())
        return
    limits = np.iinfo(kind)
    assert [int(x) for x in got] == [limits.min, -1 if limits.min else 0, 0, 2, 4, limits.max]


@pytest.mark.parametrize("asked", OUTPUT_DTYPES)
def test_the_type_is_the_one_asked_for(stock, tmp_path, no_shift, monkeypatch, asked):
    if asked == "int8":
        pytest.importorskip("osgeo", reason="only osgeo writes int8 on every GDAL")
        monkeypatch.setenv("WHETSTONE_BACKEND", "osgeo")
    pair = stock(
        dtype="uint8" if asked.endswith("int8") else "uint16",
        ground=Ground(level=70.0, contrast=8.0),
    )
    got, _ = fuse(pair, tmp_path, dtype=asked)
    assert got.dtype == asked
    exact, _ = fuse(pair, tmp_path, dtype="float64")
    assert np.abs(got - exact).max() <= 0.5


HOLES = {
    "both": ((30, 45, 50, 70), (20, 28, 5, 9)),
    "half": ((0, 128, 0, 60), (0, 32, 0, 15)),
}


@pytest.mark.parametrize(
    ("dtype", "holes", "ratio"),
    [("uint16", "both", 4.0), ("uint16", "both", 8.0), ("float32", "half", 4.0)],
)
def test_nodata_stays_and_pollutes_nothing(tmp_path, no_shift, dtype, holes, ratio):
    """Against the same scene without holes: 600 DN next to a hole of 0 would show."""
    backend, (pan_hole, ms_hole) = make_backend(), HOLES[holes]
    small = 128 // int(ratio)
    ms_hole = tuple(int(edge * 4 // ratio) for edge in ms_hole)
    nodata = 0.0 if dtype == "uint16" else -9999.0

    def spoil(pan, ms):
        for image, (top, bottom, left, right) in ((pan, pan_hole), (ms, ms_hole)):
            image[:, top:bottom, left:right] = nodata

    words = {"ratio": ratio, "dtype": dtype, "bands": 3}
    band = {"nodata": nodata}
    full = make_pair(backend, tmp_path / "full", **words)
    pair = make_pair(backend, tmp_path / "p", spoil=spoil, pan_band=band, ms_band=band, **words)
    expected = np.ones((128, 128), bool)
    expected[slice(*pan_hole[:2]), slice(*pan_hole[2:])] = False
    near = np.ones((small, small), bool)
    near[slice(*ms_hole[:2]), slice(*ms_hole[2:])] = False
    expected &= np.kron(near, np.ones((int(ratio), int(ratio)))).astype(bool)
    for method in METHODS if ratio == 4.0 else SOME:
        if method == "tv" and dtype == "float32":
            continue
        got, valid = fuse(pair, tmp_path, method)
        assert np.array_equal(valid, expected), method
        assert (got[:, ~expected] == nodata).all()
        clean, _ = fuse(full, tmp_path, method, name="full.tif")
        off = np.abs(got.astype(float) - clean)[:, expected]
        assert off.max() < 250, method
        assert np.sqrt((off**2).mean()) < 25, method
    out = header(backend, tmp_path / "fused.tif")
    assert [band.nodata for band in out.bands] == [nodata] * 3


def test_a_valid_pixel_never_becomes_nodata(backend, tmp_path, no_shift):
    """Dark values that would be rounded or clipped to the nodata value 0 become 1."""

    def spoil(pan, ms):
        pan[:] = np.where(np.indices(pan.shape[1:]).sum(axis=0) % 7 > 3, 2, 40)
        ms[:] = 1
        ms[:, ::2] = 6
        ms[:, 3, 5] = 0

    words = {"spoil": spoil, "ms_band": {"nodata": 0.0}, "bands": 3}
    pair = make_pair(backend, tmp_path / "p", **words)
    expected = np.ones((128, 128), bool)
    expected[12:16, 20:24] = False
    for method in ("exp", "gsa", "hpf", "sfim", "brovey", "mtf-glp-hpm"):
        got, valid = fuse(pair, tmp_path, method)
        assert np.array_equal(valid, expected), method
        assert got[:, expected].min() >= 1


def test_what_describes_the_values_is_carried_over(backend, tmp_path, no_shift):
    bands = tuple(
        BandInfo("uint16", 0.0, 0.0001, -0.1, "reflectance", name, color, {"WAVELENGTH": wave})
        for name, color, wave in (
            ("Red", "red", "665"),
            ("Green", "green", "560"),
            ("Blue", "blue", "490"),
            ("NIR", "undefined", "842"),
        )
    )
    tags = {"MISSION": "Test-1", "PROCESSING": "L2A"}
    words = {"bands": bands, "tags": tags}
    pair = make_pair(backend, tmp_path / "p", ms_band=words)
    run(pair.job(tmp_path / "a.tif", "gsa"))
    given, out = header(backend, pair.ms), header(backend, tmp_path / "a.tif")
    for one, two in zip(given.bands, out.bands):
        for key in ("dtype", "nodata", "scale", "offset", "unit", "name", "color"):
            assert getattr(one, key) == getattr(two, key), key
        assert two.tags["WAVELENGTH"] == one.tags["WAVELENGTH"]
    assert len(out.bands) == 4
    assert tags.items() <= out.tags.items()


@pytest.mark.parametrize("bands", [1, 3, 5, 8])
def test_any_number_of_bands(stock, tmp_path, no_shift, bands):
    pair = stock(bands=bands, size=(96, 96))
    for method in SOME if bands in (1, 5) else METHODS:
        if method != "tv":
            got, valid = fuse(pair, tmp_path, method, dtype="float32")
            assert got.shape == (bands, 96, 96)
            assert valid.all()
            assert ergas(got, pair.truth) < 4, method


def test_a_file_per_band_equals_the_stack(backend, stock, tmp_path, no_shift):
    pair = stock()
    values, _ = read(backend, pair.ms)
    names = [
        scenes.write(backend, tmp_path / f"B{n}.tif", band[None], scenes.coarse_grid(4))
        for n, band in enumerate(values)
    ]
    whole, _ = fuse(pair, tmp_path, "gsa")
    assert np.array_equal(fuse(pair, tmp_path, "gsa", ms=names)[0], whole)
    swapped = RasterSource(tuple(names[::-1]), (4, 3, 2, 1))
    assert np.array_equal(fuse(pair, tmp_path, "gsa", ms=swapped)[0], whole)


# --------------------------------------------------------------------- no seams, one answer


@pytest.fixture(scope="module")
def libraries():
    """The raster libraries this Python has."""
    found = []
    for name in ("osgeo", "rasterio"):
        with contextlib.suppress(WhetstoneError):
            found.append(make_backend(name).name)
    return found


@pytest.mark.parametrize("method", METHODS)
def test_tiles_leave_no_trace(libraries, stock, tmp_path, no_shift, monkeypatch, method):
    """Blocks of any size, one thread or two, either library, a part or the whole: the same bits."""
    holes = {"pan_band": {"nodata": 0.0}, "ms_band": {"nodata": 0.0}, "bands": 3, "spoil": _hole}
    size = (330, 150) if method == "tv" else (620, 560)
    pair = stock(size=size, phase=1.2, **holes)

    def pixels(library, block, threads, **more):
        monkeypatch.setenv("WHETSTONE_BACKEND", library)
        more = {"dtype": "float32", "creation_options": {"COMPRESS": "NONE"}, **more}
        return fuse(pair, tmp_path, method, block=block, threads=threads, **more)[0]

    whole = pixels(libraries[0], 1024, 1)
    assert np.isfinite(whole).mean() > 0.9
    for library in libraries:
        for block, threads in ((1024, 2), (512, 2), (256, 1)):
            image = pixels(library, block, threads)
            assert np.array_equal(image, whole, equal_nan=True), (library, block)
    left, top, right, bottom = 101, 37, size[0] - 50, size[1] - 19
    bounds = (
        scenes.LEFT + left * scenes.PIXEL,
        scenes.TOP - bottom * scenes.PIXEL,
        scenes.LEFT + right * scenes.PIXEL,
        scenes.TOP - top * scenes.PIXEL,
    )
    part = pixels(libraries[-1], 256 if method == "tv" else 64, 2, bounds=bounds)
    assert np.array_equal(part, whole[:, top:bottom, left:right], equal_nan=True)
    x, _, _, y, _, _ = header(make_backend(), tmp_path / "fused.tif").transform
    assert (x, y) == (bounds[0], bounds[3])


def _hole(pan, ms):
    pan[:, 70:100, 240:270] = 0
    ms[:, 10:14, 60:66] = 0


def test_both_libraries_write_the_same_pixels(both, stock, tmp_path, monkeypatch):
    pair = stock()
    images = []
    for library in both:
        monkeypatch.setenv("WHETSTONE_BACKEND", library.name)
        images.append(fuse(pair, tmp_path, "gsa", name=f"{library.name}.tif")[0])
    assert np.array_equal(*images)


# --------------------------------------------------------------------------- constant memory

PEAK = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no ru_maxrss")
def test_memory_does_not_grow_with_the_scene(tmp_path):
    """GDAL's block cache (at most 128 MB) is kept small, so that the engine itself is seen."""
    rng, backend = np.random.default_rng(0), make_backend()
    peaks = []
    for height in (1024, 4096):
        pan = rng.integers(300, 900, (1, height, 512), "uint16")
        ms = rng.integers(300, 900, (4, height // 4, 128), "uint16")
        scenes.write(backend, tmp_path / "pan.tif", pan, scenes.fine_grid())
        scenes.write(backend, tmp_path / "ms.tif", ms, scenes.coarse_grid(4))
        words = "fuse --pan pan.tif --ms ms.tif --out out.tif --no-overviews --threads 2".split()
        # a process inherits the peak of the one it was forked from: fork from a small one
        call = [sys.executable, "-S", "-c", PEAK, sys.executable, "-m", "whetstone.engine.cli"]
        env = {**os.environ, "GDAL_CACHEMAX": "8"}
        options = {"capture_output": True, "text": True, "cwd": tmp_path, "env": env, "check": True}
        done = subprocess.run([*call, *words], **options)
        peaks.append(int(done.stdout))
    assert peaks[1] < 1.2 * peaks[0]


# ---------------------------------------------------------------------------- all or nothing

KILLED = """
import os, signal, sys
import whetstone.engine as engine
import whetstone.engine.raster.output as output
output._JOURNAL_SECONDS = 0.0

class Deadly(engine.Progress):
    def update(self, fraction, text=""):
        if text == "fusing" and fraction > 0.6:
            os.kill(os.getpid(), signal.SIGKILL)

engine.run(engine.job_from_json(sys.argv[1]), Deadly())
"""


class Listener(Progress):
    """Keeps what it is told; asks to stop in the middle if told so."""

    def __init__(self, stop_at=2.0):
        self.told, self.stop_at, self.done = [], stop_at, 0.0

    def message(self, text):
        self.told.append(text)

    def update(self, fraction, text=""):
        self.done = fraction

    def cancelled(self):
        return self.done >= self.stop_at


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL on this system")
@pytest.mark.parametrize("method", ["gsa", "mtf-glp-hpm"])
def test_a_killed_run_resumes_to_the_same_bytes(backend, stock, tmp_path, method):
    pair = stock(size=(300, 500))
    out = tmp_path / "out"
    out.mkdir()
    (out / "a.tif").write_bytes(b"old")
    job = pair.job(out / "a.tif", method, block=64)
    call = [sys.executable, "-c", KILLED, job_to_json(job)]
    done = subprocess.run(call, capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert (out / "a.tif").read_bytes() == b"old"
    assert (out / "a.part.json").exists()
    listener = Listener()
    resumed = run(job, listener)
    assert any(text.startswith("Resuming an interrupted run at row") for text in listener.told)
    assert os.listdir(out) == ["a.tif"]
    whole = run(pair.job(tmp_path / "b.tif", method, block=64))
    assert np.array_equal(*(read(backend, result.out)[0] for result in (resumed, whole)))
    assert resumed.valid_fraction == whole.valid_fraction


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL on this system")
def test_a_killed_run_of_another_job_is_not_resumed(backend, stock, tmp_path):
    pair = stock(size=(300, 500))
    out = tmp_path / "out"
    out.mkdir()
    call = [sys.executable, "-c", KILLED, job_to_json(pair.job(out / "a.tif", "gsa", block=64))]
    subprocess.run(call, capture_output=True, check=False)
    listener = Listener()
    run(pair.job(out / "a.tif", "exp", block=64), listener)
    assert not [text for text in listener.told if "Resuming" in text]
    assert os.listdir(out) == ["a.tif"]
    assert np.array_equal(read(backend, out / "a.tif")[0], fuse(pair, tmp_path)[0])


@pytest.mark.parametrize("stop_at", [0.0, 0.2, 0.6])
def test_a_cancelled_run_leaves_nothing(backend, stock, tmp_path, stop_at):
    pair = stock(size=(300, 500))
    (tmp_path / "a.tif").write_bytes(b"old")
    with pytest.raises(Cancelled):
        run(pair.job(tmp_path / "a.tif", "gsa", block=64), Listener(stop_at))
    assert os.listdir(tmp_path) == ["a.tif"]
    assert (tmp_path / "a.tif").read_bytes() == b"old"


# --------------------------------------------------------------------------------- traceable


def test_an_image_tells_how_to_make_it_again(backend, stock, tmp_path, capsys):
    pair = stock(size=(200, 180), phase=1.1)
    bounds = (scenes.LEFT + 20, scenes.TOP - 60, scenes.LEFT + 80, scenes.TOP - 5)
    job = pair.job(
        tmp_path / "a.tif", "bdsd-pc", bounds=bounds, block=128, coregister=True, sensor="qb"
    )
    run(job)
    tags = header(backend, job.out).tags
    assert job_from_json(tags["WHETSTONE_JOB"]) == job
    assert tags["WHETSTONE_VERSION"] == __version__
    assert (tags["WHETSTONE_METHOD"], tags["WHETSTONE_SENSOR"]) == ("bdsd-pc", "qb")
    assert cli.main(["run", job.out, "--out", str(tmp_path / "b.tif")]) == 0
    assert np.array_equal(*(read(backend, tmp_path / name)[0] for name in ("a.tif", "b.tif")))
    shutil.copy(tmp_path / "a.tif", tmp_path / "moved.tif")
    os.remove(tmp_path / "a.tif")
    assert cli.main(["run", str(tmp_path / "moved.tif")]) == 0  # the job itself says where to
    assert np.array_equal(*(read(backend, tmp_path / name)[0] for name in ("a.tif", "b.tif")))


def test_an_output_is_no_source_of_tags_for_the_next(backend, stock, tmp_path):
    """Fusing with a fused image as MS: the tags are those of the new job."""
    coarse = stock(size=(64, 64), ratio=2.0)
    first = run(coarse.job(tmp_path / "first.tif", "gsa"))
    pan = Ground(4).seen(np.arange(-0.25, 63.75, 0.5), np.arange(-0.25, 63.75, 0.5))
    name = scenes.write(backend, tmp_path / "pan.tif", pan[:1], scenes.fine_grid(scenes.PIXEL / 2))
    run(coarse.job(tmp_path / "b.tif", "exp", pan=name, ms=first.out))
    tags = header(backend, tmp_path / "b.tif").tags
    assert tags["WHETSTONE_METHOD"] == "exp"
    assert job_from_json(tags["WHETSTONE_JOB"]).pan.paths == (name,)


# ------------------------------------------------------------------------------------ formats


def test_cog(backend, stock, tmp_path):
    pair = stock(size=(700, 620))
    plain, _ = fuse(pair, tmp_path, "gsa")
    run(pair.job(tmp_path / "cog.tif", "gsa", format="cog", overviews=True))
    assert b"LAYOUT=IFDS_BEFORE_DATA" in (tmp_path / "cog.tif").read_bytes()[:600]
    assert np.array_equal(read(backend, tmp_path / "cog.tif")[0], plain)
    one, two = (header(backend, tmp_path / name) for name in ("fused.tif", "cog.tif"))
    assert (one.transform, one.bands) == (two.transform, two.bands)
    assert job_from_json(two.tags["WHETSTONE_JOB"]).format == "cog"
    assert header(backend, f"GTIFF_DIR:2:{tmp_path}/cog.tif").width == 350


@pytest.mark.parametrize("overviews", [True, False])
def test_overviews(backend, stock, tmp_path, no_shift, overviews):
    pair = stock(size=(700, 620))
    whole, _ = fuse(pair, tmp_path, overviews=overviews)
    name = f"GTIFF_DIR:2:{tmp_path}/fused.tif"
    if overviews:
        small = backend.open(name).read_raw([1], Window(0, 0, 350, 310))[0]
        assert np.abs(small[0] - whole[0].reshape(310, 2, 350, 2).mean(axis=(1, 3))).max() <= 1
    else:
        with pytest.raises(WhetstoneError, match=r"fused\.tif"):
            backend.open(name)


def test_creation_options(backend, stock, tmp_path, no_shift):
    more = {"creation_options": {"BLOCKXSIZE": "128", "BLOCKYSIZE": "256", "compress": "LZW"}}
    fuse(stock(size=(700, 620)), tmp_path, **more)
    assert header(backend, tmp_path / "fused.tif").block == (128, 256)
