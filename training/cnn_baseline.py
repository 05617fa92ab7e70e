"""A plain residual CNN, the yardstick of the diffusion models: train it, or fuse a pair with it.

    python training/cnn_baseline.py --patches patches.h5 --only 'QB_mmfn-rr-*' --out qb.safetensors
    python training/cnn_baseline.py --patches patches.h5 --any-bands --out cnn.safetensors

Ten convolutions of 48 channels see PAN and the bicubically enlarged MS of four bands and add their
residual to the latter; L1, 64-pixel patches, batch 16, flips and rotations, AdamW from 1e-3 to 0 by
a cosine. Everything is divided by the 99.5th percentile of the scene's MS. ``evaluate.py --cnn``
scores it. It is no part of the product.
"""

from __future__ import annotations

import argparse
import fnmatch
import sys
from contextlib import nullcontext
from dataclasses import replace
from math import cos, pi
from pathlib import Path

import numpy as np
import rasterio
import torch
from command import quiet
from config import SSDiffConfig
from patches import Chips, Patches, large_enough, load, members
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import trange
from whetstone.engine.errors import WhetstoneError

BANDS, WIDTH, LAYERS = 4, 48, 10
BATCH, PATCH, RATE = 16, 64, 1e-3
PERCENT = 99.5
#: Deviation of the logarithm of random gains of the bands, with --any-bands.
GAINS = 0.2
#: Pixels beyond a tile that its pixels depend on, and the side of tiles.
REACH, TILE = LAYERS, 512


class ResidualCNN(nn.Sequential):
    """PAN and enlarged MS [B,1 + C,H,W] to the residual [B,C,H,W]."""

    def __init__(self, bands: int = BANDS) -> None:
        widths = [1 + bands, *[WIDTH] * (LAYERS - 1), bands]
        layers: list[nn.Module] = []
        for a, b in zip(widths, widths[1:]):
            layers += [nn.Conv2d(a, b, 3, padding=1), nn.ReLU()]
        super().__init__(*layers[:-1])


def main() -> None:
    """Train, and write the weights."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--patches", type=Path, required=True, metavar="FILE.h5")
    parser.add_argument("--only", nargs="+", default=["*"], metavar="PATTERN", help="scenes")
    parser.add_argument("--any-bands", action="store_true", help="random bands, orders and gains")
    parser.add_argument("--iterations", type=int, default=4700, metavar="N")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, required=True, metavar="FILE.safetensors")
    args = parser.parse_args()
    if not args.out.parent.is_dir():
        raise WhetstoneError("OUT_FOLDER", f"There is no folder '{args.out.parent}'.")
    scenes, _ = load(args.patches, args.patches, {"kind": "full_scale", "value": 1.0})
    wanted = [s for s in scenes if any(fnmatch.fnmatch(s.name, only) for only in args.only)]
    if not wanted:
        raise WhetstoneError("SCENES", f"No scene is named {' or '.join(args.only)}.")
    fitting = [
        scene
        for scene in large_enough(members(wanted, "reduced"), PATCH)
        if scene.bands == BANDS or (args.any_bands and scene.bands > BANDS)
    ]
    if not fitting:
        raise WhetstoneError("SCENES", f"No scene has {BANDS} bands.", "Try --any-bands.")
    chosen = [prepared(scene) for scene in fitting]
    network = train(chosen, args.any_bands, args.iterations, args.seed)
    save_file({k: v.contiguous() for k, v in network.state_dict().items()}, args.out)


def prepared(scene: Chips) -> Chips:
    """A scene in units of the percentile, with the bicubic MS for its LMS."""
    full = float(np.percentile(scene.ms.numpy(), PERCENT))
    images = {key: getattr(scene, key) / full for key in ("pan", "ms", "gt")}
    return replace(scene, **images, lms=enlarged(images["ms"], scene.ratio))


def enlarged(ms: Tensor, ratio: float) -> Tensor:
    """The MS [n,C,h,w] enlarged bicubically."""
    return F.interpolate(ms, scale_factor=ratio, mode="bicubic")


def train(scenes: list[Chips], any_bands: bool, iterations: int, seed: int) -> ResidualCNN:
    """The network after all iterations."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    network = ResidualCNN().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(network.parameters(), lr=RATE)
    config = SSDiffConfig(BANDS, iterations, patch=PATCH, batch=BATCH, any_bands=any_bands)
    patches = Patches(scenes, config)
    for step in trange(iterations, disable=not sys.stderr.isatty()):
        for group in optimizer.param_groups:
            group["lr"] = RATE * (1 + cos(pi * step / iterations)) / 2
        batch = patches.draw(BATCH, rng)
        gains = np.exp(rng.normal(0, GAINS if any_bands else 0, (BATCH, BANDS, 1, 1)))
        lms, truth = (x * torch.from_numpy(gains).float() for x in (batch.lms, batch.truth))
        loss = F.l1_loss(lms + network_on(network, batch.pan, lms), truth)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
    return network


def network_on(network: ResidualCNN, pan: Tensor, lms: Tensor) -> Tensor:
    """The residual; in bfloat16 where the machine has it."""
    fast = torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    with torch.autocast("cpu", torch.bfloat16) if fast else nullcontext():
        inputs = torch.cat([pan, lms], 1).contiguous(memory_format=torch.channels_last)
        residual: Tensor = network(inputs)
    return residual.float()


@torch.inference_mode()
def fuse(weights: Path, pan_path: str, ms_path: str, out: str) -> None:
    """Fuse GeoTIFFs that share a corner; the image gets the type of the MS.

    Raises:
        WhetstoneError: ``CNN`` where this network cannot do the pair.
    """
    network = ResidualCNN()
    network.load_state_dict(load_file(weights))
    with rasterio.open(pan_path) as file:
        pan, profile = file.read(1).astype(np.float32), file.profile
    with rasterio.open(ms_path) as file:
        ms, dtype = file.read().astype(np.float32), file.dtypes[0]
    ratio = pan.shape[0] // ms.shape[1]
    if len(ms) != BANDS or pan.shape != tuple(ratio * n for n in ms.shape[1:]):
        raise WhetstoneError("CNN", f"cnn-baseline takes {BANDS} bands and a whole ratio.")
    full = np.float32(np.percentile(ms, PERCENT))
    lms = enlarged(torch.from_numpy(ms / full)[None], ratio)
    image = lms + tiled(network, torch.from_numpy(pan / full)[None, None], lms)
    values = (image[0] * float(full)).numpy()
    if np.dtype(dtype).kind in "iu":
        limits = np.iinfo(dtype)
        values = np.clip(np.rint(values), limits.min, limits.max)
    profile.update(count=BANDS, dtype=dtype, driver="GTiff", nodata=None)
    with rasterio.open(out, "w", **profile) as file:
        file.write(values.astype(dtype))


def tiled(network: ResidualCNN, pan: Tensor, lms: Tensor) -> Tensor:
    """The residual of a whole image, tile by tile; the same as at once."""
    out = torch.empty_like(lms)
    height, width = pan.shape[-2:]
    for row in range(0, height, TILE):
        for col in range(0, width, TILE):
            top, left = max(row - REACH, 0), max(col - REACH, 0)
            wide = (..., slice(top, row + TILE + REACH), slice(left, col + TILE + REACH))
            part = network_on(network, pan[wide], lms[wide])
            here = (..., slice(row, row + TILE), slice(col, col + TILE))
            down, across = row - top, col - left
            size = out[here].shape[-2:]
            out[here] = part[..., down : down + size[0], across : across + size[1]]
    return out


if __name__ == "__main__":
    sys.exit(quiet(main))
