"""What the benchmarks of the deep models share: timing, processes, drawn scenes, the report."""

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
from pathlib import Path
from typing import Any, Callable, Mapping

ROOT = Path(__file__).resolve().parent.parent
#: Rows that are drawn at once: what the parent holds counts as memory of its children.
DRAWN_ROWS = 512


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0))


def median_time(work: Callable[[], Any], turns: int) -> float:
    """Median seconds of some runs, after one that does not count."""
    work()
    seconds = []
    for _ in range(turns):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)


def peak_mb() -> float:
    """Peak memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def matrix_rate() -> float:
    """FLOP per second of a GPU that multiplies large bf16 matrices."""
    import torch

    a = torch.rand(8192, 8192, device="cuda", dtype=torch.bfloat16)

    def multiply() -> None:
        a @ a
        torch.cuda.synchronize()

    return 2 * 8192**3 / median_time(multiply, 9)


def apart(task: str, *arguments: Any) -> dict[str, float]:
    """Run a task of this benchmark in a new process."""
    paths = os.pathsep.join([str(ROOT / "tests" / "deep"), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, sys.argv[0], "--task", json.dumps([task, *arguments])],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        sys.exit(done.stderr)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def draw_pair(folder: Path, width: int, height: int, bands: int, ratio: int) -> tuple[str, str]:
    """Files of a PAN of (width, height) pixels and of its MS: noise of 100 to 1,500 DN."""
    import numpy as np
    import rasterio
    from rasterio.transform import from_origin
    from rasterio.windows import Window

    rng = np.random.default_rng(1)
    names = []
    for name, count, step in (("pan", 1, 1), ("ms", bands, ratio)):
        path = folder / f"{name}_{width}_{height}.tif"
        w, h = width // step, height // step
        profile = {
            "driver": "GTiff",
            "width": w,
            "height": h,
            "count": count,
            "dtype": "uint16",
            "crs": "EPSG:32633",
            "transform": from_origin(500000, 5000000, 0.5 * step, 0.5 * step),
            "tiled": True,
        }
        with rasterio.open(path, "w", **profile) as file:
            for band in range(1, count + 1):
                for row in range(0, h, DRAWN_ROWS):
                    values = rng.integers(100, 1500, (min(DRAWN_ROWS, h - row), w))
                    window = Window(0, row, w, len(values))
                    file.write(values.astype(np.uint16), band, window=window)
        names.append(str(path))
    return names[0], names[1]


def main(
    about: str | None,
    tasks: Mapping[str, Callable[..., dict[str, float]]],
    limits: Mapping[str, tuple[str, float]],
    on_cpu: Callable[[Path, int], dict[str, float]],
    on_gpu: Callable[[Path], None],
    turns: int,
) -> int:
    """Measure, print, and fail when a limit is missed.

    Args:
        about: What the benchmark is.
        tasks: What :func:`apart` may be asked for.
        limits: (">=" or "<=", limit) by name.
        on_cpu: Measures the ratios that have limits; one that does not apply here is left out.
        on_gpu: Prints the figures of a GPU.
        turns: Runs of a network that count, unless the user says otherwise.
    """
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--turns", type=int, default=turns)
    parser.add_argument("--task", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.task:
        name, *arguments = json.loads(args.task)
        print(json.dumps(tasks[name](*arguments)))
        return 0
    import torch

    missed = 0
    with tempfile.TemporaryDirectory() as scratch:
        for name, value in on_cpu(Path(scratch), args.turns).items():
            sign, limit = limits[name]
            good = value >= limit if sign == ">=" else value <= limit
            print(f"{'ok    ' if good else 'MISSED'} {value:8.2f} ({sign} {limit:g})  {name}")
            missed += not good
        if torch.cuda.is_available():
            on_gpu(Path(scratch))
    return 1 if missed else 0
