"""Failures of the engine: which lost votes are its fault, and how many in a row mean that it is gone."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from grm_plugin.errors import EngineError
from grm_plugin.types import ListJudgement, UnparsedReason

FAILURES_IN_A_ROW = 20
"""After this many failures without a success between them the engine counts as gone, and the run ends."""

_ENGINE_FAILED = {reason for reason in UnparsedReason if reason.engine_failed}


class LostVote(Protocol):
    """A missing vote: `types.Unparsed`, or the service's answer about one (`wire.schemas.WireUnparsed`)."""

    @property
    def reason(self) -> str: ...

    @property
    def detail(self) -> str: ...


def failure_of(missing: Iterable[LostVote]) -> str:
    """What the engine failed with on the first of these votes that it gave no answer to; empty if it answered all.

    A critique that cannot be read is an answer, and so is the refusal of a prompt that is too long.
    """
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
        named: what the error calls them: "items in a row without an answer".
    """

    def __init__(self, named: str) -> None:
        self._named = named
        self._count = 0

    def add(self, failure: str) -> None:
        """Count an answer (`failure` is empty), or a failure: `failure` is what the engine failed with.

        Raises:
            EngineError: that was failure number `FAILURES_IN_A_ROW`.
        """
        self._count = self._count + 1 if failure else 0
        if self._count >= FAILURES_IN_A_ROW:
            raise EngineError(f"{FAILURES_IN_A_ROW} {self._named}: {failure}")
