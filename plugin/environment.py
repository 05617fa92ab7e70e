"""What a child process inherits: QGIS's own environment would break another Python.

QGIS's launchers export where *its* PROJ database, GDAL data, Qt plugins and Python are. With those,
another libproj writes files that have lost their EPSG code, and Windows loads the wrong DLLs.
``os.environ`` itself is never changed.
"""

from __future__ import annotations

import os
import sys
from typing import Mapping

#: Variables that speak of QGIS's libraries, of another Python, or of the dynamic linker.
_DROPPED = frozenset(
    "PROJ_LIB PROJ_DATA PROJ_NETWORK PROJ_CURL_CA_BUNDLE GDAL_DATA GDAL_DRIVER_PATH "
    "OGR_DRIVER_PATH GEOTIFF_CSV VIRTUAL_ENV VIRTUAL_ENV_PROMPT O4W_QT_PREFIX O4W_QT_PLUGINS "
    "OSGEO4W_ROOT OPENSSL_ENGINES GISBASE GRASS_PROJSHARE".split()
)
_DROPPED_STARTS = ("PYTHON", "LD_", "DYLD_", "QT_", "QT5_", "QML", "QGIS_", "CONDA_", "_CONDA_")
#: Certificate stores; dropped only where they point into the QGIS installation.
_STORES = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


def scrubbed(
    environ: Mapping[str, str] | None = None,
    qgis_root: str = "",
    platform: str = sys.platform,
    **more: str,
) -> dict[str, str]:
    """A copy of an environment in which another Python works, with ``more`` set.

    ``qgis_root`` is the folder of the QGIS installation: certificate stores inside it go, and on
    Windows so do the folders of ``PATH`` inside it.
    """
    environ = os.environ if environ is None else environ
    kept = {name: value for name, value in environ.items() if not _speaks_of_qgis(name)}
    for name in _STORES:
        if name in kept and _inside(kept[name], qgis_root, platform):
            del kept[name]
    path = next((name for name in kept if name.upper() == "PATH"), None)
    if platform == "win32" and path is not None:
        folders = kept[path].split(";")
        kept[path] = ";".join(f for f in folders if f and not _inside(f, qgis_root, platform))
    return {**kept, "PYTHONUTF8": "1", "PYTHONNOUSERSITE": "1", **more}


def _speaks_of_qgis(name: str) -> bool:
    name = name.upper()
    return name in _DROPPED or name.startswith(_DROPPED_STARTS)


def _inside(path: str, folder: str, platform: str) -> bool:
    """Whether a path lies in a folder; neither of them need exist."""
    if not folder:
        return False
    if platform == sys.platform:  # the short names of Windows, links
        path, folder = os.path.realpath(path), os.path.realpath(folder)
    if platform == "win32":
        path, folder = (text.replace("/", "\\").lower() for text in (path, folder))
        return f"{path}\\".startswith(f"{folder.rstrip(chr(92))}\\")
    return f"{path}/".startswith(f"{folder.rstrip('/')}/")
