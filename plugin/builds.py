"""Which PyTorch: the build for the CPU, or one for the graphics card's driver, and why."""

from __future__ import annotations

import csv
import os
import platform as machine_of
import subprocess  # nosec B404 # for its errors: streaming.asked starts the programs
import sys
from dataclasses import dataclass
from typing import Mapping

from .engine_home import torch_version
from .engine_process import environment_of_child
from .streaming import asked
from .translation import tr

INDEX_VARIABLE = "WHETSTONE_TORCH_INDEX"  #: another address of the builds, or "none"
_INDEX = "https://download.pytorch.org/whl/"
#: What nvidia-smi is asked; drivers before 2021 know no compute capability.
_QUERIES = ("name,driver_version,compute_cap", "name,driver_version")
#: build -> (oldest driver, oldest and newest compute capability)
_CUDA = {"cu130": (580, 7.5, 99.0), "cu126": (525, 5.0, 9.0)}
GB = 1_000_000_000


@dataclass(frozen=True)
class Size:
    """Bytes to fetch, bytes that stay, and bytes that must be free to install at all."""

    download: int
    disk: int
    needed: int


def builds(platform: str = sys.platform) -> tuple[str, ...]:
    """The builds that exist for a system."""
    return ("cpu",) if platform == "darwin" else ("cpu", *_CUDA)


def size_of(build: str) -> Size:
    """About how much room a build takes."""
    if build == "cpu":
        return Size(3 * GB // 10, 11 * GB // 10, 13 * GB // 10)
    return Size(27 * GB // 10, 55 * GB // 10, 63 * GB // 10)


def pinned_torch(build: str, platform: str = sys.platform) -> str:
    """The constraint that keeps pip from taking another build than the one asked for.

    PyPI's torch is the CPU build on Windows and macOS, and gigabytes of CUDA on Linux.
    """
    local = "" if build == "cpu" and platform in ("win32", "darwin") else f"+{build}"
    return f"torch=={torch_version()}{local}"


def index_of(
    build: str, platform: str = sys.platform, environ: Mapping[str, str] | None = None
) -> str:
    """The address that pip looks at beside its own index; "" when its own has the build."""
    environ = os.environ if environ is None else environ
    mirror = environ.get(INDEX_VARIABLE, "")
    if mirror.lower() == "none":
        return ""
    if build == "cpu" and platform in ("win32", "darwin"):
        return ""
    return (mirror.rstrip("/") or _INDEX.rstrip("/")) + f"/{build}"


def graphics_cards(program: str = "nvidia-smi") -> list[tuple[str, str, str]]:
    """(name, driver, compute capability or "") of every NVIDIA card. Takes up to seconds."""
    for query in _QUERIES:
        try:
            words = [program, f"--query-gpu={query}", "--format=csv,noheader"]
            done = asked(words, environment_of_child(), 10)
        except (OSError, subprocess.SubprocessError):
            return []
        if done.returncode == 0:
            lines = done.stdout.decode(errors="replace").splitlines()
            rows = [[*row, ""] for row in csv.reader(lines, skipinitialspace=True)]
            return [(row[0], row[1], row[2]) for row in rows if len(row) > 2]
    return []


def suggest_build(
    cards: list[tuple[str, str, str]] | None = None,
    platform: str = sys.platform,
    machine: str = "",
) -> tuple[str, str]:
    """The build that suits this computer, and the reason in one sentence."""
    if platform == "darwin":
        return "cpu", tr("On a Mac there is one build; it uses the graphics processor through MPS.")
    if (machine or machine_of.machine()).lower() not in ("x86_64", "amd64"):
        return "cpu", tr("The CUDA builds are made for 64-bit Intel and AMD computers.")
    cards = graphics_cards() if cards is None else cards
    if not cards:
        return "cpu", tr("No NVIDIA graphics card was found (nvidia-smi does not answer).")
    name, driver, capability = max(cards, key=lambda card: _number(card[2]))
    major, able = int(_number(driver.partition(".")[0])), _number(capability)
    for build, (oldest, low, high) in _CUDA.items():
        if major >= oldest and low <= able <= high:
            reason = tr("{} with driver {} runs it.")
            return build, reason.format(name, driver)
    if capability and able < _CUDA["cu126"][1]:
        reason = tr("{} has compute capability {}, PyTorch needs {}.")
        return "cpu", reason.format(name, capability, _CUDA["cu126"][1])
    wanted = "cu130" if able > _CUDA["cu126"][2] else "cu126"
    reason = tr("{}: driver {} is older than {}; with a newer one, CUDA can be used.")
    return "cpu", reason.format(name, driver, _CUDA[wanted][0])


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0
