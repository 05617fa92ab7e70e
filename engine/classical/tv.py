"""Total variation: the smoothest image whose degradations are the measured MS and PAN.

Palsson et al. 2014: minimise lambda TV(x) + ||down(x) - M||^2 + ||w.x - P||^2 by majorisation and
minimisation. The published toolbox code has two defects (a sign and a band offset in the z-update);
this is the iteration as the paper derives it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..errors import Cancelled
from ..fields import fields
from ..tiling import grid
from ..types import Window
from .method import method, mix
from .statistics import regress

if TYPE_CHECKING:
    from types import SimpleNamespace

    from ..fields import Fields, Observation
    from ..types import Array, Progress
    from .statistics import Scene

#: For sensors without published parameters: those the toolbox's author gives for GF-2.
DEFAULTS = {"c": 8.0, "alpha": 0.75, "iterations": 50, "lambda": 1e-3}
#: The product solves fixed windows of this size with this much context.
TILE, MARGIN = 256, 64


def _estimate(scene: Scene) -> dict[str, Array]:
    known = scene.sensor.tv
    if known:
        weights, intercept = np.asarray(known["weights"], float), 0.0
    else:  # the weights that explain PAN, as in GSA
        _, small = scene.moments(ms_scale=lambda f: {"ms": f.ms, "pan": f.pan_spline_ms})
        weights, intercept = regress(small, "pan", ["ms"], intercept=True)
    values = {key: np.array(float(known.get(key, default))) for key, default in DEFAULTS.items()}
    return {"weights": weights, "intercept": np.array(intercept), **values}


@method(
    "tv",
    "Total variation",
    "variational",
    _estimate,
    "Solves for the smoothest image that explains both inputs; slow, clean edges.",
    "Palsson et al. 2014",
)
def tv(f: Fields, e: SimpleNamespace) -> Array:
    """Solve fixed windows with their surroundings and cut out what is asked for."""
    if f.pair.protocol == "toolbox":
        return _solve(f.observation(0), e, f.pair.progress)
    out = np.empty((f.pair.bands, *f.window.shape), f.dtype)
    for part in grid(f.window, TILE):
        # the whole tile, so that a pixel does not depend on the window that asks for it
        tile = Window(part.col - part.col % TILE, part.row - part.row % TILE, TILE, TILE)
        solved = _solve(fields(f.pair, tile).observation(MARGIN), e, f.pair.progress)
        out[(..., *part.within(f.window))] = solved[(..., *part.within(tile))]
    return out


def _solve(o: Observation, e: SimpleNamespace, progress: Progress) -> Array:
    """Run the iteration on a region and return its inside, (B, h, w); it heeds a cancel."""
    alpha, c, smooth = e.alpha, e.c, getattr(e, "lambda")
    pan = o.pan - e.intercept
    x = np.zeros((len(o.ms), *o.pan.shape), o.pan.dtype)
    zx, zy = np.zeros_like(x), np.zeros_like(x)
    for _ in range(int(e.iterations)):
        if progress.cancelled():
            raise Cancelled()
        b = alpha * x + o.up(o.ms - o.down(x)) + e.weights * (pan - mix(e.weights, x))
        gx, gy = _gradient(x)
        weight = (2 * alpha / smooth) * np.sqrt(gx * gx + gy * gy) + c
        # z <- (D b + (c - D D^T) z) / weight = (D (b - D^T z) + c z) / weight
        dx, dy = _gradient(b - _adjoint(zx, zy))
        zx, zy = (dx + c * zx) / weight, (dy + c * zy) / weight
        x = (b - _adjoint(zx, zy)) / alpha
    return np.ascontiguousarray(x[(..., *o.inside)])


def _gradient(x: Array) -> tuple[Array, Array]:
    """Forward differences along columns and rows, 0 at the last."""
    gx, gy = np.zeros_like(x), np.zeros_like(x)
    gx[..., :-1] = x[..., 1:] - x[..., :-1]
    gy[..., :-1, :] = x[..., 1:, :] - x[..., :-1, :]
    return gx, gy


def _adjoint(zx: Array, zy: Array) -> Array:
    """The adjoint of :func:`_gradient`."""
    out = np.zeros_like(zx)
    out[..., :-1] -= zx[..., :-1]
    out[..., 1:] += zx[..., :-1]
    out[..., :-1, :] -= zy[..., :-1, :]
    out[..., 1:, :] += zy[..., :-1, :]
    return out
