"""Figures against a reference: SAM, ERGAS, PSNR, RMSE, CC, SCC, SSIM; Q2n has its own file.

Images are (B, h, w) float64 in digital numbers, the reference first. Every figure is an
accumulator: ``add`` takes a window of both images (and ``valid`` (h, w), False where a pixel must
not count), ``value`` is the figure of all windows so far, NaN without any pixel. The plain
functions below score whole images in one go. Definitions: PanCollection / DLPan-Toolbox tables
(Vivone 2021).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .q2n import q2n
from .smooth import all_valid, correlate

if TYPE_CHECKING:
    from ..types import Array, Window

__all__ = ["cc", "ergas", "psnr", "q2n", "rmse", "sam", "scc", "ssim"]
NAN = float("nan")
SSIM_SIZE, SSIM_SIGMA = 11, 1.5
SSIM_K = (0.01, 0.03)


class SpectralAngle:
    """SAM: mean angle between the spectra of a pixel, in degrees; 0 is ideal."""

    def __init__(self) -> None:
        self._total, self._count = 0.0, 0

    def add(self, reference: Array, fused: Array, valid: Array | None = None) -> None:
        """Add a window. Pixels in which either image is black in all bands have no angle."""
        g, f = _pixels(reference, valid), _pixels(fused, valid)
        dot = np.einsum("bn,bn->n", g, f)
        norm = np.sqrt(np.einsum("bn,bn->n", g, g) * np.einsum("bn,bn->n", f, f))
        seen = norm > 0
        cosine = np.clip(dot[seen] / norm[seen], -1, 1)
        self._total += float(np.arccos(cosine).sum())
        self._count += len(cosine)

    def value(self) -> float:
        """SAM in degrees."""
        return float(np.degrees(self._total / self._count)) if self._count else NAN


class BandErrors:
    """Errors and moments of each band: ERGAS, PSNR, RMSE and CC all follow from them."""

    def __init__(self, bands: int) -> None:
        self._count = 0
        self._square = np.zeros(bands)
        self._mean = np.zeros((2, bands))
        self._moment = np.zeros((3, bands))  # sums of (g-mg)^2, (f-mf)^2, (g-mg)(f-mf)

    def add(self, reference: Array, fused: Array, valid: Array | None = None) -> None:
        """Add a window; moments are merged about the means (Chan 1979)."""
        g, f = _pixels(reference, valid), _pixels(fused, valid)
        count = g.shape[1]
        if not count:
            return
        self._square += np.einsum("bn,bn->b", f - g, f - g)
        mean = np.stack([g.mean(axis=1), f.mean(axis=1)])
        dg, df = g - mean[0][:, None], f - mean[1][:, None]
        moment = np.stack([np.einsum("bn,bn->b", a, b) for a, b in ((dg, dg), (df, df), (dg, df))])
        step, total = mean - self._mean, self._count + count
        jump = np.stack([step[0] ** 2, step[1] ** 2, step[0] * step[1]])
        self._moment += moment + jump * (self._count * count / total)
        self._mean += step * (count / total)
        self._count = total

    def ergas(self, ratio: float) -> float:
        """ERGAS at ``ratio`` PAN pixels per MS pixel: 0 is ideal."""
        if not self._count:
            return NAN
        with np.errstate(divide="ignore", invalid="ignore"):
            relative = self._square / self._count / self._mean[0] ** 2
        return float(100 / ratio * np.sqrt(relative.mean())) if np.isfinite(relative).all() else NAN

    def mse(self) -> float:
        """Mean squared error of all bands together."""
        return float(self._square.mean() / self._count) if self._count else NAN

    def rmse(self) -> float:
        """Root mean square error of all bands together, in the units of the image."""
        return float(np.sqrt(self.mse()))

    def psnr(self, peak: float) -> float:
        """PSNR in dB of the joint MSE; infinite for identical images."""
        mse = self.mse()
        return float("inf") if mse == 0 else float(10 * np.log10(peak**2 / mse))

    def cc(self) -> float:
        """Pearson correlation, mean over the bands in which both images vary."""
        energy = np.sqrt(self._moment[0] * self._moment[1])
        seen = energy > 0
        return float((self._moment[2][seen] / energy[seen]).mean()) if seen.any() else NAN


class SpatialCorrelation:
    """SCC of the toolbox: one cosine of the Sobel magnitudes of all bands, means not removed."""

    def __init__(self) -> None:
        self._sums = np.zeros(3)

    def add(
        self, reference: Array, fused: Array, valid: Array | None, inner: tuple[slice, slice]
    ) -> None:
        """Add the pixels ``inner`` (rows, columns) of arrays that bring one more pixel around.

        Pixels with a neighbour that is invalid or beyond the arrays do not count.
        """
        keep = _complete(reference.shape[1:], valid, 3, inner)
        for bands in zip(_blank(reference, valid), _blank(fused, valid)):
            g, f = (_sobel(band)[keep] for band in bands)
            self._sums += [g @ f, g @ g, f @ f]

    def value(self) -> float:
        """SCC: 1 is ideal."""
        energy = np.sqrt(self._sums[1] * self._sums[2])
        return float(self._sums[0] / energy) if energy > 0 else NAN


class StructuralSimilarity:
    """SSIM (Wang 2004): 11 x 11 Gaussian, sigma 1.5, K .01 and .03, mean over pixels and bands."""

    def __init__(self, peak: float) -> None:
        self._constants = [(k * peak) ** 2 for k in SSIM_K]
        offset = np.arange(SSIM_SIZE) - SSIM_SIZE // 2
        kernel = np.exp(-(offset**2) / (2 * SSIM_SIGMA**2))
        self._kernel = kernel / kernel.sum()
        self._total, self._count = 0.0, 0

    def add(
        self, reference: Array, fused: Array, valid: Array | None, inner: tuple[slice, slice]
    ) -> None:
        """Add the pixels ``inner`` (rows, columns) of arrays that bring five more pixels around.

        Only pixels whose whole Gaussian lies on valid pixels of the arrays count.
        """
        keep = _complete(reference.shape[1:], valid, SSIM_SIZE, inner)
        for g, f in zip(_blank(reference, valid), _blank(fused, valid)):
            scores = self._map(g, f)[keep]
            self._total += float(scores.sum())
            self._count += scores.size

    def _map(self, g: Array, f: Array) -> Array:
        """SSIM of one band at every pixel with a complete neighbourhood."""
        offset = float(g.mean())  # keeps the variances of bright, flat places exact
        g, f = g - offset, f - offset
        products = (g, f, g * g, f * f, g * f)
        mean_g, mean_f, gg, ff, gf = (correlate(x, self._kernel) for x in products)
        c1, c2 = self._constants
        covariance = gf - mean_g * mean_f
        contrast = gg - mean_g**2 + ff - mean_f**2
        mean_g, mean_f = mean_g + offset, mean_f + offset
        luminance = (2 * mean_g * mean_f + c1) / (mean_g**2 + mean_f**2 + c1)
        return luminance * (2 * covariance + c2) / (contrast + c2)

    def value(self) -> float:
        """SSIM: 1 is ideal."""
        return self._total / self._count if self._count else NAN


def without_ring(x: Array, window: Window, image: Window) -> Array:
    """A copy of (B, h, w) covering ``window`` with the outermost pixels of ``image`` set to 0.

    The toolbox drops one border pixel before the Sobel filter and pads with zeros; SCC on this
    gives the same value. The product counts complete neighbourhoods only.
    """
    x = x.copy()
    if window.row == image.row:
        x[:, 0] = 0
    if window.col == image.col:
        x[:, :, 0] = 0
    if window.stop[1] == image.stop[1]:
        x[:, -1] = 0
    if window.stop[0] == image.stop[0]:
        x[:, :, -1] = 0
    return x


def _pixels(x: Array, valid: Array | None) -> Array:
    """Valid pixels as (B, n) float64."""
    return np.asarray(x.reshape(len(x), -1) if valid is None else x[:, valid], float)


def _blank(x: Array, valid: Array | None) -> Array:
    """Float64 with harmless values where invalid (NaN would spread)."""
    return np.asarray(x, float) if valid is None else np.where(valid, x, 0.0)


def _complete(
    shape: tuple[int, ...], valid: Array | None, size: int, inner: tuple[slice, slice]
) -> Array:
    """Which pixels of the valid part of a size x size filter lie in ``inner`` and on valid data."""
    half = size // 2
    keep = np.zeros((max(shape[0] - 2 * half, 0), max(shape[1] - 2 * half, 0)), bool)
    rows, cols = (slice(max(s.start - half, 0), max(s.stop - half, 0)) for s in inner)
    keep[rows, cols] = True
    if valid is not None and keep.size:
        keep &= all_valid(valid, size)
    return keep


def _sobel(x: Array) -> Array:
    """Gradient magnitude of (h, w), valid part, eight times the slope."""
    down, across = x[2:] - x[:-2], x[:, 2:] - x[:, :-2]
    rows = down[:, :-2] + 2 * down[:, 1:-1] + down[:, 2:]
    cols = across[:-2] + 2 * across[1:-1] + across[2:]
    return np.sqrt(rows * rows + cols * cols)


def _whole(x: Array) -> tuple[slice, slice]:
    return slice(0, x.shape[1]), slice(0, x.shape[2])


def sam(reference: Array, fused: Array) -> float:
    """Spectral angle in degrees of whole images (B, h, w)."""
    figure = SpectralAngle()
    figure.add(reference, fused)
    return figure.value()


def _errors(reference: Array, fused: Array) -> BandErrors:
    figure = BandErrors(len(reference))
    figure.add(reference, fused)
    return figure


def ergas(reference: Array, fused: Array, ratio: float) -> float:
    """ERGAS of whole images (B, h, w)."""
    return _errors(reference, fused).ergas(ratio)


def psnr(reference: Array, fused: Array, peak: float) -> float:
    """PSNR in dB of whole images (B, h, w), joint MSE."""
    return _errors(reference, fused).psnr(peak)


def rmse(reference: Array, fused: Array) -> float:
    """Root mean square error of whole images (B, h, w)."""
    return _errors(reference, fused).rmse()


def cc(reference: Array, fused: Array) -> float:
    """Mean Pearson correlation of the bands of whole images (B, h, w)."""
    return _errors(reference, fused).cc()


def scc(reference: Array, fused: Array, *, zero_border: bool = True) -> float:
    """SCC of whole images (B, h, w); ``zero_border`` pads as the toolbox does."""
    figure = SpatialCorrelation()
    if zero_border:
        reference, fused = (
            np.pad(x[:, 1:-1, 1:-1], ((0, 0), (1, 1), (1, 1))) for x in (reference, fused)
        )
    figure.add(reference, fused, None, _whole(reference))
    return figure.value()


def ssim(reference: Array, fused: Array, peak: float) -> float:
    """SSIM of whole images (B, h, w)."""
    figure = StructuralSimilarity(peak)
    figure.add(reference, fused, None, _whole(reference))
    return figure.value()
