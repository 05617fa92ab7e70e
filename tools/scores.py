"""Print the figures in an answer of `qgis_process --json run whetstone:assess` as a table."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from whetstone.engine.answers import FIGURES, figure, table


def last_object(text: str) -> dict[str, Any]:
    """The last JSON object in a text: qgis_process may print other things before it."""
    decoder = json.JSONDecoder()
    found: dict[str, Any] = {}
    at = text.find("{")
    while at >= 0:
        try:
            found, end = decoder.raw_decode(text, at)
        except ValueError:
            end = at + 1
        at = text.find("{", end)
    return found


def main() -> int:
    """Read the answer, print the table."""
    results = last_object(Path(sys.argv[1]).read_text(encoding="utf-8")).get("results", {})
    by_key = {key.lower(): value for key, value in results.items()}
    rows = [
        (key, figure(float(by_key[key])), unit, ideal)
        for key, (unit, ideal) in FIGURES.items()
        if by_key.get(key) is not None
    ]
    if not rows:
        print("demo: QGIS returned no figures", file=sys.stderr)
        return 1
    print(table([("figure", "value", "unit", "ideal"), *rows]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
