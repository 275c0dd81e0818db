"""Work that the engine failed on: what it failed with, and when to give the engine up."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from grm_plugin.errors import EngineError
from grm_plugin.types import ListJudgement, UnparsedReason

FAILURES_IN_A_ROW = 20
"""So many failures in a row mean that the engine is gone, not that it had a bad moment."""

_ENGINE_FAILED = {reason for reason in UnparsedReason if reason.engine_failed}


class LostVote(Protocol):
    """A missing vote, in this process (`types.Unparsed`) or off the wire."""

    @property
    def reason(self) -> str: ...

    @property
    def detail(self) -> str: ...


def failure_of(missing: Iterable[LostVote]) -> str:
    """What the engine failed with, by the first vote that it did not answer; empty if it answered all of them."""
    for vote in missing:
        if vote.reason in _ENGINE_FAILED:
            return f"{vote.reason}: {vote.detail}".rstrip(": ")
    return ""


def failure_of_list(judged: ListJudgement) -> str:
    """What the engine or the meta RM failed with on a list; empty if both answered."""
    if judged.meta_error and not judged.meta_too_long:
        return failure_of(judged.unparsed) or f"the meta RM failed: {judged.meta_error}".rstrip(": ")
    return failure_of(judged.unparsed)


class FailuresInARow:
    """Counts failures without a success between them.

    Args:
        what: of these, in the error: "items in a row without an answer".
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._count = 0

    def add(self, failure: str) -> None:
        """Count one more: `failure` is what the engine failed with, or empty if it did not.

        Raises:
            EngineError: that was the last of `FAILURES_IN_A_ROW`.
        """
        self._count = self._count + 1 if failure else 0
        if self._count >= FAILURES_IN_A_ROW:
            raise EngineError(f"{FAILURES_IN_A_ROW} {self._what}: {failure}")
