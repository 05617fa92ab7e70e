"""CrossDiff over a whole scene: learn its statistics, then stream windows that join exactly.

*Estimate* freezes what the group norms and channel gates see of the scene (``statistics.learn``).
After that the network is a chain of convolutions, so *apply* crops the halo off each window and
sets the rest beside its neighbours: no blending, and the same pixels as in one piece.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Callable, Iterator, NamedTuple, cast

import numpy as np
import torch
from torch.nn import functional as F

from ..classical.statistics import windows_with_pixels
from ..errors import Cancelled, WhetstoneError
from ..noise import NoiseField
from ..tiling import grid, in_order, scattered
from ..types import PartOfProgress, Progress, Window
from . import device as machine
from .bands import band_groups
from .consistency import correction, most_sampled
from .crossdiff import REACH, STRIDE, CrossDiff
from .forecast import Forecast, memory_of, seconds_of
from .inputs import Scale, read_pan_and_lms
from .sampling import Settings, sharpen
from .statistics import Moments, learn, statistics
from .strip import SampleMoments, Strip, corrected, from_row

if TYPE_CHECKING:
    from torch import Tensor

    from ..pair import Pair
    from ..types import Array
    from .presharpen import Presharpener
    from .weights import Model

#: Side of the windows that are written, in PAN pixels; a multiple of STRIDE.
CORE = 512
#: When the memory is too small even for one window, windows shrink down to this side.
LEAST_CORE = 64
#: The statistics are learnt from so many windows of that side at most, evenly spread.
SAMPLE, SAMPLE_SIDE = 16, 256
#: For the forecast: what learning costs in passes over these windows, and a window to time.
_ESTIMATE_PASSES, _PROBE = 2.5, 256
#: The largest scene that the ``reference`` preset takes, which knows no windows.
MOST_REFERENCE_PIXELS = 2048**2


class CrossDiffScene:
    """A CrossDiff model ready to sharpen a pair that it fits (``models.describe_fit``).

    Raises:
        WhetstoneError: ``PRECISION``, or ``REFERENCE`` where the preset cannot do the pair; before
            any pixel is read.
    """

    def __init__(self, model: Model, pair: Pair, settings: Settings) -> None:
        card = model.card
        self.model, self.pair, self.settings = model, pair, settings
        self.network = cast(CrossDiff, model.network)
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.field = NoiseField(settings.seed)
        self.base: Presharpener | None = None
        roles = pair.sensor.roles
        self.groups = band_groups(pair.bands, card.bands, roles, card.roles)
        self.knows_bands = [roles[i] for i in self.groups[0]] == list(card.roles)
        machine.prepare(model.device, settings.threads)
        self.precision, self.precision_reason = machine.pick_precision(
            settings.precision, model.device, self._probe, convolutional=True
        )
        if settings.reference:
            self._check_reference()
        info = pair.pan.info
        #: All that is computed: the raster, extended to what the network's grids need.
        self.frame = Window(0, 0, _whole(info.width), _whole(info.height))
        self._core = CORE
        encoders = (self.network.p2m.down, self.network.m2p.down)
        #: The layers that are frozen; decoders are never run.
        self._layers = [
            layer for part in (*encoders, self.network.head) for layer in statistics(part)
        ]
        self._frozen: list[list[Moments | None]] = []

    def describe(self) -> str:
        """How the image is made, for notes."""
        noise = {"zero": "no noise", "fixed": f"noise of seed {self.settings.seed}"}
        how = ", in one piece as the authors' release" if self.settings.reference else ""
        return f"one pass, {noise[self.settings.noise]}{how}"

    def forecast(self, area: Window) -> Forecast:
        """What sharpening ``area`` will cost."""
        base = self.model.card.base
        area, held = most_sampled(self.pair, base, self.settings.consistency, area)
        windows = [area] if self.settings.reference else list(grid(area, CORE))
        regions = [_with_halo(window) for window in windows]
        pixels = self.settings.samples * sum(r.width * r.height for r in regions)
        if not self.settings.reference and self.settings.statistics != "model":
            pixels += int(_ESTIMATE_PASSES * SAMPLE * (SAMPLE_SIDE + 2 * REACH) ** 2)
        spent = seconds_of(lambda: self._probe(self.precision, _PROBE), self.model.device)
        side = max(max(region.width, region.height) for region in regions)
        memory = memory_of("crossdiff", side, 1, self.pair.bands, area.width, held)
        seconds = spent / _PROBE**2 * pixels * len(self.groups)
        return Forecast(len(windows), max(windows[0].shape), seconds, memory)

    def strips(
        self, area: Window, scale: Scale, first_row: int, progress: Progress
    ) -> Iterator[Strip]:
        """The finished rows of ``area`` from ``first_row`` on, top to bottom."""
        if self.settings.reference:
            yield from_row(self._in_one_piece(area, scale, progress), first_row)
            return
        self._estimate(scale, PartOfProgress(progress, 0.0, 0.1))
        progress = PartOfProgress(progress, 0.1, 1.0)
        fix = correction(self.pair, self.base, self.settings.consistency)
        yield from corrected(
            fix, area, first_row, lambda where, row: self._rows(where, scale, row, progress)
        )

    # -- estimate ---------------------------------------------------------------------------------

    def _estimate(self, scale: Scale, progress: Progress) -> None:
        """Freeze the statistics of the scene, for each group of bands, or take the model's."""
        if self.settings.statistics == "model":
            self._frozen = [[layer.frozen for layer in self._layers]]
            return
        windows = scattered(grid(self.pair.scene, SAMPLE_SIDE), SAMPLE)
        seen = self._look(windows, scale, progress)
        if not seen:
            known = windows_with_pixels(
                self.pair, SAMPLE_SIDE, self.settings.threads or 1, progress
            )
            seen = self._look(scattered(known, SAMPLE), scale, progress)
        self._frozen = []
        for number, group in enumerate(self.groups):
            start, stop = (n / len(self.groups) for n in (number, number + 1))
            self._learn(group, seen, PartOfProgress(progress, start, stop))

    def _learn(
        self, group: list[int], seen: list[tuple[Window, _Part]], progress: Progress
    ) -> None:
        """Freeze the statistics of one group of bands."""
        passes = 0

        def windows() -> Iterator[tuple[Tensor, Callable[[], object]]]:
            nonlocal passes
            progress.update(min(passes / len(self._layers), 1.0), "learning the scene")
            passes += 1
            for window, part in seen:
                for small in grid(window, self._core):
                    if progress.cancelled():
                        raise Cancelled()
                    piece = self._cut(part, small)
                    yield self._weights(piece, small), partial(self._network, piece, group, 0)

        try:
            learn(self.network, windows)
        except (RuntimeError, MemoryError) as error:
            self._check_memory(error)
        else:
            self._frozen.append([layer.frozen for layer in self._layers])
            return
        self._shrink(progress)
        self._learn(group, seen, progress)

    def _look(
        self, windows: list[Window], scale: Scale, progress: Progress
    ) -> list[tuple[Window, _Part]]:
        """The windows that hold a valid pixel, each with its halo."""
        found = []
        for window in windows:
            if progress.cancelled():
                raise Cancelled()
            part = self._read(window, scale)
            if part.valid is None or part.valid[window.within(part.region)].any():
                found.append((window, part))
        return found

    def _weights(self, part: _Part, window: Window) -> Tensor:
        """[1,1,h,w]: 1 for the valid pixels of the window, 0 for the others and the halo."""
        weights = np.zeros(part.region.shape, np.float32)
        weights[window.within(part.region)] = 1
        if part.valid is not None:
            weights[~part.valid] = 0
        return torch.from_numpy(weights)[None, None].to(self.model.device)

    # -- apply ------------------------------------------------------------------------------------

    def _rows(
        self, area: Window, scale: Scale, first_row: int, progress: Progress
    ) -> Iterator[Strip]:
        """Rows of windows, cut to the area and to the rows that are wanted."""
        todo = [w for w in grid(area, CORE) if w.stop[1] > first_row]
        parts = in_order(lambda w: self._read(w, scale), todo, 1, progress)
        strip: Strip | None = None
        for done, (window, part) in enumerate(parts):
            out = area._replace(row=window.row, height=window.height)
            if strip is None:
                strip = self._empty(out)
            here = window.within(out)
            if part.valid is not None:
                inside = part.valid[window.within(part.region)]
                if strip.valid is None:
                    strip = strip._replace(valid=np.ones(out.shape, bool))
                strip.valid[here] = inside  # type: ignore[index]
            if part.valid is None or inside.any():
                image, deviation = self._sharpened(part, window, scale, progress)
                strip.image[(..., *here)] = image
                if strip.deviation is not None:
                    strip.deviation[(..., *here)] = deviation
            progress.update((done + 1) / len(todo), "sharpening")
            if window.stop[0] == area.stop[0]:
                yield from_row(strip, max(first_row, window.row))
                strip = None

    def _empty(self, window: Window) -> Strip:
        image = np.zeros((self.pair.bands, *window.shape), np.float32)
        return Strip(window, image, image.copy() if self.settings.samples > 1 else None, None)

    def _read(self, window: Window, scale: Scale) -> _Part:
        """The inputs of a window with its halo, normalised."""
        region = _with_halo(window).intersect(self.frame)
        pan, lms, valid = read_pan_and_lms(self.pair, region, REACH, self.base)
        return _Part(region, scale.of_pan(pan)[None], scale.of_image(lms), valid)

    def _sharpened(
        self, part: _Part, window: Window, scale: Scale, progress: Progress
    ) -> tuple[Array, Array | None]:
        """Mean and, of several samples, deviation of a window in digital numbers."""
        if max(window.width, window.height) > self._core:
            return self._in_quarters(part, window, scale, progress)
        moments = SampleMoments()
        try:
            for draw in range(self.settings.samples):
                if progress.cancelled():
                    raise Cancelled()
                image = self._drawn(part, draw)[(..., *window.within(part.region))]
                moments.add(scale.to_dn(image))
        except (RuntimeError, MemoryError) as error:
            self._check_memory(error)
        else:
            return moments.mean, moments.deviation() if self.settings.samples > 1 else None
        self._shrink(progress)
        return self._in_quarters(part, window, scale, progress)

    def _check_memory(self, error: BaseException) -> None:
        """Raise an error, unless it says that smaller windows might fit into the memory."""
        if not machine.is_out_of_memory(error):
            raise error
        if self._core <= LEAST_CORE:
            what = f"One window of {self._core} pixels"
            raise machine.too_small(self.model.device, what) from None

    def _shrink(self, progress: Progress) -> None:
        """Go on with smaller windows; what the large one held is free by now."""
        machine.release(self.model.device)
        self._core //= 2
        progress.message(
            f"The device's memory is full; going on with windows of {self._core} pixels."
        )

    def _in_quarters(
        self, part: _Part, window: Window, scale: Scale, progress: Progress
    ) -> tuple[Array, Array | None]:
        """The same in windows of the side that fits; frozen statistics make no difference."""
        shape = (self.pair.bands, *window.shape)
        mean = np.empty(shape, np.float32)
        deviation = np.empty(shape, np.float32) if self.settings.samples > 1 else None
        for small in grid(window, self._core):
            piece = self._cut(part, small)
            here = (..., *small.within(window))
            mean[here], spread = self._sharpened(piece, small, scale, progress)
            if deviation is not None:
                deviation[here] = spread
        return mean, deviation

    def _cut(self, part: _Part, window: Window) -> _Part:
        region = _with_halo(window).intersect(part.region)
        here = (..., *region.within(part.region))
        valid = None if part.valid is None else part.valid[here[1:]]
        return _Part(region, part.pan[here], part.lms[here], valid)

    def _drawn(self, part: _Part, draw: int) -> Array:
        """One sample of a part, (B, h, w) normalised: the mean over the groups of its bands."""
        total = np.zeros(part.lms.shape, np.float32)
        shares = np.bincount(np.concatenate(self.groups), minlength=len(total))
        for group, frozen in zip(self.groups, self._frozen):
            for layer, moments in zip(self._layers, frozen):
                layer.frozen = moments
            image = self._network(part, group, draw).cpu().numpy()[0]
            for slot, band in enumerate(group):
                total[band] += image[slot] / np.float32(shares[band])
        return total

    def _network(self, part: _Part, group: list[int], draw: int) -> Tensor:
        """The network on one part, [1,C,h,w] float32."""
        lms = self._tensor(part.lms[group])
        noise = None
        if self.settings.noise != "zero":
            noise = [
                self._tensor(
                    self.field.read(part.region, self.pair.bands + 1, draw, step)[[*group, -1]]
                )
                for step in range(len(self.network.timesteps))
            ]
        return sharpen(self.model, self._tensor(part.pan), lms, noise, self.precision)

    def _tensor(self, values: Array) -> Tensor:
        tensor = torch.from_numpy(np.ascontiguousarray(values))[None].to(self.model.device)
        return tensor.contiguous(memory_format=torch.channels_last)

    def _probe(self, precision: str, side: int = 128) -> Tensor:
        """One pass over a window of smooth noise, the same on every machine."""
        square, card = Window(0, 0, side, side), self.model.card
        ground = np.clip(0.4 + 0.1 * NoiseField(1).read(square, card.bands + 1), 0, 1)
        pan, lms = map(self._tensor, (ground[:1], ground[1:]))
        return sharpen(self.model, pan, lms, None, precision)

    # -- the authors' release ---------------------------------------------------------------------

    def _check_reference(self) -> None:
        """Refuse what the release could not do either."""
        pan, ms, card = self.pair.pan.info, self.pair.ms.info, self.model.card
        ratio = round(self.pair.ratio)
        trouble = ""
        if (ms.width * ratio, ms.height * ratio) != (pan.width, pan.height):
            trouble = (
                f"a PAN a whole number of times the MS; these are {pan.width} x {pan.height} and "
                f"{ms.width} x {ms.height} pixels"
            )
        elif self.pair.scene != Window(0, 0, pan.width, pan.height):
            trouble = "a PAN and an MS of one area; these have a part of theirs in common"
        elif pan.width * pan.height > MOST_REFERENCE_PIXELS:
            trouble = (
                f"at most {MOST_REFERENCE_PIXELS} PAN pixels, in one piece; this scene has "
                f"{pan.width * pan.height}"
            )
        elif self.pair.bands != card.bands:
            trouble = f"{card.bands} bands; this image has {self.pair.bands}"
        elif card.base != "lms":
            trouble = f"a model of the enlarged MS; {card.name} goes on from a sharpened image"
        elif self.settings.consistency:
            trouble = "an image as it comes, without --consistency"
        if trouble:
            raise WhetstoneError(
                "REFERENCE", f"The reference preset needs {trouble}.", "Leave the preset out."
            )
        self.network.head.finest_level = "reference"

    def _in_one_piece(self, area: Window, scale: Scale, progress: Progress) -> Strip:
        """The whole scene at once as the authors' code does it (spec crossdiff.md, 7 and 11).

        Statistics are those of the input, the MS is enlarged by torch's bicubic interpolation, the
        finest level of features is dropped.
        """
        pair = self.pair
        pan, pan_valid = pair.read_pan(self.frame)
        size = (pair.ms.info.height, pair.ms.info.width)
        ms, ms_valid = pair.read_ms(Window(0, 0, size[1], size[0]))
        ratio = round(pair.ratio)
        up = F.interpolate(torch.from_numpy(scale.of_image(ms))[None], None, ratio, "bicubic")
        beyond = [(0, whole - own) for whole, own in zip(self.frame.shape, up.shape[2:])]
        lms = np.pad(up[0].numpy(), [(0, 0), *beyond], "symmetric")  # as the PAN is mirrored
        part = _Part(self.frame, scale.of_pan(pan)[None], lms, None)
        self._frozen = [[None] * len(self._layers)]
        moments = SampleMoments()
        try:
            for draw in range(self.settings.samples):
                if progress.cancelled():
                    raise Cancelled()
                image = self._drawn(part, draw)[(..., *area.within(self.frame))]
                moments.add(scale.to_dn(image))
        except (RuntimeError, MemoryError) as error:
            if not machine.is_out_of_memory(error):
                raise
            what = f"A scene of {area.width} x {area.height} pixels in one piece"
            raise machine.too_small(self.model.device, what) from None
        valid = pair.valid(self.frame, pan_valid, ms_valid, Window(0, 0, size[1], size[0]))
        deviation = moments.deviation() if self.settings.samples > 1 else None
        inside = None if valid is None else valid[area.within(self.frame)]
        return Strip(area, moments.mean, deviation, inside)


class _Part(NamedTuple):
    """A region of the frame as the network gets it."""

    region: Window
    pan: Array  # (1, h, w)
    lms: Array  # (B, h, w)
    valid: Array | None  # (h, w)


def _whole(size: int) -> int:
    """The next multiple of STRIDE."""
    return -(-size // STRIDE) * STRIDE


def _with_halo(window: Window) -> Window:
    """A window with all that its pixels depend on, on the grid of the network."""
    left, top = (n - n % STRIDE - REACH for n in (window.col, window.row))
    right, bottom = (_whole(n) + REACH for n in window.stop)
    return Window(left, top, right - left, bottom - top)
