"""What a check returns: findings, each with a level, a message and what to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "warning", "error"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report. `check` names what was checked, `fix` says what to do (empty: nothing)."""

    level: Level
    check: str
    message: str
    fix: str = ""


def ok(check: str, message: str) -> Finding:
    """A finding about something that is as it should be."""
    return Finding("ok", check, message)


def warning(check: str, message: str, fix: str = "") -> Finding:
    """A finding about something with which a job runs, but perhaps badly; or that could not be checked."""
    return Finding("warning", check, message, fix)


def error(check: str, message: str, fix: str = "") -> Finding:
    """A finding about something with which no job runs."""
    return Finding("error", check, message, fix)
