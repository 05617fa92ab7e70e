"""Calls that cannot work are refused before anything is done, in words that say what to do."""

from __future__ import annotations

import pytest
from qgis.core import QgsApplication, QgsCoordinateReferenceSystem, QgsRasterLayer


@pytest.fixture
def refusal(plugin, context):
    """The text with which a call is refused."""

    def text(name: str = "classical", **parameters) -> str:
        algorithm = QgsApplication.processingRegistry().createAlgorithmById(f"whetstone:{name}")
        parameters.setdefault("OUTPUT", "TEMPORARY_OUTPUT")
        fine, why = algorithm.checkParameterValues(parameters, context)
        assert not fine
        return why

    return text


def test_swapped(refusal, scene):
    text = refusal(PAN=scene.ms, MS=scene.pan)
    assert text.startswith("PAN must be one band; this layer has 4. Did you swap PAN and MS?")


def test_different_crs(refusal, scene, tmp_path, raster):
    other = raster(tmp_path / "ms.tif", scene.ms_values, pixel=4.0, epsg=3857)
    text = refusal(PAN=scene.pan, MS=other)
    assert "PAN is EPSG:32633, MS is EPSG:3857." in text and "Reproject" in text


def test_crs_set_by_the_user_counts(refusal, scene, layer):
    ms = layer(scene.ms)
    ms.setCrs(QgsCoordinateReferenceSystem("EPSG:3857"))
    assert "MS is EPSG:3857" in refusal(PAN=scene.pan, MS=ms)


def test_missing_crs(refusal, scene, tmp_path, raster):
    bare = raster(tmp_path / "bare.tif", scene.ms_values, pixel=4.0, epsg=None)
    assert "MS has no CRS" in refusal(PAN=scene.pan, MS=bare)


def test_no_overlap(refusal, scene, tmp_path, raster):
    away = (scene.origin[0] + 100_000, scene.origin[1])
    far = raster(tmp_path / "far.tif", scene.ms_values, pixel=4.0, origin=away)
    text = refusal(PAN=scene.pan, MS=far)
    assert text.startswith("The layers do not overlap: PAN covers 500000") and "600000" in text


def test_not_finer(refusal, scene, tmp_path, raster):
    same = raster(tmp_path / "same.tif", scene.ms_values, pixel=1.0)
    assert "not finer (1 vs 1)" in refusal(PAN=scene.pan, MS=same)


def test_web_map(refusal, scene):
    url = "type=xyz&url=https://tile.example.org/{z}/{x}/{y}.png&zmax=19&zmin=0"
    web = QgsRasterLayer(url, "streets", "wms")
    assert web.isValid()
    text = refusal(PAN=scene.pan, MS=web)
    assert "streets" in text and "pictures, not measurements" in text


def test_missing_or_double_ms(refusal, scene):
    assert "No multispectral image" in refusal(PAN=scene.pan)
    assert "either" in refusal(PAN=scene.pan, MS=scene.ms, MS_FILES=[scene.ms])


def test_extent_elsewhere(refusal, scene):
    text = refusal(PAN=scene.pan, MS=scene.ms, EXTENT="0,10,0,10 [EPSG:32633]")
    assert "do not touch" in text


def test_output_format(refusal, scene, tmp_path):
    text = refusal(PAN=scene.pan, MS=scene.ms, OUTPUT=str(tmp_path / "out.jp2"))
    assert ".tif" in text and "block by block" in text


def test_creation_options(refusal, scene):
    assert "NAME=VALUE" in refusal(PAN=scene.pan, MS=scene.ms, OPTIONS="COMPRESS")


def test_band_out_of_range(refusal, scene):
    assert "no image band 9" in refusal(PAN=scene.pan, MS=scene.ms, MS_BANDS=[9])


def test_unknown_method_and_missing_file(refusal, scene):
    assert "METHOD" in refusal(PAN=scene.pan, MS=scene.ms, METHOD="magic")
    assert "PAN" in refusal(PAN="/nowhere/pan.tif", MS=scene.ms)


@pytest.mark.parametrize("name", ["assess", "compare", "degrade"])
def test_others_refuse_alike(refusal, scene, name, tmp_path):
    more = {"FUSED": scene.gt, "OUTPUT_FOLDER": str(tmp_path)}
    assert "swap" in refusal(name, PAN=scene.ms, MS=scene.pan, **more)


def test_errors_of_the_engine_arrive_whole(process, scene, monkeypatch):
    from qgis.core import QgsProcessingException
    from whetstone import engine

    def fail(job, progress):
        raise engine.WhetstoneError("DISK_FULL", "The disk is full.", "Free 3 GB.")

    monkeypatch.setattr(engine, "run", fail)
    with pytest.raises(QgsProcessingException, match=r"The disk is full\. Free 3 GB\."):
        process("classical", {"PAN": scene.pan, "MS": scene.ms, "OUTPUT": "TEMPORARY_OUTPUT"})
