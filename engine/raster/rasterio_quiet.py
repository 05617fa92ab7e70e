"""rasterio with a small cache, nothing on stderr, and every failure heard."""

from __future__ import annotations

import logging
import threading
from contextlib import contextmanager
from typing import Iterator

import rasterio

_CACHE = 32 << 20  # bytes of GDAL's block cache, which otherwise takes 5 % of the memory


class _Ear(logging.Filter):
    """Hears what GDAL reports through rasterio's log: the only trace of an error while closing."""

    def __init__(self) -> None:
        super().__init__()
        self._local = threading.local()

    def filter(self, record: logging.LogRecord) -> bool:
        """Keep GDAL's failures for whoever listens on this thread; they are told as our errors."""
        failure = "GDAL signalled an error" in str(record.msg) or record.levelno >= logging.ERROR
        heard = getattr(self._local, "heard", None)
        if failure and heard is not None:
            heard.append(record.getMessage().split("msg=", 1)[-1].strip("'\""))
            return False
        return record.levelno >= logging.WARNING

    @contextmanager
    def listen(self) -> Iterator[list[str]]:
        """The messages of this thread, from here on."""
        before = getattr(self._local, "heard", None)
        heard: list[str] = []
        self._local.heard = heard
        try:
            yield heard
        finally:
            self._local.heard = before


_EAR = _Ear()
for _name in ("rasterio._env", "rasterio._err"):
    logging.getLogger(_name).addFilter(_EAR)
    # The level of failures that rasterio does not raise; the filter passes warnings on as before.
    logging.getLogger(_name).setLevel(logging.INFO)


@contextmanager
def quiet(side_files: bool = True, **options: str) -> Iterator[list[str]]:
    """GDAL with a small cache and without words on stderr; yields the failures it reports."""
    if not side_files:
        options["GDAL_PAM_ENABLED"] = "NO"
    with rasterio.Env(GDAL_CACHEMAX=_CACHE, **options), _EAR.listen() as heard:
        yield heard
