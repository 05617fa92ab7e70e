"""Commands: run to their end and watched line by line, or asked something short."""

from __future__ import annotations

import os
import signal
import subprocess  # nosec B404 # runs fixed commands of the installer, without a shell
import sys
import threading
import time
from queue import Empty, Queue
from typing import Callable, Mapping

_GRACE_SECONDS = 0.4  #: between asking a command to end and killing it


def asked(
    words: list[str], environment: Mapping[str, str], seconds: float
) -> subprocess.CompletedProcess:
    """What a program answers within some seconds, its output as bytes.

    Raises ``OSError`` when it cannot be started, ``subprocess.SubprocessError`` when it takes too
    long.
    """
    return subprocess.run(  # nosec B603 # a list of words, no shell
        words,
        capture_output=True,
        stdin=subprocess.DEVNULL,
        timeout=seconds,
        env=dict(environment),
        creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
    )


def streamed(
    words: list[str],
    environment: Mapping[str, str],
    line: Callable[[str], None],
    stopped: Callable[[], bool],
    folder: str,
    tick: Callable[[], None] = lambda: None,
) -> int | None:
    """Run a command in ``folder``; its exit status, or None when ``stopped`` said so.

    ``line`` gets every line of stdout and stderr, ``tick`` is called a few times a second; both
    on the calling thread. Raises ``OSError`` when the command cannot be started.
    """
    process = subprocess.Popen(  # nosec B603 # a list of words, no shell
        words,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd=folder,
        env=dict(environment),
        **_own_group(),
    )
    lines: Queue[str | None] = Queue()
    threading.Thread(target=_read, args=(process.stdout, lines), daemon=True).start()
    try:
        return _followed(process, lines, line, stopped, tick)
    except BaseException:  # of ``line`` or ``tick``: nobody would end the command
        if process.poll() is None:
            _stop(process)
        raise


def _followed(
    process: subprocess.Popen,
    lines: Queue[str | None],
    line: Callable[[str], None],
    stopped: Callable[[], bool],
    tick: Callable[[], None],
) -> int | None:
    ended = False
    while not ended:
        if stopped():
            _stop(process)
            return None
        try:
            text = lines.get(timeout=0.1)
            while True:
                if text is None:
                    ended = True
                    break
                line(text)
                text = lines.get_nowait()
        except Empty:
            # A grandchild may hold the pipe open after the command itself has ended.
            ended = process.poll() is not None and lines.empty()
        tick()
    while process.poll() is None:
        if stopped():
            _stop(process)
            return None
        time.sleep(0.02)
    return process.returncode


def _read(stream, lines: Queue[str | None]) -> None:
    """Lines end with a new line or, where a bar is drawn, with a carriage return."""
    with stream:
        for raw in stream:
            for text in raw.decode("utf-8", errors="replace").replace("\r", "\n").splitlines():
                if text.strip():
                    lines.put(text.rstrip())
    lines.put(None)


def _own_group() -> dict:
    """So that the command can be stopped together with what it starts."""
    if sys.platform == "win32":
        flags = subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW
        return {"creationflags": flags}
    return {"start_new_session": True}


def _stop(process: subprocess.Popen) -> None:
    """End the command and its children within a second."""
    if sys.platform == "win32":
        subprocess.run(  # nosec B603 B607 # ends only the tree of the process started above
            ["taskkill", "/T", "/F", "/PID", str(process.pid)],
            capture_output=True,
            creationflags=subprocess.CREATE_NO_WINDOW,
        )
        process.wait()
        return
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
        except OSError:  # they are all gone
            break
        deadline = time.monotonic() + _GRACE_SECONDS
        while number == signal.SIGTERM and time.monotonic() < deadline:
            if process.poll() is not None:
                break
            time.sleep(0.02)
    process.wait()
