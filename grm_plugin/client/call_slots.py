"""Limits how many calls to a service are in flight. A call waits for its turn as long as others keep succeeding."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class CallSlots:
    """A semaphore for calls to one service, on one event loop.

    Args:
        n: most calls in flight.
        patience_s: a waiting call gives up when no other one has succeeded for so many seconds of its wait. So a batch
            of any size gets through a slow service, and none waits for a dead one for ever.
    """

    def __init__(self, n: int, patience_s: float) -> None:
        self._free = asyncio.Semaphore(n)
        self._patience_s = patience_s
        self._last_success = 0.0

    @asynccontextmanager
    async def hold(self) -> AsyncIterator[None]:
        """Hold a slot.

        Raises:
            TimeoutError: no other call has succeeded for `patience_s` seconds of waiting.
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
