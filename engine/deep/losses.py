"""Objectives of CrossDiff's second stage that need no truth (spec CrossDiff §4.2).

:func:`reference_loss` is what the authors' code means to minimise. :func:`physical_loss` asks that
the image, seen through the MS sensor, is the measured MS, and that it follows the PAN locally; a
departure from the paper, because QNR is highest for images that are not the truth.

Images are float32 [B,C,H,W] in a model's units (0 to 1, or mean 0 and variance 1); call these
functions outside of autocast. Values are means over the batch, so that no sample touches another.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

if TYPE_CHECKING:
    from .degradation import Degradation

#: Half of the Gaussian windows, and their standard deviations, in pixels.
HALF, SIGMA, SSIM_SIGMA = 2, 2.0, 1.5
#: Constants of SSIM for a range of 1.
C1, C2 = 1e-4, 9e-4
Q_EPSILON = 1e-8
#: Variance below which a window is flat: the noise of a sensor, about 2 of 2047 squared.
FLAT = 1e-6
#: Weights of the two terms beside QNR, and of the correlation in the physical loss.
SPATIAL_WEIGHT = SPECTRAL_WEIGHT = 0.01
CORRELATION_WEIGHT = 0.01


class QNR(NamedTuple):
    """QNR and its two distortions, each [B]."""

    qnr: Tensor
    d_lambda: Tensor
    d_s: Tensor


def reference_loss(hrms: Tensor, pan: Tensor, ms: Tensor, ms_up: Tensor) -> Tensor:
    """``(1 - QNR) + 0.01 L_spa + 0.01 L_spe``, a scalar.

    Args:
        hrms: [B,C,H,W]
        pan: [B,1,H,W]
        ms: [B,C,H/r,W/r], sharing its corners with the PAN
        ms_up: MS interpolated to the PAN grid, [B,C,H,W]
    """
    return (
        (1 - qnr(hrms, pan, ms).qnr.mean())
        + SPATIAL_WEIGHT * spatial(hrms, pan)
        + SPECTRAL_WEIGHT * spectral(hrms, ms_up)
    )


def physical_loss(
    hrms: Tensor,
    pan: Tensor,
    ms: Tensor,
    degradation: Degradation,
    weight: float = CORRELATION_WEIGHT,
) -> Tensor:
    """Mean ``|degraded hrms - ms| + weight (1 - local correlation with PAN)``, a scalar.

    The first term is 0 at a truth that the sensor saw as ``ms``; the second is not lowest there, so
    its weight must stay small.

    Args:
        hrms: [B,C,H,W]
        pan: [B,1,H,W]
        ms: [B,C,k,l], the measured MS at the places of the degradation
        degradation: Only MS pixels it calls inside count.
        weight: Of the correlation.
    """
    off = (degradation.seen(hrms) - ms).abs() * degradation.inside
    spectral_term = off.sum() / degradation.inside.expand_as(ms).sum()
    return spectral_term + weight * (1 - local_correlation(hrms, pan))


def qnr(hrms: Tensor, pan: Tensor, ms: Tensor) -> QNR:
    """QNR = (1 - D_lambda)(1 - D_s) of every sample, Q taken over whole images.

    Published figures take Q in blocks of 32 pixels and are not comparable. The authors average Q
    over the batch first, which couples its samples; with one sample both are equal. Images must not
    have mean 0, of which Q knows nothing.

    Args:
        hrms: [B,C,H,W]
        pan: [B,1,H,W]
        ms: [B,C,H/r,W/r], sharing its corners with the PAN
    """
    bands = hrms.shape[1]
    pan_lr = F.interpolate(pan, size=ms.shape[-2:], mode="area")
    gap = (quality(torch.cat([hrms, pan], 1)) - quality(torch.cat([ms, pan_lr], 1))).abs()
    between = torch.triu(gap[:, :bands, :bands], diagonal=1).sum((1, 2))
    d_lambda = between / max(bands * (bands - 1) // 2, 1)
    d_s = gap[:, :bands, bands].mean(1)
    return QNR((1 - d_lambda) * (1 - d_s), d_lambda, d_s)


def quality(images: Tensor) -> Tensor:
    """The universal quality index (Wang 2002) of all pairs of channels: [B,C,H,W] -> [B,C,C]."""
    mean = images.mean((2, 3))
    centred = images.flatten(2) - mean[:, :, None]
    covariance = centred @ centred.mT / centred.shape[2]
    variance = covariance.diagonal(dim1=1, dim2=2)
    spread = variance[:, :, None] + variance[:, None, :]
    energy = mean[:, :, None] ** 2 + mean[:, None, :] ** 2
    top = 4 * covariance * mean[:, :, None] * mean[:, None, :]
    return top / (spread * energy + Q_EPSILON)


def spatial(hrms: Tensor, pan: Tensor) -> Tensor:
    """L_spa, a scalar: the fine structure of the mean band [B,C,H,W] against that of PAN."""
    fine, fine_pan = (x - gaussian(x) for x in (hrms.mean(1, keepdim=True), pan))
    return _distance(fine, fine_pan)


def spectral(hrms: Tensor, ms_up: Tensor) -> Tensor:
    """L_spe, a scalar: the smoothed image against the MS on the PAN grid, both [B,C,H,W]."""
    return _distance(gaussian(hrms), ms_up)


def _distance(a: Tensor, b: Tensor) -> Tensor:
    return F.l1_loss(a, b) + 1 - ssim(a, b)


def ssim(a: Tensor, b: Tensor) -> Tensor:
    """SSIM (Wang 2004) with 5 x 5 Gaussian windows and mirrored borders, clamped, its mean."""
    maps = torch.cat([a, b, a * a, b * b, a * b], 1)
    maps = _blurred(F.pad(maps, (HALF,) * 4, mode="reflect"), SSIM_SIGMA)
    mean_a, mean_b, aa, bb, ab = maps.chunk(5, 1)
    both = mean_a * mean_b
    energy = mean_a.square() + mean_b.square()
    top = (2 * both + C1) * (2 * (ab - both) + C2)
    below = (energy + C1) * (aa + bb - energy + C2)
    return (top / below).clamp(0, 1).mean()


def gaussian(image: Tensor) -> Tensor:
    """[B,C,H,W] smoothed by a 5 x 5 Gaussian of deviation 2; zeros beyond the border."""
    return _blurred(F.pad(image, (HALF,) * 4), SIGMA)


def _blurred(image: Tensor, sigma: float) -> Tensor:
    """Valid part of the correlation with a Gaussian window."""
    axis = torch.arange(-HALF, HALF + 1, dtype=image.dtype, device=image.device)
    line = torch.exp(-axis.square() / (2 * sigma**2))
    line = line / line.sum()
    bands = image.shape[1]
    kernel = torch.outer(line, line).expand(bands, 1, -1, -1)
    return F.conv2d(image, kernel, groups=bands)  # one pass: several times faster than two on CPU


def local_correlation(hrms: Tensor, pan: Tensor, side: int = 9) -> Tensor:
    """Correlation of every band with PAN in ``side`` x ``side`` windows, its mean: -1 to 1.

    Windows that leave the image do not count. Flat windows (see ``FLAT``) have a correlation near
    0, and gradients that stay finite.

    Args:
        hrms: [B,C,H,W]
        pan: [B,1,H,W]
    """
    bands = hrms.shape[1]
    both = torch.cat([hrms, pan], 1)
    both = both - both.mean((2, 3), keepdim=True)  # small numbers lose less when squared
    x, p = both.split([bands, 1], 1)
    maps = F.avg_pool2d(torch.cat([x, p, x * x, p * p, x * p], 1), side, stride=1)
    mean_x, mean_p, xx, pp, xp = maps.split([bands, 1, bands, 1, bands], 1)
    spread_x, spread_p = ((xx - mean_x**2).clamp(min=0), (pp - mean_p**2).clamp(min=0))
    rho = (xp - mean_x * mean_p) / ((spread_x + FLAT) * (spread_p + FLAT)).sqrt()
    return rho.mean()
