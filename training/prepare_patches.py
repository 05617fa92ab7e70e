"""Make a file of training scenes from GeoTIFF pairs, by the Wald protocol where needed.

    python training/prepare_patches.py --train FOLDER... --val FOLDER... --out patches.h5

A folder holds <scene>_pan.tif, <scene>_ms.tif and, where the pair is at reduced resolution
already, <scene>_gt.tif. Pairs without a truth are degraded by their ratio with the filters of
their sensor, and their MS becomes the truth. With --full the pairs are written as they are and
without a truth, for what learns without one; with --both, so and reduced. Scenes are told apart by
the folder they lie in, so no scene is in both splits. A path may also name one <scene>_pan.tif, or
an .npz of chips with arrays pan [n,H,W], ms [n,C,h,w] and gt [n,C,H,W]. Beside the LMS of a scene
its base (``engine.deep.presharpen``) is stored. --mtf-gains adds the training scenes anew, their
truths degraded by those gains; --spread interpolates the bands of a sensor by wavelength from those
of training scenes with another number of them. Chips that repeat others count once, and --chips-to
writes them as pairs. PanCollection HDF5 files need no preparation, but have no base.
"""

from __future__ import annotations

import argparse
import fnmatch
import os
import sys
import tempfile
from contextlib import ExitStack
from math import lcm
from pathlib import Path
from typing import Any, Mapping, NamedTuple, cast
from zipfile import BadZipFile

import h5py
import numpy as np
import rasterio
import torch
from affine import Affine
from command import quiet
from patches import usual_roles
from torch.nn import functional as F
from tqdm import tqdm
from whetstone.engine import DegradeJob, Progress, RasterSource, WhetstoneError, run
from whetstone.engine.classical import Scene
from whetstone.engine.deep.degradation import down_matrix
from whetstone.engine.deep.inputs import Grid, lms_and_ms, read_inputs
from whetstone.engine.deep.presharpen import Presharpener
from whetstone.engine.deep.ssdiff import STRIDE
from whetstone.engine.interpolation import mirror
from whetstone.engine.metrics.reference import ergas
from whetstone.engine.pair import Geometry, Pair, open_pair
from whetstone.engine.raster.model import BandInfo, RasterInfo
from whetstone.engine.raster.source import Source, open_source
from whetstone.engine.registration import estimate_shift, moved_pan
from whetstone.engine.sensors import DEFAULT_GAIN, SENSORS, Sensor, SensorMatch
from whetstone.engine.types import Window

#: Where MS pixel 0 lies on the PAN grid of every patch that is written (common corner at 4).
PHASES = {2: 0.5, 3: 1.0, 4: 1.5}
#: Side of the chips without missing pixels that scenes with some are cut into.
CHIP = 96
#: What a scene without truth is called beside, or in place of, its reduced form.
FULL = "-full"


class LeftOut(Exception):
    """Why a scene is no use here."""


class Made(NamedTuple):
    """A scene as it is stored: arrays [n,...] by name, and what is said of them."""

    arrays: dict[str, np.ndarray]
    attributes: dict[str, str]


