"""QGIS without a window, the plugin enabled in it, and a small pair drawn by code."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

pytest.importorskip("qgis.core", reason="QGIS's Python is needed")
pytest.importorskip("pytest_qgis", reason="pytest-qgis is needed")

import numpy as np
from osgeo import gdal, osr
from qgis.core import QgsProcessingContext, QgsProject, QgsRasterLayer

sys.path.insert(0, str(Path(__file__).parent))  # throwaway.py
os.environ.setdefault("GDAL_PAM_ENABLED", "NO")
gdal.UseExceptions()
ROOT = Path(__file__).resolve().parents[2]
PYTHON = ROOT / ".venv" / "engine" / "bin" / "python"
EPSG = 32633
ORIGIN = (500_000.0, 5_000_000.0)
NAMES = ("Blue", "Green", "Red", "NIR")


def write_raster(path, values, *, pixel, origin=ORIGIN, epsg=EPSG, names=(), nodata=None) -> str:
    """A GeoTIFF of (bands, rows, columns)."""
    values = np.atleast_3d(values) if values.ndim == 3 else values[None]
    bands, height, width = values.shape
    kinds = {"uint8": gdal.GDT_Byte, "uint16": gdal.GDT_UInt16, "float32": gdal.GDT_Float32}
    dataset = gdal.GetDriverByName("GTiff").Create(
        str(path), width, height, bands, kinds[str(values.dtype)], ["PHOTOMETRIC=MINISBLACK"]
    )
    dataset.SetGeoTransform((origin[0], pixel, 0, origin[1], 0, -pixel))
    if epsg:
        srs = osr.SpatialReference()
        srs.ImportFromEPSG(epsg)
        dataset.SetProjection(srs.ExportToWkt())
    for index, band in enumerate(values):
        target = dataset.GetRasterBand(index + 1)
        target.WriteArray(band)
        target.SetColorInterpretation(gdal.GCI_GrayIndex if bands == 1 else gdal.GCI_Undefined)
        if names:
            target.SetDescription(names[index])
        if nodata is not None:
            target.SetNoDataValue(nodata)
    dataset.FlushCache()
    del dataset
    return str(path)


def draw(size: int) -> np.ndarray:
    """A four-band scene (4, size, size) with fields, roofs and texture, values near 200 to 1500."""
    rng = np.random.default_rng(3)
    y, x = np.mgrid[0:size, 0:size] / size
    scene = np.empty((4, size, size))
    for band in range(4):
        scene[band] = 500 + 120 * band + 150 * np.sin(6 * x + band) * np.cos(5 * y - band)
    for _ in range(60):
        row, col, side = rng.integers(0, size - 12), rng.integers(0, size - 12), rng.integers(3, 12)
        roof = rng.uniform(-200, 400) + rng.uniform(-40, 40, (4, 1, 1))
        scene[:, row : row + side, col : col + side] += roof
    texture = rng.normal(0, 15, (size, size)) + rng.normal(0, 2, scene.shape)
    return np.clip(scene + texture, 1, 2000)


@dataclass(frozen=True)
class Scene:
    """The files of a drawn pair: PAN at 1 m, MS at 4 m, the truth, and what they were made of."""

    folder: Path
    pan: str
    ms: str
    gt: str
    ms_values: np.ndarray
    pan_values: np.ndarray
    origin: tuple[float, float] = ORIGIN


def write_scene(folder: Path, pan: np.ndarray, ms: np.ndarray, truth: np.ndarray) -> Scene:
    """Write the files of a pair and its truth."""
    return Scene(
        folder,
        write_raster(folder / "pan.tif", pan, pixel=1.0),
        write_raster(folder / "ms.tif", ms, pixel=4.0, names=NAMES),
        write_raster(folder / "gt.tif", truth.round().astype("uint16"), pixel=1.0, names=NAMES),
        ms,
        pan,
    )


def make_scene(folder: Path, size: int = 256) -> Scene:
    """Draw a scene into a folder."""
    truth = draw(size)
    ms = truth.reshape(4, size // 4, 4, size // 4, 4).mean(axis=(2, 4)).round().astype("uint16")
    pan = (truth * np.array([0.2, 0.3, 0.3, 0.2])[:, None, None]).sum(0).round().astype("uint16")
    return write_scene(folder, pan, ms, truth)


def pytest_sessionfinish(session, exitstatus):
    session.config.left_with = int(exitstatus)


@pytest.hookimpl(tryfirst=True)
def pytest_unconfigure(config):
    """Leave before QGIS takes itself apart, in which it crashes now and then."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(getattr(config, "left_with", 1))


