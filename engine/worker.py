"""The engine process: one request as a line of JSON on stdin, lines of JSON on stdout.

QGIS starts ``PYTHON -I -u engine/worker.py``. The request is ``{"protocol": 1, "job": {...}}``, a
job as :func:`job_to_json` writes it, or ``{"protocol": 1, "words": [...]}``, what would stand after
``whetstone`` on the command line. The answers have a ``type``:

* ``hello`` (versions), once;
* ``progress`` (``fraction``, ``text``) and ``message`` (``text``);
* ``heartbeat``, every second, so that silence means trouble;
* ``result`` (``result``) or ``error`` (``error``: code, message, hint), once, at the end.

``{"cancel": SECONDS}`` on stdin asks the job to stop, and ends the process if it has not by then.
The end of stdin means that whoever asked is gone: the job is cancelled as well.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import threading
import time
import traceback
from importlib import import_module
from typing import TYPE_CHECKING, Any, Iterator, TextIO

if __name__ == "__main__":  # -I puts neither this folder nor the current one on sys.path
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    sys.exit(import_module("engine.worker").main())

from . import __version__
from .errors import Cancelled, WhetstoneError
from .types import Progress

if TYPE_CHECKING:
    from argparse import Namespace

PROTOCOL = 1
HEARTBEAT_SECONDS = 1.0
_PROGRESS_SECONDS = 0.1
#: How long a job may take to stop once nobody is there to wait for it.
_ORPHAN_SECONDS = 5.0
#: The variable that names a folder for temporary files which goes with the process.
ROOM = "WHETSTONE_ROOM"
#: Politeness: whoever moves the map comes first.
_NICENESS = 5


class Channel:
    """Lines of JSON to whoever started the process; whole lines, whichever thread writes."""

    def __init__(self, stream: TextIO) -> None:
        self._stream, self._lock = stream, threading.Lock()

    def send(self, kind: str, **values: Any) -> None:
        """Write one line. A reader that is gone is noticed by the end of stdin."""
        line = json.dumps({"type": kind, **values})
        try:
            with self._lock:
                self._stream.write(line + "\n")
                self._stream.flush()
        except (OSError, ValueError):
            pass


class PipeProgress(Progress):
    """Progress as lines, at most ten a second; messages once."""

    def __init__(self, channel: Channel) -> None:
        self.stopped = threading.Event()
        self._channel, self._last, self._text = channel, 0.0, ""
        self._told: set[str] = set()

    def update(self, fraction: float, text: str = "") -> None:
        """Send the fraction, and the act when it changes."""
        now = time.monotonic()
        if now - self._last < _PROGRESS_SECONDS and text in ("", self._text) and fraction < 1:
            return
        self._last, self._text = now, text or self._text
        self._channel.send("progress", fraction=round(min(max(fraction, 0.0), 1.0), 5), text=text)

    def message(self, text: str) -> None:
        """Send a note, the first time it is told."""
        if text not in self._told:
            self._told.add(text)
            self._channel.send("message", text=text)

    def cancelled(self) -> bool:
        """Whether a cancel has arrived."""
        return self.stopped.is_set()


def main() -> int:
    """Serve one request and return the exit status of the command line."""
    channel = _own_stdout()
    progress = PipeProgress(channel)
    # Unbuffered: a thread that waits in a buffered read would hold its lock when Python shuts down.
    lines = iter(open(0, "rb", buffering=0, closefd=False).readline, b"")  # noqa: SIM115
    first = next(lines, b"")
    python = sys.version.split()[0]
    channel.send("hello", protocol=PROTOCOL, version=__version__, python=python)
    if hasattr(os, "nice"):
        os.nice(_NICENESS)
    threading.Thread(target=_listen, args=(lines, progress), daemon=True).start()
    threading.Thread(target=_beat, args=(channel,), daemon=True).start()
    try:
        result = _serve(first, progress)
    except WhetstoneError as caught:
        error = caught
    except Exception as caught:
        traceback.print_exc()
        error = WhetstoneError(
            "INTERNAL", f"{type(caught).__name__}: {caught}", "This is a bug: please report it."
        )
    else:
        channel.send("result", result=result)
        return 0
    finally:
        _leave_no_trace()
    channel.send("error", error=error.to_dict())
    return 130 if isinstance(error, Cancelled) else 1


def _own_stdout() -> Channel:
    """Keep the pipe for ourselves: what libraries print goes to stderr."""
    stream = os.fdopen(os.dup(1), "w", encoding="utf-8", newline="\n")
    os.dup2(2, 1)
    return Channel(stream)


def _listen(lines: Iterator[bytes], progress: PipeProgress) -> None:
    """Wait for a cancel, or for the end of stdin; a job that does not stop is ended."""
    seconds = _ORPHAN_SECONDS
    for line in lines:
        try:
            seconds = float(json.loads(line)["cancel"])
            break
        except (ValueError, KeyError, TypeError):
            continue  # a later version may say more
    progress.stopped.set()
    time.sleep(seconds)
    _leave_no_trace()
    os._exit(130)  # without an answer: whoever asked sees that the job did not end by itself


def _leave_no_trace() -> None:
    """Whoever made the folder removes it, too, unless it is gone."""
    if os.environ.get(ROOM):
        shutil.rmtree(os.environ[ROOM], ignore_errors=True)


def _beat(channel: Channel) -> None:
    while True:
        time.sleep(HEARTBEAT_SECONDS)
        channel.send("heartbeat")


def _serve(line: bytes, progress: PipeProgress) -> dict[str, Any]:
    """Run what is asked for and return its result as JSON values."""
    try:
        request = json.loads(line)
    except ValueError:
        request = None
    if not isinstance(request, dict) or request.get("protocol") != PROTOCOL:
        raise WhetstoneError(
            "PROTOCOL",
            f"The engine {__version__} speaks protocol {PROTOCOL}, and was asked something else.",
            "Plugin and engine must be of one version.",
        )
    from . import cli, run
    from .jobs import job_from_json
    from .raster import check_projections

    check_projections()
    if "words" in request:
        return cli.to_json(cli.execute(_parsed(request["words"]), progress))
    return cli.to_json(run(job_from_json(json.dumps(request.get("job"))), progress))


def _parsed(words: list[str]) -> Namespace:
    from .flags import build_parser

    return build_parser().parse_args(words)
