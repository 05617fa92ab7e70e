"""A reduced-resolution pair after Wald: degrade both images, keep the MS as truth."""

from __future__ import annotations

import contextlib
import os
from dataclasses import replace
from typing import TYPE_CHECKING, Callable, Iterator

import numpy as np

from .errors import Cancelled, WhetstoneError
from .interpolation import filter_taps, imresize, reach, resample
from .jobs import DegradeJob, DegradeResult
from .mtf import correlate, gaussian_mtf, product_kernel
from .pair import Pair, open_pair
from .radiometry import output_nodata, to_output
from .raster.model import OutputSpec
from .raster.output import Output
from .tiling import grid
from .types import Window

if TYPE_CHECKING:
    from .raster.source import Source
    from .types import Array, GeoTransform, Progress

BLOCK = 256


def degrade(job: DegradeJob, progress: Progress) -> DegradeResult:
    """Run a :class:`DegradeJob`.

    ``gt.tif`` is the MS, ``pan.tif`` the PAN at the MS pixel centres, ``ms.tif`` the MS reduced by
    the ratio (rounded to an integer) once more. The product keeps a common corner; the toolbox
    protocol keeps every ``[r//2::r]``-th sample. All three are georeferenced accordingly.
    """
    with open_pair(job.pan, job.ms, sensor=job.sensor, protocol=job.protocol) as pair:
        ratio = round(pair.ratio)
        whole = Window(0, 0, pair.ms.info.width, pair.ms.info.height)
        area = pair.geometry.ms_window(pair.scene).intersect(whole)
        area = area._replace(
            width=area.width - area.width % ratio, height=area.height - area.height % ratio
        )
        if min(area.width, area.height) < 4 * ratio:
            raise WhetstoneError(
                "TOO_SMALL",
                f"The common area is {area.width} x {area.height} MS pixels; "
                f"reduced by {ratio} nothing is left.",
                "Use a larger scene.",
            )
        writer = _Writer(pair, ratio, area, job, progress)
        make = _toolbox if job.protocol == "toolbox" else _product
        with made_folder(job.out_dir), writer:
            make(pair, ratio, area, writer)
            writer.complete()
        notes = pair.notes
    progress.update(1.0, "done")
    return DegradeResult(
        pan=writer.path("pan"),
        ms=writer.path("ms"),
        gt=writer.path("gt"),
        ratio=ratio,
        sensor=pair.sensor.key,
        notes=notes,
    )


@contextlib.contextmanager
def made_folder(path: str) -> Iterator[None]:
    """A folder for outputs, made if needed; one that was made goes again if the work fails."""
    there = os.path.isdir(path)
    try:
        os.makedirs(path, exist_ok=True)
    except OSError as error:
        raise WhetstoneError(
            "OUT_FOLDER",
            f"The folder '{path}' cannot be made: {error.strerror or error}.",
            "Choose another one.",
        ) from None
    try:
        yield
    except BaseException:
        if not there:
            with contextlib.suppress(OSError):  # somebody else put something there
                os.rmdir(path)
        raise


