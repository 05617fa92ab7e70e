"""Score a fused image: with a reference, and always against the PAN and MS it was made from."""

from __future__ import annotations

import datetime
import json
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import WhetstoneError
from .fields import fields
from .jobs import AssessResult
from .metrics.blocks import BLOCK, grid
from .metrics.fused import FusedImage, place
from .metrics.no_reference import FullResolution, LocalCorrelation, Reprojection
from .metrics.q2n import Q2n
from .metrics.reference import (
    BandErrors,
    SpatialCorrelation,
    SpectralAngle,
    StructuralSimilarity,
    without_ring,
)
from .pair import Pair, open_pair
from .raster.source import open_source
from .tiling import in_order, thread_count
from .types import PartOfProgress, Progress, Window

if TYPE_CHECKING:
    from .jobs import AssessJob, CompareJob
    from .raster.model import RasterInfo
    from .raster.source import Source
    from .report.model import Candidate, Verdict
    from .types import Array

#: Side of the windows, in PAN pixels; never changes a figure.
SIDE = 512
#: A reference below this share of the range of the sensor was rescaled (8 bits of 11, 0 to 1).
PEAK_SHARE = 1 / 8
WITH_REFERENCE = ("sam", "ergas", "q2n", "scc", "psnr", "ssim", "rmse", "cc")
WITHOUT_REFERENCE = (
    "d_lambda", "d_s", "qnr", "d_lambda_k", "hqnr", "d_rho", "r_sam", "r_ergas", "r_q2n",
)  # fmt: skip
_IN_BLOCKS = ("q2n", "d_lambda", "d_s", "qnr", "d_lambda_k", "hqnr", "r_q2n")


@dataclass
class Scoring:
    """The figures of one image, why some of them are missing, and what to know about them."""

    scores: dict[str, float] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0


def assess(job: AssessJob, progress: Progress) -> AssessResult:
    """Run an :class:`AssessJob`; see there for what its fields mean."""
    from .report.verdict import judge

    started = time.monotonic()
    check_report(job)
    with ExitStack() as stack:
        pair = stack.enter_context(
            open_pair(job.pan, job.ms, sensor=job.sensor, protocol=job.protocol)
        )
        fused = stack.enter_context(open_source(job.fused, pair.backend, "the fused image"))
        window = place(pair, fused, "The fused image")
        pair, moved = _follow_shift(pair, fused.info, progress)
        image = FusedImage(pair, fused, window)
        reference = truth = None
        if job.reference is not None:
            reference = stack.enter_context(
                open_source(job.reference, pair.backend, "the reference")
            )
            truth = FusedImage(pair, reference, place(pair, reference, "The reference"))
        notes = [*pair.notes, *fused.notes, *moved]
        share = 0.85 if job.html else 1.0
        found = score(pair, image, truth, job.crop, PartOfProgress(progress, 0.0, share))
        verdict = judge(found.scores, reference=truth is not None)
        notes += found.notes
        html = None
        if job.html:
            from .report.model import Candidate

            name = fused.info.tags.get("WHETSTONE_METHOD", "fused")
            candidate = Candidate(name, name.upper(), found.scores, missing=found.missing)
            html = Page(pair, reference, job.crop, tuple(notes)).write(
                job.html, "assess", [candidate], {name: fused}, verdict,
                PartOfProgress(progress, share, 1.0),
            )  # fmt: skip
    progress.update(1.0, "done")
    seconds = time.monotonic() - started
    return AssessResult(found.scores, verdict.text, html, seconds, tuple(notes))


def check_report(job: AssessJob | CompareJob) -> None:
    """Refuse a place for the report where none can be written, before any work."""
    if job.html:
        from .report.render import check_target

        sources = (job.pan, job.ms, job.reference, getattr(job, "fused", None))
        check_target(job.html, [path for one in sources if one for path in one.paths])


def _follow_shift(pair: Pair, info: RasterInfo, progress: Progress) -> tuple[Pair, list[str]]:
    """Move the MS as the fusion did when the image's tags say that it was co-registered."""
    try:
        job = json.loads(info.tags.get("WHETSTONE_JOB", "{}"))
    except ValueError:
        return pair, []
    if pair.protocol != "product" or not isinstance(job, dict) or not job.get("coregister"):
        return pair, []
    from .registration import estimate_shift

    shift = estimate_shift(pair, thread_count(0), PartOfProgress(progress, 0.0, 0.0))
    if not shift.known:
        return pair, []
    return pair.moved(shift.dx, shift.dy), [
        f"The image was co-registered; it is scored against the MS moved by dx {shift.dx:+.2f}, "
        f"dy {shift.dy:+.2f} PAN pixels."
    ]


