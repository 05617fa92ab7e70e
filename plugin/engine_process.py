"""The engine process as QGIS drives it: one child per job, watched, cancelled, never trusted.

Torch lives in there, with a numpy, GDAL and PROJ of its own. Whatever happens to it, QGIS goes on:
a crash becomes one line of text, and the memory goes back with the process.
"""

from __future__ import annotations

import json
import queue
import shutil
import signal
import subprocess  # nosec B404
import sys
import tempfile
import threading
import time
from collections import deque
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

from qgis.core import QgsApplication

from ..engine import AdaptJob, Cancelled, Progress, WhetstoneError, job_to_json
from ..engine.leftovers import remove_leftovers
from ..engine.worker import PROTOCOL, ROOM
from .engine_home import engine_state
from .environment import scrubbed
from .translation import tr

WORKER = Path(__file__).resolve().parent.parent / "engine" / "worker.py"
#: How long a job may take to stop by itself: adaptation tries its best weights first.
_GRACE, _WORDS_GRACE, _ADAPT_GRACE = 0.5, 5.0, 30.0
_KILL_AFTER = 0.4  # seconds beyond that
#: The engine sends a line every second; antivirus may hold up the first.
_SILENCE = 120.0
_TAIL_BYTES = 8000
_CHILDREN: set[_Child] = set()
_NO_WINDOW = getattr(subprocess, "CREATE_NO_WINDOW", 0)


def run_job(python: str, job, progress: Progress) -> SimpleNamespace:
    """Run a job by the engine of ``python``; its result has the fields of the job's result class.

    Raises ``WhetstoneError`` and ``Cancelled`` as ``engine.run`` does, with nothing left behind.
    """
    request = {"protocol": PROTOCOL, "job": json.loads(job_to_json(job))}
    grace = _ADAPT_GRACE if isinstance(job, AdaptJob) else _GRACE
    child = _Child(python, environment_of_child())
    try:
        return SimpleNamespace(**_answer(child, request, progress, grace))
    finally:
        if not child.answered:  # it was killed; a job that ends by itself leaves nothing
            remove_leftovers(job)


def run_words(
    python: str, words: list[str], progress: Progress, network: dict[str, str] | None = None
) -> dict:
    """Run a command line of ``whetstone`` by the engine, and return what --json would print.

    ``network`` are variables for proxy and certificates (:func:`network.network_environment`).
    """
    child = _Child(python, {**environment_of_child(), **(network or {})})
    return _answer(child, {"protocol": PROTOCOL, "words": words}, progress, _WORDS_GRACE)


def environment_of_child() -> dict[str, str]:
    """What a child process inherits from this QGIS."""
    return scrubbed(qgis_root=_qgis_root())


def _qgis_root() -> str:
    """The folder that holds QGIS and what came with it; "" where it is part of the system."""
    prefix = Path(QgsApplication.prefixPath())
    if sys.platform == "win32":  # ...\\QGIS 3.34\\apps\\qgis
        return str(prefix.parents[1] if len(prefix.parents) > 2 else prefix)
    if sys.platform == "darwin":  # ...QGIS.app/Contents/MacOS
        return str(prefix.parent)
    return "" if str(prefix) in ("/usr", "/usr/local") else str(prefix)


def _answer(child: _Child, request: dict, progress: Progress, grace: float) -> dict:
    """Send the request and wait for the answer; the child is gone afterwards."""
    try:
        child.send(request)
        return _watch(child, progress, grace)
    finally:
        child.end()


def _watch(child: _Child, progress: Progress, grace: float) -> dict:
    """Pass on what the child says until it has answered, died or been cancelled."""
    silent = 0.0  # seconds; a computer that sleeps does not count
    deadline = None  # of a child that has been asked to stop
    now = time.monotonic()
    while True:
        before, line = now, child.next_line(0.05)
        now = time.monotonic()
        if deadline is None and progress.cancelled():
            child.send({"cancel": grace})
            deadline = now + grace + _KILL_AFTER
        if deadline is not None and now > deadline:
            raise Cancelled()
        if line is None:
            silent += min(now - before, 1.0)
            if silent > _SILENCE:
                raise WhetstoneError(
                    "WORKER_DIED",
                    tr("The engine has not answered for {:.0f} seconds.").format(silent),
                    tr("It was ended; QGIS is not affected. Try again."),
                )
            continue
        silent = 0.0
        if line == "":
            raise Cancelled() if deadline is not None else child.death()
        answer = _understood(line)
        kind = answer.get("type")
        if kind == "hello":
            child.said_hello = True
        elif kind == "progress":
            progress.update(answer["fraction"], answer["text"])
        elif kind == "message":
            progress.message(answer["text"])
        elif kind == "result":
            child.answered = True
            return answer["result"]
        elif kind == "error":
            child.answered = True
            raise _raised(answer["error"])


