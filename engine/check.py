"""A dry run: what a pair looks like, and whether fusing it is wise."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from .classical.statistics import Moments, empty, windows_with_pixels
from .fields import fields
from .jobs import CheckJob, CheckResult
from .pair import Pair, open_pair
from .registration import estimate_shift
from .tiling import grid, in_order, scattered, thread_count
from .types import PartOfProgress

if TYPE_CHECKING:
    from .types import Array, Progress, Window

WINDOW, MOST_WINDOWS = 512, 16
WEAK_CORRELATION = 0.3
SATURATED_SHARE = 0.001


def check(job: CheckJob, progress: Progress) -> CheckResult:
    """Run a :class:`CheckJob`; raises the same refusals as a fusion would."""
    threads = thread_count(0)
    with open_pair(job.pan, job.ms, sensor=job.sensor) as pair:
        shift = estimate_shift(pair, threads, PartOfProgress(progress, 0.0, 0.6))
        looks = _look(pair, threads, PartOfProgress(progress, 0.6, 1.0))
        info = pair.pan.info
        overlap = pair.scene.width * pair.scene.height / (info.width * info.height)
        correlation = tuple(round(float(c), 4) for c in looks.correlation())
        far = shift.known and np.hypot(shift.dx, shift.dy) > 0.5 * pair.ratio
        warnings = [*_radiometry_notes(pair, looks), *_correlation_notes(correlation)]
        return CheckResult(
            ok=not far and max(correlation) >= WEAK_CORRELATION,
            sensor=pair.sensor.key,
            sensor_reason=pair.sensor.reason,
            ratio=pair.ratio,
            phase=pair.geometry.phase,
            overlap=overlap,
            shift=(shift.dx, shift.dy) if shift.known else None,
            shift_confidence=shift.confidence,
            bands=pair.sensor.roles,
            dtype=pair.ms.info.bands[0].dtype,
            pan_size=(info.width, info.height),
            ms_size=(pair.ms.info.width, pair.ms.info.height),
            pan_range=looks.ranges[0],
            ms_range=tuple(looks.ranges[1:]),
            pan_correlation=correlation,
            notes=(*pair.notes, shift.describe(pair.ratio), *warnings),
        )


class _Seen(NamedTuple):
    """PAN (h, w), and at MS scale the low-passed PAN and the MS (B, h, w), with their validity."""

    pan: Array
    valid: Array | None
    low: Array
    ms: Array
    ms_valid: Array | None


class _Looks:
    """Ranges, saturation and correlations over the windows looked at; the PAN is channel 0."""

    def __init__(self, bands: int, tops: list[float]) -> None:
        self.ranges = [(np.inf, -np.inf)] * (bands + 1)
        self.saturated, self.counts = np.zeros(bands + 1), np.zeros(bands + 1)
        self.tops = tops
        self.moments = Moments()

    def add(self, seen: _Seen) -> None:
        """Add one window."""
        self.moments.add({"pan": seen.low[None], "ms": seen.ms}, seen.ms_valid)
        for i, image in enumerate([seen.pan, *seen.ms]):
            valid = seen.ms_valid if i else seen.valid
            values = image if valid is None else image[valid]
            if values.size:
                low, high = self.ranges[i]
                self.ranges[i] = min(low, float(values.min())), max(high, float(values.max()))
                self.saturated[i] += np.count_nonzero(values >= self.tops[i])
                self.counts[i] += values.size

    def share_saturated(self, channel: int) -> float:
        """Share of pixels at the top of the range; 0 where values beyond it show another depth."""
        if self.ranges[channel][1] > self.tops[channel] or not self.counts[channel]:
            return 0.0
        return float(self.saturated[channel] / self.counts[channel])

    def correlation(self) -> Array:
        """Correlation of every band with the PAN, (B,)."""
        spread = self.moments.std("ms") * self.moments.std("pan")[0]
        cov = self.moments.cov("ms", "pan")[:, 0]
        return np.where(spread > 0, cov / np.where(spread > 0, spread, 1), 0.0)


def _look(pair: Pair, threads: int, progress: Progress) -> _Looks:
    every = grid(pair.scene, WINDOW)
    looks = _look_at(pair, scattered(every, MOST_WINDOWS), threads, progress)
    if not looks.moments.count and len(every) > MOST_WINDOWS:
        known = windows_with_pixels(pair, WINDOW, threads, progress)
        looks = _look_at(pair, scattered(known, MOST_WINDOWS), threads, progress)
    if not looks.moments.count:
        raise empty()
    return looks


def _look_at(pair: Pair, windows: list[Window], threads: int, progress: Progress) -> _Looks:
    looks = _Looks(pair.bands, _tops(pair))

    def images(window: Window) -> _Seen | None:
        f = fields(pair, window)
        if f.ms_window.empty:
            return None
        return _Seen(f.pan, f.valid, f.pan_mtf_ms, f.ms, f.ms_valid)

    for done, (_, found) in enumerate(in_order(images, windows, threads, progress)):
        if found is not None:
            looks.add(found)
        progress.update((done + 1) / len(windows), "looking at the pixels")
    return looks


def _tops(pair: Pair) -> list[float]:
    """The highest value the sensor's bit depth (else the type) allows, PAN first."""
    tops = []
    for band in (*pair.pan.info.bands, *pair.ms.info.bands):
        kind = np.dtype(band.dtype)
        top = float(np.iinfo(kind).max) if kind.kind in "iu" else np.inf
        tops.append(
            min(top, 2.0**pair.sensor.bits - 1) if pair.sensor.bits and kind.itemsize == 2 else top
        )
    return tops


def _radiometry_notes(pair: Pair, looks: _Looks) -> list[str]:
    notes = []
    names = ["PAN", *(band.name or f"band {i}" for i, band in enumerate(pair.ms.info.bands, 1))]
    for channel, (name, (low, high)) in enumerate(zip(names, looks.ranges)):
        share = looks.share_saturated(channel)
        if low == high:
            notes.append(f"{name} is constant ({low:g}).")
        elif share > SATURATED_SHARE and high > 0:
            notes.append(f"{name}: {100 * share:.1f} % of the pixels are saturated.")
    highest = max(high for _, high in looks.ranges[1:])
    if np.dtype(pair.ms.info.bands[0].dtype).kind == "f" and highest <= 2:
        notes.append("Values look like reflectance 0-1; they are used as they are.")
    means = looks.moments.mean("ms").mean(), looks.moments.mean("pan")[0]
    if min(means) > 0 and max(means) / min(means) > 20:
        notes.append(
            f"PAN and MS differ in scale (means {means[1]:.4g} and {means[0]:.4g}): methods match "
            "them, but check that both are of the same processing level."
        )
    return notes


def _correlation_notes(correlation: tuple[float, ...]) -> list[str]:
    if max(correlation) >= WEAK_CORRELATION:
        return []
    return [
        f"No band resembles the PAN (highest correlation {max(correlation):.2f}): different dates, "
        "places or a strong shift; a fusion would look wrong."
    ]
