"""The deep algorithms inside QGIS: results, refusals, styling, cancelling."""

from __future__ import annotations

import json
import subprocess
import threading
import time

import numpy as np
import pytest
from osgeo import gdal
from qgis.core import (
    QgsApplication,
    QgsMultiBandColorRenderer,
    QgsProcessingException,
    QgsProcessingFeedback,
    QgsSingleBandPseudoColorRenderer,
)


class Log(QgsProcessingFeedback):
    """Everything that a run says."""

    def __init__(self):
        super().__init__(False)
        self.told, self.warned, self.acts = [], [], []

    def pushInfo(self, text):  # noqa: N802
        self.told.append(text)

    def pushWarning(self, text):  # noqa: N802
        self.warned.append(text)

    def setProgressText(self, text):  # noqa: N802
        self.acts.append(text)


@pytest.fixture
def run(process, scene, engine):
    """``whetstone:<name>`` on the scene."""

    def run(name, **parameters):
        if name in ("ssdiff", "crossdiff"):  # quicker than the bundled ones
            parameters.setdefault("MODEL", f"tiny-{name}")
        more = {key: parameters.pop(key) for key in ("feedback", "context") if key in parameters}
        return process(name, {"PAN": scene.pan, "MS": scene.ms, **parameters}, **more)

    return run


def files(folder) -> list[str]:
    return sorted(item.name for item in folder.rglob("*") if item.is_file())


def test_ssdiff_is_what_the_command_line_writes(run, scene, engine, tmp_path):
    here, there, log = tmp_path / "qgis", tmp_path / "line", Log()
    here.mkdir()
    there.mkdir()
    out, std = str(here / "fused.tif"), str(here / "std.tif")
    result = run("ssdiff", SAMPLES=2, SEED=5, UNCERTAINTY=std, OUTPUT=out, feedback=log)
    assert (result["OUTPUT"], result["UNCERTAINTY"]) == (out, std)
    assert result["MODEL_USED"] == "tiny-ssdiff" and result["RATIO"] == 4
    assert files(here) == ["fused.tif", "std.tif"]
    told = " ".join(log.told)
    assert "Model tiny-ssdiff: 4 bands at ratio 4" in told and "Sensor: " in told
    assert "windows of 32 pixels" in told and "on disk" in told and "of memory" in told
    assert "Sampling" in " ".join(log.acts) and not log.warned
    words = "-m whetstone.engine.cli fuse --method ssdiff --model tiny-ssdiff".split()
    words += "--samples 2 --seed 5".split()
    words += ["--pan", scene.pan, "--ms", scene.ms, "--out", str(there / "fused.tif")]
    words += ["--uncertainty", str(there / "std.tif")]
    subprocess.run([engine.python, *words], check=True, capture_output=True)
    for name in ("fused.tif", "std.tif"):
        ours, theirs = ((folder / name).read_bytes() for folder in (here, there))
        # the tag with the job holds the names of the outputs; all else is the same, byte for byte
        assert b"/line/" in theirs and ours.replace(b"/qgis/", b"/line/") == theirs


def test_crossdiff(run, values, tmp_path):
    out = tmp_path / "fused.tif"
    result = run("crossdiff", OUTPUT=str(out), CONSISTENCY=True)
    assert result["MODEL_USED"] == "tiny-crossdiff"
    assert values(out).shape == (4, 256, 256) and files(tmp_path) == ["fused.tif"]
    assert "32633" in gdal.Open(str(out)).GetProjection()


def test_a_file_goes_before_the_name(run, engine, tmp_path):
    file = engine.ssdiff()
    result = run("ssdiff", MODEL_FILE=file, OUTPUT=str(tmp_path / "f.tif"))
    assert result["MODEL_USED"] == file


