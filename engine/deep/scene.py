"""Sampling a whole scene: windows on a fixed grid, blended into rows that come out in order.

*Estimate* finds the scale of the scene; *apply* reads rows of windows, samples them in batches and
hands on the rows of pixels that no later window touches. Noise, grid and scale depend on the scene
alone, so a part, a resumed run and another batch size give the same pixels; memory does not grow
with the height of the scene.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Callable, Iterator, NamedTuple

import numpy as np
import torch

from ..blending import Axis
from ..errors import Cancelled
from ..noise import NoiseField
from ..tiling import in_order
from ..types import PartOfProgress, Progress, Window
from . import device as machine
from .bands import band_groups
from .consistency import correction, most_sampled
from .crossdiff import FEATURE_TIMESTEPS, CrossDiff
from .forecast import Forecast, memory_of, seconds_of
from .inputs import Grid, Inputs, Scale, read_inputs
from .sampling import Batch, Settings, sample, sharpen, timesteps_of
from .statistics import unfrozen
from .strip import SampleMoments, Strip, corrected

if TYPE_CHECKING:
    from torch import Tensor

    from ..pair import Pair
    from ..types import Array
    from .presharpen import Presharpener
    from .weights import Model

#: Share of a window's side that it has in common with the next: 16 of 64 pixels.
OVERLAP_SHARE = 4


class SceneSampler:
    """A model ready to sharpen a pair that it fits (``models.describe_fit``).

    Raises:
        WhetstoneError: ``STEPS``, ``SAMPLER``, ``PRECISION``, before any pixel is read.
    """

    def __init__(self, model: Model, pair: Pair, settings: Settings) -> None:
        card = model.card
        self.model, self.pair, self.settings = model, pair, settings
        ratio = round(card.ratio)
        self.grid = Grid(ratio, card.phase)
        roles = pair.sensor.roles
        self.groups = band_groups(pair.bands, card.bands, roles, card.roles)
        #: Whether the model gets the bands that it knows, in its order.
        self.knows_bands = [roles[i] for i in self.groups[0]] == list(card.roles)
        self.crossdiff = isinstance(model.network, CrossDiff)
        self.steps = 1 if self.crossdiff else settings.steps or card.steps
        timesteps_of(card, settings.sampler, self.steps)
        machine.prepare(model.device, settings.threads)
        side = card.window
        self.precision, self.precision_reason = machine.pick_precision(
            settings.precision, model.device, self._probe, convolutional=self.crossdiff
        )
        self._batch = machine.windows_at_once(model.device, side, settings.batch)
        overlap = side // OVERLAP_SHARE // ratio * ratio  # windows begin at MS pixels
        info = pair.pan.info
        self.columns = Axis(info.width, side, overlap)
        self.rows = Axis(info.height, side, overlap)
        self.field = NoiseField(settings.seed)
        self.base: Presharpener | None = None

    def describe(self) -> str:
        """How the image is made, for notes."""
        if self.crossdiff:
            return f"one pass, {self.settings.noise} noise, statistics of each window"
        plural = "s" if self.steps > 1 else ""
        return f"{self.steps} step{plural} of {self.settings.sampler}, seed {self.settings.seed}"

    def forecast(self, area: Window) -> Forecast:
        """What sampling ``area`` will cost."""
        area, held = most_sampled(self.pair, self.model.card.base, self.settings.consistency, area)
        cols = self.columns.touching(area.col, area.stop[0])
        windows = len(cols) * len(self.rows.touching(area.row, area.stop[1]))
        calls = windows * len(self.groups) * self.settings.samples
        together = min(self._batch, calls)
        spent = seconds_of(lambda: self._probe(self.precision, together), self.model.device)
        side, architecture = self.rows.side, self.model.card.architecture
        memory = memory_of(architecture, side, together, self.pair.bands, area.width, held)
        seconds = spent * self.steps * -(-calls // together)
        return Forecast(windows, side, seconds, memory)

    def strips(
        self, area: Window, scale: Scale, first_row: int, progress: Progress
    ) -> Iterator[Strip]:
        """The finished rows of ``area`` from ``first_row`` on, top to bottom."""
        fix = correction(self.pair, self.base, self.settings.consistency)
        yield from corrected(
            fix, area, first_row, lambda where, row: self._blended(where, scale, row, progress)
        )

    # -- rows of windows --------------------------------------------------------------------------

    def _blended(
        self, area: Window, scale: Scale, first_row: int, progress: Progress
    ) -> Iterator[Strip]:
        """Sample and blend; strips are cut to the area and to the rows that are wanted."""
        cols = self.columns.touching(area.col, area.stop[0])
        tasks = len(cols) * len(self.groups) * self.settings.samples
        together = max(1, self._batch // tasks)  # rows of windows that fill a batch
        wanted = self.rows.touching(first_row, area.stop[1])
        # groups of rows lie on a grid too, so that a resumed run forms the same batches
        indices = range(wanted.start - wanted.start % together, wanted.stop)
        left = self.columns.start(cols[0])
        width = self.columns.start(cols[-1]) + self.columns.side - left

        def read(index: int) -> _WindowRow:
            band = Window(left, self.rows.start(index), width, self.rows.side)
            inputs = read_inputs(self.pair, band, self.grid, band.height, self.base)
            return _WindowRow(self, inputs, band, scale)

        rows = (row for _, row in in_order(read, indices, 1, progress))
        carry: list[Array] = []  # per draw, what the row above left in this one's overlap
        done, total = 0, len(indices)
        while group := list(islice(rows, together)):
            share = PartOfProgress(progress, done / total, (done + len(group)) / total)
            for row, draws in zip(group, self._sampled(group, cols, share)):
                index = indices[done]
                done += 1
                settled = self.rows.settled(index) - row.band.row
                moments = SampleMoments()
                for draw, image in enumerate(draws):
                    if index > indices[0]:
                        image[:, : carry[draw].shape[1]] += carry[draw]
                    moments.add(scale.to_dn(image[:, :settled]))
                carry = [image[:, settled:].copy() for image in draws]
                keep = row.band._replace(height=settled).intersect(area)
                keep = keep.intersect(area._replace(row=first_row))
                if not keep.empty:
                    inside = keep.within(row.band)
                    yield Strip(
                        keep,
                        moments.mean[(..., *inside)],
                        moments.deviation()[(..., *inside)] if self.settings.samples > 1 else None,
                        None if row.valid is None else row.valid[inside],
                    )

    def _sampled(
        self, rows: list[_WindowRow], cols: range, progress: Progress
    ) -> list[list[Array]]:
        """Per row and draw the weighted sum of its windows, (B, side, width) normalised."""
        side, bands = self.rows.side, self.pair.bands
        draws = range(self.settings.samples)
        sums = [[np.zeros((bands, *row.band.shape), np.float32) for _ in draws] for row in rows]
        tasks = [
            _Task(number, draw, col, self.columns.start(col) - row.band.col, group)
            for number, row in enumerate(rows)
            for draw in draws
            for col in cols
            for group in range(len(self.groups))
            if row.has_pixels(self.columns.start(col) - row.band.col)
        ]
        shares = np.bincount(np.concatenate(self.groups), minlength=bands).astype(np.float32)
        for done, (task, image) in enumerate(self._images(rows, tasks, progress)):
            row = rows[task.row]
            fade = self.rows.weights(row.band.row // self.rows.stride)[:, None]
            weights = fade * self.columns.weights(task.col)
            out = sums[task.row][task.draw]
            for slot, band in enumerate(self.groups[task.group]):
                out[band, :, task.start : task.start + side] += image[slot] * weights / shares[band]
            progress.update((done + 1) / len(tasks), "sampling")
        return sums

    # -- batches ----------------------------------------------------------------------------------

    def _images(
        self, rows: list[_WindowRow], tasks: list[_Task], progress: Progress
    ) -> Iterator[tuple[_Task, Array]]:
        """(task, image [C, side, side]) in the order of the tasks, sampled in batches."""
        done = 0
        while done < len(tasks):
            part = tasks[done : done + self._batch]
            images = self._run(rows, part, progress)
            if images is None:  # too large a batch; what it held is free by now
                machine.release(self.model.device)
                self._batch = len(part) // 2
                progress.message(
                    f"The device's memory is full; going on with batches of {self._batch}."
                )
                continue
            yield from zip(part, images)
            done += len(part)

    def _run(self, rows: list[_WindowRow], tasks: list[_Task], progress: Progress) -> Array | None:
        """Sample one batch, (n, C, side, side); None when the device's memory is too small."""
        device = self.model.device

        def pulse() -> None:
            if progress.cancelled():
                raise Cancelled()

        def gathered(of: Callable[[_WindowRow, _Task], Array]) -> Tensor:
            stack = np.stack([of(rows[task.row], task) for task in tasks])
            return torch.from_numpy(stack).to(device)

        def noise(step: int) -> Tensor:
            return gathered(lambda row, task: row.noise(task, step))

        try:
            pan, lms = gathered(_WindowRow.pan_of), gathered(_WindowRow.lms_of)
            if self.crossdiff:
                pulse()
                images = self._sharpened(pan, lms, noise)
            else:
                images = sample(
                    self.model,
                    Batch(pan, lms, gathered(_WindowRow.ms_of)),
                    noise,
                    steps=self.steps,
                    sampler=self.settings.sampler,
                    precision=self.precision,
                    pulse=pulse,
                )
            return images.cpu().numpy()
        except (RuntimeError, MemoryError) as error:  # torch's out-of-memory errors are some
            if not machine.is_out_of_memory(error):
                raise
            if len(tasks) == 1:
                what = f"One window of {self.rows.side} pixels"
                raise machine.too_small(device, what) from None
            return None

    def _sharpened(self, pan: Tensor, lms: Tensor, noise: Callable[[int], Tensor]) -> Tensor:
        """CrossDiff's pass over windows with statistics of their own."""
        count = len(self.model.card.parameters.get("timesteps", FEATURE_TIMESTEPS))
        noises = None if self.settings.noise == "zero" else [noise(i) for i in range(count)]
        with unfrozen(self.model.network):
            return sharpen(self.model, pan, lms, noises, self.precision)

    def _probe(self, precision: str, count: int = 1) -> Tensor:
        """One step on windows of smooth noise, the same on every machine."""
        card, device = self.model.card, self.model.device
        side, ratio = card.window, round(card.ratio)
        square = Window(0, 0, side, side)

        def several(image: Array) -> Tensor:
            one = torch.from_numpy(np.ascontiguousarray(image)).to(device)
            return one.expand(count, *one.shape).contiguous()

        ground = np.clip(0.4 + 0.1 * NoiseField(1).read(square, card.bands + 1), 0, 1)
        if self.crossdiff:
            return sharpen(self.model, several(ground[:1]), several(ground[1:]), None, precision)
        ms = ground[1:, ::ratio, ::ratio]
        parts = (ground[:1], np.kron(ms, np.ones((1, ratio, ratio), np.float32)), ms)
        batch, start = Batch(*map(several, parts)), several(NoiseField(2).read(square, card.bands))
        return sample(self.model, batch, lambda _: start, steps=1, precision=precision)


