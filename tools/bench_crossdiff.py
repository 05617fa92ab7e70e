"""Speed and memory of CrossDiff, as ratios measured in one run: ``make bench``.

The yardstick is the authors' order of work: float32, channels first, the system's memory allocator,
both U-Nets whole, statistics of the input, the finest block of the head computed and dropped. The
engine runs the encoders alone, in bf16 and channels last, with statistics that are frozen.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections import defaultdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Tuple

from bench import BANDS, RATIO, make_pair
from bench_tools import apart, cores, draw_pair, main, matrix_rate, median_time, peak_mb

if TYPE_CHECKING:
    import torch
    from whetstone.engine.deep.weights import Model

Shape = Tuple[int, int]  # (height, width)
#: Side of the image of one pass of the network, in PAN pixels.
SIDE = 512
#: Side of the scene that is fused: large enough that learning its statistics is a small part.
SCENE = 8192
#: Processes of each form of the network, in turns.
ROUNDS = 3
#: Runs of the whole fusion.
FUSIONS = 2
FASTER = "network: times faster than the authors' order of work"
#: (what, least or most, limit)
LIMITS = {
    FASTER: (">=", 5.0),
    "network: share of the rate of a convolution": (">=", 0.5),
    "fuse: share of the bare network's rate": (">=", 0.85),
    "memory of 1k x 4k over 1k x 1k": ("<=", 1.1),
}


def has_bf16() -> bool:
    """Whether this CPU computes with bf16, so that the engine does."""
    import torch

    has = torch.cpu.get_capabilities()
    return bool(has.get("avx512_bf16") or has.get("amx_bf16"))


def precision() -> str:
    """What the engine computes in on this CPU."""
    return "bf16" if has_bf16() else "fp32"


def images(height: int, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    """PAN and LMS of noise, [1,1,h,w] and [1,C,h,w]."""
    import torch

    return torch.rand(1, 1, height, width), torch.rand(1, BANDS, height, width)


def engine_form(model: Model) -> Any:
    """The network as the engine runs it: (height, width) -> a pass over an image of that size."""
    import torch
    from whetstone.engine.deep.device import prepare
    from whetstone.engine.deep.sampling import sharpen
    from whetstone.engine.deep.statistics import learn

    prepare(model.device, cores())
    model.network.to(memory_format=torch.channels_last)
    small = images(64, 64)
    learn(model.network, lambda: [(torch.ones(1, 1, 64, 64), lambda: model.network(*small))])

    def at(height: int, width: int) -> Any:
        pan, lms = (x.contiguous(memory_format=torch.channels_last) for x in images(height, width))
        return lambda: sharpen(model, pan, lms, None, precision())

    return at


def regions(side: int) -> tuple[list[Shape], list[Shape]]:
    """What the network is run on in a scene, halo included: all windows, and those it learns from.

    The sides of windows and scene are multiples of the network's stride, so the halo is its reach.
    """
    from whetstone.engine.deep.crossdiff import REACH
    from whetstone.engine.deep.crossdiff_scene import CORE, SAMPLE, SAMPLE_SIDE
    from whetstone.engine.tiling import grid, scattered
    from whetstone.engine.types import Window

    scene = Window(0, 0, side, side)

    def with_halo(windows: list[Window]) -> list[Shape]:
        return [window.expand(REACH).intersect(scene).shape for window in windows]

    return with_halo(grid(scene, CORE)), with_halo(scattered(grid(scene, SAMPLE_SIDE), SAMPLE))


def pixels(shapes: list[Shape]) -> int:
    """How many pixels regions have in all."""
    return sum(height * width for height, width in shapes)


# -- what runs in a process of its own ------------------------------------------------------------


def plain(turns: int) -> dict[str, float]:
    """Seconds of an image by the authors' order of work."""
    import torch
    from torch.nn import functional as F
    from whetstone.engine.deep.crossdiff import CrossDiff, UNet

    torch.set_num_threads(cores())
    network, (pan, lms) = CrossDiff(BANDS, finest_level="reference").eval(), images(SIDE, SIDE)
    t = torch.tensor([50.0])

    def features(unet: UNet, *inputs: torch.Tensor) -> list[torch.Tensor]:
        """The encoder's levels by way of the whole U-Net."""
        levels: list[torch.Tensor] = []
        hooks = [
            layer.register_forward_hook(lambda _layer, _inputs, level: levels.append(level))
            for layer in (unet.stem, *unet.down)
        ]
        unet(*inputs)
        for hook in hooks:
            hook.remove()
        return levels

    def once() -> None:
        of_p2m, of_m2p = features(network.p2m, lms, t, pan), features(network.m2p, pan, t, lms)
        F.leaky_relu(network.head.block[3](torch.cat([of_p2m[0], of_m2p[0]], 1)))  # dropped
        network.head(lms, [of_p2m], [of_m2p])

    with torch.inference_mode():
        return {"seconds": median_time(once, turns)}