def main() -> None:
    """Read the scenes of both splits and write the file."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--train", type=Path, nargs="+", required=True, metavar="PATH")
    parser.add_argument("--val", type=Path, nargs="+", default=[], metavar="PATH")
    parser.add_argument("--only", nargs="+", default=["*"], metavar="PATTERN", help="such as WV2_*")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE.h5")
    parser.add_argument("--ratio", type=int, default=4, choices=sorted(PHASES))
    kinds = parser.add_mutually_exclusive_group()
    kinds.add_argument("--full", action="store_true", help="pairs as they are, without a truth")
    kinds.add_argument(
        "--both", action="store_true", help="reduced with their truth, and as --full"
    )
    parser.add_argument(
        "--degradation",
        default="mtf",
        choices=("mtf", "reference"),
        help="filters of the sensor (default), or those of CrossDiff's authors",
    )
    parser.add_argument(
        "--mtf-gains", type=float, nargs="+", default=[], metavar="G", help="such as 0.2 0.3 0.45"
    )
    parser.add_argument(
        "--spread",
        choices=sorted(SENSORS),
        metavar="SENSOR",
        help="give training scenes with another number of bands those of this sensor",
    )
    parser.add_argument("--no-coregister", action="store_true", help="trust the georeferencing")
    parser.add_argument(
        "--chips-to",
        type=Path,
        metavar="FOLDER",
        help="also write .npz chips as GeoTIFF pairs with their truth, for evaluate.py",
    )
    parser.add_argument(
        "--chip-phase", type=float, help="place of MS pixel 0 in .npz chips (default: the corner's)"
    )
    args = parser.parse_args()
    if not all(0 < gain < 1 for gain in args.mtf_gains):
        raise WhetstoneError("USAGE", "--mtf-gains lie between 0 and 1.")
    if args.mtf_gains and (args.full or args.degradation == "reference"):
        raise WhetstoneError(
            "USAGE", "--mtf-gains are for scenes with a truth that the sensor's filters degrade."
        )
    splits = {
        split: [place for path in paths for place in scenes(path, args.only)]
        for split, paths in (("train", args.train), ("val", args.val))
    }
    if shared := {p.resolve() for p in splits["train"]} & {p.resolve() for p in splits["val"]}:
        raise WhetstoneError("PATCHES", f"'{min(shared)}' is named for both splits.")
    args.out.parent.mkdir(parents=True, exist_ok=True)
    part = args.out.with_name(args.out.name + ".part")
    try:
        with h5py.File(part, "w") as file:
            for split in splits:
                file.create_group(split)
            for split, places in splits.items():
                group = file[split]
                for place in tqdm(places, desc=split, disable=not sys.stderr.isatty()):
                    write(group, place, args)
            if not len(file["train"]):
                raise WhetstoneError("PATCHES", "No scene is left to train on.")
        os.replace(part, args.out)
    finally:
        part.unlink(missing_ok=True)


def scenes(path: Path, patterns: list[str]) -> list[Path]:
    """The scenes a path names: *_pan.tif files and .npz chips."""
    found = sorted([*path.glob("*_pan.tif"), *path.glob("*.npz")]) if path.is_dir() else [path]
    found = [p for p in found if any(fnmatch.fnmatch(p.name, pattern) for pattern in patterns)]
    if not found or not found[0].exists():
        raise WhetstoneError("PATCHES", f"'{path}' holds no scene named {' or '.join(patterns)}.")
    return found


def write(split: h5py.Group, place: Path, args: argparse.Namespace) -> None:
    """Add one scene in the forms that are asked for; one that is left out is said."""
    grid = Grid(args.ratio, PHASES[args.ratio])
    stem = place.name.removesuffix("_pan.tif").removesuffix(".npz")
    for full in [False, True] if args.both else [args.full]:
        name = stem + FULL if full else stem
        if name in split:
            raise WhetstoneError(
                "PATCHES", f"Two scenes of a split are called {name}.", f"'{place}'"
            )
        try:
            if place.suffix == ".npz":
                phase = grid.phase if args.chip_phase is None else args.chip_phase
                made = chips(place, grid, phase, args.chips_to)
                if full:
                    del made.arrays["gt"]
            else:
                made = scene(place, grid, full, not args.no_coregister, args.degradation)
        except LeftOut as reason:
            tqdm.write(f"{name}: left out, {reason}", file=sys.stderr)
            continue
        if args.degradation == "reference":
            made.arrays["lms"] = bicubic(made.arrays["ms"], grid.ratio)
        if args.spread and split.name == "/train":
            made = spread(made, SENSORS[args.spread])
        store(split, name, made, grid)
        if "gt" in made.arrays and split.name == "/train":
            for gain in args.mtf_gains:
                store(split, f"{name}-mtf{gain:g}", degraded_anew(made, grid, gain), grid)


def spread(made: Made, sensor: Sensor) -> Made:
    """A scene with the bands of a sensor, interpolated by wavelength between the two next to each.

    One that has as many bands, or bands that nobody knows, stays as it is.
    """
    key, count = made.attributes.get("sensor", ""), made.arrays["ms"].shape[1]
    known = SENSORS[key].bands if key in SENSORS else ()
    places = {band.role: band.wavelength for band in known}
    named = made.attributes.get("roles")
    roles = named.split(",") if named else usual_roles(key, count)
    if count == len(sensor.bands) or len(roles) != count or not set(roles) <= set(places):
        return made
    order = np.argsort([places[role] for role in roles])
    at = [places[roles[i]] for i in order]
    wanted = [band.wavelength for band in sensor.bands]
    weights = np.zeros((len(wanted), count), np.float32)
    for unit, band in zip(np.eye(count), order):
        weights[:, band] = np.interp(wanted, at, unit)
    arrays = {
        key: images if key == "pan" else np.einsum("bc,nchw->nbhw", weights, images)
        for key, images in made.arrays.items()
    }
    roles = [band.role for band in sensor.bands]
    return Made(arrays, {**made.attributes, "roles": ",".join(roles)})


def store(split: h5py.Group, name: str, made: Made, grid: Grid) -> None:
    """Write a scene, and its base beside its LMS."""
    group = split.create_group(name)
    group.attrs.update({"ratio": grid.ratio, "phase": grid.phase, **made.attributes})
    arrays = made.arrays
    gains = gains_of(made, arrays["ms"].shape[1])
    chips = zip(arrays["pan"], arrays["ms"])
    base = np.stack([presharpened(pan[0], ms, grid, gains) for pan, ms in chips])
    for key, values in {**arrays, "glp": base}.items():
        group.create_dataset(key, data=values, compression="lzf")


class Memory:
    """An image in memory as a source of a pair."""

    may_be_invalid = False

    def __init__(self, image: np.ndarray) -> None:
        bands, height, width = image.shape
        self._image = image
        info = (BandInfo("float32"),) * bands
        self.info = RasterInfo("", width, height, info, "", None, "MEM")

    def read(self, window: Window) -> tuple[np.ndarray, None]:
        """A window, all of whose pixels are valid."""
        (left, top), (right, bottom) = (window.col, window.row), window.stop
        return self._image[:, top:bottom, left:right], None


def gains_of(made: Made, bands: int) -> tuple[float, ...]:
    """The MTF gains of the sensor of a scene."""
    sensor = SENSORS.get(made.attributes.get("sensor", ""))
    roles = made.attributes.get("roles", "").split(",")
    if sensor is None:
        return (DEFAULT_GAIN,) * bands
    return sensor.gains(roles if len(roles) == bands else [""] * bands)


def presharpened(
    pan: np.ndarray, ms: np.ndarray, grid: Grid, gains: tuple[float, ...]
) -> np.ndarray:
    """The base (B, H, W) of a chip, which is taken for a scene of its own."""
    images = [np.asarray(image, np.float32) for image in (pan[None], ms)]
    whole = Window(0, 0, pan.shape[1], pan.shape[0])
    geometry = Geometry((float(grid.ratio),) * 2, (grid.phase,) * 2)
    sensor = SensorMatch("generic", "", "", 0, DEFAULT_GAIN, gains, ("",) * len(ms), {})
    sources = [cast(Source, Memory(image)) for image in images]
    pair = Pair(*sources, geometry, sensor, whole, (), "product", cast(Any, None))
    return Presharpener(Scene(pair, 1, Progress())).image(images[0][0], whole)


def degraded_anew(made: Made, grid: Grid, gain: float) -> Made:
    """A scene whose truth was seen through another MTF, without the filters of its publishers."""
    gt = np.asarray(made.arrays["gt"], np.float64)
    geometry = Geometry((float(grid.ratio),) * 2, (grid.phase,) * 2)
    down = []
    for size in gt.shape[-2:]:
        places = geometry.pan_position(1, np.arange(size // grid.ratio))
        down.append(down_matrix(gain, grid.ratio, places, size))
    ms = (down[0] @ gt @ down[1].T).astype(np.float32)
    lms = np.stack([on_grid(chip, geometry, grid)[0] for chip in ms])
    return Made({**made.arrays, "ms": ms, "lms": lms}, made.attributes)


def on_grid(ms: np.ndarray, geometry: Geometry, grid: Grid) -> tuple[np.ndarray, np.ndarray]:
    """LMS and MS of a chip (B, h, w) on the grid; it is mirrored at its borders."""

    def read(window: Window) -> np.ndarray:
        rows = mirror(window.row, window.stop[1], ms.shape[1])
        cols = mirror(window.col, window.stop[0], ms.shape[2])
        return ms[:, rows[:, None], cols]

    height, width = (n * grid.ratio for n in ms.shape[1:])
    return lms_and_ms(read, geometry, Window(0, 0, width, height), grid)


def chips(path: Path, grid: Grid, phase: float, copies: Path | None) -> Made:
    """Chips that come with their truth, each mirrored at its own borders; as GeoTIFF pairs, too."""
    try:
        with np.load(path, allow_pickle=False) as data:
            pan, small, gt = data["pan"], data["ms"].astype(np.float32), data["gt"]
        if not len(pan) == len(small) == len(gt):
            raise ValueError(f"there are {len(pan)} of pan, {len(small)} of ms, {len(gt)} of gt")
    except (OSError, ValueError, KeyError, BadZipFile) as error:
        raise WhetstoneError("PATCHES", f"'{path}' holds no chips: {error}.") from None
    first: dict[bytes, int] = {}
    for number, (sharp, coarse) in enumerate(zip(pan, small)):
        first.setdefault(sharp.tobytes() + coarse.tobytes(), number)
    count, kept = len(small), list(first.values())
    pan, small, gt = pan[kept], small[kept], gt[kept]
    if repeats := count - len(kept):
        text = f"{path.stem}: {repeats} of {count} chips left out, since they repeat others"
        tqdm.write(text, file=sys.stderr)
    height, width = pan.shape[-2:]
    if (height, width) != tuple(grid.ratio * n for n in small.shape[-2:]):
        raise LeftOut(f"its ratio is {height / small.shape[-2]:g}")
    if copies:
        write_pairs(copies, path.stem, {"pan": pan[:, None], "ms": small, "gt": gt}, phase)
    geometry = Geometry((float(grid.ratio),) * 2, (phase,) * 2)
    lms, ms = (np.stack(x) for x in zip(*(on_grid(chip, geometry, grid) for chip in small)))
    arrays = {"pan": pan[:, None], "lms": lms, "ms": ms, "gt": gt}
    return Made(arrays, {"sensor": path.name.split("_")[0].lower()})


def write_pairs(folder: Path, stem: str, chips: Mapping[str, np.ndarray], phase: float) -> None:
    """Chips [n,...] as <stem>-<number>_pan.tif, _ms.tif and _gt.tif."""
    folder.mkdir(parents=True, exist_ok=True)
    for kind, images in chips.items():
        size = chips["pan"].shape[-1] // images.shape[-1]
        corner = phase - (size - 1) / 2 if kind == "ms" else 0.0
        for number, chip in enumerate(images):
            bands, height, width = chip.shape
            with rasterio.open(
                folder / f"{stem}-{number}_{kind}.tif",
                "w",
                driver="GTiff",
                dtype=chip.dtype,
                count=bands,
                height=height,
                width=width,
                crs="EPSG:32633",  # metres, wherever they are
                transform=Affine(size, 0, 5e5 + corner, 0, -size, 5e6 - corner),
            ) as file:
                file.write(chip)


def scene(pan: Path, grid: Grid, full: bool, coregister: bool, degradation: str) -> Made:
    """One GeoTIFF pair, reduced or as it is: one chip, or several where pixels are missing."""
    stem = str(pan).removesuffix("_pan.tif")
    files = [str(pan), f"{stem}_ms.tif", f"{stem}_gt.tif"]
    with open_pair(*map(RasterSource.of, files[:2])) as pair:
        if abs(pair.ratio - grid.ratio) > 1e-3:
            raise LeftOut(f"its ratio is {pair.ratio:g}")
    given = Path(files[2]).exists()
    with tempfile.TemporaryDirectory() as scratch, ExitStack() as stack:
        if not (full or given) and degradation == "mtf":
            degraded = run(DegradeJob(*map(RasterSource.of, files[:2]), scratch))
            files, given = [degraded.pan, degraded.ms, degraded.gt], True
        pair = stack.enter_context(open_pair(*map(RasterSource.of, files[:2])))
        truth = None
        if given and not full:
            source = RasterSource.of(files[2])
            truth = stack.enter_context(open_source(source, pair.backend, "the truth"))
        arrays, valid = registered(pair, truth, grid, coregister)
        attributes = {"sensor": pair.sensor.key, "roles": ",".join(pair.sensor.roles)}
    if not (full or given):
        arrays, valid = reduced_as_published(arrays, valid, grid.ratio)
    if valid is not None and not valid.all():
        return Made(whole_chips(arrays, valid, grid.ratio), attributes)
    return Made({key: values[None] for key, values in arrays.items()}, attributes)


def registered(
    pair: Pair, truth: Source | None, grid: Grid, coregister: bool
) -> tuple[dict[str, np.ndarray], np.ndarray | None]:
    """The images of a pair, all lying on each other, and which pixels are valid.

    Where PAN and MS do not fit, the PAN moves. A truth decides otherwise if the LMS comes nearer to
    it by moving to the PAN; mostly it lies with the MS it was made from, or was delivered with.
    """
    step = lcm(STRIDE, grid.ratio)
    height, width = (n - n % step for n in pair.scene.shape)
    window = Window(pair.scene.col, pair.scene.row, width, height)
    gt, valid = read_truth(truth, pair, window) if truth else (None, None)
    inputs = read_inputs(pair, window, grid, CHIP)
    if coregister and (shift := estimate_shift(pair, 1, Progress())).known:
        moved = None
        if gt is not None:
            moved = read_inputs(pair.moved(shift.dx, shift.dy), window, grid, CHIP)
            errors = [
                ergas(gt.astype(np.float64), lms.astype(np.float64), grid.ratio)
                for lms in (inputs.lms, moved.lms)
            ]
            moved = moved if errors[1] < errors[0] else None
        inputs = moved or inputs._replace(pan=moved_pan(pair, window, shift)[0])
    arrays = {"pan": inputs.pan[None], "lms": inputs.lms, "ms": inputs.ms}
    if gt is not None:
        arrays["gt"] = gt
    masks = [mask for mask in (valid, inputs.valid) if mask is not None]
    return arrays, np.logical_and.reduce(masks) if masks else None


def read_truth(truth: Source, pair: Pair, window: Window) -> tuple[np.ndarray, np.ndarray | None]:
    """The truth of a window, and where it is valid; one that does not fit the pair is refused."""
    sizes = [(s.info.width, s.info.height) for s in (pair.pan, truth)]
    if sizes[0] != sizes[1] or len(truth.info.bands) != pair.bands:
        raise WhetstoneError(
            "PATCHES", f"The truth of '{pair.pan.info.path}' has not its size and the MS's bands."
        )
    return truth.read(window)


def reduced_as_published(
    arrays: dict[str, np.ndarray], valid: np.ndarray | None, ratio: int
) -> tuple[dict[str, np.ndarray], np.ndarray | None]:
    """A pair degraded as by CrossDiff's authors (spec §1.2): the same filters for every sensor.

    PAN is averaged over MS pixels; the MS is the truth, and is smoothed by a 5 x 5 Gaussian of
    deviation 2 before it is averaged.
    """
    step = lcm(STRIDE, ratio)
    height, width = (n - n % step for n in arrays["ms"].shape[1:])
    if not (height and width):
        raise LeftOut("nothing is left of it when reduced")
    gt = arrays["ms"][:, :height, :width]
    pan = arrays["pan"][:, : height * ratio, : width * ratio]
    axis = np.arange(-2, 3)
    line = np.exp(-(axis**2) / (2 * 2.0**2))
    line = line / line.sum()
    smooth = np.pad(gt, ((0, 0), (2, 2), (2, 2)), mode="reflect").astype(np.float64)
    smooth = sum(w * smooth[:, k : k + height] for k, w in enumerate(line))
    smooth = sum(w * smooth[:, :, k : k + width] for k, w in enumerate(line))
    made = {"pan": averaged(pan, ratio), "ms": averaged(smooth, ratio), "gt": gt}
    if valid is not None:
        valid = averaged(valid[None, : height * ratio, : width * ratio], ratio)[0] == 1
    return made, valid


def averaged(image: np.ndarray, ratio: int) -> np.ndarray:
    """Means over squares of ``ratio`` pixels of (B, h, w), float32."""
    bands, height, width = image.shape
    squares = image.reshape(bands, height // ratio, ratio, width // ratio, ratio)
    return squares.mean((2, 4), dtype=np.float64).astype(np.float32)


def bicubic(ms: np.ndarray, ratio: int) -> np.ndarray:
    """The MS (n, B, h, w) enlarged as by CrossDiff's authors."""
    images = torch.from_numpy(np.ascontiguousarray(ms, np.float32))
    return F.interpolate(images, scale_factor=ratio, mode="bicubic").numpy()


def whole_chips(
    arrays: dict[str, np.ndarray], valid: np.ndarray, ratio: int
) -> dict[str, np.ndarray]:
    """Chips in which no pixel is missing."""
    rows, cols = (range(0, n - CHIP + 1, CHIP) for n in valid.shape)
    places = [(r, c) for r in rows for c in cols if valid[r : r + CHIP, c : c + CHIP].all()]
    if not places:
        raise LeftOut(f"no part of {CHIP} pixels is without missing pixels")
    cut = {}
    for key, values in arrays.items():
        step = ratio if key == "ms" else 1
        side = CHIP // step
        cut[key] = np.stack(
            [values[:, r // step :, c // step :][:, :side, :side] for r, c in places]
        )
    return cut


if __name__ == "__main__":
    sys.exit(quiet(main))
