"""Errors a user can act on: a stable code, what is wrong, and what to do about it."""

from __future__ import annotations


class WhetstoneError(Exception):
    """A job cannot go on. ``code`` is stable for scripts, ``hint`` says what to do."""

    def __init__(self, code: str, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.code, self.message, self.hint = code, message, hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()

    def to_dict(self) -> dict[str, str]:
        """The error as ``--json`` prints it."""
        return {"code": self.code, "message": self.message, "hint": self.hint}


class Cancelled(WhetstoneError):
    """The user stopped the job."""

    def __init__(self) -> None:
        super().__init__("CANCELLED", "Cancelled; nothing was written.")
