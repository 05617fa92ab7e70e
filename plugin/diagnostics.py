"""What a bug report needs, as Markdown, without names, folders or passwords of the user."""

from __future__ import annotations

import getpass
import os
import platform
import re
import sys
from pathlib import Path
from typing import Mapping, Sequence

from osgeo import gdal, osr
from qgis.core import Qgis
from qgis.PyQt.QtCore import QT_VERSION_STR

from .. import engine
from .engine_home import EngineState, engine_state, read_marker
from .translation import locale

#: Variables that explain trouble; the values of the first kind tell nothing private.
_HARMLESS = (
    "LANG LC_ALL OMP_NUM_THREADS CUDA_VISIBLE_DEVICES CUDA_DEVICE_ORDER QT_QPA_PLATFORM "
    "XDG_SESSION_TYPE PROJ_NETWORK HF_HUB_OFFLINE PYTORCH_ENABLE_MPS_FALLBACK"
).split()
_PRIVATE = (
    "PROJ_LIB PROJ_DATA GDAL_DATA GDAL_DRIVER_PATH LD_LIBRARY_PATH LD_PRELOAD PYTHONPATH "
    "PYTHONHOME VIRTUAL_ENV CONDA_PREFIX WHETSTONE_HOME WHETSTONE_MODELS WHETSTONE_ENGINE_PYTHON "
    "WHETSTONE_TORCH_INDEX "
    "HF_ENDPOINT HTTP_PROXY HTTPS_PROXY NO_PROXY ALL_PROXY http_proxy https_proxy no_proxy "
    "SSL_CERT_FILE SSL_CERT_DIR REQUESTS_CA_BUNDLE CURL_CA_BUNDLE PIP_CERT PIP_INDEX_URL "
    "PIP_EXTRA_INDEX_URL PIP_FIND_LINKS PIP_CONFIG_FILE PIP_CONSTRAINT FLATPAK_ID SNAP"
).split()
_PASSWORD = re.compile(r"(\w+://)[^/\s]+@")
_TOKEN = re.compile(r"\b(hf_|ghp_|gho_|pypi-)\w{8,}")
LINES = 50


def diagnostics(
    log: Sequence[str] = (),
    tested: Mapping | None = None,
    cards: Sequence[Sequence[str]] | None = None,
    state: EngineState | None = None,
    environ: Mapping[str, str] | None = None,
) -> str:
    """The report. ``tested`` is the last answer of the self-test, ``cards`` the graphics cards."""
    environ = os.environ if environ is None else environ
    state = state or engine_state()
    parts = [
        "### Whetstone diagnostics",
        _table(_versions()),
        "**Engine**",
        _table(_engine(state)),
        "**Self-test**",
        _self_test(tested),
        "**Graphics card**",
        _cards(cards),
        "**Environment**",
        _table(_variables(environ)) or "nothing of note",
        f"**Log** (last {LINES} lines)",
        "\n".join(["```text", *(list(log)[-LINES:] or ["empty"]), "```"]),
    ]
    return masked("\n\n".join(parts) + "\n", environ)


def masked(text: str, environ: Mapping[str, str] | None = None) -> str:
    """The text without the user's home, name, passwords in addresses, and tokens."""
    environ = os.environ if environ is None else environ
    text = _TOKEN.sub(r"\1…", _PASSWORD.sub(r"\1…@", text))
    homes = {str(Path.home()), environ.get("HOME", ""), environ.get("USERPROFILE", "")}
    for home in sorted(homes, key=len, reverse=True):
        if len(home) < 3:
            continue
        for spelt in {home, home.replace("\\", "/"), home.replace("\\", "\\\\")}:
            text = re.sub(re.escape(spelt) + r"(?![\w-])", "~", text, flags=_CASE)
    for name in sorted(_user_names(environ), key=len, reverse=True):
        text = re.sub(rf"(?<![\w-]){re.escape(name)}(?![\w-])", "<user>", text, flags=re.IGNORECASE)
    return text


_CASE = re.IGNORECASE if sys.platform == "win32" else 0


def _user_names(environ: Mapping[str, str]) -> set[str]:
    names = {environ.get(key, "") for key in ("USER", "USERNAME", "LOGNAME")}
    names.add(Path.home().name)
    try:
        names.add(getpass.getuser())
    except (KeyError, OSError, ImportError):
        names.discard("")
    # short ones would eat words, and "root" says nothing about anybody
    return {name for name in names if len(name) > 2 and name not in ("root", "home", "user")}


def _versions() -> dict[str, str]:
    info = osr.GetPROJVersionMajor(), osr.GetPROJVersionMinor(), osr.GetPROJVersionMicro()
    return {
        "Whetstone": engine.__version__,
        "QGIS": Qgis.version() if hasattr(Qgis, "version") else Qgis.QGIS_VERSION,
        "Qt": QT_VERSION_STR,
        "Python of QGIS": platform.python_version(),
        "GDAL": gdal.VersionInfo("RELEASE_NAME"),
        "PROJ": ".".join(map(str, info)),
        "System": f"{platform.platform()}, {platform.machine()}",
        "Language": locale(),
    }


def _engine(state: EngineState) -> dict[str, str]:
    marker = read_marker(Path(state.folder)) if state.folder else {}
    found = {
        "State": f"{state.code}: {state.sentence}",
        "Chosen by": state.origin or "nobody",
        "Python": state.python,
        "Build": state.build,
        "PyTorch": str(marker.get("torch", "")),
        "Made from": str(marker.get("base", "")),
        "Made on": str(marker.get("date", "")),
    }
    return {name: value for name, value in found.items() if value}


def _self_test(tested: Mapping | None) -> str:
    if not tested:
        return "not run in this session"
    checks = {
        check["name"]: f"{'good' if check['ok'] else 'BAD'}: {check['detail']}"
        for check in tested.get("checks", ())
    }
    words = {key: str(value) for key, value in tested.items() if key not in ("checks", "notes")}
    return _table({**words, **checks})


def _cards(cards: Sequence[Sequence[str]] | None) -> str:
    if cards is None:
        return "not asked"
    rows = [
        f"{name}, driver {driver}, compute capability {able or 'unknown'}"
        for name, driver, able in cards
    ]
    return "\n".join(f"- {row}" for row in rows) or "nvidia-smi finds none"


def _variables(environ: Mapping[str, str]) -> dict[str, str]:
    found = {name: environ[name] for name in _HARMLESS if environ.get(name)}
    found.update({name: "set" for name in _PRIVATE if environ.get(name)})
    return found


def _table(rows: Mapping[str, str]) -> str:
    if not rows:
        return ""
    lines = [f"| {name} | {_cell(value)} |" for name, value in rows.items()]
    return "\n".join(["| | |", "|---|---|", *lines])


def _cell(value: str) -> str:
    return " ".join(str(value).split()).replace("|", "\\|")
