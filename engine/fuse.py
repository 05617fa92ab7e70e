"""Fuse a pair: estimate over the scene, apply window by window, write.

Classical methods are applied to the blocks of a grid, deep ones row of windows by row of windows;
geometry, output, tags and resuming are the same for both.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from . import __version__
from .choice import MOST_SECONDS, choose, give_way, needs_model
from .classical import Scene
from .errors import WhetstoneError
from .fields import Fields, fields
from .jobs import AUTO, FuseJob, FuseResult, job_to_json
from .methods import DeepMethod, find_method, foreign_fields
from .pair import Pair, open_pair
from .radiometry import output_dtype, output_nodata, to_output
from .raster.model import BandInfo, OutputSpec
from .raster.output import Output
from .registration import PanOnMS, Shift, estimate_shift
from .strips import StripWriter
from .tiling import grid, in_order, thread_count
from .types import PartOfProgress, Progress, Window

if TYPE_CHECKING:
    from .classical import Method
    from .deep.forecast import Forecast
    from .deep.fusion import DeepFusion
    from .types import Array

#: The tag under which an output carries the job that made it.
JOB_TAG = "WHETSTONE_JOB"
MIN_BLOCK, MAX_BLOCK = 64, 4096
#: PAN pixels; smaller shifts are not worth a resampling.
LEAST_MOVE = 0.1
#: Tags that describe the input file rather than the image.
_OWN_TAGS = ("AREA_OR_POINT", "TIFFTAG_", "OVR_", "STATISTICS_", "WHETSTONE_")


def fuse(job: FuseJob, progress: Progress) -> FuseResult:
    """Run a :class:`FuseJob`; see there for what its fields mean."""
    started = time.monotonic()
    if job.method != AUTO:
        _check(job)
    threads = thread_count(job.threads)
    with open_pair(job.pan, job.ms, sensor=job.sensor, protocol=job.protocol) as opened:
        pair = opened
        pair.progress = progress
        window = pair.window_of(job.bounds)
        if job.protocol == "toolbox" and window != pair.scene:
            raise WhetstoneError(
                "TOOLBOX_BOUNDS",
                "The toolbox protocol fuses whole scenes only.",
                "Leave the bounds out.",
            )
        job, deep, forecast, chosen = _method(job, pair, window, threads)
        method = find_method(job.method)
        for note in chosen:
            progress.message(note)
        for note in deep.notes if deep else ():
            progress.message(note)
        plan = _plan(deep.job if deep else job, pair, window, deep.tags if deep else {})
        if forecast:
            each = plan.dtype.itemsize + (4 if job.uncertainty else 0)
            progress.message(forecast.text(window.width * window.height * pair.bands * each))
        with ExitStack() as files:
            outputs = [files.enter_context(o) for o in _outputs(job, plan, pair, deep)]
            output = outputs[0]
            moves = deep is not None and deep.moves_pan
            begun = PartOfProgress(progress, 0.0, 0.05)
            pair, shift, notes = _shift(job, pair, moves, threads, begun)
            scene = Scene(pair, threads, PartOfProgress(progress, 0.05, 0.1 if deep else 0.35))
            tally = _Tally()
            if deep:
                part = PartOfProgress(progress, 0.1, 0.97)
                _apply_deep(deep, pair, scene, plan, outputs, tally, part)
            elif not isinstance(method, DeepMethod):
                part = PartOfProgress(progress, 0.35, 0.97)
                estimate = method.estimate(scene)
                if job.protocol == "toolbox":
                    f = scene.fields(window)
                    _put(output, window, window, _finish(f, method.apply(f, estimate), plan, tally))
                else:
                    _apply(job, pair, method, estimate, plan, output, threads, tally, part)
            if not tally.valid and not output.rows_done:
                raise WhetstoneError(
                    "EMPTY",
                    "No valid pixels in the chosen area.",
                    "Check bounds and nodata values.",
                )
            progress.update(0.97, "finishing the file")
            if len(outputs) > 1:  # all that may fail comes before the first rename
                for one in outputs:
                    one.complete()
        progress.update(1.0, "done")
        for note in notes:
            progress.message(note)
        notes = [*chosen, *notes, *(deep.notes if deep else [])]
        return FuseResult(
            out=os.path.abspath(job.out),
            method=job.method,
            sensor=pair.sensor.key,
            width=window.width,
            height=window.height,
            bands=pair.bands,
            dtype=str(plan.dtype),
            ratio=pair.ratio,
            phase=pair.geometry.phase,
            shift=(shift.dx, shift.dy) if shift and shift.known else None,
            shift_confidence=shift.confidence if shift else 0.0,
            coregistered=bool(job.coregister and shift and shift.known),
            clipped=tally.clipped,
            valid_fraction=tally.valid / tally.seen if tally.seen else 1.0,
            seconds=time.monotonic() - started,
            model=deep.job.model if deep else None,
            uncertainty=os.path.abspath(job.uncertainty) if job.uncertainty else None,
            notes=(*pair.notes, *notes, *tally.notes(job.method)),
        )


def _method(
    job: FuseJob, pair: Pair, window: Window, threads: int
) -> tuple[FuseJob, DeepFusion | None, Forecast | None, list[str]]:
    """The job with its method, a deep one ready to run with its forecast, and why this one.

    A model that nobody asked for gives way to a classical method where it cannot be run here, or
    would take too long.
    """
    unasked = job.method == AUTO and not job.model and not needs_model(job)
    chosen: list[str] = []
    if job.method == AUTO:
        job, why = choose(job, pair)
        chosen.append(why)
        _check(job)
    method = find_method(job.method)
    if not isinstance(method, DeepMethod):
        return job, None, None, chosen
    try:
        deep = _deep(job, method, pair, threads)
        forecast = deep.forecast(window)
    except WhetstoneError as error:
        if not unasked:
            raise
        job, why = give_way(job, error.message.rstrip("."))
        return job, None, None, [why]
    if unasked and (forecast is None or forecast.seconds > MOST_SECONDS):
        wait = f"would take {forecast.wait}" if forecast else "needs more memory than there is"
        reason = f"the model {deep.job.model} {wait} (--method {job.method} takes it all the same)"
        job, why = give_way(job, reason)
        return job, None, None, [why]
    return job, deep, forecast, chosen


def _check(job: FuseJob) -> None:
    method = find_method(job.method)
    if not MIN_BLOCK <= job.block <= MAX_BLOCK:
        raise WhetstoneError(
            "BLOCK", f"The block is {job.block} pixels; it must be {MIN_BLOCK} to {MAX_BLOCK}."
        )
    if job.format not in ("gtiff", "cog"):
        raise WhetstoneError(
            "OUT_FORMAT", f"There is no format {job.format!r}.", "Choose gtiff or cog."
        )
    if job.coregister and job.protocol == "toolbox":
        raise WhetstoneError(
            "TOOLBOX_COREGISTER",
            "The toolbox protocol ties arrays by their indices.",
            "Leave the correction of the shift out, or use the product protocol.",
        )
    if job.uncertainty and job.samples < 2:
        raise WhetstoneError(
            "SAMPLES",
            f"The uncertainty is the deviation of several samples; {job.samples} is asked for.",
            "Ask for 4 or 8 (--samples 8).",
        )
    if asked := foreign_fields(job, method):
        deep = isinstance(method, DeepMethod)
        kind = "deep" if deep else "classical"
        raise WhetstoneError(
            "NOT_DEEP" if not deep else "NOT_THIS_MODEL",
            f"{', '.join(asked)}: that means nothing to the {kind} method {job.method}.",
            "Leave it out, or choose another method (whetstone methods).",
        )


@dataclass(frozen=True)
class _Plan:
    """What is the same for every window of the output."""

    window: Window
    dtype: np.dtype
    nodata: float | None
    spec: OutputSpec


def _deep(job: FuseJob, method: DeepMethod, pair: Pair, threads: int) -> DeepFusion:
    from .deep import part

    found: DeepFusion = part("fusion").DeepFusion(job, method.name, pair, threads)
    return found


def _plan(job: FuseJob, pair: Pair, window: Window, tags: dict[str, str]) -> _Plan:
    dtype = output_dtype(job.dtype, pair.ms.info, job.protocol)
    nodata = output_nodata(dtype, pair.ms.info, pair.pan.may_be_invalid or pair.ms.may_be_invalid)
    info = pair.pan.info
    transform = info.transform
    if transform is not None:
        x0, dx, _, y0, _, dy = transform
        transform = (x0 + dx * window.col, dx, 0.0, y0 + dy * window.row, 0.0, dy)
    keep = {k: v for k, v in pair.ms.info.tags.items() if not k.upper().startswith(_OWN_TAGS)}
    spec = OutputSpec(
        window.width,
        window.height,
        tuple(_output_band(band, dtype, nodata) for band in pair.ms.info.bands),
        info.crs,
        transform,
        tags={
            **keep,
            "WHETSTONE_VERSION": __version__,
            "WHETSTONE_METHOD": job.method,
            "WHETSTONE_SENSOR": pair.sensor.key,
            JOB_TAG: job_to_json(job),
            **tags,
        },
        creation_options=dict(job.creation_options),
        rpc=info.rpc if window == Window(0, 0, info.width, info.height) else {},
    )
    return _Plan(window, dtype, nodata, spec)


def _output_band(band: BandInfo, dtype: np.dtype, nodata: float | None) -> BandInfo:
    tags = {k: v for k, v in band.tags.items() if not k.upper().startswith(_OWN_TAGS)}
    return replace(band, dtype=str(dtype), nodata=nodata, tags=tags)


def _outputs(job: FuseJob, plan: _Plan, pair: Pair, deep: DeepFusion | None) -> list[Output]:
    """The fused image and, if asked for, the uncertainty."""
    inputs = [*job.pan.paths, *job.ms.paths]
    fingerprint = _fingerprint(deep.job if deep else job, deep.identity if deep else [])

    def output(path: str, spec: OutputSpec, others: list[str]) -> Output:
        return Output(
            path,
            spec,
            pair.backend,
            fingerprint=fingerprint,
            inputs=[*inputs, *others],
            format=job.format,
            overviews=job.overviews,
        )

    found = [output(job.out, plan.spec, [])]
    if job.uncertainty:
        stems = (os.path.splitext(os.path.abspath(p))[0] for p in (job.uncertainty, job.out))
        if len(set(stems)) == 1:
            raise WhetstoneError(
                "OUT_IS_INPUT",
                "The image and its uncertainty need two names.",
                "Rename one of them.",
            )
        found.append(output(job.uncertainty, _uncertainty_spec(plan.spec), [job.out]))
    return found


def _uncertainty_spec(spec: OutputSpec) -> OutputSpec:
    """The file of standard deviations: float32 in the units of the image, NaN where invalid."""
    bands = tuple(
        BandInfo(
            "float32",
            float("nan"),
            scale=band.scale,
            unit=band.unit,
            name=f"standard deviation of {band.name or f'band {number}'}",
        )
        for number, band in enumerate(spec.bands, 1)
    )
    options = {k: v for k, v in spec.creation_options.items() if k.upper() != "PREDICTOR"}
    return replace(spec, bands=bands, creation_options=options)


def _fingerprint(job: FuseJob, identity: list[str]) -> str:
    """What must be the same for a run to be resumed: job, program, inputs, model and device."""
    same = json.loads(job_to_json(replace(job, threads=0, batch=0)))
    facts: list[object] = [__version__, same, identity]
    for path in (*job.pan.paths, *job.ms.paths):
        try:
            stat = os.stat(path)
            facts.append([path, stat.st_size, stat.st_mtime_ns])
        except OSError:  # a GDAL name such as /vsizip/... has no file of its own
            facts.append([path])
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _shift(
    job: FuseJob, pair: Pair, moves_pan: bool, threads: int, progress: Progress
) -> tuple[Pair, Shift | None, list[str]]:
    """Estimate the shift, and move the MS by it when asked to.

    Models that know images on each other only get the PAN moved otherwise: then the result lies
    where the MS does, as its georeferencing says, and has no fringes.
    """
    if job.protocol == "toolbox":
        return pair, None, []
    shift = estimate_shift(pair, threads, progress)
    notes = [shift.describe(pair.ratio)]
    if job.coregister and shift.known:
        pair = pair.moved(shift.dx, shift.dy)
        notes = [f"Corrected: {notes[0].split(' Fringes')[0]}"]
    elif moves_pan and shift.one_for_all and max(abs(shift.dx), abs(shift.dy)) >= LEAST_MOVE:
        pair = PanOnMS(pair, shift)
        notes = [
            f"{notes[0].split(' Fringes')[0]} For the model the PAN is moved onto the MS; with "
            "--coregister the MS moves."
        ]
    return pair, shift, notes


class _Tally:
    """Counts over all windows."""

    def __init__(self) -> None:
        self.clipped = self.valid = self.seen = 0

    def add(self, clipped: int, valid: int, seen: int) -> None:
        self.clipped += clipped
        self.valid += valid
        self.seen += seen

    def notes(self, method: str) -> list[str]:
        """What of it the user should know."""
        if not self.clipped:
            return []
        share = 100 * self.clipped / max(self.valid, 1)
        return [
            f"{method}: {self.clipped} pixels ({share:.2g} %) had an extreme ratio of PAN to "
            "intensity and were clipped."
        ]


def _finish(f: Fields, values: Array, plan: _Plan, tally: _Tally) -> Array:
    size = f.window.width * f.window.height
    tally.add(f.clipped, size if f.valid is None else int(np.count_nonzero(f.valid)), size)
    return to_output(values, f.valid, plan.dtype, plan.nodata)


def _apply(
    job: FuseJob,
    pair: Pair,
    method: Method,
    estimate: dict[str, Array],
    plan: _Plan,
    output: Output,
    threads: int,
    tally: _Tally,
    progress: Progress,
) -> None:
    """Fuse all windows that an interrupted run has not written yet, in raster order."""
    bottom = plan.window.row + output.rows_done
    todo = [w for w in grid(plan.window, job.block) if w.stop[1] > bottom]
    if output.rows_done:
        progress.message(
            f"Resuming an interrupted run at row {output.rows_done} of {plan.window.height}; "
            "counts of pixels cover the rest only."
        )

    def work(window: Window) -> tuple[Array, _Tally]:
        own = _Tally()
        f = fields(pair, window)
        if f.valid is not None and not f.valid.any():
            values = np.zeros((pair.bands, *window.shape), pair.dtype)
        else:
            values = method.apply(f, estimate)
        return _finish(f, values, plan, own), own

    for done, (window, (values, own)) in enumerate(in_order(work, todo, threads, progress)):
        _put(output, window, plan.window, values)
        tally.add(own.clipped, own.valid, own.seen)
        if window.stop[0] == plan.window.stop[0]:
            output.checkpoint(window.stop[1] - plan.window.row)
        progress.update((done + 1) / len(todo), "fusing")


def _apply_deep(
    deep: DeepFusion,
    pair: Pair,
    scene: Scene,
    plan: _Plan,
    outputs: list[Output],
    tally: _Tally,
    progress: Progress,
) -> None:
    """Sample the rows that an interrupted run has not written yet."""
    area = plan.window
    done = min(output.rows_done for output in outputs)
    if done:
        progress.message(f"Resuming an interrupted run at row {done} of {area.height}.")
    if done == area.height:
        return
    nan, single = float("nan"), np.dtype(np.float32)
    with StripWriter(outputs, area) as writer:
        for strip in deep.strips(pair, scene, area, area.row + done, progress):
            size = strip.window.width * strip.window.height
            good = size if strip.valid is None else int(np.count_nonzero(strip.valid))
            tally.add(0, good, size)
            images = [to_output(strip.image, strip.valid, plan.dtype, plan.nodata)]
            if strip.deviation is not None and len(outputs) > 1:
                images.append(to_output(strip.deviation, strip.valid, single, nan))
            writer.add(strip.window.row, images)


def _put(output: Output, window: Window, area: Window, values: Array) -> None:
    """Write a window of the scene where it lies in the output."""
    output.write(window._replace(col=window.col - area.col, row=window.row - area.row), values)
