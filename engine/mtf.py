"""Low-pass filters: the sensor's MTF as a Gaussian, and the fixed filters of the classics.

An imaging system passes the fraction ``gain`` of a sinusoid at the Nyquist frequency of the MS
grid. The MTF-matched filter (Aiazzi et al. 2006) is the Gaussian with that gain, windowed to
``size`` taps. All filters work by correlation on arrays that already hold the borders they need
("valid").
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from .types import Array

TOOLBOX_SIZE = 41
SPLINE = np.array([1, 4, 6, 4, 1]) / 16  # B3 spline of the a-trous wavelet
GENERIC_GAIN = 0.3


def gaussian_mtf(
    gain: float, ratio: float, size: int = TOOLBOX_SIZE, *, sigma_size: int = 0
) -> Array:
    """The (size, size) MTF filter of the published toolbox: no normalisation, DC gain 0.998.

    ``gain`` is the MTF at the MS Nyquist frequency (0 to 1), ``ratio`` PAN samples per MS sample.
    ``sigma_size`` replaces size - 1 in the width of the Gaussian (see :func:`generic_lowpass`).
    """
    span = sigma_size or size - 1
    sigma = np.sqrt((span / ratio / 2) ** 2 / (-2 * np.log(gain)))
    axis = np.arange(size) - (size - 1) / 2
    response = np.exp(-(axis[:, None] ** 2 + axis**2) / (2 * sigma**2))
    response[response < np.finfo(float).eps * response.max()] = 0
    response /= response.max()
    impulse = np.real(np.fft.fftshift(np.fft.ifft2(np.fft.ifftshift(response))))
    return impulse * _radial_kaiser(size)


def _radial_kaiser(size: int, beta: float = 0.5) -> Array:
    grid = np.linspace(-1, 1, size)
    radius = np.hypot(grid[:, None], grid)
    return np.where(radius <= 1, np.interp(radius, grid, np.kaiser(size, beta)), 0.0)


def generic_lowpass(ratio: float, size: int = TOOLBOX_SIZE) -> Array:
    """The toolbox's "LPGauss": gain 0.3 for any sensor, and size instead of size - 1 in sigma."""
    return gaussian_mtf(GENERIC_GAIN, ratio, size, sigma_size=size)


def filter_size(ratio: float) -> int:
    """Taps needed at a ratio: the toolbox's 41 up to ratio 4, in proportion beyond."""
    return max(TOOLBOX_SIZE, 2 * int(np.ceil(5 * ratio)) + 1)


def separate(kernel: Array, tolerance: float) -> list[tuple[float, Array]]:
    """Split a symmetric kernel into separable terms: ``sum_i weight_i * outer(q_i, q_i)``.

    Terms below ``tolerance`` of the first are dropped.
    """
    values, vectors = np.linalg.eigh((kernel + kernel.T) / 2)
    order = np.argsort(-np.abs(values))
    keep = [i for i in order if abs(values[i]) > tolerance * abs(values[order[0]])]
    return [(float(values[i]), _upright(vectors[:, i])) for i in keep]


def _upright(vector: Array) -> Array:
    """Fix the sign LAPACK leaves open, so that every machine has the same terms."""
    return np.ascontiguousarray(vector if vector[len(vector) // 2] >= 0 else -vector)


@lru_cache(maxsize=64)
def product_kernel(gain: float, ratio: float, *, generic: bool = False) -> Array:
    """The filter as the product applies it: one 1-D kernel for both axes, with unit DC gain.

    The windowed Gaussian is separable to 1e-5 of its peak; the rest is dropped, and so are the
    outer taps below 1e-7 of the centre.
    """
    size = filter_size(ratio)
    kernel = generic_lowpass(ratio, size) if generic else gaussian_mtf(gain, ratio, size)
    profile = separate(kernel, 1e-4)[0][1]
    return _trimmed(profile, 1e-7)


def _trimmed(kernel: Array, least: float) -> Array:
    """A symmetric 1-D kernel without the outer taps below ``least`` of its peak, of sum 1."""
    half = int(np.flatnonzero(np.abs(kernel) > least * kernel.max())[0])
    kernel = kernel[half : len(kernel) - half]
    return kernel / kernel.sum()


def correlate_axis(x: Array, kernel: Array, axis: int) -> Array:
    """Correlate along one axis, keeping only positions where all taps lie inside."""
    size = x.shape[axis] - len(kernel) + 1
    index: list[slice] = [slice(None)] * x.ndim
    out = None
    for k, weight in enumerate(kernel.astype(x.dtype)):
        if weight == 0:
            continue
        index[axis] = slice(k, k + size)
        if out is None:
            out = x[tuple(index)] * weight
        else:
            out += x[tuple(index)] * weight
    if out is None:
        index[axis] = slice(0, size)
        out = np.zeros_like(x[tuple(index)])
    return out


def correlate_separable(x: Array, rows: Array, cols: Array) -> Array:
    """Correlate (..., h, w) with ``outer(rows, cols)``, valid part."""
    return correlate_axis(correlate_axis(x, rows, -2), cols, -1)


def correlate(x: Array, kernel: Array) -> Array:
    """Correlate whole (..., h, w) images with a symmetric 2-D kernel: float64, replicate border."""
    half = kernel.shape[0] // 2
    padded = np.pad(np.asarray(x, float), [(0, 0)] * (x.ndim - 2) + [(half, half)] * 2, mode="edge")
    out = np.zeros(x.shape)
    for weight, q in separate(kernel, 1e-17):
        out += weight * correlate_separable(padded, q, q)
    return out


def spline_kernel(ratio: float) -> Array:
    """The a-trous low-pass as the product applies it: the spline, as often as the ratio asks for.

    A pass adds a variance of 1 pixel^2, the MTF at a ratio r has about r^2 / 4. At ratio 4 these
    are the four passes of the toolbox; at 2 its four passes would blur twice as much as the sensor.
    """
    kernel = np.ones(1)
    for _ in range(max(1, round(ratio**2 / 4))):
        kernel = np.convolve(kernel, SPLINE)
    return _trimmed(kernel, 1e-20)


def spline_lowpass(x: Array, ratio: float) -> Array:
    """The a-trous low-pass of whole (h, w) images with the toolbox's borders, float64.

    Every analysis level mirrors its input by four samples; synthesis only shrinks.
    """
    levels = int(np.ceil(np.log2(ratio)))
    x = np.asarray(x, float)
    for _ in range(levels):
        x = correlate_separable(np.pad(x, 4, mode="symmetric"), SPLINE, SPLINE)
    for _ in range(levels):
        x = correlate_separable(x, SPLINE, SPLINE)
    return x


def box_kernel(ratio: float) -> Array:
    """The box of HPF and SFIM: an odd width next to the ratio."""
    size = round(ratio)
    size += 1 - size % 2
    return np.full(size, 1 / size)
