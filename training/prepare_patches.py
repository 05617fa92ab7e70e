"""Make a file of training scenes from GeoTIFF pairs, by the Wald protocol where needed.

    python training/prepare_patches.py --train FOLDER... --val FOLDER... --out patches.h5

A folder holds <scene>_pan.tif, <scene>_ms.tif and, where the pair is at reduced resolution
already, <scene>_gt.tif. Pairs without a truth are degraded by their ratio with the filters of
their sensor, and their MS becomes the truth. Scenes are told apart by the folder they lie in, so
no scene is in both splits. A path may also name one <scene>_pan.tif, or an .npz of chips with
arrays pan [n,H,W], ms [n,C,h,w] and gt [n,C,H,W]. PanCollection HDF5 files need no preparation.
"""

from __future__ import annotations

import argparse
import fnmatch
import os
import sys
import tempfile
from math import lcm
from pathlib import Path

import h5py
import numpy as np
from tqdm import tqdm
from whetstone.engine import DegradeJob, Progress, RasterSource, WhetstoneError, run
from whetstone.engine.deep.inputs import Grid, lms_and_ms
from whetstone.engine.deep.ssdiff import STRIDE
from whetstone.engine.interpolation import mirror
from whetstone.engine.pair import Geometry, Pair, open_pair
from whetstone.engine.raster.source import open_source
from whetstone.engine.registration import estimate_shift
from whetstone.engine.tiling import thread_count
from whetstone.engine.types import Window

#: Where MS pixel 0 lies on the PAN grid of every patch that is written (common corner at 4).
PHASES = {2: 0.5, 3: 1.0, 4: 1.5}


def main() -> int:
    """Read the scenes of both splits and write the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--train", type=Path, nargs="+", required=True, metavar="PATH")
    parser.add_argument("--val", type=Path, nargs="+", default=[], metavar="PATH")
    parser.add_argument("--only", nargs="+", default=["*"], metavar="PATTERN", help="such as WV2_*")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE.h5")
    parser.add_argument("--ratio", type=int, default=4, choices=sorted(PHASES))
    parser.add_argument("--no-coregister", action="store_true", help="trust the georeferencing")
    parser.add_argument(
        "--chip-phase", type=float, help="place of MS pixel 0 in .npz chips (default: the corner's)"
    )
    args = parser.parse_args()
    part = args.out.with_name(args.out.name + ".part")
    try:
        with h5py.File(part, "w") as file:
            for split, paths in (("train", args.train), ("val", args.val)):
                places = [p for path in paths for p in scenes(path, args.only)]
                for place in tqdm(places, desc=split, disable=not sys.stderr.isatty()):
                    write(file.require_group(split), place, args)
        os.replace(part, args.out)
    except WhetstoneError as error:
        sys.exit(f"{error.code}: {error}")
    finally:
        part.unlink(missing_ok=True)
    return 0


def scenes(path: Path, patterns: list[str]) -> list[Path]:
    """The scenes a path names: *_pan.tif files and .npz chips."""
    found = sorted([*path.glob("*_pan.tif"), *path.glob("*.npz")]) if path.is_dir() else [path]
    found = [p for p in found if any(fnmatch.fnmatch(p.name, pattern) for pattern in patterns)]
    if not found:
        raise WhetstoneError("PATCHES", f"'{path}' holds no scene named {' or '.join(patterns)}.")
    return found


def write(split: h5py.Group, place: Path, args: argparse.Namespace) -> None:
    """Add one scene, unless its ratio is another."""
    grid = Grid(args.ratio, PHASES[args.ratio])
    chip_phase = grid.phase if args.chip_phase is None else args.chip_phase
    name = place.name.removesuffix("_pan.tif").removesuffix(".npz")
    if place.suffix == ".npz":
        arrays, attributes = chips(place, grid, chip_phase)
    else:
        arrays, attributes = scene(place, grid, not args.no_coregister)
    if not arrays:
        print(f"{name}: left out, {attributes['reason']}", file=sys.stderr)
        return
    group = split.create_group(name)
    group.attrs.update({"ratio": args.ratio, "phase": grid.phase, **attributes})
    for key, values in arrays.items():
        group.create_dataset(key, data=values, compression="lzf")


def chips(path: Path, grid: Grid, phase: float) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Chips that come with their truth; each is mirrored at its own borders."""
    data = np.load(path, allow_pickle=False)
    side = data["pan"].shape[-1]
    geometry = Geometry((float(grid.ratio),) * 2, (phase,) * 2)
    made = []
    for ms in data["ms"].astype(np.float32):

        def read(window: Window, ms: np.ndarray = ms) -> np.ndarray:
            rows = mirror(window.row, window.stop[1], ms.shape[1])
            cols = mirror(window.col, window.stop[0], ms.shape[2])
            return ms[:, rows[:, None], cols]

        made.append(lms_and_ms(read, geometry, Window(0, 0, side, side), grid))
    lms, ms = (np.stack(parts) for parts in zip(*made))
    sensor = path.name.split("_")[0].lower()
    return {"pan": data["pan"][:, None], "lms": lms, "ms": ms, "gt": data["gt"]}, {"sensor": sensor}


def scene(
    pan: Path, grid: Grid, coregister: bool
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """One GeoTIFF pair at reduced resolution, as one chip."""
    stem = str(pan).removesuffix("_pan.tif")
    ms, gt = Path(f"{stem}_ms.tif"), Path(f"{stem}_gt.tif")
    with tempfile.TemporaryDirectory() as scratch:
        if not gt.exists():
            job = DegradeJob(RasterSource.of(str(pan)), RasterSource.of(str(ms)), scratch)
            if wrong := other_ratio(pan, ms, grid):
                return {}, wrong
            pan, ms, gt = (Path(getattr(run(job), key)) for key in ("pan", "ms", "gt"))
        if wrong := other_ratio(pan, ms, grid):
            return {}, wrong
        with opened(pan, ms) as pair, open_source(
            RasterSource.of(str(gt)), pair.backend, "the truth"
        ) as truth:
            if coregister:
                shift = estimate_shift(pair, thread_count(0), Progress())
                moved = pair.moved(shift.dx, shift.dy) if shift.known else pair
            step = lcm(STRIDE, grid.ratio)
            width, height = (n - n % step for n in pair.scene.shape[::-1])
            window = Window(0, 0, width, height)
            lms, small = lms_and_ms(
                lambda w: pair.read_ms(w)[0], (moved if coregister else pair).geometry, window, grid
            )
            arrays = {
                "pan": pair.read_pan(window)[0][None],
                "lms": lms,
                "ms": small,
                "gt": truth.read(window)[0],
            }
            sensor = pair.sensor.key
            roles = ",".join(pair.sensor.roles)
    return {k: v[None] for k, v in arrays.items()}, {"sensor": sensor, "roles": roles}


def opened(pan: Path, ms: Path) -> Pair:
    """The pair as the engine ties it."""
    return open_pair(RasterSource.of(str(pan)), RasterSource.of(str(ms)))


def other_ratio(pan: Path, ms: Path, grid: Grid) -> dict[str, str] | None:
    """Why a pair does not fit the grid, if it does not."""
    with opened(pan, ms) as pair:
        if abs(pair.ratio - grid.ratio) > 1e-3:
            return {"reason": f"its ratio is {pair.ratio:g}"}
    return None


if __name__ == "__main__":
    sys.exit(main())