def score(
    pair: Pair,
    image: FusedImage,
    reference: FusedImage | None,
    crop: int,
    progress: Progress,
    side: int = SIDE,
) -> Scoring:
    """All figures of an image on the PAN grid, streamed in windows of ``side`` pixels."""
    started = time.monotonic()
    found = Scoring()
    region = image.window.intersect(pair.scene)
    if region.empty:
        raise WhetstoneError(
            "NO_OVERLAP",
            "The fused image lies outside the common area of PAN and MS.",
            "Choose the image that was fused from this pair.",
        )
    start = 0.0
    if reference is not None:
        start = 0.4
        _score_reference(
            pair, image, reference, crop, found, PartOfProgress(progress, 0, start), side
        )
    if pair.protocol == "toolbox":
        side = max(region.width, region.height) + BLOCK
    middle = start + 0.75 * (1 - start)
    _score_full(pair, image, region, found, PartOfProgress(progress, start, middle), side)
    _score_reprojected(pair, image, region, found, PartOfProgress(progress, middle, 1.0), side)
    _explain(pair, found)
    found.seconds = time.monotonic() - started
    return found


# --- with a reference -----------------------------------------------------------------------------


def _score_reference(
    pair: Pair, image: FusedImage, reference: FusedImage, crop: int, found: Scoring,
    progress: Progress, side: int,
) -> None:  # fmt: skip
    region = _cropped(image.window.intersect(reference.window), crop)
    peak, why = _peak(pair, reference, region, PartOfProgress(progress, 0.0, 0.1))
    found.notes.append(why)
    literal = pair.protocol == "toolbox"
    angle, errors, q2n = SpectralAngle(), BandErrors(pair.bands), Q2n(rounded=literal)
    scc, ssim = SpatialCorrelation(), StructuralSimilarity(peak)

    def read(window: Window) -> tuple[Window, Array, Array, Array | None]:
        wide = window.expand(5).intersect(region)
        (g, g_valid), (f, f_valid) = reference.read(wide), image.read(wide)
        return wide, g, f, _both(g_valid, f_valid)

    windows = list(grid(region, side))
    part = PartOfProgress(progress, 0.1, 1.0)
    threads = thread_count(0)
    for done, (window, (wide, g, f, valid)) in enumerate(in_order(read, windows, threads, part)):
        inner = window.within(wide)
        near = (g[(..., *inner)], f[(..., *inner)], None if valid is None else valid[inner])
        for figure in (angle, errors, q2n):
            figure.add(*near)
        ssim.add(g, f, valid, inner)
        if literal:
            g, f = without_ring(g, wide, region), without_ring(f, wide, region)
        scc.add(g, f, valid, inner)
        part.update((done + 1) / len(windows), "comparing with the reference")
    found.scores.update(
        sam=angle.value(), ergas=errors.ergas(pair.ratio), q2n=q2n.value(), scc=scc.value(),
        psnr=errors.psnr(peak), ssim=ssim.value(), rmse=errors.rmse(), cc=errors.cc(),
    )  # fmt: skip


def _cropped(window: Window, crop: int) -> Window:
    """``crop`` 21 is [20:-21, 20:-21], as the published tables have it; 0 is everything."""
    if crop:
        window = Window(
            window.col + crop - 1, window.row + crop - 1,
            window.width - 2 * crop + 1, window.height - 2 * crop + 1,
        )  # fmt: skip
    if window.empty:
        raise WhetstoneError(
            "NO_OVERLAP" if not crop else "CROP",
            f"Nothing of the fused image and the reference is left after a crop of {crop}."
            if crop
            else "The fused image and the reference do not overlap.",
            "Choose a smaller crop." if crop else "Choose the reference of this scene.",
        )
    return window


def _peak(
    pair: Pair, reference: FusedImage, region: Window, progress: Progress
) -> tuple[float, str]:
    """The peak value of PSNR and SSIM, and a sentence that says which one it is."""
    low, high = np.inf, -np.inf
    windows = list(grid(region, SIDE))
    for _, (values, valid) in in_order(reference.read, windows, 1, progress):
        known = values if valid is None else values[:, valid]
        if known.size:
            low, high = min(low, float(known.min())), max(high, float(known.max()))
    bits, dtype = pair.sensor.bits, np.dtype(reference.dtype)
    depth = 2.0**bits - 1
    if bits and PEAK_SHARE * depth < high <= depth:
        return depth, f"PSNR and SSIM: peak {depth:g}, the {bits} bits of {pair.sensor.title}."
    if dtype == np.uint8:
        return 255.0, "PSNR and SSIM: peak 255, the range of the 8-bit reference."
    if not high > -np.inf:
        return 1.0, "PSNR and SSIM: the reference has no valid pixel."
    peak = (high - low if low < 0 else high) or 1.0
    return peak, f"PSNR and SSIM: peak {peak:.6g}, the largest value of the reference."


# --- without a reference --------------------------------------------------------------------------


