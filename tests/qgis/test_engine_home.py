"""Where the engine is and in what state, which build suits a graphics card, QGIS's network."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from qgis.core import QgsNetworkAccessManager, QgsSettings
from qgis.PyQt.QtNetwork import QNetworkProxy
from whetstone.engine import WhetstoneError
from whetstone.plugin import builds, engine_home, network
from whetstone.plugin.engine_home import (
    engine_folder,
    engine_state,
    own_python,
    ready_engine,
    requirements_hash,
    write_marker,
)


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch, qgis_app):
    folder = tmp_path / "AÏSSI home"
    monkeypatch.setenv("WHETSTONE_HOME", str(folder))
    monkeypatch.delenv("WHETSTONE_ENGINE_PYTHON", raising=False)
    monkeypatch.setattr(engine_home, "own_python", lambda: "")
    QgsSettings().remove(engine_home.SETTING)
    yield folder
    QgsSettings().remove(engine_home.SETTING)


def make(folder: Path, state: str = "ready", **notes: str) -> Path:
    """An environment as the installer leaves it, without its gigabyte."""
    site = folder / "lib" / "python3.11" / "site-packages"
    for name in ("torch", "rasterio", "safetensors"):
        (site / name).mkdir(parents=True)
    (folder / "bin").mkdir()
    (folder / "bin" / "python").write_text("")
    (folder / "pyvenv.cfg").write_text("home = /usr/bin\n")
    known = {"torch": engine_home.torch_version(), "build": "cpu", "date": "2026-11-25T10:00:00"}
    write_marker(folder, **{**known, "requirements": requirements_hash(), "state": state, **notes})
    return folder


def raised() -> WhetstoneError:
    with pytest.raises(WhetstoneError) as caught:
        ready_engine()
    assert "Settings > Options > Whetstone" in caught.value.hint
    return caught.value


def test_missing(home):
    assert engine_state().code == "missing" and not engine_state().python
    error = raised()
    assert error.code == "ENGINE_MISSING"
    assert "press Install (about 1 GB for CPU), or choose a classical method" in error.hint


def test_ready(home):
    folder = make(engine_folder("cpu"))
    state = ready_engine()
    assert (state.code, state.origin, state.build) == ("ready", "managed", "cpu")
    assert state.python == str(folder / "bin" / "python")
    assert state.sentence == f"Ready: PyTorch {engine_home.torch_version()} for CPU."


@pytest.mark.parametrize("marker", [None, "{", "[]", '{"state": "interrupted"}'])
def test_half_of_one(home, marker):
    folder = engine_folder("cpu")
    folder.mkdir(parents=True)
    if marker:
        (folder / engine_home.MARKER).write_text(marker)
    assert engine_state().code == "half" and "Repair" in raised().hint
    assert engine_state().build == "cpu"


def test_outdated(home):
    folder = make(home / "engine-2.5.0-cu121", torch="2.5.0", requirements="x", build="cu121")
    error = raised()
    assert error.code == "ENGINE_OLD" and "Press Update" in error.hint
    assert f"PyTorch 2.5.0, this plugin needs {engine_home.torch_version()}" in error.message
    write_marker(folder, torch=engine_home.torch_version())
    assert "other packages" in engine_state().sentence


@pytest.mark.parametrize(
    ("harm", "told"),
    [
        (lambda at: (at / "bin" / "python").unlink(), "its Python is gone"),
        (lambda at: (at / "pyvenv.cfg").unlink(), "pyvenv.cfg is gone"),
        (lambda at: (at / "pyvenv.cfg").write_text("home = /gone"), "made from is gone"),
        (lambda at: (at / "lib/python3.11/site-packages/torch").rmdir(), "package torch is gone"),
        (lambda at: write_marker(at, state="broken", trouble="no libtorch"), "no libtorch"),
    ],
)
def test_broken(home, harm, told):
    folder = make(engine_folder("cpu"))
    harm(folder)
    error = raised()
    assert error.code == "ENGINE_BROKEN" and told in error.message
    assert str(folder) in error.message and "Press Repair" in error.hint


def test_a_dangling_link_to_python_is_broken(home):
    folder = make(engine_folder("cpu"))
    (folder / "bin" / "python").unlink()
    (folder / "bin" / "python").symlink_to("/gone/python3.9")
    assert engine_state().code == "broken"


def test_the_order_of_the_search(home, monkeypatch):
    make(engine_folder("cpu"))
    monkeypatch.setenv("WHETSTONE_ENGINE_PYTHON", sys.executable)
    state = engine_state()
    assert (state.code, state.origin) == ("external", "WHETSTONE_ENGINE_PYTHON")
    QgsSettings().setValue(engine_home.SETTING, str(home / "none"))
    state = engine_state()
    assert (state.code, state.origin) == ("broken", "user setting")
    assert "clear the field" in raised().hint and "There is no Python at" in state.sentence
    QgsSettings().setValue(engine_home.SETTING, sys.executable)
    assert ready_engine().python == sys.executable
    assert engine_home.managed_state().code == "ready"


def test_the_python_of_qgis_comes_last(home, monkeypatch):
    monkeypatch.setattr(engine_home, "own_python", lambda: sys.executable)
    assert engine_state().origin == "qgis" and ready_engine().python == sys.executable
    engine_folder("cpu").mkdir(parents=True)
    assert engine_state().code == "half"


def test_the_python_of_qgis_is_found_without_importing():
    before = set(sys.modules)
    assert own_python() in ("", engine_home.interpreter_of_qgis())
    assert "torch" not in set(sys.modules) - before
    assert os.path.isfile(engine_home.interpreter_of_qgis())


def test_it_is_quick(home):
    make(engine_folder("cpu"))
    engine_state()
    start = time.perf_counter()
    for _ in range(10):
        engine_state()
    assert (time.perf_counter() - start) / 10 < 0.05


def test_comments_and_line_ends_do_not_outdate_an_engine(tmp_path, monkeypatch):
    before = requirements_hash()
    for name in ("engine.txt", "deep.txt"):
        text = (engine_home.REQUIREMENTS / name).read_text("utf-8")
        (tmp_path / name).write_text("# more\n" + text.replace("\n", "\r\n"), "utf-8", newline="")
    monkeypatch.setattr(engine_home, "REQUIREMENTS", tmp_path)
    assert requirements_hash() == before
    (tmp_path / "deep.txt").write_text("torch==9.9.0\n")
    assert requirements_hash() != before and engine_home.torch_version() == "9.9.0"


@pytest.mark.parametrize(
    ("platform", "environ", "wanted"),
    [
        ("linux", {}, "/h/.local/share/whetstone"),
        ("linux", {"XDG_DATA_HOME": "/d"}, "/d/whetstone"),
        ("darwin", {}, "/h/Library/Application Support/whetstone"),
        ("win32", {"LOCALAPPDATA": "/l"}, "/l/whetstone"),
        ("win32", {}, "/h/AppData/Local/whetstone"),
        ("linux", {"WHETSTONE_HOME": "/w"}, "/w"),
    ],
)
def test_places_for_data(platform, environ, wanted):
    assert engine_home.data_folder(environ, platform, Path("/h")) == Path(wanted)


# -- builds ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("card", "build", "told"),
    [
        (("RTX 4090", "580.65", "8.9"), "cu130", "RTX 4090 with driver 580.65"),
        (("H100", "550.54.15", "9.0"), "cu126", "driver 550.54.15"),
        (("GTX 1080", "580.65", "6.1"), "cu126", "GTX 1080"),
        (("RTX 5090", "570.10", "12.0"), "cpu", "570.10 is older than 580"),
        (("T4", "510.47", "7.5"), "cpu", "510.47 is older than 525"),
        (("K80", "470.82", "3.7"), "cpu", "capability 3.7, PyTorch needs 5.0"),
        (("odd", "N/A", "[N/A]"), "cpu", "odd"),
    ],
)
def test_the_build_that_suits_a_card(card, build, told):
    found, reason = builds.suggest_build([card], "linux", "x86_64")
    assert found == build and told in reason


def test_the_build_without_a_card():
    assert "nvidia-smi" in builds.suggest_build([], "linux", "x86_64")[1]
    assert "MPS" in builds.suggest_build(None, "darwin")[1]
    assert builds.suggest_build([("GH200", "580", "9.0")], "linux", "aarch64")[0] == "cpu"


def test_the_best_card_counts():
    cards = [("K80", "580.1", "3.7"), ("RTX 4090", "580.1", "8.9")]
    assert builds.suggest_build(cards, "win32", "AMD64")[0] == "cu130"


def test_nvidia_smi_is_asked(tmp_path):
    script = tmp_path / "nvidia-smi"
    script.write_text("#!/bin/sh\necho 'NVIDIA A10, 528.24, 8.6'\necho\n")
    script.chmod(0o755)
    assert builds.graphics_cards(str(script)) == [("NVIDIA A10", "528.24", "8.6")]
    script.write_text("#!/bin/sh\necho broken; exit 9\n")
    assert builds.graphics_cards(str(script)) == []
    old = "#!/bin/sh\ncase $1 in *compute_cap) exit 2;; esac\necho 'Tesla K80, 450.80.02'\n"
    script.write_text(old)
    assert builds.graphics_cards(str(script)) == [("Tesla K80", "450.80.02", "")]
    build, reason = builds.suggest_build(builds.graphics_cards(str(script)), "linux", "x86_64")
    assert build == "cpu" and "driver 450.80.02 is older than 525" in reason
    assert builds.graphics_cards(str(tmp_path / "none")) == []


def test_where_the_builds_come_from():
    version = engine_home.torch_version()
    assert builds.index_of("cpu", "linux", {}) == "https://download.pytorch.org/whl/cpu"
    assert builds.index_of("cpu", "win32", {}) == "" == builds.index_of("cpu", "darwin", {})
    assert builds.index_of("cu130", "win32", {}).endswith("/whl/cu130")
    assert builds.index_of("cu130", "win32", {"WHETSTONE_TORCH_INDEX": "none"}) == ""
    assert builds.pinned_torch("cpu", "linux") == f"torch=={version}+cpu"
    assert builds.pinned_torch("cpu", "win32") == f"torch=={version}"
    assert builds.pinned_torch("cu126", "win32") == f"torch=={version}+cu126"
    assert builds.builds("darwin") == ("cpu",)
    assert builds.size_of("cu126").needed > 6e9 > builds.size_of("cpu").needed


# -- network -----------------------------------------------------------------------------------


@pytest.fixture
def proxy():
    """Set QGIS's proxy; taken away afterwards."""
    manager = QgsNetworkAccessManager.instance()
    before = manager.fallbackProxy()

    def set_it(kind, user="", password="", without=()):
        settings = QgsSettings()
        settings.setValue("proxy/proxyEnabled", True)
        settings.setValue("proxy/noProxyUrls", list(without))
        found = QNetworkProxy(kind, "proxy.example", 3128, user, password)
        manager.setFallbackProxyAndExcludes(found, [], [])

    yield set_it
    manager.setFallbackProxyAndExcludes(before, [], [])
    QgsSettings().remove("proxy")


