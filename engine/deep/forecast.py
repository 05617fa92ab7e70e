"""What a fusion will cost, said before it begins: windows, time, memory, size on disk."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Callable

import torch

#: What torch and the raster library hold before any window, in bytes.
_BASE = 350e6
#: Numbers that a network holds per pixel of a window at its widest place.
_NUMBERS = {"ssdiff": 3000, "crossdiff": 400}


@dataclass(frozen=True)
class Forecast:
    """Windows of ``side`` PAN pixels, seconds and bytes of memory."""

    windows: int
    side: int
    seconds: float
    memory: float

    @property
    def wait(self) -> str:
        """The time in words."""
        return f"about {duration(self.seconds)}"

    def text(self, size: float) -> str:
        """The forecast in one sentence; ``size`` is that of the uncompressed files in bytes."""
        plural = "s" if self.windows != 1 else ""
        return (
            f"About {duration(self.seconds)} for {self.windows:,} window{plural} of {self.side} "
            f"pixels; about {amount(self.memory)} of memory, up to {amount(size)} on disk."
        )


def seconds_of(act: Callable[[], object], device: torch.device) -> float:
    """How long an act takes the second time; the first one warms up."""
    spent = 0.0
    for _ in range(2):
        started = time.perf_counter()
        act()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        spent = time.perf_counter() - started
    return spent


def memory_of(
    architecture: str, side: int, at_once: int, bands: int, width: int, held: int
) -> float:
    """Bytes that a process needs at its peak: the windows at once, and rows of the output.

    ``held`` of these wait for a correction.
    """
    window = _NUMBERS[architecture] * 4 * side * side
    rows = (6 * side + held) * 4 * bands * width
    return float(_BASE + at_once * window + rows)


def duration(seconds: float) -> str:
    """A time that is only roughly known: "40 s", "7 min", "3.5 h"."""
    if seconds < 90:
        return f"{max(round(seconds), 1)} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def amount(size: float) -> str:
    """A number of bytes: "80 MB", "1.2 GB"."""
    return f"{size / 1e6:.0f} MB" if size < 1e9 else f"{size / 1e9:.1f} GB"
