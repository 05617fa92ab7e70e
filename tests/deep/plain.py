"""The yardsticks: SSDiff in its plain form, weights and inputs that need no file (spec §8.3)."""

from __future__ import annotations

from contextlib import contextmanager
from math import prod, sqrt

import numpy as np
import torch
from torch import nn
from whetstone.engine.deep import ssdiff


def hashed(number, shape):
    """u in [0, 1) for every element of tensor ``number``, float64."""
    mask = np.uint64(2**32 - 1)
    j = np.arange(prod(shape), dtype=np.uint64)
    x = (
        np.uint64(2654435761) * j + np.uint64(2246822519) * np.uint64(number) + np.uint64(374761393)
    ) & mask
    for shift, factor in ((15, 2246822519), (13, 3266489917), (16, 1)):
        x ^= x >> np.uint64(shift)
        x = (x * np.uint64(factor)) & mask
    return (x.astype(np.float64) / 2**32).reshape(shape)


def uniform(number, shape, low=0.0, high=1.0, dtype=torch.float32):
    """An input tensor, U(low, high)."""
    return torch.tensor(low + (high - low) * hashed(number, shape), dtype=dtype)


def numbered(network):
    """(tensor number, parameter) of every parameter of the spec's table; copies share numbers."""

    def weights(module):
        return [module.weight, module.bias]

    blocks = {0: [network.lr_up.conv.weight]}
    blocks[1] = [*weights(network.time_mlp.fc1), *weights(network.time_mlp.fc2)]
    for start, stem in ((5, network.spa_stem), (13, network.spe_stem)):
        blocks[start] = [p for m in (stem.conv, stem.time, stem.norm, stem.out) for p in weights(m)]
    for k, apfm in enumerate(network.apfm):
        blocks[21 + 14 * k] = [
            *weights(apfm.norm),
            *(m.weight for m in (apfm.t_a, apfm.t_b, apfm.t_c, apfm.t_d)),
            *(p for m in (apfm.proj, apfm.ff_norm, apfm.ff1, apfm.ff2) for p in weights(m)),
        ]
    for k, res in enumerate(network.res):
        blocks[111 + 10 * k] = [
            p for m in (res.conv1, res.conv2, res.time, res.norm, res.out) for p in weights(m)
        ]
    blocks[151] = [*weights(network.head.conv1), *weights(network.head.conv2)]
    pairs = [(start + i, p) for start, block in blocks.items() for i, p in enumerate(block)]
    for downs, ups in (
        (network.down, network.up),
        (network.spatial_down or (), network.spatial_up or ()),
    ):
        for k, down in enumerate(downs):
            block = [p for m in (down.squeeze, down.pw, down.dw) for p in weights(m)]
            pairs += [(91 + 6 * k + i, p) for i, p in enumerate(block)]
        for k, up in enumerate(ups):
            block = [p for m in (up.deconv, up.conv) for p in weights(m)]
            pairs += [(103 + 4 * k + i, p) for i, p in enumerate(block)]
    return pairs


def filled(bands=8, share_resample=True, **more):
    """A network with hash-filled weights, in eval mode."""
    network = ssdiff.SSDiff(bands, share_resample=share_resample, **more)
    norms = {
        id(m.weight)
        for m in network.modules()
        if isinstance(m, (nn.BatchNorm2d, nn.GroupNorm, nn.LayerNorm))
    }
    transposed = {id(m.weight) for m in network.modules() if isinstance(m, nn.ConvTranspose2d)}
    pairs = numbered(network)
    assert {id(p) for _, p in pairs} == {id(p) for p in network.parameters()}
    with torch.no_grad():
        for number, p in pairs:
            u = hashed(number, tuple(p.shape))
            if p.ndim > 1:
                fan_in = p.shape[0] if id(p) in transposed else prod(p.shape[1:])
                value = (2 * u - 1) * sqrt(3 / fan_in)
            else:
                value = 1 + 0.2 * (2 * u - 1) if id(p) in norms else 0.1 * (2 * u - 1)
            p.copy_(torch.tensor(value))
    return network.eval()


def inputs(bands=8, size=64, batch=1, first=1000):
    """(pan, lms, ms, x_t) of check A; crop them for others."""
    shape = (batch, bands, size, size)
    return (
        uniform(first + 1, (batch, 1, size, size)),
        uniform(first, shape),
        uniform(first + 2, (batch, bands, size // 4, size // 4)),
        uniform(first + 3, shape, -sqrt(3), sqrt(3)),
    )


def fft_fmim(y, low):
    """Frequency modulation by a masked, shifted FFT."""
    height, width = y.shape[-2:]
    mask = torch.ones(height, width, dtype=y.dtype)
    mask[height // 2 - 1 : height // 2 + 1, width // 2 - 1 : width // 2 + 1] = low
    spectrum = torch.fft.fftshift(torch.fft.fft2(y), dim=(-2, -1)) * mask
    return torch.fft.ifft2(torch.fft.ifftshift(spectrum, dim=(-2, -1))).real


def softmax_attention(a, b, c):
    """Attention with the whole score matrix in memory."""
    return torch.softmax(a @ b.transpose(2, 3) / sqrt(a.shape[-1]), dim=-1) @ c


@contextmanager
def plain_form():
    """SSDiff with explicit softmax and FFT, as published."""
    fused, projected = ssdiff.F.scaled_dot_product_attention, ssdiff.fmim
    ssdiff.F.scaled_dot_product_attention = softmax_attention
    ssdiff.fmim = fft_fmim
    try:
        yield
    finally:
        ssdiff.F.scaled_dot_product_attention, ssdiff.fmim = fused, projected
