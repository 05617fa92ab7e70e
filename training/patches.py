"""Patches in memory: what prepare_patches.py wrote, or PanCollection HDF5, drawn at random.

A file holds scenes; a scene holds n chips of PAN and truth [n,.,H,W], LMS of the same size and MS
[n,C,H/r,W/r], in digital numbers. At full resolution there is no truth. Patches are cut from the
chips at any multiple of the ratio.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import lcm
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Iterator, NamedTuple, Sequence

import h5py
import numpy as np
import torch
from torch import Tensor
from whetstone.engine.deep.inputs import Scale, scale_of
from whetstone.engine.errors import WhetstoneError
from whetstone.engine.sensors import SENSORS
from whetstone.engine.tiling import spread

if TYPE_CHECKING:
    from config import Config

#: The images of a scene; the last is the truth, which a scene may lack.
KEYS = ("pan", "lms", "ms", "gt")
#: Which scenes a source of patches has, and in words what the others have not.
SOURCES: dict[str, tuple[Callable[[Chips], bool], str]] = {
    "reduced": (lambda scene: scene.gt is not None, "has a truth"),
    "full": (lambda scene: scene.gt is None, "is at full resolution, without a truth"),
    "all": (lambda scene: True, ""),
}


@dataclass(frozen=True, eq=False)
class Chips:
    """One scene, normalised: float32 tensors, ``scale`` brings them back to digital numbers.

    ``phase`` is where MS pixel 0 lies on the PAN grid of a chip, in PAN pixels; ``gt`` is None at
    full resolution; ``roles`` are empty where nobody named the bands.
    """

    name: str
    sensor: str
    roles: tuple[str, ...]
    ratio: int
    phase: float
    pan: Tensor
    lms: Tensor
    ms: Tensor
    gt: Tensor | None
    scale: Scale

    @property
    def bands(self) -> int:
        """MS bands of the scene."""
        return self.lms.shape[1]

    @property
    def side(self) -> int:
        """The shorter side of its chips, in PAN pixels."""
        return min(self.pan.shape[-2:])

    @property
    def known_roles(self) -> tuple[str, ...]:
        """Its roles, or those that products of its sensor have; () where nobody can tell."""
        return self.roles or usual_roles(self.sensor, self.bands)

    def leads_with(self, roles: tuple[str, ...]) -> bool:
        """Whether its first bands are those of some roles."""
        return bool(roles) and self.known_roles[: len(roles)] == roles

    def led_by(self, roles: tuple[str, ...]) -> Chips:
        """The scene with the bands of some roles first; as it is where it lacks one of them."""
        mine = list(self.known_roles)
        if not roles or not set(roles) <= set(mine) or len(mine) != self.bands:
            return self
        first = [mine.index(role) for role in roles]
        order = first + [band for band in range(self.bands) if band not in first]
        images = {
            key: image[:, order] for key in KEYS[1:] if (image := getattr(self, key)) is not None
        }
        scale = replace(self.scale, ms=self.scale.ms[order], ms_offset=self.scale.ms_offset[order])
        return replace(self, roles=tuple(mine[i] for i in order), scale=scale, **images)

    @property
    def gains(self) -> tuple[float, ...]:
        """MTF of the bands at the MS Nyquist frequency; () where the sensor is not known."""
        sensor = SENSORS.get(self.sensor)
        return () if sensor is None else sensor.gains(self.known_roles)

    def to(self, device: torch.device) -> Chips:
        """The scene on a device."""
        images = {key: getattr(self, key) for key in KEYS}
        moved = {key: x.to(device) for key, x in images.items() if x is not None}
        return replace(self, **moved)


def usual_roles(sensor: str, bands: int) -> tuple[str, ...]:
    """The roles of the bands of a sensor's products; () where nobody can tell."""
    return SENSORS[sensor].order(bands) if sensor in SENSORS else ()


class Draw(NamedTuple):
    """A batch of patches [B,.,P,P], ms [B,C,P/r,P/r], and where each of them is from.

    ``gt`` is None unless all have a truth; ``bands`` [B,C] and ``turns`` [B] as in :func:`cut`.
    """

    pan: Tensor
    lms: Tensor
    ms: Tensor
    gt: Tensor | None
    scenes: tuple[Chips, ...]
    bands: np.ndarray
    turns: np.ndarray

    @property
    def truth(self) -> Tensor:
        """The truth, of patches that are known to have one."""
        assert self.gt is not None
        return self.gt


