"""Speed and memory against GDAL, as ratios measured in one run: ``make bench``.

Both programs get the same data, the same number of threads, the same creation options and no
overviews; they take turns, and the median of the turns counts.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import rasterio
from rasterio.transform import from_origin
from rasterio.windows import Window

RATIO, BANDS, BLOCK = 4, 4, 512
OPTIONS = {
    "TILED": "YES",
    "BLOCKXSIZE": "512",
    "BLOCKYSIZE": "512",
    "COMPRESS": "DEFLATE",
    "PREDICTOR": "2",
}
LIMITS = {"brovey": 1.0, "gsa": 2.0}


def make_pair(folder: Path, size: int) -> tuple[Path, Path]:
    """A PAN of ``size`` pixels and its 4-band MS: smooth fields with texture, compressed."""
    pan, ms = folder / f"pan_{size}.tif", folder / f"ms_{size}.tif"
    if pan.exists() and ms.exists():
        return pan, ms
    rng = np.random.default_rng(size)
    tile = _texture(2048, rng)
    small = tile.reshape(2048 // RATIO, RATIO, 2048 // RATIO, RATIO).mean((1, 3))
    for path, image, count, pixel in ((pan, tile, 1, 0.5), (ms, small, BANDS, 0.5 * RATIO)):
        side = size if count == 1 else size // RATIO
        profile = {
            "driver": "GTiff",
            "width": side,
            "height": side,
            "count": count,
            "dtype": "uint16",
            "crs": "EPSG:32633",
            "transform": from_origin(500000, 5000000, pixel, pixel),
            "tiled": True,
            "blockxsize": BLOCK,
            "blockysize": BLOCK,
            "compress": "deflate",
            "predictor": 2,
        }
        with rasterio.open(path, "w", **profile) as out:
            for row in range(0, side, len(image)):
                for col in range(0, side, len(image)):
                    flip = image[:: (-1) ** (row // len(image)), :: (-1) ** (col // len(image))]
                    part = flip[: side - row, : side - col]
                    window = Window(col, row, part.shape[1], part.shape[0])
                    for band in range(count):
                        values = part * (0.7 + 0.15 * band) + 60 * band
                        out.write(
                            np.clip(values, 1, 2047).astype(np.uint16), band + 1, window=window
                        )
    return pan, ms


def _texture(size: int, rng: np.random.Generator) -> np.ndarray:
    """Noise with the spectrum of a landscape, 11-bit DN."""
    f = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.fftfreq(size))
    noise = np.real(
        np.fft.ifft2(np.fft.fft2(rng.standard_normal((size, size))) / (f + 2 / size) ** 1.3)
    )
    return 600 + 130 * noise / noise.std() + rng.normal(0, 3, (size, size))


def timed(command: list[str], out: Path) -> tuple[float, float]:
    """Wall seconds and peak memory (MB) of one run."""
    out.unlink(missing_ok=True)
    started = time.perf_counter()
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    errors = process.stderr.read() if process.stderr else ""
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    if os.waitstatus_to_exitcode(status) or not out.exists():
        sys.exit(f"{' '.join(command)}\n{errors}")
    return seconds, usage.ru_maxrss / 1024


def gdal(pan: Path, ms: Path, out: Path, threads: int) -> list[str]:
    """The command of GDAL's own pansharpening."""
    options = [
        f"-co={k}={v}".replace("=", " ", 1)
        for k, v in {**OPTIONS, "NUM_THREADS": str(threads)}.items()
    ]
    words = [word for option in options for word in option.split()]
    return [
        "gdal_pansharpen.py",
        "-q",
        "-threads",
        str(threads),
        *words,
        str(pan),
        str(ms),
        str(out),
    ]


def whetstone(method: str, pan: Path, ms: Path, out: Path, threads: int) -> list[str]:
    """The command of ours."""
    options = [
        w for k, v in {**OPTIONS, "NUM_THREADS": str(threads)}.items() for w in ("--co", f"{k}={v}")
    ]
    return [
        sys.executable,
        "-m",
        "whetstone.engine.cli",
        "fuse",
        "--pan",
        str(pan),
        "--ms",
        str(ms),
        "--out",
        str(out),
        "--method",
        method,
        "--threads",
        str(threads),
        "--no-overviews",
        *options,
    ]


def bench(size: int, turns: int, threads: int, folder: Path) -> list[dict[str, float | str]]:
    """Rows of one scene size."""
    # in a process of its own: a child's peak memory starts at that of the process that forks it
    with ProcessPoolExecutor(1) as maker:
        pan, ms = maker.submit(make_pair, folder, size).result()
    out = folder / "out.tif"
    runs: dict[str, list[tuple[float, float]]] = {"gdal": [], "brovey": [], "gsa": []}
    for _ in range(turns):
        runs["gdal"].append(timed(gdal(pan, ms, out, threads), out))
        for method in LIMITS:
            runs[method].append(timed(whetstone(method, pan, ms, out, threads), out))
    out.unlink()
    base = statistics.median(seconds for seconds, _ in runs["gdal"])
    rows = []
    for name, values in runs.items():
        seconds = statistics.median(s for s, _ in values)
        rows.append(
            {
                "size": size,
                "program": name,
                "seconds": round(seconds, 2),
                "ratio": round(seconds / base, 3),
                "peak_mb": round(max(m for _, m in values)),
            }
        )
    return rows


def main() -> int:
    """Run, print a table, and fail when a limit is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[4096, 16384])
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--folder", type=Path, help="where the scenes are made and kept")
    parser.add_argument("--json", type=Path, help="also write the rows there")
    args = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with tempfile.TemporaryDirectory() as scratch:
        folder = args.folder or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        rows = [row for size in args.sizes for row in bench(size, args.turns, args.threads, folder)]
    print(f"{'size':>6} {'program':8} {'seconds':>8} {'x gdal':>7} {'peak MB':>8}")
    for row in rows:
        print("{size:>6} {program:8} {seconds:>8} {ratio:>7} {peak_mb:>8}".format(**row))
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1))
    missed = [r for r in rows if r["program"] in LIMITS and r["ratio"] > LIMITS[str(r["program"])]]
    memory = {(r["size"]): r["peak_mb"] for r in rows if r["program"] == "gsa"}
    small, large = min(memory), max(memory)
    print(
        f"peak memory of gsa, {large} against {small} px: "
        f"{float(memory[large]) / float(memory[small]):.2f}x"
    )
    for row in missed:
        print(
            "MISSED: {program} at {size} px takes {ratio}x, ".format(**row)
            + f"allowed {LIMITS[str(row['program'])]}x"
        )
    grown = float(memory[large]) > 1.2 * float(memory[small]) or float(memory[large]) > 1000
    if grown:
        print("MISSED: memory grows with the scene or exceeds 1 GB")
    return 1 if missed or grown else 0


if __name__ == "__main__":
    sys.exit(main())
