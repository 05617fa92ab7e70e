"""Component substitution: make the intensity that PAN would have, and swap it for PAN.

Formulas: Vivone et al. 2015/2021 toolboxes. U is the MS on the PAN grid (``lms``), P the PAN. Every
``estimate`` returns float64 arrays, every ``apply`` works pixel by pixel on (B, h, w).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .method import method, mix
from .statistics import divide, regress

if TYPE_CHECKING:
    from types import SimpleNamespace

    from ..fields import Fields
    from ..types import Array
    from .statistics import Moments, Scene

FAMILY = "component substitution"


def _lms_and_pan(f: Fields) -> dict[str, Array]:
    return {"lms": f.lms, "pan": f.pan}


def _match(moments: Moments, weights: Array, pan: str = "pan") -> dict[str, Array]:
    """Gain and means that give PAN the mean and spread of the intensity ``weights . U``."""
    spread = np.sqrt(max(weights @ moments.cov("lms", "lms") @ weights, 0))
    return {
        "weights": weights,
        "gain": divide(spread, moments.std(pan)[0]),
        "pan_mean": moments.mean(pan)[0],
        "mean": weights @ moments.mean("lms"),
    }


def _mean_intensity(scene: Scene) -> tuple[Moments, Array]:
    return scene.moments(_lms_and_pan)[0], np.full(scene.bands, 1 / scene.bands)


def _matched(f: Fields, e: SimpleNamespace) -> Array:
    return (f.pan - e.pan_mean) * e.gain + e.mean


def _estimate_mean(scene: Scene) -> dict[str, Array]:
    return _match(*_mean_intensity(scene))


@method(
    "brovey",
    "Brovey",
    FAMILY,
    _estimate_mean,
    "Multiplies every band by PAN over the mean of the bands; vivid, but shifts colours.",
    "Gillespie et al. 1987",
)
def brovey(f: Fields, e: SimpleNamespace) -> Array:
    """F_b = U_b P' / I."""
    return f.lms * f.quotient(_matched(f, e), mix(e.weights, f.lms))


@method(
    "gihs",
    "Generalised IHS",
    FAMILY,
    _estimate_mean,
    "Adds the difference of PAN and the mean of the bands to every band.",
    "Tu et al. 2001",
)
def gihs(f: Fields, e: SimpleNamespace) -> Array:
    """F_b = U_b + P' - I."""
    return f.lms + (_matched(f, e) - mix(e.weights, f.lms))


def _estimate_pca(scene: Scene) -> dict[str, Array]:
    moments, _ = _mean_intensity(scene)
    _, vectors = np.linalg.eigh(moments.cov("lms", "lms"))
    first = vectors[:, -1]
    first = first * np.sign(first[np.argmax(np.abs(first))])
    return _match(moments, first)


@method(
    "pca",
    "Principal components",
    FAMILY,
    _estimate_pca,
    "Replaces the first principal component of the bands by PAN.",
    "Chavez and Kwarteng 1989",
)
def pca(f: Fields, e: SimpleNamespace) -> Array:
    """F_b = U_b + v_b (P' - v . U)."""
    return f.lms + e.weights * (_matched(f, e) - mix(e.weights, f.lms))


def _injection(moments: Moments, weights: Array) -> Array:
    """g_b = cov(I, U_b) / var(I)."""
    cov = moments.cov("lms", "lms")
    return divide(cov @ weights, weights @ cov @ weights)


def _estimate_gs(scene: Scene) -> dict[str, Array]:
    moments, weights = _mean_intensity(scene)
    return {**_match(moments, weights), "injection": _injection(moments, weights)}


@method(
    "gs",
    "Gram-Schmidt",
    FAMILY,
    _estimate_gs,
    "Injects PAN detail in proportion to each band's correlation with the mean of the bands.",
    "Laben and Brower 2000",
)
def gs(f: Fields, e: SimpleNamespace) -> Array:
    """F_b = U_b + g_b (P' - I)."""
    return f.lms + e.injection * (_matched(f, e) - mix(e.weights, f.lms))


def _estimate_gsa(scene: Scene) -> dict[str, Array]:
    moments, small = scene.moments(_lms_and_pan, lambda f: {"ms": f.ms, "pan": f.pan_spline_ms})
    weights, _ = regress(small, "pan", ["ms"], intercept=True)
    return {
        "weights": weights,
        "injection": _injection(moments, weights),
        # P - mean(P) and I - mean(I) differ by this constant from P - I
        "offset": moments.mean("pan")[0] - weights @ moments.mean("lms"),
    }


@method(
    "gsa",
    "Gram-Schmidt adaptive",
    FAMILY,
    _estimate_gsa,
    "Gram-Schmidt with the band weights that explain PAN best; a sound default for most scenes.",
    "Aiazzi et al. 2007",
)
def gsa(f: Fields, e: SimpleNamespace) -> Array:
    """F_b = U_b + g_b (P - mean P - (I - mean I))."""
    return f.lms + e.injection * (f.pan - mix(e.weights, f.lms) - e.offset)


def _estimate_bth(scene: Scene) -> dict[str, Array]:
    haze = scene.haze()
    moments, _ = scene.moments(lambda f: {"lms": f.lms, "pan": f.pan_generic})
    weights, _ = regress(moments, "pan", ["lms"], intercept=False)
    match = _match(moments, weights)
    return {**match, "mean": match["mean"] - weights @ haze, "haze": haze}


@method(
    "bt-h",
    "Brovey with haze correction",
    FAMILY,
    _estimate_bth,
    "Brovey with fitted band weights after subtracting each band's haze; good contrast on land.",
    "Lolli et al. 2017",
)
def bt_h(f: Fields, e: SimpleNamespace) -> Array:
    """F_b = max(U_b - L_b, 0) P' / I + L_b."""
    clear = f.lms - e.haze
    intensity = mix(e.weights, clear)
    return np.maximum(clear, 0) * f.quotient(_matched(f, e), intensity) + e.haze
