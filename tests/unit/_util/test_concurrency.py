"""Several coroutines at once, and what becomes of them when one fails."""

import asyncio
import gc
from collections.abc import Iterator

import pytest

from grm_plugin._util.concurrency import all_of, for_each, let_go, unless_cancelled_within
from grm_plugin.errors import EngineError
from support.factories import until


class Work:
    """Does `number` by waiting for the gate, fails on a negative one, and remembers."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.begun: list[int] = []
        self.cancelled: list[int] = []

    async def double(self, number: int) -> int:
        self.begun.append(number)
        if number < 0:
            raise EngineError(f"no {number}")
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled.append(number)
            raise
        return 2 * number

    async def do(self, number: int) -> None:
        await self.double(number)


async def test_results_are_in_order() -> None:
    work = Work()
    work.gate.set()
    assert await all_of(work.double(number) for number in (3, 1, 2)) == [6, 2, 4]
    assert await all_of([]) == []


async def test_the_first_failure_is_raised_as_it_is_and_nothing_is_left_running() -> None:
    work = Work()
    with pytest.raises(EngineError, match="no -1"):
        await all_of(work.double(number) for number in (1, -1, 2))
    assert sorted(work.cancelled) == [number for number in work.begun if number > 0]


async def test_a_caller_that_leaves_takes_all_along() -> None:
    work = Work()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await all_of(work.double(number) for number in (1, 2))
    assert sorted(work.cancelled) == [1, 2]


async def test_no_more_are_begun_than_may_run_at_once() -> None:
    work, read = Work(), []

    def numbers() -> Iterator[int]:
        for number in range(100):
            read.append(number)
            yield number

    task = asyncio.create_task(for_each(numbers(), work.do, concurrency=3))
    await until(lambda: work.begun == [0, 1, 2])
    await asyncio.sleep(0)
    assert len(read) <= 4, "the rest is not even read"
    work.gate.set()
    await task
    assert work.begun == list(range(100))


async def test_a_failure_ends_the_loop() -> None:
    work = Work()
    with pytest.raises(EngineError, match="no -1"):
        await for_each([1, -1, *range(2, 100)], work.do, concurrency=2)
    assert (work.begun, work.cancelled) == ([1, -1], [1])


async def test_what_reading_raises_ends_the_loop_too() -> None:
    def broken() -> Iterator[int]:
        yield 1
        raise ValueError("line 2")

    work = Work()
    with pytest.raises(ValueError, match="line 2"):
        await for_each(broken(), work.do, concurrency=2)
    assert work.begun == work.cancelled


async def cancels_itself() -> int:
    raise asyncio.CancelledError


async def test_what_cancels_itself_is_an_error_and_no_cancellation_of_the_caller() -> None:
    with pytest.raises(EngineError, match="the GRM cancelled the request by itself"):
        await unless_cancelled_within(cancels_itself(), "the GRM")
    work = Work()
    work.gate.set()
    with pytest.raises(EngineError, match="a part of the work cancelled itself"):
        await all_of([work.double(1), cancels_itself()])


async def test_a_caller_that_is_cancelled_stays_cancelled() -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await unless_cancelled_within(asyncio.Event().wait(), "the GRM")
    task = asyncio.create_task(unless_cancelled_within(asyncio.Event().wait(), "the GRM"))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_what_is_let_go_is_cancelled_and_logs_nothing(caplog: pytest.LogCaptureFixture) -> None:
    async def fails(patience_s: float) -> None:
        try:
            await asyncio.sleep(patience_s)
        finally:
            raise ValueError("the secret prompt")

    tasks = [asyncio.create_task(fails(patience_s)) for patience_s in (0, 3600)]
    await until(tasks[0].done)
    let_go(*tasks)
    await until(tasks[1].done)
    await asyncio.sleep(0)
    del tasks
    gc.collect()
    assert caplog.text == ""
