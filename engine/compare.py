"""Fuse one pair by several methods and score the results side by side."""

from __future__ import annotations

import csv
import io
import json
import os
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from . import deep
from .adapt import adapt
from .assess import WITH_REFERENCE, WITHOUT_REFERENCE, Page, Scoring, check_report, score
from .degrade import degrade, made_folder
from .errors import Cancelled, WhetstoneError
from .fuse import fuse
from .jobs import (
    AdaptJob,
    CompareJob,
    CompareResult,
    DegradeJob,
    FuseJob,
    RasterSource,
    result_to_dict,
)
from .methods import DEEP, OWN_FIELDS, find_method
from .metrics.fused import FusedImage, place
from .pair import Pair, open_pair
from .raster.model import BandInfo, OutputSpec
from .raster.output import Output
from .raster.source import open_source
from .registration import estimate_shift, moved_pan
from .tiling import grid, thread_count
from .types import PartOfProgress, Progress, Window

if TYPE_CHECKING:
    from .jobs import FuseResult
    from .raster.source import Source
    from .report.model import Candidate

#: The plain enlargement that every method is measured by.
BASELINE = "exp"
#: The method whose model a comparison can adapt first.
ADAPTED = "crossdiff"
#: Windows in which a PAN is moved: the tiles of the file.
BLOCK = 512


def compare(job: CompareJob, progress: Progress) -> CompareResult:
    """Run a :class:`CompareJob`; see there for what its fields mean.

    A method that fails is left out and named in the notes; if all fail, so does the job. The scores
    also go to ``scores.json`` and ``scores.csv`` in the output folder.
    """
    methods = tuple(dict.fromkeys(find_method(name).name for name in job.methods))
    if not methods:
        raise WhetstoneError("USAGE", "No methods to compare.", "Name at least one.")
    if job.adapt:
        if job.model:
            raise WhetstoneError(
                "USAGE", "A model and --adapt are given; an adapted model is made, not named."
            )
        methods = tuple(dict.fromkeys((*methods, ADAPTED)))
    if (job.model or job.steps or job.consistency) and not set(methods) & set(DEEP):
        raise WhetstoneError(
            "NOT_DEEP",
            "A model, steps or consistency are given, but none of the methods is a deep one.",
            f"Add {' or '.join(DEEP)} to the methods, or leave them out.",
        )
    with made_folder(job.out_dir):
        check_report(job)
        return _compare(replace(job, methods=methods), progress)


def _compare(job: CompareJob, progress: Progress) -> CompareResult:
    job, notes = _reduced(job, PartOfProgress(progress, 0.0, 0.04))
    job = registered(job, notes, PartOfProgress(progress, 0.04, 0.05))
    begin = 0.5 if job.adapt else 0.05
    job = _adapted(job, notes, PartOfProgress(progress, 0.05, begin))
    share = 0.9 if job.html else 1.0
    rows: list[dict[str, Any]] = []
    found: dict[str, Scoring] = {}
    told: set[str] = set()
    for number, name in enumerate(job.methods):
        span = (share - begin) / len(job.methods)
        at = begin + number * span
        part = _Once(told, progress, at, at + span, f"{name}: ")
        try:
            fused, scoring = _one(job, name, part)
        except Cancelled:
            raise
        except WhetstoneError as error:
            notes.append(f"{name} was left out: {error}")
            progress.message(notes[-1])
            failure = error
            continue
        notes += [note for note in (*fused.notes, *scoring.notes) if note not in notes]
        found[name] = scoring
        rows.append(
            {"method": name, "out": fused.out, "seconds": fused.seconds, "scores": scoring.scores}
        )
    if not rows:
        raise failure
    best, html = _judge(job, rows, found, notes, PartOfProgress(progress, share, 1.0))
    result = CompareResult(tuple(rows), best, html, tuple(notes))
    _write_tables(job.out_dir, result)
    progress.update(1.0, "done")
    return result


