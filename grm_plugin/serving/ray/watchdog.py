"""Notices a model that takes requests and answers none: its process lives, so nothing else would."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from grm_plugin.errors import EngineError

T = TypeVar("T")


class Watchdog:
    """Adds up the time that a model had work and gave no answer; an answer, or an error of its own, makes it zero.

    Args:
        hung_after_s: how much of it is a hang. At most a deadline: by then every caller of a slow model has left, too.
    """

    def __init__(self, hung_after_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._hung_after_s = hung_after_s
        self._clock = clock
        self._under_way = 0
        self._since = 0.0
        self._quiet_s = 0.0

    async def watch(self, work: Awaitable[T]) -> T:
        """Await a call to the model."""
        if not self._under_way:
            self._since = self._clock()
        self._under_way += 1
        answered = True
        try:
            return await work
        except asyncio.CancelledError:
            answered = False
            raise
        finally:
            self._under_way -= 1
            now = self._clock()
            if answered:
                self._quiet_s = 0.0
            elif not self._under_way:
                self._quiet_s += now - self._since
            if answered or not self._under_way:
                self._since = now

    def check(self) -> None:
        """Raises `EngineError` when the model hangs."""
        quiet_s = self._quiet_s + (self._clock() - self._since if self._under_way else 0.0)
        if quiet_s > self._hung_after_s:
            raise EngineError(f"the model had work for {quiet_s:.0f} s and answered nothing")
