"""The geometry of the charts: bars of scores and histograms, ready to be drawn as inline SVG."""

from __future__ import annotations

from dataclasses import dataclass
from math import isnan
from typing import Sequence

from .figures import FIGURES, best, format_score
from .model import Candidate, Histogram

BAR_ROW, BAR_LEFT, BAR_SPAN, BAR_WIDTH = 20, 112, 128, 300
HISTOGRAM_WIDTH, HISTOGRAM_HEIGHT = 300, 96


@dataclass(frozen=True)
class Bar:
    """One bar: its label, length, text behind it, and how it is painted."""

    label: str
    y: int
    length: float
    text: str
    style: str


@dataclass(frozen=True)
class BarChart:
    """One figure for every candidate; a bar is the distance from the ideal."""

    key: str
    title: str
    direction: str
    height: int
    bars: tuple[Bar, ...]


@dataclass(frozen=True)
class Curve:
    """One series of a histogram as an SVG path."""

    label: str
    style: str
    path: str


@dataclass(frozen=True)
class HistogramChart:
    """One band before and after."""

    band: str
    low: str
    high: str
    curves: tuple[Curve, ...]


def bar_chart(key: str, candidates: Sequence[Candidate]) -> BarChart | None:
    """Bars from the ideal: shorter is better for every figure. None where that makes no sense."""
    figure = FIGURES[key]
    values = {c.name: c.scores.get(key, float("nan")) for c in candidates}
    reach = {name: figure.distance(value) for name, value in values.items()}
    finite = [value for value in reach.values() if not isnan(value)]
    if not finite:
        return None
    longest = max(finite) or 1.0
    winners = best(key, {c.name: values[c.name] for c in candidates})
    bars = []
    for row, candidate in enumerate(candidates):
        length = 0.0 if isnan(reach[candidate.name]) else reach[candidate.name] / longest
        style = "plain" if candidate.baseline else "other"
        style = "best" if candidate.name in winners else style
        text = format_score(key, values[candidate.name])
        label = shorten(candidate.title, 16)
        bars.append(Bar(label, row * BAR_ROW, round(length * BAR_SPAN, 1), text, style))
    height = BAR_ROW * len(candidates)
    return BarChart(key, figure.label, figure.direction, height, tuple(bars))


def histogram_chart(histogram: Histogram, after: str, label: str) -> HistogramChart:
    """Before (MS), after (``after``) and, if there is one, the reference, each of area 1."""
    series = [("ms", "MS (before)", "before"), (after, label, "after")]
    if "reference" in histogram.counts:
        series.insert(1, ("reference", "Reference", "truth"))
    shares = {name: _shares(histogram.counts.get(name, ())) for name, _, _ in series}
    top = max((max(values) for values in shares.values() if values), default=0) or 1.0
    curves = tuple(
        Curve(text, style, _path(shares[name], top, style == "before"))
        for name, text, style in series
        if shares[name]
    )
    low, high = tick(histogram.low), tick(histogram.high)
    return HistogramChart(histogram.band, low, high, curves)


def shorten(text: str, length: int) -> str:
    """Cut a long name with an ellipsis."""
    return text if len(text) <= length else text[: length - 1].rstrip() + "…"


def tick(value: float) -> str:
    """A number for an axis."""
    text = f"{value:.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.3g}"
    return text.replace("-", "−")


def _shares(counts: Sequence[int]) -> list[float]:
    total = sum(counts)
    return [count / total for count in counts] if total else []


def _path(shares: Sequence[float], top: float, closed: bool) -> str:
    step, height = HISTOGRAM_WIDTH / max(len(shares), 1), HISTOGRAM_HEIGHT
    parts = []
    for index, share in enumerate(shares):
        y = height - share / top * (height - 4)
        parts.append(f"{index * step:.1f},{y:.1f} {(index + 1) * step:.1f},{y:.1f}")
    line = "M" + " L".join(" L".join(part.split(" ")) for part in parts)
    return f"{line} L{HISTOGRAM_WIDTH},{height} L0,{height} Z" if closed and parts else line
