"""Q2n: the universal image quality index of whole pixel vectors (Alparone 2004, Garzelli 2009).

The bands of a pixel, padded to a power of two, are one hypercomplex number; the index of a block is
the modulus of the hypercomplex correlation coefficient times the agreement of means and contrasts.
The product of hypercomplex numbers is bilinear, so every mean of products follows from the
covariances of the bands: a block costs one small matrix product whatever the number of bands.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from .blocks import BLOCK, FLAT, Moments, moments, pad_to_blocks, split

if TYPE_CHECKING:
    from ..types import Array


@lru_cache(maxsize=8)
def multiplication(order: int) -> Array:
    """Structure constants of the product: (a.b)_k = sum_ij T[i, j, k] a_i b_j, order 1, 2, 4 ...

    With a = (p, a_hi), q = conj(a_hi), b = (u, b_hi), v = conj(b_hi), the toolbox's recursion is
    a.b = (p.u - v.conj(q), conj(p).v + u.q).
    """
    if order == 1:
        return np.ones((1, 1, 1))
    half = order // 2
    lower = multiplication(half)
    conj = np.ones(half)
    conj[1:] = -1
    table = np.zeros((order, order, order))
    table[:half, :half, :half] = lower  # p.u
    # v.conj(q) = conj(b_hi).a_hi: the roles of the factors are swapped
    table[half:, half:, :half] = -(lower * conj[:, None, None]).transpose(1, 0, 2)
    table[:half, half:, half:] = lower * conj[:, None, None] * conj[:, None]  # conj(p).v
    table[half:, :half, half:] = (lower * conj[:, None]).transpose(1, 0, 2)  # u.conj(a_hi)
    return table


class Q2n:
    """Q2n of two images, fed window by window; 1 is ideal, 0 the worst.

    ``rounded`` quantises both images to 16-bit integers first, as the published tables do; it must
    be off for reflectances and other images that are not in digital numbers.
    """

    def __init__(self, *, rounded: bool = True, size: int = BLOCK) -> None:
        self._rounded, self._size = rounded, size
        self._total, self._count = 0.0, 0

    def add(self, reference: Array, fused: Array, valid: Array | None = None) -> None:
        """Add a window: images (B, h, w) anchored on the block grid, validity (h, w).

        A window that is no multiple of the block is mirrored at its end, so only the last windows
        of an image may be such. Blocks with an invalid pixel do not count.
        """
        bands = len(reference)
        stack = np.concatenate([reference, fused])
        if self._rounded:
            stack = quantised(stack)
        blocks = split(pad_to_blocks(stack, self._size), self._size)
        if valid is not None:
            whole = split(pad_to_blocks(valid[None], self._size), self._size)
            blocks = blocks[whole.all(axis=(1, 2))]
        self.add_moments(moments(blocks), bands)

    def add_moments(self, stack: Moments, bands: int) -> None:
        """Add blocks by the moments of 2B channels: the reference's, then the fused image's."""
        scores = index(stack, bands, self._size, skip_flat=not self._rounded)
        scores = scores[~np.isnan(scores)]
        self._total += float(scores.sum())
        self._count += len(scores)

    def value(self) -> float:
        """The mean over blocks, NaN without any."""
        return self._total / self._count if self._count else float("nan")


def quantised(x: Array) -> Array:
    """Round half away from zero to uint16, as MATLAB's ``uint16`` does."""
    return np.clip(np.floor(x + 0.5), 0, 65535)


def index(stack: Moments, bands: int, size: int = BLOCK, *, skip_flat: bool = False) -> Array:
    """Block scores (n,) from the moments of [reference, fused], 2 * ``bands`` channels.

    ``skip_flat`` makes blocks with a constant reference band NaN (their contrast is undefined);
    the toolbox divides by the machine epsilon there.
    """
    mean_g, mean_f = stack.mean[:, :bands], stack.mean[:, bands:]
    variance = stack.variance
    flat = variance[:, :bands] <= FLAT * mean_g**2
    deviation = np.where(flat, np.finfo(float).eps, np.sqrt(variance[:, :bands]))
    # An all-zero reference band is not normalised in the fused image, only shifted.
    scale = np.where(mean_g == 0, 1.0, deviation)
    order = 1 << (bands - 1).bit_length()
    sign = np.where(np.arange(order) == 0, 1.0, -1.0)
    y = np.ones((len(mean_g), order))
    y[:, :bands] = (mean_f - mean_g) / scale + 1
    y *= sign
    x = np.ones_like(y)
    cross = np.zeros((len(mean_g), order, order))
    cross[:, :bands, :bands] = stack.cov[:, :bands, bands:] / (
        deviation[:, :, None] * scale[:, None, :]
    )
    contrast = np.where(flat, 0.0, 1.0).sum(axis=1)
    contrast += (variance[:, bands:] / scale**2).sum(axis=1)
    scores = _modulus(cross * sign, x, y, contrast, size)
    return np.where(flat.any(axis=1), np.nan, scores) if skip_flat else scores


def _modulus(cross: Array, x: Array, y: Array, contrast: Array, size: int) -> Array:
    """|q| of blocks from the normalised, conjugated numbers' covariances (N-1) and means."""
    table = multiplication(x.shape[1])
    # K (mean of products - product of means) with K = S^2 / (S^2 - 1) and N = S^2 is the
    # covariance with N - 1 for S = block side, which is what ``cross`` and ``contrast`` hold.
    correlation = np.einsum("nij,ijk->nk", cross, table)
    norm_x, norm_y = (x**2).sum(axis=1), (y**2).sum(axis=1)
    luminance = 2 * np.sqrt(norm_x * norm_y) / (norm_x + norm_y)
    modulus = np.sqrt((correlation**2).sum(axis=1))
    safe = np.where(contrast == 0, 1.0, contrast)
    return luminance * np.where(contrast == 0, 1.0, 2 * modulus / safe)


def q2n_map(
    reference: Array, fused: Array, *, size: int = BLOCK, step: int = 0, rounded: bool = True
) -> Array:
    """Block scores (rows, columns) of two whole images (B, h, w), blocks ``step`` apart."""
    stack = np.concatenate([reference, fused])
    padded = pad_to_blocks(quantised(stack) if rounded else stack, size, step)
    scores = index(moments(split(padded, size, step)), len(reference), size, skip_flat=not rounded)
    return scores.reshape(-(-reference.shape[1] // (step or size)), -1)


def q2n(reference: Array, fused: Array, *, rounded: bool = True) -> float:
    """Q2n of two whole images (B, h, w): 1 is ideal."""
    figure = Q2n(rounded=rounded)
    figure.add(reference, fused)
    return figure.value()
