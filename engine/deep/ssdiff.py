"""The SSDiff network (Zhong et al., NeurIPS 2024): estimates the residual HRMS - LMS.

Two branches run side by side at three scales: the *spatial* one sees PAN, the *spectral* one LMS,
both see the noisy residual ``x_t``. At five levels alternating projection fusion (:class:`APFM`)
takes spatial detail over into the spectral branch, through a frequency modulation (:func:`fmim`)
that keeps the low frequencies of the spatial features out.
"""

from __future__ import annotations

from functools import lru_cache
from math import log, pi, sqrt

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..cards import STRIDES

#: Per level: the gain of the first half of the spectral channels, and what FMIM leaves of the
#: low frequencies of the spatial features (from the authors' code; the paper gives the gains).
GAINS = (1.2, 1.4, 1.6, 1.4, 1.2)
LOW_FREQUENCIES = (0.9, 0.6, 0.3, 0.6, 0.9)
TIME_FEATURES, TIME_WIDTH = 128, 512
HEAD_WIDTH = 16
NORM_GROUPS = 32
#: Two halvings of the grid: sides must be multiples of this (and of the ratio).
STRIDE = STRIDES["ssdiff"]


class SSDiff(nn.Module):
    """The whole network.

    Args:
        bands: Number of MS bands C.
        ratio: PAN pixels per MS pixel: 2, 3 or 4.
        width: Channels at full resolution, a multiple of 32.
        share_resample: Whether both branches use the same down- and up-sampling blocks, as the
            authors' code does (1.30 M parameters at C = 8); the paper gives each its own (1.42 M).
    """

    def __init__(
        self, bands: int, ratio: int = 4, width: int = 32, share_resample: bool = False
    ) -> None:
        super().__init__()
        if width % NORM_GROUPS or bands < 1 or ratio < 1:
            raise ValueError(f"bands {bands}, ratio {ratio} and width {width} do not fit")
        self.bands, self.ratio, self.width = bands, ratio, width
        self.share_resample = share_resample
        widths = (width, 2 * width, 4 * width, 2 * width, width)
        self.lr_up = PixelShuffleUp(bands, ratio)
        self.time_mlp = TimeMLP()
        self.spa_stem = Stem(bands + 1, width)
        self.spe_stem = Stem(2 * bands, width)
        self.apfm = nn.ModuleList(APFM(d) for d in widths)
        self.res = nn.ModuleList(ResBlock(d) for d in widths[:4])
        self.down, self.up = _resamplers(width)
        self.spatial_down: nn.ModuleList | None = None
        self.spatial_up: nn.ModuleList | None = None
        if not share_resample:
            self.spatial_down, self.spatial_up = _resamplers(width)
        self.head = Head(width, bands)
        for block in (self.spa_stem, self.spe_stem, *self.res):
            nn.init.zeros_(block.out.weight)
            nn.init.zeros_(block.out.bias)

    def forward(
        self, pan: Tensor, lms: Tensor, ms: Tensor, x_t: Tensor, timesteps: Tensor
    ) -> Tensor:
        """The residual estimate, [B,C,H,W], in the units of the inputs (nominally 0 to 1).

        Args:
            pan: [B,1,H,W]
            lms: MS interpolated to the PAN grid, [B,C,H,W]
            ms: [B,C,H/r,W/r]
            x_t: The noisy residual, [B,C,H,W]
            timesteps: [B], 0 to 999 as in training, never an index of a respaced schedule.
        """
        down, up = self.down, self.up
        y_down, y_up = self.spatial_down or down, self.spatial_up or up
        e = self.time_mlp(timesteps)  # [B,512]
        y = self.spa_stem(torch.cat([pan, x_t], 1), e)  # [B,d,H,W]
        x = self.spe_stem(torch.cat([lms, x_t], 1), e)

        x = x_full = self._fuse(0, x, y)
        y = y_full = self.res[0](y, e)
        x, y = down[0](x), y_down[0](y)  # [B,2d,H/2,W/2]
        x = x_half = self._fuse(1, x, y)
        y = y_half = self.res[1](y, e)
        x, y = down[1](x), y_down[1](y)  # [B,4d,H/4,W/4]
        x = up[0](self._fuse(2, x, y), x_half)
        y = y_up[0](self.res[2](y, e), y_half)
        x = up[1](self._fuse(3, x, y), x_full)
        y = y_up[1](self.res[3](y, e), y_full)
        x = self._fuse(4, x, y)
        return self.head(x) + self.lr_up(ms)

    def _fuse(self, level: int, x: Tensor, y: Tensor) -> Tensor:
        """Gain on the spectral stream, then APFM with the modulated spatial stream."""
        half = x.shape[1] // 2
        x = torch.cat([x[:, :half] * GAINS[level], x[:, half:]], 1)
        return self.apfm[level](x, fmim(y, LOW_FREQUENCIES[level]))

    def branches(self) -> dict[str, list[str]]:
        """Parameter names by branch: "spatial", "spectral", "common" (spec §4.3, for L-BAF)."""
        found: dict[str, list[str]] = {"spatial": [], "spectral": [], "common": []}
        for name, _ in self.named_parameters():
            part = name.split(".")[0]
            if part in ("spa_stem", "res", "spatial_down", "spatial_up"):
                branch = "spatial"
            elif part == "apfm":
                branch = "spatial" if name.split(".")[2] in ("t_a", "t_b") else "spectral"
            elif part == "time_mlp" or (self.share_resample and part in ("down", "up")):
                branch = "common"
            else:
                branch = "spectral"
            found[branch].append(name)
        return found


