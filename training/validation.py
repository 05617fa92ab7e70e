"""Validation: figures of a model on a scene with truth, and a picture of it."""

from __future__ import annotations

from typing import Callable, Iterator

import numpy as np
import torch
from patches import Chips, Draw, whole_chips, windows
from torch import Tensor
from whetstone.engine.deep.crossdiff import STRIDE
from whetstone.engine.deep.sampling import Batch, sample, sharpen
from whetstone.engine.deep.weights import Model
from whetstone.engine.metrics.reference import ergas, q2n, sam

#: Figures of a scene by name, and a picture [3,H,W] if one is wanted (the last argument).
Score = Callable[[Model, Chips, bool], "tuple[dict[str, float], Tensor | None]"]

FIGURES = ("ergas", "sam", "q2n")
#: Windows per call of the network.
BATCH = 16
#: Pictures show so much of an image at most.
MOST_SHOWN = 256


def score(model: Model, scene: Chips, pictured: bool) -> tuple[dict[str, float], Tensor | None]:
    """Mean :data:`FIGURES` over the windows of a scene, and a picture of the first window.

    A model with statistics of the scene gets whole chips instead. The picture shows PAN, LMS,
    result and truth side by side.
    """
    card = model.card
    scale = scene.scale.first(card.bands)
    rows: list[tuple[float, float, float]] = []
    shown: Tensor | None = None
    for part in _parts(model, scene):
        image = _fused(model, part)
        if pictured and shown is None:
            shown = picture(part, image)
        for truth, fused in zip(*(scale.to_dn(x.double().numpy()) for x in (part.truth, image))):
            rows.append((ergas(truth, fused, card.ratio), sam(truth, fused), q2n(truth, fused)))
    return dict(zip(FIGURES, map(float, np.nanmean(rows, axis=0)))), shown


def _parts(model: Model, scene: Chips) -> Iterator[Draw]:
    """What the network is called on."""
    card = model.card
    if card.architecture == "crossdiff" and card.statistics == "scene":
        return whole_chips(scene, STRIDE, card.bands)
    return windows(scene, card.window, card.bands, BATCH)


def _fused(model: Model, part: Draw) -> Tensor:
    """The images of a batch on the CPU, as the product makes them."""
    pan, lms, ms = (x.to(model.device) for x in (part.pan, part.lms, part.ms))
    if model.card.architecture == "crossdiff":
        return sharpen(model, pan, lms).cpu()
    start = torch.randn(part.lms.shape, generator=torch.Generator().manual_seed(0))
    start = start.to(model.device)
    return sample(model, Batch(pan, lms, ms), lambda _: start, steps=model.card.steps).cpu()


def picture(part: Draw, image: Tensor) -> Tensor:
    """The first patch of a batch: PAN, LMS, result and truth, stretched like the truth."""
    truth = colours(part.truth)
    panels = [colours(x) for x in (part.pan, part.lms, image)] + [truth]
    return stretched(torch.cat(panels, dim=2), truth)


def colours(image: Tensor) -> Tensor:
    """The first image of a batch as people see it, [3,h,w]."""
    count = image.shape[1]
    bands = [4, 2, 1] if count >= 7 else [2, 1, 0] if count >= 3 else [0, 0, 0]
    return image[0, bands, :MOST_SHOWN, :MOST_SHOWN]


def stretched(panel: Tensor, like: Tensor) -> Tensor:
    """A panel in 0 to 1, from the first to the last percentile of another."""
    low, high = torch.quantile(like.flatten(), torch.tensor([0.01, 0.99]))
    return ((panel - low) / (high - low).clamp(min=1e-6)).clamp(0, 1)
