"""The quality figures as Processing outputs: their names, labels and order."""

from __future__ import annotations

import math

from .translation import tr


def reference_figures() -> dict[str, str]:
    """Key and label of the figures that need a reference image."""
    return {
        "sam": tr("SAM, spectral angle in degrees (lower is better)"),
        "ergas": tr("ERGAS, relative global error (lower is better)"),
        "q2n": tr("Q2n, vector quality index (higher is better, 1 is perfect)"),
        "scc": tr("SCC, spatial correlation (higher is better, 1 is perfect)"),
        "psnr": tr("PSNR in decibels (higher is better)"),
        "ssim": tr("SSIM, structural similarity (higher is better, 1 is perfect)"),
        "rmse": tr("RMSE in image units (lower is better)"),
        "cc": tr("CC, correlation coefficient (higher is better, 1 is perfect)"),
    }


def blind_figures() -> dict[str, str]:
    """Key and label of the figures that need no reference."""
    return {
        "d_lambda": tr("D_lambda, spectral distortion (lower is better)"),
        "d_s": tr("D_s, spatial distortion (lower is better)"),
        "qnr": tr("QNR, quality without reference (higher is better, 1 is perfect)"),
        "d_lambda_k": tr("D_lambda_K, spectral distortion after Khan (lower is better)"),
        "hqnr": tr("HQNR, hybrid QNR (higher is better, 1 is perfect)"),
        "d_rho": tr("D_rho, spatial distortion by local correlation (lower is better)"),
        "r_sam": tr("R-SAM, spectral angle at MS scale in degrees (lower is better)"),
        "r_ergas": tr("R-ERGAS, global error at MS scale (lower is better)"),
        "r_q2n": tr("R-Q2n, vector quality index at MS scale (higher is better)"),
    }


def figures() -> dict[str, str]:
    """Every figure: key and label."""
    return {**reference_figures(), **blind_figures()}


def as_outputs(scores: dict[str, float]) -> dict[str, float]:
    """Scores under their output names; undefined ones are left out."""
    return {
        key.upper(): float(value)
        for key, value in scores.items()
        if value is not None and math.isfinite(value)
    }
