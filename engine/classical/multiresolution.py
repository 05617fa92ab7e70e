"""Multiresolution analysis: take the detail PAN has beyond the MS, and inject it into each band.

Formulas: Vivone et al. 2015/2021 toolboxes. U is the MS on the PAN grid (``lms``), P the PAN, P_L
the PAN as the MS sensor would have seen it (``pan_glp``). ``apply`` works pixel by pixel on (B, h,
w).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Callable

import numpy as np

from .method import method, mix
from .statistics import divide, regress

if TYPE_CHECKING:
    from types import SimpleNamespace

    from ..fields import Fields
    from ..types import Array
    from .statistics import Moments, Scene

FAMILY = "multiresolution analysis"


def _estimate_none(scene: Scene) -> dict[str, Array]:
    return {}


@method(
    "exp",
    "Interpolation only",
    "baseline",
    _estimate_none,
    "The MS interpolated to the PAN grid, without any detail: what every method has to beat.",
    "Aiazzi et al. 2002",
)
def exp(f: Fields, e: SimpleNamespace) -> Array:
    """F_b = U_b."""
    return f.lms.copy()


def _equalised(spread_of: Callable[[Fields], Array]) -> Callable[[Scene], dict[str, Array]]:
    """An estimate of the gain and offset that give PAN each band's mean and spread.

    P_b = gain_b P + offset_b, where the spread of PAN is that of the image ``spread_of`` makes.
    """

    def estimate(scene: Scene) -> dict[str, Array]:
        moments, _ = scene.moments(lambda f: {"lms": f.lms, "pan": f.pan, "spread": spread_of(f)})
        gain = divide(moments.std("lms"), moments.std("spread")[0])
        return {"gain": gain, "offset": moments.mean("lms") - gain * moments.mean("pan")[0]}

    return estimate


_EQUALISED_BY_PAN = _equalised(lambda f: f.pan)


@method(
    "hpf",
    "High-pass filter",
    FAMILY,
    _EQUALISED_BY_PAN,
    "Adds what a box filter removes from PAN; simple and robust.",
    "Chavez et al. 1991",
)
def hpf(f: Fields, e: SimpleNamespace) -> Array:
    """F_b = U_b + P_b - box(P_b)."""
    return f.lms + e.gain * (f.pan - f.pan_box)


@method(
    "sfim",
    "Smoothing-filter-based intensity modulation",
    FAMILY,
    _EQUALISED_BY_PAN,
    "Multiplies by PAN over box-filtered PAN; keeps band ratios.",
    "Liu 2000",
)
def sfim(f: Fields, e: SimpleNamespace) -> Array:
    """F_b = U_b P_b / box(P_b)."""
    return f.lms * f.quotient(e.gain * f.pan + e.offset, e.gain * f.pan_box + e.offset)


@method(
    "atwt",
    "A-trous wavelet",
    FAMILY,
    _EQUALISED_BY_PAN,
    "Adds the wavelet planes of PAN that the MS lacks.",
    "Nunez et al. 1999",
)
def atwt(f: Fields, e: SimpleNamespace) -> Array:
    """F_b = U_b + P_b - atrous(P_b)."""
    return f.lms + e.gain * (f.pan - f.pan_spline)


@method(
    "awlp",
    "Additive wavelet, luminance-proportional",
    FAMILY,
    _equalised(lambda f: f.pan_cubic),
    "Adds wavelet planes in proportion to each band's share of the brightness; keeps spectra well.",
    "Otazu et al. 2005",
)
def awlp(f: Fields, e: SimpleNamespace) -> Array:
    """F_b = U_b + (P_b - atrous(P_b)) U_b / mean(U)."""
    share = f.quotient(f.lms, mix(np.full(len(f.lms), 1 / len(f.lms), f.dtype), f.lms))
    return f.lms + e.gain * (f.pan - f.pan_spline) * share


_EQUALISED_BY_GENERIC = _equalised(lambda f: f.pan_generic)


def _seen_by_ms(f: Fields, e: SimpleNamespace) -> Array:
    """P_b as the MS sees it: the filters act on the offset too."""
    return e.gain * f.pan_glp + e.offset * f.glp_of_one


@method(
    "mtf-glp",
    "MTF-matched Laplacian pyramid",
    FAMILY,
    _EQUALISED_BY_GENERIC,
    "Adds what the sensor's MTF removes from PAN.",
    "Aiazzi et al. 2006",
)
def mtf_glp(f: Fields, e: SimpleNamespace) -> Array:
    """F_b = U_b + P_b - P_b,L."""
    return f.lms + (e.gain * f.pan + e.offset - _seen_by_ms(f, e))


@method(
    "mtf-glp-hpm",
    "MTF-GLP, high-pass modulation",
    FAMILY,
    _EQUALISED_BY_GENERIC,
    "Multiplies by PAN over MTF-filtered PAN; sharp, but fragile in the dark.",
    "Aiazzi et al. 2003; Vivone et al. 2014",
)
def mtf_glp_hpm(f: Fields, e: SimpleNamespace) -> Array:
    """F_b = U_b P_b / P_b,L."""
    return f.lms * f.quotient(e.gain * f.pan + e.offset, _seen_by_ms(f, e))


def _glp_moments(scene: Scene) -> Moments:
    return scene.moments(lambda f: {"lms": f.lms, "pan": f.pan, "low": f.pan_glp})[0]


def _estimate_fs(scene: Scene) -> dict[str, Array]:
    m = _glp_moments(scene)
    return {"gain": divide(m.cov("lms", "pan")[:, 0], m.cov("low", "pan")[:, 0])}


def _estimate_gs2(scene: Scene) -> dict[str, Array]:
    m = _glp_moments(scene)
    return {"gain": divide(np.diagonal(m.cov("lms", "low")), m.var("low"))}


def _inject_glp(f: Fields, e: SimpleNamespace) -> Array:
    """F_b = U_b + g_b (P - P_L,b)."""
    return f.lms + e.gain * (f.pan - f.pan_glp)


method(
    "mtf-glp-fs",
    "MTF-GLP, full-scale regression",
    FAMILY,
    _estimate_fs,
    "MTF-GLP with the injection gain estimated at full scale; reliable and sharp.",
    "Vivone et al. 2018",
)(_inject_glp)
method(
    "gs2-glp",
    "Gram-Schmidt 2 with GLP",
    FAMILY,
    _estimate_gs2,
    "MTF-GLP with the regression of each band on the low-passed PAN as gain (global CBD).",
    "Aiazzi et al. 2006; Restaino et al. 2017",
)(_inject_glp)


def _estimate_hpm_r(scene: Scene) -> dict[str, Array]:
    m = _glp_moments(scene)
    gain = divide(np.diagonal(m.cov("lms", "low")), m.var("low"))
    return {"gain": gain, "offset": m.mean("lms") - gain * m.mean("pan")[0]}


@method(
    "mtf-glp-hpm-r",
    "MTF-GLP-HPM with regression",
    FAMILY,
    _estimate_hpm_r,
    "High-pass modulation around the regression line of each band on PAN.",
    "Vivone et al. 2018",
)
def mtf_glp_hpm_r(f: Fields, e: SimpleNamespace) -> Array:
    """F_b = U_b (P + c_b) / (P_L,b + c_b) with c_b = offset_b / g_b."""
    return f.lms * f.quotient(e.gain * f.pan + e.offset, e.gain * f.pan_glp + e.offset)


def _estimate_hpm_h(scene: Scene) -> dict[str, Array]:
    haze = scene.haze()
    moments, _ = scene.moments(lambda f: {"lms": f.lms, "pan": f.pan_generic})
    weights, intercept = regress(moments, "pan", ["lms"], intercept=True)
    return {"haze": haze, "pan_haze": np.array(intercept + weights @ haze)}


@method(
    "mtf-glp-hpm-h",
    "MTF-GLP-HPM with haze correction",
    FAMILY,
    _estimate_hpm_h,
    "High-pass modulation after subtracting the haze of PAN and of each band.",
    "Lolli et al. 2017",
)
def mtf_glp_hpm_h(f: Fields, e: SimpleNamespace) -> Array:
    """F_b = (U_b - L_b)(P - L_P) / (P_L,b - L_P) + L_b."""
    return (f.lms - e.haze) * f.quotient(f.pan - e.pan_haze, f.pan_glp - e.pan_haze) + e.haze
