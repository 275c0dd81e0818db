"""Notices a model that hangs: it takes requests and answers none. Nothing else does, because its process lives."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from grm_plugin._util.concurrency import being_cancelled
from grm_plugin.errors import EngineError

T = TypeVar("T")


class Watchdog:
    """Adds up the time in which a model had requests and gave no answer. An answer or an error sets it back to zero.

    Args:
        hung_after_s: so many seconds of it are a hang. At most the deadline of a request: by then the callers of a
            model that is merely slow have hung up too, so that a longer silence says no more.
    """

    def __init__(self, hung_after_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._hung_after_s = hung_after_s
        self._clock = clock
        self._under_way = 0
        self._since = 0.0
        """Since when the model has had requests without an answer, if it has some now."""
        self._silent_s = 0.0
        """Such time before `_since`, while it had earlier requests, which ended without an answer."""

    @property
    def under_way(self) -> int:
        """Calls that the model has now."""
        return self._under_way

    async def watch(self, work: Awaitable[T]) -> T:
        """The result of a call to the model."""
        if not self._under_way:
            self._since = self._clock()
        self._under_way += 1
        answered = True
        try:
            return await work
        except asyncio.CancelledError:
            answered = not being_cancelled()  # or the model has cancelled it, which is an error of its own
            raise
        finally:
            self._under_way -= 1
            now = self._clock()
            if answered:
                self._silent_s = 0.0
            elif not self._under_way:
                self._silent_s += now - self._since
            if answered or not self._under_way:
                self._since = now

    def check(self) -> None:
        """Check the model.

        Raises:
            EngineError: it hangs.
        """
        silent_s = self._silent_s + (self._clock() - self._since if self._under_way else 0.0)
        if silent_s > self._hung_after_s:
            raise EngineError(f"the model hangs: it had requests for {silent_s:.0f} s and answered none")
