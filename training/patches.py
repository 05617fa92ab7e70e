"""Patches in memory: what prepare_patches.py wrote, or PanCollection HDF5, drawn at random.

A file holds scenes; a scene holds n chips of PAN and truth [n,.,H,W], LMS of the same size and MS
[n,C,H/r,W/r], in digital numbers. Patches are cut from the chips at any multiple of the ratio.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Iterator, NamedTuple

import h5py
import numpy as np
import torch
from torch import Tensor
from whetstone.engine.deep.inputs import scale_of
from whetstone.engine.errors import WhetstoneError

KEYS = ("pan", "lms", "ms", "gt")


@dataclass(frozen=True)
class Chips:
    """One scene, normalised: float32 tensors, ``image_scale`` [C] back to digital numbers."""

    name: str
    sensor: str
    ratio: int
    pan: Tensor
    lms: Tensor
    ms: Tensor
    gt: Tensor
    image_scale: Tensor

    @property
    def bands(self) -> int:
        """MS bands of the scene."""
        return self.gt.shape[1]

    def to(self, device: torch.device) -> Chips:
        """The scene on a device."""
        moved = {k: getattr(self, k).to(device) for k in (*KEYS, "image_scale")}
        return replace(self, **moved)


class Draw(NamedTuple):
    """A batch of patches [B,.,P,P], ms [B,C,P/r,P/r]."""

    pan: Tensor
    lms: Tensor
    ms: Tensor
    gt: Tensor


def load(path: Path, normalisation: dict, split: str) -> list[Chips]:
    """All scenes of a split ("train" or "val"), normalised.

    A PanCollection file (datasets gt, ms, lms, pan at its root) is one scene of either split.
    """
    if not path.is_file():
        raise WhetstoneError(
            "PATCHES", f"There is no file '{path}'.", "Make it with training/prepare_patches.py."
        )
    with h5py.File(path) as file:
        if "gt" in file:
            return [_chips(path.stem, file, normalisation)]
        return [_chips(name, group, normalisation) for name, group in file.get(split, {}).items()]


def _chips(name: str, group: h5py.Group, normalisation: dict) -> Chips:
    missing = [key for key in KEYS if key not in group]
    if missing:
        raise WhetstoneError("PATCHES", f"The scene {name} lacks {', '.join(missing)}.")
    arrays = {key: np.asarray(group[key], np.float32) for key in KEYS}
    bands_first = arrays["ms"].swapaxes(0, 1)
    scale = scale_of(normalisation, arrays["pan"], bands_first.reshape(len(bands_first), -1))
    image = scale.image
    return Chips(
        name,
        str(group.attrs.get("sensor", "")),
        arrays["pan"].shape[-1] // arrays["ms"].shape[-1],
        torch.from_numpy(arrays["pan"] / np.float32(scale.pan)),
        *(torch.from_numpy(arrays[key] / image) for key in ("lms", "ms", "gt")),
        torch.from_numpy(scale.ms),
    )


class Patches:
    """Random patches of several scenes with the same ratio.

    Args:
        scenes: What :func:`load` returned, at least one.
        bands: Bands of the model. Scenes with more give a random subset of that many; those with
            fewer are refused.
        size: Side of a patch in PAN pixels.
        augment: Flips and rotations; with ``any_bands`` also random band order.
    """

    def __init__(
        self, scenes: list[Chips], bands: int, size: int, *, augment: bool, any_bands: bool
    ) -> None:
        if not scenes:
            raise WhetstoneError("PATCHES", "The file holds no scene of this split.")
        for scene in scenes:
            if scene.bands < bands or (scene.bands != bands and not any_bands):
                raise WhetstoneError(
                    "PATCHES", f"{scene.name} has {scene.bands} bands, the model {bands}."
                )
            if scene.ratio != scenes[0].ratio or min(scene.pan.shape[-2:]) < size:
                raise WhetstoneError(
                    "PATCHES",
                    f"{scene.name} has ratio {scene.ratio} and chips of "
                    f"{scene.pan.shape[-1]} px; patches of {size} px at ratio "
                    f"{scenes[0].ratio} are asked for.",
                )
        self.scenes, self.bands, self.size = scenes, bands, size
        self.augment, self.any_bands = augment, any_bands
        area = np.array([s.pan.numel() for s in scenes], float)
        self._odds = area / area.sum()

    def draw(self, count: int, rng: np.random.Generator) -> Draw:
        """``count`` patches, a function of the generator's state alone."""
        picks = [self._one(rng) for _ in range(count)]
        return Draw(*(torch.stack(parts) for parts in zip(*picks)))

    def _one(self, rng: np.random.Generator) -> tuple[Tensor, ...]:
        scene = self.scenes[int(rng.choice(len(self.scenes), p=self._odds))]
        r, size = scene.ratio, self.size
        chip = int(rng.integers(len(scene.pan)))
        height, width = scene.pan.shape[-2:]
        row = r * int(rng.integers((height - size) // r + 1))
        col = r * int(rng.integers((width - size) // r + 1))
        bands = np.arange(scene.bands)
        if self.any_bands:
            bands = rng.permutation(scene.bands)[: self.bands]
        turns, flip = (int(rng.integers(4)), bool(rng.integers(2))) if self.augment else (0, False)
        out = []
        for key in KEYS:
            step = r if key == "ms" else 1
            rows = slice(row // step, (row + size) // step)
            cols = slice(col // step, (col + size) // step)
            image = getattr(scene, key)[chip, :, rows, cols]
            if key != "pan":
                image = image[bands]
            image = torch.rot90(image, turns, (1, 2))
            out.append(image.flip(2) if flip else image)
        return tuple(out)


def windows(scene: Chips, size: int, bands: int) -> Iterator[Draw]:
    """All whole, non-overlapping patches of a scene, chip by chip, in its first ``bands`` bands."""
    r = scene.ratio
    for chip in range(len(scene.pan)):
        parts = []
        for key in KEYS:
            step = r if key == "ms" else 1
            side = size // step
            image = getattr(scene, key)[chip]
            image = image if key == "pan" else image[:bands]
            cut = image.unfold(1, side, side).unfold(2, side, side)  # [C,i,j,side,side]
            parts.append(cut.permute(1, 2, 0, 3, 4).flatten(0, 1))
        yield Draw(*parts)
