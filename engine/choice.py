"""The method of a fusion that names none: a good default for what it is given, and why.

The bundled models measure better than the classical methods (docs/benchmarks.md), so a model is
taken where one fits the pair, torch is there, and the wait is bearable; otherwise MTF-GLP-FS, the
best of the fast classical methods there. Where the job sets what only a model can do, there is no
otherwise.
"""

from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec
from typing import TYPE_CHECKING

from . import deep
from .errors import WhetstoneError
from .library import address, choose_model, find_local
from .methods import DEEP, METHODS, foreign_fields

if TYPE_CHECKING:
    from .jobs import FuseJob
    from .pair import Pair

CLASSICAL = "mtf-glp-fs"
#: A model that would take longer than so many seconds is not taken unasked.
MOST_SECONDS = 15 * 60


def choose(job: FuseJob, pair: Pair) -> tuple[FuseJob, str]:
    """The job with a method, and why that one in one sentence.

    Raises:
        WhetstoneError: ``MODEL_MISSING``, ``DEEP_MISSING`` where it must be a model.
    """
    if job.model:
        return _by_model(job, pair)
    if job.protocol == "toolbox":
        return give_way(job, "the toolbox protocol is that of classical methods")
    kinds = [kind for kind, method in DEEP.items() if not foreign_fields(job, method)]
    trouble: WhetstoneError | None = None
    for architecture in kinds:
        try:
            found, _ = choose_model(
                architecture, pair.bands, pair.ratio, pair.sensor.key, unasked=True
            )
        except WhetstoneError as error:
            trouble = trouble or error
            continue
        if find_spec("torch") is None:
            if needs_model(job):
                raise deep.missing("torch")
            reason = f"the model {found.name} fits, but torch is not installed"
            return give_way(job, f'{reason} (pip install ".[deep]")')
        job = replace(job, method=architecture, model=found.name)
        return job, f"Method {architecture}: the model {found.name} fits this pair."
    if trouble and needs_model(job):
        raise trouble
    return give_way(job, f"no model here fits {pair.bands} bands at ratio {pair.ratio:.4g}")


def give_way(job: FuseJob, reason: str) -> tuple[FuseJob, str]:
    """The job with the classical default, and why."""
    return replace(job, method=CLASSICAL, model=None), f"Method {CLASSICAL}: {reason}."


def needs_model(job: FuseJob) -> bool:
    """Whether a job sets what only models can do."""
    return bool(foreign_fields(job, METHODS[CLASSICAL]))


def _by_model(job: FuseJob, pair: Pair) -> tuple[FuseJob, str]:
    """The method of the model that a job names; one that is elsewhere is fetched."""
    name = str(job.model)
    found = None if address(name) else find_local(name)
    if found is None:
        found = deep.part("models").find_model(name, pair.progress)
    architecture = found.card.architecture
    return replace(job, method=architecture), f"Method {architecture}: that of the model."