class _Once(PartOfProgress):
    """A share of a progress that says nothing twice: all methods tell the same of the pair."""

    def __init__(
        self, told: set[str], whole: Progress, start: float, stop: float, prefix: str
    ) -> None:
        super().__init__(whole, start, stop, prefix)
        self._told, self._all = told, whole

    def message(self, text: str) -> None:
        """Pass a message on the first time."""
        if text not in self._told:
            self._told.add(text)
            self._all.message(text)


def _reduced(job: CompareJob, progress: Progress) -> tuple[CompareJob, list[str]]:
    """The job on the degraded pair with the MS as the reference, when that was asked for."""
    if not job.reduced:
        return job, []
    if job.reference is not None:
        raise WhetstoneError(
            "USAGE",
            "The degraded pair brings its own reference, so no other can be given.",
            "Leave out either the reference or --reduced.",
        )
    made = degrade(DegradeJob(job.pan, job.ms, job.out_dir, job.sensor, job.protocol), progress)
    pan, ms, truth = (RasterSource.of(path) for path in (made.pan, made.ms, made.gt))
    job = replace(job, pan=pan, ms=ms, reference=truth, sensor=made.sensor)
    return job, [f"Reduced resolution: both images degraded by {made.ratio}, the MS is the truth."]


def registered(job: CompareJob, notes: list[str], progress: Progress) -> CompareJob:
    """Correct the shift of a pair that has a truth, by moving the PAN.

    A fusion moves the MS, since the grid of the PAN is that of the output; the truth lies with the
    MS, and every score would count the shift.
    """
    if not job.coregister or job.reference is None or job.protocol == "toolbox":
        return job
    job = replace(job, coregister=False)
    with open_pair(job.pan, job.ms, sensor=job.sensor, protocol=job.protocol) as pair:
        shift = estimate_shift(pair, thread_count(0), progress)
        notes.append(shift.describe(pair.ratio).split(" Fringes")[0])
        if not shift.known:
            return job
        notes[-1] = f"Corrected, by moving the PAN onto the truth: {notes[-1]}"
        info = pair.pan.info
        job = replace(job, sensor=pair.sensor.key)  # the new file's name would say nothing of it
        out = os.path.join(job.out_dir, "pan_registered.tif")
        band = BandInfo("float32", float("nan"))
        spec = OutputSpec(info.width, info.height, (band,), info.crs, info.transform, info.tags)
        inputs = [*job.pan.paths, *job.ms.paths]
        with Output(
            out, spec, pair.backend, fingerprint="", inputs=inputs, overviews=False
        ) as output:
            for window in grid(Window(0, 0, info.width, info.height), BLOCK):
                values, valid = moved_pan(pair, window, shift)
                if valid is not None:
                    values[~valid] = np.nan
                output.write(window, values[None].astype(np.float32))
    return replace(job, pan=RasterSource.of(out))


def _adapted(job: CompareJob, notes: list[str], progress: Progress) -> CompareJob:
    """Adapt a model to the pair that is compared, if that was asked for."""
    if not job.adapt:
        return job
    out = os.path.abspath(os.path.join(job.out_dir, f"{ADAPTED}.safetensors"))
    wanted = AdaptJob(job.pan, job.ms, out, minutes=job.adapt, sensor=job.sensor, device=job.device)
    try:
        made = adapt(wanted, progress)
    except Cancelled:
        raise
    except WhetstoneError as error:
        if len(job.methods) == 1:
            raise
        notes.append(f"{ADAPTED} was left out: {error}")
        progress.message(notes[-1])
        return replace(job, methods=tuple(name for name in job.methods if name != ADAPTED))
    notes.append(f"{ADAPTED} was adapted to this pair in {made.steps} steps, without its truth.")
    return replace(job, model=made.out)


def _model_for(job: CompareJob, name: str) -> str | None:
    """The model of the job, unless it is of another kind than one of several deep methods."""
    if job.model is None or len(set(job.methods) & set(DEEP)) == 1:
        return job.model
    found = deep.part("models").find_model(job.model)
    return job.model if found.card.architecture == name else None