def joined(parts: Sequence[Draw]) -> Draw:
    """Batches, one after the other."""
    truths = [part.gt for part in parts if part.gt is not None]
    return Draw(
        pan=torch.cat([part.pan for part in parts]),
        lms=torch.cat([part.lms for part in parts]),
        ms=torch.cat([part.ms for part in parts]),
        gt=torch.cat(truths) if len(truths) == len(parts) else None,
        scenes=tuple(scene for part in parts for scene in part.scenes),
        bands=np.concatenate([part.bands for part in parts]),
        turns=np.concatenate([part.turns for part in parts]),
    )


def load(
    train: Path, val: Path | None, normalisation: dict[str, Any], base: str = "lms"
) -> tuple[list[Chips], list[Chips]]:
    """The scenes to train on and those to validate on, normalised; with ``base`` for their LMS.

    Without a file for validation, the one for training holds both splits. PanCollection files
    (datasets ms, lms, pan and perhaps gt at the root) hold one.
    """
    both = []
    for path, split in ((train, "train"), (val or train, "val")):
        try:
            with h5py.File(path) as file:
                if "pan" not in file:
                    groups = file.get(split, {}).items()
                    both.append([_chips(n, group, normalisation, base) for n, group in groups])
                elif split == "val" and val is None:
                    raise WhetstoneError(
                        "PATCHES",
                        f"'{path}' is a PanCollection file of one split.",
                        "Name the one to validate on with --val-patches.",
                    )
                else:
                    both.append([_chips(path.stem, file, normalisation, base)])
        except OSError:
            raise WhetstoneError(
                "PATCHES",
                f"'{path}' is not there, or no HDF5 file.",
                "Make it with training/prepare_patches.py.",
            ) from None
    if not both[0]:
        raise WhetstoneError("PATCHES", f"'{train}' holds no scene to train on.")
    return both[0], both[1]