class _Writer(contextlib.ExitStack):
    """The three outputs; they appear together or not at all."""

    def __init__(
        self, pair: Pair, ratio: int, area: Window, job: DegradeJob, progress: Progress
    ) -> None:
        super().__init__()
        self._pair, self._job, self._progress = pair, job, progress
        phase = ratio // 2 if job.protocol == "toolbox" else (ratio - 1) / 2
        small = Window(0, 0, area.width // ratio, area.height // ratio)
        fine = _moved(pair.ms.info.transform, area.col, area.row)
        coarse = _reduced(fine, ratio, phase)
        self._specs = {
            "pan": (pair.pan, area, fine),
            "gt": (pair.ms, area, fine),
            "ms": (pair.ms, small, coarse),
        }
        self._outputs: dict[str, tuple[Output, np.dtype, float | None]] = {}

    def path(self, name: str) -> str:
        """Where an output goes."""
        return os.path.abspath(os.path.join(self._job.out_dir, f"{name}.tif"))

    def __enter__(self) -> _Writer:
        super().__enter__()
        try:
            for name, (source, window, transform) in self._specs.items():
                self._outputs[name] = self._open(name, source, window, transform)
        except BaseException:
            self.__exit__(*_failure())
            raise
        return self

    def _open(
        self, name: str, source: Source, window: Window, transform: GeoTransform | None
    ) -> tuple[Output, np.dtype, float | None]:
        dtype = np.dtype(source.info.bands[0].dtype)
        nodata = output_nodata(
            dtype, source.info, self._pair.pan.may_be_invalid or self._pair.ms.may_be_invalid
        )
        keep = {
            k: v
            for k, v in source.info.tags.items()
            if k in ("SENSOR", "BITS", "SOURCE", "LICENCE")
        }
        spec = OutputSpec(
            window.width,
            window.height,
            tuple(replace(band, nodata=nodata) for band in source.info.bands),
            self._pair.ms.info.crs,
            transform,
            tags={**keep, "WHETSTONE_DEGRADED": self._job.protocol},
        )
        output = Output(
            self.path(name),
            spec,
            self._pair.backend,
            fingerprint="",
            overviews=False,
            inputs=[*self._job.pan.paths, *self._job.ms.paths],
        )
        return self.enter_context(output), dtype, nodata

    def put(self, name: str, window: Window, values: Array, valid: Array | None) -> None:
        """Round and write (B, h, w) at a window of an output."""
        if self._progress.cancelled():
            raise Cancelled()
        output, dtype, nodata = self._outputs[name]
        output.write(window, to_output(values, valid, dtype, nodata))

    def complete(self) -> None:
        """Do all that may fail for want of space, before the first output appears."""
        for output, _, _ in self._outputs.values():
            output.complete()

    def done(self, fraction: float) -> None:
        """Tell how far it is."""
        self._progress.update(fraction, "degrading")


def _failure() -> tuple[type[BaseException], BaseException, None]:
    """An exit that makes every open output discard itself."""
    return WhetstoneError, WhetstoneError("FAILED", ""), None


def _product(pair: Pair, ratio: int, area: Window, writer: _Writer) -> None:
    """Filters at true positions, window by window on the MS grid."""
    blocks = grid(area, BLOCK * ratio // int(np.gcd(BLOCK, ratio)))
    pan_kernel = product_kernel(pair.sensor.pan_gain, pair.ratio)
    kernels = [product_kernel(gain, ratio) for gain in pair.sensor.ms_gains]
    for done, block in enumerate(blocks):
        local = block._replace(col=block.col - area.col, row=block.row - area.row)
        gt, gt_valid = pair.read_ms(block)
        writer.put("gt", local, gt, gt_valid)
        places = pair.geometry.pan_positions(block)
        pan, pan_valid = sampled(pair.read_pan, *places, [pan_kernel])
        writer.put("pan", local, pan, pan_valid)
        small = _coarse(local, ratio)
        if not small.empty:
            rows = area.row + (ratio - 1) / 2 + ratio * np.arange(small.row, small.stop[1])
            cols = area.col + (ratio - 1) / 2 + ratio * np.arange(small.col, small.stop[0])
            writer.put("ms", small, *sampled(pair.read_ms, rows, cols, kernels))
        writer.done((done + 1) / len(blocks))


def sampled(
    read: Callable[[Window], tuple[Array, Array | None]],
    rows: Array,
    cols: Array,
    kernels: list[Array],
) -> tuple[Array, Array | None]:
    """Images filtered per band and sampled between pixels; validity of the nearest pixel.

    Args:
        read: Gives values (h, w) or (B, h, w) of any window, and their validity.
        rows, cols: Where to sample, (h',) and (w',), in pixels of what is read.
        kernels: One symmetric kernel per band.

    Returns:
        (B, h', w'), and (h', w') or None where all is valid.
    """
    longest = max(kernels, key=len)
    window = reach(*(filter_taps(where, longest) for where in (rows, cols)))
    values, valid = read(window)
    images = values if values.ndim == 3 else values[None]
    out = np.stack(
        [
            resample(
                image,
                filter_taps(rows, k).shifted(window.row),
                filter_taps(cols, k).shifted(window.col),
            )
            for image, k in zip(images, kernels)
        ]
    )
    if valid is not None:
        near = [np.floor(where + 0.5).astype(int) for where in (rows, cols)]
        valid = valid[np.ix_(near[0] - window.row, near[1] - window.col)]
    return out, valid


def _coarse(block: Window, ratio: int) -> Window:
    """The reduced pixels a block starts; blocks that tile, tile here too."""
    col, row = -(-block.col // ratio), -(-block.row // ratio)
    return Window(col, row, -(-block.stop[0] // ratio) - col, -(-block.stop[1] // ratio) - row)


def _toolbox(pair: Pair, ratio: int, area: Window, writer: _Writer) -> None:
    """Whole arrays, as the published data sets were made."""
    pan, _ = pair.read_pan(pair.scene)
    ms, valid = pair.read_ms(area)
    start = ratio // 2
    small = np.stack(
        [
            correlate(band, gaussian_mtf(gain, ratio))[start::ratio, start::ratio]
            for band, gain in zip(ms, pair.sensor.ms_gains)
        ]
    )
    here = Window(0, 0, area.width, area.height)
    reduced = imresize(pan, (pair.ms.info.height, pair.ms.info.width))[: area.height, : area.width]
    writer.put("gt", here, ms, valid)
    writer.put("pan", here, reduced[None], valid)
    writer.put(
        "ms",
        _coarse(here, ratio),
        small,
        None if valid is None else valid[start::ratio, start::ratio],
    )


def _moved(transform: GeoTransform | None, col: float, row: float) -> GeoTransform | None:
    if transform is None:
        return None
    x0, dx, _, y0, _, dy = transform
    return x0 + dx * col, dx, 0.0, y0 + dy * row, 0.0, dy


def _reduced(transform: GeoTransform | None, ratio: int, phase: float) -> GeoTransform | None:
    """The grid whose pixel 0 is centred on pixel ``phase`` and ``ratio`` times as large."""
    if transform is None:
        return None
    x0, dx, _, y0, _, dy = transform
    corner = phase + 0.5 - ratio / 2
    return x0 + dx * corner, dx * ratio, 0.0, y0 + dy * corner, 0.0, dy * ratio