def _one(job: CompareJob, name: str, progress: Progress) -> tuple[FuseResult, Scoring]:
    """Fuse by one method and score the result."""
    out = os.path.join(job.out_dir, f"{name}.tif")
    one = FuseJob(
        job.pan, job.ms, out, name, job.sensor, protocol=job.protocol, coregister=job.coregister
    )
    if find_method(name).name in DEEP:
        steps = job.steps if "steps" in OWN_FIELDS[name] else 0
        one = replace(
            one,
            model=_model_for(job, name),
            steps=steps,
            consistency=job.consistency,
            device=job.device,
        )
    fused = fuse(one, PartOfProgress(progress, 0.0, 0.5))
    with ExitStack() as stack:
        pair, truth = _open(job, stack)
        if fused.coregistered and fused.shift:
            pair = pair.moved(*fused.shift)
        image = _image(pair, RasterSource.of(fused.out), name, stack)
        reference = None
        if truth is not None:
            reference = FusedImage(pair, truth, place(pair, truth, "The reference"))
        return fused, score(pair, image, reference, job.crop, PartOfProgress(progress, 0.5, 1.0))


def _open(job: CompareJob, stack: ExitStack) -> tuple[Pair, Source | None]:
    pair = stack.enter_context(open_pair(job.pan, job.ms, sensor=job.sensor, protocol=job.protocol))
    if job.reference is None:
        return pair, None
    return pair, stack.enter_context(open_source(job.reference, pair.backend, "the reference"))


def _image(pair: Pair, source: RasterSource, name: str, stack: ExitStack) -> FusedImage:
    opened = stack.enter_context(open_source(source, pair.backend, name))
    return FusedImage(pair, opened, place(pair, opened, name))


def _judge(
    job: CompareJob, rows: list[dict[str, Any]], found: dict[str, Scoring], notes: list[str],
    progress: Progress,
) -> tuple[str, str | None]:  # fmt: skip
    """The winner, and the report if one was asked for."""
    from .report.verdict import judge_all

    candidates = [_candidate(row, found[row["method"]]) for row in rows]
    verdict = judge_all(candidates, job.reference is not None)
    if not job.html:
        return verdict.winner, None
    with ExitStack() as stack:
        pair, truth = _open(job, stack)
        sources = {
            row["method"]: stack.enter_context(
                open_source(RasterSource.of(row["out"]), pair.backend, row["method"])
            )
            for row in rows
        }
        page = Page(pair, truth, job.crop, tuple(notes))
        html = page.write(job.html, "compare", candidates, sources, verdict, progress)
    return verdict.winner, html


def _candidate(row: dict[str, Any], scoring: Scoring) -> Candidate:
    from .report.model import Candidate

    name = row["method"]
    return Candidate(
        name, name.upper(), scoring.scores, row["seconds"], scoring.missing,
        name == BASELINE,
    )  # fmt: skip


def _write_tables(folder: str, result: CompareResult) -> None:
    """``scores.json`` (the result as it is) and ``scores.csv`` (one row per method)."""
    data = result_to_dict(result)
    _write(Path(folder) / "scores.json", json.dumps(data, indent=2, ensure_ascii=False) + "\n")
    keys = [
        key for key in (*WITH_REFERENCE, *WITHOUT_REFERENCE) if key in data["rows"][0]["scores"]
    ]
    text = io.StringIO(newline="")
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["method", *keys, "seconds", "out"])
    for row in data["rows"]:
        scores = ["" if row["scores"][key] is None else row["scores"][key] for key in keys]
        table.writerow([row["method"], *scores, row["seconds"], row["out"]])
    _write(Path(folder) / "scores.csv", text.getvalue())


def _write(path: Path, text: str) -> None:
    """Write a text file that appears only when complete."""
    part = path.with_name(path.name + ".part")
    try:
        part.write_text(text, encoding="utf-8")
        os.replace(part, path)
    except OSError as error:
        raise WhetstoneError(
            "OUT_FOLDER",
            f"'{path}' could not be written: {error.strerror or error}.",
            "Check your rights there and the space on the disk.",
        ) from None
    finally:
        with suppress(OSError):
            part.unlink()
