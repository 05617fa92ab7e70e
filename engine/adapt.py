"""Adapt a model to a scene: train CrossDiff on its own PAN and MS, and write the model."""

from __future__ import annotations

import os
import time
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Sequence

from .deep import part
from .errors import WhetstoneError
from .jobs import OBJECTIVES, AdaptResult
from .pair import open_pair
from .registration import estimate_shift
from .tiling import thread_count
from .types import PartOfProgress

if TYPE_CHECKING:
    from .jobs import AdaptJob
    from .pair import Pair
    from .types import Progress

MOST_BANDS = 16


def adapt(job: AdaptJob, progress: Progress) -> AdaptResult:
    """Run an :class:`AdaptJob`; see there for what its fields mean.

    When it is cancelled, the best model so far is kept if it is better than what needs no training.
    """
    started = time.monotonic()
    _check(job)
    threads = thread_count(job.threads)
    fitting = part("fitting")
    with ExitStack() as stack:
        opened = stack.enter_context(open_pair(job.pan, job.ms, sensor=job.sensor))
        _check_bands(opened)
        window = opened.window_of(job.bounds)
        start = fitting.find_start(job, opened, PartOfProgress(progress, 0.0, 0.01))
        notes = [*opened.notes, start.why]
        if order := fitting.order_of(start, opened):
            opened = _reordered(job, opened, order, stack)
            roles = ", ".join(opened.sensor.roles)
            notes.append(f"The bands are taken in the order of the model: {roles}.")
        pair = opened.within(window)
        pair.progress = progress
        shift = estimate_shift(pair, threads, PartOfProgress(progress, 0.01, 0.02))
        notes.append(shift.describe(pair.ratio))
        if shift.known and max(abs(shift.dx), abs(shift.dy)) >= 0.5:
            notes.append("It was trained with the shift corrected; correct it when fusing, too.")
        for note in notes:
            progress.message(note)
        outcome, card, held_out = fitting.fit(
            job,
            pair,
            start,
            shift if shift.known else None,
            threads,
            started + 60 * job.minutes,
            progress,
        )
    progress.update(1.0, "done")
    return AdaptResult(
        out=os.path.abspath(job.out),
        name=card.name,
        start=start.model.name if start.model else None,
        bands=card.bands,
        ratio=card.ratio,
        steps=outcome.steps,
        ended=outcome.ended,
        held_out=held_out,
        scores=outcome.scores,
        seconds=time.monotonic() - started,
        notes=tuple(notes),
    )


def _reordered(job: AdaptJob, pair: Pair, order: Sequence[int], stack: ExitStack) -> Pair:
    """The pair with its bands in another order."""
    bands = job.ms.bands or tuple(range(1, pair.bands + 1))
    ms = replace(job.ms, bands=tuple(bands[i] for i in order))
    other = stack.enter_context(open_pair(job.pan, ms, sensor=pair.sensor.key))
    return other.with_sensor(pair.sensor.ordered(order))


def _check(job: AdaptJob) -> None:
    if not job.out.endswith(".safetensors"):
        raise WhetstoneError(
            "OUT_FORMAT",
            f"'{job.out}' is no name for a model.",
            "It must end in .safetensors.",
        )
    folder = os.path.dirname(os.path.abspath(job.out))
    if not os.path.isdir(folder) or not os.access(folder, os.W_OK):
        raise WhetstoneError(
            "OUT_FOLDER", f"The folder '{folder}' is not there, or cannot be written to."
        )
    if job.objective not in OBJECTIVES:
        raise WhetstoneError(
            "OBJECTIVE",
            f"There is no objective {job.objective!r}.",
            f"Choose {' or '.join(OBJECTIVES)}.",
        )
    if not 0 < job.minutes <= 24 * 60:
        raise WhetstoneError(
            "TIME", f"{job.minutes:g} minutes are asked for; it must be above 0, up to {24 * 60}."
        )
    if job.steps < 0 or not 0 <= job.seed < 2**63:
        raise WhetstoneError("USAGE", "Steps and seed must be 0 or more, the seed below 2^63.")


def _check_bands(pair: Pair) -> None:
    if pair.bands > MOST_BANDS:
        raise WhetstoneError(
            "BANDS",
            f"The MS has {pair.bands} bands; a model is adapted to {MOST_BANDS} at most.",
            "Choose some of them (--ms-bands).",
        )
