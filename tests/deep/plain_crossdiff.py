"""Weights, images and values of CrossDiff that need no file (spec §8.3)."""

from __future__ import annotations

from functools import lru_cache
from math import pi, prod, sqrt

import numpy as np
import torch
from scenes import Ground
from torch.nn import functional as F
from whetstone.engine.deep.crossdiff import CrossDiff

#: By (bands, noise): mean, deviation, first, middle and last element of what :func:`filled`
#: networks make of :func:`images` at t = 50. "reference" and "live" are residuals by wiring.
VALUES = {
    (4, "zero"): {
        "p2m h1": (0.03436289, 0.4340397, 0.03397425, 0.1902306, -0.164456),
        "p2m h2": (0.1107352, 0.8462181, 0.7937009, 0.9252012, -0.8146087),
        "p2m h3": (0.00398597, 0.770521, -0.613451, -0.5737995, 0.3820907),
        "p2m h4": (-0.05389744, 0.7941543, -0.4940536, -1.180316, 0.07460612),
        "p2m eps": (-0.009446362, 0.7069503, -0.3216027, 1.056609, -0.4226215),
        "m2p h1": (-0.03753524, 0.3600122, -0.05584223, -0.5537141, 0.03969583),
        "m2p h2": (0.1589833, 0.7366308, 0.001303841, -0.08005388, 0.6017105),
        "m2p h3": (-0.07951139, 0.7106202, 0.3372922, -0.2180087, 1.127812),
        "m2p h4": (0.04141919, 0.792897, -0.1230239, 0.2916733, 0.151503),
        "m2p eps": (0.8451036, 0.3315598, 0.3567939, 1.010618, -0.2039663),
        "reference": (-0.6133198, 1.73027, -0.08611764, -1.622944, 0.06017968),
        "live": (-1.013256, 2.006204, -0.1780437, -1.943976, -0.104177),
    },
    (4, "sin"): {
        "p2m h1": (0.03438159, 0.4515164, 0.05088665, -0.1429575, -0.09129042),
        "p2m h2": (0.1079626, 0.8432472, 0.7829135, 0.9542179, -0.5537461),
        "p2m h3": (0.00964454, 0.7690522, -0.6567529, -0.6413069, 0.396373),
        "p2m h4": (-0.05323437, 0.7891471, -0.4073263, -0.9421084, -0.07293696),
        "p2m eps": (-0.01489248, 0.7122041, -0.2900612, 1.1444, -0.3265218),
        "m2p h1": (-0.03754183, 0.3635148, -0.1251524, -0.4874137, 0.04599174),
        "m2p h2": (0.1586234, 0.7366429, 0.05119903, -0.07391524, 0.5928762),
        "m2p h3": (-0.07966923, 0.7109223, 0.2006876, -0.1068172, 1.216534),
        "m2p h4": (0.0408134, 0.7940318, -0.08801405, 0.4310732, 0.01459841),
        "m2p eps": (0.84504, 0.3349046, 0.3751738, 0.9460201, -0.2876184),
        "reference": (-0.6221852, 1.785267, -0.3888969, -2.047808, 0.1320325),
        "live": (-1.039589, 2.078772, -0.4650339, -2.244662, -0.1224793),
    },
    (8, "zero"): {
        "p2m h1": (-0.006097915, 0.3781612, 0.1517239, -0.03302675, -0.004625907),
        "p2m h2": (0.1018255, 0.7270367, 0.8340868, 0.4350597, 0.4454079),
        "p2m h3": (0.00749967, 0.7783785, -0.6134929, -0.5482338, -0.1152752),
        "p2m h4": (-0.06282857, 0.775185, -0.4380605, -1.119486, -0.5055429),
        "p2m eps": (-0.4200661, 0.6358684, -0.02621263, -0.6596555, -0.1821174),
        "m2p h1": (0.05494932, 0.3473023, 0.1959599, 0.04250722, -0.3303793),
        "m2p h2": (0.2204265, 0.7943209, -0.09982328, 0.3317738, 1.002334),
        "m2p h3": (-0.09643111, 0.7320217, 0.6440944, -0.3362663, 0.794528),
        "m2p h4": (0.03681032, 0.7818036, -0.06201352, 0.2049379, 0.1364427),
        "m2p eps": (0.6640575, 0.3355579, 0.08350145, 0.8529833, -0.1116585),
        "reference": (-0.7240244, 2.409891, -0.8055867, -3.645781, -3.371815),
        "live": (-0.6919032, 2.450498, -0.8485922, -3.093235, -3.532284),
    },
}


