"""Images with more or fewer bands than a model: overlapping groups of bands."""

from __future__ import annotations

import numpy as np


def band_groups(bands: int, model_bands: int) -> list[list[int]]:
    """Which bands (0-based) go into a model together; each band is in one group or more.

    Groups follow the order of the bands and overlap as evenly as they can. Where an image has
    fewer bands than the model, its last band fills the group.
    """
    if bands < model_bands:
        return [[*range(bands), *[bands - 1] * (model_bands - bands)]]
    starts = np.round(np.linspace(0, bands - model_bands, -(-bands // model_bands))).astype(int)
    return [list(range(start, start + model_bands)) for start in starts]
