"""Long work of the options page: it goes on when the dialog closes, and is found again after."""

from __future__ import annotations

import time
import traceback
from typing import Any, Callable

from qgis.core import Qgis, QgsApplication, QgsMessageLog, QgsTask
from qgis.PyQt.QtCore import QObject, pyqtSignal

from ..engine import Cancelled, Progress, WhetstoneError
from .translation import tr

#: What a piece of work looks like: it gets a progress and a log, and returns its answer.
Act = Callable[[Progress, Callable[[str], None]], Any]
_KEPT_LINES = 2000
_SECONDS = 0.1  #: between two movements of the bar


class Work(QObject):
    """One piece of work at a time, what it said and how it ended. Lives on the main thread."""

    changed = pyqtSignal()  #: it began or ended
    moved = pyqtSignal(float, str)  #: fraction and act
    said = pyqtSignal(str)  #: a line for the log
    ended = pyqtSignal(str)  #: kind of the work; see ``error`` and ``answer``

    def __init__(self) -> None:
        super().__init__()
        self.kind = ""  #: of the work that runs; "" when none does
        self.last = ""  #: of the work that ran last
        self.title = self.text = self.done = ""
        self.stopping = False
        self.fraction = 0.0
        self.lines: list[str] = []
        self.error: WhetstoneError | None = None
        self.answer: Any = None
        self._task: _Task | None = None
        self.moved.connect(self._note_move)
        self.said.connect(self._note_line)

    def start(self, kind: str, title: str, act: Act, done: str = "") -> None:
        """Begin, unless something runs already. ``done`` is said when it went well."""
        if self.kind:
            return
        self.kind = self.last = kind
        self.title, self.text, self.fraction, self.done = title, title, 0.0, done
        self.error = self.answer = None
        self.stopping = False
        self.lines = []
        self._task = _Task(self, title, act)
        QgsApplication.taskManager().addTask(self._task)
        self.changed.emit()

    def forget_outcome(self) -> None:
        """A page that is opened anew says nothing of what went well long ago; errors stay."""
        if not self.kind and (self.error is None or isinstance(self.error, Cancelled)):
            self.error, self.last, self.done = None, "", ""

    def cancel(self) -> None:
        """Ask the work to stop; it does within a second."""
        if self._task is not None:
            self.stopping, self.text = True, tr("Stopping…")
            self._task.cancel()
            self.changed.emit()

    def stop(self) -> None:
        """Cancel and wait for the end: the plugin is about to go."""
        task = self._task
        if task is None:
            return
        task.cancel()
        task.waitForFinished(5000)
        self._task, self.kind = None, ""

    def finish(self, task: _Task) -> None:
        """The task is through; called by it on the main thread."""
        if task is not self._task:
            return
        self._task, kind = None, self.kind
        self.kind = ""
        self.error, self.answer = task.error, task.answer
        if self.error is not None:
            self.said.emit(str(self.error))
        self.changed.emit()
        self.ended.emit(kind)

    def _note_move(self, fraction: float, text: str) -> None:
        self.fraction = max(self.fraction, fraction)
        self.text = text or self.text

    def _note_line(self, text: str) -> None:
        self.lines.append(text)
        QgsMessageLog.logMessage(text, "Whetstone", Qgis.MessageLevel.Info, False)
        del self.lines[:-_KEPT_LINES]


class _Task(QgsTask):
    """Runs an act on a background thread; also seen, and cancelled, in QGIS's task list."""

    def __init__(self, work: Work, title: str, act: Act) -> None:
        super().__init__(f"Whetstone: {title}", QgsTask.Flag.CanCancel)
        self.work, self.act = work, act
        self.error: WhetstoneError | None = None
        self.answer: Any = None

    def run(self) -> bool:
        try:
            self.answer = self.act(_TaskProgress(self, self.work), self.work.said.emit)
        except WhetstoneError as error:
            self.error = error
        except Exception as error:  # nobody else would see it
            for line in traceback.format_exc().splitlines():
                self.work.said.emit(line)
            self.error = WhetstoneError(
                "INTERNAL", repr(error), tr("This is a fault of Whetstone; please report it.")
            )
        return self.error is None

    def finished(self, fine: bool) -> None:
        if self.error is None and not fine:
            self.error = Cancelled()  # before it began
        self.work.finish(self)


class _TaskProgress(Progress):
    """Passes progress from the task's thread on to the main one, ten times a second."""

    def __init__(self, task: _Task, work: Work) -> None:
        self._task, self._work = task, work
        self._text, self._last = "", 0.0

    def update(self, fraction: float, text: str = "") -> None:
        now = time.monotonic()
        if (text and text != self._text) or now - self._last > _SECONDS or fraction >= 1.0:
            self._text, self._last = text or self._text, now
            self._task.setProgress(100.0 * min(max(fraction, 0.0), 1.0))
            self._work.moved.emit(fraction, text)

    def message(self, text: str) -> None:
        self._work.said.emit(text)

    def cancelled(self) -> bool:
        return self._task.isCanceled()


_WORKS: dict[str, Work] = {}


def work_on(name: str) -> Work:
    """The one place for work on "engine", "models" or "cards" in this session of QGIS."""
    if name not in _WORKS:
        _WORKS[name] = Work()
    return _WORKS[name]


def stop_all_work() -> None:
    """Cancel what runs, and forget it."""
    for work in _WORKS.values():
        work.stop()
    _WORKS.clear()
