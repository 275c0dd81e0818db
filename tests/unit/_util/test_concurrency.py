"""Several coroutines at once, and what becomes of them when one fails."""

import asyncio
from collections.abc import Iterator

import pytest

from grm_plugin._util.concurrency import all_of, for_each
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
