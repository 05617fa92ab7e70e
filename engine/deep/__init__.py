"""The deep models. What they need (torch) is imported when one of them is asked for."""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

from ..errors import WhetstoneError

if TYPE_CHECKING:
    from types import ModuleType

    from .models import load_model

__all__ = ["load_model", "missing", "part"]


def part(name: str) -> ModuleType:
    """The module ``name`` of this package, or in words what has to be installed for it."""
    # Threads that wait for each other shall sleep, not spin: beside any other work on the machine
    # spinning is several times slower, and without any it gains nothing. Read when torch is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        return import_module(f".{name}", __name__)
    except ModuleNotFoundError as error:
        library = (error.name or "").split(".")[0]
        if library not in ("torch", "safetensors"):
            raise
        raise missing(library) from None


def missing(library: str) -> WhetstoneError:
    """The error for a library that is not installed."""
    return WhetstoneError(
        "DEEP_MISSING",
        f"The deep models need {library}, which is not installed.",
        'Install what they need, in the folder of Whetstone: pip install ".[deep]"',
    )


def __getattr__(name: str) -> Any:
    if name == "load_model":
        return part("models").load_model
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
