"""A scene as training sees it: windows in memory, some blocks of them held out for validation.

*Reduced* windows lie on the MS grid and have a truth: PAN and MS are degraded by the ratio with the
filters of the sensor, and the MS itself is what they should give (Wald). *Full* windows lie on the
PAN grid and have the measured MS instead. In both the PAN is moved onto the MS.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Callable, Iterator, Mapping, NamedTuple, cast

import numpy as np

from ..degrade import sampled
from ..errors import Cancelled, WhetstoneError
from ..interpolation import lagrange_taps, reach, resample
from ..mtf import product_kernel
from ..nodata import fill_reach, steps_to
from ..pair import Geometry, Pair
from ..registration import PanOnMS
from ..tiling import grid, scattered
from ..types import Window
from .crossdiff import REACH, STRIDE
from .inputs import Scale, read_pan_and_lms, scale_of
from .presharpen import Presharpener

if TYPE_CHECKING:
    from ..raster.source import Source
    from ..registration import Shift
    from ..types import Array, Progress

#: Sides of windows and of training patches, the latter also of the blocks that are held out.
SIDE, PATCHES = 256, (64, 32)
#: So many windows at most are kept in memory.
MOST = 48
#: Of the valid blocks, so many in a hundred are held out, at least one and at most so many.
HELD_OUT_PERCENT, MOST_HELD_OUT = 15, 40
#: Patches begin at multiples of this many pixels of their window.
STEP = 4


class Images(NamedTuple):
    """A window in digital numbers, and the MS around it on the grid ``ms_window`` lies on."""

    pan: Array  # (h, w)
    lms: Array  # (B, h, w)
    base: Array  # (B, h, w), what a model gets for the LMS; mostly that itself
    truth: Array | None  # (B, h, w)
    valid: Array | None  # (h, w)
    ms: Array  # (B, h', w')
    ms_counts: Array  # (h', w') bool, those with their centre on a valid pixel of the window
    ms_window: Window


#: Reads a window of the grid that is trained on.
Read = Callable[[Window], Images]
#: Makes the base of a pair.
BaseOf = Callable[[Pair], Presharpener]


class ReducedPair(Pair):
    """A pair as its own reduced form: PAN on the grid of the MS, and the MS on a coarser one."""

    def __init__(self, pair: Pair, shift: Shift | None) -> None:
        self.__dict__.update(pair.__dict__)
        self._whole = pair
        ratio, info = max(round(pair.ratio), 2), pair.ms.info
        self.geometry = Geometry((float(ratio),) * 2, ((ratio - 1) / 2,) * 2)
        self.scene = pair.geometry.ms_window(pair.scene).intersect(
            Window(0, 0, info.width, info.height)
        )
        small = replace(info, width=info.width // ratio, height=info.height // ratio)
        self.ms = cast("Source", SimpleNamespace(info=small))  # nobody reads it but we
        self._pan_kernel = [product_kernel(pair.sensor.pan_gain, pair.ratio)]
        self._kernels = [product_kernel(gain, ratio) for gain in pair.sensor.ms_gains]
        self._move = (0.0, 0.0) if shift is None else (shift.dx, shift.dy)

    def read_pan(self, window: Window, steps: int = 0) -> tuple[Array, Array | None]:
        """PAN (h, w) through its MTF at the MS pixel centres, and its validity."""
        rows, cols = self._whole.geometry.pan_positions(window)

        def read(around: Window) -> tuple[Array, Array | None]:
            return self._whole.read_pan(around, _finer(steps, self._whole.ratio))

        right, down = self._move
        values, valid = sampled(read, rows + down, cols + right, self._pan_kernel)
        return values[0], valid

    def read_ms(self, window: Window, steps: int = 0) -> tuple[Array, Array | None]:
        """MS (B, h, w) through the MTF of its bands on the coarser grid, and its validity."""

        def read(around: Window) -> tuple[Array, Array | None]:
            return self._whole.read_ms(around, _finer(steps, self.ratio))

        return sampled(read, *self.geometry.pan_positions(window), self._kernels)


def _finer(steps: int, ratio: float) -> int:
    """Steps of filling that reach as far on a finer grid; 0 stays 0."""
    return steps and steps_to(round(fill_reach(steps) * ratio))


def reduced(pair: Pair, shift: Shift | None, base_of: BaseOf | None = None) -> tuple[Window, Read]:
    """The area of the MS that has pixels on the PAN, and how its reduced windows are read.

    ``base_of`` makes what comes in place of the LMS.
    """
    small = ReducedPair(pair, shift)
    base = base_of(small) if base_of else None

    def read(window: Window) -> Images:
        truth, valid = pair.read_ms(window)
        pan, pan_valid = small.read_pan(window)
        places = small.geometry.ms_positions(window)
        rows, cols = map(lagrange_taps, places)
        around = reach(rows, cols)
        ms, ms_valid = small.read_ms(around)
        lms = resample(ms, rows.shifted(around.row), cols.shifted(around.col))
        given = base.image(pan, window) if base else lms
        masks = [m for m in (valid, pan_valid) if m is not None]
        if ms_valid is not None:  # a reduced pixel counts for all that it covers
            near = [np.rint(where).astype(int) for where in places]
            masks.append(ms_valid[np.ix_(near[0] - around.row, near[1] - around.col)])
        both = np.logical_and.reduce(masks) if masks else None
        counts = _counts(small.geometry.pan_positions(around), window, both)
        return Images(pan, lms, given, truth, both, ms, counts, around)

    return small.scene, read


def full(pair: Pair, shift: Shift | None, base_of: BaseOf | None = None) -> tuple[Window, Read]:
    """The scene, and how its windows are read as they are, without a truth.

    ``base_of`` makes what comes in place of the LMS.
    """
    whole = pair if shift is None else PanOnMS(pair, shift)
    base = base_of(whole) if base_of else None

    def read(window: Window) -> Images:
        pan, lms, valid = read_pan_and_lms(whole, window, REACH)
        given = base.image(pan, window, REACH) if base else lms
        unmoved = pair.read_pan(window)[1] if shift else None
        if unmoved is not None:
            valid = unmoved if valid is None else valid & unmoved
        around = pair.geometry.ms_window(window).expand(2)
        ms, _ = pair.read_ms(around)
        counts = _counts(pair.geometry.pan_positions(around), window, valid)
        return Images(pan, lms, given, None, valid, ms, counts, around)

    return pair.scene, read


def _counts(centres: tuple[Array, Array], window: Window, valid: Array | None) -> Array:
    """Which MS pixels, by the rows and columns of their centres, lie on valid pixels of a window.

    A fusion takes the scale of the scene from the same pixels.
    """
    near = [np.floor(where + 0.5).astype(int) for where in centres]
    rows, cols = near[0] - window.row, near[1] - window.col
    inside = [(index >= 0) & (index < size) for index, size in zip((rows, cols), window.shape)]
    out = np.outer(*inside)
    if valid is not None:
        out[out] = valid[np.ix_(rows[inside[0]], cols[inside[1]])].ravel()
    return out


@dataclass(frozen=True, eq=False)
class Chunks:
    """Windows of one size in digital numbers, and where in them patches may lie.

    Attributes:
        windows: Where they lie on the grid they were read from.
        images: What they hold.
        valid: (n, h, w) bool
        patch: Side of the training patches, and of the blocks that are held out.
        origins: (m, 3) window, row and column of the patches without invalid or held-out pixels.
        chance: (m,) How often each is drawn: patches with more detail more often.
        held_out: (k, 3) The same of the blocks that are held out.
        held_out_percent: Their share of the valid pixels.
    """

    windows: list[Window]
    images: list[Images]
    valid: Array
    patch: int
    origins: Array
    chance: Array
    held_out: Array
    held_out_percent: float

    def draw(self, count: int, rng: np.random.Generator) -> Array:
        """Origins of random patches, (count, 3)."""
        return self.origins[rng.choice(len(self.origins), count, p=self.chance)]

    def scale(self, normalisation: Mapping[str, Any]) -> Scale:
        """How a model normalises the scene, from all valid pixels."""
        pan = np.concatenate([i.pan[good] for i, good in zip(self.images, self.valid)])
        ms = [i.ms[:, i.ms_counts] for i in self.images]
        return scale_of(normalisation, pan, np.concatenate(ms, axis=1))


def read_chunks(area: Window, read: Read, hold_out: bool, progress: Progress) -> Chunks:
    """Read the windows of an area that tell most.

    Raises:
        WhetstoneError: ``TOO_SMALL`` when there is no room for training beside what is held out.
    """
    shape = (_even(area.height), _even(area.width))
    found: list[tuple[Window, Images]] = []
    windows = _covering(area, shape)
    for number, window in enumerate(_telling(windows, read, progress)):
        if progress.cancelled():
            raise Cancelled()
        images = read(window)
        if images.valid is None or images.valid.any():
            found.append((window, images))
        progress.update((number + 1) / min(len(windows), MOST), "reading the scene")
    for patch in PATCHES:
        if found and min(shape) >= patch:
            made = _chunks(found, patch, hold_out)
            if made is not None:
                return made
    raise WhetstoneError(
        "TOO_SMALL",
        f"The scene has {area.width} x {area.height} pixels to learn from; no patch of "
        f"{PATCHES[-1]} pixels without missing ones is left beside those to validate on.",
        "Use a larger scene, or a model that was trained elsewhere.",
    )


def _even(size: int) -> int:
    """The side of as few windows as cover an axis evenly, a multiple of STRIDE."""
    each = -(-size // -(-size // SIDE)) if size else 0
    return min(-(-each // STRIDE) * STRIDE, size - size % STRIDE)


def _covering(area: Window, shape: tuple[int, int]) -> list[Window]:
    """Windows of one shape over an area; the last of a row or column are moved inside."""
    height, width = shape
    if min(shape) < PATCHES[-1]:
        return []
    return [
        Window(min(col, area.stop[0] - width), min(row, area.stop[1] - height), width, height)
        for row in range(area.row, area.stop[1], height)
        for col in range(area.col, area.stop[0], width)
    ]


def _telling(windows: list[Window], read: Read, progress: Progress) -> Iterator[Window]:
    """At most MOST windows: the more detailed of twice as many that lie evenly spread."""
    if len(windows) <= MOST:
        yield from windows
        return
    spread = scattered(windows, 2 * MOST)
    details = []
    for window in spread:
        if progress.cancelled():
            raise Cancelled()
        images = read(window)
        good = images.pan if images.valid is None else images.pan[images.valid]
        details.append(float(good.std()) if good.size else -1.0)
    best = sorted(np.argsort(details)[-MOST:])
    yield from (spread[i] for i in best)


def _chunks(found: list[tuple[Window, Images]], patch: int, hold_out: bool) -> Chunks | None:
    """The windows with patches of one size; None where there is no room for any."""
    windows, images = [w for w, _ in found], [i for _, i in found]
    valid = np.stack([np.ones(w.shape, bool) if i.valid is None else i.valid for w, i in found])
    blocks = _blocks(windows, valid, patch)
    count = min(max(len(blocks) * HELD_OUT_PERCENT // 100, 1), MOST_HELD_OUT)
    held_out = scattered(blocks, count) if hold_out else []
    free = valid.copy()
    for block in held_out:
        for number, window in enumerate(windows):
            common = block.intersect(window)
            if not common.empty:
                free[(number, *common.within(window))] = False
    origins, chance = _origins(np.stack([i.pan for i in images]), free, patch)
    if not len(origins) or (hold_out and not held_out):
        return None
    places = []
    for block in held_out:
        number = next(n for n, window in enumerate(windows) if window.contains(block))
        window = windows[number]
        places.append((number, block.row - window.row, block.col - window.col))
    share = 100 * len(held_out) * patch**2 / int(valid.sum())
    return Chunks(windows, images, valid, patch, origins, chance, np.array(places), share)


def _blocks(windows: list[Window], valid: Array, side: int) -> list[Window]:
    """Blocks without invalid pixels on one grid for the whole scene, from its first pixel on."""
    col, row = windows[0][:2]
    blocks = [
        block._replace(col=block.col + col, row=block.row + row)
        for window, good in zip(windows, valid)
        for local in [window._replace(col=window.col - col, row=window.row - row)]
        for block in grid(local, side)
        if block.shape == (side, side) and good[block.within(local)].all()
    ]
    return list(dict.fromkeys(blocks))


def _origins(pan: Array, free: Array, patch: int) -> tuple[Array, Array]:
    """Origins of the patches that are free throughout, and the deviation of the PAN in each."""
    count = patch * patch
    whole = _sums((~free).astype(np.float64), patch) == 0
    mean = pan.mean(dtype=np.float64)
    first, second = (_sums((pan - mean).astype(np.float64) ** k, patch) / count for k in (1, 2))
    places = np.argwhere(whole)
    deviation = np.sqrt(np.maximum(second - first**2, 0))[whole]
    floor = 0.2 * deviation.mean() if len(deviation) else 0.0
    chance = np.maximum(deviation, max(floor, 1e-12))
    return places * (1, STEP, STEP), chance / chance.sum() if len(chance) else chance


def _sums(images: Array, side: int) -> Array:
    """Sums over squares (n, rows, cols) whose corners lie at multiples of STEP."""
    table = np.pad(images, ((0, 0), (1, 0), (1, 0))).cumsum(1).cumsum(2)
    a, b = table[:, :-side, :], table[:, side:, :]
    rows = b - a
    return (rows[:, :, side:] - rows[:, :, :-side])[:, ::STEP, ::STEP]
