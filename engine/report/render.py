"""A report as one self-contained HTML file: no scripts, no fonts, no links to anywhere."""

from __future__ import annotations

import base64
import os
from contextlib import suppress
from errno import ENOSPC
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Iterable

from ..errors import WhetstoneError
from .charts import bar_chart, histogram_chart, tick
from .figures import DASH, FIGURES, HQNR_CAVEAT, Figure, best, format_score, ordered

if TYPE_CHECKING:
    from ..types import Array
    from .model import Candidate, Report

    Encode = Callable[[Array], bytes]

TEMPLATE = "report.html.j2"


def check_target(path: str, inputs: Iterable[str] = ()) -> None:
    """Refuse a place where no report can be written, or one of the inputs: before the work."""
    target = Path(path)
    if any(os.path.exists(name) and target.exists() and target.samefile(name) for name in inputs):
        raise WhetstoneError(
            "OUT_IS_INPUT",
            f"The report “{path}” is one of the inputs.",
            "Choose another name: inputs are never overwritten.",
        )
    if target.is_dir():
        raise WhetstoneError(
            "OUT_FOLDER", f"“{path}” is a folder.", "Give the report a file name ending in .html."
        )
    if not target.parent.is_dir():
        raise WhetstoneError(
            "OUT_FOLDER",
            f"The folder “{target.parent}” for the report does not exist.",
            "Create it, or choose another place.",
        )


def write_report(path: str, report: Report, encode_png: Encode | None = None) -> str:
    """Write the report as HTML; it appears under its name only when complete."""
    check_target(path)
    target = Path(path)
    text = render_report(report, encode_png)
    part = target.with_name(target.name + ".part")
    try:
        part.write_text(text, encoding="utf-8")
        os.replace(part, target)
    except OSError as error:
        raise _write_error(str(target), error) from None
    finally:
        with suppress(OSError):
            part.unlink()
    return str(target)


def _write_error(path: str, error: OSError) -> WhetstoneError:
    if error.errno == ENOSPC:
        return WhetstoneError(
            "DISK_FULL",
            f"The disk is full: the report “{path}” was not written.",
            "Free some space or choose another folder.",
        )
    return WhetstoneError(
        "OUT_FOLDER",
        f"The report could not be written to “{path}”: {error.strerror or error}.",
        "Check your rights there and that the file is not open elsewhere, or choose another name.",
    )


def render_report(report: Report, encode_png: Encode | None = None) -> str:
    """The HTML text of a report. Pictures go through the raster backend unless told otherwise."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    encode = encode_png or _backend_png
    environment = Environment(
        loader=FileSystemLoader(str(Path(__file__).parent)),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["png"] = lambda pixels: _data_uri(encode(_planes(pixels)))
    environment.filters["tick"] = tick
    environment.filters["amount"] = _amount
    return environment.get_template(TEMPLATE).render(_context(report, encode))


def _amount(value: float, unit: str, decimals: int = 2) -> str:
    """A number with its unit, the degree sign close to it."""
    number = DASH if isnan(value) else f"{value:.{decimals}f}"
    return f"{number}{unit}" if unit == "°" else f"{number}\u00a0{unit}"


def _backend_png(pixels: Array) -> bytes:
    from ..raster import backend

    return backend().encode_png(pixels)


def _planes(pixels: Array) -> Array:
    """Grey pictures go to the encoder without their band axis."""
    return pixels[0] if pixels.shape[0] == 1 else pixels


def _data_uri(data: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(data).decode("ascii")


def _context(report: Report, encode: Encode) -> dict[str, Any]:
    keys = ordered(key for candidate in report.candidates for key in candidate.scores)
    groups = _groups(keys)
    shown = _shown(report)
    compare = report.kind == "compare"
    charts = [bar_chart(key, report.candidates) for key in keys] if compare else []
    return {
        "report": report,
        "compare": compare,
        "shown": shown,
        "groups": [
            {"title": title, "figures": figures, "rows": _rows(report, figures)}
            for title, figures in groups
        ],
        "figures": [FIGURES[key] for key in keys],
        "cells": _cells(report, keys),
        "missing": _missing(report, keys),
        "charts": [chart for chart in charts if chart is not None],
        "histograms": [
            histogram_chart(histogram, shown.name, shown.title)
            for histogram in report.views.histograms
        ],
        "caveat": HQNR_CAVEAT if "hqnr" in keys else "",
        "ramp": _data_uri(encode(_ramp())) if report.views.maps else "",
        "timed": any(candidate.seconds is not None for candidate in report.candidates),
        "key_figures": _key_figures(report),
        "dash": DASH,
    }


def _shown(report: Report) -> Candidate:
    """The candidate in the foreground: the winner, or the one that was assessed."""
    named = [c for c in report.candidates if c.name == report.verdict.winner]
    return (named or list(report.candidates))[0]


def _groups(keys: tuple[str, ...]) -> list[tuple[str, list[Figure]]]:
    figures = [FIGURES[key] for key in keys]
    named = (
        ("With a reference", [f for f in figures if f.needs_reference]),
        ("Without a reference", [f for f in figures if not f.needs_reference]),
    )
    return [(title, group) for title, group in named if group]


def _cells(report: Report, keys: tuple[str, ...]) -> dict[str, dict[str, dict[str, Any]]]:
    """By figure, then by candidate: text, whether it is the best, why it is missing."""
    table: dict[str, dict[str, dict[str, Any]]] = {}
    for key in keys:
        values = {c.name: c.scores.get(key, float("nan")) for c in report.candidates}
        winners = best(key, values)
        table[key] = {
            c.name: {
                "text": format_score(key, values[c.name]),
                "short": format_score(key, values[c.name], unit=False),
                "best": c.name in winners,
                "why": c.missing.get(key, "not defined for this image"),
                "missing": isnan(values[c.name]),
            }
            for c in report.candidates
        }
    return table


def _missing(report: Report, keys: tuple[str, ...]) -> list[str]:
    """Why some cells hold a dash: every figure and reason once, with names unless all share it."""
    lines = []
    for key in keys:
        reasons: dict[str, list[str]] = {}
        for c in report.candidates:
            if isnan(c.scores.get(key, float("nan"))):
                why = c.missing.get(key, "not defined for this image")
                reasons.setdefault(why, []).append(c.title)
        for why, titles in reasons.items():
            whose = "" if len(titles) == len(report.candidates) else f" ({', '.join(titles)})"
            lines.append(f"{FIGURES[key].label}{whose}: {why}")
    return lines


def _rows(report: Report, figures: list[Figure]) -> list[Candidate]:
    keys = {figure.key for figure in figures}
    return [c for c in report.candidates if keys & set(c.scores)]


def _key_figures(report: Report) -> list[dict[str, str]]:
    """The four numbers that a reader should see first, with the grade of their aspect."""
    from .verdict import grade

    keys = ("r_ergas", "r_sam", "d_rho", "hqnr")
    if report.reference:
        keys = ("ergas", "sam", "q2n", "scc")
    scores = _shown(report).scores
    return [
        {
            "label": FIGURES[key].label,
            "name": FIGURES[key].name,
            "value": format_score(key, scores[key]),
            "grade": grade(key, scores[key]),
            "direction": f"{FIGURES[key].arrow} {FIGURES[key].direction}",
        }
        for key in keys
        if key in scores
    ]


def _ramp() -> Array:
    import numpy as np

    from .views import colour_ramp

    return np.repeat(colour_ramp(np.linspace(0, 1, 256))[:, None, :], 4, axis=1)