def hashed(stream, count):
    """U(k, stream) in [-1, 1) for k < count, float64."""
    mask = np.uint64(2**32 - 1)
    k = np.arange(count, dtype=np.uint64)
    h = ((k + np.uint64(1)) * np.uint64(2654435761) + np.uint64(stream * 1013904223)) & mask
    h ^= h >> np.uint64(15)
    h = (h * np.uint64(1274126177)) & mask
    h ^= h >> np.uint64(13)
    return 2 * h.astype(np.float64) / 2**32 - 1


def layers_of_unet(unet):
    """Its layers in the order of the spec's streams."""
    units = (*unet.down, *unet.up, unet.merge, unet.out)
    return [unet.time, unet.stem, *(m for unit in units for m in (unit.time, unit.norm, unit.conv))]


def layers_of_head(head):
    """Its layers in the order of the spec's streams."""
    found = []
    for block, attention in zip(head.block, head.attention):
        found += [block, attention.conv, attention.fc1, attention.fc2, attention.spatial]
    return [*found, head.block[3], head.conv1, head.conv2]


def filled(bands, dtype=torch.float64, **more):
    """A network with hash-filled weights."""
    network = CrossDiff(bands, **more).to(dtype)
    streams = [
        *enumerate(layers_of_unet(network.p2m), 1),
        *enumerate(layers_of_unet(network.m2p), 101),
        *enumerate(layers_of_head(network.head), 201),
    ]
    parameters = {id(p) for _, layer in streams for p in (layer.weight, layer.bias)}
    assert parameters == {id(p) for p in network.parameters()}
    with torch.no_grad():
        for stream, layer in streams:
            u = torch.tensor(hashed(stream, layer.weight.numel())).reshape(layer.weight.shape)
            many = u.ndim > 1
            layer.weight.copy_(u * sqrt(6 / prod(u.shape[1:])) if many else 1 + 0.2 * u)
            layer.bias.copy_(torch.tensor(0.1 * hashed(1000 + stream, layer.bias.numel())))
    return network


def images(bands, size=64, dtype=torch.float64):
    """(pan, lms, truth) of the spec's formula, in 0 to 1."""
    y, x = np.mgrid[:size, :size].astype(np.float64)
    turn = 2 * pi / size
    truth = [
        0.3
        + 0.05 * c
        + 0.1 * np.sin(turn * (x * (c + 1) + 2 * y))
        + 0.05 * np.cos(turn * (3 * y - x) * (c + 1))
        for c in range(bands)
    ]
    truth = torch.tensor(np.stack(truth))[None]
    pan = truth.mean(1, keepdim=True) + 0.02 * torch.sin(2 * pi * torch.tensor(x) / 5)
    lms = F.interpolate(F.avg_pool2d(truth, 4), scale_factor=4, mode="bicubic")
    return pan.to(dtype), lms.to(dtype), truth.to(dtype)


def waves(bands, size=64, dtype=torch.float64):
    """The spec's "sin-noise" of the bands and then of PAN, [1,C+1,N,N]."""
    y, x = np.mgrid[:size, :size].astype(np.float64)
    phase = 12.9898 * x + 78.233 * y
    each = [1.4 * np.sin(phase + shift) for shift in (*37.719 * np.arange(bands), 1.0)]
    return torch.tensor(np.stack(each))[None].to(dtype)


@lru_cache(maxsize=1)
def patches(side=32, number=64):
    """(PAN, MS) of a drawn ground, [number,1,side,side] and [number,4,side,side] in -1 to 1."""
    ground = Ground()
    at = np.arange(side * number) + 0.5, np.arange(side) + 0.5
    pan = np.tensordot(ground.weights, ground.seen(*at), 1)[None]
    both = np.concatenate([pan, ground.seen(*at, ratio=4)]) / 2047
    both = torch.tensor(2 * both - 1, dtype=torch.float32)
    both = both.unflatten(2, (number, side)).permute(2, 0, 1, 3)
    return both[:, :1], both[:, 1:]


def normal(*shape, seed=0, dtype=torch.float32):
    """Standard normal numbers."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)
