"""Makes, updates, repairs and removes the managed engine: a virtual environment with torch.

Nothing here knows Qt widgets; it runs on a background thread and is watched through a ``Progress``.
QGIS's own Python is only copied from (``venv``), never installed into.
"""

from __future__ import annotations

import datetime
import os
import re
import shutil
import stat
import time
from contextlib import suppress
from pathlib import Path
from typing import Callable, Mapping

from ..engine import Cancelled, Progress, WhetstoneError
from ..engine.types import PartOfProgress
from . import engine_home, pythons
from .builds import index_of, pinned_torch, size_of
from .engine_home import MARKER, REQUIREMENTS, managed_folders, python_of, write_marker
from .engine_process import environment_of_child, run_words
from .pip_trouble import disk_trouble, gigabytes, trouble_of_pip, trouble_of_start
from .streaming import streamed
from .translation import tr

Log = Callable[[str], None]
SelfTest = Callable[[str, Progress], dict]

#: Settings of pip that would send the packages elsewhere. Mirrors, proxies and certificates stay.
_ELSEWHERE = "PIP_TARGET PIP_PREFIX PIP_ROOT PIP_USER PIP_REQUIRE_VIRTUALENV PIP_PYTHON PIP_DRY_RUN"
_STARTED, _MADE, _FETCHED, _INSTALLED = 0.02, 0.06, 0.75, 0.94
_TOUCH_SECONDS = 5.0  #: how often the marker says that somebody is at work
_SIZE = re.compile(r"\(([\d.]+) ?(kB|MB|GB)\)")
_FETCHING = re.compile(r"\s*(?:Collecting|Downloading|Using cached|Processing) (\S+)")
_UNITS = {"kB": 1e3, "MB": 1e6, "GB": 1e9}


def install(
    build: str,
    progress: Progress,
    log: Log,
    network: Mapping[str, str] | None = None,
    self_test: SelfTest | None = None,
    candidates: list[str] | None = None,
) -> dict:
    """Make the engine anew, then remove every other one; the self-test's answer.

    Raises ``WhetstoneError``, or ``Cancelled``; what is there then counts as half installed.
    ``network`` holds variables about proxies and certificates, ``candidates`` the Pythons to try.
    """
    pythons.refuse_system()
    _refuse_a_second()
    folder = engine_home.engine_folder(build)
    home, needed = folder.parent, size_of(build).needed
    progress.update(0.0, tr("Looking for a Python"))
    python, verdicts = pythons.find_python(candidates)
    for verdict in verdicts:
        log(f"{verdict}")
    try:
        home.mkdir(parents=True, exist_ok=True)
        _sweep(home)
        if folder.exists():
            _remove_folder(folder)
        if progress.cancelled():
            raise Cancelled()
        free = free_space(home)
        if free < needed:
            raise disk_trouble(str(home), needed, free)
        log(tr("Folder: {} ({} GB are free)").format(folder, gigabytes(free)))
        folder.mkdir()
        _note(folder, build, python)
        progress = _AtWork(folder, progress)
        try:
            _Making(folder, build, python, progress, log, network or {}).run()
        except BaseException:
            _give_up(folder)
            raise
    except OSError as error:
        raise _not_written(home, error, needed) from error
    try:
        answer = tested(str(python_of(folder)), progress, log, self_test, folder)
    except Cancelled:
        _give_up(folder)
        raise
    for other in managed_folders():
        if other != folder:
            log(tr("Removing the old engine {}").format(other))
            try:
                _remove_folder(other)
            except WhetstoneError as error:  # a job runs on it: the new one is ready all the same
                log(str(error))
    progress.update(1.0, tr("Ready"))
    return answer


def _give_up(folder: Path) -> None:
    """Keep half an engine for Repair to find, unless another works: then it is in the way."""
    write_marker(folder, state="interrupted")
    if engine_home.managed_state().usable:
        with suppress(WhetstoneError, OSError):
            _remove_folder(folder)


def remove(progress: Progress, log: Log) -> None:
    """Delete every managed engine, half ones as well."""
    _refuse_a_second()
    progress.update(0.0, tr("Removing the engine"))
    home = engine_home.data_folder()
    folders = managed_folders()
    for number, folder in enumerate(folders):
        log(tr("Removing {}").format(folder))
        _remove_folder(folder)
        progress.update((number + 1) / len(folders))
    _sweep(home)


