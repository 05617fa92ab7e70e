"""Score methods and models on scenes, as tables of means and standard deviations.

    python training/evaluate.py SCENES --methods exp,gsa --models runs/wv3/wv3.safetensors
    python training/evaluate.py SCENES --methods all --models bundled --coregister \\
        --pictures crops --markdown scores.md

SCENES are folders of <scene>_pan.tif, <scene>_ms.tif and, where the pair is at reduced resolution
already, <scene>_gt.tif; or single *_pan.tif files. A pair without a truth is scored as it is, and
degraded once by its ratio (Wald), so that its MS is the truth; every method fuses the same pairs.
"bundled" are the models that ship, each where it fits. Needs torch only for models.
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import os
import shlex
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from dataclasses import asdict, dataclass, replace
from math import inf
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from PIL import Image, ImageDraw, ImageFont
from tqdm import tqdm
from whetstone.engine import (
    AssessJob,
    CompareJob,
    DegradeJob,
    Progress,
    RasterSource,
    WhetstoneError,
    __version__,
    deep,
    result_to_dict,
    run,
)
from whetstone.engine.compare import registered
from whetstone.engine.fields import WindowFields
from whetstone.engine.library import describe_fit, find_local, list_models
from whetstone.engine.methods import CLASSICAL, DEEP, find_method
from whetstone.engine.pair import open_pair
from whetstone.engine.report.figures import DASH, FIGURES
from whetstone.engine.report.views import true_colour
from whetstone.engine.tiling import grid

COLUMNS = {
    "reduced": ("ergas", "sam", "q2n", "scc", "psnr"),
    "full": ("hqnr", "d_lambda_k", "d_s", "d_rho", "r_ergas", "r_sam"),
}
#: The figures by which a model is said to lose.
TELLING = {"reduced": ("ergas", "sam", "q2n"), "full": ("hqnr", "d_rho")}
ALL, DRAWN = "All sensors", "A drawn scene"
ADAPTATION = """
Adaptation has figures of the first scene of each table at full resolution only: a model is trained
on that pair, without a truth. Against a truth `training/evaluate_adaptation.py` scores it, on the
part of a scene that the model never saw."""
#: Where the pictures of a page are, beside it.
GALLERY = "images/benchmark"
BUNDLED = "bundled"
CNN, CONSISTENT = "cnn-baseline", "--consistency"
INTRODUCTION = """\
Means over scenes, standard deviations in brackets, best mean of a column in bold; ▼ lower is
better, ▲ higher is better. *Reduced*: both images were degraded by their ratio (Wald) and the MS
is the truth; *full*: the delivered resolution, without a truth. s/MP: seconds of fusion per million
PAN pixels. HQNR can be gamed by smooth images: read it next to D_rho and R-ERGAS. A mean over fewer
scenes than its table has is never the best. Where a model has a second row, *--consistency*
corrected its image until the MS sensor would see exactly the measured MS in it, noise included."""


@dataclass(frozen=True)
class Entrant:
    """What is scored: a method, with the model and steps of a deep one (0: the model's own).

    ``name`` begins with that of the model; ``consistent`` corrects what it makes.
    ``bundled`` says nothing of scenes it does not fit; ``adapt`` are minutes on the first scene of
    each table at full resolution.
    """

    name: str
    method: str
    model: str | None = None
    steps: int = 0
    bundled: bool = False
    consistent: bool = False
    adapt: float = 0.0


@dataclass(frozen=True)
class Scene:
    """The files of one scene; ``gt`` only where the pair is at reduced resolution already."""

    name: str
    pan: Path
    ms: Path
    gt: Path | None

    def resolutions(self, args: argparse.Namespace) -> list[str]:
        """At which of the resolutions that are asked for it can be scored."""
        full = not self.gt and fits(self.name, args.full)
        return [r for r in args.resolution if r == "reduced" or full]


@dataclass(frozen=True)
class Pair:
    """What the entrants fuse: a job that lacks only the method, and what the pair is.

    ``group`` is what it shares with those it is averaged with: sensor, bands and ratio.
    """

    job: CompareJob
    group: str
    megapixels: float
    bands: int
    ratio: float
    key: str

    def takes(self, entrant: Entrant, resolution: str, first: bool) -> bool:
        """Whether an entrant has a part here; where it has one and fails, that is noted."""
        if entrant.adapt:
            return first and resolution == "full"
        if entrant.method == CNN:
            return self.job.reference is not None and self.bands == 4 and round(self.ratio) == 4
        if entrant.bundled:
            model = find_local(str(entrant.model))
            try:
                describe_fit(model, self.bands, self.ratio, self.key)
            except WhetstoneError:
                return False
            # one of another number of bands only where none has that of the pair
            return model.card.bands == self.bands or not any(
                other.where == BUNDLED
                and other.card.architecture == entrant.method
                and other.card.bands == self.bands
                and round(other.card.ratio) == round(self.ratio)
                for other in list_models()
            )
        return True


@dataclass(frozen=True)
class Row:
    """The figures of one entrant on one scene; None where a figure is not defined."""

    scene: str
    pan: str
    group: str
    resolution: str
    method: str
    seconds: float
    seconds_per_megapixel: float
    scores: dict[str, float | None]


@dataclass(frozen=True)
class Line:
    """One row of a table; a figure's mean is over the ``counts`` scenes where it is defined."""

    method: str
    scenes: int
    seconds_per_megapixel: float
    means: dict[str, float]
    deviations: dict[str, float]
    counts: dict[str, int]


@dataclass(frozen=True)
class Table:
    """The entrants on the scenes of one group at one resolution."""

    group: str
    resolution: str
    scenes: int
    lines: list[Line]


@dataclass(frozen=True)
class Note:
    """Why an entrant, or all of them (""), lacks figures of a scene."""

    scene: str
    resolution: str
    method: str
    text: str


def main() -> None:
    """Score, then write the tables."""
    args = arguments()
    found = list(dict.fromkeys(s for path in args.scenes for s in scenes(path, args.only)))
    field, models = entrants(args)
    known = earlier(args.json, field, models) if args.resume else {}
    rows, notes, shots = evaluate(found, field, args, known)
    if not rows:
        raise WhetstoneError(
            "SCENES",
            f"Nothing could be scored at {' or '.join(args.resolution)} resolution.",
            "A pair with a *_gt.tif is at reduced resolution; other reasons are above.",
        )
    result = tables(rows, [entrant.name for entrant in field])
    page = document(result, models, in_words(notes), command(sys.argv[1:]), shots, args)
    if args.json:
        data = {
            "whetstone": __version__,
            "coregister": args.coregister,
            "models": models,
            "rows": [asdict(row) for row in rows],
            "tables": [asdict(table) for table in result],
            "notes": [asdict(note) for note in notes],
        }
        write(args.json, json.dumps(data, indent=1, ensure_ascii=False) + "\n")
    if args.markdown:
        write(args.markdown, page)
    else:
        sys.stdout.write(page)


def arguments() -> argparse.Namespace:
    """The command line; what cannot work is refused before any work."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("scenes", type=Path, nargs="+", metavar="SCENES")
    add(
        "--methods",
        default="all",
        metavar="A,B",
        help="'all' classical ones (default), '' for none",
    )
    add(
        "--models",
        nargs="+",
        default=[],
        metavar="MODEL",
        help="names or .safetensors files, or 'bundled'",
    )
    add("--cnn", type=Path, metavar="FILE", help="weights of cnn_baseline.py: ratio 4, 4 bands")
    add(
        "--adapt",
        type=float,
        default=0.0,
        metavar="MINUTES",
        help="adapt CrossDiff to the first scene of each table, at full resolution",
    )
    add("--resolution", nargs="+", choices=list(COLUMNS), default=list(COLUMNS))
    add(
        "--full",
        nargs="+",
        default=["*"],
        metavar="PATTERN",
        help="scenes to score at full resolution (default: all)",
    )
    add("--only", nargs="+", default=["*"], metavar="PATTERN", help="such as 'WV2_*'")
    add(
        "--coregister",
        action="store_true",
        help="correct the shift of each pair; where there is a truth, by moving the PAN",
    )
    add("--steps", type=int, nargs="+", default=[], metavar="N", help="of SSDiff; default: its own")
    add(CONSISTENT, action="store_true", help="score the --models corrected by it, too")
    add("--device", default="auto", help="auto, cpu, cuda[:N] or mps")
    add("--pictures", type=Path, metavar="FOLDER", help="for a crop of each scene by all methods")
    add(
        "--shown",
        nargs="+",
        default=[],
        metavar="PATTERN",
        help="scenes whose crops go to images/benchmark beside --markdown, which shows them",
    )
    add("--markdown", type=Path, metavar="FILE", help="for the tables (default: print them)")
    add("--json", type=Path, metavar="FILE", help="for every figure of every scene")
    add("--resume", action="store_true", help="keep what --json has of an earlier run")
    args = parser.parse_args()
    if args.resume and not args.json:
        raise WhetstoneError("USAGE", "--resume goes on with the figures in --json.")
    if args.shown and not args.markdown:
        raise WhetstoneError("USAGE", "--shown needs a page to show pictures on: --markdown.")
    if args.cnn and not args.cnn.is_file():
        raise WhetstoneError("USAGE", f"There is no '{args.cnn}'.")
    if any(steps < 1 for steps in args.steps):
        raise WhetstoneError("USAGE", "--steps takes whole numbers from 1 up.")
    for path in (args.markdown, args.json):
        if path and not path.parent.is_dir():
            raise WhetstoneError("OUT_FOLDER", f"There is no folder '{path.parent}'.")
    return args


def scenes(path: Path, patterns: list[str]) -> list[Scene]:
    """The scenes that a path names."""
    if not path.exists():
        raise WhetstoneError("SCENES", f"There is no '{path}'.")
    pans = sorted(path.glob("*_pan.tif")) if path.is_dir() else [path]
    found = []
    for pan in pans:
        name = pan.name.removesuffix("_pan.tif")
        if name != pan.name and fits(pan.name, patterns):
            ms, gt = (pan.with_name(f"{name}_{kind}.tif") for kind in ("ms", "gt"))
            found.append(Scene(name, pan, ms, gt if gt.exists() else None))
    if not found:
        wanted = "" if patterns == ["*"] else f" that is named {' or '.join(patterns)}"
        raise WhetstoneError("SCENES", f"'{path}' holds no *_pan.tif{wanted}.")
    return found


def fits(name: str, patterns: list[str]) -> bool:
    """Whether a name is one of those meant."""
    return any(fnmatch.fnmatch(name, pattern) for pattern in patterns)


def entrants(args: argparse.Namespace) -> tuple[list[Entrant], dict[str, dict[str, Any]]]:
    """Who takes part, and what the tables say about the models among them."""
    names = list(CLASSICAL) if args.methods == "all" else args.methods.split(",")
    methods = dict.fromkeys(find_method(name).name for name in names if name.strip())
    for name in methods:
        if name in DEEP:
            raise WhetstoneError("USAGE", f"{name} needs a model.", "Name it with --models.")
    field = [Entrant(name, name) for name in methods]
    models: dict[str, dict[str, Any]] = {}
    shipped = [model.name for model in list_models() if model.where == BUNDLED]
    asked = [(name, name == BUNDLED) for name in args.models]
    asked = [(name, one) for word, one in asked for name in (shipped if one else [word])]
    for wanted, bundled in dict(asked).items():
        card = deep.part("models").find_model(wanted).card
        name = wanted if card.name in (*methods, *models) else card.name
        models[name] = {
            "model": wanted,
            "architecture": card.architecture,
            "bands": card.bands,
            "ratio": card.ratio,
            "sha256": card.sha256,
        }
        several = args.steps if card.architecture == "ssdiff" else []  # CrossDiff takes one pass
        if card.architecture == "ssdiff":
            models[name]["steps"] = several or [card.steps]
        for steps in several or [0]:
            label = f"{name} @{steps}" if steps else name
            field.append(Entrant(label, card.architecture, wanted, steps, bundled))
            if args.consistency:
                field.append(replace(field[-1], name=f"{label} {CONSISTENT}", consistent=True))
    if args.cnn:
        field.append(Entrant(CNN, CNN, str(args.cnn)))
    if args.adapt:
        name = f"crossdiff adapted for {args.adapt:g} minutes"
        field.append(Entrant(name, "crossdiff", adapt=args.adapt))
    if not field:
        raise WhetstoneError("USAGE", "Neither --methods nor --models names anything.")
    return field, models


def earlier(
    path: Path, field: list[Entrant], models: dict[str, dict[str, Any]]
) -> dict[tuple[str, str, str], Row]:
    """The rows of an earlier run by scene, resolution and name; of models that are the same."""
    if not path.exists():
        return {}
    data = json.loads(path.read_text(encoding="utf-8"))
    if data["whetstone"] != __version__:
        raise WhetstoneError("RESUME", f"'{path}' is of Whetstone {data['whetstone']}.")
    changed = {
        entrant.name
        for entrant in field
        for name in models
        if of_model(entrant.name, name)
        and data["models"].get(name, {}).get("sha256") != models[name]["sha256"]
    }
    try:
        rows = [Row(**row) for row in data["rows"] if row["method"] not in changed]
    except TypeError:
        raise WhetstoneError("RESUME", f"'{path}' has rows of an older form.") from None
    return {(row.scene, row.resolution, row.method): row for row in rows}


def of_model(label: str, name: str) -> bool:
    """Whether an entrant is a model, with its steps or corrected."""
    return label == name or label.startswith((f"{name} @", f"{name} {CONSISTENT}"))


def evaluate(
    found: list[Scene],
    field: list[Entrant],
    args: argparse.Namespace,
    known: dict[tuple[str, str, str], Row],
) -> tuple[list[Row], list[Note], list[str]]:
    """Every entrant on every scene; what fails is noted and the rest goes on.

    Also the names of the pictures for the page.
    """
    rows: list[Row] = []
    notes: list[Note] = []
    shots: list[str] = []
    seen: set[tuple[str, str]] = set()
    total = sum(len(scene.resolutions(args)) for scene in found) * len(field)

    def note(scene: Scene, resolution: str, name: str, text: str) -> None:
        notes.append(Note(scene.name, resolution, name, text))
        tqdm.write(in_words(notes[-1:])[0], file=sys.stderr)

    with tqdm(total=total, unit="fusion", disable=None) as bar:
        for scene in found:
            for resolution in scene.resolutions(args):
                with tempfile.TemporaryDirectory() as scratch:
                    try:
                        pair = open_scene(scene, resolution, Path(scratch), args)
                    except WhetstoneError as error:
                        note(scene, resolution, "", error.message)
                        bar.update(len(field))
                        continue
                    first = (pair.group, resolution) not in seen
                    seen.add((pair.group, resolution))
                    gallery, shown_here = args.pictures, fits(scene.name, args.shown)
                    if shown_here:
                        gallery = args.markdown.parent / GALLERY
                    sheet = Sheet(pair.job) if gallery else None
                    for entrant in field:
                        if not pair.takes(entrant, resolution, first):
                            bar.update()
                            continue
                        row = known.get((scene.name, resolution, entrant.name))
                        if row and not shown_here:  # pictures want images
                            rows.append(row)
                            bar.update()
                            continue
                        bar.set_postfix_str(f"{scene.name} {resolution} {entrant.name}")
                        try:
                            row, out = score(scene, resolution, pair, entrant)
                        except WhetstoneError as error:
                            note(scene, resolution, entrant.name, error.message)
                        else:
                            rows.append(row)
                            if sheet:
                                sheet.add(row, out)
                            gaps = [k for k in COLUMNS[resolution] if row.scores[k] is None]
                            if gaps:
                                note(scene, resolution, entrant.name, f"No {', '.join(gaps)}.")
                        bar.update()
                    if sheet and sheet.panels:
                        gallery.mkdir(parents=True, exist_ok=True)
                        sheet.write(gallery / f"{scene.name}-{resolution}.png")
                        if gallery != args.pictures:
                            shots.append(f"{scene.name}-{resolution}")
    return rows, notes, shots


def open_scene(scene: Scene, resolution: str, scratch: Path, args: argparse.Namespace) -> Pair:
    """The pair to fuse at a resolution, degraded if need be; all outputs go to ``scratch``."""
    pan, ms = RasterSource.of(str(scene.pan)), RasterSource.of(str(scene.ms))
    gt, sensor = scene.gt and RasterSource.of(str(scene.gt)), "auto"
    if resolution == "reduced" and not gt:
        made = run(DegradeJob(pan, ms, str(scratch / "reduced")))
        pan, ms, gt = (RasterSource.of(path) for path in (made.pan, made.ms, made.gt))
        sensor = made.sensor
    job = CompareJob(
        pan,
        ms,
        methods=(),
        out_dir=str(scratch / "fused"),
        reference=gt,
        sensor=sensor,
        coregister=args.coregister,
        device=args.device,
    )
    if gt:  # once, so that every entrant gets the same moved PAN
        os.makedirs(job.out_dir)
        job = replace(registered(job, [], Progress()), coregister=False)
    with open_pair(job.pan, ms, sensor=job.sensor) as pair:
        area = pair.scene.width * pair.scene.height / 1e6
        drawn = "synthetic" in pair.ms.info.tags.get("SENSOR", "")  # by whetstone demo
        group = f"{pair.sensor.title}, {pair.bands} bands at ratio {pair.ratio:g}"
        return Pair(
            job,
            DRAWN if drawn else group,
            area,
            pair.bands,
            pair.ratio,
            pair.sensor.key,
        )


def score(scene: Scene, resolution: str, pair: Pair, entrant: Entrant) -> tuple[Row, str]:
    """Fuse and score by one entrant; also the file of the image."""
    if entrant.method == CNN:
        row = by_cnn(pair.job, str(entrant.model))
    else:
        job = replace(
            pair.job,
            methods=(entrant.method,),
            model=entrant.model,
            steps=entrant.steps,
            consistency=entrant.consistent,
            adapt=entrant.adapt,
        )
        (row,) = result_to_dict(run(job))["rows"]
    found = Row(
        scene=scene.name,
        pan=str(scene.pan),
        group=pair.group,
        resolution=resolution,
        method=entrant.name,
        seconds=row["seconds"],
        seconds_per_megapixel=row["seconds"] / pair.megapixels,
        scores=row["scores"],
    )
    return found, row["out"]


def by_cnn(job: CompareJob, weights: str) -> dict[str, Any]:
    """What a comparison says of a method, of the yardstick."""
    from cnn_baseline import fuse

    out = os.path.join(job.out_dir, f"{CNN}.tif")
    (pan,), (ms,) = job.pan.paths, job.ms.paths
    started = time.monotonic()
    fuse(Path(weights), pan, ms, out)
    seconds = time.monotonic() - started
    wanted = AssessJob(RasterSource.of(out), job.pan, job.ms, job.reference, job.sensor)
    return {"out": out, "seconds": seconds, "scores": result_to_dict(run(wanted))["scores"]}


def detail(fields: WindowFields) -> float:
    """How much detail of its own the PAN of a window has; -1 where pixels are missing."""
    return float(np.std(fields.pan - fields.pan_generic)) if fields.valid is None else -1.0


class Sheet:
    """The same crop of a scene by every entrant, beside PAN, MS and truth.

    It lies where the PAN has most detail of its own; the stretch is that of the MS there.
    """

    SIDE, SCALE, LABEL, COLUMNS = 96, 3, 18, 6

    def __init__(self, job: CompareJob) -> None:
        with open_pair(job.pan, job.ms, sensor=job.sensor) as pair:
            scene = pair.scene
            side = min(self.SIDE, scene.width, scene.height)
            places = grid(scene, side)
            places = [p for p in places if p.shape == (side, side)] or [scene]
            self.window = max(places, key=lambda place: detail(WindowFields(pair, place)))
            self._corner = (scene.col, scene.row)
            f = WindowFields(pair, self.window)
            self.bands = true_colour(pair.ms.info, pair.sensor.roles)
            shown = f.lms[list(self.bands)]
            self._low, self._high = np.percentile(shown, (1, 99), axis=(1, 2))[:, :, None, None]
            self.panels: list[tuple[str, np.ndarray]] = [("MS", self._stretched(shown))]
            low, high = np.percentile(f.pan, (1, 99))
            pan = np.clip((f.pan - low) / max(high - low, 1e-9), 0, 1)
            self.panels.insert(0, ("PAN", np.repeat(pan[None], 3, 0)))
            if job.reference:
                self._read("truth", job.reference.paths[0], (0, 0))

    def _stretched(self, image: np.ndarray) -> np.ndarray:
        span = np.maximum(self._high - self._low, 1e-9)
        values = np.clip((image - self._low) / span, 0, 1)
        return values if len(values) == 3 else np.repeat(values[:1], 3, 0)

    def _read(self, label: str, path: str, corner: tuple[int, int]) -> None:
        with rasterio.open(path) as file:
            col, row = (at - first for at, first in zip(self.window[:2], corner))
            where = ((row, row + self.window.height), (col, col + self.window.width))
            image = file.read([band + 1 for band in self.bands], window=where)
        self.panels.append((label, self._stretched(image.astype(float))))

    def add(self, row: Row, path: str) -> None:
        """The image of an entrant, with its first figure."""
        key = COLUMNS[row.resolution][0]
        value = row.scores[key]
        said = DASH if value is None else f"{value:.{FIGURES[key].decimals}f}"
        self._read(f"{row.method}  {key.upper()} {said}", path, self._corner)

    def write(self, path: Path) -> None:
        """All of them as one PNG."""
        side = self.window.width * self.SCALE
        rows = -(-len(self.panels) // self.COLUMNS)
        cell = (side + 6, side + self.LABEL + 6)
        size = (cell[0] * min(self.COLUMNS, len(self.panels)), cell[1] * rows)
        sheet = Image.new("RGB", size, "white")
        draw = ImageDraw.Draw(sheet)
        font = ImageFont.load_default(13)
        for number, (label, values) in enumerate(self.panels):
            left = number % self.COLUMNS * cell[0] + 3
            top = number // self.COLUMNS * cell[1] + 3
            pixels = (values.transpose(1, 2, 0) * 255).astype(np.uint8)
            crop = Image.fromarray(pixels).resize((side, side), Image.Resampling.NEAREST)
            draw.text((left, top), label, fill="black", font=font)
            sheet.paste(crop, (left, top + self.LABEL))
        sheet.save(path, optimize=True)


def tables(rows: list[Row], names: list[str]) -> list[Table]:
    """Per group and resolution, and over all groups if there are several but the drawn one."""
    result = []
    for group in [*sorted({row.group for row in rows}), ALL]:
        for kind in COLUMNS:
            every = [row for row in rows if row.resolution == kind]
            real = [row for row in every if row.group != DRAWN]
            members = real if group == ALL else [row for row in every if row.group == group]
            if not members or (group == ALL and len({row.group for row in real}) == 1):
                continue
            by_method = {name: [r for r in members if r.method == name] for name in names}
            lines = [line(name, own) for name, own in by_method.items() if own]
            result.append(Table(group, kind, len({row.pan for row in members}), lines))
    return result


def line(name: str, rows: list[Row]) -> Line:
    """Means and sample standard deviations of one entrant."""
    values: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        for key, value in row.scores.items():
            if value is not None:
                values[key].append(value)
    return Line(
        name,
        len(rows),
        statistics.fmean(row.seconds_per_megapixel for row in rows),
        {key: statistics.fmean(v) for key, v in values.items()},
        {key: statistics.stdev(v) for key, v in values.items() if len(v) > 1},
        {key: len(v) for key, v in values.items()},
    )


def in_words(notes: list[Note]) -> list[str]:
    """The notes, those of one reason together."""
    places: dict[tuple[str, str], list[str]] = defaultdict(list)
    for note in notes:
        places[note.method, note.text].append(f"{note.scene} ({note.resolution})")
    methods: dict[tuple[str, str], list[str]] = defaultdict(list)
    for (method, text), where in places.items():
        methods[text, ", ".join(where)].append(method)
    return [
        f"{', '.join(names) or 'all'}, on {where}: {text}"
        for (text, where), names in methods.items()
    ]


def document(
    result: list[Table],
    models: dict[str, dict[str, Any]],
    notes: list[str],
    words: str,
    shots: list[str],
    args: argparse.Namespace,
) -> str:
    """The Markdown page."""
    text = ["# Scores on real scenes", "", f"Printed by `{words}`.", INTRODUCTION]
    if args.adapt:
        text.append(ADAPTATION)
    if models:
        text += ["", "Models:", ""]
    for name, m in models.items():
        steps = f"steps: {', '.join(map(str, m['steps']))}; " if "steps" in m else ""
        text.append(
            f"- {name}: {m['architecture']}, {m['bands']} bands, ratio {m['ratio']}; "
            f"{steps}SHA-256 {m['sha256'][:12]}"
        )
    for table in result:
        count = f"{table.scenes} scene{'s' if table.scenes > 1 else ''}"
        text += ["", f"## {table.group}, {table.resolution} resolution ({count})", ""]
        text += markdown(table)
    if lost := losses(result, set(models)):
        text += ["", "## Where models lose to a classical method", "", *lost]
    if shots:
        text += ["", "## Pictures", ""]
        text += [line for shot in shots for line in (f"![{shot}]({GALLERY}/{shot}.png)", "")][:-1]
    if notes:
        text += ["", "## Left out", "", *(f"- {note}" for note in notes)]
    return "\n".join(text) + "\n"


def losses(result: list[Table], models: set[str]) -> list[str]:
    """Per model and table the telling figures that a classical method has better, in words.

    Means over other scenes are not compared.
    """
    text = []
    for table in result:
        known = [one for one in table.lines if one.method in CLASSICAL]
        for own in (one for one in table.lines if any(of_model(one.method, m) for m in models)):
            keys = [key for key in TELLING[table.resolution] if own.counts.get(key) == table.scenes]
            ahead = {
                key: [one for one in known if rank(table, key, one) < rank(table, key, own)]
                for key in keys
            }
            worse = []
            for key, rivals in ahead.items():
                if rivals:
                    best = min(rivals, key=lambda one: rank(table, key, one))
                    both = f"{shown(own.means, key)} ({best.method} {shown(best.means, key)})"
                    worse.append(f"{key} {both}")
            if worse:
                where = f"{table.group}, {table.resolution} resolution"
                text.append(f"- {own.method}, {where}: {', '.join(worse)}")
                if not any(all(one in ahead[key] for key in keys) for one in known):
                    text[-1] += f"; no classical method has {' and '.join(keys)} better"
    return text


def rank(table: Table, key: str, line: Line) -> float:
    """A mean by which the best line comes first; last is one that lacks it on some scene."""
    if line.counts.get(key) != table.scenes:
        return inf
    return line.means[key] * (1 if FIGURES[key].lower_is_better else -1)


def markdown(table: Table) -> list[str]:
    """The lines of one table."""
    keys = COLUMNS[table.resolution]
    heads = ["method", *(f"{key} {FIGURES[key].arrow}" for key in keys), "s/MP"]
    text = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    best = {key: winner(table, key) for key in keys}
    for one in table.lines:
        few = one.scenes < table.scenes
        cells = [f"{one.method} ({one.scenes} of {table.scenes} scenes)" if few else one.method]
        for key in keys:
            cell = mean = shown(one.means, key)
            if key in one.deviations:
                cell += f" ({shown(one.deviations, key)})"
            if 0 < (count := one.counts.get(key, 0)) < one.scenes:
                cell += f" ({count} of {one.scenes})"
            cells.append(f"**{cell}**" if mean == best[key] and count == table.scenes else cell)
        text.append(f"| {' | '.join([*cells, f'{one.seconds_per_megapixel:.2f}'])} |")
    return text


def shown(values: dict[str, float], key: str) -> str:
    """A figure with its decimals."""
    return f"{values[key]:.{FIGURES[key].decimals}f}" if key in values else DASH


def winner(table: Table, key: str) -> str:
    """The best mean over all scenes of a table, as shown; "" if there is none."""
    best = min(table.lines, key=lambda one: rank(table, key, one))
    return shown(best.means, key) if rank(table, key, best) < inf else ""


def command(words: list[str]) -> str:
    """How to repeat this, without the folders of this machine."""
    plain = (os.path.basename(w.rstrip("/")) if os.path.isabs(w) else w for w in words)
    return shlex.join(["python", "training/evaluate.py", *plain])


def write(path: Path, text: str) -> None:
    """Write a text file that appears only when complete."""
    part = path.with_name(path.name + ".part")
    try:
        part.write_text(text, encoding="utf-8")
        os.replace(part, path)
    except OSError as error:
        raise WhetstoneError(
            "OUT_FOLDER", f"'{path}' could not be written: {error.strerror or error}."
        ) from None
    finally:
        part.unlink(missing_ok=True)


def quiet() -> int:
    """Run, with one line for what a user can mend and status 130 for Ctrl-C."""
    try:
        main()
    except WhetstoneError as error:
        sys.stderr.write(f"{error.code}: {error}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("CANCELLED: nothing was written.\n")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(quiet())
