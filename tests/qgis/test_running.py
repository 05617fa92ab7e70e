"""Every algorithm run for real on a small pair: script, batch, model, task, cancel."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
from osgeo import gdal
from qgis.core import (
    QgsApplication,
    QgsCoordinateReferenceSystem,
    QgsProcessingAlgRunnerTask,
    QgsProcessingFeedback,
    QgsProcessingOutputLayerDefinition,
    QgsRasterRange,
    QgsTask,
)
from qgis.PyQt.QtCore import QCoreApplication


def debris(folder) -> list[str]:
    """Anything half done in a folder."""
    return sorted(item.name for item in folder.rglob("*") if item.is_file())


@pytest.fixture
def fuse(process, scene):
    """``whetstone:classical`` on the scene, or on what is given instead."""

    def run(out, **parameters) -> dict:
        if not {"MS", "MS_FILES"} & set(parameters):
            parameters["MS"] = scene.ms
        return process("classical", {"PAN": scene.pan, **parameters, "OUTPUT": str(out)})

    return run


def test_classical(fuse, scene, values, tmp_path):
    out = str(tmp_path / "fused.tif")
    result = fuse(out, METHOD="gsa")
    assert result["OUTPUT"] == out and result["RATIO"] == pytest.approx(4)
    fused, truth = values(out), values(scene.gt).astype(float)
    assert fused.shape == truth.shape and fused.dtype == np.uint16
    coarse = np.repeat(np.repeat(values(scene.ms), 4, axis=1), 4, axis=2)
    assert np.abs(fused - truth).mean() < 0.7 * np.abs(coarse - truth).mean()
    assert "32633" in gdal.Open(out).GetProjection()
    assert debris(tmp_path) == ["fused.tif"]
    assert "HQNR" not in result and "HTML" not in result


def test_classical_assessed_with_report(fuse, tmp_path):
    page = tmp_path / "report.html"
    result = fuse(tmp_path / "f.tif", HTML=str(page))
    assert 0 < result["HQNR"] <= 1 and result["R_ERGAS"] >= 0 and "SAM" not in result
    assert result["HTML"] == str(page) and "<html" in page.read_text("utf-8").lower()


def test_only_an_extent(fuse, scene, values, tmp_path):
    x, y = scene.origin
    whole = fuse(tmp_path / "a.tif")
    extent = f"{x + 64},{x + 160},{y - 128},{y - 32} [EPSG:32633]"
    part = fuse(tmp_path / "b.tif", EXTENT=extent)
    a, b = values(whole["OUTPUT"]), values(part["OUTPUT"])
    assert b.shape == (4, 96, 96)
    assert np.abs(a[:, 32:128, 64:160].astype(int) - b)[:, 16:-16, 16:-16].max() <= 1


def test_one_file_per_band_equals_one_file(fuse, scene, raster, values, tmp_path):
    files = [raster(tmp_path / f"B{n}.tif", scene.ms_values[n], pixel=4.0) for n in range(4)]
    one = fuse(tmp_path / "a.tif")
    many = fuse(tmp_path / "b.tif", MS_FILES=files)
    assert np.array_equal(values(one["OUTPUT"]), values(many["OUTPUT"]))


def test_user_nodata_becomes_nodata(fuse, scene, raster, layer, values, tmp_path):
    hole = scene.ms_values.copy()
    hole[:, 20:24, 20:24] = 7
    ms = layer(raster(tmp_path / "hole.tif", hole, pixel=4.0))
    for band in range(1, 5):
        ms.dataProvider().setUserNoDataValue(band, [QgsRasterRange(7, 7)])
    out = fuse(tmp_path / "f.tif", MS=ms)["OUTPUT"]
    dataset = gdal.Open(out)
    nodata = dataset.GetRasterBand(1).GetNoDataValue()
    fused = values(out)
    assert nodata is not None and (fused[:, 80:96, 80:96] == nodata).all()
    assert (fused[:, 100:, 100:] != nodata).all() and fused[:, 70:78, 70:78].min() > 50


def test_crs_override_reaches_the_file(fuse, scene, raster, layer, tmp_path):
    pan = layer(raster(tmp_path / "p.tif", scene.pan_values, pixel=1.0, epsg=None))
    ms = layer(raster(tmp_path / "m.tif", scene.ms_values, pixel=4.0, epsg=None))
    for item in (pan, ms):
        item.setCrs(QgsCoordinateReferenceSystem("EPSG:32631"))
    dataset = gdal.Open(fuse(tmp_path / "f.tif", PAN=pan, MS=ms)["OUTPUT"])
    assert dataset.GetSpatialRef().GetAuthorityCode(None) == "32631"


def test_assess(process, scene, tmp_path):
    result = process(
        "assess",
        {"FUSED": scene.gt, "PAN": scene.pan, "MS": scene.ms, "REFERENCE": scene.gt,
         "HTML": str(tmp_path / "r.html")},
    )  # fmt: skip
    assert result["SAM"] == pytest.approx(0, abs=1e-3)
    assert result["ERGAS"] == pytest.approx(0, abs=1e-6)
    assert result["Q2N"] == pytest.approx(1, abs=1e-6) and result["VERDICT"]
    assert (tmp_path / "r.html").stat().st_size > 1000


def test_compare(process, scene, tmp_path):
    result = process(
        "compare",
        {"PAN": scene.pan, "MS": scene.ms, "METHODS": ["exp", "gsa", "brovey"], "REDUCED": True,
         "OUTPUT_FOLDER": str(tmp_path / "c"), "HTML": str(tmp_path / "c.html")},
    )  # fmt: skip
    assert result["BEST"] in ("gsa", "brovey") and result["ERGAS"] > 0
    assert len(list((tmp_path / "c").rglob("*.tif"))) >= 3 and (tmp_path / "c.html").is_file()
    assert gdal.Open(result["BEST_IMAGE"]).RasterCount == 4


def test_check(process, scene, raster, tmp_path):
    page = tmp_path / "check.html"
    result = process("check", {"PAN": scene.pan, "MS": scene.ms, "HTML": str(page)})
    assert result["OK"] is True and result["RATIO"] == pytest.approx(4)
    assert result["OVERLAP"] == pytest.approx(1, abs=1e-6) and "Ratio: 4" in result["SUMMARY"]
    assert abs(result["SHIFT_X"]) < 0.6 and "<table>" in page.read_text("utf-8")


def test_degrade_and_go_on(process, fuse, scene, values, tmp_path):
    folder = tmp_path / "d"
    pair = process("degrade", {"PAN": scene.pan, "MS": scene.ms, "OUTPUT_FOLDER": str(folder)})
    assert values(pair["PAN"]).shape == (1, 64, 64) and values(pair["MS"]).shape == (4, 16, 16)
    assert np.array_equal(values(pair["GT"]), values(scene.ms))
    fused = fuse(folder / "f.tif", PAN=pair["PAN"], MS=pair["MS"])
    scores = process(
        "assess",
        {"FUSED": fused["OUTPUT"], "PAN": pair["PAN"], "MS": pair["MS"], "REFERENCE": pair["GT"]},
    )
    assert 0 < scores["ERGAS"] < 50


def test_batch_rows(fuse, tmp_path):
    for method in ("gsa", "brovey"):
        out = str(tmp_path / f"{method}.tif")
        assert fuse(out, METHOD=method)["OUTPUT"] == out
    first, second = fuse("TEMPORARY_OUTPUT"), fuse("TEMPORARY_OUTPUT")
    assert first["OUTPUT"] != second["OUTPUT"]


def test_shipped_model(plugin, scene, tmp_path):
    import processing

    parameters = {
        "PAN": scene.pan, "MS": scene.ms, "METHOD": "brovey",
        "fuse:Fused": str(tmp_path / "m.tif"), "scores:Report": str(tmp_path / "m.html"),
    }  # fmt: skip
    result = processing.run("whetstone:sharpen_and_assess", parameters)
    assert result["fuse:Fused"] == parameters["fuse:Fused"] and (tmp_path / "m.html").is_file()
    assert gdal.Open(result["fuse:Fused"]).RasterXSize == 256


class Run:
    """A task as the dialog starts it, watched from the main thread."""

    def __init__(self, name, parameters, context):
        self.feedback = QgsProcessingFeedback(False)
        self.context, self.answer, self.percents = context, None, []
        registry = QgsApplication.processingRegistry()
        self.algorithm = registry.createAlgorithmById(f"whetstone:{name}")
        self.feedback.progressChanged.connect(self.percents.append)
        self.task = QgsProcessingAlgRunnerTask(self.algorithm, parameters, context, self.feedback)
        self.task.executed.connect(lambda fine, results: setattr(self, "answer", (fine, results)))
        QgsApplication.taskManager().addTask(self.task)

    def wait(self, until=None, seconds=60.0) -> float:
        """Serve events until done (or until a condition); the time it took."""
        start = time.monotonic()
        while self.answer is None and time.monotonic() - start < seconds:
            QCoreApplication.processEvents()
            if until is not None and until():
                break
            time.sleep(0.005)
        return time.monotonic() - start


def loading(project, path) -> QgsProcessingOutputLayerDefinition:
    """An output that QGIS is to load afterwards, as the dialog asks for."""
    return QgsProcessingOutputLayerDefinition(str(path), project)


def test_task_runs_off_the_main_thread(plugin, context, project, scene, tmp_path, monkeypatch):
    from whetstone import engine

    real, threads = engine.run, []

    def spy(job, progress):
        threads.append(threading.current_thread() is threading.main_thread())
        return real(job, progress)

    monkeypatch.setattr(engine, "run", spy)
    out = tmp_path / "f.tif"
    parameters = {"PAN": scene.pan, "MS": scene.ms, "OUTPUT": loading(project, out)}
    run = Run("classical", parameters, context)
    run.wait()
    fine, results = run.answer
    assert fine and results["OUTPUT"] == str(out) and threads == [False]
    assert run.percents == sorted(run.percents) and run.percents[-1] == pytest.approx(100)
    assert list(context.layersToLoadOnCompletion()) == [str(out)]


@pytest.fixture(scope="module")
def big(tmp_path_factory, raster):
    """A pair that takes a few seconds."""
    folder = tmp_path_factory.mktemp("big")
    noise = np.random.default_rng(5).integers(100, 1000, (4, 1024, 1024)).astype("uint16")
    pan = np.repeat(np.repeat(noise[0], 4, axis=0), 4, axis=1)
    return raster(folder / "pan.tif", pan, pixel=1.0), raster(folder / "ms.tif", noise, pixel=4.0)


@pytest.mark.parametrize("method", ["gsa", "mtf-glp-fs", "tv"])
@pytest.mark.parametrize("percent", [0, 20])
def test_cancel_within_a_second(plugin, context, project, big, tmp_path, method, percent):
    out = tmp_path / "f.tif"
    parameters = {"PAN": big[0], "MS": big[1], "METHOD": method, "OUTPUT": loading(project, out)}
    run = Run("classical", parameters, context)
    run.wait(until=lambda: run.task.status() == QgsTask.TaskStatus.Running)
    run.wait(until=lambda: run.percents and run.percents[-1] > percent)
    assert run.answer is None, "it was over before it could be cancelled"
    run.feedback.cancel()
    run.task.cancel()
    assert run.wait() < 1.0
    assert run.answer == (False, {})
    assert debris(tmp_path) == [] and not context.layersToLoadOnCompletion()
    assert not project.mapLayers()


def test_cancel_leaves_the_old_file(process, big, tmp_path):
    out = tmp_path / "f.tif"
    out.write_bytes(b"old")
    feedback = QgsProcessingFeedback(False)
    feedback.cancel()
    parameters = {"PAN": big[0], "MS": big[1], "OUTPUT": str(out)}
    result = process("classical", parameters, feedback=feedback)
    assert result == {} and out.read_bytes() == b"old" and debris(tmp_path) == ["f.tif"]


@pytest.mark.parametrize("name", ["compare", "assess", "degrade", "check"])
def test_others_cancel_within_a_second(plugin, context, project, big, tmp_path, name):
    given = tmp_path / "in"
    given.mkdir()
    parameters = {
        "PAN": big[0], "MS": big[1], "METHODS": ["gsa", "mtf-glp-fs"],
        "OUTPUT_FOLDER": str(tmp_path / "out"), "HTML": str(tmp_path / "r.html"),
    }  # fmt: skip
    if name == "assess":  # any image on the PAN grid will do
        four = [gdal.Translate(str(given / "f.vrt"), big[0], bandList=[1, 1, 1, 1])]
        parameters["FUSED"] = four.pop().GetDescription()
    run = Run(name, parameters, context)
    run.wait(until=lambda: run.task.status() == QgsTask.TaskStatus.Running)
    run.wait(seconds=0.2)
    assert run.answer is None, "it was over before it could be cancelled"
    run.feedback.cancel()
    run.task.cancel()
    assert run.wait() < 1.0
    assert run.answer == (False, {})
    assert debris(tmp_path) in ([], ["f.vrt"]) and not context.layersToLoadOnCompletion()
