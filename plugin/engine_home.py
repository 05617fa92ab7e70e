"""Where the engine's Python is, and in what state: said from files and settings alone.

The engine is a Python of its own, with torch; see the search order in :func:`engine_state`. The one
that the plugin installs is a virtual environment in the user's data folder, outside the plugin,
whose updates would wipe it. A marker file in it tells a finished installation from half of one.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import json
import os
import re
import site
import sys
import sysconfig
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Mapping

from qgis.core import QgsSettings

from ..engine import WhetstoneError
from ..engine.library import data_home
from .translation import tr

SETTING = "whetstone/engine_python"
VARIABLE = "WHETSTONE_ENGINE_PYTHON"
MARKER = "whetstone-engine.json"
REQUIREMENTS = Path(__file__).resolve().parent.parent / "requirements"
_FRESH = 30.0  #: seconds after which a marker that nobody touches was left behind
_PACKAGES = ("torch", "rasterio", "safetensors")
_PIN = re.compile(r"^torch==([\w.]+)", re.MULTILINE)


@dataclass(frozen=True)
class EngineState:
    """What is known of the engine without starting it.

    ``code`` is "missing", "half" (an installation that did not end), "outdated" (other versions
    than this plugin needs), "broken", "ready", or "external" (a Python the user named).
    """

    code: str
    sentence: str  #: one line for the user
    python: str = ""
    folder: str = ""
    origin: str = ""  #: "user setting", "WHETSTONE_ENGINE_PYTHON", "managed" or "qgis"
    build: str = ""  #: "cpu", "cu126" or "cu130" of a managed engine

    @property
    def usable(self) -> bool:
        """Whether a job may be sent to it."""
        return self.code in ("ready", "external")


def engine_state() -> EngineState:
    """The engine that jobs would run on: the user's, the variable's, the managed one, QGIS's own.

    Quick (files and settings only) and allowed on any thread.
    """
    chosen = str(QgsSettings().value(SETTING, "") or "")
    if chosen:
        return _named(chosen, "user setting")
    chosen = os.environ.get(VARIABLE, "")
    if chosen:
        return _named(chosen, VARIABLE)
    managed = managed_state()
    if managed.code != "missing":
        return managed
    own = own_python()
    if own:
        sentence = tr("Ready: the Python of QGIS has everything.")
        return EngineState("ready", sentence, own, os.path.dirname(own), "qgis")
    return managed


def ready_engine() -> EngineState:
    """The engine, or a ``WhetstoneError`` that says which button helps."""
    state = engine_state()
    if state.usable:
        return state
    if state.code == "missing":
        raise WhetstoneError(
            "ENGINE_MISSING",
            tr("The deep-learning engine is not installed."),
            tr(
                "Open Settings > Options > Whetstone and press Install (about 1 GB for CPU), "
                "or choose a classical method, which needs nothing."
            ),
        )
    if state.code == "outdated":
        raise WhetstoneError(
            "ENGINE_OLD", state.sentence, tr("Press Update in Settings > Options > Whetstone.")
        )
    if state.folder and being_made(Path(state.folder)):
        raise WhetstoneError("ENGINE_BROKEN", state.sentence, tr("Try again when that has ended."))
    if state.origin != "managed":
        hint = tr("Choose another one in Settings > Options > Whetstone, or clear the field there.")
        raise WhetstoneError("ENGINE_BROKEN", state.sentence, hint)
    raise WhetstoneError(
        "ENGINE_BROKEN",
        state.sentence,
        tr(
            "Press Repair in Settings > Options > Whetstone; the full log is copied by "
            "Copy diagnostics."
        ),
    )


def data_folder(
    environ: Mapping[str, str] | None = None, platform: str = sys.platform, home: Path | None = None
) -> Path:
    """Where the managed engine lives: ``WHETSTONE_HOME``, or the platform's place for data."""
    environ = os.environ if environ is None else environ
    if environ.get("WHETSTONE_HOME"):
        return Path(environ["WHETSTONE_HOME"])
    # Gigabytes do not belong into a profile that roams.
    return data_home("Local", environ, platform, home or Path.home())


def torch_version() -> str:
    """The torch that this plugin is made for."""
    found = _PIN.search((REQUIREMENTS / "deep.txt").read_text(encoding="utf-8"))
    return found[1] if found else ""


def requirements_hash() -> str:
    """Tells one set of pinned versions from another; comments and line ends do not count."""
    lines = []
    for name in ("engine.txt", "deep.txt"):
        for line in (REQUIREMENTS / name).read_text(encoding="utf-8").splitlines():
            line = line.partition("#")[0].strip()
            lines += [line] if line else []
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def engine_folder(build: str) -> Path:
    """The folder of the managed engine of this plugin's version."""
    return data_folder() / f"engine-{torch_version()}-{build}"


def managed_folders() -> list[Path]:
    """Every managed engine on the disk, whole or not, the one written last first."""
    try:
        found = [path for path in data_folder().glob("engine-*") if path.is_dir()]
    except OSError:
        return []
    return sorted(found, key=lambda path: (read_marker(path).get("date", ""), path.name))[::-1]


def python_of(folder: Path, platform: str = sys.platform) -> Path:
    """The interpreter of a virtual environment."""
    return folder / ("Scripts/python.exe" if platform == "win32" else "bin/python")


