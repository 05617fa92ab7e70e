"""The windows of a scene as tensors, and patches of them for training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Sequence

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    from ..types import Array
    from .chunks import Chunks
    from .inputs import Scale


class Domain:
    """The windows of a scene at one resolution as the network is given them."""

    def __init__(self, chunks: Chunks, scale: Scale, device: torch.device) -> None:
        self.chunks, self.scale, self.device = chunks, scale, device
        images = chunks.images
        self.pan = self._tensor([self.scale.of_pan(i.pan)[None] for i in images])
        #: The LMS, or what comes in its place.
        self.lms = self._tensor([self.scale.of_image(i.base) for i in images])
        truths = [self.scale.of_image(i.truth) for i in images if i.truth is not None]
        #: PAN, LMS and, of windows that have one, the truth.
        self.images = [self.pan, self.lms, *([self._tensor(truths)] if truths else [])]

    def _tensor(self, values: list[Array]) -> Tensor:
        return torch.from_numpy(np.stack(values)).to(self.device)

    def patches(self, places: Array, turns: Array, images: Sequence[Tensor]) -> list[Tensor]:
        """Patches of several images, each [B,C,P,P]; turns 0 to 7 flip and swap the axes."""
        side = self.chunks.patch
        out: list[list[Tensor]] = [[] for _ in images]
        for (number, row, col), turn in zip(places, turns):
            for found, image in zip(out, images):
                patch = image[number, :, row : row + side, col : col + side]
                flips = [axis for axis in (1, 2) if turn >> axis & 1]
                patch = patch.flip(flips) if flips else patch
                found.append(patch.transpose(1, 2) if turn & 1 else patch)
        return [channels_last(torch.stack(found)) for found in out]


def channels_last(x: Tensor) -> Tensor:
    """Images in the memory layout that convolutions like best."""
    return x.contiguous(memory_format=torch.channels_last)