def tested(
    python: str,
    progress: Progress,
    log: Log,
    self_test: SelfTest | None = None,
    folder: Path | None = None,
) -> dict:
    """Run the self-test of an engine; a managed one (``folder``) notes how it went."""
    progress.update(_INSTALLED, tr("Testing the engine"))
    trouble, answer = None, {}
    try:
        answer = (self_test or _run_self_test)(python, progress)
    except Cancelled:
        raise
    except WhetstoneError as error:
        trouble = trouble_of_start(python, error.message, folder is not None)
    failed = [check for check in answer.get("checks", ()) if not check["ok"]]
    if trouble is None and (failed or not answer.get("ok")):
        reason = "; ".join(f"{check['name']}: {check['detail']}" for check in failed)
        trouble = trouble_of_start(python, reason or tr("the self-test failed"), folder is not None)
    good = len(answer.get("checks", ())) - len(failed)
    log(tr("Self-test: {} good, {} failed").format(good, len(failed)))
    for check in failed:
        log(f"{check['name']}: {check['detail']}")
    if folder is not None:
        state = "broken" if trouble else "ready"
        write_marker(folder, state=state, trouble=trouble.message if trouble else "")
    if trouble is not None:
        raise trouble
    return answer


def free_space(folder: Path) -> int:
    """Free bytes where a folder is, or would be."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return shutil.disk_usage(folder).free


def pip_environment(network: Mapping[str, str], temporary: str) -> dict[str, str]:
    """What pip runs with: the user's mirrors, QGIS's proxy, a temporary folder on the same disk."""
    kept = {**environment_of_child(), **network}
    for name in _ELSEWHERE.split():
        kept.pop(name, None)
    ours = {"PIP_USER": "0", "PIP_NO_INPUT": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    return {**kept, **ours, "TMPDIR": temporary, "TEMP": temporary, "TMP": temporary}


class _AtWork(PartOfProgress):
    """All of a progress; whenever a cancel is looked for, the marker tells others of the work."""

    def __init__(self, folder: Path, progress: Progress) -> None:
        super().__init__(progress, 0.0, 1.0)
        self._marker, self._touched = folder / MARKER, time.monotonic()

    def cancelled(self) -> bool:
        if time.monotonic() - self._touched > _TOUCH_SECONDS:
            self._touched = time.monotonic()
            with suppress(OSError):
                os.utime(self._marker)
        return super().cancelled()


class _Making:
    """The two commands that fill an environment, and how far they have come."""

    def __init__(
        self,
        folder: Path,
        build: str,
        python: str,
        progress: Progress,
        log: Log,
        network: Mapping[str, str],
    ) -> None:
        self.folder, self.build, self.python = folder, build, python
        self.progress, self.log = progress, log
        # /tmp may be small, or in memory; pip unpacks gigabytes
        self.temporary = folder / "tmp"
        self.environment = pip_environment(network, str(self.temporary))
        self.lines: list[str] = []
        self.text = tr("Making the environment")
        self.fetched = self.coming = 0.0  # bytes: arrived, and of the file on its way
        self.packages = 0

    def run(self) -> None:
        """Make the environment and install into it."""
        self.temporary.mkdir()
        try:
            self.progress.update(_STARTED, self.text)
            self._command([self.python, "-I", "-m", "venv", str(self.folder)])
            self.progress.update(_MADE, tr("Installing packages"))
            constraints = self.folder / "constraints.txt"
            constraints.write_text(pinned_torch(self.build) + "\n", encoding="utf-8")
            self._command(self.pip_words(constraints))
        finally:  # a pip that was stopped leaves gigabytes there
            shutil.rmtree(self.temporary, ignore_errors=True)

    def pip_words(self, constraints: Path) -> list[str]:
        """The whole installation as one command."""
        words = [str(python_of(self.folder)), "-I", "-m", "pip", "install", "--progress-bar=off"]
        words += ["-r", str(REQUIREMENTS / "deep.txt"), "-c", str(constraints)]
        size = size_of(self.build)
        if free_space(self.folder) < size.needed + size.download:
            words.append("--no-cache-dir")  # else finished files serve the next try
        index = index_of(self.build)
        return [*words, "--extra-index-url", index] if index else words

    def _command(self, words: list[str]) -> None:
        self.lines.append("")
        self.log("$ " + " ".join(words))
        status = streamed(
            words,
            self.environment,
            self._line,
            self.progress.cancelled,
            str(self.folder.parent),
            self._tick,
        )
        if status is None:
            raise Cancelled()
        if status:
            home = self.folder.parent
            needed, free = size_of(self.build).needed, free_space(home)
            raise trouble_of_pip(self.lines, status, str(home), needed, free)

    def _line(self, text: str) -> None:
        self.lines.append(text)
        self.log(text)
        self.fetched, self.coming = self.fetched + self.coming, 0.0
        fetching = _FETCHING.match(text)
        if fetching:
            size = _SIZE.search(text)
            self.coming = float(size[1]) * _UNITS[size[2]] if size else 0.0
            self.text = tr("Fetching {}").format(fetching[1].rpartition("/")[2])
        if text.startswith("Installing collected packages:"):
            self.packages = len(text.split()) - 3
            self.text = tr("Installing {} packages").format(self.packages)

    def _tick(self) -> None:
        """Move the bar: by bytes while pip fetches, by packages while it installs."""
        if self.packages:
            places = [self.folder / "Lib", *self.folder.glob("lib/python3*")]
            done = sum(1 for at in places for _ in at.glob("site-packages/*.dist-info"))
            share = min(done / (self.packages + 2), 1.0)
            self.progress.update(_FETCHED + share * (_INSTALLED - _FETCHED), self.text)
        else:
            fetched = self.fetched + min(self._arrived(), self.coming)
            share = min(fetched / size_of(self.build).download, 1.0)
            self.progress.update(_MADE + share * (_FETCHED - _MADE), self.text)

    def _arrived(self) -> int:
        """Bytes of the file that pip is fetching: old pips say nothing while they do."""
        sizes = [0]
        for path in self.temporary.glob("pip-unpack-*/*"):
            with suppress(OSError):  # moved on meanwhile
                sizes.append(path.stat().st_size)
        return max(sizes)


def _run_self_test(python: str, progress: Progress) -> dict:
    return run_words(python, ["selftest"], progress)


def _refuse_a_second() -> None:
    """Two installations at once would pull each other's folder away."""
    if any(map(engine_home.being_made, managed_folders())):
        raise WhetstoneError(
            "ENGINE_LOCKED",
            tr("Another QGIS is installing the engine, or was until a moment ago."),
            tr("Wait until that has ended, or half a minute, then try again."),
        )


