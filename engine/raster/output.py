"""The output file: nothing appears under its name before it is complete.

Beside the target grow ``<stem>.part.tif`` and the journal ``<stem>.part.json``, from which the
same job resumes after a kill. Everything else that ends a job early removes both.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import time
from types import TracebackType
from typing import TYPE_CHECKING, Any, Sequence

import numpy as np

from ..errors import WhetstoneError
from ..types import Window
from . import rules
from .model import Backend, OutputSpec, RasterWriter

if TYPE_CHECKING:
    from ..types import Array

try:
    import fcntl
except ImportError:  # Windows refuses by itself to replace a file that is in use
    fcntl = None  # type: ignore[assignment]

_JOURNAL_SECONDS = 10.0
_OVERVIEWS_FROM = 512  # pixels of the longer side


class Output:
    """A GeoTIFF that appears when it is complete (a context manager).

    Attributes:
        path: The target.
        rows_done: Rows from the top that an interrupted run of the same job already wrote.
    """

    def __init__(
        self,
        path: str,
        spec: OutputSpec,
        backend: Backend,
        *,
        fingerprint: str,
        inputs: Sequence[str] = (),
        format: str = "gtiff",
        overviews: bool = True,
    ) -> None:
        """Check everything that can be checked before the work; nothing is written yet.

        Args:
            path: A name that ends in .tif or .tiff.
            spec: The file to write.
            backend: The raster library.
            fingerprint: Says which job this is: only the same one resumes.
            inputs: GDAL names that must not be overwritten.
            format: "gtiff", or "cog" for a Cloud-Optimized GeoTIFF.
            overviews: Whether to add overviews to files of more than 512 pixels.

        Raises:
            WhetstoneError: ``OUT_FORMAT``, ``OUT_FOLDER``, ``OUT_READONLY``, ``OUT_IS_INPUT``,
                ``OUT_LOCKED``, ``DISK_FULL``.
        """
        self.path = os.path.abspath(path)
        self.rows_done = 0
        self._spec, self._backend, self._fingerprint = spec, backend, fingerprint
        self._format, self._overviews = format, overviews
        self._part, self._journal, self._cog = _part_names(path)
        self._writer: RasterWriter | None = None
        self._lock: int | None = None
        self._journalled = 0.0
        _check_format(path, format)
        rules.check_options(spec.creation_options)
        _check_target(self.path, inputs, (self._part, self._cog))
        _check_space(self.path, spec, copies=2 if format == "cog" else 1, there=self._part)

    def __enter__(self) -> Output:
        self._take_lock()
        try:
            self.rows_done = self._resumable_rows()
            if self.rows_done:
                self._writer = self._backend.reopen(self._part)
            else:
                self._remove_parts()
                self._writer = self._backend.create(self._part, self._spec)
                self._take_lock()
        except BaseException:
            self._discard()
            raise
        self._journalled = time.monotonic()
        return self

    def write(self, window: Window, values: Array) -> None:
        """Write (bands, h, w) of the file's type at a window inside the raster."""
        self._open_writer().write(window, values)

    def checkpoint(self, rows_done: int, force: bool = False) -> None:
        """Note that all rows above ``rows_done`` are written; at most every few seconds.

        Files with options that a reopened file would lose (``ZLEVEL``) are not resumable.

        The pixels are put on disk before the journal says so.
        """
        if not rules.resumable(self._spec):
            return
        if not force and time.monotonic() - self._journalled < _JOURNAL_SECONDS:
            return
        self._open_writer().flush()
        _sync(self._part)
        journal = {"fingerprint": self._fingerprint, "rows_done": int(rows_done)}
        fresh = f"{self._journal}~"
        try:
            with open(fresh, "w", encoding="utf-8") as file:
                json.dump(journal, file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(fresh, self._journal)
        except OSError as error:
            raise rules.write_error(self._journal, str(error)) from error
        self._journalled = time.monotonic()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                self._finish()
        finally:
            self._discard()

    def _open_writer(self) -> RasterWriter:
        if self._writer is None:
            raise ValueError("the output is not open")
        return self._writer

    def complete(self) -> None:
        """Close, add overviews or convert: only a rename is left, so that files appear together."""
        writer, self._writer = self._open_writer(), None
        writer.close()
        wide = max(self._spec.width, self._spec.height) > _OVERVIEWS_FROM
        if self._format == "cog":
            options = dict(self._spec.creation_options)
            options["OVERVIEWS"] = "AUTO" if self._overviews else "NONE"
            self._backend.copy_cog(self._part, self._cog, options)
        elif self._overviews and wide:
            factors = rules.overview_factors(self._spec.width, self._spec.height)
            self._backend.add_overviews(self._part, factors)

    def _finish(self) -> None:
        """Put the complete file under its name."""
        if self._writer is not None:
            self.complete()
        try:
            os.replace(self._cog if self._format == "cog" else self._part, self.path)
        except OSError as error:
            raise _locked(self.path, error) from error
        # What older programs left beside the old file would now describe the wrong pixels.
        for suffix in (".aux.xml", ".ovr", ".msk"):
            _remove(f"{self.path}{suffix}")

    def _resumable_rows(self) -> int:
        """Rows that an earlier run of the same job left in a sound part file."""
        try:
            with open(self._journal, encoding="utf-8") as file:
                journal = json.load(file)
            rows = int(journal["rows_done"])
            if journal["fingerprint"] != self._fingerprint or not 0 < rows <= self._spec.height:
                return 0
            return rows if self._part_is_sound(rows) else 0
        except (OSError, ValueError, KeyError, TypeError):
            return 0

    def _part_is_sound(self, rows: int) -> bool:
        """Whether the part file is the one of the spec, and its last row can be read."""
        try:
            reader = self._backend.open(self._part)
        except WhetstoneError:
            return False
        try:
            info, spec = reader.info, self._spec
            same = (info.width, info.height) == (spec.width, spec.height)
            same = same and [band.dtype for band in info.bands] == [b.dtype for b in spec.bands]
            same = same and info.transform == spec.transform
            if same:
                reader.read_raw([1], Window(0, rows - 1, spec.width, 1))
            return same
        except WhetstoneError:
            return False
        finally:
            reader.close()

    def _take_lock(self) -> None:
        """Keep a second job off the same part file; the lock goes with the process."""
        if fcntl is None:
            return
        self._drop_lock()
        try:
            self._lock = os.open(self._part, os.O_RDONLY)
        except OSError:
            return  # not there yet
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._drop_lock()
            raise WhetstoneError(
                "OUT_LOCKED",
                f"Another job is writing '{self.path}'.",
                "Wait for it, or choose another name.",
            ) from None
        except OSError:
            self._drop_lock()  # a file system without locks

    def _drop_lock(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _discard(self) -> None:
        """Close what is open and leave no debris."""
        writer, self._writer = self._writer, None
        if writer is not None:
            with contextlib.suppress(WhetstoneError):
                writer.close()
        self._remove_parts()
        self._drop_lock()

    def _remove_parts(self) -> None:
        _remove_parts(self.path)


def _part_names(path: str) -> tuple[str, str, str]:
    """The part file, its journal and the unfinished COG beside a target."""
    stem = os.path.splitext(os.path.abspath(path))[0]
    return f"{stem}.part.tif", f"{stem}.part.json", f"{stem}.cog.part.tif"


def remove_parts(path: str) -> None:
    """Remove what a job that was killed left beside its target, unless another is at work there."""
    part = _part_names(path)[0]
    if fcntl is not None and os.path.exists(part):
        with open(part, "rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return
            except OSError:
                pass  # a file system without locks
    _remove_parts(path)


def _remove_parts(path: str) -> None:
    part, journal, cog = _part_names(path)
    for name in (journal, f"{journal}~", part, cog):
        _remove(name)
    for name in (part, cog):
        for suffix in (".aux.xml", ".ovr", ".ovr.tmp", ".msk", ".msk.ovr.tmp"):
            _remove(name + suffix)


def _check_format(path: str, format: str) -> None:
    extension = os.path.splitext(path)[1].lower()
    if extension not in (".tif", ".tiff"):
        known = {".jp2": "JPEG 2000", ".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG"}
        what = known.get(extension) or (f"'{extension}'" if extension else "A file without .tif")
        raise WhetstoneError(
            "OUT_FORMAT", f"{what} cannot be written block by block; choose .tif.", ""
        )
    if format not in ("gtiff", "cog"):
        raise WhetstoneError(
            "OUT_FORMAT", f"The format '{format}' is not known.", "Choose gtiff or cog."
        )


def _check_target(path: str, inputs: Sequence[str], parts: Sequence[str]) -> None:
    """Refuse targets that cannot or must not be written."""
    folder = os.path.dirname(path)
    if not os.path.isdir(folder):
        raise WhetstoneError(
            "OUT_FOLDER", f"The folder '{folder}' does not exist.", "Make it, or choose another."
        )
    if os.path.isdir(path):
        raise WhetstoneError("OUT_FOLDER", f"'{path}' is a folder.", "Choose another name.")
    if any(_is_same(path, name) for name in inputs):
        raise WhetstoneError(
            "OUT_IS_INPUT",
            f"The output '{path}' is one of the inputs.",
            "Choose another name: inputs are never overwritten.",
        )
    for part in parts:
        if any(_is_same(part, name) for name in inputs):
            raise WhetstoneError(
                "OUT_IS_INPUT",
                f"'{path}' grows under the name of an input, '{part}'.",
                "Choose another name: inputs are never overwritten.",
            )
    if not os.access(folder, os.W_OK):
        raise WhetstoneError(
            "OUT_READONLY",
            f"The folder '{folder}' is read-only.",
            "Choose a folder that you may write to.",
        )
    if os.name == "nt" and os.path.exists(path):
        # Windows would refuse the final rename of a file that is in use: say so before the work.
        try:
            with open(path, "r+b"):
                pass
        except OSError as error:
            raise _locked(path, error) from error


def _is_same(path: str, name: str) -> bool:
    """Whether a GDAL name (perhaps of a subdataset or an archive) is, or lies in, the file."""
    if os.path.exists(name):
        return os.path.exists(path) and os.path.samefile(path, name)
    places = {path, os.path.realpath(path)}
    return any(re.search(re.escape(place) + r"([/:\"']|$)", name) for place in places)


def _check_space(path: str, spec: OutputSpec, copies: int, there: str) -> None:
    """Refuse a disk that even a very compressible image would fill."""
    size = spec.width * spec.height * len(spec.bands) * np.dtype(spec.bands[0].dtype).itemsize
    options = {key.upper(): str(v).upper() for key, v in spec.creation_options.items()}
    share = 1.0 if options.get("COMPRESS") == "NONE" else 0.05
    needed = max(size * share * copies, 1e6)
    folder = os.path.dirname(path)
    free = shutil.disk_usage(folder).free
    free += os.path.getsize(there) if os.path.exists(there) else 0
    if free < needed:
        raise WhetstoneError(
            "DISK_FULL",
            f"The disk is too full: {free / 1e6:.1f} MB are free in '{folder}', the image has "
            f"{size / 1e6:.1f} MB before compression and needs at least {needed / 1e6:.1f} MB.",
            "Free some space or choose another folder.",
        )


def _locked(path: str, error: OSError) -> WhetstoneError:
    return WhetstoneError(
        "OUT_LOCKED",
        f"'{path}' cannot be replaced ({error.strerror or error}). The file is open in QGIS or "
        "elsewhere.",
        "Remove the layer or choose another name.",
    )


def _sync(path: str) -> None:
    """Make the system write a file to the disk: a journal must not be ahead of its pixels."""
    try:
        handle = os.open(path, os.O_RDWR)
    except OSError:
        return
    try:
        os.fsync(handle)
    except OSError as error:
        raise rules.write_error(path, str(error)) from error
    finally:
        os.close(handle)


def _remove(path: Any) -> None:
    with contextlib.suppress(OSError):
        os.remove(path)
