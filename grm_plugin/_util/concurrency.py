"""Runs coroutines at once, tells whose cancellation it is, and lets go of tasks without a word from them in the log."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any, TypeVar

from grm_plugin.errors import EngineError

T = TypeVar("T")
S = TypeVar("S")

_CANCELLED_WITHIN = "a part of the work cancelled itself"


async def all_of(coroutines: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """The results, in order; the first that fails ends the others, and its error is raised without an exception group.

    Unlike `asyncio.gather`, it leaves no coroutine running when one of them raises.

    Raises:
        EngineError: one was cancelled from within (see `unless_cancelled_within`).
    """
    started = list(coroutines)
    try:
        if len(started) == 1:  # no task of its own is needed
            return [await started[0]]
        async with asyncio.TaskGroup() as running:
            tasks = [running.create_task(coroutine) for coroutine in started]
    except asyncio.CancelledError:
        if len(started) != 1 or being_cancelled():
            raise
        raise EngineError(_CANCELLED_WITHIN) from None
    except BaseExceptionGroup as group:
        raise group.exceptions[0] from None
    if any(task.cancelled() for task in tasks):  # a group passes over such tasks
        raise EngineError(_CANCELLED_WITHIN)
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


def being_cancelled() -> bool:
    """Whether somebody has cancelled the current task. If not, a CancelledError in it comes from what it waits for."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def unless_cancelled_within(work: Awaitable[T], whose: str) -> T:
    """The result of a model's work. A CancelledError that nobody sent to the current task is a failure of the model.

    A client's library may raise one when the other end hangs up. Passed on, it would look as if the caller had hung
    up, and would end everything that waits for this task.

    Args:
        work: a call to a model.
        whose: for the message: "the GRM".

    Raises:
        EngineError: the work was cancelled, and the current task was not.
    """
    try:
        return await work
    except asyncio.CancelledError:
        if being_cancelled():
            raise
        raise EngineError(f"{whose} cancelled the request by itself") from None


def let_go(*tasks: asyncio.Future[Any]) -> None:
    """Cancel tasks whose results nobody wants any more. Those that are done, or answer with an error, are passed over.

    asyncio logs the error of a task that nobody has asked for it, and an engine's may quote the prompt.
    """
    for task in tasks:
        task.cancel()
        task.add_done_callback(take_error)


def take_error(task: asyncio.Future[Any]) -> None:
    """A done callback that takes a task's error, so that asyncio does not log it."""
    if not task.cancelled():
        task.exception()
