"""Band-dependent spatial detail: learn at MS scale how to undo the MTF, apply it at PAN scale."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .method import method, mix
from .statistics import solve

if TYPE_CHECKING:
    from types import SimpleNamespace

    from ..fields import Fields
    from ..types import Array
    from .statistics import Scene

FAMILY = "component substitution"


def _normal_equations(scene: Scene) -> tuple[Array, Array]:
    """Gram matrix of [P_L, R_L] (B+1, B+1) and its products with R_b - R_L,b (B+1, B)."""
    _, m = scene.moments(
        ms_scale=lambda f: {
            "pan": f.pan_mtf_ms,
            "low": f.ms_blurred,
            "detail": f.ms_reduced - f.ms_blurred,
        }
    )
    on = ("pan", "low")
    gram = np.block([[m.product(a, b) for b in on] for a in on])
    return gram, np.concatenate([m.product(a, "detail") for a in on])


def _estimate_bdsd(scene: Scene) -> dict[str, Array]:
    gram, right = _normal_equations(scene)
    return {"gamma": np.stack([solve(gram, r) for r in right.T])}


def _estimate_bdsd_pc(scene: Scene) -> dict[str, Array]:
    gram, right = _normal_equations(scene)
    sign = np.r_[1.0, -np.ones(scene.bands)]  # gamma_P >= 0, gamma_MS <= 0
    return {
        "gamma": np.stack(
            [sign * nonnegative(gram * np.outer(sign, sign), sign * r) for r in right.T]
        )
    }


def _detail(f: Fields, e: SimpleNamespace) -> Array:
    """F_b = U_b + gamma_b . [P, U]."""
    return np.stack(
        [band + (gamma[0] * f.pan + mix(gamma[1:], f.lms)) for band, gamma in zip(f.lms, e.gamma)]
    )


method(
    "bdsd",
    "Band-dependent spatial detail",
    FAMILY,
    _estimate_bdsd,
    "Learns at MS scale which mix of PAN and bands restores each band's detail.",
    "Garzelli et al. 2008",
)(_detail)
method(
    "bdsd-pc",
    "BDSD, physically constrained",
    FAMILY,
    _estimate_bdsd_pc,
    "BDSD whose weights must add PAN and subtract bands; more robust, among the best classics.",
    "Vivone 2019",
)(_detail)


def nonnegative(gram: Array, right: Array) -> Array:
    """Minimise x.G.x - 2 r.x over x >= 0 by the active-set method of Lawson and Hanson."""
    size = len(right)
    x, free = np.zeros(size), np.zeros(size, bool)
    scale = np.sqrt(np.diagonal(gram))
    scale = np.where(scale > 0, scale, 1)
    gram, right = gram / np.outer(scale, scale), right / scale
    tolerance = 1e-13 * max(np.abs(right).max(), np.finfo(float).tiny)
    for _ in range(10 * size):
        slope = right - gram @ x
        if free.all() or slope[~free].max() <= tolerance:
            break
        free[np.argmax(np.where(free, -np.inf, slope))] = True
        while True:
            trial = np.zeros(size)
            trial[free] = solve(gram[np.ix_(free, free)], right[free])
            if trial[free].min(initial=1) > 0:
                x = trial
                break
            blocked = free & (trial <= 0)
            step = np.min(x[blocked] / (x[blocked] - trial[blocked]))
            x = x + step * (trial - x)
            free &= x > tolerance
            x[~free] = 0
            if not free.any():
                break
    return x / scale
