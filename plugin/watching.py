"""A running engine job as the Processing dialog shows it: bar, text, log and cancel button."""

from __future__ import annotations

import time

from ..engine import Progress


class FeedbackProgress(Progress):
    """Passes an engine job's progress on to a ``QgsProcessingFeedback``, never backwards."""

    def __init__(self, feedback) -> None:
        self._feedback = feedback
        self._percent = 0.0
        self._text = ""
        self._last = 0.0
        self._said: set[str] = set()

    def update(self, fraction: float, text: str = "") -> None:
        """Move the bar (at most ten times a second) and name the act when it changes."""
        if text and text != self._text:
            self._text = text
            self._feedback.setProgressText(text[:1].upper() + text[1:])
        percent = min(max(100.0 * fraction, self._percent), 100.0)
        now = time.monotonic()
        if percent >= 100.0 or (percent > self._percent and now - self._last > 0.1):
            self._last, self._percent = now, percent
            self._feedback.setProgress(percent)

    def message(self, text: str) -> None:
        """Show a note in the log once, as a warning when it begins like one."""
        if text in self._said:
            return
        self._said.add(text)
        warning = text.lower().startswith("warning")
        (self._feedback.pushWarning if warning else self._feedback.pushInfo)(text)

    def cancelled(self) -> bool:
        """Whether the Cancel button was pressed."""
        return self._feedback.isCanceled()
