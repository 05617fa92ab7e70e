"""Raster access: what a raster is, and the two libraries that read and write it."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys

from ..errors import WhetstoneError
from .model import (
    Backend,
    BandInfo,
    OutputSpec,
    RasterInfo,
    RasterReader,
    RasterWriter,
)

__all__ = [
    "Backend",
    "BandInfo",
    "OutputSpec",
    "RasterInfo",
    "RasterReader",
    "RasterWriter",
    "backend",
    "check_projections",
]

_MODULES = {"osgeo": "gdal_backend", "rasterio": "rasterio_backend"}
_CLASSES = {"osgeo": "GdalBackend", "rasterio": "RasterioBackend"}


def backend(name: str | None = None) -> Backend:
    """The raster library to work with.

    Args:
        name: "osgeo" or "rasterio". None asks the environment variable ``WHETSTONE_BACKEND``;
            without it, osgeo inside QGIS and elsewhere rasterio if it is installed, else osgeo.

    Raises:
        WhetstoneError: ``BACKEND_MISSING`` when the library is unknown or not installed.
    """
    chosen = name or os.environ.get("WHETSTONE_BACKEND") or _default()
    if chosen not in _MODULES:
        raise WhetstoneError(
            "BACKEND_MISSING",
            f"There is no raster library called '{chosen}'.",
            "Use osgeo or rasterio.",
        )
    try:
        module = importlib.import_module(f".{_MODULES[chosen]}", __name__)
    except ImportError as error:
        raise WhetstoneError(
            "BACKEND_MISSING",
            f"No raster library can be loaded ({chosen}: {error}).",
            "Run 'pip install rasterio', or use the Python that QGIS comes with.",
        ) from error
    return getattr(module, _CLASSES[chosen])()


def check_projections() -> None:
    """Refuse to work where the raster library reads the PROJ database of another one.

    It would write files that have lost their EPSG code, with no error at all.
    """
    try:
        found = backend().crs_label(backend().crs_wkt("EPSG:32633"))
    except WhetstoneError:
        found = "nothing"
    if found != "EPSG:32633":
        raise WhetstoneError(
            "PROJ_DB_CLASH",
            f"EPSG:32633 is read as {found}: PROJ uses the database of another program.",
            "Unset PROJ_DATA and PROJ_LIB; if QGIS started this, please report it.",
        )


def _default() -> str:
    """QGIS has its own GDAL loaded: a second one beside it asks for trouble."""
    if "qgis" in sys.modules or not _installed("rasterio"):
        return "osgeo"
    return "rasterio"


def _installed(module: str) -> bool:
    if module in sys.modules:
        return sys.modules[module] is not None
    return importlib.util.find_spec(module) is not None
