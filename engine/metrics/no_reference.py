"""Figures without a reference: QNR, HQNR and their parts, D_rho, and reprojection to the MS scale.

Images are (B, h, w) float64: ``fused``; ``lms``, the MS enlarged to the PAN grid; ``low``, the
fused image seen through the MTF of each MS band; ``pan`` (h, w) and ``pan_lms`` (h, w), the PAN
reduced and enlarged like the MS. Accumulators as in :mod:`reference`. Sources: Alparone 2008 (QNR),
Khan 2009 (D_lambda_K), Aiazzi 2014 (HQNR), Scarpa & Ciotola 2022 (D_rho, reprojection), as coded in
the DLPan-Toolbox and by the authors.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .blocks import BLOCK, FLAT, Moments, moments, split
from .q2n import Q2n, q2n
from .reference import BandErrors, SpectralAngle
from .smooth import all_valid, correlate

if TYPE_CHECKING:
    from ..types import Array

NAN = float("nan")


class BlockQuality:
    """Universal quality index (Wang 2002) of every pair of channels, mean over blocks."""

    def __init__(self, channels: int) -> None:
        self._total = np.zeros((channels, channels))
        self._count = np.zeros((channels, channels))

    def add(self, blocks: Moments) -> None:
        """Add blocks; a pair of which both are constant in a block has no index there."""
        mean, variance = blocks.mean, blocks.variance
        spread = variance[:, :, None] + variance[:, None, :]
        energy = mean[:, :, None] ** 2 + mean[:, None, :] ** 2
        seen = (spread > FLAT * energy) & (energy > 0)
        with np.errstate(divide="ignore", invalid="ignore"):
            score = 4 * blocks.cov * mean[:, :, None] * mean[:, None, :] / (spread * energy)
        self._total += np.where(seen, score, 0.0).sum(axis=0)
        self._count += seen.sum(axis=0)

    def value(self) -> Array:
        """(C, C) means, NaN for pairs without any block."""
        seen = self._count > 0
        return np.where(seen, self._total / np.where(seen, self._count, 1), np.nan)


class FullResolution:
    """D_lambda, D_s, QNR, D_lambda_K and HQNR of one image of B bands, fed window by window.

    Windows lie on the block grid. UQI blocks (D_lambda, D_s) that the image cuts are left out; Q2n
    mirrors them, as the toolbox does both. Blocks with an invalid pixel count nowhere.
    """

    def __init__(self, bands: int, *, rounded: bool = True) -> None:
        self._bands = bands
        self._fine, self._coarse = BlockQuality(bands + 1), BlockQuality(bands + 1)
        self._q2n = Q2n(rounded=rounded)

    def add(
        self,
        fused: Array,
        pan: Array,
        lms: Array,
        pan_lms: Array,
        low: Array,
        valid: Array | None = None,
    ) -> None:
        """Add a window; ``valid`` (h, w) says where all five images count."""
        self._q2n.add(lms, low, valid)
        keep = slice(None) if valid is None else split(valid[None], BLOCK).all(axis=(1, 2))
        for quality, bands, detail in ((self._fine, fused, pan), (self._coarse, lms, pan_lms)):
            stack = np.concatenate([bands, detail[None]])
            quality.add(moments(split(stack, BLOCK)[keep]))

    def value(self) -> dict[str, float]:
        """The five figures by key."""
        gap = np.abs(self._fine.value() - self._coarse.value())
        pairs = gap[: self._bands, : self._bands][np.triu_indices(self._bands, 1)]
        d_lambda = float(pairs.mean()) if pairs.size else NAN
        d_s = float(gap[: self._bands, self._bands].mean())
        d_lambda_k = 1 - self._q2n.value()
        return {
            "d_lambda": d_lambda,
            "d_s": d_s,
            "qnr": qnr(d_lambda, d_s),
            "d_lambda_k": d_lambda_k,
            "hqnr": qnr(d_lambda_k, d_s),
        }


class LocalCorrelation:
    """D_rho: 1 - mean local correlation of the fine structure of each band with that of the PAN.

    The fine structure is the image minus its local mean; means and correlations are taken over
    windows of 2 * ceil(ratio / 2) pixels (4 x 4 at ratio 4). Windows in which the PAN is flat say
    nothing and do not count; where only the band is flat the correlation is 0. ``zero_border`` is
    the published rule for whole images: zeros around the image, and every pixel counts.
    """

    def __init__(self, ratio: float, *, zero_border: bool = False) -> None:
        self._half = max(int(np.ceil(ratio / 2)), 1)
        self._kernel = np.ones(2 * self._half)
        self._zero_border = zero_border
        self._total, self._count = 0.0, 0

    @property
    def halo(self) -> int:
        """Pixels needed around those that are scored."""
        return 2 * self._half

    def add(
        self, fused: Array, pan: Array, valid: Array | None, inner: tuple[slice, slice]
    ) -> None:
        """Add the pixels ``inner`` (rows, columns) of arrays that bring ``halo`` more around.

        Pixels whose surroundings are invalid or beyond the arrays do not count.
        """
        if valid is not None:
            fused, pan = np.where(valid, fused, 0.0), np.where(valid, pan, 0.0)
        fine_pan = self._fine(pan)
        energy_pan = self._sum(fine_pan * fine_pan)
        seen = np.zeros(energy_pan.shape, bool)
        lead = 0 if self._zero_border else 2 * self._half - 2
        rows, cols = (slice(max(s.start - lead, 0), max(s.stop - lead, 0)) for s in inner)
        seen[rows, cols] = True
        if not self._zero_border:
            seen &= energy_pan > 0
            if valid is not None and seen.size:
                seen &= all_valid(valid, 4 * self._half - 1)
        for band in fused:
            fine = self._fine(band)
            energy, joint = self._sum(fine * fine)[seen], self._sum(fine * fine_pan)[seen]
            norm = np.sqrt(energy * energy_pan[seen])
            self._total += float((joint / np.where(norm > 0, norm, np.inf)).sum())
            self._count += norm.size

    def _fine(self, x: Array) -> Array:
        """The image minus its local mean, where that is known."""
        size, half = len(self._kernel), self._half
        mean = self._sum(x) / size**2
        if self._zero_border:
            return x - mean
        height, width = mean.shape
        return x[half - 1 : half - 1 + height, half - 1 : half - 1 + width] - mean

    def _sum(self, x: Array) -> Array:
        if self._zero_border:
            x = np.pad(x, (self._half - 1, self._half))
        return correlate(x, self._kernel)

    def value(self) -> float:
        """D_rho: 0 when every band follows the PAN."""
        return 1 - self._total / self._count if self._count else NAN


class Reprojection:
    """R-SAM, R-ERGAS and R-Q2n: the fused image brought to the MS grid, against the MS."""

    def __init__(self, bands: int, ratio: float, *, rounded: bool = True) -> None:
        self._ratio = ratio
        self._angle, self._errors = SpectralAngle(), BandErrors(bands)
        self._q2n = Q2n(rounded=rounded)

    def add(self, ms: Array, reprojected: Array, valid: Array | None = None) -> None:
        """Add a window on the block grid of the MS: both (B, h, w) at MS scale."""
        for figure in (self._angle, self._errors, self._q2n):
            figure.add(ms, reprojected, valid)

    def value(self) -> dict[str, float]:
        """The three figures by key."""
        return {
            "r_sam": self._angle.value(),
            "r_ergas": self._errors.ergas(self._ratio),
            "r_q2n": self._q2n.value(),
        }


def uqi(images: Array) -> Array:
    """UQI of all pairs of the channels (C, h, w), mean over whole 32 x 32 blocks: (C, C)."""
    quality = BlockQuality(len(images))
    quality.add(moments(split(images, BLOCK)))
    return quality.value()


def d_lambda(fused: Array, lms: Array) -> float:
    """Spectral distortion of QNR against the enlarged MS: 0 for plain enlargement."""
    pairs = np.abs(uqi(fused) - uqi(lms))[np.triu_indices(len(fused), 1)]
    return float(pairs.mean()) if pairs.size else NAN


def d_s(fused: Array, pan: Array, lms: Array, pan_lms: Array) -> float:
    """Spatial distortion: whether the bands relate to the PAN as they do at the coarse scale."""
    fine, coarse = (uqi(np.concatenate([x, p[None]])) for x, p in ((fused, pan), (lms, pan_lms)))
    return float(np.abs(fine - coarse)[:-1, -1].mean())


def d_lambda_k(lms: Array, low: Array, *, rounded: bool = True) -> float:
    """Spectral distortion of Khan: the MTF-filtered fused image against the enlarged MS."""
    return 1 - q2n(lms, low, rounded=rounded)


def qnr(spectral: float, spatial: float) -> float:
    """Quality from a spectral and a spatial distortion: QNR of D_lambda, HQNR of D_lambda_K."""
    return (1 - spectral) * (1 - spatial)


hqnr = qnr


def d_rho(fused: Array, pan: Array, ratio: float, *, zero_border: bool = True) -> float:
    """Local decorrelation of whole images from the PAN; the published tables pad with zeros."""
    figure = LocalCorrelation(ratio, zero_border=zero_border)
    figure.add(fused, pan, None, (slice(0, pan.shape[0]), slice(0, pan.shape[1])))
    return figure.value()


def reprojection(
    ms: Array, reprojected: Array, ratio: float, *, rounded: bool = True
) -> dict[str, float]:
    """R-SAM (degrees), R-ERGAS and R-Q2n of whole images at MS scale."""
    figure = Reprojection(len(ms), ratio, rounded=rounded)
    figure.add(ms, reprojected)
    return figure.value()


def r_sam(ms: Array, reprojected: Array) -> float:
    """Spectral angle at MS scale in degrees."""
    return reprojection(ms, reprojected, 1.0)["r_sam"]


def r_ergas(ms: Array, reprojected: Array, ratio: float) -> float:
    """ERGAS at MS scale."""
    return reprojection(ms, reprojected, ratio)["r_ergas"]


def r_q2n(ms: Array, reprojected: Array, *, rounded: bool = True) -> float:
    """Q2n at MS scale."""
    return reprojection(ms, reprojected, 1.0, rounded=rounded)["r_q2n"]
