"""A fusion method: an estimate over the scene and an apply for any window of it."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Callable, Dict

import numpy as np

if TYPE_CHECKING:
    from ..fields import Fields
    from ..types import Array
    from .statistics import Scene

    Estimate = Dict[str, Array]
    Formula = Callable[[Fields, SimpleNamespace], Array]

#: All methods by the name users call them.
METHODS: dict[str, Method] = {}


@dataclass(frozen=True)
class Method:
    """One fusion method with the words the user interfaces need."""

    name: str
    title: str
    family: str
    summary: str
    source: str
    estimate: Callable[[Scene], Estimate]
    formula: Formula

    def apply(self, f: Fields, estimate: Estimate) -> Array:
        """The fused window, (B, h, w), in the fields' working type."""
        return self.formula(f, SimpleNamespace(**{k: _cast(v, f) for k, v in estimate.items()}))


def _cast(value: Array, f: Fields) -> Array:
    """An estimate in the working type; one value per band is made to fit (B, h, w)."""
    value = np.asarray(value, f.dtype)
    return value[:, None, None] if value.ndim == 1 else value


def method(
    name: str,
    title: str,
    family: str,
    estimate: Callable[[Scene], Estimate],
    summary: str,
    source: str,
) -> Callable[[Formula], Formula]:
    """Register the decorated function as the apply of a method."""

    def register(formula: Formula) -> Formula:
        METHODS[name] = Method(name, title, family, summary, source, estimate, formula)
        return formula

    return register


def mix(weights: Array, images: Array) -> Array:
    """Weighted sum over bands, (h, w); in a fixed order, so that every window has the same bits."""
    total = weights[0] * images[0]
    for weight, image in zip(weights[1:], images[1:]):
        total = total + weight * image
    return total
