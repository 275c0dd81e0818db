"""Connections to one service, on one event loop: each call has one of its own while it runs.

For every request httpx looks at all connections of a client: with the thousand calls that OpenRLHF's function hook may
have in flight this took 15 ms of CPU per call, with one client per connection it takes 1 ms.
"""

from __future__ import annotations

import functools
import math
import ssl
import time
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import httpx

IDLE_S = 5.0
"""A connection that no call has used for so long is closed, as httpx does: the service closes it by itself soon."""


class Connections:
    """Connections that are opened as calls need them, and stay open for later calls for `IDLE_S` seconds.

    Args:
        url: `http://HOST:PORT` of the service.
        headers: sent with every request.
    """

    def __init__(self, url: str, headers: Mapping[str, str] | None) -> None:
        self._url = url
        self._headers = headers
        self._closed = False
        self._idle: deque[tuple[float, httpx.AsyncClient]] = deque()
        """With the time at which each was handed back; the oldest first."""

    @asynccontextmanager
    async def hold(self) -> AsyncIterator[httpx.AsyncClient]:
        """A connection for one call with all its tries."""
        http = self._idle.pop()[1] if self._idle else self._make()
        try:
            yield http
        finally:
            if self._closed:
                await http.aclose()
            else:
                self._idle.append((time.monotonic(), http))
                await self._close_idle(time.monotonic() - IDLE_S)

    async def aclose(self) -> None:
        """Close what no call holds; connections that are handed back later are closed then."""
        self._closed = True
        await self._close_idle(math.inf)

    async def _close_idle(self, handed_back_before: float) -> None:
        while self._idle and self._idle[0][0] < handed_back_before:
            await self._idle.popleft()[1].aclose()

    def _make(self) -> httpx.AsyncClient:
        # Deadlines are asyncio's; a proxy meant for the internet would swallow calls inside the cluster.
        return httpx.AsyncClient(
            base_url=self._url, headers=self._headers, timeout=None, trust_env=False, verify=_certificates()
        )


@functools.cache
def _certificates() -> ssl.SSLContext:
    """Read once per process: it takes 20 ms."""
    return httpx.create_ssl_context(trust_env=False)