def _understood(line: str) -> dict:
    """A line of the protocol; what is none (or of a later version) is left out."""
    with suppress(ValueError):
        answer = json.loads(line)
        if isinstance(answer, dict):
            return answer
    return {}


def _raised(error: dict) -> WhetstoneError:
    if error["code"] == "CANCELLED":
        return Cancelled()
    if error["code"] == "DEEP_MISSING":
        return broken(error["message"])
    return WhetstoneError(error["code"], error["message"], error["hint"])


def broken(reason: str) -> WhetstoneError:
    """The error for an engine that is there and does not work."""
    hint = tr("Open Settings > Options > Whetstone and press Repair; Copy diagnostics tells more.")
    if engine_state().origin not in ("", "managed"):
        hint = tr(
            "Choose another Python in Settings > Options > Whetstone, or clear the field there."
        )
    return WhetstoneError(
        "ENGINE_BROKEN",
        tr("The engine does not start: {}.").format(reason.rstrip(". ")),
        hint,
    )


def busy() -> bool:
    """Whether an engine process of this QGIS is at work."""
    return bool(_CHILDREN)


class _Child:
    """The process with its three pipes, each of them always read or never waited for."""

    def __init__(self, python: str, environment: dict[str, str]) -> None:
        self.said_hello = self.answered = False
        self._lines: queue.Queue[str] = queue.Queue()
        self._tail: deque[bytes] = deque()
        self._tail_size = 0
        # Libraries leave things in the folder for temporary files: one that goes with the process.
        self._room = tempfile.mkdtemp(prefix="whetstone-")
        room = dict.fromkeys(("TMPDIR", "TEMP", "TMP", ROOM), self._room)
        try:
            self._process = subprocess.Popen(  # nosec B603
                [python, "-I", "-u", str(WORKER)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env={**environment, **room},
                creationflags=_NO_WINDOW,
            )
        except OSError as error:
            shutil.rmtree(self._room, ignore_errors=True)
            raise broken(f"{python}: {error.strerror or error}") from None
        self._readers = [
            threading.Thread(target=target, daemon=True)
            for target in (self._read_stdout, self._read_stderr)
        ]
        for reader in self._readers:
            reader.start()
        _CHILDREN.add(self)

    def send(self, message: dict) -> None:
        """Write a line; a child that has died is noticed when its output ends."""
        with suppress(OSError):
            self._process.stdin.write(json.dumps(message).encode() + b"\n")
            self._process.stdin.flush()

    def next_line(self, seconds: float) -> str | None:
        """The next line, None if there is none yet, "" after the last one."""
        try:
            return self._lines.get(timeout=seconds)
        except queue.Empty:
            return None

    def death(self) -> WhetstoneError:
        """Why there is no answer, in words."""
        code = self._process.wait()
        for reader in self._readers:
            reader.join(1.0)
        tail = b"".join(self._tail).decode("utf-8", "replace").strip().splitlines()
        if not self.said_hello:
            return broken(tail[-1] if tail else tr("it ended with status {}").format(code))
        told = " ".join(line.strip() for line in tail[-3:])
        return WhetstoneError(
            "WORKER_DIED",
            tr("The engine stopped unexpectedly ({}). QGIS is not affected.").format(_how(code)),
            tr("Its last words: {}").format(told) if told else "",
        )

    def end(self) -> None:
        """Make sure that nothing goes on, and leave no zombie and no open pipe."""
        with suppress(OSError):
            self._process.stdin.close()
        try:
            self._process.wait(0.2)  # after its answer it has nothing left to do
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for reader in self._readers:
            reader.join(1.0)
        self._process.stdout.close()
        self._process.stderr.close()
        shutil.rmtree(self._room, ignore_errors=True)
        _CHILDREN.discard(self)

    def _read_stdout(self) -> None:
        for line in self._process.stdout:
            self._lines.put(line.decode("utf-8", "replace"))
        self._lines.put("")

    def _read_stderr(self) -> None:
        """Drain the pipe, or the child would stand still once it is full; keep the end."""
        while chunk := self._process.stderr.read1(4096):
            self._tail.append(chunk)
            self._tail_size += len(chunk)
            while self._tail_size > _TAIL_BYTES and len(self._tail) > 1:
                self._tail_size -= len(self._tail.popleft())


def _how(code: int) -> str:
    """An exit code in words."""
    if code >= 0:
        return tr("status {}").format(code if code < 256 else f"0x{code & 0xFFFFFFFF:08X}")
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = ""
    text = tr("signal {} {}").format(-code, name).strip()
    if name == "SIGKILL":
        text += ", " + tr("most often because memory ran out")
    return text
