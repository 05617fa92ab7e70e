"""How work on the options page is shown: a bar with Cancel, how it ended, and the log."""

from __future__ import annotations

from qgis.PyQt.QtGui import QFontDatabase, QTextCursor
from qgis.PyQt.QtWidgets import (
    QHBoxLayout,
    QLabel,
    QPlainTextEdit,
    QProgressBar,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from ..engine import Cancelled
from .background import Work
from .translation import tr

GOOD, BAD = "#2e8b4a", "#c23a2b"
_STEPS = 1000
_FEWEST, _MOST = 3, 10  #: lines of log to show


class ProgressRow(QWidget):
    """What runs, how far it is, Cancel; afterwards in one line how it ended."""

    def __init__(self, work: Work, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.work = work
        self.bar, self.cancel = QProgressBar(), QPushButton(tr("Cancel"))
        self.text, self.outcome = QLabel(), QLabel()
        self.bar.setRange(0, _STEPS)
        self.outcome.setWordWrap(True)
        row, layout = QHBoxLayout(), QVBoxLayout(self)
        row.addWidget(self.bar, 1)
        row.addWidget(self.cancel)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.text)
        layout.addLayout(row)
        layout.addWidget(self.outcome)
        self.cancel.clicked.connect(work.cancel)
        work.changed.connect(self.refresh)
        work.moved.connect(self.move_bar)
        self.refresh()

    def refresh(self) -> None:
        """Show the bar while something runs, and the outcome after."""
        running, error = bool(self.work.kind), self.work.error
        for widget in (self.bar, self.text):
            widget.setVisible(running)
        self.cancel.setVisible(running and self.work.kind != "remove")  # half of that helps nobody
        self.cancel.setEnabled(running and not self.work.stopping)
        self.move_bar()
        self.outcome.setVisible(not running and bool(error or self.work.done))
        if isinstance(error, Cancelled):
            self.outcome.setText(tr("Cancelled."))
            self.outcome.setStyleSheet("")
        elif error is not None:
            self.outcome.setText(str(error))
            self.outcome.setStyleSheet(f"color: {BAD};")
        else:
            self.outcome.setText(self.work.done)
            self.outcome.setStyleSheet(f"color: {GOOD};")
        self.setVisible(running or bool(self.work.last))

    def move_bar(self, fraction: float = 0.0, text: str = "") -> None:
        """Show how far the work is."""
        self.bar.setValue(round(_STEPS * max(fraction, self.work.fraction)))
        self.text.setText(_elided(text or self.work.text))


class LogView(QPlainTextEdit):
    """The lines of the work, as they come; hidden as long as there are none."""

    def __init__(self, work: Work, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.work = work
        self.setReadOnly(True)
        self.setFont(QFontDatabase.systemFont(QFontDatabase.SystemFont.FixedFont))
        self.setLineWrapMode(QPlainTextEdit.LineWrapMode.NoWrap)
        self.setMaximumBlockCount(2000)
        work.changed.connect(self.refresh)
        work.said.connect(self.add)
        self.refresh()

    def refresh(self) -> None:
        """Show the log of the present or the last work."""
        text = "\n".join(self.work.lines)
        if text != self.toPlainText():
            self.setPlainText(text)
            self.moveCursor(QTextCursor.MoveOperation.End)
            self.moveCursor(QTextCursor.MoveOperation.StartOfLine)
        self._fit()

    def add(self, line: str) -> None:
        """One more line; the view follows."""
        self.appendPlainText(line)
        self._fit()

    def _fit(self) -> None:
        """As high as the log is long, within limits."""
        count = min(max(len(self.work.lines), _FEWEST), _MOST)
        self.setFixedHeight(round((count + 1.5) * self.fontMetrics().lineSpacing()))
        self.setVisible(len(self.work.lines) > 1)  # one line says no more than the outcome


def _elided(text: str, longest: int = 90) -> str:
    return text if len(text) <= longest else text[: longest - 1] + "…"