def test_no_proxy_says_nothing(home):
    assert network.network_environment() == {}


def test_a_proxy_with_a_password(proxy):
    proxy(
        QNetworkProxy.ProxyType.HttpProxy, "me", "p@ss:/", ["https://intern.example/x", "10.0.0.1"]
    )
    found = network.network_environment()
    assert found["HTTPS_PROXY"] == "http://me:p%40ss%3A%2F@proxy.example:3128"
    assert found["http_proxy"] == found["HTTP_PROXY"] == found["HTTPS_PROXY"]
    assert found["NO_PROXY"] == "intern.example,10.0.0.1"
    assert "HTTPS_PROXY" not in os.environ or os.environ["HTTPS_PROXY"] != found["HTTPS_PROXY"]


def test_other_kinds_of_proxy(proxy):
    proxy(QNetworkProxy.ProxyType.Socks5Proxy)
    assert network.proxy_variables()["HTTPS_PROXY"] == "socks5h://proxy.example:3128"
    proxy(QNetworkProxy.ProxyType.DefaultProxy)
    assert network.proxy_variables() == {}


def test_extra_certificates_are_handed_on(home, monkeypatch):
    extra = ["a certificate"]
    manager = SimpleNamespace(
        isDisabled=lambda: False,
        databaseCAs=list,
        extraFileCAs=lambda: extra,
        trustedCaCertsPemText=lambda: b"-----BEGIN",
    )
    monkeypatch.setattr(network.QgsApplication, "authManager", lambda: manager)
    found = network.certificate_variables()
    assert set(found) == {"PIP_CERT", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"}
    assert Path(found["PIP_CERT"]).read_bytes() == b"-----BEGIN"
    extra.clear()
    assert network.certificate_variables() == {}
