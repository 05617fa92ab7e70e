"""The figures of merit in words: what each one means, which way is better, when not to trust it.

The one home of these texts. Report, toolbox and command line all read them here, so this module
imports nothing but the standard library.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, isinf, isnan, nan
from typing import Iterable, Mapping

DASH = "–"


@dataclass(frozen=True)
class Figure:
    """One figure of merit. ``ideal`` is the value of a perfect image."""

    key: str
    label: str
    name: str
    unit: str
    lower_is_better: bool
    ideal: float
    needs_reference: bool
    meaning: str
    caution: str
    decimals: int = 3

    @property
    def arrow(self) -> str:
        """▼ when lower is better, ▲ when higher is."""
        return "▼" if self.lower_is_better else "▲"

    @property
    def direction(self) -> str:
        """The arrow in words."""
        return "lower is better" if self.lower_is_better else "higher is better"

    def distance(self, value: float) -> float:
        """How far a value is from the ideal; NaN when the figure has no finite ideal."""
        return nan if isinf(self.ideal) else abs(value - self.ideal)

    def better(self, a: float, b: float) -> bool:
        """Whether ``a`` is better than ``b``; any number is better than NaN."""
        if isnan(a) or isnan(b):
            return isnan(b) and not isnan(a)
        return a < b if self.lower_is_better else a > b


_WITH = (
    Figure(
        "ergas", "ERGAS", "relative global error", "", True, 0.0, True,
        "The error of all bands together, in per cent of their brightness and scaled by the "
        "resolution ratio. As a rule of thumb, below 3 is good.",
        "It grows with any shift between image and reference, and values of different ratios or "
        "scenes do not compare.",
    ),
    Figure(
        "sam", "SAM", "spectral angle", "°", True, 0.0, True,
        "How far the colour of a pixel turns away from the true one, whatever its brightness.",
        "It is blind to brightness errors and noisy over dark pixels such as water and shadow.",
    ),
    Figure(
        "q2n", "Q2n", "hypercomplex quality index", "", False, 1.0, True,
        "Colour, brightness and detail in one index over blocks of 32 × 32 pixels, all bands "
        "jointly (Q4 for four bands, Q8 for eight).",
        "Flat blocks such as water count as much as a city, and their score is mostly noise.",
    ),
    Figure(
        "scc", "SCC", "spatial correlation", "", False, 1.0, True,
        "How well edges agree with those of the reference.",
        "Several definitions are in use (this one: Sobel edges, one global correlation), so "
        "compare only within one program.",
    ),
    Figure(
        "psnr", "PSNR", "peak signal-to-noise ratio", "dB", False, inf, True,
        "The mean squared error on a logarithmic scale, relative to the largest value the sensor "
        "can record.",
        "It depends on the peak value assumed, and rewards blurred results over sharp ones that "
        "are slightly displaced.", 2,
    ),
    Figure(
        "ssim", "SSIM", "structural similarity", "", False, 1.0, True,
        "Agreement of local brightness, contrast and structure.",
        "It tends to 1 for low-contrast scenes: small differences may matter.",
    ),
    Figure(
        "rmse", "RMSE", "root mean square error", "DN", True, 0.0, True,
        "The typical error of a pixel, in the units of the image.",
        "Bright bands dominate it, and it does not compare between sensors.", 2,
    ),
    Figure(
        "cc", "CC", "correlation coefficient", "", False, 1.0, True,
        "Linear agreement of each band with the reference, averaged over the bands.",
        "A wrong gain or offset does not lower it.",
    ),
)  # fmt: skip

_WITHOUT = (
    Figure(
        "r_ergas", "R-ERGAS", "reprojected global error", "", True, 0.0, False,
        "The fused image is brought back to the resolution of the MS and compared with it: error "
        "of all bands in per cent, scaled by the ratio. It says whether radiometry survived.",
        "It says nothing about detail: plain enlargement scores very well. Misregistration of PAN "
        "and MS and a wrong sensor MTF raise it.",
    ),
    Figure(
        "r_sam", "R-SAM", "reprojected spectral angle", "°", True, 0.0, False,
        "The fused image is brought back to the resolution of the MS: how far colours turned.",
        "It says nothing about detail, and is noisy over dark pixels.",
    ),
    Figure(
        "d_rho", "D_rho", "local decorrelation from the PAN", "", True, 0.0, False,
        "How far the fine structure of the bands is from that of the PAN, in small windows. It "
        "says whether detail has arrived.",
        "Zero is not the truth: infrared and blue differ from the PAN in nature. An image made by "
        "copying the PAN into every band would score best.",
    ),
    Figure(
        "hqnr", "HQNR", "hybrid quality without reference", "", False, 1.0, False,
        "Colour agreement and detail agreement multiplied: (1 − D_lambda,K)(1 − D_s).",
        "It can be gamed: smooth images and even plain enlargement may score above the truth. "
        "Read it only together with D_rho and R-ERGAS; differences below 0.005 are noise.",
    ),
    Figure(
        "d_lambda_k", "D_lambda,K", "spectral distortion (Khan)", "", True, 0.0, False,
        "The colour half of HQNR: the fused image, blurred like the sensor does, against the "
        "enlarged MS.",
        "It depends on the sensor's MTF being right, and is small for blurred images.",
    ),
    Figure(
        "d_s", "D_s", "spatial distortion", "", True, 0.0, False,
        "The detail half of HQNR and QNR: whether bands relate to the PAN as they do at the "
        "coarse scale.",
        "Assumes that this relation is the same at both scales, which vegetation and cities "
        "often break.",
    ),
    Figure(
        "r_q2n", "R-Q2n", "reprojected quality index", "", False, 1.0, False,
        "The fused image is brought back to the resolution of the MS: agreement in blocks, all "
        "bands jointly.",
        "It says nothing about detail; flat blocks count as much as textured ones.",
    ),
    Figure(
        "qnr", "QNR", "quality without reference", "", False, 1.0, False,
        "The older quality index without a reference: (1 − D_lambda)(1 − D_s).",
        "Easily gamed, plain enlargement scores high; prefer R-ERGAS and D_rho.",
    ),
    Figure(
        "d_lambda", "D_lambda", "spectral distortion (QNR)", "", True, 0.0, False,
        "Whether the bands relate to each other as they do in the MS.",
        "It is exactly 0 for plain enlargement, and does not see an error that all bands share.",
    ),
)  # fmt: skip

#: Every figure by its key, in the order in which reports list them.
FIGURES: Mapping[str, Figure] = {figure.key: figure for figure in _WITH + _WITHOUT}

#: The caveat that has to stand wherever HQNR is printed.
HQNR_CAVEAT = (
    "HQNR can be gamed: a smooth image may score above the truth. Read it next to D_rho (has the "
    "detail arrived?) and R-ERGAS (did the radiometry survive?)."
)


def ordered(keys: Iterable[str]) -> tuple[str, ...]:
    """Known keys in the order of reports; unknown ones are left out."""
    present = set(keys)
    return tuple(key for key in FIGURES if key in present)


def format_score(key: str, value: float | None, unit: bool = True) -> str:
    """A score for people: fixed decimals, its unit, a dash where it is undefined."""
    figure = FIGURES[key]
    if value is None or isnan(value):
        return DASH
    text = "∞" if isinf(value) else f"{value:.{figure.decimals}f}"
    text = f"−{text[1:]}" if text.startswith("-") else text
    if not unit or not figure.unit:
        return text
    return text + ("" if figure.unit == "°" else "\u00a0") + figure.unit


def best(key: str, scores: Mapping[str, float]) -> tuple[str, ...]:
    """The names with the best score of one figure, as printed; none when all are alike."""
    winner = nan
    for value in scores.values():
        if FIGURES[key].better(value, winner):
            winner = value
    if isnan(winner):
        return ()
    shown = format_score(key, winner)
    names = tuple(name for name, value in scores.items() if format_score(key, value) == shown)
    return names if len(names) < len(scores) else ()
