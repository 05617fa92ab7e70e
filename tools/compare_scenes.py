"""Run ``whetstone compare`` on a folder of scenes and write the mean scores as Markdown.

Scenes are ``<name>_pan.tif`` and ``<name>_ms.tif``, with ``<name>_gt.tif`` where the pair is at
reduced resolution already. Pairs without a truth are scored twice: as they are, and degraded.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

REDUCED = ("ergas", "sam", "q2n", "scc")
FULL = ("hqnr", "d_lambda_k", "d_s", "d_rho", "r_ergas", "r_sam")
LOWER = {"ergas", "sam", "d_lambda_k", "d_s", "d_rho", "r_ergas", "r_sam"}


def compare(pan: Path, ms: Path, out: Path, methods: str, extra: list[str]) -> dict[str, Any]:
    """The JSON of one ``whetstone compare``."""
    command = [
        *(sys.executable, "-m", "whetstone.engine.cli", "compare"),
        *("--pan", str(pan), "--ms", str(ms), "--methods", methods, "--out-dir", str(out)),
        *(*extra, "--json"),
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)}\n{done.stderr}")
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def score(folder: Path, methods: str, extra: list[str]) -> dict[tuple[str, str], list[Any]]:
    """Per (sensor, "reduced" | "full"): one list of rows for each scene."""
    found: dict[tuple[str, str], list[Any]] = defaultdict(list)
    for pan in sorted(folder.glob("*_pan.tif")):
        name = pan.name[: -len("_pan.tif")]
        ms, truth = (pan.with_name(f"{name}_{kind}.tif") for kind in ("ms", "gt"))
        runs = [("reduced", ["--reference", str(truth)])] if truth.exists() else []
        runs = runs or [("reduced", ["--reduced"]), ("full", [])]
        for kind, flags in runs:
            with tempfile.TemporaryDirectory() as scratch:
                result = compare(pan, ms, Path(scratch), methods, [*flags, *extra])
            found[name.split("_")[0], kind].append(result["rows"])
            print(f"{name} ({kind}): best {result['best']}", file=sys.stderr)
    return found


def table(scenes: list[Any], keys: tuple[str, ...]) -> str:
    """A Markdown table of means over scenes (standard deviation in brackets), best in bold."""
    names = [row["method"] for row in scenes[0]]
    values = {
        key: {
            name: [r["scores"][key] for rows in scenes for r in rows if r["method"] == name]
            for name in names
        }
        for key in keys
    }
    means = {
        key: {n: statistics.fmean(v) for n, v in column.items()} for key, column in values.items()
    }
    lines = ["| method | " + " | ".join(keys) + " |", "|---" * (len(keys) + 1) + "|"]
    for name in names:
        cells = []
        for key in keys:
            pick = min if key in LOWER else max
            best = pick(means[key].values())
            text = f"{means[key][name]:.3f}"
            if len(scenes) > 1:
                text += f" ({statistics.stdev(values[key][name]):.3f})"
            cells.append(f"**{text}**" if f"{means[key][name]:.3f}" == f"{best:.3f}" else text)
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def page(found: dict[tuple[str, str], list[Any]], command: str) -> str:
    """The whole document."""
    text = [
        "# Classical methods on real scenes",
        "",
        f"Printed by `{command}` (`whetstone compare` per scene). Means over the",
        "scenes of a sensor, standard deviations in brackets, best value of a column in bold.",
        "Product protocol; *reduced*: both images were degraded by their ratio (Wald) and",
        "the MS is the truth, *full* means the delivered resolution without a truth. HQNR can be",
        "gamed by smooth images: read it next to D_rho and R-ERGAS.",
    ]
    for (sensor, kind), scenes in sorted(found.items(), key=lambda item: (item[0][0], item[0][1])):
        count = f"{len(scenes)} scene{'s' if len(scenes) > 1 else ''}"
        keys = REDUCED if kind == "reduced" else FULL
        text += ["", f"## {sensor}, {kind} resolution ({count})", "", table(scenes, keys)]
    return "\n".join(text) + "\n"


def main() -> int:
    """Score and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="where the scenes are")
    parser.add_argument("--out", type=Path, default=Path("docs/comparison.md"))
    parser.add_argument("--methods", default="all")
    parser.add_argument("--coregister", action="store_true", help="correct the shift of each pair")
    args = parser.parse_args()
    extra = ["--coregister"] if args.coregister else []
    found = score(args.folder, args.methods, extra)
    if not found:
        sys.exit(f"There is no *_pan.tif in {args.folder}.")
    words = ["python tools/compare_scenes.py FOLDER", *extra]
    args.out.write_text(page(found, " ".join(words)), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
