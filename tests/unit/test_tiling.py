"""Windows, and the threads that go through them."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from whetstone.engine.errors import Cancelled
from whetstone.engine.tiling import grid, in_order, spread, thread_count
from whetstone.engine.types import PartOfProgress, Progress, Window

# ------------------------------------------------------------------------------------------ grid


@pytest.mark.parametrize(
    "area", (Window(0, 0, 137, 91), Window(13, 29, 101, 64), Window(64, 64, 1, 1))
)
@pytest.mark.parametrize("size", (1000, 64, 33))
def test_the_grid_covers_every_pixel_once(area, size):
    count = np.zeros((200, 200), int)
    windows = grid(area, size)
    for window in windows:
        assert not window.empty
        count[window.within(Window(0, 0, 200, 200))] += 1
    inside = area.within(Window(0, 0, 200, 200))
    assert np.all(count[inside] == 1)
    assert count.sum() == area.width * area.height
    assert windows == sorted(windows, key=lambda w: (w.row, w.col))


def test_the_grid_is_fixed_to_the_pan():
    """A part of the scene has the windows of the whole, cut."""
    whole = grid(Window(0, 0, 300, 200), 64)
    area = Window(70, 10, 100, 120)
    assert grid(area, 64) == [w.intersect(area) for w in whole if not w.intersect(area).empty]


# ---------------------------------------------------------------------------------------- spread


@pytest.mark.parametrize(("count", "most"), ((100, 7), (65, 64), (9, 9), (10, 1), (1000, 64)))
def test_spread(count, most):
    items = list(range(count))
    found = spread(items, most)
    assert len(found) == min(count, most)
    assert found == sorted(set(found)) == spread(items, most)
    gaps = np.diff([-1, *found, count])
    assert gaps[1:-1].size == 0 or np.ptp(gaps[1:-1]) <= 1
    assert max(gaps[0], gaps[-1]) <= gaps.max()


def test_few_items_are_all_kept():
    items = [3, 1, 2]
    assert spread(items, 9) == items
    assert spread([], 9) == []


# -------------------------------------------------------------------------------------- in_order


class Stop(Progress):
    """Cancelled once asked to."""

    def __init__(self):
        self.stopped = False

    def cancelled(self):
        return self.stopped


@pytest.mark.parametrize("threads", (1, 2, 5))
def test_the_order_is_kept(threads):
    """Later items are done first and still come later."""
    later = threading.Event()

    def work(item):
        if item == 0 and threads > 1:
            later.wait(10)
        if item == 1:
            later.set()
        return item * item

    found = list(in_order(work, range(30), threads, Progress()))
    assert found == [(i, i * i) for i in range(30)]


def test_nothing_to_do():
    assert list(in_order(str, [], 3, Progress())) == []


@pytest.mark.parametrize("threads", (1, 3))
def test_an_exception_arrives_in_its_turn(threads):
    done = []

    def work(item):
        if item == 4:
            raise ZeroDivisionError("four")
        return item

    with pytest.raises(ZeroDivisionError, match="four"):
        for item, _ in in_order(work, range(20), threads, Progress()):
            done.append(item)
    assert done == [0, 1, 2, 3]


def test_cancel_while_a_worker_is_busy():
    progress, go = Stop(), threading.Event()

    def work(item):
        if item == 1:
            progress.stopped = True
            go.wait(0.5)
        return item

    with pytest.raises(Cancelled):
        list(in_order(work, range(1000), 1, progress))
    go.set()


def test_cancel_between_items():
    progress, seen = Stop(), []
    with pytest.raises(Cancelled):
        for item, _ in in_order(lambda i: i, range(1000), 2, progress):
            seen.append(item)
            progress.stopped = item == 5
    assert seen == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("threads", (1, 4))
def test_only_a_few_items_are_ahead(threads):
    started = []

    def items():
        for i in range(200):
            started.append(i)
            yield i

    for item, _ in in_order(lambda i: i, items(), threads, Progress()):
        assert len(started) - item <= 2 * threads + 1


def test_leaving_early_stops_the_threads():
    before = threading.active_count()
    for _ in in_order(lambda i: i, range(100), 3, Progress()):
        break
    else:
        pytest.fail("nothing came")
    for thread in threading.enumerate():
        if thread.name.startswith("whetstone"):
            thread.join(10)
    assert threading.active_count() <= before


def test_thread_count():
    assert thread_count(3) == 3
    assert thread_count(0) >= 1


# ---------------------------------------------------------------------------- windows and progress


def test_window():
    window = Window(10, 20, 30, 40)
    assert window.shape == (40, 30)
    assert window.stop == (40, 60)
    assert window.expand(2) == Window(8, 18, 34, 44)
    assert window.expand(2).contains(window)
    assert not window.contains(window.expand(1))
    assert window.intersect(Window(100, 100, 5, 5)).empty
    assert window.within(Window(5, 5, 100, 100)) == np.s_[15:55, 5:35]


def test_a_part_of_progress():
    seen = []

    class Log(Progress):
        def update(self, fraction, text=""):
            seen.append((fraction, text))

        def message(self, text):
            seen.append(text)

    part = PartOfProgress(Log(), 0.2, 0.6, "gsa: ")
    part.update(0.5, "fusing")
    part.message("careful")
    assert seen == [(pytest.approx(0.4), "gsa: fusing"), "gsa: careful"]
    assert not part.cancelled()