@pytest.fixture(scope="session")
def scene(tmp_path_factory) -> Scene:
    """A pair to read and not to change."""
    return make_scene(tmp_path_factory.mktemp("scene"))


@pytest.fixture(scope="session")
def small_scene(tmp_path_factory) -> Scene:
    """A pair that is too small to learn from."""
    return make_scene(tmp_path_factory.mktemp("small"), 128)


@pytest.fixture(scope="session")
def teachable(tmp_path_factory) -> Scene:
    """A pair that adaptation masters in seconds: what PAN shows is a fold of what the MS shows.

    No linear method can use such a PAN, so that they are easily beaten.
    """
    folder, size = tmp_path_factory.mktemp("teachable"), 256
    rng = np.random.default_rng(0)
    y, x = np.mgrid[0:size, 0:size] / size
    bands = range(4)
    truth = np.stack([500 + 120 * b + 150 * np.sin(6 * x + b) * np.cos(5 * y - b) for b in bands])
    for _ in range(60):
        row, col = rng.integers(0, size - 40, 2)
        side = rng.integers(12, 40)
        roof = rng.uniform(-200, 400) + rng.uniform(-40, 40, (4, 1, 1))
        truth[:, row : row + side, col : col + side] += roof
    ms = truth.reshape(4, size // 4, 4, size // 4, 4).mean(axis=(2, 4)).round().astype("uint16")
    pan = (500 + 300 * np.sin(truth.mean(axis=0) / 60)).round().astype("uint16")
    return write_scene(folder, pan, ms, truth)


@pytest.fixture(scope="session")
def raster():
    """:func:`write_raster`."""
    return write_raster


@pytest.fixture(scope="session")
def plugin(qgis_processing):
    """The plugin, enabled for the session."""
    from whetstone.plugin.main import WhetstonePlugin

    plugin = WhetstonePlugin(None)
    plugin.initProcessing()
    yield plugin
    plugin.unload()


@dataclass(frozen=True)
class Engine:
    """A Python with torch, and the folder of its models."""

    python: str
    models: Path

    def ssdiff(self) -> str:
        """The file of a tiny SSDiff model for four bands at ratio 4."""
        return str(self.models / "tiny-ssdiff.safetensors")


def make_engine(folder: Path) -> Engine:
    """Draw tiny models; skips where there is no Python with torch."""
    if not PYTHON.exists():
        pytest.skip(f"{PYTHON.relative_to(ROOT)} is not there (make setup)")
    done = subprocess.run(
        [PYTHON, str(Path(__file__).with_name("write_models.py")), str(folder)],
        capture_output=True,
        text=True,
        env={k: v for k, v in os.environ.items() if not k.startswith("PYTHON")},
    )
    if "No module named 'torch'" in done.stderr:
        pytest.skip("the engine's Python has no torch")
    assert done.returncode == 0, done.stderr
    return Engine(str(PYTHON), folder)


@pytest.fixture(scope="session")
def tiny_engine(tmp_path_factory):
    """The engine's Python and tiny models."""
    return make_engine(tmp_path_factory.mktemp("models"))


@pytest.fixture
def engine(tiny_engine, monkeypatch):
    """The engine as the plugin finds it, with tiny models as the user's own."""
    monkeypatch.setenv("WHETSTONE_ENGINE_PYTHON", tiny_engine.python)
    monkeypatch.setenv("WHETSTONE_MODELS", str(tiny_engine.models))
    return tiny_engine


@pytest.fixture
def process(plugin):
    """``processing.run`` by the short name of an algorithm."""
    import processing

    def run(name: str, parameters: dict, **more) -> dict:
        return processing.run(f"whetstone:{name}", parameters, **more)

    return run


@pytest.fixture
def project():
    """The project, emptied afterwards."""
    yield QgsProject.instance()
    QgsProject.instance().clear()


@pytest.fixture
def context(project):
    """A context that belongs to the project, as in the dialog."""
    context = QgsProcessingContext()
    context.setProject(project)
    yield context
    context.temporaryLayerStore().removeAllMapLayers()  # not after QGIS has gone


@pytest.fixture
def layer():
    """Open a raster file as a layer."""

    def opened(path: str, name: str = "") -> QgsRasterLayer:
        layer = QgsRasterLayer(str(path), name or Path(path).stem)
        assert layer.isValid(), path
        return layer

    return opened


@pytest.fixture
def values():
    """Read a raster file as (bands, rows, columns)."""

    def read(path: str) -> np.ndarray:
        array = gdal.Open(str(path)).ReadAsArray()
        return array if array.ndim == 3 else array[None]

    return read