def test_assessed_with_report(run, tmp_path):
    page = tmp_path / "report.html"
    result = run("ssdiff", OUTPUT=str(tmp_path / "f.tif"), HTML=str(page))
    assert 0 < result["HQNR"] <= 1 and "<html" in page.read_text("utf-8").lower()


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"MODEL": "no-such"}, "no model called 'no-such'"),
        ({"MODEL": "eight-ssdiff"}, "it needs 8 bands, and the image has 4"),
        ({"MODEL_FILE": "nowhere.safetensors"}, "There is no file"),
        ({"DEVICE": "cuda:3"}, "There is no device 'cuda:3' here"),
        ({"STEPS": 999}, "cannot be spread evenly"),
        ({"UNCERTAINTY": "std.tif"}, "Ask for 4 or 8 samples."),
    ],
)
def test_refusals(run, tmp_path, parameters, words):
    parameters = {k: str(tmp_path / v) if k == "UNCERTAINTY" else v for k, v in parameters.items()}
    with pytest.raises(QgsProcessingException) as caught:
        run("ssdiff", OUTPUT=str(tmp_path / "f.tif"), **parameters)
    assert words in str(caught.value)
    assert "whetstone models" not in str(caught.value)
    assert files(tmp_path) == []


def test_a_model_of_the_other_kind_is_refused(run, engine, tmp_path):
    with pytest.raises(QgsProcessingException, match="is a model of ssdiff, not of crossdiff"):
        run("crossdiff", MODEL_FILE=engine.ssdiff(), OUTPUT=str(tmp_path / "f.tif"))


def test_without_an_engine_one_sentence_says_what_to_do(run, monkeypatch, tmp_path):
    monkeypatch.delenv("WHETSTONE_ENGINE_PYTHON")
    monkeypatch.setenv("WHETSTONE_HOME", str(tmp_path / "none"))
    for name in ("ssdiff", "crossdiff", "adapt"):
        algorithm = QgsApplication.processingRegistry().algorithmById(f"whetstone:{name}")
        able, text = algorithm.canExecute()
        assert not able and "Settings > Options > Whetstone" in text
        with pytest.raises(QgsProcessingException, match="engine is not installed"):
            run(name, OUTPUT=str(tmp_path / ("f.tif" if name != "adapt" else "m.safetensors")))
    with pytest.raises(QgsProcessingException, match="engine is not installed"):
        run("compare", METHODS=["gsa", "ssdiff"], OUTPUT_FOLDER=str(tmp_path / "c"))
    status = run("enginestatus")
    assert status["READY"] is False and status["STATE"] == "missing"


def test_compare_takes_deep_methods(run, tmp_path):
    folder = tmp_path / "c"
    result = run(
        "compare", METHODS=["exp", "ssdiff", "crossdiff"], LOAD="none", OUTPUT_FOLDER=str(folder)
    )
    assert result["BEST"] in ("exp", "ssdiff", "crossdiff")
    assert {"exp.tif", "ssdiff.tif", "crossdiff.tif"} <= set(files(folder))


def test_an_adaptation_that_fails_writes_nothing(process, engine, small_scene, tmp_path):
    with pytest.raises(QgsProcessingException, match="no patch of 32 pixels without missing ones"):
        pair = {"PAN": small_scene.pan, "MS": small_scene.ms}
        process("adapt", {**pair, "MODEL": "scratch", "OUTPUT": str(tmp_path / "m.safetensors")})
    assert files(tmp_path) == []


def test_what_an_adaptation_answers(run, monkeypatch, tmp_path):
    from whetstone.engine.jobs import AdaptResult
    from whetstone.plugin.algorithms import algorithm

    jobs = []

    def run_job(python, job, progress):
        jobs.append(job)
        values = {"exp": 3.0, "mtf-glp-fs": 2.0, "base": 1.5, "adapted": 1.0}
        scores = {name: {"ergas": value} for name, value in values.items()}
        return AdaptResult(job.out, "mine", None, 4, 4.0, 9, "converged", 12.5, scores)

    monkeypatch.setattr(algorithm, "run_job", run_job)
    out, log = str(tmp_path / "mine.safetensors"), Log()
    made = run("adapt", MODEL="scratch", MINUTES=2, OBJECTIVE="full", OUTPUT=out, feedback=log)
    (job,) = jobs
    assert (job.out, job.start, job.minutes, job.objective) == (out, "scratch", 2.0, "full")
    assert (made["OUTPUT"], made["STEPS"], made["ENDED"]) == (out, 9, "converged")
    assert (made["ERGAS_EXP"], made["ERGAS_MTF_GLP_FS"], made["ERGAS_ADAPTED"]) == (3.0, 2.0, 1.0)
    assert (made["ERGAS_BASE"], made["HELD_OUT"]) == (1.5, 12.5)
    assert any("adapted has ERGAS 1.000" in text for text in log.told)


