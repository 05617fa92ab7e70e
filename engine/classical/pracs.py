"""PRACS: partial replacement, adaptive component substitution (Choi et al. 2011)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .method import method, mix
from .statistics import divide, solve

if TYPE_CHECKING:
    from types import SimpleNamespace

    from ..fields import Fields
    from ..types import Array
    from .statistics import Scene

BETA = 0.95


def _equalised(f: Fields, scale: Array, shift: Array) -> Array:
    """h_b: the band with the mean and spread of PAN, never negative, (B, h, w)."""
    scale, shift = (x.astype(f.dtype)[:, None, None] for x in (scale, shift))
    return np.maximum(f.lms * scale + shift, 0)


def _estimate(scene: Scene) -> dict[str, Array]:
    m, _ = scene.moments(lambda f: {"lms": f.lms, "pan": f.pan})
    scale = divide(m.std("pan")[0], m.std("lms"))
    shift = m.mean("pan")[0] - m.mean("lms") * scale
    m, _ = scene.moments(
        lambda f: {
            "lms": f.lms,
            "pan": f.pan,
            "h": _equalised(f, scale, shift),
            "pan_cubic": f.pan_cubic,
            "h_cubic": f.down_up_cubic(lambda g: _equalised(g, scale, shift)),
        }
    )
    hh, means = m.cov("h", "h"), m.mean("h")
    # I_l: PAN at MS detail, explained by the bands
    w = solve(hh, m.cov("h", "pan_cubic")[:, 0])
    # I_h,b = c_b P + (1 - c_b) h_b: the part of PAN worth replacing band b with
    c = _correlation(hh @ w, w @ hh @ w, m.var("h"))
    # I'_b: I_h,b at MS detail, explained by the bands
    reduced = c * m.cov("h", "pan_cubic") + (1 - c) * m.cov("h", "h_cubic")  # (h, b)
    v = np.stack([solve(hh, column) for column in reduced.T])  # (b, h)
    reduced_mean = c * m.mean("pan_cubic")[0] + (1 - c) * m.mean("h_cubic")
    full_mean = c * m.mean("pan")[0] + (1 - c) * means
    with_lms = m.cov("h", "lms")
    fit = _correlation(
        np.einsum("bh,hb->b", v, with_lms), np.einsum("bh,hk,bk->b", v, hh, v), m.var("lms")
    )
    return {
        "scale": scale,
        "shift": shift,
        "share": c,
        "v": v,
        "v0": reduced_mean - v @ means,
        "delta_mean": full_mean - reduced_mean,
        "weight": BETA * fit * divide(m.std("lms"), m.std("lms").mean()),
        "local": _correlation(w @ with_lms, w @ hh @ w, m.var("lms")),
    }


def _correlation(cov: Array, var_a: Array, var_b: Array) -> Array:
    return divide(cov, np.sqrt(np.maximum(var_a * var_b, 0)))


@method(
    "pracs",
    "Partial replacement adaptive CS",
    "component substitution",
    _estimate,
    "Replaces only the share of each band that PAN explains; gentle on colours.",
    "Choi et al. 2011",
)
def pracs(f: Fields, e: SimpleNamespace) -> Array:
    """F_b = U_b + w_b L_b delta_b."""
    h = np.maximum(f.lms * e.scale + e.shift, 0)
    reduced = np.stack([mix(v, h) for v in e.v]) + e.v0
    delta = e.share * f.pan + (1 - e.share) * h - reduced - e.delta_mean
    local = 1 - np.abs(1 - e.local * f.quotient(f.lms, reduced))
    return f.lms + e.weight * local * delta
