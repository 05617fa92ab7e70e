"""Borrow GDAL from QGIS: its global switches are set for one act on this thread, and put back."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Iterator

from osgeo import gdal

_CACHE = 128 << 20  # bytes
_lock = threading.Lock()
_borrowed: list[int] = []  # the cache's own size, once per act that made it small
_silenced: list[bool] = []  # whether GDAL raises exceptions, once per act that wants none


@contextmanager
def small_cache() -> Iterator[None]:
    """GDAL's block cache at 128 MB, not 5 % of the memory, for acts that read a whole file."""
    with _lock:
        _borrowed.append(_borrowed[0] if _borrowed else gdal.GetCacheMax())
        gdal.SetCacheMax(min(_borrowed[0], _CACHE))
    try:
        yield
    finally:
        with _lock:
            size = _borrowed.pop()
            if not _borrowed:
                gdal.SetCacheMax(size)


class Quiet:
    """GDAL without exceptions, without words on stderr, without side files; ``text`` is its say."""

    def __init__(self, side_files: bool = True, **options: str) -> None:
        self.failures: list[str] = []
        self._options = dict(options, **({} if side_files else {"GDAL_PAM_ENABLED": "NO"}))
        self._before: dict[str, str | None] = {}
        self._manager: Any = None

    @property
    def text(self) -> str:
        """Everything GDAL reported as a failure, one line each."""
        return "\n".join(self.failures)

    def __enter__(self) -> Quiet:
        if hasattr(gdal, "ExceptionMgr"):
            self._manager = gdal.ExceptionMgr(useExceptions=False)
            self._manager.__enter__()
        else:
            # Before 3.7 the switch is one for all threads: the last act puts it back.
            with _lock:
                _silenced.append(_silenced[0] if _silenced else bool(gdal.GetUseExceptions()))
                if gdal.GetUseExceptions():
                    gdal.DontUseExceptions()
        for key, value in self._options.items():
            self._before[key] = gdal.GetThreadLocalConfigOption(key, None)
            gdal.SetThreadLocalConfigOption(key, value)
        gdal.PushErrorHandler(self._hear)
        gdal.ErrorReset()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        gdal.PopErrorHandler()
        for key, value in self._before.items():
            gdal.SetThreadLocalConfigOption(key, value)
        if self._manager is not None:
            self._manager.__exit__(kind, error, trace)
        else:
            with _lock:
                raising = _silenced.pop()
                if raising and not _silenced:
                    gdal.UseExceptions()

    def _hear(self, level: int, _number: int, text: str) -> None:
        if level >= gdal.CE_Failure:
            self.failures.append(text)
