"""One run over many items that can be stopped at any time and started again.

`grm-plugin score`, `eval`, `spct rft-data` and `attack` each say what to do with one item. A `Run` does the rest: it
passes over items that have a result already, works on several at once, keeps every result as soon as it is there, and
gives up when the engine only fails.
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
from grm_plugin.errors import EngineError, ServiceError


class HasId(Protocol):
    """What a run works on: anything with an id that is unique in the run."""

    @property
    def id(self) -> str | int: ...


ItemT = TypeVar("ItemT", bound=HasId)
ResultT = TypeVar("ResultT")
AddedT = TypeVar("AddedT", contravariant=True)


class Output(Protocol[AddedT]):
    """Where results go: mostly an `AppendOnlyFile`, in which they are safe from kill -9 once `add` returns."""

    @property
    def done(self) -> Collection[str | int]:
        """The ids of the items that have a result."""
        ...

    def add(self, record: AddedT) -> None: ...


@dataclass(frozen=True, slots=True)
class EngineFailed:
    """Returned instead of a result where the engine failed on an item: the next run tries the item again."""

    reason: str


@dataclass(frozen=True, slots=True)
class Ending:
    """How a run ended: the exit status for the command, how many items have no result, and why."""

    status: int
    missing: int
    reason: str


@dataclass(slots=True)
class Run(Generic[ItemT, ResultT]):
    """One run.

    Attributes:
        output: takes the results and knows which items have one.
        meter: counts the results and shows how far the run is.
        concurrency: items worked on at once.
        failures_named: what the error calls many failures in a row.
        last_failure: what the engine failed with last; empty if it never did.
    """

    output: Output[ResultT]
    meter: Meter
    concurrency: int
    failures_named: str = "items in a row without an answer"
    last_failure: str = field(default="", init=False)

    async def process(
        self,
        items: Iterable[ItemT],
        work: Callable[[ItemT], Awaitable[ResultT | EngineFailed]],
        check: Callable[[ResultT], None] = lambda _: None,
    ) -> None:
        """Do `work` on every item that has no result yet, and keep the results, in the order in which they come.

        Args:
            items: with unique ids.
            work: makes the result of one item.
            check: called with every result that was kept; raises `EngineError` where going on makes no sense.

        Raises:
            EngineError: the engine failed on many items in a row, or `check` raised it.
            GRMError: whatever else `work` and `output` raise. The results so far stay.
        """
        failures = FailuresInARow(self.failures_named)

        async def process_one(item: ItemT) -> None:
            result = await work(item)
            if isinstance(result, EngineFailed):
                self.last_failure = result.reason
                self.meter.count_failed()
                failures.add(result.reason)
            else:
                failures.add("")
                self.output.add(result)
                self.meter.count(result)
                check(result)

        with self.meter:
            await for_each((item for item in items if item.id not in self.output.done), process_one, self.concurrency)

    def carry_out(self, work: Callable[[], Coroutine[Any, Any, None]]) -> Ending:
        """Run `work` in an event loop to the end, to Ctrl-C, or until the engine is given up.

        Args:
            work: loads the engines and calls `process`. Not called where every item has a result already.

        Raises:
            GRMError: whatever `work` raises but EngineError and ServiceError, which end the run with status 1.
        """
        if not self.meter.missing:
            return Ending(0, 0, "")
        status = FAILED
        try:
            asyncio.run(work())
            reason = self.last_failure
        except KeyboardInterrupt:
            reason, status = "interrupted", INTERRUPTED
        except (EngineError, ServiceError) as error:
            reason = str(error)
        return Ending(status if self.meter.missing else 0, self.meter.missing, reason)
