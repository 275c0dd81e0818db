"""One run over many items: every result is kept as soon as it is there, so that a killed run goes on where it stopped.

`score`, `eval`, `spct rft-data` and `attack` differ in what they do with one item; the rest is here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Coroutine, Iterable
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

from grm_plugin._util.concurrency import for_each
from grm_plugin.batch.engine_failures import FailuresInARow
from grm_plugin.batch.exit_status import FAILED, INTERRUPTED
from grm_plugin.batch.meter import Meter
from grm_plugin.errors import EngineError


class HasId(Protocol):
    """What a run is over."""

    @property
    def id(self) -> str | int: ...


Item = TypeVar("Item", bound=HasId)
Record = TypeVar("Record")
Taken = TypeVar("Taken", contravariant=True)


class Output(Protocol[Taken]):
    """Where results go: mostly an `AppendOnlyFile`, in which they are safe from kill -9 once `add` returns."""

    @property
    def done(self) -> Collection[str | int]:
        """Ids of the items that have a result."""
        ...

    def add(self, record: Taken) -> None: ...


@dataclass(frozen=True, slots=True)
class EngineFailed:
    """What stands for a result where the engine failed on an item: the next run tries it again."""

    reason: str


@dataclass(slots=True)
class Run(Generic[Item, Record]):
    """One run.

    Attributes:
        output: takes the results.
        meter: is told about each.
        concurrency: items in flight.
        unanswered: what is counted when the engine fails again and again, for the error: "items in a row without an
            answer".
        check: called with every result that was kept; raises `EngineError` where going on makes no sense.
        last_failure: what the engine failed with last; empty if it never did.
    """

    output: Output[Record]
    meter: Meter
    concurrency: int
    unanswered: str
    check: Callable[[Record], None] = lambda _: None
    last_failure: str = field(default="", init=False)

    async def over(self, items: Iterable[Item], work: Callable[[Item], Awaitable[Record | EngineFailed]]) -> None:
        """`work` on the items that have no result yet, in any order.

        Raises:
            EngineError: the engine failed on many items in a row, or `check` raised.
            GRMError: whatever else `work` and `output` raise. What was kept so far stays.
        """
        failures = FailuresInARow(self.unanswered)

        async def one(item: Item) -> None:
            result = await work(item)
            if isinstance(result, EngineFailed):
                self.last_failure = result.reason
                self.meter.lose()
                failures.add(result.reason)
            else:
                failures.add("")
                self.output.add(result)
                self.meter.count(result)
                self.check(result)

        await for_each((item for item in items if item.id not in self.output.done), one, self.concurrency)


@dataclass(frozen=True, slots=True)
class Ending:
    """How a run ended: the command's exit status, how many items have no result, and why."""

    status: int
    missing: int
    reason: str


def carry_out(work: Coroutine[Any, Any, str], meter: Meter) -> Ending:
    """Run to the end, to Ctrl-C, or until the engine is given up.

    Args:
        work: returns what the engine failed with last, or an empty string.
        meter: counts what has a result.
    """
    status = FAILED
    try:
        reason = asyncio.run(work)
    except KeyboardInterrupt:
        reason, status = "interrupted", INTERRUPTED
    except EngineError as error:
        reason = str(error)
    return Ending(status if meter.missing else 0, meter.missing, reason)
