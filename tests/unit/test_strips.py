"""Strips of any height are written in whole rows of tiles, and resumable only there."""

from __future__ import annotations

import numpy as np
import pytest
from whetstone.engine import strips
from whetstone.engine.strips import StripWriter
from whetstone.engine.types import Window


class Paper:
    """An output that remembers."""

    def __init__(self, height, width, fails=False):
        self.image = np.full((2, height, width), -1.0)
        self.windows, self.checkpoints, self.fails = [], [], fails

    def write(self, window, values):
        if self.fails:
            raise OSError("disk full")
        self.windows.append(window)
        self.image[(slice(None), *window.within(Window(0, 0, *self.image.shape[:0:-1])))] = values

    def checkpoint(self, rows):
        self.checkpoints.append(rows)


@pytest.mark.parametrize("heights", [[48] * 10 + [20], [500], [7, 493], [1] * 500])
@pytest.mark.parametrize("first", [0, 200])
def test_every_row_arrives_once_in_whole_tiles(monkeypatch, heights, first):
    monkeypatch.setattr(strips, "CHUNK_ROWS", 128)
    area = Window(10, 30, 6, 500 + first)
    truth = np.random.default_rng(1).random((2, area.height, area.width))
    paper = Paper(area.height, area.width)
    with StripWriter([paper, paper], area) as writer:
        row = first
        for height in heights:
            part = truth[:, row : row + height]
            writer.add(area.row + row, [part, part])
            row += height
    np.testing.assert_array_equal(paper.image[:, first:], truth[:, first:])
    starts = [w.row for w in paper.windows[::2]]
    assert all(row % 128 == 0 for row in starts[1:])
    assert paper.checkpoints[-1] == area.height
    assert all(rows % 128 == 0 for rows in paper.checkpoints[:-2])


def test_an_error_of_the_writer_reaches_the_caller():
    area = Window(0, 0, 4, 2000)
    with pytest.raises(OSError, match="disk full"), StripWriter([Paper(2000, 4, True)], area) as w:
        for row in range(0, 2000, 100):
            w.add(row, [np.zeros((2, 100, 4))])