def _score_full(
    pair: Pair, image: FusedImage, region: Window, found: Scoring, progress: Progress, side: int
) -> None:
    literal = pair.protocol == "toolbox"
    full = FullResolution(pair.bands, rounded=literal)
    local = LocalCorrelation(pair.ratio, zero_border=literal)

    def look(window: Window) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        f = fields(pair, window)
        wide = window if literal else window.expand(local.halo).intersect(region)
        fused, fused_valid = image.read(wide)
        pan, pan_valid = (f.pan, f.valid) if literal else pair.read_pan(wide)
        inner = window.within(wide)
        near = fused[(..., *inner)]
        valid = _both(f.valid, None if fused_valid is None else fused_valid[inner])
        blocks = (near, f.pan, f.lms, f.pan_lms, image.low(window), valid)
        return blocks, (fused, np.asarray(pan, float), _both(pan_valid, fused_valid), inner)

    windows = list(grid(region, side))
    threads = thread_count(0)
    for done, (_, (blocks, detail)) in enumerate(in_order(look, windows, threads, progress)):
        full.add(*blocks)
        local.add(*detail)
        progress.update((done + 1) / len(windows), "comparing with PAN and MS")
    found.scores.update(full.value(), d_rho=local.value())


def _score_reprojected(
    pair: Pair, image: FusedImage, region: Window, found: Scoring, progress: Progress, side: int
) -> None:
    literal = pair.protocol == "toolbox"
    figure = Reprojection(pair.bands, pair.ratio, rounded=literal)
    whole = Window(0, 0, pair.ms.info.width, pair.ms.info.height)
    area = pair.geometry.ms_window(region).intersect(whole) if not literal else whole

    def look(window: Window) -> tuple[Array, Array, Array | None]:
        ms, valid = pair.read_ms(window)
        small, known = image.at_ms(window)
        return ms, small, _both(valid, known)

    step = int(np.ceil(side / pair.ratio / BLOCK)) * BLOCK
    windows = [] if area.empty else list(grid(area, step))
    threads = thread_count(0)
    for done, (_, images) in enumerate(in_order(look, windows, threads, progress)):
        figure.add(*images)
        progress.update((done + 1) / len(windows), "comparing at the scale of the MS")
    found.scores.update(figure.value())


def _both(a: Array | None, b: Array | None) -> Array | None:
    if a is None or b is None:
        return b if a is None else a
    return a & b


def _explain(pair: Pair, found: Scoring) -> None:
    """Say why figures are NaN, once per reason."""
    for key, value in found.scores.items():
        if value == value:
            continue
        if key in ("d_lambda", "qnr") and pair.bands == 1:
            why = "a single band has no pairs of bands"
        elif key in _IN_BLOCKS:
            scale = "MS" if key == "r_q2n" else "PAN"
            why = f"no block of {BLOCK} x {BLOCK} {scale} pixels is complete and valid"
        else:
            why = "no valid pixels are left"
        found.missing[key] = why
    for why in dict.fromkeys(found.missing.values()):
        keys = ", ".join(key for key, reason in found.missing.items() if reason == why)
        found.notes.append(f"Not defined ({keys}): {why}.")


# --- the report -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Page:
    """What a report of scores says besides the scores."""

    pair: Pair
    reference: Source | None
    crop: int
    notes: tuple[str, ...]

    def write(
        self, path: str, kind: str, candidates: list[Candidate], sources: dict[str, Source],
        verdict: Verdict, progress: Progress,
    ) -> str:  # fmt: skip
        """Write the HTML page and return its path."""
        from . import __version__
        from .report.model import Report
        from .report.render import write_report
        from .report.views import collect_views

        pair = self.pair
        views = collect_views(
            pair.pan, pair.ms, sources, self.reference,
            titles={c.name: c.title for c in candidates},
            roles=pair.sensor.roles, gains=pair.sensor.ms_gains, progress=progress,
        )  # fmt: skip
        title = "Quality of a fused image" if kind == "assess" else "Comparison of fusion methods"
        report = Report(
            kind, title, tuple(candidates), verdict, self.reference is not None, views,
            inputs=self._inputs(sources), details=self._details(), notes=self.notes,
            engine=__version__,
            created=datetime.datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z"),
        )  # fmt: skip
        return write_report(path, report, pair.backend.encode_png)

    def _inputs(self, sources: dict[str, Source]) -> tuple[tuple[str, str], ...]:
        rows = [("PAN", self.pair.pan), ("MS", self.pair.ms)]
        rows += [("Reference", self.reference)] if self.reference is not None else []
        rows += [("Fused" if len(sources) == 1 else name, s) for name, s in sources.items()]
        return tuple((label, _words(source.info)) for label, source in rows)

    def _details(self) -> tuple[tuple[str, str], ...]:
        geometry, sensor = self.pair.geometry, self.pair.sensor
        rows = [
            ("Sensor", f"{sensor.title} ({sensor.reason})"),
            ("MTF gains", ", ".join(f"{gain:g}" for gain in sensor.ms_gains)),
            ("Ratio", f"{geometry.ratio[0]:.6g} x {geometry.ratio[1]:.6g}"),
            ("MS pixel 0 on the PAN grid", f"{geometry.phase[0]:.3f}, {geometry.phase[1]:.3f}"),
            ("Protocol", self.pair.protocol),
        ]
        if self.reference is not None:
            rows.append(("Crop", f"{self.crop} pixels" if self.crop else "none"))
        return tuple(rows)


def _words(info: RasterInfo) -> str:
    bands = len(info.bands)
    return (
        f"{info.path} ({info.width} x {info.height}, {bands} band{'s' if bands > 1 else ''}, "
        f"{info.bands[0].dtype})"
    )
