"""Validation: figures of a model on a scene with truth, and a picture of it."""

from __future__ import annotations

import numpy as np
import torch
from patches import Chips, Draw, windows
from torch import Tensor
from whetstone.engine.deep.sampling import Batch, sample
from whetstone.engine.deep.weights import Model
from whetstone.engine.metrics.reference import ergas, q2n, sam

FIGURES = ("ergas", "sam", "q2n")
#: Windows per call of the network.
BATCH = 16


def score(model: Model, scene: Chips, steps: int) -> tuple[dict[str, float], Tensor]:
    """Mean :data:`FIGURES` over the windows of a scene, and a picture of the first window.

    The picture [3,P,4P] shows PAN, LMS, result and truth side by side.
    """
    card = model.card
    scale = scene.scale.first(card.bands)
    rows: list[tuple[float, float, float]] = []
    pictures: list[Tensor] = []
    for part in windows(scene, card.window, card.bands, BATCH):
        batch = Batch(*(x.to(model.device) for x in (part.pan, part.lms, part.ms)))
        start = torch.randn(part.lms.shape, generator=torch.Generator().manual_seed(0))
        start = start.to(model.device)
        image = sample(model, batch, lambda _, start=start: start, steps=steps).cpu()
        if not pictures:
            pictures.append(picture(part, image))
        for truth, fused in zip(*(scale.to_dn(x.double().numpy()) for x in (part.gt, image))):
            rows.append((ergas(truth, fused, card.ratio), sam(truth, fused), q2n(truth, fused)))
    return dict(zip(FIGURES, map(float, np.nanmean(rows, axis=0)))), pictures[0]


def picture(part: Draw, image: Tensor) -> Tensor:
    """The first patch of a batch: PAN, LMS, result and truth, stretched like the truth."""
    count = image.shape[1]
    bands = [4, 2, 1] if count >= 7 else [2, 1, 0] if count >= 3 else [0, 0, 0]
    panels = [part.pan[0].expand(3, -1, -1), *(x[0, bands] for x in (part.lms, image, part.gt))]
    low, high = torch.quantile(part.gt[0, bands].flatten(), torch.tensor([0.01, 0.99]))
    return ((torch.cat(panels, dim=2) - low) / (high - low).clamp(min=1e-6)).clamp(0, 1)
