"""The assess and compare jobs: files, geometry, nodata, streaming, refusals, tables, report."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from math import isnan

import numpy as np
import pytest
from whetstone.engine import run
from whetstone.engine.assess import WITH_REFERENCE, WITHOUT_REFERENCE, score
from whetstone.engine.errors import Cancelled, WhetstoneError
from whetstone.engine.jobs import AssessJob, CompareJob, FuseJob, RasterSource, result_to_dict
from whetstone.engine.metrics.fused import FusedImage, place
from whetstone.engine.mtf import product_kernel
from whetstone.engine.pair import open_pair
from whetstone.engine.raster.model import BandInfo, OutputSpec
from whetstone.engine.raster.source import open_source
from whetstone.engine.types import Progress, Window

from .scenes import as_type, fine_grid, make_pair, write

SIZE, RATIO = 256, 4
GAIN = 0.3  # of the generic sensor


def reprojected(truth, kernel, phase):
    """What the MS sensor sees of (B, H, W): filtered, sampled at ``phase``, borders mirrored."""
    from whetstone.engine.interpolation import filter_taps, mirror, resample

    axes = []
    for size in truth.shape[1:]:
        taps = filter_taps(np.arange(size // RATIO) * RATIO + phase, kernel)
        axes.append((mirror(taps.first, taps.stop, size), taps.shifted(taps.first)))
    (row_index, rows), (col_index, cols) = axes
    return resample(truth[:, row_index[:, None], col_index], rows, cols)


def draw(bands=4, size=SIZE, seed=0):
    """(truth, pan): textured bands around 500 and their mean."""
    noise = np.random.default_rng(seed).normal(size=(bands + 1, size, size))
    for _ in range(2):
        noise = (noise + np.roll(noise, 1, 1) + np.roll(noise, 1, 2) + np.roll(noise, 2, 1)) / 2
    noise /= noise.std(axis=(1, 2), keepdims=True)
    truth = 500 + 60 * noise[:1] + 30 * noise[1:] + 20 * np.arange(bands)[:, None, None]
    return truth, truth.mean(axis=0, keepdims=True)


class Folder:
    """Writes GeoTIFFs with one raster library."""

    def __init__(self, backend, path):
        self.backend, self.path = backend, path

    def write(self, name, image, *, dtype="float32", pixel=1.0, corner=(1000.0, 2000.0), **more):
        nodata, crs = more.get("nodata"), more.get("crs", "EPSG:32633")
        transform = (corner[0], pixel, 0.0, corner[1], 0.0, -pixel) if corner else None
        wkt = self.backend.crs_wkt(crs) if crs and corner else ""
        bands = tuple(BandInfo(dtype, nodata=nodata) for _ in image)
        spec = OutputSpec(
            image.shape[2], image.shape[1], bands, wkt, transform, more.get("tags", {})
        )
        path = str(self.path / f"{name}.tif")
        writer = self.backend.create(path, spec)
        writer.write(Window(0, 0, image.shape[2], image.shape[1]), image.astype(dtype))
        writer.close()
        return RasterSource.of(path)

    def pair(self, truth, pan, phase=(RATIO - 1) / 2, **more):
        """PAN and MS files; the MS lies where ``phase`` says."""
        ms = reprojected(truth, product_kernel(GAIN, float(RATIO)), phase)
        shift = phase - (RATIO - 1) / 2
        corner = (1000.0 + shift, 2000.0 - shift)
        return {
            "pan": self.write("pan", pan, **more),
            "ms": self.write("ms", ms, pixel=float(RATIO), corner=corner, **more),
        }


@pytest.fixture
def folder(backend, tmp_path, monkeypatch):
    monkeypatch.setenv("WHETSTONE_BACKEND", backend.name)
    return Folder(backend, tmp_path)


def test_backend_names_select_the_backend(folder):
    from whetstone.engine.raster import backend

    assert backend().name == folder.backend.name


# --- figures --------------------------------------------------------------------------------------


@pytest.mark.parametrize("bands", [1, 3, 4, 5, 8])
def test_the_truth_scores_as_the_truth(folder, bands):
    truth, pan = draw(bands)
    files = folder.pair(truth, pan)
    fused = folder.write("fused", truth)
    result = run(AssessJob(fused, **files, reference=fused, sensor="generic"))
    found = result.scores
    assert set(found) == {*WITH_REFERENCE, *WITHOUT_REFERENCE}
    assert found["sam"] == found["ergas"] == found["rmse"] == 0
    for key in ("q2n", "scc", "ssim", "cc"):
        assert found[key] == pytest.approx(1, abs=1e-9)
    # missing borders aside, the sensor's view of the truth is the MS
    assert found["r_ergas"] < 0.4 and found["r_q2n"] > 0.98
    assert isnan(found["d_lambda"]) == (bands == 1)
    assert any("single band" in note for note in result.notes) == (bands == 1)


@pytest.mark.parametrize("phase", [0.0, 1.5, 2.0])
def test_reprojection_knows_the_true_phase(folder, phase):
    truth, pan = draw()
    files = folder.pair(truth, pan, phase)
    inner = folder.write("fused", truth[:, 32:224, 32:224], corner=(1032.0, 1968.0))
    found = run(AssessJob(inner, **files, sensor="generic")).scores
    aside = folder.write("aside", np.roll(truth, 1, 2)[:, 32:224, 32:224], corner=(1032.0, 1968.0))
    worse = run(AssessJob(aside, **files, sensor="generic")).scores
    assert found["r_ergas"] < 0.35 and found["r_sam"] < 0.35
    assert worse["r_ergas"] > 2 * found["r_ergas"]


def test_figures_do_not_depend_on_the_windows(folder):
    truth, pan = draw(3, 288)
    valid = np.ones((288, 288), bool)
    valid[100:130, 40:90] = valid[287] = False
    fused = np.where(valid, np.round(truth + 5 * pan / pan.mean()), 0)
    files = folder.pair(truth, pan)
    source = folder.write("fused", fused, dtype="uint16", nodata=0)
    reference = folder.write("reference", truth)
    every = []
    for side in (64, 256, 1024):
        with open_pair(**files, sensor="generic") as pair:
            images = []
            for item in (source, reference):
                opened = open_source(item, pair.backend, "x")
                images.append(FusedImage(pair, opened, place(pair, opened, "It")))
            every.append(score(pair, images[0], images[1], 0, Progress(), side).scores)
    assert not any(isnan(value) for value in every[0].values())
    # acos loses digits at small angles: r_sam is 0.03 degrees here
    assert every[0] == pytest.approx(every[2], rel=1e-12, abs=1e-12)
    assert every[1] == pytest.approx(every[2], rel=1e-12, abs=1e-12)


def test_a_nodata_collar_changes_nothing_inside(folder):
    truth, pan = draw()
    files = folder.pair(truth, pan)
    distorted = np.round(truth + 10 * np.sin(np.arange(SIZE) / 3))
    collar = np.full_like(distorted, -9999.0)
    collar[:, 32:224, 64:192] = distorted[:, 32:224, 64:192]
    wide = folder.write("wide", collar, dtype="int16", nodata=-9999)
    narrow = folder.write(
        "narrow", distorted[:, 32:224, 64:192], dtype="int16", corner=(1064.0, 1968.0)
    )
    reference = folder.write("reference", truth)
    a = run(AssessJob(wide, **files, reference=reference, sensor="qb")).scores
    b = run(AssessJob(narrow, **files, reference=reference, sensor="qb")).scores
    for key, value in b.items():
        if key != "r_q2n":  # 48 x 32 MS pixels: blocks start elsewhere
            assert a[key] == pytest.approx(value, rel=1e-9), key


def test_nodata_of_the_inputs_does_not_count(folder):
    truth, pan = draw()
    files = folder.pair(truth, pan)
    fused = folder.write("fused", truth)
    clean = run(AssessJob(fused, **files, sensor="generic")).scores
    holed = pan.copy()
    holed[:, 64:96, 64:96] = 0
    files["pan"] = folder.write("holed", holed, nodata=0)
    found = run(AssessJob(fused, **files, sensor="generic")).scores
    for key in ("d_lambda", "d_s", "d_rho", "d_lambda_k"):
        assert found[key] == pytest.approx(clean[key], abs=0.01), key


def test_nothing_valid_is_said(folder):
    truth, pan = draw()
    fused = folder.write("fused", np.zeros_like(truth), nodata=0)
    result = run(AssessJob(fused, **folder.pair(truth, pan), reference=fused))
    assert all(isnan(value) for value in result.scores.values())
    assert any("no valid pixels" in note for note in result.notes)
    assert result_to_dict(result)["scores"]["sam"] is None


def test_crop_is_that_of_the_tables(folder):
    truth, pan = draw()
    files = folder.pair(truth, pan)
    spoilt = truth + 3
    spoilt[:, :20] = spoilt[:, -21:] = spoilt[:, :, :20] = spoilt[:, :, -21:] = 1
    fused, reference = folder.write("fused", spoilt), folder.write("reference", truth)
    job = AssessJob(fused, **files, reference=reference, sensor="generic")
    assert run(job).scores["rmse"] > 100
    assert run(replace(job, crop=21)).scores["rmse"] == pytest.approx(3, rel=1e-5)
    with pytest.raises(WhetstoneError, match="crop") as caught:
        run(replace(job, crop=130))
    assert caught.value.code == "CROP"


@pytest.mark.parametrize(
    ("sensor", "dtype", "scale", "words"),
    [
        ("qb", "uint16", 1, "peak 2047, the 11 bits"),
        ("qb", "float32", 1, "peak 2047, the 11 bits"),
        ("qb", "float32", 1e-4, "largest value of the reference"),
        ("qb", "uint16", 0.2, "largest value of the reference"),
        ("generic", "uint8", 0.3, "peak 255"),
        ("generic", "uint16", 1, "largest value of the reference"),
    ],
)
def test_the_peak_is_named(folder, sensor, dtype, scale, words):
    truth, pan = draw()
    files = folder.pair(truth * scale, pan * scale)
    reference = folder.write("reference", truth * scale, dtype=dtype)
    result = run(AssessJob(reference, **files, reference=reference, sensor=sensor))
    assert any(words in note for note in result.notes), result.notes


def test_reflectances_score_like_numbers(folder):
    truth, pan = draw()
    found = []
    for scale in (1, 2**-13):
        files = folder.pair(truth * scale, pan * scale)
        fused = folder.write("fused", (truth + 0.1 * pan) * scale)
        found.append(run(AssessJob(fused, **files, sensor="generic")).scores)
    assert found[0] == pytest.approx(found[1], rel=1e-6)


# --- grids and refusals ---------------------------------------------------------------------------


def refused(job, code, *words):
    with pytest.raises(WhetstoneError) as caught:
        run(job)
    assert caught.value.code == code, caught.value
    assert caught.value.hint
    for word in words:
        assert word in caught.value.message


def test_images_that_do_not_fit_are_refused(folder):
    truth, pan = draw()
    files = folder.pair(truth, pan)
    good = folder.write("good", truth)

    def job(fused, reference=None):
        return AssessJob(fused, **files, reference=reference)

    refused(job(folder.write("a", truth[:3])), "BANDS_DIFFERENT", "3 band", "MS has 4")
    refused(job(folder.write("b", truth, pixel=2.0)), "GRID_DIFFERENT", "(in x) has pixels of 2,")
    beside = folder.write("c", truth, corner=(1000.25, 2000.0))
    refused(job(beside), "GRID_DIFFERENT", "+0.2500 PAN pixels")
    refused(job(good, beside), "GRID_DIFFERENT", "The reference")
    refused(job(good, folder.write("d", truth[:2])), "BANDS_DIFFERENT", "The reference")
    refused(job(folder.write("e", truth, corner=(9000.0, 2000.0))), "NO_OVERLAP")
    refused(job(folder.write("f", truth, crs="EPSG:3857")), "CRS_DIFFERENT", "EPSG:3857")
    refused(job(folder.write("g", truth[:, :90], corner=None)), "GRID_DIFFERENT", "256 x 90")
    refused(
        replace(job(folder.write("h", truth[:, :128])), protocol="toolbox"),
        "GRID_DIFFERENT",
        "toolbox",
    )
    elsewhere = folder.write("i", truth[:, :64, :64], corner=(1128.0, 1872.0))
    refused(job(folder.write("j", truth[:, :64, :64]), elsewhere), "NO_OVERLAP")


def test_grids_within_a_thousandth_are_the_same(folder):
    truth, pan = draw()
    near = folder.write("near", truth, corner=(1000.0004, 2000.0), pixel=1.000001)
    assert run(AssessJob(near, **folder.pair(truth, pan))).scores["r_ergas"] < 1


def test_without_any_georeferencing(folder):
    truth, pan = draw()
    ms = reprojected(truth, product_kernel(GAIN, 4.0), 1.5)
    job = AssessJob(
        folder.write("fused", truth, corner=None),
        folder.write("pan", pan, corner=None),
        folder.write("ms", ms, corner=None),
    )
    assert run(job).scores["r_ergas"] < 0.4


def test_cancelling(folder):
    class Impatient(Progress):
        def cancelled(self):
            return True

    truth, pan = draw()
    with pytest.raises(Cancelled):
        run(AssessJob(folder.write("fused", truth), **folder.pair(truth, pan)), Impatient())


def test_progress_only_grows_and_ends(folder):
    class Record(Progress):
        def __init__(self):
            self.seen = []

        def update(self, fraction, text=""):
            self.seen.append(fraction)

    truth, pan = draw()
    record, fused = Record(), folder.write("fused", truth)
    run(AssessJob(fused, **folder.pair(truth, pan), reference=fused), record)
    assert record.seen == sorted(record.seen) and record.seen[-1] == 1


def test_report(folder, tmp_path):
    truth, pan = draw()
    fused, page = folder.write("fused", truth), tmp_path / "report.html"
    files = folder.pair(truth, pan)
    result = run(AssessJob(fused, **files, reference=fused, html=str(page)))
    assert result.html == str(page)
    text = page.read_text(encoding="utf-8")
    assert "ERGAS" in text and "HQNR" in text and "peak" in text
    assert result.verdict


# --- compare --------------------------------------------------------------------------------------


def test_compare_scores_and_tables(folder, tmp_path):
    truth, pan = draw()
    out = tmp_path / "out"
    files = folder.pair(truth, pan)
    reference = folder.write("reference", truth)
    job = CompareJob(
        **files, methods=("exp", "gsa", "exp"), out_dir=str(out), reference=reference,
        sensor="generic", html=str(tmp_path / "c.html"),
    )  # fmt: skip
    result = run(job)
    assert [row["method"] for row in result.rows] == ["exp", "gsa"] and result.best == "gsa"
    scores = {row["method"]: row["scores"] for row in result.rows}
    assert scores["gsa"]["ergas"] < 0.8 * scores["exp"]["ergas"]
    assert scores["gsa"]["d_rho"] < scores["exp"]["d_rho"]
    assert (tmp_path / "c.html").exists() and (out / "gsa.tif").exists()
    stored = json.loads((out / "scores.json").read_text(encoding="utf-8"))
    assert stored == result_to_dict(result)
    with (out / "scores.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["method"] for row in rows] == ["exp", "gsa"]
    assert float(rows[1]["ergas"]) == scores["gsa"]["ergas"]
    # the same scores as one by one
    alone = run(
        AssessJob(
            RasterSource.of(str(out / "gsa.tif")), **files, reference=reference, sensor="generic"
        )
    )
    assert alone.scores == pytest.approx(scores["gsa"], rel=1e-12)
    assert not list(out.glob("*.part*"))


@pytest.mark.parametrize("protocol", ["product", "toolbox"])
def test_compare_at_reduced_resolution(folder, tmp_path, protocol):
    truth, pan = draw()
    job = CompareJob(
        **folder.pair(truth, pan), methods=("exp", "mtf-glp-fs"), out_dir=str(tmp_path / "out"),
        reduced=True, sensor="generic", protocol=protocol,
    )  # fmt: skip
    result = run(job)
    assert result.best == "mtf-glp-fs"
    assert "ergas" in result.rows[0]["scores"] and (tmp_path / "out" / "gt.tif").exists()
    if protocol == "toolbox":
        exp = result.rows[0]["scores"]["d_lambda"]
        assert isnan(exp) or exp == 0  # 64 pixels hold blocks
    with pytest.raises(WhetstoneError) as caught:
        run(replace(job, reference=job.ms))
    assert caught.value.code == "USAGE"


def test_a_method_that_fails_is_left_out(folder, tmp_path, monkeypatch):
    from whetstone.engine import compare as room

    real = room.fuse

    def fuse(job, progress):
        if job.method == "pca":
            raise WhetstoneError("X", "It broke.")
        return real(job, progress)

    monkeypatch.setattr(room, "fuse", fuse)
    truth, pan = draw()
    job = CompareJob(**folder.pair(truth, pan), methods=("pca", "exp"), out_dir=str(tmp_path / "o"))
    result = run(job)
    assert [row["method"] for row in result.rows] == ["exp"]
    assert any("pca was left out: It broke." in note for note in result.notes)
    with pytest.raises(WhetstoneError, match="It broke"):
        run(replace(job, methods=("pca",)))
    with pytest.raises(WhetstoneError) as caught:
        run(replace(job, methods=("exp", "gsaa"), out_dir=str(tmp_path / "new")))
    assert caught.value.code == "METHOD_UNKNOWN" and not (tmp_path / "new").exists()


def test_a_coregistered_image_is_scored_against_the_moved_ms(folder, tmp_path):
    truth, pan = draw()
    files = folder.pair(np.roll(truth, 2, 2), np.roll(pan, 0, 2))
    scores = []
    for moved in (False, True):
        out = str(tmp_path / f"{moved}.tif")
        fused = run(FuseJob(**files, out=out, method="gsa", sensor="generic", coregister=moved))
        assert fused.coregistered == moved
        scores.append(run(AssessJob(RasterSource.of(out), **files, sensor="generic")).scores)
    assert scores[1]["r_ergas"] < 0.7 * scores[0]["r_ergas"]


def test_a_comparison_with_a_truth_moves_the_pan(both, tmp_path):
    """The truth lies with the MS: moving that, as a fusion does, would count the shift as error."""
    backend = both[1]
    made = make_pair(backend, tmp_path / "p", (256, 256), shift=(0.7, -0.5))
    truth = write(backend, tmp_path / "gt.tif", as_type(made.truth, "uint16"), fine_grid())
    scores = {}
    for name, flag in (("as is", False), ("moved", True)):
        job = CompareJob(
            *map(RasterSource.of, (made.pan, made.ms)),
            methods=("gsa",),
            out_dir=str(tmp_path / name),
            reference=RasterSource.of(truth),
            sensor="generic",
            coregister=flag,
        )
        result = run(job)
        scores[name] = result.rows[0]["scores"]["ergas"]
    assert scores["moved"] < 0.7 * scores["as is"]
    assert any("moving the PAN" in note for note in result.notes)
