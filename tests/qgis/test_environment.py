"""What a child process inherits of QGIS's environment, on every platform."""

from __future__ import annotations

import os

import pytest

pytest.importorskip("qgis.core", reason="QGIS's Python is needed")
from whetstone.plugin.environment import scrubbed

DIRTY = {
    "PROJ_LIB": "/qgis/proj", "PROJ_DATA": "/qgis/proj", "GDAL_DATA": "/qgis/gdal",
    "GDAL_DRIVER_PATH": "/qgis/plugins", "PYTHONPATH": "/qgis/python", "PYTHONHOME": "/qgis",
    "LD_LIBRARY_PATH": "/qgis/lib", "LD_PRELOAD": "/qgis/x.so", "DYLD_LIBRARY_PATH": "/qgis",
    "QT_PLUGIN_PATH": "/qgis/qt", "QT_QPA_PLATFORM": "offscreen", "QGIS_PREFIX_PATH": "/qgis",
    "VIRTUAL_ENV": "/venv", "CONDA_PREFIX": "/conda", "OSGEO4W_ROOT": "C:/OSGeo4W",
}  # fmt: skip
KEPT = {
    "HOME": "/home/me", "LANG": "de_DE.UTF-8", "PATH": "/usr/bin:/bin", "HTTPS_PROXY": "http://p",
    "WHETSTONE_MODELS": "/models", "CUDA_VISIBLE_DEVICES": "1", "XDG_DATA_HOME": "/data",
}  # fmt: skip


def test_what_goes_and_what_stays():
    found = scrubbed({**DIRTY, **KEPT}, platform="linux")
    assert not set(DIRTY) & set(found) - {"PYTHONUTF8", "PYTHONNOUSERSITE"}
    assert {key: found[key] for key in KEPT} == KEPT
    assert found["PYTHONUTF8"] == found["PYTHONNOUSERSITE"] == "1"


def test_nothing_is_changed_in_place(monkeypatch):
    monkeypatch.setenv("PROJ_DATA", "/qgis/proj")
    before = dict(os.environ)
    assert "PROJ_DATA" not in scrubbed() and dict(os.environ) == before


@pytest.mark.parametrize(
    ("store", "stays"), [("/opt/qgis/ssl/cert.pem", False), ("/etc/ssl/cert.pem", True)]
)
def test_certificate_stores_of_qgis_go(store, stays):
    found = scrubbed({"SSL_CERT_FILE": store}, qgis_root="/opt/qgis", platform="linux")
    assert ("SSL_CERT_FILE" in found) is stays
    assert "SSL_CERT_FILE" in scrubbed({"SSL_CERT_FILE": store}, platform="linux")


def test_path_on_windows_has_no_folder_of_qgis():
    root = "C:\\Program Files\\QGIS 3.34"
    path = f"{root}\\bin;c:/program files/qgis 3.34/apps/qt5/bin;C:\\Windows;C:\\QGIS 3.34x"
    found = scrubbed({"Path": path}, qgis_root=root, platform="win32")
    assert found["Path"] == "C:\\Windows;C:\\QGIS 3.34x"


def test_more_is_set():
    assert scrubbed({}, HTTPS_PROXY="http://p")["HTTPS_PROXY"] == "http://p"