class _Task(NamedTuple):
    """One window to sample: which row of a batch, draw, column, first pixel, group of bands."""

    row: int
    draw: int
    col: int
    start: int
    group: int


class _WindowRow:
    """A row of windows as the network gets it: normalised inputs and start noise."""

    def __init__(self, scene: SceneSampler, inputs: Inputs, band: Window, scale: Scale) -> None:
        self._scene, self.band, self.valid = scene, band, inputs.valid
        self._pan = scale.of_pan(inputs.pan)
        self._lms, self._ms = scale.of_image(inputs.lms), scale.of_image(inputs.ms)
        self._bands = len(self._lms) + scene.crossdiff  # CrossDiff has noise for PAN, too
        self._noise = [
            scene.field.read(band, self._bands, draw) for draw in range(scene.settings.samples)
        ]

    def has_pixels(self, start: int) -> bool:
        """Whether the window that begins at column ``start`` of the row holds a valid pixel."""
        side = self.band.height
        return self.valid is None or bool(self.valid[:, start : start + side].any())

    def _columns(self, task: _Task, step: int = 1) -> slice:
        return slice(task.start // step, (task.start + self.band.height) // step)

    def pan_of(self, task: _Task) -> Array:
        """PAN of a window, (1, side, side)."""
        return self._pan[None, :, self._columns(task)]

    def lms_of(self, task: _Task) -> Array:
        """LMS of a window in its group of bands, (C, side, side)."""
        return self._lms[self._scene.groups[task.group], :, self._columns(task)]

    def ms_of(self, task: _Task) -> Array:
        """MS of a window, (C, side / ratio, side / ratio)."""
        columns = self._columns(task, self._scene.grid.ratio)
        return self._ms[self._scene.groups[task.group], :, columns]

    def noise(self, task: _Task, step: int) -> Array:
        """Start noise (step 0) or that of a later step, (C, side, side)."""
        group = [*self._scene.groups[task.group], *([-1] if self._scene.crossdiff else [])]
        if step == 0:
            return self._noise[task.draw][group, :, self._columns(task)]
        side = self.band.height
        window = Window(self.band.col + task.start, self.band.row, side, side)
        return self._scene.field.read(window, self._bands, task.draw, step)[group]
