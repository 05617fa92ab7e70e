"""The method of a fusion that names none: a good default for what it is given, and why.

The bundled models measure better than the classical methods (docs/benchmarks.md), so a model is
taken where one fits the pair, torch is there, and the wait is bearable; otherwise MTF-GLP-FS, the
best of the fast classical methods there.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from importlib.util import find_spec
from typing import TYPE_CHECKING

from .errors import WhetstoneError
from .library import choose_model, find_local
from .methods import DEEP

if TYPE_CHECKING:
    from .jobs import FuseJob
    from .pair import Pair

#: What a job's method says to leave the choice to :func:`choose`.
AUTO = "auto"
CLASSICAL = "mtf-glp-fs"
#: A model that would take longer than so many seconds is not taken unasked.
MOST_SECONDS = 15 * 60


def choose(job: FuseJob, pair: Pair) -> tuple[FuseJob, str]:
    """The job with a method, and why that one in one sentence."""
    if job.model:
        return _by_model(job)
    if job.protocol == "toolbox":
        return classical(job, "the toolbox protocol is that of classical methods")
    for architecture in DEEP:
        with suppress(WhetstoneError):
            found, _ = choose_model(architecture, pair.bands, pair.ratio, pair.sensor.key)
            if find_spec("torch") is None:
                reason = f"the model {found.name} fits, but torch is not installed"
                return classical(job, f'{reason} (pip install ".[deep]")')
            job = replace(job, method=architecture, model=found.name)
            return job, f"Method {architecture}: the model {found.name} fits this pair."
    return classical(job, f"no model here fits {pair.bands} bands at ratio {pair.ratio:.4g}")


def classical(job: FuseJob, reason: str) -> tuple[FuseJob, str]:
    """The job with the classical default, and why."""
    return replace(job, method=CLASSICAL, model=None), f"Method {CLASSICAL}: {reason}."


def _by_model(job: FuseJob) -> tuple[FuseJob, str]:
    """The method of the model that a job names; one that is not here yet is a matter of fusion."""
    found = find_local(str(job.model))
    architecture = found.card.architecture if found else next(iter(DEEP))
    return replace(job, method=architecture), f"Method {architecture}: that of the model."