def _chips(name: str, group: h5py.Group, normalisation: dict[str, Any], base: str) -> Chips:
    stored = {key: base if key == "lms" else key for key in KEYS}
    missing = [stored[key] for key in KEYS[:-1] if stored[key] not in group]
    if missing:
        hint = "Prepare the patches anew: it comes with them." if base in missing else ""
        raise WhetstoneError("PATCHES", f"The scene {name} lacks {', '.join(missing)}.", hint)
    arrays = {k: np.asarray(group[s], np.float32) for k, s in stored.items() if s in group}
    bands_first = arrays["ms"].swapaxes(0, 1)
    scale = scale_of(normalisation, arrays["pan"], bands_first.reshape(len(bands_first), -1))
    for key, values in arrays.items():
        arrays[key] = scale.of_pan(values) if key == "pan" else scale.of_image(values)
    ratio = arrays["pan"].shape[-1] // arrays["ms"].shape[-1]
    images = {key: torch.from_numpy(values) for key, values in arrays.items()}
    return Chips(
        name=name,
        sensor=str(group.attrs.get("sensor", "")),
        roles=tuple(str(group.attrs["roles"]).split(",")) if "roles" in group.attrs else (),
        ratio=ratio,
        phase=float(group.attrs.get("phase", ratio // 2)),  # PanCollection keeps pixel 2 of 4
        pan=images["pan"],
        lms=images["lms"],
        ms=images["ms"],
        gt=images.get("gt"),
        scale=scale,
    )


def members(scenes: list[Chips], source: str) -> list[Chips]:
    """The scenes of a source; refused when there are none."""
    belongs, what = SOURCES[source]
    found = [scene for scene in scenes if belongs(scene)]
    if not found:
        raise WhetstoneError(
            "PATCHES",
            f"None of the scenes ({', '.join(scene.name for scene in scenes)}) {what}.",
            "prepare_patches.py writes scenes with a truth, and without one with --full or --both.",
        )
    return found


def large_enough(scenes: list[Chips], side: int) -> list[Chips]:
    """The scenes whose chips hold a patch of ``side`` pixels; refused when none does."""
    large = [scene for scene in scenes if scene.side >= side]
    if not large:
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
        odds = np.array([scene.pan.numel() for scene in scenes], float)
        own = np.array([scene.sensor in config.sensors for scene in scenes])
        if config.own_share and own.any() and not own.all():
            odds[own] *= config.own_share / odds[own].sum()
            odds[~own] *= (1 - config.own_share) / odds[~own].sum()
        self._odds = odds / odds.sum()

    def draw(self, count: int, rng: np.random.Generator) -> Draw:
        """``count`` patches, a function of the generator's state alone; scene by scene."""
        which = rng.choice(len(self.scenes), size=count, p=self._odds)
        numbers, counts = np.unique(which, return_counts=True)
        return joined([self._of(self.scenes[i], n, rng) for i, n in zip(numbers, counts)])

    def _of(self, scene: Chips, count: int, rng: np.random.Generator) -> Draw:
        config, r = self.config, scene.ratio
        rows, cols = ((n - config.patch) // r + 1 for n in scene.pan.shape[-2:])
        places = rng.integers((len(scene.pan), rows, cols), size=(count, 3)) * (1, r, r)
        bands = np.tile(np.arange(scene.bands), (count, 1))
        if config.any_bands:
            kept = scene.leads_with(config.roles) & (rng.random(count) < config.ordered)
            bands = np.where(kept[:, None], bands, rng.permuted(bands, axis=1))[:, : config.bands]
        turns = rng.integers(8, size=count) if config.augment else np.zeros(count, np.int64)
        patches = cut(scene, config.patch, places, bands, turns)
        return jittered(patches, config.jitter, rng) if config.jitter else patches


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

    def patches(key: str) -> Tensor:
        step = scene.ratio if key == "ms" else 1
        size = side // step
        down, across = torch.arange(size, device=device)[:, None], torch.arange(size, device=device)
        i, j = torch.where(swap, across, down), torch.where(swap, down, across)  # [n,size,size]
        i, j = torch.where(flip_rows, size - 1 - i, i), torch.where(flip_cols, size - 1 - j, j)
        rows, cols = (row // step + i)[:, None], (col // step + j)[:, None]
        channels = torch.zeros_like(channel[:, :1]) if key == "pan" else channel
        image: Tensor = getattr(scene, key)
        return image[chip[:, None], channels[:, :, None, None], rows, cols]

    gt = None if scene.gt is None else patches("gt")
    images = (patches("pan"), patches("lms"), patches("ms"), gt)
    return Draw(*images, (scene,) * len(places), bands, turns)


def jittered(draw: Draw, deviation: float, rng: np.random.Generator) -> Draw:
    """The patches with random gains and offsets of PAN and of every band, the truth's too."""
    count, bands = draw.bands.shape
    numbers = rng.normal(0, deviation, (2, count, 1 + bands, 1, 1)).astype(np.float32)
    gain, offset = torch.from_numpy(np.stack([np.exp(numbers[0]), numbers[1]])).to(draw.pan.device)

    def image(x: Tensor) -> Tensor:
        return x * gain[:, 1:] + offset[:, 1:]

    return draw._replace(
        pan=draw.pan * gain[:, :1] + offset[:, :1],
        lms=image(draw.lms),
        ms=image(draw.ms),
        gt=None if draw.gt is None else image(draw.gt),
    )


def turned(image: Tensor, turn: int) -> Tensor:
    """A whole image (..., H, W), turned like the patches of :func:`cut`."""
    image = image.flip([axis - 3 for axis in (1, 2) if turn >> axis & 1])
    return image.mT if turn & 1 else image


def windows(scene: Chips, side: int, bands: int, batch: int, most: int = 0) -> Iterator[Draw]:
    """Whole, non-overlapping patches of a scene in its first ``bands`` bands, in batches.

    All of them, or ``most`` that are evenly spread.
    """
    n, _, height, width = scene.pan.shape
    starts = (np.arange(0, length - side + 1, side) for length in (height, width))
    places = np.stack(np.meshgrid(np.arange(n), *starts, indexing="ij"), -1).reshape(-1, 3)
    places = np.array(spread(list(places), most or len(places)))
    for first in range(0, len(places), batch):
        part = places[first : first + batch]
        first_bands = np.tile(np.arange(bands), (len(part), 1))
        yield cut(scene, side, part, first_bands, np.zeros(len(part), np.int64))


def whole_chips(scene: Chips, stride: int, bands: int) -> Iterator[Draw]:
    """The chips of a scene one by one, as large as multiples of ``stride`` and the ratio allow."""
    step = lcm(stride, scene.ratio)
    height, width = (n - n % step for n in scene.pan.shape[-2:])
    r = scene.ratio
    for k in range(len(scene.pan)):
        chip = slice(k, k + 1)
        yield Draw(
            scene.pan[chip, :, :height, :width],
            scene.lms[chip, :bands, :height, :width],
            scene.ms[chip, :bands, : height // r, : width // r],
            None if scene.gt is None else scene.gt[chip, :bands, :height, :width],
            (scene,),
            np.arange(bands)[None],
            np.zeros(1, np.int64),
        )
