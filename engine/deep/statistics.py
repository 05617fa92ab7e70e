"""Statistics of the whole image inside a network: of its input, or frozen for a scene.

A group norm and a channel gate look at all pixels they are given, so windows of a scene come out
differently than the scene. :func:`learn` pools what such layers see over sample windows of a scene,
layer by layer, and freezes it: then every window is treated like the whole scene, and what is left
is convolutions, whose windows join exactly.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import Callable, Iterable, Iterator, Mapping, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

#: Of the names of frozen moments beside weights.
_PREFIX = "frozen_"


class Moments(NamedTuple):
    """Mean and variance of every channel, each [B or 1, C], float32 or float64."""

    mean: Tensor
    variance: Tensor


class Statistic(nn.Module):
    """What :class:`GroupNorm` and :class:`ChannelMean` share: where their moments come from."""

    frozen: Moments | None = None
    _recorder: _Recorder | None = None

    def move(self, device: torch.device) -> None:
        """Take what is frozen to a device."""
        if self.frozen is not None:
            self.frozen = Moments(*(values.to(device) for values in self.frozen))

    def moments(self, x: Tensor) -> Moments:
        """The moments to use for x [B,C,H,W]."""
        if self.frozen is not None:
            return self.frozen
        if self._recorder is not None:
            self._recorder.add(self, x)
        variance, mean = torch.var_mean(_wide(x), (2, 3), correction=0)
        return Moments(mean, variance)


class GroupNorm(Statistic):
    """Group normalisation of ``x + shift``, where ``shift`` is a constant per channel."""

    def __init__(self, groups: int, channels: int) -> None:
        super().__init__()
        self.groups, self.eps = groups, 1e-5
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor, shift: Tensor) -> Tensor:
        """[B,C,H,W], [B or 1,C] -> [B,C,H,W]."""
        if self.frozen is None and self._recorder is None:
            moved = _wide(x) + _wide(shift)[:, :, None, None]
            return F.group_norm(moved, self.groups, self.weight, self.bias, self.eps)
        mean, variance = self.moments(x)
        mean = (mean + _wide(shift)).unflatten(1, (self.groups, -1))  # [B,G,C/G]
        between = mean.var(2, correction=0, keepdim=True)
        spread = variance.unflatten(1, (self.groups, -1)).mean(2, keepdim=True) + between
        scale = self.weight.unflatten(0, (self.groups, -1)) * (spread + self.eps).rsqrt()
        offset = (_wide(shift) - mean.mean(2, keepdim=True).expand_as(mean).flatten(1)) * (
            scale := scale.flatten(1)
        ) + self.bias
        scale, offset = (v.to(x.dtype)[:, :, None, None] for v in (scale, offset))
        return torch.addcmul(offset, x, scale)


def _wide(x: Tensor) -> Tensor:
    """x in float32 at least."""
    return x if x.dtype == torch.float64 else x.float()


class ChannelMean(Statistic):
    """The mean of every channel: [B,C,H,W] -> [B or 1,C], in float32 at least."""

    def forward(self, x: Tensor) -> Tensor:
        """Of x, or of the scene."""
        return self.moments(x).mean


def statistics(network: nn.Module) -> list[Statistic]:
    """The layers of a network whose results depend on the whole image."""
    return [layer for layer in network.modules() if isinstance(layer, Statistic)]


def frozen_tensors(network: nn.Module) -> dict[str, Tensor]:
    """What a network is frozen at, by names as in a state dict."""
    return {
        f"{name}.{_PREFIX}{kind}": values
        for name, layer in network.named_modules()
        if isinstance(layer, Statistic) and layer.frozen is not None
        for kind, values in zip(Moments._fields, layer.frozen)
    }


def freeze_at(network: nn.Module, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Freeze a network at what :func:`frozen_tensors` gave; returns the other tensors."""
    layers = {n: layer for n, layer in network.named_modules() if isinstance(layer, Statistic)}
    found: dict[str, dict[str, Tensor]] = {}
    rest = {}
    for name, values in tensors.items():
        owner, dot, kind = name.rpartition(f".{_PREFIX}")
        if dot and owner in layers:
            found.setdefault(owner, {})[kind] = values
        else:
            rest[name] = values
    for owner, parts in found.items():
        if set(parts) == set(Moments._fields):
            layers[owner].frozen = Moments(**parts)
    return rest


@contextmanager
def unfrozen(network: nn.Module) -> Iterator[None]:
    """Let a network take the statistics of its own input meanwhile."""
    layers = statistics(network)
    kept = [layer.frozen for layer in layers]
    for layer in layers:
        layer.frozen = None
    try:
        yield
    finally:
        for layer, frozen in zip(layers, kept):
            layer.frozen = frozen


@torch.no_grad()
def learn(
    network: nn.Module, windows: Callable[[], Iterable[tuple[Tensor, Callable[[], object]]]]
) -> None:
    """Freeze the statistics that a network, or a part of one, sees in a scene.

    Layers are learnt in the order in which they are reached, each over all windows and behind
    layers that are frozen already, so that the result is what one pass over the whole scene sees.

    Args:
        network: With :class:`Statistic` layers.
        windows: Makes (weights, run) of every sample window, anew for each layer: weights [1,1,H,W]
            of its pixels (0 for those that do not count), and a function that runs the network on
            it. Samples of a batch, such as the window at several timesteps, are kept apart.
    """
    layers = statistics(network)
    for layer in layers:
        layer.frozen = None
    for _ in layers:
        recorder = _Recorder()
        for layer in layers:
            layer._recorder = recorder
        try:
            for recorder.weights, run in windows():
                try:
                    run()
                except _Enough:
                    continue
                return  # the rest is never reached, like the decoders in CrossDiff's forward
        finally:
            for layer in layers:
                layer._recorder = None
        recorder.freeze()


class _Enough(Exception):
    """The layer that is being learnt has seen the window."""


class _Recorder:
    """Moments over the windows at the first layer that is not frozen yet."""

    def __init__(self) -> None:
        self.weights = torch.empty(0)
        self._layer: Statistic | None = None
        self._like = torch.empty(0)
        self._sums = torch.zeros(
            3, 1, 1, dtype=torch.float64
        )  # of weights, values and their squares

    def add(self, layer: Statistic, x: Tensor) -> None:
        """Add a window and stop the pass.

        Its sums are taken about its own mean, since float32 would lose a small deviation under a
        large mean, and joined in float64.
        """
        x = _wide(x)
        self._layer, self._like = layer, x.new_empty(0)
        weights = F.avg_pool2d(self.weights.to(x), self.weights.shape[-1] // x.shape[-1])
        total = weights.sum()
        if total > 0:
            centre = (x * weights).sum((2, 3)) / total
            x = x - centre[:, :, None, None]
            first, second = ((v * weights).sum((2, 3)) / total for v in (x, x.square()))
            n, c, first, second = (v.cpu().double() for v in (total, centre, first, second))
            second = second + 2 * c * first + c.square()
            self._sums = self._sums + n * torch.stack([torch.ones_like(c), c + first, second])
        raise _Enough

    def freeze(self) -> None:
        """Freeze the layer at what was seen."""
        if self._layer is None:
            return
        total, first, second = self._sums
        mean = first / total
        found = (mean, second / total - mean.square())
        dtype, device = self._like.dtype, self._like.device
        self._layer.frozen = Moments(*(v.to(dtype).to(device) for v in found))
