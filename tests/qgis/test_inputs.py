"""What a user sets in QGIS arrives in the engine's job: files, bands, CRS, nodata, extent."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
from osgeo import gdal
from qgis.core import (
    QgsApplication,
    QgsCoordinateReferenceSystem,
    QgsProcessingFeedback,
    QgsRasterRange,
    QgsRectangle,
    QgsReferencedRectangle,
)


class Listener(QgsProcessingFeedback):
    """Remembers warnings."""

    def __init__(self):
        super().__init__(False)
        self.warnings = []

    def pushWarning(self, warning):  # noqa: N802
        self.warnings.append(warning)


@pytest.fixture
def job(plugin, context, monkeypatch):
    """The engine job that parameters lead to, on the way QGIS takes; nothing is run."""
    from whetstone import engine

    jobs = []

    def stop(job, progress):
        jobs.append(job)
        raise engine.Cancelled

    monkeypatch.setattr(engine, "run", stop)

    def built(name: str = "classical", **parameters):
        algorithm = QgsApplication.processingRegistry().createAlgorithmById(f"whetstone:{name}")
        parameters.setdefault("OUTPUT", "TEMPORARY_OUTPUT")
        fine, text = algorithm.checkParameterValues(parameters, context)
        assert fine, text
        listener = Listener()
        results, fine = algorithm.run(parameters, context, listener)
        assert fine and results == {}
        assert not context.layersToLoadOnCompletion()
        built.notes = listener.warnings
        return jobs.pop()

    return built


def test_defaults(job, scene):
    made = job(PAN=scene.pan, MS=scene.ms)
    assert (made.method, made.sensor, made.protocol, made.format) == (
        "gsa",
        "auto",
        "product",
        "gtiff",
    )
    assert made.pan.paths == (scene.pan,) and made.ms.paths == (scene.ms,)
    assert made.dtype is None and made.bounds is None and made.creation_options == {}
    assert made.ms.bands is None and made.ms.crs is None and made.ms.nodata is None
    assert made.out.endswith("OUTPUT.tif") and made.overviews and not made.coregister


def test_static_strings_and_options(job, scene):
    made = job(
        PAN=scene.pan, MS=scene.ms, METHOD="brovey", SENSOR="wv2", DTYPE="float32", FORMAT="cog",
        OPTIONS="compress=ZSTD|ZLEVEL=9", OVERVIEWS=False, COREGISTER=True, PROTOCOL="product",
        MS_BANDS=[3, 1],
    )  # fmt: skip
    assert (made.method, made.sensor, made.dtype, made.format) == (
        "brovey",
        "wv2",
        "float32",
        "cog",
    )
    assert made.creation_options == {"COMPRESS": "ZSTD", "ZLEVEL": "9"}
    assert not made.overviews and made.coregister and made.ms.bands == (3, 1)


def test_relative_path_becomes_absolute(job, scene, monkeypatch):
    monkeypatch.chdir(scene.folder)
    assert job(PAN="pan.tif", MS="ms.tif").pan.paths == (scene.pan,)


def test_user_nodata(job, scene, layer):
    ms = layer(scene.ms)
    for band in range(1, 5):
        ms.dataProvider().setUserNoDataValue(band, [QgsRasterRange(77, 77)])
    assert job(PAN=scene.pan, MS=ms).ms.nodata == 77


def test_nodata_ranges_are_not_silently_dropped(job, scene, layer):
    ms = layer(scene.ms, "town")
    ms.dataProvider().setUserNoDataValue(1, [QgsRasterRange(0, 10)])
    assert job(PAN=scene.pan, MS=ms).ms.nodata is None
    assert any("town" in note and "not used" in note for note in job.notes)


def test_crs_override(job, scene, layer, tmp_path, raster):
    bare = raster(tmp_path / "bare.tif", scene.ms_values, pixel=4.0, epsg=None)
    ms = layer(bare)
    ms.setCrs(QgsCoordinateReferenceSystem("EPSG:32633"))
    made = job(PAN=scene.pan, MS=ms)
    assert "32633" in made.ms.crs and made.ms.crs.startswith("PROJ")
    assert made.pan.crs is None  # the file's own stays the file's own


def test_extent_in_another_crs(job, scene):
    x, y = scene.origin
    box = QgsRectangle(x + 40, y - 120, x + 120, y - 40)
    here = QgsCoordinateReferenceSystem("EPSG:32633")
    made = job(PAN=scene.pan, MS=scene.ms, EXTENT=QgsReferencedRectangle(box, here))
    assert made.bounds == pytest.approx((x + 40, y - 120, x + 120, y - 40))
    from qgis.core import QgsCoordinateTransform, QgsProject

    there = QgsCoordinateReferenceSystem("EPSG:4326")
    degrees = QgsCoordinateTransform(here, there, QgsProject.instance()).transformBoundingBox(box)
    xs, ys = (degrees.xMinimum(), degrees.xMaximum()), (degrees.yMinimum(), degrees.yMaximum())
    text = f"{xs[0]},{xs[1]},{ys[0]},{ys[1]} [EPSG:4326]"
    made = job(PAN=scene.pan, MS=scene.ms, EXTENT=text)
    assert made.bounds == pytest.approx((x + 40, y - 120, x + 120, y - 40), abs=1.0)


def test_one_file_per_band(job, scene, tmp_path, raster):
    files = [raster(tmp_path / f"B{n}.tif", scene.ms_values[n], pixel=4.0) for n in (0, 1, 2)]
    made = job(PAN=scene.pan, MS_FILES=files)
    assert made.ms.paths == tuple(files) and made.ms.bands is None


def test_alpha_bands_have_no_number(job, scene, tmp_path, raster):
    path = tmp_path / "alpha.tif"
    shape = (4, *scene.ms_values.shape[1:])
    raster(
        path, np.concatenate([scene.ms_values[:3], np.full(shape, 255, "uint16")[:1]]), pixel=4.0
    )
    dataset = gdal.Open(str(path), gdal.GA_Update)
    dataset.GetRasterBand(1).SetColorInterpretation(gdal.GCI_AlphaBand)
    del dataset
    assert job(PAN=scene.pan, MS=str(path), MS_BANDS=[2, 4]).ms.bands == (1, 3)


def test_vsizip_geopackage_and_open_options(job, scene, layer, tmp_path):
    with zipfile.ZipFile(tmp_path / "ms.zip", "w") as archive:
        archive.write(scene.ms, "in/ms.tif")
    zipped = f"/vsizip/{tmp_path}/ms.zip/in/ms.tif"
    assert job(PAN=scene.pan, MS=layer(zipped)).ms.paths == (zipped,)
    package = str(tmp_path / "pan.gpkg")
    small = gdal.Translate("", scene.pan, format="MEM", outputType=gdal.GDT_Byte, scaleParams=[[]])
    gdal.GetDriverByName("GPKG").CreateCopy(package, small, options=["RASTER_TABLE=town"])
    assert job(PAN=layer(f"GPKG:{package}:town"), PAN_BAND=1, MS=scene.ms).pan.paths == (
        f"GPKG:{package}:town",
    )
    with_option = layer(f"{scene.ms}|option:NUM_THREADS=2")
    path = job(PAN=scene.pan, MS=with_option).ms.paths[0]
    assert path.endswith(".vrt") and "NUM_THREADS" in Path(path).read_text()


def test_folder_and_report_destinations(job, scene, tmp_path):
    made = job("compare", PAN=scene.pan, MS=scene.ms, METHODS=["gsa", "exp"],
               OUTPUT_FOLDER="TEMPORARY_OUTPUT", HTML=str(tmp_path / "r.html"))  # fmt: skip
    assert made.methods == ("gsa", "exp") and os.path.isabs(made.out_dir)
    assert "TEMPORARY" not in made.out_dir and made.html == str(tmp_path / "r.html")
    assert job("degrade", PAN=scene.pan, MS=scene.ms, OUTPUT_FOLDER=str(tmp_path)).out_dir == str(
        tmp_path
    )
    assert job("assess", FUSED=scene.gt, PAN=scene.pan, MS=scene.ms).html is None
