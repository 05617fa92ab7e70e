"""A Python to make the engine's environment from: looked for on this computer, and judged."""

from __future__ import annotations

import glob
import json
import os
import platform as machine_of
import shutil
import subprocess  # nosec B404 # for its errors: streaming.asked starts the programs
import sys
from dataclasses import dataclass
from typing import Iterator, Mapping

from ..engine import WhetstoneError
from .engine_home import interpreter_of_qgis
from .engine_process import environment_of_child
from .streaming import asked
from .translation import tr

OLDEST, NEWEST = (3, 10), (3, 14)  #: PyTorch has builds for these
_QUESTION = """
import importlib.util as u, json, platform, struct, sys
try:
    import ssl, zlib
    https = True
except ImportError:
    https = False
print(json.dumps({
    "version": sys.version_info[:3], "bits": struct.calcsize("P") * 8,
    "machine": platform.machine(), "implementation": platform.python_implementation(),
    "venv": u.find_spec("venv") is not None and u.find_spec("ensurepip") is not None,
    "https": https,
}))
"""


@dataclass(frozen=True)
class Verdict:
    """A Python that was looked at; ``trouble`` is why it does not do, "" if it does."""

    python: str
    version: str
    trouble: str = ""

    def __str__(self) -> str:
        name = f"{self.python} ({self.version})" if self.version else self.python
        return f"{name}: {self.trouble or tr('good')}"


def refuse_system(
    platform: str = sys.platform, machine: str = "", environ: Mapping[str, str] | None = None
) -> None:
    """Say up front where no PyTorch can be installed at all."""
    environ = os.environ if environ is None else environ
    machine = (machine or machine_of.machine()).lower()
    snap = environ.get("SNAP", "")
    if platform == "darwin" and machine == "x86_64":
        name = tr("Macs with an Intel processor")
    elif environ.get("FLATPAK_ID") or (platform == "linux" and os.path.exists("/.flatpak-info")):
        name = tr("QGIS from Flatpak, which is closed off from the system")
    elif snap and sys.prefix.startswith(snap):
        name = tr("QGIS from Snap, which is closed off from the system")
    elif machine in ("i386", "i586", "i686", "x86", "armv6l", "armv7l"):
        name = tr("32-bit systems")
    else:
        return
    raise WhetstoneError(
        "PLATFORM",
        tr("PyTorch cannot be installed here: there is no build for {}.").format(name),
        tr("Use an external engine (the path to a Python with PyTorch) or a classical method."),
    )


def find_python(candidates: list[str] | None = None) -> tuple[str, list[Verdict]]:
    """The first Python that does, and the verdict on each that was looked at until then.

    Raises ``WhetstoneError`` PLATFORM with all the verdicts when none does.
    """
    verdicts: list[Verdict] = []
    seen = set()
    for python in _candidates() if candidates is None else candidates:
        place = os.path.realpath(python)
        if place in seen or opens_a_dialog(python):
            continue
        seen.add(place)
        verdicts.append(judged(python))
        if not verdicts[-1].trouble:
            return python, verdicts
    looked = "; ".join(map(str, verdicts)) or tr("there is none")
    raise WhetstoneError(
        "PLATFORM",
        tr(
            "No Python {}.{} to {}.{} was found that can make an environment. Looked at: {}."
        ).format(*OLDEST, *NEWEST, looked),
        _advice(verdicts),
    )


def opens_a_dialog(python: str, platform: str = sys.platform) -> bool:
    """Whether starting it may ask the user to install Apple's tools; theirs is too old anyway."""
    return platform == "darwin" and os.path.dirname(python) == "/usr/bin"


def judged(python: str) -> Verdict:
    """Ask a Python what it is, and say whether it does."""
    try:
        done = asked([python, "-I", "-c", _QUESTION], environment_of_child(), 20)
        answer = json.loads(done.stdout.decode(errors="replace"))
        version = ".".join(map(str, answer["version"]))
        return Verdict(python, version, _trouble(answer))
    except OSError as error:
        return Verdict(python, "", tr("cannot be started ({})").format(error.strerror or error))
    except (subprocess.SubprocessError, ValueError, KeyError, TypeError):
        return Verdict(python, "", tr("does not answer"))


def _trouble(answer: dict) -> str:
    version = tuple(answer["version"][:2])
    if version < OLDEST:
        return tr("too old, {}.{} or newer is needed").format(*OLDEST)
    if version > NEWEST:
        return tr("too new, PyTorch has no build for it yet")
    if answer["bits"] != 64:
        return tr("32-bit")
    if answer["implementation"] != "CPython":
        return tr("{}, not CPython").format(answer["implementation"])
    if not answer["venv"]:
        return tr("lacks venv or ensurepip (on Debian and Ubuntu: the package python3-venv)")
    if not answer["https"]:  # built without OpenSSL, or its DLLs lie in a folder of QGIS
        return tr("lacks ssl or zlib, so that pip cannot download")
    return ""


def _advice(verdicts: list[Verdict]) -> str:
    if sys.platform == "linux":
        if any("ensurepip" in verdict.trouble for verdict in verdicts):
            return tr("Install it: sudo apt install python3-venv. Then press Install again.")
        return tr("Install Python {}.{} with its venv module, then press Install again.").format(
            *NEWEST
        )
    return tr("Install Python {}.{} from python.org (64-bit), then press Install again.").format(
        NEWEST[0], NEWEST[1] - 1
    )


def _candidates() -> Iterator[str]:
    """Places to look at, the likeliest first."""
    own = interpreter_of_qgis()
    if own:
        yield own
    path = environment_of_child().get("PATH")
    names = [f"python{OLDEST[0]}.{n}" for n in range(NEWEST[1], OLDEST[1] - 1, -1)]
    for name in [*names, "python3", "python"]:
        found = shutil.which(name, path=path)
        if found:
            yield found
    yield from launcher_lists()
    for pattern in _places():
        yield from sorted(glob.glob(pattern), reverse=True)


def launcher_lists(program: str = "py") -> list[str]:
    """The Pythons that the Windows launcher knows."""
    if sys.platform != "win32" and program == "py":
        return []
    try:
        done = asked([program, "-0p"], environment_of_child(), 10)
    except (OSError, subprocess.SubprocessError):
        return []
    lines = done.stdout.decode(errors="replace").splitlines()
    # " -V:3.12 *        C:\Python312\python.exe"
    parts = [line.strip().partition(" ")[2].strip().lstrip("*").strip() for line in lines]
    return [part for part in parts if part.lower().endswith(".exe")]


def _places() -> list[str]:
    home = os.path.expanduser("~")
    if sys.platform == "win32":
        local = os.environ.get("LOCALAPPDATA", os.path.join(home, "AppData", "Local"))
        programs = os.environ.get("PROGRAMFILES", r"C:\Program Files")
        return [
            os.path.join(local, r"Programs\Python\Python31*\python.exe"),
            os.path.join(programs, r"Python31*\python.exe"),
            r"C:\Python31*\python.exe",
            os.path.join(home, r"*conda3\python.exe"),
            os.path.join(home, r"miniforge3\python.exe"),
        ]
    return [
        "/usr/bin/python3",
        "/usr/local/bin/python3.1[0-9]",
        "/opt/homebrew/bin/python3.1[0-9]",
        "/Library/Frameworks/Python.framework/Versions/3.1[0-9]/bin/python3",
        os.path.join(home, ".pyenv/versions/3.1[0-9]*/bin/python3"),
        os.path.join(home, "*conda3/bin/python3"),
        os.path.join(home, "miniforge3/bin/python3"),
    ]
