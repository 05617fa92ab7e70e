"""The estimate act: what a method learns of a scene in streaming passes.

A scene larger than :data:`SAMPLE` windows is learnt from that many, evenly spread; the same ones
every time (of those that hold valid pixels, should that sample hold none). Moments are summed
window by window in a fixed order, so an estimate does not depend on threads, on block sizes or on
the part of the scene that is asked for.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Callable, Dict, Iterator, Optional, Sequence, Tuple, TypeVar

import numpy as np

from ..errors import WhetstoneError
from ..fields import Fields, SceneFields, fields
from ..tiling import grid, in_order, scattered
from ..types import PartOfProgress, Progress

if TYPE_CHECKING:
    from ..pair import Pair
    from ..types import Array, Window

    Groups = Dict[str, Array]
    _Images = Tuple[Groups, Optional[Array]]

Seen = TypeVar("Seen")

WINDOW = 512
SAMPLE = 32


class Moments:
    """Mean and covariance (N-1) of named groups of images over all valid pixels seen."""

    def __init__(self) -> None:
        self.count = 0
        self._slices: dict[str, slice] = {}

    def add(self, groups: Groups, valid: Array | None) -> None:
        """Add the pixels of one window: each group is (h, w) or (k, h, w)."""
        stack = self._stack(groups)
        if valid is not None:
            stack = stack[:, valid.ravel()]
        if stack.shape[1] == 0:
            return
        if self.count == 0:  # sums about a typical value keep their digits
            self._pivot = stack.mean(axis=1, keepdims=True)
            self._sum = np.zeros(len(stack))
            self._gram = np.zeros((len(stack), len(stack)))
        stack -= self._pivot
        self.count += stack.shape[1]
        self._sum += stack.sum(axis=1)
        self._gram += stack @ stack.T

    def _stack(self, groups: Groups) -> Array:
        """All images of all groups as rows of one float64 array, (k, pixels)."""
        images = {name: g.reshape(-1, *g.shape[-2:]) for name, g in groups.items()}
        height, width = next(iter(images.values())).shape[-2:]
        stack = np.empty((sum(map(len, images.values())), height * width))
        start = 0
        for name, group in images.items():
            self._slices[name] = slice(start, start + len(group))
            stack[self._slices[name]].reshape(group.shape)[...] = group
            start += len(group)
        return stack

    def mean(self, name: str) -> Array:
        """Means of a group, (k,)."""
        return (self._pivot[:, 0] + self._sum / self.count)[self._slices[name]]

    def cov(self, a: str, b: str) -> Array:
        """Covariances between two groups, (ka, kb)."""
        scatter = self._gram - np.outer(self._sum, self._sum) / self.count
        return scatter[self._slices[a], self._slices[b]] / max(self.count - 1, 1)

    def var(self, name: str) -> Array:
        """Variances of a group, (k,)."""
        return np.maximum(np.diagonal(self.cov(name, name)), 0)

    def std(self, name: str) -> Array:
        """Standard deviations of a group, (k,)."""
        return np.sqrt(self.var(name))

    def product(self, a: str, b: str) -> Array:
        """Mean products E[a b] between two groups, (ka, kb)."""
        spread = self.cov(a, b) * (self.count - 1) / self.count
        return spread + np.outer(self.mean(a), self.mean(b))


class Scene:
    """What an ``estimate`` function sees: the pair, its sensor, and passes over its windows."""

    def __init__(self, pair: Pair, threads: int, progress: Progress) -> None:
        self.pair, self._threads, self._progress = pair, threads, progress
        self.sensor, self.bands, self.ratio = pair.sensor, pair.bands, pair.ratio
        self._passes, self._resampled = 0, False
        if pair.protocol == "toolbox":
            self._windows = [pair.scene]
            self._whole = fields(pair, pair.scene)
        else:
            self._windows = scattered(grid(pair.scene, WINDOW), SAMPLE)

    def of(self, pair: Pair) -> Scene:
        """The same windows of the pair as of another sensor; product protocol only."""
        other = copy.copy(self)
        other.pair, other.sensor = pair, pair.sensor
        return other

    def fields(self, window: Window) -> Fields:
        """The fields of a window; the toolbox's scene is computed once only."""
        return self._whole if self.pair.protocol == "toolbox" else fields(self.pair, window)

    def moments(
        self,
        pan_scale: Callable[[Fields], Groups] | None = None,
        ms_scale: Callable[[Fields], Groups] | None = None,
    ) -> tuple[Moments, Moments]:
        """One pass: moments of the images the two functions make, on the PAN and the MS grid."""
        on_pan, on_ms = Moments(), Moments()

        def look(window: Window) -> tuple[_Images | None, _Images | None]:
            f = self.fields(window)
            large = (pan_scale(f), f.valid) if pan_scale else None
            small = (ms_scale(f), f.ms_valid) if ms_scale and not f.ms_window.empty else None
            return large, small

        for _, (large, small) in self._pass(look):
            if large:
                on_pan.add(*large)
            if small:
                on_ms.add(*small)
        if (pan_scale and not on_pan.count) or (ms_scale and not on_ms.count):
            self._sample_again()
            return self.moments(pan_scale, ms_scale)
        return on_pan, on_ms

    def haze(self) -> Array:
        """Path radiance per band, (B,): low percentiles for B, G, R, NIR, else the minimum.

        The toolbox looks at the interpolated MS, the product at the measured one.
        """

        def look(window: Window) -> Array:
            f = self.fields(window)
            if isinstance(f, SceneFields):
                image, valid = f.lms, f.valid
            else:
                image, valid = f.ms, f.ms_valid
            return image[:, valid] if valid is not None else image.reshape(len(image), -1)

        values = np.concatenate([v for _, v in self._pass(look)], axis=1).astype(np.float64)
        if not values.size:
            self._sample_again()
            return self.haze()
        factors = _HAZE_FACTORS
        if self.bands == 4:
            roles = self.sensor.roles
            order = roles if set(roles) == set(factors) else tuple(factors)
            return np.array([factors[role] * percentile(v, 1) for role, v in zip(order, values)])
        return values.min(axis=1)

    def percentiles(self, percent: float) -> tuple[float, Array]:
        """A percentile of the PAN and of each MS band, (B,), over all valid pixels seen."""

        def look(window: Window) -> tuple[Array, Array]:
            f = self.fields(window)
            pan = f.pan.ravel() if f.valid is None else f.pan[f.valid]
            if f.ms_window.empty:
                return pan, np.empty((self.bands, 0), self.pair.dtype)
            ms = f.ms.reshape(len(f.ms), -1) if f.ms_valid is None else f.ms[:, f.ms_valid]
            return pan, ms

        seen = [values for _, values in self._pass(look)]
        pan = np.concatenate([values for values, _ in seen])
        ms = np.concatenate([values for _, values in seen], axis=1)
        if not pan.size or not ms.size:
            self._sample_again()
            return self.percentiles(percent)
        return percentile(pan, percent), np.array([percentile(band, percent) for band in ms])

    def _sample_again(self) -> None:
        """Sample the windows that hold a valid pixel; raises ``EMPTY`` when that is vain."""
        sampled = len(grid(self.pair.scene, WINDOW)) > len(self._windows)
        if self._resampled or not sampled or self.pair.protocol == "toolbox":
            raise empty()
        self._resampled = True
        known = windows_with_pixels(self.pair, WINDOW, self._threads, self._progress)
        self._windows = scattered(known, SAMPLE)

    def _pass(self, look: Callable[[Window], Seen]) -> Iterator[tuple[Window, Seen]]:
        """Look at every window, in order."""
        self._passes += 1
        part = PartOfProgress(self._progress, 1 - 0.5 ** (self._passes - 1), 1 - 0.5**self._passes)
        for done, item in enumerate(in_order(look, self._windows, self._threads, self._progress)):
            yield item
            part.update((done + 1) / len(self._windows), "learning the scene")


