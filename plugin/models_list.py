"""The models that are here or can be had, as lines of a table."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..engine import WhetstoneError
from ..engine.library import catalogue, model_files, open_model
from ..engine.sensors import SENSORS
from .translation import tr


@dataclass(frozen=True)
class Row:
    """One model. ``where`` is "bundled", "user" or "hub"; what is not known is empty."""

    name: str
    where: str
    path: str = ""
    method: str = ""
    sensors: str = ""
    bands: str = ""
    ratio: str = ""
    size: str = ""
    licence: str = ""
    score: str = ""

    def cells(self) -> list[str]:
        """The texts, in the order of the table's columns."""
        places = {"bundled": tr("plugin"), "user": tr("your folder"), "hub": tr("Hugging Face")}
        from_ = places.get(self.where, self.where)
        texts = (self.name, self.method, self.sensors, self.bands, self.ratio, self.size)
        return [*texts, from_, self.score, self.licence]


def model_rows() -> tuple[list[Row], list[str]]:
    """Every model, and what could not be read."""
    rows, notes = [], []
    for where, path in model_files():
        try:
            rows.append(_row(where, path))
        except (WhetstoneError, OSError) as error:
            notes.append(tr("Left out: {}").format(error))
    here = {row.name for row in rows}
    rows += [Row(name, "hub") for name in catalogue() if name not in here]
    return rows, notes


def _row(where: str, path: Path) -> Row:
    card = open_model(where, path).card
    titles = [SENSORS[key].title if key in SENSORS else key for key in card.sensors]
    return Row(
        name=path.stem,
        where=where,
        path=str(path),
        method={"ssdiff": "SSDiff", "crossdiff": "CrossDiff"}.get(card.architecture, ""),
        sensors=", ".join(titles) or tr("any"),
        bands=str(card.bands),
        ratio=f"{card.ratio:g}",
        size=size_text(path.stat().st_size),
        licence=card.licence,
        score=score_text(card.scores),
    )


def size_text(size: int) -> str:
    """Bytes as people say them."""
    return f"{size / 1e6:.1f} MB" if size < 1e9 else f"{size / 1e9:.1f} GB"


def score_text(scores: Any, key: str = "ergas") -> str:
    """The ERGAS in a card's scores, from the best to the worst where there are several."""
    found = sorted(_figures(scores, key))
    if not found:
        return ""
    low, high = f"{found[0]:.3g}", f"{found[-1]:.3g}"
    return low if low == high else f"{low} – {high}"


def _figures(scores: Any, key: str) -> list[float]:
    """A figure wherever it is stated: cards list their scores by scene or by sensor."""
    if not isinstance(scores, dict):
        return []
    found = []
    for name, value in scores.items():
        if str(name).lower() == key and isinstance(value, (int, float)):
            found.append(float(value))
        else:
            found += _figures(value, key)
    return found


def delete_model(weights: Path) -> None:
    """Delete a model of the user's folder: the weights first, by which models are found."""
    weights.unlink()
    weights.with_suffix(".json").unlink(missing_ok=True)
