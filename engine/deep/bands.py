"""Images with more or fewer bands than a model, or in another order."""

from __future__ import annotations

from typing import Sequence

import numpy as np


def band_groups(
    bands: int, model_bands: int, roles: Sequence[str] = (), model_roles: Sequence[str] = ()
) -> list[list[int]]:
    """Which bands (0-based) go into a model together; each band is in one group or more.

    Where image and model have the same bands by their roles, the group follows the model's order.
    Otherwise groups follow the order of the bands and overlap as evenly as they can; where an image
    has fewer bands than the model, its last band fills the group.
    """
    if model_roles and sorted(roles) == sorted(model_roles):
        return [[list(roles).index(role) for role in model_roles]]
    if bands < model_bands:
        return [[*range(bands), *[bands - 1] * (model_bands - bands)]]
    starts = np.round(np.linspace(0, bands - model_bands, -(-bands // model_bands))).astype(int)
    return [list(range(start, start + model_bands)) for start in starts]
