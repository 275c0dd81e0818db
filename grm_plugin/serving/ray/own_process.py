"""What every actor of the service does about its own process, so that Ray replaces one that is of no use any more."""

from __future__ import annotations

import asyncio
import logging
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import ray

from grm_plugin._util.process_guard import guard_children

logger = logging.getLogger(__name__)

FROZEN_S = 30.0
"""A process that is frozen for so long is killed (`guard_children`), and Ray starts it anew. Requests do not wait so
long for it: see `replica_watch.py`."""

LOOP_S = 15.0
"""An event loop that has not turned for so long makes its process count as frozen."""

TURN_S = 1.0

RESTART_PAUSE_S = 5.0
"""Pause before an actor that could not start again tries once more."""


def guard_this_process() -> subprocess.Popen[bytes]:
    """Have this process killed, with its children, when it is frozen or its event loop is stuck.

    To be called on the event loop. Until that turns for the first time, while a model loads, it may be blocked.

    Returns:
        As `guard_children`: the caller must keep it.
    """
    return guard_children(FROZEN_S, _turns_of(asyncio.get_running_loop()))


def _turns_of(loop: asyncio.AbstractEventLoop) -> Callable[[], bool]:
    turned: list[float] = []

    def turn() -> None:
        turned[:] = [time.monotonic()]
        loop.call_later(TURN_S, turn)

    loop.call_soon(turn)
    return lambda: not turned or time.monotonic() - turned[0] < LOOP_S


@contextmanager
def starting() -> Iterator[None]:
    """Around an actor's `__init__`: an error in the block ends the start of a service, with its reason.

    When Ray restarts an actor nobody waits for the reason, and Ray would take the actor for broken for ever, where a
    GPU's memory may only be freed a moment late. So the process ends, and Ray tries again.
    """
    try:
        yield
    except Exception:
        if not ray.get_runtime_context().was_current_actor_reconstructed:
            raise
        logger.exception("this process cannot start again; the next one will try")
        time.sleep(RESTART_PAUSE_S)
        os._exit(1)
