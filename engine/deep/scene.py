"""Sampling a whole scene: windows on a fixed grid, blended into rows that come out in order.

*Estimate* finds the scale of the scene; *apply* reads a row of windows, samples them in batches and
hands on the rows that no later window touches. Noise, grid and scale depend on the scene alone, so
a part, a resumed run and another batch size give the same pixels; memory does not grow with the
height of the scene.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Iterator, NamedTuple

import numpy as np
import torch

from ..blending import Axis
from ..errors import Cancelled, WhetstoneError
from ..noise import NoiseField
from ..tiling import in_order
from ..types import Progress, Window
from . import device as machine
from .bands import band_groups
from .consistency import Consistency
from .inputs import Grid, Inputs, Scale, read_inputs
from .sampling import Batch, sample, timesteps_of

if TYPE_CHECKING:
    from torch import Tensor

    from ..pair import Pair
    from ..types import Array
    from .weights import Model

#: Share of a window's side that it has in common with the next: 16 of 64 pixels.
OVERLAP_SHARE = 4


@dataclass(frozen=True)
class Settings:
    """How to sample; ``steps`` 0 and ``batch`` 0 leave the choice to the model and the machine."""

    steps: int = 0
    sampler: str = "ddim"
    seed: int = 0
    samples: int = 1
    precision: str = "auto"
    batch: int = 0
    threads: int = 1
    consistency: bool = False


class Strip(NamedTuple):
    """Finished rows: ``window`` in PAN pixels, the image and, of several samples, its deviation.

    In digital numbers, (B, h, w) float32; ``valid`` (h, w) is None where every pixel is.
    """

    window: Window
    image: Array
    deviation: Array | None
    valid: Array | None


class SceneSampler:
    """A model ready to sharpen a pair that it fits (``models.describe_fit``).

    Raises:
        WhetstoneError: ``STEPS``, ``SAMPLER``, ``PRECISION``, before any pixel is read.
    """

    def __init__(self, model: Model, pair: Pair, settings: Settings) -> None:
        card = model.card
        self.model, self.pair, self.settings = model, pair, settings
        self.grid = Grid(card.ratio, card.phase)
        self.groups = band_groups(pair.bands, card.bands)
        self.steps = settings.steps or card.steps
        timesteps_of(card, settings.sampler, self.steps)
        machine.prepare(model.device, settings.threads)
        side = card.window
        self.precision, self.precision_reason = machine.pick_precision(
            settings.precision, model.device, self._probe
        )
        self._batch = machine.windows_at_once(model.device, side, settings.batch)
        overlap = side // OVERLAP_SHARE
        info = pair.pan.info
        self.columns = Axis(info.width, side, overlap)
        self.rows = Axis(info.height, side, overlap)
        self._field = NoiseField(settings.seed)

    def strips(
        self, area: Window, scale: Scale, first_row: int, progress: Progress
    ) -> Iterator[Strip]:
        """The finished rows of ``area`` from ``first_row`` on, top to bottom."""
        if not self.settings.consistency:
            yield from self._blended(area, scale, first_row, progress)
            return
        corrected = _Corrected(self.pair, area, first_row)
        wide = corrected.wide
        yield from corrected.strips(self._blended(wide, scale, wide.row, progress))

    # -- rows of windows --------------------------------------------------------------------------

    def _blended(
        self, area: Window, scale: Scale, first_row: int, progress: Progress
    ) -> Iterator[Strip]:
        """Sample and blend; strips are cut to the area and to the rows that are wanted."""
        cols = self.columns.touching(area.col, area.stop[0])
        indices = self.rows.touching(first_row, area.stop[1])
        left = self.columns.start(cols[0])
        width = self.columns.start(cols[-1]) + self.columns.side - left
        side, samples = self.rows.side, self.settings.samples

        def read(index: int) -> Inputs:
            band = Window(left, self.rows.start(index), width, side)
            return read_inputs(self.pair, band, self.grid, side)

        carry: list[Array] = []  # per sample, what the window row above left in this one's overlap
        done, total = 0, len(indices) * samples
        for index, inputs in in_order(read, indices, 1, progress):
            top = self.rows.start(index)
            settled = self.rows.settled(index)
            moments = _Moments()
            for draw in range(samples):
                source = _Windows(self, inputs, Window(left, top, width, side), scale, draw)
                rows = self._window_row(source, cols, index, progress)
                if index > indices[0]:
                    rows[:, : carry[draw].shape[1]] += carry[draw]
                    carry[draw] = rows[:, settled - top :].copy()
                else:
                    carry.append(rows[:, settled - top :].copy())
                moments.add(scale.to_dn(rows[:, : settled - top]))
                done += 1
                progress.update(done / total, "sampling")
            keep = Window(area.col, max(top, first_row), area.width, 0)
            keep = keep._replace(height=min(settled, area.stop[1]) - keep.row)
            if keep.height > 0:
                inside = keep.within(Window(left, top, width, settled - top))
                deviation = moments.deviation() if samples > 1 else None
                yield Strip(
                    keep,
                    moments.mean[(..., *inside)],
                    None if deviation is None else deviation[(..., *inside)],
                    None if inputs.valid is None else inputs.valid[inside],
                )

    def _window_row(self, source: _Windows, cols: range, index: int, progress: Progress) -> Array:
        """One row of windows of one draw, weighted and summed, (B, side, width) normalised."""
        bands, side, left = self.pair.bands, source.band.height, source.band.col
        out = np.zeros((bands, side, source.band.width), np.float32)
        fade = self.rows.weights(index)[:, None]
        tasks = [
            (col, group)
            for col in cols
            for group in range(len(self.groups))
            if source.has_pixels(self.columns.start(col) - left)
        ]
        shares = np.bincount(np.concatenate(self.groups), minlength=bands).astype(np.float32)
        for (col, group), image in source.sampled(tasks, progress):
            start = self.columns.start(col) - left
            weights = fade * self.columns.weights(col)
            for slot, number in enumerate(self.groups[group]):
                out[number, :, start : start + side] += image[slot] * weights / shares[number]
        return out

    # -- batches ----------------------------------------------------------------------------------

    def run(self, batch: Batch, noise: list[Array], progress: Progress) -> Tensor:
        """Sample one batch; ``noise[i]`` is the start noise (i = 0) or that of the i-th step."""

        def pulse() -> None:
            if progress.cancelled():
                raise Cancelled()

        device = self.model.device
        return sample(
            self.model,
            Batch(*(x.to(device, non_blocking=True) for x in batch)),
            lambda i: torch.from_numpy(noise[i]).to(device, non_blocking=True),
            steps=self.steps,
            sampler=self.settings.sampler,
            precision=self.precision,
            pulse=pulse,
        )

    def noise(self, window: Window, draw: int) -> list[Array]:
        """The noise of a region, (B, h, w) for the start and for each step that adds some."""
        count = self.steps if self.settings.sampler == "ddpm" else 1
        return [self._field.read(window, self.pair.bands, draw, i) for i in range(count)]

    def shrink(self, error: BaseException, progress: Progress) -> None:
        """Halve the batch after an out-of-memory error, or give up at one window."""
        if not machine.is_out_of_memory(error):
            raise error
        if self._batch == 1:
            raise WhetstoneError(
                "OOM_DEVICE",
                f"One window of {self.rows.side} pixels does not fit into the memory of "
                f"{self.model.device}.",
                "Close other programs, or use --device cpu.",
            ) from None
        self._batch //= 2
        machine.release(self.model.device)
        progress.message(f"The device's memory is full; going on with batches of {self._batch}.")

    @property
    def batch(self) -> int:
        """Windows per call of the network, at present."""
        return self._batch

    def _probe(self, precision: str) -> Tensor:
        """One step on a window of smooth noise, the same on every machine."""
        card, device = self.model.card, self.model.device
        side = card.window
        ground = NoiseField(1).read(Window(0, 0, side, side), card.bands + 1)
        ground = np.clip(0.4 + 0.1 * ground, 0, 1)
        lms = np.repeat(
            np.repeat(ground[1:, :: card.ratio, :: card.ratio], card.ratio, 1), card.ratio, 2
        )
        parts = (ground[:1], lms, ground[1:, :: card.ratio, :: card.ratio])
        batch = Batch(*(torch.from_numpy(np.ascontiguousarray(p))[None].to(device) for p in parts))
        start = torch.from_numpy(NoiseField(2).read(Window(0, 0, side, side), card.bands))[None]
        return sample(self.model, batch, lambda _: start.to(device), steps=1, precision=precision)


class _Windows:
    """The windows of a row as batches for the network."""

    def __init__(
        self, scene: SceneSampler, inputs: Inputs, band: Window, scale: Scale, draw: int
    ) -> None:
        self._scene, self.band, self._valid = scene, band, inputs.valid
        self._pan = scale.of_pan(inputs.pan)
        self._lms, self._ms = scale.of_image(inputs.lms), scale.of_image(inputs.ms)
        self._noise = scene.noise(band, draw)

    def has_pixels(self, start: int) -> bool:
        """Whether the window that begins at column ``start`` of the row holds a valid pixel."""
        side = self.band.height
        return self._valid is None or bool(self._valid[:, start : start + side].any())

    def sampled(
        self, tasks: list[tuple[int, int]], progress: Progress
    ) -> Iterator[tuple[tuple[int, int], Array]]:
        """(task, image [C, side, side]) of (column, band group) tasks, in their order."""
        scene, done = self._scene, 0
        while done < len(tasks):
            part = tasks[done : done + scene.batch]
            try:
                images = scene.run(*self._cut(part), progress).cpu().numpy()
            except RuntimeError as error:  # torch's out-of-memory errors are some
                scene.shrink(error, progress)
                continue
            yield from zip(part, images)
            done += len(part)

    def _cut(self, tasks: list[tuple[int, int]]) -> tuple[Batch, list[Array]]:
        """The arrays of some windows."""
        scene = self._scene
        side, ratio = scene.rows.side, scene.grid.ratio
        pan, lms, ms = [], [], []
        noise: list[list[Array]] = [[] for _ in self._noise]
        for col, group in tasks:
            start, chosen = scene.columns.start(col) - self.band.col, scene.groups[group]
            wide = slice(start, start + side)
            pan.append(self._pan[None, :, wide])
            lms.append(self._lms[chosen, :, wide])
            ms.append(self._ms[chosen, :, start // ratio : (start + side) // ratio])
            for step, field in zip(noise, self._noise):
                step.append(field[chosen, :, wide])
        batch = Batch(*(torch.from_numpy(np.stack(parts)) for parts in (pan, lms, ms)))
        return batch, [np.stack(step) for step in noise]


class _Moments:
    """Mean and standard deviation of the samples of a strip (Welford)."""

    def __init__(self) -> None:
        self._count = 0

    def add(self, values: Array) -> None:
        self._count += 1
        if self._count == 1:
            self.mean, self._square = values, np.zeros_like(values)
            return
        step = values - self.mean
        self.mean = self.mean + step / np.float32(self._count)
        self._square += step * (values - self.mean)

    def deviation(self) -> Array:
        return np.sqrt(self._square / np.float32(self._count - 1))


class _Corrected:
    """Rows with the consistency correction, solved in windows on a fixed grid of their own."""

    def __init__(self, pair: Pair, area: Window, first_row: int) -> None:
        self._fix, self._scene = Consistency(pair), pair.scene
        self._area, self._first_row = area, first_row
        self._core_row = first_row - first_row % self._fix.core
        core, margin = self._fix.core, self._fix.margin
        col = area.col - area.col % core
        bottom = -(-area.stop[1] // core) * core
        right = -(-area.stop[0] // core) * core
        whole = Window(col, self._core_row, right - col, bottom - self._core_row)
        #: What must be sampled for it.
        self.wide = whole.expand(margin).intersect(pair.scene)

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
                held = _from_row(held, max(self._core_row - margin, held.window.row))

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
            region = window.expand(self._fix.margin).intersect(self._scene)
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


def _from_row(strip: Strip, row: int) -> Strip:
    """What of a strip lies at ``row`` or below, in memory of its own."""
    cut = row - strip.window.row
    window = strip.window._replace(row=row, height=strip.window.height - cut)
    deviation = None if strip.deviation is None else strip.deviation[:, cut:].copy()
    valid = None if strip.valid is None else strip.valid[cut:]
    return Strip(window, strip.image[:, cut:].copy(), deviation, valid)
