"""Adapt to one part of each scene and score on the rest, beside the classical methods.

    python training/evaluate_adaptation.py SCENE_pan.tif... --minutes 10

The left two thirds of a scene are for ``whetstone adapt``; the right third, which adaptation never
sees, is degraded (Wald) and fused by every method, so that its MS is the truth. <scene>_ms.tif must
lie beside each <scene>_pan.tif, and both must share a corner. Prints a Markdown table.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

import rasterio
from command import quiet
from rasterio.windows import Window
from tqdm import tqdm
from whetstone.engine import (
    AdaptJob,
    CompareJob,
    Progress,
    RasterSource,
    WhetstoneError,
    result_to_dict,
    run,
)
from whetstone.engine.jobs import OBJECTIVES, AdaptResult, CompareResult
from whetstone.engine.methods import CLASSICAL

#: What of a scene's width is for adaptation.
SHARE = 2 / 3
BASELINE, ADAPTED = "exp", "crossdiff"


class Told(Progress):
    """Passes on what an adaptation has to say."""

    def message(self, text: str) -> None:
        """To stderr, beside the progress bar."""
        tqdm.write(text, file=sys.stderr)


def main() -> None:
    """Adapt, compare, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("pans", type=Path, nargs="+", metavar="SCENE_pan.tif")
    parser.add_argument("--minutes", type=float, default=10.0, metavar="M")
    parser.add_argument("--steps", type=int, default=0, metavar="N", help="default: what fits")
    parser.add_argument("--objective", choices=OBJECTIVES, default="reduced")
    parser.add_argument("--from", dest="start", default="scratch", metavar="MODEL|scratch")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep models and images there")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
    args = parser.parse_args()
    found = {}
    for pan in tqdm(args.pans, disable=not sys.stderr.isatty()):
        name = pan.name.removesuffix("_pan.tif")
        with tempfile.TemporaryDirectory() as scratch:
            folder = args.keep / name if args.keep else Path(scratch)
            folder.mkdir(parents=True, exist_ok=True)
            found[name] = one(pan, folder, args)
    sys.stdout.write("\n".join(table(found)) + "\n")
    if args.json:
        data = {name: [result_to_dict(part) for part in parts] for name, parts in found.items()}
        args.json.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")


def one(
    pan: Path, folder: Path, args: argparse.Namespace
) -> tuple[AdaptResult, CompareResult, CompareResult]:
    """Adapt to the left part; the right part at reduced and at full resolution."""
    ms = pan.with_name(pan.name.replace("_pan.tif", "_ms.tif"))
    known, unknown = split(pan, ms, folder)
    adapted: AdaptResult = run(
        AdaptJob(
            *known,
            out=str(folder / f"{ADAPTED}.safetensors"),
            start=args.start,
            objective=args.objective,
            minutes=args.minutes,
            steps=args.steps,
            seed=args.seed,
            device=args.device,
        ),
        Told(),
    )
    compared = [
        run(
            CompareJob(
                *unknown,
                (*CLASSICAL, ADAPTED),
                str(folder / ("reduced" if reduced else "full")),
                reduced=reduced,
                coregister=True,
                model=adapted.out,
                device=args.device,
            )
        )
        for reduced in (True, False)
    ]
    return adapted, compared[0], compared[1]


def split(pan: Path, ms: Path, folder: Path) -> list[tuple[RasterSource, RasterSource]]:
    """(PAN, MS) of the left and of the right part of a scene, as files in ``folder``."""
    with rasterio.open(pan) as fine, rasterio.open(ms) as coarse:
        ratio = fine.width / coarse.width
        if ratio != round(ratio):
            raise WhetstoneError(
                "RATIO", f"'{pan}' is {ratio:g} times as wide as its MS; parts need a whole number."
            )
        edge = round(SHARE * coarse.width)
        parts = []
        for name, start, stop in (("known", 0, edge), ("unknown", edge, coarse.width)):
            paths = []
            for kind, file, step in (("pan", fine, round(ratio)), ("ms", coarse, 1)):
                window = Window(start * step, 0, (stop - start) * step, file.height)
                path = folder / f"{name}_{kind}.tif"
                profile = {
                    **file.profile,
                    "width": window.width,
                    "transform": file.window_transform(window),
                }
                with rasterio.open(path, "w", **profile) as out:
                    out.write(file.read(window=window))
                    out.update_tags(**file.tags())
                    out.descriptions = file.descriptions
                paths.append(RasterSource.of(str(path)))
            parts.append((paths[0], paths[1]))
    return parts


def table(found: dict[str, tuple[AdaptResult, CompareResult, CompareResult]]) -> list[str]:
    """Markdown: a row per scene, the best classical method of each figure by name."""
    lines = [
        "| scene | steps | exp | best classical | adapted | best classical HQNR | adapted HQNR |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, (adapted, reduced, full) in found.items():
        of = {
            key: {row["method"]: row["scores"][key] for row in part.rows}
            for part, keys in ((reduced, ("ergas", "sam")), (full, ("hqnr",)))
            for key in keys
        }
        rivals = set(of["ergas"]) & set(of["hqnr"]) - {BASELINE, ADAPTED}
        best = {key: sorted(rivals, key=of[key].__getitem__) for key in of}
        ergas, sam, hqnr = best["ergas"][0], best["sam"][0], best["hqnr"][-1]
        cells = (
            name,
            str(adapted.steps),
            f"{of['ergas'][BASELINE]:.3f} / {of['sam'][BASELINE]:.3f}",
            f"{of['ergas'][ergas]:.3f} {ergas} / {of['sam'][sam]:.3f} {sam}",
            f"{of['ergas'][ADAPTED]:.3f} / {of['sam'][ADAPTED]:.3f}",
            f"{of['hqnr'][hqnr]:.3f} {hqnr}",
            f"{of['hqnr'][ADAPTED]:.3f}",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return [*lines, "", "ERGAS / SAM (degrees) at reduced resolution; lower is better."]


if __name__ == "__main__":
    sys.exit(quiet(main))
