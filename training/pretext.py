"""CrossDiff's pretext tasks, both at once: what is trained in stage 1, and how it is judged.

``p2m`` finds the noise in the MS with the PAN as its condition, ``m2p`` the noise in the PAN with
the MS. Both images go about together here, [B,C+1,H,W] with the PAN last, as the U-Nets see them.
"""

from __future__ import annotations

import numpy as np
import torch
from patches import Chips, Draw, windows
from torch import Tensor, nn
from validation import BATCH, colours, stretched
from whetstone.engine.deep.crossdiff import CrossDiff, dropped, guided, noise_objective
from whetstone.engine.deep.samplers import dpmpp_2m
from whetstone.engine.deep.sampling import schedule_of
from whetstone.engine.deep.schedule import add_noise, uniform_in_logsnr
from whetstone.engine.deep.weights import Model

#: Timesteps (1 to 1000) at which the noise of validation scenes is estimated.
TIMES = (10, 50, 100, 200, 400, 700)
#: Windows of a scene for that, and those that are sampled, in so many steps.
MOST_WINDOWS, SAMPLED, STEPS = 16, 2, 15


class Pretext(nn.Module):
    """Both U-Nets of a network as one module."""

    def __init__(self, network: CrossDiff) -> None:
        super().__init__()
        self.bands, self.p2m, self.m2p = network.bands, network.p2m, network.m2p

    def forward(self, x_t: Tensor, timesteps: Tensor, images: Tensor, keep: Tensor) -> Tensor:
        """The noise in both modalities, like ``x_t``.

        Args:
            x_t: [B,C+1,H,W]
            timesteps: [B], 1 to 1000
            images: The conditions, [B,C+1,H,W]
            keep: Whose condition is not dropped, for either task [2,B] bool.
        """
        noisy_ms, noisy_pan = self.parts(x_t)
        ms, pan = self.parts(images)
        eps = [
            self.p2m(noisy_ms, timesteps, dropped(pan, keep[0])),
            self.m2p(noisy_pan, timesteps, dropped(ms, keep[1])),
        ]
        return torch.cat(eps, 1)

    def parts(self, both: Tensor) -> tuple[Tensor, Tensor]:
        """The bands, and the PAN."""
        return both[:, : self.bands], both[:, self.bands :]

    def errors(self, eps: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """The objective of ``p2m`` and of ``m2p``."""
        ours, theirs = (noise_objective(*x) for x in zip(self.parts(eps), self.parts(noise)))
        return ours, theirs


def images_of(network: CrossDiff, draw: Draw) -> Tensor:
    """Both modalities as the U-Nets see them."""
    both: Tensor = network.signed(torch.cat([draw.lms, draw.pan], 1))
    return both


@torch.inference_mode()
def pretext_score(
    model: Model, scene: Chips, pictured: bool, guidance: float
) -> tuple[dict[str, float], Tensor | None]:
    """How well both tasks are learnt, on windows of a scene.

    ``p2m`` and ``m2p`` are mean squared errors of the noise over fixed timesteps and noises, and
    ``noise`` is their mean. Scenes that are pictured have windows sampled, too: ``_cc`` is the mean
    correlation with the real image, ``_psnr`` has that image's range as its peak. The picture shows
    condition, sample and real image, ``p2m`` above.
    """
    card, tasks = model.card, Pretext(model.network)
    alpha_bar = torch.tensor(schedule_of(card), device=model.device)
    rows: list[tuple[float, ...]] = []  # windows, and the error of either task
    for part in windows(scene, card.window, card.bands, BATCH, MOST_WINDOWS):
        images = images_of(model.network, part).to(model.device)
        noise = _noise(images)
        keep = images.new_ones(2, len(images), dtype=torch.bool)
        for t in TIMES:
            timesteps = torch.full((len(images),), t, device=model.device)
            x_t = add_noise(images, noise, timesteps - 1, alpha_bar)
            errors = tasks.errors(tasks(x_t, timesteps, images, keep), noise)
            rows.append((len(images), *map(float, errors)))
    counts, *by_task = np.transpose(rows)
    p2m, m2p = (float(np.average(errors, weights=counts)) for errors in by_task)
    figures = {"noise": (p2m + m2p) / 2, "p2m": p2m, "m2p": m2p}
    if not pictured:
        return figures, None
    part = next(windows(scene, card.window, card.bands, SAMPLED, SAMPLED))
    samples, shown = _sampled(model, images_of(model.network, part), guidance)
    return {**figures, **samples}, shown


def _sampled(model: Model, images: Tensor, guidance: float) -> tuple[dict[str, float], Tensor]:
    """Figures of samples of both modalities, and a picture of the first."""
    network, alpha_bar = model.network, schedule_of(model.card)
    timesteps = uniform_in_logsnr(alpha_bar, STEPS)
    start = _noise(images.to(model.device))
    bands = network.bands
    ms, pan = slice(None, bands), slice(bands, None)
    figures, rows = {}, []
    for name, unet, mine, other in (
        ("p2m", network.p2m, ms, pan),
        ("m2p", network.m2p, pan, ms),
    ):
        real, condition = images[:, mine], images[:, other]
        denoise = guided(unet, condition.to(model.device), guidance, clip=not network.centred)
        found = dpmpp_2m(denoise, start[:, mine], alpha_bar, timesteps).cpu()
        figures[f"{name}_cc"], figures[f"{name}_psnr"] = _likeness(found, real)
        panels = [(condition, condition), (found, real), (real, real)]
        rows.append(torch.cat([stretched(colours(x), colours(like)) for x, like in panels], 2))
    return figures, torch.cat(rows, 1)


def _likeness(image: Tensor, real: Tensor) -> tuple[float, float]:
    """Mean correlation of the bands and PSNR in dB."""
    x, y = (v - v.mean((2, 3), keepdim=True) for v in (image, real))
    energy = ((x * x).sum((2, 3)) * (y * y).sum((2, 3))).sqrt()
    correlation = (x * y).sum((2, 3)) / energy.clamp(min=1e-9)
    error = (image - real).square().mean((1, 2, 3)).clamp(min=1e-12)
    peak = real.amax((1, 2, 3)) - real.amin((1, 2, 3))
    return float(correlation.mean()), float((10 * torch.log10(peak**2 / error)).mean())


def _noise(like: Tensor) -> Tensor:
    """Standard normal noise, always the same."""
    generator = torch.Generator().manual_seed(0)
    return torch.randn(like.shape, generator=generator).to(like.device)
