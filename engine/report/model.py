"""What a report says, before anyone decides how it looks."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Mapping

if TYPE_CHECKING:
    from ..types import Array

#: Short words for the state of one aspect, from best to worst; "" when it cannot be judged.
GRADES = ("good", "fair", "poor")


@dataclass(frozen=True)
class Candidate:
    """One image with its scores. ``missing`` says why a score is NaN; ``baseline`` marks the plain
    enlargement (``exp``) that the others are measured by.
    """

    name: str
    title: str
    scores: Mapping[str, float]
    seconds: float | None = None
    missing: Mapping[str, str] = field(default_factory=dict)
    baseline: bool = False


@dataclass(frozen=True)
class Finding:
    """One aspect of the verdict: colour, detail, ... with the figures it rests on."""

    aspect: str
    grade: str
    keys: tuple[str, ...]
    text: str


@dataclass(frozen=True)
class Verdict:
    """The reading of the scores. ``rule`` says how a winner was found, or what was judged by."""

    headline: str
    grade: str
    findings: tuple[Finding, ...] = ()
    cautions: tuple[str, ...] = ()
    rule: str = ""
    winner: str = ""

    @property
    def text(self) -> str:
        """The verdict as one plain paragraph, for logs and the command line."""
        return " ".join((self.headline, *(f.text for f in self.findings), *self.cautions))


@dataclass(frozen=True)
class Picture:
    """A small image, uint8 (1, 3 or 4, h, w), with its caption; ``name`` of the candidate or ""."""

    caption: str
    pixels: Array
    name: str = ""


@dataclass(frozen=True)
class Place:
    """The same spot in every image."""

    title: str
    why: str
    where: str
    pictures: tuple[Picture, ...]


@dataclass(frozen=True)
class MapLayer:
    """One kind of error map for every candidate, all with the same colours.

    ``summaries`` holds (mean, 95th percentile) of each picture.
    """

    title: str
    why: str
    unit: str
    low: float
    high: float
    pictures: tuple[Picture, ...]
    summaries: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True)
class Histogram:
    """Counts of one band on shared bins from ``low`` to ``high``; the outer bins hold the tails.

    ``counts`` goes by series: "ms", "reference" if there is one, and every candidate's name.
    """

    band: str
    low: float
    high: float
    counts: Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class Views:
    """What there is to see: crops, maps and histograms."""

    places: tuple[Place, ...] = ()
    maps: tuple[MapLayer, ...] = ()
    histograms: tuple[Histogram, ...] = ()
    rgb: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Report:
    """Everything a report holds. ``kind`` is "assess" (first candidate judged, a baseline may
    follow) or "compare". ``inputs`` and ``details`` are (label, value) rows.
    """

    kind: str
    title: str
    candidates: tuple[Candidate, ...]
    verdict: Verdict
    reference: bool = False
    views: Views = field(default_factory=Views)
    inputs: tuple[tuple[str, str], ...] = ()
    details: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()
    engine: str = ""
    created: str = ""
