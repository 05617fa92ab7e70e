"""Windows over a scene, and the worker threads that go through them in order."""

from __future__ import annotations

import os
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Callable, Iterable, Iterator, TypeVar

from .errors import Cancelled
from .types import Progress, Window

Item = TypeVar("Item")
Result = TypeVar("Result")


def grid(area: Window, size: int) -> list[Window]:
    """The windows of a grid of ``size`` pixels, fixed to pixel (0, 0) of the PAN, cut to ``area``.

    Raster order. The windows do not depend on ``area`` beyond being cut to it, so fusing a part
    asks for the same windows as fusing the whole.
    """
    col_stop, row_stop = area.stop
    return [
        Window(col, row, size, size).intersect(area)
        for row in range(area.row - area.row % size, row_stop, size)
        for col in range(area.col - area.col % size, col_stop, size)
    ]


def spread(items: list[Item], most: int) -> list[Item]:
    """At most ``most`` of the items, evenly spread, always the same ones."""
    if len(items) <= most:
        return items
    return [items[(2 * i + 1) * len(items) // (2 * most)] for i in range(most)]


def scattered(windows: list[Window], most: int) -> list[Window]:
    """At most ``most`` windows, evenly spread over both axes, in raster order; always the same.

    Every n-th window in raster order may lie in one column; every n-th along a Z-curve does not.
    """
    ranks = [
        {edge: rank for rank, edge in enumerate(sorted({w[axis] for w in windows}))}
        for axis in (0, 1)
    ]

    def along_z(window: Window) -> int:
        col, row = ranks[0][window.col], ranks[1][window.row]
        return sum(
            (col >> bit & 1) << 2 * bit | (row >> bit & 1) << 2 * bit + 1 for bit in range(20)
        )

    chosen = spread(sorted(windows, key=along_z), most)
    return sorted(chosen, key=lambda window: (window.row, window.col))


def thread_count(asked: int) -> int:
    """Worker threads to use; 0 asks for one per core this process may use."""
    if asked > 0:
        return asked
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def in_order(
    work: Callable[[Item], Result], items: Iterable[Item], threads: int, progress: Progress
) -> Iterator[tuple[Item, Result]]:
    """Yield (item, work(item)) in the order of the items, computed by ``threads`` threads.

    At most two items per thread are ahead of the consumer, so memory stays constant. Raises
    ``Cancelled`` as soon as the progress says so.
    """
    pending: deque[tuple[Item, Future[Result]]] = deque()
    source = iter(items)
    pool = ThreadPoolExecutor(max_workers=threads, thread_name_prefix="whetstone")
    try:
        while True:
            while len(pending) < threads + 1:
                item = next(source, None)
                if item is None:
                    break
                pending.append((item, pool.submit(work, item)))
            if not pending:
                return
            item, future = pending.popleft()
            while not _wait(future):
                if progress.cancelled():
                    raise Cancelled()
            if progress.cancelled():
                raise Cancelled()
            yield item, future.result()
    finally:
        for _, future in pending:
            future.cancel()
        pool.shutdown(wait=True)


def _wait(future: Future, seconds: float = 0.1) -> bool:
    """Whether the future is done within ``seconds``."""
    from concurrent.futures import wait

    return bool(wait([future], timeout=seconds).done)
