"""Figures on the blocks that an adaptation holds out, and what they are measured by."""

from __future__ import annotations

from typing import TYPE_CHECKING, Sequence

import numpy as np

from ..metrics.reference import ergas, q2n, sam
from ..mtf import correlate_separable, product_kernel

if TYPE_CHECKING:
    from ..types import Array
    from .chunks import Chunks, Images

Scores = dict[str, float]


def score(chunks: Chunks, images: Sequence[Array | None], ratio: float) -> Scores:
    """ERGAS, SAM and Q2n over the held-out blocks side by side.

    Args:
        chunks: With truths.
        images: (B, h, w) of every window, in digital numbers; None where nothing is held out.
        ratio: PAN pixels per MS pixel.
    """
    made, true = [], []
    for number, row, col in chunks.held_out:
        image, truth = images[number], chunks.images[number].truth
        assert image is not None and truth is not None
        here = (..., slice(row, row + chunks.patch), slice(col, col + chunks.patch))
        made.append(image[here].astype(np.float64))
        true.append(truth[here].astype(np.float64))
    fused, truth = np.concatenate(made, axis=2), np.concatenate(true, axis=2)
    return {
        "ergas": ergas(truth, fused, ratio),
        "sam": sam(truth, fused),
        "q2n": q2n(truth, fused),
    }


def glp(images: Images, gains: Sequence[float], ratio: float) -> Array:
    """MTF-GLP-FS (Vivone et al. 2018) of one window, (B, h, w), regressed over that window."""
    pan = images.pan.astype(np.float64)
    out = np.empty(images.lms.shape)
    for band, gain in enumerate(gains):
        kernel = product_kernel(gain, ratio)
        wide = np.pad(pan, len(kernel) // 2, mode="symmetric")
        low = correlate_separable(wide, kernel, kernel)
        lms = images.lms[band].astype(np.float64)
        spread = np.cov(low.ravel(), pan.ravel())[0, 1]
        weight = np.cov(lms.ravel(), pan.ravel())[0, 1] / spread if spread > 0 else 0.0
        out[band] = lms + weight * (pan - low)
    return out
