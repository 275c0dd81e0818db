"""Slots for calls in flight: a caller waits as long as other calls keep succeeding.

It gives up `patience_s` seconds after the last success, or after it came where there was none since.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class CallSlots:
    """A semaphore for calls to one service, on one event loop.

    Args:
        n: calls in flight.
        patience_s: a wait ends when no call has succeeded for so many seconds of it. A batch of any size gets through
            a service that is slow, and none hangs on one that is dead.
    """

    def __init__(self, n: int, patience_s: float) -> None:
        self._free = asyncio.Semaphore(n)
        self._patience_s = patience_s
        self._last_success = 0.0

    @asynccontextmanager
    async def hold(self) -> AsyncIterator[None]:
        """Hold a slot.

        Raises:
            TimeoutError: nothing has moved for `patience_s` seconds.
        """
        await self._wait()
        try:
            yield
            self._last_success = time.monotonic()
        finally:
            self._free.release()

    async def _wait(self) -> None:
        since = time.monotonic()
        while True:
            given_up_at = max(since, self._last_success) + self._patience_s
            try:
                async with asyncio.timeout(given_up_at - time.monotonic()):
                    await self._free.acquire()
                return
            except TimeoutError:
                if self._last_success + self._patience_s <= given_up_at:
                    raise
