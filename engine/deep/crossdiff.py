"""The CrossDiff networks (Xing et al., IEEE TIP 2024, second generation of the authors' code).

Two U-Nets learn without ground truth to predict one modality from the other: ``p2m`` denoises the
MS with PAN as its condition, ``m2p`` the PAN with the MS. For fusion only their encoders are run,
once each on an image with the noise of a small timestep, and a *fusion head* turns the features of
both into the residual HRMS - LMS.
"""

from __future__ import annotations

from math import sqrt
from typing import TYPE_CHECKING, Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..cards import STRIDES
from .samplers import x0_from_eps
from .schedule import TIMESTEPS, cosine
from .statistics import ChannelMean, GroupNorm

if TYPE_CHECKING:
    from .samplers import Denoiser

#: Channels at full, half, quarter and eighth resolution as published.
WIDTHS = (32, 64, 128, 256)
TIME_FEATURES, TIME_WIDTH = 32, 256
#: Three halvings of the grid: sides must be multiples of this.
STRIDE = STRIDES["crossdiff"]
#: PAN pixels beyond a window that its pixels depend on, if it begins at a multiple of STRIDE.
REACH = 32
FEATURE_TIMESTEPS = (50,)
FINEST_LEVELS = ("live", "reference")
GATES = ("leaky", "sigmoid")


class CrossDiff(nn.Module):
    """Both U-Nets and the head.

    Args:
        bands: Number of MS bands C.
        timesteps: Timesteps (1 to 1000) at which features are taken.
        finest_level: "live" lets features at full resolution reach the image; "reference" computes
            and drops them as the authors' code does.
        gate: Of the head's attention: "leaky" as in the authors' code, or "sigmoid".
        centred: Whether images have mean 0 already. Otherwise they lie in 0 to 1, and the U-Nets
            see ``2 v - 1``.
        width: Channels at full resolution, a multiple of 4; 32 as published.
    """

    def __init__(
        self,
        bands: int,
        timesteps: Sequence[int] = FEATURE_TIMESTEPS,
        finest_level: str = "live",
        gate: str = "leaky",
        centred: bool = False,
        width: int = WIDTHS[0],
    ) -> None:
        super().__init__()
        good = bands >= 1 and timesteps and all(1 <= t <= TIMESTEPS for t in timesteps)
        if (
            not good
            or width < 4
            or width % 4
            or finest_level not in FINEST_LEVELS
            or gate not in GATES
        ):
            raise ValueError(
                f"bands {bands}, timesteps {timesteps}, finest_level {finest_level!r}, gate "
                f"{gate!r} and width {width} do not fit"
            )
        self.bands, self.timesteps, self.centred = bands, tuple(timesteps), centred
        self.p2m = UNet(bands, 1, width)
        self.m2p = UNet(1, bands, width)
        self.head = FusionHead(bands, len(self.timesteps), finest_level, gate, width)
        alpha_bar = cosine(TIMESTEPS)
        self._kept = [float(alpha_bar[t - 1]) for t in self.timesteps]

    def forward(self, pan: Tensor, lms: Tensor, noise: Sequence[Tensor] | None = None) -> Tensor:
        """The sharpened image, [B,C,H,W], in the units of the inputs; no decoder is run.

        Args:
            pan: [B,1,H,W], H and W multiples of 8
            lms: MS interpolated to the PAN grid, [B,C,H,W]
            noise: Per feature timestep standard normal noise of the bands and then of PAN,
                [B,C+1,H,W]; None for none.
        """
        return self.head(lms, *self.features(pan, lms, noise))

    def features(
        self, pan: Tensor, lms: Tensor, noise: Sequence[Tensor] | None = None
    ) -> tuple[list[list[Tensor]], list[list[Tensor]]]:
        """Encoder features of ``p2m`` and of ``m2p``: per timestep a list of four levels."""
        pan, ms = self.signed(pan), self.signed(lms)
        noisy_pan, noisy_ms = [], []
        for number, kept in enumerate(self._kept):
            noisy_pan.append(sqrt(kept) * pan)
            noisy_ms.append(sqrt(kept) * ms)
            if noise is not None:
                noisy_pan[-1] = noisy_pan[-1] + sqrt(1 - kept) * noise[number][:, self.bands :]
                noisy_ms[-1] = noisy_ms[-1] + sqrt(1 - kept) * noise[number][:, : self.bands]
        # all timesteps go through the encoders as one batch, one after the other
        count = len(self.timesteps)
        t = torch.tensor(self.timesteps, device=pan.device, dtype=torch.float32)
        t = t.repeat_interleave(len(pan))
        of_p2m = self.p2m.encode(torch.cat(noisy_ms), t, torch.cat([pan] * count))
        of_m2p = self.m2p.encode(torch.cat(noisy_pan), t, torch.cat([ms] * count))
        return _by_timestep(of_p2m, count), _by_timestep(of_m2p, count)

    def signed(self, image: Tensor) -> Tensor:
        """An image as the U-Nets see it."""
        return image if self.centred else 2 * image - 1


