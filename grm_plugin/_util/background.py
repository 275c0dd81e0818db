"""Background threads for callers that are not async: one with an event loop, and others for work that takes long."""

from __future__ import annotations

import asyncio
import functools
import os
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")


def run_in_background(work: Coroutine[Any, Any, T]) -> T:
    """Run `work` on the process's background event loop and block this thread until it is done; an interrupt ends it.

    May be called where an event loop runs already (it blocks that one), and in a forked child (which gets a background
    loop of its own).
    """
    future = asyncio.run_coroutine_threadsafe(work, _loop(os.getpid()))
    try:
        return future.result()
    except BaseException:
        future.cancel()
        raise


async def await_background(work: Coroutine[Any, Any, T]) -> T:
    """`run_in_background` for callers that are async: their event loop goes on meanwhile."""
    return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, _loop(os.getpid())))


def start_in_background(work: Callable[[], T], name: str) -> Future[T]:
    """Begin `work` in a thread of its own. Unlike an executor's, it does not keep the process from ending."""
    future: Future[T] = Future()

    def carry_out() -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # whoever waits for the result gets it
            future.set_exception(error)

    threading.Thread(target=carry_out, name=name, daemon=True).start()
    return future


_starting = threading.Lock()


def _loop(pid: int) -> asyncio.AbstractEventLoop:
    with _starting:
        return _start_loop(pid)


@functools.lru_cache(maxsize=1)  # by process: a forked child has the loop of its parent, but not the thread
def _start_loop(pid: int) -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="grm-plugin", daemon=True).start()
    return loop
