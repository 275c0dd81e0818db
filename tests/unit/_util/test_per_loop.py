"""One thing per event loop, ended with it however it ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from concurrent.futures import ThreadPoolExecutor

import pytest

from grm_plugin._util.per_loop import PerLoop


class Things:
    """Numbers its things, and remembers which have ended."""

    def __init__(self) -> None:
        self.made = 0
        self.ended: list[int] = []
        self.each = PerLoop(self._make)

    async def _make(self) -> AsyncGenerator[int, None]:
        number = self.made = self.made + 1
        try:
            yield number
        finally:
            self.ended.append(number)

    async def twice(self) -> tuple[int, int]:
        return await self.each.get(), await self.each.get()


def test_a_loop_has_one_and_its_end_is_the_ones_too() -> None:
    things = Things()
    assert asyncio.run(things.twice()) == (1, 1)
    assert things.ended == [1]
    assert asyncio.run(things.twice()) == (2, 2)
    assert things.ended == [1, 2]


def test_that_of_a_loop_which_was_closed_without_ceremony_ends_when_another_loop_asks() -> None:
    things = Things()
    loop = asyncio.new_event_loop()
    loop.run_until_complete(things.twice())
    loop.close()
    assert things.ended == []
    assert asyncio.run(things.twice()) == (2, 2)
    assert things.ended == [1, 2]


async def test_who_asks_after_the_end_gets_a_new_one() -> None:
    things = Things()
    await things.each.aclose()
    assert await things.twice() == (1, 1)
    await things.each.aclose()
    assert things.ended == [1]
    assert await things.twice() == (2, 2)


def test_loops_of_many_threads_share_none() -> None:
    things = Things()
    with ThreadPoolExecutor(8) as pool:
        pairs = list(pool.map(lambda _: asyncio.run(things.twice()), range(64)))
    assert all(first == second for first, second in pairs)
    assert sorted(things.ended) == list(range(1, 65))


async def test_what_cannot_be_made_is_told_each_time() -> None:
    async def fails() -> AsyncGenerator[int, None]:
        raise ValueError("no")
        yield 0

    each = PerLoop(fails)
    for _ in range(2):
        with pytest.raises(ValueError, match="no"):
            await each.get()