def _by_timestep(levels: list[Tensor], count: int) -> list[list[Tensor]]:
    """Levels of a batch of all timesteps as lists over timesteps of lists over levels."""
    return [list(parts) for parts in zip(*(level.chunk(count) for level in levels))]


class UNet(nn.Module):
    """Estimates the noise in ``x_t`` with the other modality as its condition.

    Args:
        bands: Of the image that is denoised.
        condition_bands: Of the condition.
        width: Channels at full resolution.
    """

    def __init__(self, bands: int, condition_bands: int, width: int = WIDTHS[0]) -> None:
        super().__init__()
        self.bands = bands
        both, (a, b, c, d) = bands + condition_bands, _widths(width)
        self.time = nn.Linear(TIME_FEATURES, TIME_WIDTH)
        self.stem = nn.Conv2d(both, a, 3, padding=1)
        self.down = nn.ModuleList(Unit(n, _halve(n, 2 * n), a) for n in (a, b, c))
        self.up = nn.ModuleList(
            [
                Unit(d, _double(d, c), a),
                Unit(c, _double(2 * c, b), a),
                Unit(b, _double(2 * b, a), a),
            ]
        )
        self.merge = Unit(a, nn.Conv2d(2 * a, a, 3, padding=1), a)
        self.out = Unit(a, nn.Conv2d(a + both, bands, 3, padding=1), a)
        _orthogonal(self)

    def forward(self, x_t: Tensor, timesteps: Tensor, condition: Tensor) -> Tensor:
        """The noise, like ``x_t``.

        Args:
            x_t: [B,bands,H,W], H and W multiples of 8
            timesteps: [B] or [1], 1 to 1000
            condition: [B,condition_bands,H,W]; zeros for none
        """
        e = self.embed(timesteps)
        h1, h2, h3, h4 = self.encode(x_t, timesteps, condition)
        u = self.up[0](h4, e)
        u = self.up[1](u, e, h3)
        u = self.up[2](u, e, h2)
        u = self.merge(u, e, h1)
        eps: Tensor = self.out(u, e, x_t, condition)
        return eps

    def encode(self, x_t: Tensor, timesteps: Tensor, condition: Tensor) -> list[Tensor]:
        """The encoder's levels: as published [B,32,H,W], [B,64,H/2,W/2] ... [B,256,H/8,W/8]."""
        if any(side % STRIDE for side in x_t.shape[-2:]):
            raise ValueError(f"sides {tuple(x_t.shape[-2:])} are no multiples of {STRIDE}")
        e = self.embed(timesteps)
        levels = [self.stem(torch.cat([x_t, condition], 1))]
        for unit in self.down:
            levels.append(unit(levels[-1], e))
        return levels

    def embed(self, timesteps: Tensor) -> Tensor:
        """Sinusoids of the timesteps through a linear layer: [B] -> [B,256]."""
        return F.silu(self.time(time_features(timesteps.to(self.time.weight.dtype))))


def time_features(timesteps: Tensor) -> Tensor:
    """[cos(t f_0..f_15), sin(t f_0..f_15)] with f_k = 10000^(-k/16): [B] floats -> [B,32]."""
    half = TIME_FEATURES // 2
    index = torch.arange(half, dtype=timesteps.dtype, device=timesteps.device)
    phase = timesteps[:, None] * 10000 ** (-index / half)
    return torch.cat([phase.cos(), phase.sin()], 1)


def _widths(width: int) -> tuple[int, int, int, int]:
    """Channels at full, half, quarter and eighth resolution."""
    return width, 2 * width, 4 * width, 8 * width


class Unit(nn.Module):
    """SiLU(GroupNorm(x + time)), skips put beside it, and a convolution.

    At full resolution there are 4 groups, elsewhere ``width`` of them.
    """

    def __init__(
        self, channels: int, conv: nn.Conv2d | nn.ConvTranspose2d, width: int = WIDTHS[0]
    ) -> None:
        super().__init__()
        self.time = nn.Linear(TIME_WIDTH, channels)
        self.norm = GroupNorm(4 if channels == width else width, channels)
        self.conv = conv

    def forward(self, x: Tensor, e: Tensor, *skips: Tensor) -> Tensor:
        """[B,channels,H,W] and skips of the same grid; [B or 1,256]."""
        x = F.silu(self.norm(x, self.time(e)))
        return self.conv(torch.cat([x, *skips], 1) if skips else x)


def _halve(channels: int, out: int) -> nn.Conv2d:
    return nn.Conv2d(channels, out, 3, stride=2, padding=1)


