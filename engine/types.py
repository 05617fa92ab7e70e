"""The words the engine uses for its values: windows, progress, array aliases."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Tuple

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray

#: (xmin, ymin, xmax, ymax) in the units of a CRS.
BBox = Tuple[float, float, float, float]

#: Affine geotransform in GDAL's order: (x0, dx, 0, y0, 0, -dy) of the upper-left *corner*.
GeoTransform = Tuple[float, float, float, float, float, float]


class Window(NamedTuple):
    """A rectangle of whole pixels: first column, first row, width, height.

    It may reach beyond its raster; readers that accept such windows say how they extend the data.
    """

    col: int
    row: int
    width: int
    height: int

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns), as in ``array.shape``."""
        return self.height, self.width

    @property
    def stop(self) -> tuple[int, int]:
        """First (column, row) after the window."""
        return self.col + self.width, self.row + self.height

    @property
    def empty(self) -> bool:
        """Whether the window holds no pixel."""
        return self.width <= 0 or self.height <= 0

    def expand(self, pixels: int) -> Window:
        """The window grown by ``pixels`` on every side."""
        return Window(
            self.col - pixels, self.row - pixels, self.width + 2 * pixels, self.height + 2 * pixels
        )

    def intersect(self, other: Window) -> Window:
        """The common part of two windows; ``empty`` when there is none."""
        col, row = max(self.col, other.col), max(self.row, other.row)
        (c1, r1), (c2, r2) = self.stop, other.stop
        return Window(col, row, max(min(c1, c2) - col, 0), max(min(r1, r2) - row, 0))

    def contains(self, other: Window) -> bool:
        """Whether ``other`` lies wholly inside."""
        return self.intersect(other) == other

    def within(self, outer: Window) -> tuple[slice, slice]:
        """(row, column) slices of this window inside an array that covers ``outer``."""
        row, col = self.row - outer.row, self.col - outer.col
        return slice(row, row + self.height), slice(col, col + self.width)


class Progress:
    """What a host gives to a job so that it can be watched and stopped. This one is silent."""

    def update(self, fraction: float, text: str = "") -> None:
        """Report that ``fraction`` (0 to 1) of the job is done; ``text`` names the act."""

    def message(self, text: str) -> None:
        """Tell the user something worth reading once (a warning, a decision)."""

    def cancelled(self) -> bool:
        """Whether the user asked to stop. Jobs ask at least four times a second."""
        return False


class PartOfProgress(Progress):
    """A share of another progress, for a job made of several: ``start`` to ``stop`` of it."""

    def __init__(self, whole: Progress, start: float, stop: float, prefix: str = "") -> None:
        self._whole, self._start, self._span, self._prefix = whole, start, stop - start, prefix

    def update(self, fraction: float, text: str = "") -> None:
        """Report within the share."""
        self._whole.update(self._start + self._span * fraction, f"{self._prefix}{text}")

    def message(self, text: str) -> None:
        """Pass the message on."""
        self._whole.message(f"{self._prefix}{text}")

    def cancelled(self) -> bool:
        """Ask the whole."""
        return self._whole.cancelled()
