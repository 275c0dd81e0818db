"""When an engine counts as gone."""

import pytest

from grm_plugin.batch.engine_failures import FAILURES_IN_A_ROW, FailuresInARow, failure_of
from grm_plugin.errors import EngineError
from grm_plugin.types import Unparsed, UnparsedReason
from grm_plugin.wire.schemas import WireUnparsed

UNREAD = Unparsed(UnparsedReason.NO_SCORES, detail="prose")


@pytest.mark.parametrize(
    ("missing", "failure"),
    [
        ([], ""),
        ([UNREAD, Unparsed(UnparsedReason.TOO_LONG)], ""),
        ([UNREAD, Unparsed(UnparsedReason.ENGINE, detail="gone")], "engine: gone"),
        ([Unparsed(UnparsedReason.TIMEOUT), Unparsed(UnparsedReason.ENGINE, detail="gone")], "timeout"),
        ([WireUnparsed(reason="engine", detail="gone", text="")], "engine: gone"),
        ([WireUnparsed(reason="of a later version", detail="?", text="")], ""),
    ],
)
def test_what_the_engine_failed_with(missing: list[Unparsed | WireUnparsed], failure: str) -> None:
    assert failure_of(missing) == failure


def test_only_failures_in_a_row_end_a_run() -> None:
    failures = FailuresInARow("items in a row without an answer")
    for failure in [*["gone"] * (FAILURES_IN_A_ROW - 1), "", *["gone"] * (FAILURES_IN_A_ROW - 1)]:
        failures.add(failure)
    with pytest.raises(EngineError, match=f"{FAILURES_IN_A_ROW} items in a row without an answer: gone for good"):
        failures.add("gone for good")