def _note(folder: Path, build: str, python: str) -> None:
    write_marker(
        folder,
        state="installing",
        build=build,
        torch=engine_home.torch_version(),
        requirements=engine_home.requirements_hash(),
        base=python,
        date=datetime.datetime.now().isoformat(timespec="seconds"),
    )


def _not_written(home: Path, error: OSError, needed: int) -> WhetstoneError:
    if error.errno == 28 or getattr(error, "winerror", 0) == 112:
        return disk_trouble(str(home), needed, free_space(home))
    return WhetstoneError(
        "POLICY",
        tr("{} cannot be written: {}").format(error.filename or home, error.strerror or error),
        tr("Ask for an exception for this folder, or set WHETSTONE_HOME to a folder of yours."),
    )


def _remove_folder(folder: Path) -> None:
    """Rename, then delete: a folder that Windows holds open is still whole when that fails."""
    doomed = folder.with_name(f".removed-{folder.name}-{os.getpid()}")
    shutil.rmtree(doomed, ignore_errors=True)
    try:
        folder.rename(doomed)
    except OSError as error:
        raise WhetstoneError(
            "ENGINE_LOCKED",
            tr("The engine at {} is in use: {}").format(folder, error.strerror or error),
            tr("Wait until running jobs have ended, close other QGIS windows, then try again."),
        ) from error
    _delete(doomed)


def _delete(folder: Path) -> None:
    def writable(act, path, _):
        try:
            os.chmod(path, stat.S_IRWXU)
            act(path)
        except OSError:
            return  # swept next time

    shutil.rmtree(folder, onerror=writable)


def _sweep(home: Path) -> None:
    """Delete what an earlier removal could not."""
    for folder in home.glob(".removed-*"):
        _delete(folder)
