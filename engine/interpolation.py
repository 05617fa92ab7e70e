"""Interpolation: where an MS pixel lies on the PAN grid, and the value between the samples.

The field's interpolator is the 23-tap filter of Aiazzi et al. (2002): zero insertion and a
half-band filter per doubling. Its twelve non-zero off-centre taps are the 11th-degree Lagrange
polynomial at the midpoint between two samples. ``--protocol toolbox`` uses the filter literally
(:func:`interp23`); real images need *any* ratio and *any* phase, so the product evaluates the same
polynomial at the true position (:func:`lagrange_taps`). At ratio 2 the two are the same numbers.

Resampling is separable. Per axis, :class:`Taps` says for each output sample where its input samples
start and what they weigh. The sums run tap by tap in a fixed order, never through BLAS, so that an
output pixel has the same bits whatever window it was computed in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Callable, NamedTuple

import numpy as np

from .types import Window

if TYPE_CHECKING:
    from .types import Array

#: Half of the 23 taps (Aiazzi et al. 2002), centre first.
HALF_TAPS = (
    0.5,
    0.305334091185,
    0.0,
    -0.072698593239,
    0.0,
    0.021809577942,
    0.0,
    -0.005192756653,
    0.0,
    0.000807762146,
    0.0,
    -0.000060081482,
)
LAGRANGE_POINTS = 12


class Taps(NamedTuple):
    """One axis of a resampling: output i is ``sum_k weights[i, k] * input[start[i] + k]``."""

    start: Array  # (n,) int, index of the first input sample
    weights: Array  # (n, k) float64

    @property
    def first(self) -> int:
        """Smallest input index touched."""
        return int(self.start.min())

    @property
    def stop(self) -> int:
        """One past the largest input index touched."""
        return int(self.start.max()) + self.weights.shape[1]

    def shifted(self, origin: int) -> Taps:
        """The same taps for an input array whose first sample is ``origin``."""
        return Taps(self.start - origin, self.weights)


def lagrange_taps(positions: Array) -> Taps:
    """Taps of 12-point Lagrange interpolation at fractional input ``positions`` (n,)."""
    base = np.floor(positions)
    fraction = (positions - base)[:, None]
    nodes = np.arange(LAGRANGE_POINTS) - (LAGRANGE_POINTS // 2 - 1)
    weights = np.ones((len(positions), LAGRANGE_POINTS))
    for k, node in enumerate(nodes):
        for other in nodes:
            if other != node:
                weights[:, k : k + 1] *= (fraction - other) / (node - other)
    return Taps(base.astype(np.int64) + int(nodes[0]), weights)


def cubic(x: Array) -> Array:
    """Keys' cubic convolution kernel with a = -0.5, support [-2, 2] (MATLAB's "bicubic")."""
    x = np.abs(x)
    near = (1.5 * x - 2.5) * x * x + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return np.where(x <= 1, near, np.where(x < 2, far, 0.0))


def triangle(x: Array) -> Array:
    """The linear kernel, support [-1, 1]."""
    return np.maximum(1 - np.abs(x), 0.0)


def kernel_taps(
    positions: Array, kernel: Callable[[Array], Array], support: float, scale: float = 1.0
) -> Taps:
    """Taps of a convolution kernel at input ``positions``; weights sum to one.

    ``scale`` > 1 widens the kernel by that factor, which is how an image is reduced by that ratio
    without aliasing (MATLAB ``imresize``).
    """
    half = support * scale
    start = np.floor(positions - half).astype(np.int64) + 1
    offsets = np.arange(int(np.ceil(2 * half)) + 1)
    weights = kernel((positions[:, None] - (start[:, None] + offsets)) / scale)
    return Taps(start, weights / weights.sum(axis=1, keepdims=True))


def filter_taps(positions: Array, kernel: Array) -> Taps:
    """Taps that evaluate ``kernel`` (odd length) filtered input at fractional ``positions``.

    Between the pixels the filtered signal is interpolated by the Lagrange polynomial; both steps
    are folded into one set of weights.
    """
    half = len(kernel) // 2
    between = lagrange_taps(positions)
    size = len(kernel) + LAGRANGE_POINTS - 1
    weights = np.zeros((len(positions), size))
    for k in range(LAGRANGE_POINTS):
        weights[:, k : k + len(kernel)] += between.weights[:, k : k + 1] * kernel
    return Taps(between.start - half, weights)


def reach(rows: Taps, cols: Taps) -> Window:
    """The window that the taps of both axes touch."""
    return Window(cols.first, rows.first, cols.stop - cols.first, rows.stop - rows.first)


def resample(x: Array, rows: Taps, cols: Taps) -> Array:
    """Resample (..., h, w) by the taps of its two axes; every tap must lie inside the array."""
    return _along_rows(_along_cols(x, cols), rows)


def _along_cols(x: Array, taps: Taps) -> Array:
    """Weighted sums of columns. Columns are strided, so gather them from a transposed copy."""
    flipped = np.ascontiguousarray(np.swapaxes(x, -1, -2))
    return np.ascontiguousarray(np.swapaxes(_along_rows(flipped, taps), -1, -2))


def _along_rows(x: Array, taps: Taps) -> Array:
    """Weighted sums of rows, tap after tap."""
    weights = taps.weights.astype(x.dtype)
    used = np.flatnonzero(np.any(weights != 0, axis=0))
    out = np.zeros(x.shape[:-2] + (len(taps.start), x.shape[-1]), x.dtype)
    scratch = np.empty(out.shape[-2:], x.dtype)
    for plane, target in zip(x.reshape(-1, *x.shape[-2:]), out.reshape(-1, *out.shape[-2:])):
        for k in used:
            np.take(plane, taps.start + k, axis=0, out=scratch, mode="clip")
            scratch *= weights[:, k : k + 1]
            target += scratch
    return out


def mirror(start: int, stop: int, size: int) -> Array:
    """Indices ``start`` to ``stop`` folded into [0, size) by half-sample mirroring."""
    index = np.arange(start, stop) % (2 * size)
    return np.where(index < size, index, 2 * size - 1 - index)


def interp23(ms: Array, ratio: int) -> Array:
    """Upsample (..., h, w) by the 23-tap filter as the published tables do.

    Circular borders, float64. MS sample j lands on PAN sample ``ratio * j + ratio // 2``. Ratios
    that are no power of two use the Lagrange polynomial at that phase.
    """
    if ratio & (ratio - 1):
        return _lagrange_circular(np.asarray(ms, float), ratio)
    out, first = np.asarray(ms, float), True
    while ratio > 1:
        out, first, ratio = _double(out, 1 if first else 0), False, ratio // 2
    return out


def _double(x: Array, offset: int) -> Array:
    kernel = 2 * np.array(HALF_TAPS[:0:-1] + HALF_TAPS)
    for axis in (-2, -1):
        shape = list(x.shape)
        shape[axis] *= 2
        wide = np.zeros(shape)
        index: list[slice] = [slice(None)] * x.ndim
        index[axis] = slice(offset, None, 2)
        wide[tuple(index)] = x
        x = sum(
            weight * np.roll(wide, k - 11, axis=axis) for k, weight in enumerate(kernel) if weight
        )
    return x


def _lagrange_circular(x: Array, ratio: int) -> Array:
    height, width = x.shape[-2:]
    axes = []
    for size in (height, width):
        taps = lagrange_taps((np.arange(size * ratio) - ratio // 2) / ratio)
        axes.append(taps.shifted(-LAGRANGE_POINTS))
    padded = np.take(x, np.arange(-LAGRANGE_POINTS, height + LAGRANGE_POINTS) % height, axis=-2)
    padded = np.take(padded, np.arange(-LAGRANGE_POINTS, width + LAGRANGE_POINTS) % width, axis=-1)
    return resample(padded, *axes)


def imresize(x: Array, shape: tuple[int, int], kernel: str = "bicubic") -> Array:
    """Resize (..., h, w) to ``shape`` with MATLAB's ``imresize`` semantics.

    Pixel areas keep their place (phase (r-1)/2), borders are mirrored, reducing is antialiased.
    ``kernel`` is "bicubic" (a = -0.5) or "bilinear".
    """
    function, support = (cubic, 2.0) if kernel == "bicubic" else (triangle, 1.0)
    axes = []
    for size, wanted in zip(x.shape[-2:], shape):
        step = size / wanted
        positions = (np.arange(wanted) + 0.5) * step - 0.5
        taps = kernel_taps(positions, function, support, max(step, 1.0))
        index = mirror(taps.first, taps.stop, size)
        axes.append((index, taps.shifted(taps.first)))
    (row_index, rows), (col_index, cols) = axes
    padded = np.take(np.take(np.asarray(x, float), row_index, axis=-2), col_index, axis=-1)
    return resample(padded, rows, cols)