def _resamplers(width: int) -> tuple[nn.ModuleList, nn.ModuleList]:
    """One branch's way down (two blocks) and up again."""
    return (
        nn.ModuleList([Down(width), Down(2 * width)]),
        nn.ModuleList([Up(2 * width), Up(width)]),
    )


class TimeMLP(nn.Module):
    """Sinusoids of the timestep through two linear layers: [B] -> [B,512]."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1 = nn.Linear(TIME_FEATURES, TIME_WIDTH)
        self.fc2 = nn.Linear(TIME_WIDTH, TIME_WIDTH)

    def forward(self, timesteps: Tensor) -> Tensor:
        """Embed; float32 whatever the precision around it."""
        return self.fc2(F.silu(self.fc1(time_features(timesteps))))


def time_features(timesteps: Tensor) -> Tensor:
    """[cos(t f_0..f_63), sin(t f_0..f_63)] with f_i = 10000^(-i/64): [B] -> [B,128]."""
    half = TIME_FEATURES // 2
    index = torch.arange(half, dtype=torch.float32, device=timesteps.device)
    phase = timesteps.float()[:, None] * torch.exp(-log(10000.0) / half * index)
    return torch.cat([phase.cos(), phase.sin()], 1)


class Stem(nn.Module):
    """Condition and noisy residual to features. The last convolution starts at zero; no skip."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, width, 3, padding=1)
        self.time = nn.Linear(TIME_WIDTH, width)
        self.norm = nn.BatchNorm2d(width)
        self.out = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor, e: Tensor) -> Tensor:
        """[B,channels,H,W], [B,512] -> [B,width,H,W]."""
        h = self.conv(x) + self.time(F.silu(e))[:, :, None, None]
        return self.out(F.silu(self.norm(h.float())))


