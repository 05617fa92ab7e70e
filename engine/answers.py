"""Results as text for people: aligned tables with units, what the command line prints."""

from __future__ import annotations

import json
from dataclasses import asdict
from math import isinf
from typing import Any, Callable, Sequence

from .jobs import (
    AdaptResult,
    AssessResult,
    CheckResult,
    CompareResult,
    DegradeResult,
    DemoResult,
    FuseResult,
)
from .models_cli import ModelCheck, ModelList, ModelShown
from .report import figures
from .selftest import SelftestResult

#: Figure -> (unit, its ideal value), in the order of printing.
FIGURES = {
    key: ("deg" if f.unit == "°" else f.unit, "high" if isinf(f.ideal) else f"{f.ideal:g}")
    for key, f in figures.FIGURES.items()
}


def to_text(result: Any) -> str:
    """A result for people."""
    if isinstance(result, dict) and "methods" in result:
        rows = [("name", "family", "title", "source")]
        rows += [tuple(m[key] for key in rows[0]) for m in result["methods"]]
        return table(rows, left=len(rows[0]))
    if isinstance(result, dict):
        return "\n\n".join(to_text(part) for part in result.values())
    text = TEXTS.get(type(result))
    return text(result) if text else json.dumps(asdict(result), indent=2)


def table(rows: Sequence[Sequence[str]], left: int = 1) -> str:
    """Aligned columns; the first ``left`` of them to the left, the others to the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if i < left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths))
        ).rstrip()
        for row in rows
    )


def figure(value: Any) -> str:
    """A number with four to five significant digits; a dash where there is none."""
    if value is None or value != value:
        return "-"
    return f"{value:.4f}" if abs(value) < 100 else f"{value:.2f}"


def _shift_text(result: FuseResult | CheckResult) -> str:
    if result.shift is None:
        return "unknown"
    dx, dy = result.shift
    done = ", corrected" if getattr(result, "coregistered", False) else ""
    return f"{dx:+.2f}, {dy:+.2f} PAN pixels (confidence {result.shift_confidence:.2f}){done}"


def _fuse_text(r: FuseResult) -> str:
    return table(
        [
            ("fused", r.out),
            (
                "method",
                f"{r.method}, sensor {r.sensor}" + (f", model {r.model}" if r.model else ""),
            ),
            ("image", f"{r.width} x {r.height} pixels, {r.bands} bands, {r.dtype}"),
            ("ratio", f"{r.ratio:g}, MS pixel 0 at {r.phase[0]:g}, {r.phase[1]:g} PAN pixels"),
            ("shift", _shift_text(r)),
            ("clipped", f"{r.clipped} values"),
            ("valid", f"{100 * r.valid_fraction:.1f} % of the pixels"),
            ("time", f"{r.seconds:.1f} s"),
            *([("uncertainty", r.uncertainty)] if r.uncertainty else []),
        ],
        left=2,
    )


def _assess_text(r: AssessResult) -> str:
    rows = [("figure", "value", "unit", "ideal")]
    keys = [*(k for k in FIGURES if k in r.scores), *(k for k in r.scores if k not in FIGURES)]
    rows += [(key, figure(r.scores[key]), *FIGURES.get(key, ("", ""))) for key in keys]
    lines = [table(rows), r.verdict]
    return "\n".join([*lines, f"report: {r.html}"] if r.html else lines)


def _compare_text(r: CompareResult) -> str:
    present = {key for row in r.rows for key in row["scores"]}
    keys = [*(k for k in FIGURES if k in present), *sorted(present - set(FIGURES))]
    rows = [("method", "time", *keys), ("", "s", *(FIGURES.get(k, ("",))[0] for k in keys))]
    for row in r.rows:
        scores = (figure(row["scores"].get(key)) for key in keys)
        rows.append((row["method"], f"{row['seconds']:.1f}", *scores))
    lines = [table(rows), f"best: {r.best}"]
    return "\n".join([*lines, f"report: {r.html}"] if r.html else lines)


def _adapt_text(r: AdaptResult) -> str:
    keys = [key for key in FIGURES if key in r.scores["adapted"]]
    rows = [("on held-out windows", *keys), ("", *(FIGURES[key][0] for key in keys))]
    rows += [(name, *(figure(scores[key]) for key in keys)) for name, scores in r.scores.items()]
    head = [
        ("model", r.out),
        ("started from", r.start or "scratch"),
        ("fits", f"{r.bands} bands at ratio {r.ratio:g}"),
        ("training", f"{r.steps} steps in {r.seconds:.0f} s, ended: {r.ended}"),
        ("held out", f"{r.held_out:.0f} % of the scene"),
    ]
    return f"{table(head, left=2)}\n\n{table(rows)}"


def _check_text(r: CheckResult) -> str:
    names = r.bands or tuple(f"band {i + 1}" for i in range(len(r.ms_range)))
    head = [
        ("verdict", "this pair can be fused" if r.ok else "do not fuse this pair as it is"),
        ("sensor", f"{r.sensor} ({r.sensor_reason})"),
        (
            "PAN",
            f"{r.pan_size[0]} x {r.pan_size[1]} pixels, {r.pan_range[0]:g} to {r.pan_range[1]:g}",
        ),
        ("MS", f"{r.ms_size[0]} x {r.ms_size[1]} pixels, {len(names)} bands, {r.dtype}"),
        ("ratio", f"{r.ratio:g}, MS pixel 0 at {r.phase[0]:g}, {r.phase[1]:g} PAN pixels"),
        ("overlap", f"{100 * r.overlap:.1f} % of the PAN image"),
        ("shift", _shift_text(r)),
    ]
    bands = [("band", "lowest", "highest", "correlation with PAN")]
    for name, (low, high), correlation in zip(names, r.ms_range, r.pan_correlation):
        bands.append((name, f"{low:g}", f"{high:g}", figure(correlation)))
    return f"{table(head, left=2)}\n\n{table(bands)}"


def _files_text(r: DegradeResult | DemoResult) -> str:
    return table([("PAN", r.pan), ("MS", r.ms), ("truth", r.gt)], left=2)


def _models_text(r: ModelList) -> str:
    rows = [("name", "architecture", "bands", "ratio", "sensors", "where", "size")]
    for m in r.models:
        if m["where"] == "hub":  # its card is there, too
            rows.append((m["name"], "-", "-", "-", "-", "hub", "not downloaded"))
            continue
        sensors = ", ".join(m["sensors"]) or "-"
        numbers = (f"{m['bands']}", f"{m['ratio']:g}")
        where = (m["where"], _size(m["bytes"]))
        rows.append((m["name"], m["architecture"], *numbers, sensors, *where))
    head = table(rows, left=len(rows[0])) if r.models else "There are no models here yet."
    return f"{head}\nyour model folder: {r.folder}"


def _model_text(r: ModelShown) -> str:
    c = r.card
    scale = c["normalisation"]
    divisor = {
        "full_scale": "{value:g}",
        "percentile": "percentile {value:g} of their own values",
        "standard": "their own deviation about their mean",
        "fixed": "the deviation of the scene it was adapted to",
    }
    form = divisor.get(scale.get("kind"), "{kind} {value}")
    low, high = ("open" if limit is None else f"{limit:g}" for limit in c["limits"])
    if c["architecture"] == "crossdiff":
        how = [("statistics", f"of the {c['statistics']}"), ("limits", f"{low} to {high}")]
        phase = ""
    else:
        how = [
            ("limits", f"{low} to {high}, residual times {c['residual_scale']:g}"),
            ("sampling", f"{c['steps']} steps, schedule {_values(c['schedule'])}"),
        ]
        phase = f", MS pixel 0 at {c['phase']:g} PAN pixels"
    rows = [
        ("model", r.name),
        ("file", f"{r.path} ({_size(r.bytes)})"),
        ("architecture", f"{c['architecture']}: {_values(c['parameters'])}"),
        ("bands", f"{c['bands']}: {', '.join(c['roles']) or 'in the order of the training'}"),
        ("ratio", f"{c['ratio']:g}{phase}"),
        ("sensors", ", ".join(c["sensors"]) or "not stated"),
        ("inputs", f"divided by {form.format(**scale)}, windows of {c['window']} PAN pixels"),
        *how,
        *((f"training {key}", _values(value)) for key, value in c["training"].items()),
        *((f"scores {key}", _values(value)) for key, value in c["scores"].items()),
        ("licence", c["licence"] or "not stated"),
        ("sha256", c["sha256"] or "not stated"),
    ]
    return table(rows, left=2)


def _model_check_text(r: ModelCheck) -> str:
    if not r.models:
        return "There are no models here to verify."
    rows = [("name", "where", "state")]
    rows += [(m["name"], m["where"], m["trouble"] or "ok") for m in r.models]
    return table(rows, left=3)


def _selftest_text(r: SelftestResult) -> str:
    rows = [(c["name"], "ok" if c["ok"] else "FAILED", c["detail"]) for c in r.checks]
    return table(rows, left=3)


def _values(value: Any) -> str:
    """A value of a model card in one line."""
    if isinstance(value, dict):
        return ", ".join(f"{key} {_values(item)}" for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(_values(item) for item in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _size(count: int) -> str:
    return f"{count / 1e6:.1f} MB"


TEXTS: dict[type, Callable[[Any], str]] = {
    AdaptResult: _adapt_text,
    FuseResult: _fuse_text,
    AssessResult: _assess_text,
    CompareResult: _compare_text,
    CheckResult: _check_text,
    DegradeResult: _files_text,
    DemoResult: _files_text,
    ModelList: _models_text,
    ModelShown: _model_text,
    ModelCheck: _model_check_text,
    SelftestResult: _selftest_text,
}


def notes(result: Any) -> list[str]:
    """Everything a result wants to be read once."""
    parts = result.values() if isinstance(result, dict) else [result]
    return list(dict.fromkeys(note for part in parts for note in getattr(part, "notes", ())))
