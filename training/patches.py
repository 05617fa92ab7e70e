"""Patches in memory: what prepare_patches.py wrote, or PanCollection HDF5, drawn at random.

A file holds scenes; a scene holds n chips of PAN and truth [n,.,H,W], LMS of the same size and MS
[n,C,H/r,W/r], in digital numbers. Patches are cut from the chips at any multiple of the ratio.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Iterator, NamedTuple

import h5py
import numpy as np
import torch
from torch import Tensor
from whetstone.engine.deep.inputs import Scale, scale_of
from whetstone.engine.errors import WhetstoneError

if TYPE_CHECKING:
    from config import Config

KEYS = ("pan", "lms", "ms", "gt")


@dataclass(frozen=True, eq=False)
class Chips:
    """One scene, normalised: float32 tensors, ``scale`` brings them back to digital numbers.

    ``phase`` is where MS pixel 0 lies on the PAN grid of a chip, in PAN pixels.
    """

    name: str
    sensor: str
    ratio: int
    phase: float
    pan: Tensor
    lms: Tensor
    ms: Tensor
    gt: Tensor
    scale: Scale

    @property
    def bands(self) -> int:
        """MS bands of the scene."""
        return self.gt.shape[1]

    @property
    def side(self) -> int:
        """The shorter side of its chips, in PAN pixels."""
        return min(self.pan.shape[-2:])

    def to(self, device: torch.device) -> Chips:
        """The scene on a device."""
        moved = {key: getattr(self, key).to(device) for key in KEYS}
        return replace(self, **moved)


class Draw(NamedTuple):
    """A batch of patches [B,.,P,P], ms [B,C,P/r,P/r]."""

    pan: Tensor
    lms: Tensor
    ms: Tensor
    gt: Tensor


def load(
    train: Path, val: Path | None, normalisation: dict[str, Any]
) -> tuple[list[Chips], list[Chips]]:
    """The scenes to train on and those to validate on, normalised.

    Without a file for validation, the one for training holds both splits. PanCollection files
    (datasets gt, ms, lms, pan at the root) hold one.
    """
    both = []
    for path, split in ((train, "train"), (val or train, "val")):
        try:
            with h5py.File(path) as file:
                if "gt" not in file:
                    groups = file.get(split, {}).items()
                    both.append([_chips(name, group, normalisation) for name, group in groups])
                elif split == "val" and val is None:
                    raise WhetstoneError(
                        "PATCHES",
                        f"'{path}' is a PanCollection file of one split.",
                        "Name the one to validate on with --val-patches.",
                    )
                else:
                    both.append([_chips(path.stem, file, normalisation)])
        except OSError:
            raise WhetstoneError(
                "PATCHES",
                f"'{path}' is not there, or no HDF5 file.",
                "Make it with training/prepare_patches.py.",
            ) from None
    if not both[0]:
        raise WhetstoneError("PATCHES", f"'{train}' holds no scene to train on.")
    return both[0], both[1]


def _chips(name: str, group: h5py.Group, normalisation: dict[str, Any]) -> Chips:
    missing = [key for key in KEYS if key not in group]
    if missing:
        raise WhetstoneError("PATCHES", f"The scene {name} lacks {', '.join(missing)}.")
    arrays = {key: np.asarray(group[key], np.float32) for key in KEYS}
    bands_first = arrays["ms"].swapaxes(0, 1)
    scale = scale_of(normalisation, arrays["pan"], bands_first.reshape(len(bands_first), -1))
    for key, values in arrays.items():
        arrays[key] = scale.of_pan(values) if key == "pan" else scale.of_image(values)
    ratio = arrays["pan"].shape[-1] // arrays["ms"].shape[-1]
    return Chips(
        name=name,
        sensor=str(group.attrs.get("sensor", "")),
        ratio=ratio,
        phase=float(group.attrs.get("phase", ratio // 2)),  # PanCollection keeps pixel 2 of 4
        scale=scale,
        **{key: torch.from_numpy(values) for key, values in arrays.items()},
    )


def large_enough(scenes: list[Chips], side: int) -> list[Chips]:
    """The scenes whose chips hold a patch of ``side`` pixels; refused when none does."""
    large = [scene for scene in scenes if scene.side >= side]
    if scenes and not large:
        raise WhetstoneError(
            "PATCHES",
            f"Patches of {side} pixels are asked for, the largest chips have "
            f"{max(scene.side for scene in scenes)}.",
        )
    return large


def check(scenes: list[Chips], config: Config, phase: float) -> None:
    """Refuse scenes that do not fit a config and a phase."""
    for scene in scenes:
        if scene.bands < config.bands or (scene.bands != config.bands and not config.any_bands):
            trouble = f"has {scene.bands} bands, the config {config.bands}"
        elif scene.ratio != config.ratio:
            trouble = f"has the ratio {scene.ratio}, the config {config.ratio}"
        elif scene.phase != phase:
            trouble = f"has its first MS pixel at {scene.phase:g}, the others at {phase:g}"
        elif config.augment and phase != (scene.ratio - 1) / 2:
            trouble = f"has its first MS pixel at {phase:g}; flips move that: set augment = false"
        else:
            continue
        raise WhetstoneError("PATCHES", f"The scene {scene.name} {trouble}.")


class Patches:
    """Random patches of scenes that :func:`check` found to fit."""

    def __init__(self, scenes: list[Chips], config: Config) -> None:
        self.scenes, self.config = scenes, config
        area = np.array([scene.pan.numel() for scene in scenes], float)
        self._odds = area / area.sum()

    def draw(self, count: int, rng: np.random.Generator) -> Draw:
        """``count`` patches, a function of the generator's state alone; scene by scene."""
        which = rng.choice(len(self.scenes), size=count, p=self._odds)
        numbers, counts = np.unique(which, return_counts=True)
        parts = [self._of(self.scenes[i], n, rng) for i, n in zip(numbers, counts)]
        return Draw(*(torch.cat(same) for same in zip(*parts)))

    def _of(self, scene: Chips, count: int, rng: np.random.Generator) -> Draw:
        config, r = self.config, scene.ratio
        rows, cols = ((n - config.patch) // r + 1 for n in scene.pan.shape[-2:])
        places = rng.integers((len(scene.pan), rows, cols), size=(count, 3)) * (1, r, r)
        bands = np.tile(np.arange(scene.bands), (count, 1))
        if config.any_bands:
            bands = rng.permuted(bands, axis=1)[:, : config.bands]
        turns = rng.integers(8, size=count) if config.augment else np.zeros(count, np.int64)
        return cut(scene, config.patch, places, bands, turns)


def cut(scene: Chips, side: int, places: np.ndarray, bands: np.ndarray, turns: np.ndarray) -> Draw:
    """n patches of a scene, by one gather per image.

    Args:
        scene: On any device; the patches are made there.
        side: Of the patches, in PAN pixels.
        places: Chip, row and column [n,3], rows and columns multiples of the ratio.
        bands: [n,C]
        turns: [n], 0 to 7: bit 1 flips the rows, bit 2 the columns, then bit 0 swaps the axes.
    """
    device = scene.pan.device
    chip, row, col = torch.from_numpy(places).to(device).T[:, :, None, None]
    channel, turn = (torch.from_numpy(x).to(device) for x in (bands, turns))
    swap, flip_rows, flip_cols = ((turn[:, None, None] >> bit & 1).bool() for bit in range(3))
    out = []
    for key in KEYS:
        step = scene.ratio if key == "ms" else 1
        size = side // step
        down, across = torch.arange(size, device=device)[:, None], torch.arange(size, device=device)
        i, j = torch.where(swap, across, down), torch.where(swap, down, across)  # [n,size,size]
        i, j = torch.where(flip_rows, size - 1 - i, i), torch.where(flip_cols, size - 1 - j, j)
        rows, cols = (row // step + i)[:, None], (col // step + j)[:, None]
        channels = torch.zeros_like(channel[:, :1]) if key == "pan" else channel
        out.append(getattr(scene, key)[chip[:, None], channels[:, :, None, None], rows, cols])
    return Draw(*out)


def windows(scene: Chips, side: int, bands: int, batch: int) -> Iterator[Draw]:
    """All whole, non-overlapping patches of a scene in its first ``bands`` bands, in batches."""
    n, _, height, width = scene.pan.shape
    starts = (np.arange(0, length - side + 1, side) for length in (height, width))
    places = np.stack(np.meshgrid(np.arange(n), *starts, indexing="ij"), -1).reshape(-1, 3)
    for first in range(0, len(places), batch):
        part = places[first : first + batch]
        first_bands = np.tile(np.arange(bands), (len(part), 1))
        yield cut(scene, side, part, first_bands, np.zeros(len(part), np.int64))