class ResBlock(nn.Module):
    """Residual block of the spatial branch, with a bottleneck of half the width."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width // 2, 3, padding=1)
        self.conv2 = nn.Conv2d(width // 2, width, 3, padding=1)
        self.time = nn.Linear(TIME_WIDTH, width)
        self.norm = nn.GroupNorm(NORM_GROUPS, width)
        self.out = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, y: Tensor, e: Tensor) -> Tensor:
        """[B,D,H,W], [B,512] -> [B,D,H,W]."""
        h = self.conv2(F.leaky_relu(self.conv1(y))) + self.time(F.silu(e))[:, :, None, None]
        return y + self.out(F.silu(self.norm(h.float())))


class APFM(nn.Module):
    """Alternating projection fusion: spatial attention times a spectral projection (spec §2.5).

    Scale and orientation of the spectral projection follow the authors' code, not the paper.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.t_a, self.t_b, self.t_c, self.t_d = (
            nn.Linear(width, width, bias=False) for _ in range(4)
        )
        self.proj = nn.Linear(width, width)
        self.ff_norm = nn.LayerNorm(width)
        self.ff1 = nn.Linear(width, width // 2)
        self.ff2 = nn.Linear(width // 2, width)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Spectral x and modulated spatial y, both [B,D,H,W] -> [B,D,H,W]."""
        tokens = x.flatten(2).transpose(1, 2)  # [B,n,D]
        tokens = tokens + self.attend(tokens, y.flatten(2).transpose(1, 2))
        hidden = F.leaky_relu(self.ff1(self.ff_norm(tokens.float())))
        tokens = tokens + self.ff2(hidden)
        return tokens.transpose(1, 2).unflatten(2, x.shape[2:])

    def attend(self, x: Tensor, y: Tensor) -> Tensor:
        """The fused projections of tokens [B,n,D], before the residual."""
        x, y = self.norm(x.float()), self.norm(y.float())  # one norm for both
        a, b, c, d = (
            part.unflatten(2, (-1, HEAD_WIDTH)).transpose(1, 2)  # [B,heads,n,16]
            for part in (self.t_a(y), self.t_b(y), self.t_c(x), self.t_d(x))
        )
        spatial = F.scaled_dot_product_attention(a, b, c)
        with torch.autocast(x.device.type, enabled=False):
            gram = c.float().transpose(2, 3) @ d.float()  # [B,heads,16,16]
            mix = torch.softmax(gram * (sqrt(HEAD_WIDTH) / x.shape[1]), dim=3)
        fused = spatial * (a @ mix.to(a.dtype))
        return self.proj(fused.transpose(1, 2).flatten(2))


def fmim(y: Tensor, low: float) -> Tensor:
    """Frequency modulation: what lies in the 2x2 lowest bins of the spectrum shrinks to ``low``.

    The exact equivalent of masking the shifted FFT and taking the real part (spec §2.6), as a
    projection on seven cosine and sine images. y: [B,D,H,W].
    """
    basis = _low_frequencies(y.shape[2], y.shape[3], y.device)  # [7,HW]
    with torch.autocast(y.device.type, enabled=False):
        flat = y.flatten(2).float()
        part = (flat @ basis.T) @ basis
        return (flat - (1 - low) * part).unflatten(2, y.shape[2:]).to(y.dtype)


@lru_cache(maxsize=32)
@torch.inference_mode(False)  # what inference makes first, training must be able to use
def _low_frequencies(height: int, width: int, device: torch.device) -> Tensor:
    """1, and cosine and sine of one cycle along rows, columns and the diagonal, over sqrt(HW)."""
    rows = torch.arange(height, dtype=torch.float64)[:, None] / height
    cols = torch.arange(width, dtype=torch.float64) / width
    images = [torch.ones(height, width, dtype=torch.float64)]
    for k, j in ((1, 0), (0, 1), (1, 1)):
        angle = 2 * pi * (k * rows + j * cols)
        images += [angle.cos(), angle.sin()]
    stack = torch.stack(images).flatten(1) / sqrt(height * width)
    return stack.float().to(device)


class Down(nn.Module):
    """[B,D,H,W] -> [B,2D,H/2,W/2]."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(width, width, 2, stride=2)
        self.pw = nn.Conv2d(width, 2 * width, 1)
        self.dw = nn.Conv2d(2 * width, 2 * width, 3, padding=1, groups=2 * width)

    def forward(self, x: Tensor) -> Tensor:
        """Halve the grid, double the channels."""
        return F.leaky_relu(self.dw(self.pw(F.leaky_relu(self.squeeze(x)))))


class Up(nn.Module):
    """[B,2D,H,W] and the skip [B,D,2H,2W] -> [B,D,2H,2W]."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.deconv = nn.ConvTranspose2d(2 * width, width, 2, stride=2)
        self.conv = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """Double the grid, add the skip."""
        return F.leaky_relu(self.conv(F.leaky_relu(self.deconv(x)) + skip))


class Head(nn.Module):
    """Features to bands."""

    def __init__(self, width: int, bands: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1)
        self.conv2 = nn.Conv2d(width, bands, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """[B,d,H,W] -> [B,C,H,W]."""
        return self.conv2(F.leaky_relu(self.conv1(x)))


class PixelShuffleUp(nn.Module):
    """The learned enlargement of the MS that is added to the output."""

    def __init__(self, bands: int, ratio: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(bands, bands * ratio**2, 3, padding=1, bias=False)
        self.ratio = ratio

    def forward(self, ms: Tensor) -> Tensor:
        """[B,C,h,w] -> [B,C,rh,rw]."""
        return F.pixel_shuffle(self.conv(ms), self.ratio)


def objective(residual: Tensor, truth: Tensor) -> Tensor:
    """The loss of both training stages: mean absolute error of the residual, unweighted in t."""
    return F.l1_loss(residual.float(), truth)