def _double(channels: int, out: int) -> nn.ConvTranspose2d:
    return nn.ConvTranspose2d(channels, out, 3, stride=2, padding=1, output_padding=1)


class FusionHead(nn.Module):
    """Features of both encoders to the residual, from the coarsest level to the finest."""

    def __init__(
        self, bands: int, timesteps: int, finest_level: str, gate: str, width: int
    ) -> None:
        super().__init__()
        self.finest_level = finest_level
        widths = [2 * own for own in reversed(_widths(width))]  # 512, 256, 128, 64 as published
        self.block = nn.ModuleList(nn.Conv2d(timesteps * w, w, 3, padding=1) for w in widths)
        self.attention = nn.ModuleList(Attention(a, b, gate) for a, b in zip(widths, widths[1:]))
        self.conv1 = nn.Conv2d(widths[-1], width, 3, padding=1)
        self.conv2 = nn.Conv2d(width, bands, 3, padding=1)
        _orthogonal(self)

    def add_nothing(self) -> None:
        """Start from the image that the residual is added to, which may be a good one."""
        with torch.no_grad():
            for parameter in self.conv2.parameters():
                parameter.zero_()

    def forward(
        self,
        ms_up: Tensor,
        features_p2m: Sequence[Sequence[Tensor]],
        features_m2p: Sequence[Sequence[Tensor]],
    ) -> Tensor:
        """``ms_up`` [B,C,H,W] plus the residual; features are lists over timesteps of levels."""

        def fused(level: int) -> Tensor:
            parts = [f[level] for features in (features_p2m, features_m2p) for f in features]
            return F.leaky_relu(self.block[3 - level](torch.cat(parts, 1)))

        x = self.attention[0](fused(3))
        x = self.attention[1](fused(2) + x)
        x = self.attention[2](fused(1) + x)
        if self.finest_level == "live":
            x = fused(0) + x
        residual = self.conv2(F.leaky_relu(self.conv1(x)))
        return ms_up + residual.to(ms_up.dtype)


class Attention(nn.Module):
    """A convolution, channel and spatial gates (scSE), and twice the grid.

    "leaky" gates are unbounded as in the authors' code; those of the scSE paper are sigmoids.
    """

    def __init__(self, channels: int, out: int, gate: str) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, out, 3, padding=1)
        self.mean = ChannelMean()
        self.fc1 = nn.Linear(out, out // 2)
        self.fc2 = nn.Linear(out // 2, out)
        self.spatial = nn.Conv2d(out, 1, 1)
        self._gate = F.leaky_relu if gate == "leaky" else torch.sigmoid

    def forward(self, x: Tensor) -> Tensor:
        """[B,channels,H,W] -> [B,out,2H,2W]."""
        y = F.leaky_relu(self.conv(x))
        of_channel = self._gate(self.fc2(F.relu(self.fc1(self.mean(y)))))[:, :, None, None]
        y = y * (of_channel.to(y.dtype) + self._gate(self.spatial(y)))
        return F.interpolate(y, scale_factor=2, mode="nearest")


def _orthogonal(network: nn.Module) -> None:
    """The authors' initialisation; the last convolutions, too, so that nothing starts at zero."""
    for layer in network.modules():
        if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)):
            nn.init.orthogonal_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def noise_objective(eps: Tensor, noise: Tensor) -> Tensor:
    """The loss of pre-training: mean squared error of the noise, unweighted in t."""
    return F.mse_loss(eps.float(), noise)


def dropped(condition: Tensor, keep: Tensor) -> Tensor:
    """The condition, zero where ``keep`` [B] is False: what guidance is learnt from."""
    return condition * keep.to(condition.dtype)[:, None, None, None]


def guided(
    network: Callable[[Tensor, Tensor, Tensor], Tensor],
    condition: Tensor,
    weight: float,
    clip: bool = True,
) -> Denoiser:
    """A U-Net as samplers ask it, with classifier-free guidance.

    The noise is ``(1 + weight) eps(x, t, condition) - weight eps(x, t, 0)``.

    Args:
        network: :class:`UNet`
        condition: [B,condition_bands,H,W]
        weight: 0 for none.
        clip: Whether x0 lies in -1 to 1.
    """
    alpha_bar = cosine(TIMESTEPS)

    def denoise(x: Tensor, timestep: int) -> Tensor:
        t = torch.full((len(x),), timestep + 1.0, device=x.device)  # ours count from 0
        eps = network(x, t, condition)
        if weight:
            eps = (1 + weight) * eps - weight * network(x, t, torch.zeros_like(condition))
        x0 = x0_from_eps(x, eps.float(), alpha_bar, timestep)
        return x0.clamp(-1, 1) if clip else x0

    return denoise
