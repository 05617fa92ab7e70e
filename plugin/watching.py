"""A running engine job as the Processing dialog shows it: bar, text, log and cancel button."""

from __future__ import annotations

import time

from ..engine import Progress
from .translation import tr

#: Seconds between two estimates of the time that is left, and before the first one.
_EVERY = 3.0


def act_in_words(text: str) -> str:
    """What the engine says it does, in the user's language where it is one of the usual acts."""
    acts = {
        "reading the scene": tr("Reading the scene"),
        "looking at the pixels": tr("Looking at the pixels"),
        "learning the scene": tr("Learning the scene"),
        "fusing": tr("Fusing"),
        "sampling": tr("Sampling"),
        "sharpening": tr("Sharpening"),
        "degrading": tr("Degrading"),
        "comparing with PAN and MS": tr("Comparing with PAN and MS"),
        "comparing at the scale of the MS": tr("Comparing at the scale of the MS"),
        "finishing the file": tr("Finishing the file"),
        "done": tr("Done"),
    }
    return acts.get(text, text[:1].upper() + text[1:])


class FeedbackProgress(Progress):
    """Passes an engine job's progress on to a ``QgsProcessingFeedback``, never backwards."""

    def __init__(self, feedback) -> None:
        self._feedback = feedback
        self._percent = 0.0
        self._text = self._said_text = self._act = ""
        self._said_at = self._act_began = self._act_from = 0.0
        self._last = 0.0
        self._said: set[str] = set()

    def update(self, fraction: float, text: str = "") -> None:
        """Move the bar (at most ten times a second) and name the act when it changes."""
        now = time.monotonic()
        self._text = text or self._text
        self._say(now, fraction)
        percent = min(max(100.0 * fraction, self._percent), 100.0)
        if percent >= 100.0 or (percent > self._percent and now - self._last > 0.1):
            self._last, self._percent = now, percent
            self._feedback.setProgress(percent)

    def _say(self, now: float, fraction: float) -> None:
        """Name the act when it changes, with the time that is left once that can be told."""
        left = self._time_left(now, fraction)
        if self._text == self._said_text and (not left or now - self._said_at < _EVERY):
            return
        self._said_text, self._said_at = self._text, now
        act = act_in_words(self._text)
        self._feedback.setProgressText(tr("{}, {} left").format(act, left) if left else act)

    def _time_left(self, now: float, fraction: float) -> str:
        """As it went since this act began; "" while that is a guess, or not worth saying."""
        if self._text != self._act:
            self._act, self._act_began, self._act_from = self._text, now, fraction
        passed, done = now - self._act_began, fraction - self._act_from
        if passed < _EVERY or done < 0.01 or fraction >= 1:
            return ""
        seconds = passed / done * (1 - fraction)
        if seconds < 90:
            return tr("about {} s").format(max(5 * round(seconds / 5), 5))
        if seconds < 5400:
            return tr("about {} min").format(round(seconds / 60))
        return tr("about {:.1f} h").format(seconds / 3600)

    def message(self, text: str) -> None:
        """Show a note in the log once, as a warning when it begins like one."""
        if text in self._said:
            return
        self._said.add(text)
        warning = text.lower().startswith("warning")
        (self._feedback.pushWarning if warning else self._feedback.pushInfo)(text)

    def warning(self, text: str) -> None:
        """Show a note as a warning."""
        self._feedback.pushWarning(text)

    def cancelled(self) -> bool:
        """Whether the Cancel button was pressed."""
        return self._feedback.isCanceled()
