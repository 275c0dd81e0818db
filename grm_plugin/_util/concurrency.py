"""Runs coroutines at once. The first that fails ends the others, and its error is raised without an exception group."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, TypeVar

T = TypeVar("T")
S = TypeVar("S")


async def all_of(coroutines: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """The results, in order. Unlike `asyncio.gather`, it leaves no coroutine running when one of them raises."""
    try:
        async with asyncio.TaskGroup() as running:
            tasks = [running.create_task(coroutine) for coroutine in coroutines]
    except BaseExceptionGroup as group:
        raise group.exceptions[0] from None
    return [task.result() for task in tasks]


async def for_each(items: Iterable[S], work: Callable[[S], Coroutine[Any, Any, None]], concurrency: int) -> None:
    """`work` on every item, on at most `concurrency` at once. Reads at most one item ahead."""
    slots = asyncio.Semaphore(concurrency)
    try:
        async with asyncio.TaskGroup() as running:
            for item in items:
                await slots.acquire()
                running.create_task(work(item)).add_done_callback(lambda _: slots.release())
    except BaseExceptionGroup as group:
        raise group.exceptions[0] from None