def read_marker(folder: Path) -> dict:
    """What an installation noted about itself; empty when there is nothing readable."""
    try:
        found = json.loads((folder / MARKER).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def write_marker(folder: Path, **notes: str) -> None:
    """Note something about an installation, beside what is noted already; in one go."""
    text = json.dumps({**read_marker(folder), **notes}, indent=1)
    draft = folder / f"{MARKER}.part"
    draft.write_text(text, encoding="utf-8")
    os.replace(draft, folder / MARKER)


def being_made(folder: Path) -> bool:
    """Whether an installation is at work there now, in this QGIS or in another."""
    try:
        fresh = abs(time.time() - (folder / MARKER).stat().st_mtime) < _FRESH
    except OSError:
        return False
    return fresh and read_marker(folder).get("state") == "installing"


def managed_state() -> EngineState:
    """The state of the engine that the plugin installed itself, whatever the user's setting is."""
    states = [_state_of(folder) for folder in managed_folders()]
    for code in ("ready", "broken", "outdated", "half"):
        for state in states:
            if state.code == code:
                return state
    return EngineState("missing", tr("The engine is not installed."))


def _state_of(folder: Path) -> EngineState:
    marker, python = read_marker(folder), python_of(folder)
    build = str(marker.get("build") or folder.name.rpartition("-")[2])
    version = str(marker.get("torch") or folder.name.partition("-")[2].rpartition("-")[0])

    def state(code: str, sentence: str) -> EngineState:
        return EngineState(code, sentence, str(python), str(folder), "managed", build)

    if being_made(folder):
        return state("half", tr("The engine is being installed."))
    if marker.get("state") not in ("ready", "broken"):
        return state("half", tr("The installation of the engine was interrupted."))
    trouble = marker.get("trouble") if marker["state"] == "broken" else _damage(folder)
    if marker.get("requirements") != requirements_hash():
        wanted = torch_version()
        if version == wanted:
            return state("outdated", tr("The engine has other packages than this plugin needs."))
        sentence = tr("The engine was made with PyTorch {}, this plugin needs {}.")
        return state("outdated", sentence.format(version, wanted))
    if trouble:
        sentence = tr("The engine at {} does not start: {}")
        return state("broken", sentence.format(folder, str(trouble).strip()))
    return state("ready", tr("Ready: PyTorch {} for {}.").format(version, build_name(build)))


def build_name(build: str) -> str:
    """``CPU`` or ``CUDA 12.6``: a build as people call it."""
    return f"CUDA {build[2:-1]}.{build[-1]}" if build.startswith("cu") else build.upper()


def _damage(folder: Path) -> str:
    """What is visibly wrong with an environment that was once ready; "" if nothing is."""
    python = python_of(folder)
    if not python.is_file():  # also a link into a Python that an upgrade of the system took away
        return tr("its Python is gone.")
    try:
        found = re.search(r"^home\s*=\s*(.+)$", (folder / "pyvenv.cfg").read_text("utf-8"), re.M)
    except (OSError, ValueError):
        return tr("pyvenv.cfg is gone.")
    if found is None or not os.path.isdir(found[1].strip()):
        return tr("the Python it was made from is gone.")
    places = [folder / "Lib" / "site-packages", *folder.glob("lib/python3*/site-packages")]
    for name in _PACKAGES:
        if not any((place / name).is_dir() for place in places):
            return tr("the package {} is gone.").format(name)
    return ""


def _named(python: str, origin: str) -> EngineState:
    """An engine that a person named; only a test tells more than that the file is there."""
    folder = os.path.dirname(python)
    if not os.path.isfile(python):
        sentence = tr("There is no Python at {}.").format(python)
        return EngineState("broken", sentence, python, folder, origin)
    return EngineState(
        "external", tr("Your own Python is used: {}").format(python), python, folder, origin
    )


@functools.lru_cache(maxsize=1)
def own_python() -> str:
    """The Python that QGIS runs on, if torch lies beside it; "" if not. Nothing is imported."""
    # Only where that Python looks by itself: what other plugins or the user's own folder add to
    # sys.path is not there in a process of its own.
    places = [os.path.realpath(place) for place in sysconfig.get_paths().values()]
    places += [os.path.realpath(place) for place in getattr(site, "getsitepackages", list)()]
    for name in _PACKAGES:
        spec = importlib.util.find_spec(name)
        found = (
            os.path.realpath(os.path.dirname(os.path.dirname(spec.origin or ""))) if spec else ""
        )
        if found not in places:
            return ""
    return interpreter_of_qgis()


def interpreter_of_qgis() -> str:
    """The interpreter that belongs to QGIS's Python; ``sys.executable`` is often QGIS itself."""
    names = ("python.exe", "python3.exe") if sys.platform == "win32" else ("python3", "python")
    folders = [sys.exec_prefix, os.path.join(sys.exec_prefix, "bin")]
    if re.match(r"python[\d.]*(\.exe)?$", os.path.basename(sys.executable or ""), re.I):
        return sys.executable
    for folder in folders:
        for name in names:
            if os.path.isfile(os.path.join(folder, name)):
                return os.path.join(folder, name)
    return ""
