"""What CrossDiff's frozen encoders see in stage 2: the noise, and the statistics of their norms."""

from __future__ import annotations

from functools import partial
from typing import Callable, Iterator, Sequence

import torch
from patches import Chips, Draw, turned
from torch import Tensor, nn
from whetstone.engine.deep.crossdiff import REACH, STRIDE, CrossDiff
from whetstone.engine.deep.statistics import GroupNorm, Moments, learn
from whetstone.engine.tiling import grid, scattered, spread
from whetstone.engine.types import Window

#: The statistics of a scene are learnt from so many windows of that side at most.
SAMPLE, SAMPLE_SIDE = 24, 256


def has_noise(policy: str, count: int, first: int) -> list[bool]:
    """Which patches of a batch get noise: with "mixed" every second, counted on from ``first``."""
    if policy == "mixed":
        return [bool((first + k) % 2) for k in range(count)]
    return [policy == "random"] * count


class SceneStatistics:
    """The encoders' statistics of whole scenes, learnt when a scene is first drawn.

    Patches may be turned, and with or without noise: these are scenes of their own.

    Args:
        network: Whose encoders are frozen, and stay as they are.
    """

    def __init__(self, network: CrossDiff) -> None:
        self.network = network
        self.encoders = nn.ModuleList([network.p2m.down, network.m2p.down])
        self.norms = [layer for layer in self.encoders.modules() if isinstance(layer, GroupNorm)]
        self._known: dict[tuple[Chips, int, bool], list[Moments]] = {}

    def freeze(self, draw: Draw, noisy: Sequence[bool]) -> None:
        """Let every patch of a batch be normalised by its scene, until the next call."""
        found = [self.of(*key) for key in zip(draw.scenes, draw.turns.tolist(), noisy)]
        for number, norm in enumerate(self.norms):
            moments = [scene[number] for scene in found]
            norm.frozen = Moments(*(_by_timestep(values) for values in zip(*moments)))

    def of(self, scene: Chips, turn: int, noisy: bool) -> list[Moments]:
        """The moments of a scene, norm by norm; each [T,C], since every timestep has its own."""
        key = scene, turn, noisy
        if key not in self._known:
            learn(self.encoders, partial(self._windows, *key))
            self._known[key] = [norm.frozen for norm in self.norms]
        return self._known[key]

    def _windows(
        self, scene: Chips, turn: int, noisy: bool
    ) -> Iterator[tuple[Tensor, Callable[[], object]]]:
        """Sample windows with their halo, as ``statistics.learn`` takes them."""
        pan, lms = turned(scene.pan, turn), turned(scene.lms, turn)
        height, width = (n - n % STRIDE for n in pan.shape[-2:])
        chips, frame = len(pan), Window(0, 0, width, height)
        of_chip = scattered(grid(frame, SAMPLE_SIDE), max(1, SAMPLE // chips))
        places = [(chip, window) for chip in range(chips) for window in of_chip]
        for chip, window in spread(places, SAMPLE):
            region = window.expand(REACH).intersect(frame)
            here = (slice(chip, chip + 1), slice(None), *region.within(frame))
            weights = torch.zeros(1, 1, *region.shape)
            weights[(..., *window.within(region))] = 1
            yield weights.to(pan.device), partial(self._encode, pan[here], lms[here], noisy)

    def _encode(self, pan: Tensor, lms: Tensor, noisy: bool) -> None:
        noise = None
        if noisy:
            generator = torch.Generator().manual_seed(0)
            shape = (1, self.network.bands + 1, *pan.shape[-2:])
            noise = [
                torch.randn(shape, generator=generator).to(pan.device)
                for _ in self.network.timesteps
            ]
        self.network.features(pan, lms, noise)


def _by_timestep(moments: Sequence[Tensor]) -> Tensor:
    """Moments [T,C] of every patch as the encoders are run: all patches, timestep by timestep."""
    return torch.stack(list(moments), dim=1).flatten(0, 1)