def engine(turns: int) -> dict[str, float]:
    """Seconds of an image by the engine's network, and FLOP per second of it and a convolution."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode
    from whetstone.engine.cards import Card
    from whetstone.engine.deep.crossdiff import CrossDiff
    from whetstone.engine.deep.weights import Model

    card = Card("bench", "crossdiff", {"bands": BANDS}, BANDS, RATIO)
    at = engine_form(Model(card, CrossDiff(BANDS).eval(), torch.device("cpu")))
    once, dtype = at(SIDE, SIDE), torch.bfloat16 if has_bf16() else torch.float32
    layer = torch.nn.Conv2d(64, 64, 3, padding=1).to(dtype, memory_format=torch.channels_last)
    x = torch.rand(1, 64, 256, 256, dtype=dtype).contiguous(memory_format=torch.channels_last)

    def work(run: Any) -> int:
        with torch.inference_mode(), FlopCounterMode(display=False) as counter:
            run()
        return counter.get_total_flops()

    found = {"flop": float(work(once)), "seconds": median_time(once, turns)}
    with torch.inference_mode():
        seconds = median_time(lambda: layer(x), 20 * turns)
    found["rate"] = found["flop"] / found["seconds"]
    found["convolution"] = work(lambda: layer(x)) / seconds
    return found


def fused(pan: str, ms: str, model: str, device: str) -> dict[str, float]:
    """Seconds and peak memory of one fusion."""
    import torch
    from whetstone.engine import FuseJob, RasterSource, run

    with tempfile.TemporaryDirectory() as scratch:
        job = FuseJob(
            RasterSource.of(pan),
            RasterSource.of(ms),
            str(Path(scratch) / "fused.tif"),
            "crossdiff",
            model=model,
            device=device,
            precision=precision() if device == "cpu" else "bf16",
            overviews=False,
        )
        if device == "cuda":
            run(job)  # kernels are chosen and loaded
            torch.cuda.reset_peak_memory_stats()
        started = time.perf_counter()
        run(job)
        found = {"seconds": time.perf_counter() - started, "peak_mb": peak_mb()}
    if device == "cuda":
        found["device_mb"] = torch.cuda.max_memory_allocated() / 2**20
    return found


def share(folder: str, model: str, turns: int) -> dict[str, float]:
    """Seconds of a fusion and, in turns with it, of its network alone on what it is run on."""
    import torch
    from whetstone.engine.deep import load_model
    from whetstone.engine.deep.statistics import learn

    pan, ms = map(str, make_pair(Path(folder), SCENE))
    loaded = load_model(model)
    at = engine_form(loaded)
    windows, samples = regions(SCENE)
    seen = [(torch.ones(1, 1, *shape), at(*shape)) for shape in samples]
    seconds: dict[Any, list[float]] = defaultdict(list)

    def bare() -> None:
        started = time.perf_counter()
        learn(loaded.network, lambda: seen)
        seconds["estimate"].append(time.perf_counter() - started)
        for shape in set(windows):
            seconds[shape].append(median_time(at(*shape), turns))

    bare()
    for _ in range(FUSIONS):
        seconds["fuse"].append(fused(pan, ms, model, "cpu")["seconds"])
        bare()
    each = {what: statistics.median(times) for what, times in seconds.items()}
    return {
        "fuse": each["fuse"],
        "estimate": each["estimate"],
        "bare": sum(each[shape] for shape in windows),
    }


TASKS = {"plain": plain, "engine": engine, "fused": fused, "share": share}


# -- the report -----------------------------------------------------------------------------------


def make_model(folder: Path) -> str:
    """A model with random weights."""
    import torch
    from whetstone.engine.cards import Card
    from whetstone.engine.deep.crossdiff import CrossDiff
    from whetstone.engine.deep.weights import save_model

    torch.manual_seed(1)
    parameters = {"bands": BANDS, "centred": True}
    card = Card(
        "bench",
        "crossdiff",
        parameters,
        BANDS,
        RATIO,
        normalisation={"kind": "standard"},
        limits=(None, None),
    )
    save_model(folder / "bench.safetensors", CrossDiff(**parameters), card)
    return str(folder / "bench.safetensors")


def on_cpu(folder: Path, turns: int) -> dict[str, float]:
    """The ratios that have limits."""
    model, pair = make_model(folder), partial(draw_pair, folder, bands=BANDS, ratio=RATIO)
    forms: dict[str, list[dict[str, float]]] = {"plain": [], "engine": []}
    for _ in range(ROUNDS):
        for form, runs in forms.items():
            runs.append(apart(form, turns))
    slow, fast = (
        {key: statistics.median(run[key] for run in runs) for key in runs[0]}
        for runs in forms.values()
    )
    whole = apart("share", str(folder), model, turns)
    square = apart("fused", *pair(1024, 1024), model, "cpu")
    tall = apart("fused", *pair(1024, 4096), model, "cpu")
    megapixels, computed = SCENE**2 / 1e6, pixels(regions(SCENE)[0]) / 1e6
    rest = whole["fuse"] - whole["bare"] - whole["estimate"]
    print(
        f"network, {SIDE} x {SIDE}, {precision()}: {fast['seconds']:.2f} s, "
        f"{fast['rate'] / 1e9:.0f} GFLOP/s; a convolution: {fast['convolution'] / 1e9:.0f} "
        f"GFLOP/s; the authors' order of work: {slow['seconds']:.2f} s\n"
        f"fuse, {SCENE} x {SCENE}: {whole['fuse']:.1f} s, {megapixels / whole['fuse']:.2f} MP/s; "
        f"the bare network: {whole['bare']:.1f} s, {megapixels / whole['bare']:.2f} MP/s of the "
        f"scene, {computed / whole['bare']:.2f} MP/s with the halo "
        f"({computed / megapixels - 1:.0%} of the scene)\n"
        f"fuse beyond the network: {whole['estimate']:.1f} s for its statistics "
        f"({whole['estimate'] / whole['fuse']:.0%}), {rest:.1f} s for the rest "
        f"({rest / whole['fuse']:.0%})\n"
        f"peak memory: 1k x 1k {square['peak_mb']:.0f} MB, 1k x 4k {tall['peak_mb']:.0f} MB"
    )
    ratios = [
        slow["seconds"] / fast["seconds"],
        fast["rate"] / fast["convolution"],
        whole["bare"] / whole["fuse"],
        tall["peak_mb"] / square["peak_mb"],
    ]
    found = dict(zip(LIMITS, ratios))
    if not has_bf16():
        print(
            f"This CPU has no bf16 units, so there is no limit: {found.pop(FASTER):.2f}  {FASTER}"
        )
    return found


def on_gpu(folder: Path) -> None:
    """Seconds per megapixel, memory, and the share of the matrix rate that is reached."""
    import torch

    model, pair = make_model(folder), partial(draw_pair, folder, bands=BANDS, ratio=RATIO)
    work = apart("engine", 1)["flop"] / SIDE**2  # of a pixel
    rate = matrix_rate()
    print(f"{torch.cuda.get_device_name()}: bf16 matrix rate {rate / 1e12:.0f} TFLOP/s")
    print(f"{'scene':>6} {'per MP':>9} {'memory':>9} {'of the matrix rate':>19}")
    for side in (2048, 4096, 8192):
        found = apart("fused", *pair(side, side), model, "cuda")
        reached = work * pixels(regions(side)[0]) / found["seconds"]
        print(
            f"{side:>6} {1e6 * found['seconds'] / side**2:>7.3f} s {found['device_mb']:>6.0f} MB "
            f"{reached / rate:>18.1%}"
        )


if __name__ == "__main__":
    sys.exit(main(__doc__, TASKS, LIMITS, on_cpu, on_gpu, turns=5))
