"""Speed and memory of SSDiff, as ratios measured in one run: ``make bench``.

The yardstick is the plain form (explicit softmax, FFT) with the system's memory allocator, as in
the published code; it lies in tests/deep/plain.py. Every measurement runs in a process of its own.
"""

from __future__ import annotations

import sys
import tempfile
import time
from functools import partial
from pathlib import Path

from bench_tools import apart, cores, draw_pair, main, matrix_rate, median_time, peak_mb

BANDS, SIDE, RATIO = 8, 64, 4
#: Windows of the published tiling of a 256 x 256 image: stride 16 (spec §6.3).
PUBLISHED_WINDOWS = 222
#: (what, least or most, limit)
LIMITS = {
    "forward: times faster than the plain form": (">=", 4.0),
    "forward: times less memory than the plain form": (">=", 10.0),
    "256 x 256, 10 steps: times faster than the published tiling": (">=", 20.0),
    "fuse: share of the bare network's rate": (">=", 0.85),
    "memory of 1k x 4k over 1k x 1k": ("<=", 1.1),
}


# -- what runs in a process of its own ------------------------------------------------------------


def forward(form: str, turns: int) -> dict[str, float]:
    """One window through the network: seconds, and memory beyond that of weights and inputs."""
    import torch
    from plain import filled, inputs, plain_form
    from whetstone.engine.deep.device import prepare

    torch.set_num_threads(cores())
    network, batch, t = filled(BANDS), inputs(BANDS, SIDE), torch.tensor([500.0])
    small = inputs(BANDS, 8)
    with torch.inference_mode():
        network(*small, t)  # what the libraries keep for themselves
        before = peak_mb()
        if form == "engine":
            prepare(torch.device("cpu"), torch.get_num_threads())
            seconds = median_time(lambda: network(*batch, t), turns)
        else:
            with plain_form():
                seconds = median_time(lambda: network(*batch, t), turns)
    return {"seconds": seconds, "mb": peak_mb() - before}


def fusion(pan: str, ms: str, model: str, steps: int, bare: bool, device: str) -> dict[str, float]:
    """A fusion's seconds and peak memory, and those of its windows through the bare network."""
    import torch
    from whetstone.engine import FuseJob, RasterSource, run
    from whetstone.engine.deep import load_model
    from whetstone.engine.deep.device import pick_device, prepare, windows_at_once

    place, threads = pick_device(device), cores()
    with tempfile.TemporaryDirectory() as scratch:
        out = str(Path(scratch) / "fused.tif")
        job = FuseJob(
            RasterSource.of(pan),
            RasterSource.of(ms),
            out,
            "ssdiff",
            model=model,
            steps=steps,
            device=device,
            overviews=False,
        )
        if place.type == "cuda":
            run(job)  # kernels are chosen and loaded
            torch.cuda.reset_peak_memory_stats()
        started = time.perf_counter()
        result = run(job)
        found = {"seconds": time.perf_counter() - started, "peak_mb": peak_mb()}
    if place.type == "cuda":
        found["device_mb"] = torch.cuda.max_memory_allocated() / 2**20
    if bare:
        network, batch = load_model(model, place).network, windows_at_once(place, SIDE, 0)
        prepare(place, threads)
        shapes = ((1, SIDE), (BANDS, SIDE), (BANDS, SIDE // RATIO), (BANDS, SIDE))
        parts = [torch.rand(batch, c, s, s, device=place) for c, s in shapes]
        t = torch.full((batch,), 500.0, device=place)

        def once() -> None:
            network(*parts, t)
            if place.type == "cuda":
                torch.cuda.synchronize()

        stride = SIDE - SIDE // 4
        windows = [max(1, -(-(n - SIDE // 4) // stride)) for n in (result.width, result.height)]
        with torch.inference_mode():
            each = median_time(once, 15) / batch
        found["bare_seconds"] = each * windows[0] * windows[1] * steps
    return found


TASKS = {"forward": forward, "fusion": fusion}


# -- the report -----------------------------------------------------------------------------------


def make_model(folder: Path) -> str:
    """A model with random weights."""
    import torch
    from whetstone.engine.cards import Card
    from whetstone.engine.deep.ssdiff import SSDiff
    from whetstone.engine.deep.weights import save_model

    torch.manual_seed(1)
    parameters = {"bands": BANDS, "ratio": RATIO}
    card = Card("bench", "ssdiff", parameters, BANDS, RATIO)
    save_model(folder / "bench.safetensors", SSDiff(**parameters), card)
    return str(folder / "bench.safetensors")


def on_cpu(folder: Path, turns: int) -> dict[str, float]:
    """The ratios that have limits."""
    model, pair = make_model(folder), partial(draw_pair, folder, bands=BANDS, ratio=RATIO)
    fast, slow = apart("forward", "engine", turns), apart("forward", "plain", turns)
    small = apart("fusion", *pair(256, 256), model, 10, False, "cpu")
    whole = apart("fusion", *pair(496, 496), model, 4, True, "cpu")
    square = apart("fusion", *pair(1024, 1024), model, 1, False, "cpu")
    tall = apart("fusion", *pair(1024, 4096), model, 1, False, "cpu")
    published = PUBLISHED_WINDOWS * 10 * slow["seconds"]
    print(
        f"forward, one window: {1e3 * fast['seconds']:.0f} ms and {fast['mb']:.0f} MB; "
        f"plain form: {1e3 * slow['seconds']:.0f} ms and {slow['mb']:.0f} MB\n"
        f"256 x 256 at 10 steps: {small['seconds']:.1f} s; the published tiling of the plain form: "
        f"{published:.0f} s (from the cost of one window)\n"
        f"peak memory: 1k x 1k {square['peak_mb']:.0f} MB, 1k x 4k {tall['peak_mb']:.0f} MB"
    )
    return {
        "forward: times faster than the plain form": slow["seconds"] / fast["seconds"],
        "forward: times less memory than the plain form": slow["mb"] / max(fast["mb"], 1e-3),
        "256 x 256, 10 steps: times faster than the published tiling": published / small["seconds"],
        "fuse: share of the bare network's rate": whole["bare_seconds"] / whole["seconds"],
        "memory of 1k x 4k over 1k x 1k": tall["peak_mb"] / square["peak_mb"],
    }


def on_gpu(folder: Path) -> None:
    """Seconds per image and megapixel, memory, and the share of the matrix rate that is reached."""
    import torch

    model, pair = make_model(folder), partial(draw_pair, folder, bands=BANDS, ratio=RATIO)
    rate = matrix_rate()
    print(f"{torch.cuda.get_device_name()}: bf16 matrix rate {rate / 1e12:.0f} TFLOP/s")
    print(f"{'steps':>5} {'256 x 256':>10} {'per MP':>8} {'memory':>9} {'of the matrix rate':>19}")
    for steps in (1, 4, 10):
        small = apart("fusion", *pair(256, 256), model, steps, False, "cuda")
        large = apart("fusion", *pair(2048, 2048), model, steps, False, "cuda")
        megapixels = 2048**2 / 1e6
        work = 43**2 * steps * 6.48e9  # windows of 2,048 px, FLOP of one (spec §7)
        print(
            f"{steps:>5} {small['seconds']:>8.2f} s {large['seconds'] / megapixels:>6.2f} s "
            f"{large['device_mb']:>6.0f} MB {work / large['seconds'] / rate:>18.1%}"
        )


if __name__ == "__main__":
    sys.exit(main(__doc__, TASKS, LIMITS, on_cpu, on_gpu, turns=15))
