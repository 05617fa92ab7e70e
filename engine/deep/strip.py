"""Finished rows of a scene, on their way from a model to the file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Callable, Iterator, NamedTuple

import numpy as np

from ..types import Window

if TYPE_CHECKING:
    from ..types import Array
    from .consistency import Consistency


class Strip(NamedTuple):
    """Finished rows: ``window`` in PAN pixels, the image and, of several samples, its deviation.

    In digital numbers, (B, h, w) float32; ``valid`` (h, w) is None where every pixel is.
    """

    window: Window
    image: Array
    deviation: Array | None
    valid: Array | None


class SampleMoments:
    """Mean and standard deviation of the samples of a strip (Welford)."""

    def __init__(self) -> None:
        self._count = 0

    def add(self, values: Array) -> None:
        """One more sample."""
        self._count += 1
        if self._count == 1:
            self.mean, self._square = values, np.zeros_like(values)
            return
        step = values - self.mean
        self.mean = self.mean + step / np.float32(self._count)
        self._square += step * (values - self.mean)

    def deviation(self) -> Array:
        """The standard deviation (N - 1) of what was added."""
        return np.sqrt(self._square / np.float32(self._count - 1))


def corrected(
    fix: Consistency | None,
    area: Window,
    first_row: int,
    rows: Callable[[Window, int], Iterator[Strip]],
) -> Iterator[Strip]:
    """What ``rows`` makes of an area from a row on, corrected if there is a ``fix``."""
    if fix is None:
        yield from rows(area, first_row)
        return
    whole = Corrected(fix, area, first_row)
    yield from whole.strips(rows(whole.wide, whole.wide.row))


class Corrected:
    """Rows with the consistency correction, solved in windows on a fixed grid of their own."""

    def __init__(self, fix: Consistency, area: Window, first_row: int) -> None:
        self._fix, self._area, self._first_row = fix, area, first_row
        self._core_row = first_row - first_row % fix.core
        #: What must be sampled for it.
        self.wide = fix.around(area, first_row)

    def strips(self, blended: Iterator[Strip]) -> Iterator[Strip]:
        """The corrected strips of the area, from the sampled strips of ``wide``."""
        core, margin = self._fix.core, self._fix.margin
        held: Strip | None = None
        for strip in blended:
            held = strip if held is None else _below(held, strip)
            while self._core_row < self._area.stop[1]:
                needed = min(self._core_row + core + margin, self.wide.stop[1])
                if held.window.stop[1] < needed:
                    break
                yield self._corrected(held)
                self._core_row += core
                held = from_row(held, max(self._core_row - margin, held.window.row))

    def _corrected(self, held: Strip) -> Strip:
        """One row of cores."""
        core, area = self._fix.core, self._area
        out = Window(area.col, max(self._core_row, self._first_row), area.width, 0)
        bottom = min(self._core_row + core, area.stop[1])
        out = out._replace(height=bottom - out.row)
        inside = out.within(held.window)
        image = held.image[(..., *inside)].copy()
        for col in range(area.col - area.col % core, area.stop[0], core):
            window = Window(col, self._core_row, core, core)
            region = window.expand(self._fix.margin).intersect(self._fix.scene)
            here = region.within(held.window)
            valid = None if held.valid is None else held.valid[here]
            fixed = self._fix.correct(held.image[(..., *here)], region, valid)
            common = window.intersect(out)
            image[(..., *common.within(out))] = fixed[(..., *common.within(region))]
        deviation = None if held.deviation is None else held.deviation[(..., *inside)]
        return Strip(out, image, deviation, None if held.valid is None else held.valid[inside])


def _below(upper: Strip, lower: Strip) -> Strip:
    """Two strips of the same columns as one."""
    window = upper.window._replace(height=upper.window.height + lower.window.height)
    image = np.concatenate([upper.image, lower.image], axis=1)
    deviation = None
    if upper.deviation is not None and lower.deviation is not None:
        deviation = np.concatenate([upper.deviation, lower.deviation], axis=1)
    valid = None
    if upper.valid is not None or lower.valid is not None:
        known = [
            np.ones(s.window.shape, bool) if s.valid is None else s.valid for s in (upper, lower)
        ]
        valid = np.concatenate(known)
    return Strip(window, image, deviation, valid)


def from_row(strip: Strip, row: int) -> Strip:
    """What of a strip lies at ``row`` or below, in memory of its own."""
    cut = row - strip.window.row
    if not cut:
        return strip
    window = strip.window._replace(row=row, height=strip.window.height - cut)
    deviation = None if strip.deviation is None else strip.deviation[:, cut:].copy()
    valid = None if strip.valid is None else strip.valid[cut:]
    return Strip(window, strip.image[:, cut:].copy(), deviation, valid)
