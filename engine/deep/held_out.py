"""Figures on the blocks that an adaptation holds out, and what they are measured by."""

from __future__ import annotations

from typing import TYPE_CHECKING, Sequence

import numpy as np

from ..interpolation import lagrange_taps
from ..metrics.reference import ergas, q2n, sam
from .degradation import down_matrix, matrix

if TYPE_CHECKING:
    from ..types import Array, Window
    from .chunks import Chunks, Images

Scores = dict[str, float]


def score(chunks: Chunks, images: Sequence[Array | None], ratio: float) -> Scores:
    """ERGAS, SAM and Q2n over the held-out blocks side by side.

    Args:
        chunks: With truths.
        images: (B, h, w) of every window, in digital numbers; None where nothing is held out.
        ratio: PAN pixels per MS pixel.
    """
    made: list[Array] = []
    true: list[Array] = []
    for number, row, col in chunks.held_out:
        here = (..., slice(row, row + chunks.patch), slice(col, col + chunks.patch))
        for found, image in ((made, images[number]), (true, chunks.images[number].truth)):
            if image is None:
                raise ValueError(f"window {number} holds a held-out block and has no image")
            found.append(image[here].astype(np.float64))
    fused, truth = np.concatenate(made, axis=2), np.concatenate(true, axis=2)
    return {
        "ergas": ergas(truth, fused, ratio),
        "sam": sam(truth, fused),
        "q2n": q2n(truth, fused),
    }


def glp(images: Images, window: Window, gains: Sequence[float], ratio: int) -> Array:
    """MTF-GLP-FS (Vivone et al. 2018) of one window, (B, h, w), regressed over its valid pixels.

    Args:
        images: Of a reduced window.
        window: Where it lies.
        gains: MTF of the bands at the Nyquist frequency of the MS.
        ratio: PAN pixels per MS pixel.
    """
    pan = images.pan.astype(np.float64)
    valid = np.ones(pan.shape, bool) if images.valid is None else images.valid
    out = np.empty(images.lms.shape)
    for band, gain in enumerate(gains):
        rows, cols = (
            _down_and_up(gain, ratio, start, size)
            for start, size in ((window.row, window.height), (window.col, window.width))
        )
        low = rows @ pan @ cols.T
        lms = images.lms[band].astype(np.float64)
        spread = np.cov(low[valid], pan[valid])[0, 1]
        weight = np.cov(lms[valid], pan[valid])[0, 1] / spread if spread > 0 else 0.0
        out[band] = lms + weight * (pan - low)
    return out


def _down_and_up(gain: float, ratio: int, start: int, size: int) -> Array:
    """A band's sensor and the interpolation back along one axis of a window, (size, size)."""
    phase = (ratio - 1) / 2
    up = lagrange_taps((np.arange(start, start + size) - phase) / ratio)
    places = ratio * np.arange(up.first, up.stop) + phase - start
    return matrix(up.shifted(up.first), len(places)) @ down_matrix(gain, ratio, places, size)