def windows_with_pixels(pair: Pair, size: int, threads: int, progress: Progress) -> list[Window]:
    """All windows of the scene that hold a valid pixel; raises ``EMPTY`` when there is none."""

    def look(window: Window) -> bool:
        valid = fields(pair, window).valid
        return valid is None or bool(valid.any())

    known = [w for w, good in in_order(look, grid(pair.scene, size), threads, progress) if good]
    if not known:
        raise empty()
    return known


def empty() -> WhetstoneError:
    """The refusal of a pair without a valid pixel."""
    return WhetstoneError(
        "EMPTY",
        "No valid pixels in the common area of PAN and MS.",
        "Check the nodata values of both layers.",
    )


_HAZE_FACTORS = {"blue": 0.95, "green": 0.45, "red": 0.40, "nir": 0.05}


def percentile(values: Array, percent: float) -> float:
    """Hazen's percentile (MATLAB ``prctile``) of a 1-D array."""
    position = min(max(percent / 100 * len(values) - 0.5, 0), len(values) - 1)
    low = int(position)
    high = min(low + 1, len(values) - 1)
    a, b = np.partition(values, (low, high))[[low, high]]
    return float(a + (b - a) * (position - low))


def divide(a: Array, b: Array) -> Array:
    """a / b, and 0 where b is 0: a constant image has no detail to scale."""
    a, b = np.broadcast_arrays(np.asarray(a, float), np.asarray(b, float))
    return np.where(b != 0, a / np.where(b != 0, b, 1), 0.0)


def regress(
    moments: Moments, target: str, on: Sequence[str], *, intercept: bool
) -> tuple[Array, float]:
    """Least-squares weights of a one-image group on others, and the intercept (0 without one)."""
    joint = moments.cov if intercept else moments.product
    gram = np.block([[joint(a, b) for b in on] for a in on])
    right = np.concatenate([joint(a, target)[:, 0] for a in on])
    weights = solve(gram, right)
    if not intercept:
        return weights, 0.0
    means = np.concatenate([moments.mean(name) for name in on])
    return weights, float(moments.mean(target)[0] - weights @ means)


def solve(gram: Array, right: Array) -> Array:
    """Solve normal equations; bands that are copies of one another share their weight."""
    scale = np.sqrt(np.diagonal(gram))
    scale = np.where(scale > 0, scale, 1)
    scaled = gram / np.outer(scale, scale)
    if np.linalg.cond(scaled) < 1e12:
        return np.linalg.solve(scaled, right / scale) / scale
    return np.linalg.pinv(scaled, rcond=1e-12, hermitian=True) @ (right / scale) / scale
