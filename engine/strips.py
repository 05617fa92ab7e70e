"""Rows of an image that come out in order, written beside the work, whole tiles at a time."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import TYPE_CHECKING, Sequence

import numpy as np

from .types import Window

if TYPE_CHECKING:
    from .raster.output import Output
    from .types import Array

#: The height of the tiles in a file: written in parts, a tile would be packed once a part.
CHUNK_ROWS = 512


class StripWriter:
    """Collects strips of the full width of ``area`` and writes them from a thread of its own.

    Each strip brings one image per output. Leaving the context waits for the last write; an error
    of a write is raised by the next call.
    """

    def __init__(self, outputs: Sequence[Output], area: Window) -> None:
        self._outputs, self._area = outputs, area
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="whetstone-writer")
        self._written: Future[None] | None = None
        self._chunk: _Chunk | None = None

    def add(self, row: int, images: Sequence[Array]) -> None:
        """Take (bands, h, w) images whose first row is ``row`` of the PAN."""
        taken = 0
        while taken < images[0].shape[1]:
            if self._chunk is None:
                self._chunk = _Chunk(self._area, row + taken, images)
            taken += self._chunk.add(row + taken, [image[:, taken:] for image in images])
            if self._chunk.full:
                self._wait()
                self._written = self._pool.submit(self._write, self._chunk)
                self._chunk = None

    def _write(self, chunk: _Chunk) -> None:
        area, window = self._area, chunk.window
        inside = window._replace(col=window.col - area.col, row=window.row - area.row)
        for output, image in zip(self._outputs, chunk.images):
            output.write(inside, image)
        for output in self._outputs:
            output.checkpoint(inside.stop[1])

    def _wait(self) -> None:
        if self._written is not None:
            self._written.result()

    def __enter__(self) -> StripWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._pool.shutdown(wait=True)
        if kind is None:
            self._wait()


class _Chunk:
    """Rows that are written together, down to the next multiple of ``CHUNK_ROWS``."""

    def __init__(self, area: Window, row: int, like: Sequence[Array]) -> None:
        top = row - area.row
        stop = min(top - top % CHUNK_ROWS + CHUNK_ROWS, area.height)
        self.window = Window(area.col, row, area.width, stop - top)
        self.images = [np.empty((len(x), *self.window.shape), x.dtype) for x in like]
        self._filled = 0

    @property
    def full(self) -> bool:
        """Whether all its rows are there."""
        return self._filled == self.window.height

    def add(self, row: int, images: Sequence[Array]) -> int:
        """Take rows from ``row`` on as far as they fit; returns how many."""
        start = row - self.window.row
        count = min(images[0].shape[1], self.window.height - start)
        for mine, theirs in zip(self.images, images):
            mine[:, start : start + count] = theirs[:, :count]
        self._filled += count
        return count
