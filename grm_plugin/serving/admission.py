"""Which requests the service takes in: as many as `service.max_waiting` allows, and none while it stops."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from grm_plugin.errors import ServiceBusy
from grm_plugin.serving.counters import Counters

STOPPING = "the service is stopping; try again in a second"


class Admission:
    """Counts the samples in the service, and refuses those that are too many.

    Args:
        limit: most samples at once (`service.max_waiting`).
        counters: the service's running totals.
    """

    def __init__(self, limit: int, counters: Counters) -> None:
        self.waiting = 0
        """Samples in the service now."""
        self._limit = limit
        self._counters = counters
        self._draining = False
        self._drained = asyncio.Event()
        """Set when the service is draining and the last sample has left it."""

    @contextmanager
    def admit(self, samples: int, siblings: int = 0, requests: int = 1) -> Iterator[None]:
        """Count `samples` as waiting within the block, and `requests` as accepted.

        `siblings` of them are waited for by groups that are in the service already. They are let in whatever waits, and
        while it drains: without them those groups would be judged in parts. Groups bound their number by their n.

        Raises:
            ServiceBusy: the service is draining, or the limit would be exceeded. A single request larger than that is
                taken by an empty service, as it would be refused for ever.
        """
        strangers = samples - siblings
        if self._draining and (strangers or not samples):
            self._counters.refused += 1
            raise ServiceBusy(STOPPING)
        if strangers and self.waiting + strangers > max(self._limit, strangers):
            self._counters.refused += 1
            raise ServiceBusy(f"{self.waiting} samples are waiting (service.max_waiting); try again in a second")
        self._counters.requests += requests
        self._counters.samples += samples
        self.waiting += samples
        try:
            yield
        finally:
            self.waiting -= samples
            if not self.waiting and self._draining:
                self._drained.set()

    def close(self) -> None:
        """Refuse what comes from now on."""
        self._draining = True
        if not self.waiting:
            self._drained.set()

    async def empty(self, patience_s: float) -> None:
        """Wait until no sample is left, for at most `patience_s` seconds; after `close`."""
        with suppress(TimeoutError):
            async with asyncio.timeout(patience_s):
                await self._drained.wait()
