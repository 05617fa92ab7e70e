"""``whetstone:check``: look at a pair without fusing it."""

from __future__ import annotations

import html
from pathlib import Path

from qgis.core import QgsProcessingOutputBoolean, QgsProcessingOutputString
from qgis.PyQt.QtCore import QT_TRANSLATE_NOOP

from ...engine import CheckJob
from ..translation import tr
from .algorithm import WhetstoneAlgorithm
from .inputs import read_pair
from .parameters import add_numbers, add_pair, add_report, add_sensor

_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:46em;margin:2em auto;padding:0 1em;"
    "color:#222;background:#fff}"
    "td{padding:.25em 1.5em .25em 0;vertical-align:top}td:first-child{color:#666}"
    ".verdict{padding:.7em 1em;border-left:5px solid}.yes{border-color:#2e8b57;background:#eef8f1}"
    ".no{border-color:#c0392b;background:#fbeeee}"
)


class CheckAlgorithm(WhetstoneAlgorithm):
    """Geometry, ratio, overlap, shift and radiometry of a pair."""

    key = "check"
    drawing = "check"
    section = ("preparation", QT_TRANSLATE_NOOP("Whetstone", "Preparation"))
    title = QT_TRANSLATE_NOOP("Whetstone", "Check a PAN and MS pair")
    keywords = QT_TRANSLATE_NOOP(
        "Whetstone",
        "coregistration shift misregistration overlap ratio radiometry dry run validate",
    )

    def initAlgorithm(self, config=None) -> None:
        add_pair(self)
        add_sensor(self)
        add_report(
            self, tr("Summary"), tr("An HTML page with what was found; the log shows it as well.")
        )
        self.addOutput(QgsProcessingOutputBoolean("OK", tr("The pair can be fused")))
        add_numbers(self, self._numbers())
        self.addOutput(QgsProcessingOutputString("SENSOR_FOUND", tr("Sensor")))
        self.addOutput(QgsProcessingOutputString("SUMMARY", tr("Summary as text")))

    @staticmethod
    def _numbers() -> dict[str, str]:
        return {
            "RATIO": tr("Ratio of MS to PAN pixel size"),
            "OVERLAP": tr("Share of the PAN that the MS covers (0 to 1)"),
            "SHIFT_X": tr("Estimated shift of PAN against MS in x (PAN pixels)"),
            "SHIFT_Y": tr("Estimated shift of PAN against MS in y (PAN pixels)"),
            "SHIFT_CONFIDENCE": tr("Confidence of the shift (0 to 1)"),
        }

    def check_parameters(self, parameters, context) -> None:
        """What makes no pair at all is refused here; the rest is for the check to say."""
        read_pair(self, parameters, context, [])

    def read_parameters(self, parameters, context):
        pair = read_pair(self, parameters, context, self.notes)
        sensor = self.parameterAsEnumString(parameters, "SENSOR", context)
        page = self.parameterAsFileOutput(parameters, "HTML", context) or None
        return CheckJob(pan=pair.pan, ms=pair.ms, sensor=sensor), pair.name, page

    def execute(self, parameters, context, progress) -> dict:
        job, name, page = self.prepared
        result = self.run_job(job, progress)
        rows = summary_rows(result)
        text = "\n".join(f"{label}: {value}" for label, value in rows)
        progress.message(verdict(result))
        progress.message(text)
        results = {
            "OK": result.ok,
            "RATIO": result.ratio,
            "OVERLAP": result.overlap,
            "SHIFT_CONFIDENCE": result.shift_confidence,
            "SENSOR_FOUND": result.sensor,
            "SUMMARY": f"{verdict(result)}\n{text}",
        }
        if result.shift is not None:
            results["SHIFT_X"], results["SHIFT_Y"] = result.shift
        if page:
            Path(page).write_text(summary_page(name, result, rows), encoding="utf-8")
            results["HTML"] = page
        return results


def verdict(result) -> str:
    """The answer in one sentence."""
    if result.ok:
        return tr("The pair can be fused.")
    return tr("The pair should not be fused as it is; see the notes.")


def summary_rows(result) -> list[tuple[str, str]]:
    """Label and value of everything the check found."""
    shift = tr("not estimated")
    if result.shift is not None:
        confidence = f"{100 * result.shift_confidence:.0f} %"
        shift = tr("{:.2f}, {:.2f} PAN pixels (confidence {})").format(*result.shift, confidence)
    rows = [
        (tr("PAN"), "{} x {}".format(*result.pan_size)),
        (tr("MS"), "{} x {}, {}".format(*result.ms_size, result.dtype)),
        (tr("Ratio"), f"{result.ratio:g}"),
        (tr("Overlap"), f"{100 * result.overlap:.1f} %"),
        (tr("Shift"), shift),
        (tr("Sensor"), f"{result.sensor} ({result.sensor_reason})"),
        (tr("PAN values"), _span(result.pan_range)),
    ]
    for band, span, correlation in zip(result.bands, result.ms_range, result.pan_correlation):
        text = tr("{}, correlation with PAN {:.2f}").format(_span(span), correlation)
        rows.append((tr("Band {}").format(band), text))
    return rows


def _span(span: tuple[float, float]) -> str:
    return tr("{:g} to {:g}").format(*span)


def summary_page(name: str, result, rows: list[tuple[str, str]]) -> str:
    """The check as a small self-contained HTML page."""
    cells = "".join(
        f"<tr><td>{html.escape(label)}</td><td>{html.escape(value)}</td></tr>"
        for label, value in rows
    )
    notes = "".join(f"<li>{html.escape(note)}</li>" for note in result.notes)
    title = html.escape(tr("Check of {}").format(name))
    kind = "yes" if result.ok else "no"
    return (
        f'<!doctype html><html><head><meta charset="utf-8"><title>{title}</title>'
        f"<style>{_STYLE}</style></head><body><h1>{title}</h1>"
        f'<p class="verdict {kind}">{html.escape(verdict(result))}</p>'
        f"<table>{cells}</table><ul>{notes}</ul></body></html>\n"
    )
