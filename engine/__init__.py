"""The Whetstone engine: pansharpening without QGIS. Importing it costs nothing heavy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .errors import Cancelled, WhetstoneError
from .jobs import (
    AdaptJob,
    AssessJob,
    CheckJob,
    CompareJob,
    DegradeJob,
    DemoJob,
    FuseJob,
    RasterSource,
    job_from_json,
    job_to_json,
    result_to_dict,
)
from .types import Progress

if TYPE_CHECKING:
    from .jobs import Job

__version__ = "0.1.0"
__all__ = [
    "AdaptJob",
    "AssessJob",
    "Cancelled",
    "CheckJob",
    "CompareJob",
    "DegradeJob",
    "DemoJob",
    "FuseJob",
    "Progress",
    "RasterSource",
    "WhetstoneError",
    "job_from_json",
    "job_to_json",
    "result_to_dict",
    "run",
]


def run(job: Job, progress: Progress | None = None) -> Any:
    """Execute a job and return its result (``FuseResult`` for a ``FuseJob``, and so on).

    Raises ``WhetstoneError`` with a code, a message and a hint; ``Cancelled`` when the progress
    says so. Nothing is left half written in either case.
    """
    from importlib import import_module

    module = type(job).__name__[: -len("Job")].lower()
    act = getattr(import_module(f"{__name__}.{module}"), module)
    try:
        return act(job, progress or Progress())
    except MemoryError:
        raise WhetstoneError(
            "OOM_RAM",
            "There is not enough memory for this job.",
            "Close other programs, or fuse with the product protocol and smaller blocks.",
        ) from None