def test_status_and_models(run, tmp_path):
    status = run("enginestatus")
    assert status["READY"] and status["TORCH"].startswith("2.") and "cpu" in status["DEVICE"]
    listed = run("models", JSON=str(tmp_path / "models.json"))
    assert {"tiny-ssdiff", "eight-ssdiff", "tiny-crossdiff"} <= set(listed["NAMES"].split(","))
    rows = json.loads((tmp_path / "models.json").read_text("utf-8"))
    assert len(rows) == listed["COUNT"] and rows == json.loads(listed["MODELS"])
    assert all(row["card"]["sha256"] and row["bytes"] > 1000 for row in rows)


def test_preview_is_the_middle_of_the_whole(run, scene, values, tmp_path):
    whole, part = tmp_path / "a.tif", tmp_path / "b.tif"
    run("ssdiff", OUTPUT=str(whole))
    x, y = scene.origin
    extent = f"{x + 64},{x + 192},{y - 192},{y - 64} [EPSG:32633]"
    run("ssdiff", OUTPUT=str(part), PREVIEW=True, EXTENT=extent)
    a, b = values(whole), values(part)
    assert b.shape == (4, 128, 128)
    assert np.abs(a[:, 64:192, 64:192].astype(int) - b)[:, 32:-32, 32:-32].max() <= 1


def test_cancel_leaves_nothing(plugin, scene, engine, tmp_path):
    import processing

    log, out = Log(), tmp_path / "f.tif"
    began = threading.Event()
    log.setProgressText = lambda text: began.set() if "ampling" in text else None
    stopped = []

    def stop():
        began.wait(60)
        stopped.append(time.monotonic())
        log.cancel()

    thread = threading.Thread(target=stop)
    thread.start()
    parameters = {"PAN": scene.pan, "MS": scene.ms, "SAMPLES": 64, "STEPS": 20, "OUTPUT": str(out)}
    result = processing.run("whetstone:ssdiff", parameters, feedback=log)
    silence = time.monotonic() - stopped[0]
    thread.join()
    assert "OUTPUT" not in result or result["OUTPUT"] is None
    assert silence < 3 and files(tmp_path) == []  # measured in `make bench`; here: not never
    assert any("Cancelled" in text for text in log.told)


def test_the_group(run, scene, context, layer, project, tmp_path):
    from processing.gui.Postprocessing import handleAlgorithmResults
    from qgis.core import QgsProcessingOutputLayerDefinition

    ms = layer(scene.ms, "my ms")
    project.addMapLayer(ms)
    out = QgsProcessingOutputLayerDefinition(str(tmp_path / "f.tif"), project)
    std = QgsProcessingOutputLayerDefinition(str(tmp_path / "s.tif"), project)
    log = QgsProcessingFeedback()
    run("ssdiff", MS=ms, SAMPLES=2, OUTPUT=out, UNCERTAINTY=std, context=context, feedback=log)
    algorithm = QgsApplication.processingRegistry().algorithmById("whetstone:ssdiff")
    assert handleAlgorithmResults(algorithm, context, log, False)
    (group,) = project.layerTreeRoot().findGroups()
    assert group.name() == "my ms SSDIFF"
    nodes = group.findLayers()
    names = ["my ms SSDIFF", "my ms SSDIFF uncertainty", "my ms"]
    assert [node.name() for node in nodes] == names
    assert [node.isVisible() for node in nodes] == [True, False, True]
    fused, heat, below = (node.layer() for node in nodes)
    assert isinstance(heat.renderer(), QgsSingleBandPseudoColorRenderer)
    assert len(heat.renderer().shader().rasterShaderFunction().colorRampItemList()) == 5
    for each in (fused, below):
        assert isinstance(each.renderer(), QgsMultiBandColorRenderer)
    assert project.mapLayer(ms.id()) is not None  # the user's own stays where it was
    assert ms.id() not in {below.id()} and len(project.layerTreeRoot().findLayers()) == 4
