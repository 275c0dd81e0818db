"""Connections to one service, on one event loop. What a call costs does not grow with those that are under way."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from grm_plugin._util.http_calls import Reply, open_session, send

LARGEST_REPLY = 2**30
"""Bytes. All critiques of 1,024 groups are less."""


class Connections:
    """Connections that are opened as requests need them, and stay open for later ones for `IDLE_S` seconds.

    Args:
        url: `http://HOST:PORT` of the service.
        headers: sent with every request.
    """

    def __init__(self, url: str, headers: Mapping[str, str]) -> None:
        self._url = url
        self._session = open_session(url.startswith("https:"), {"Content-Type": "application/json", **headers})
        self._calls = 0
        self._ended = False

    @asynccontextmanager
    async def hold(self) -> AsyncIterator[None]:
        """To be held by a call while it posts, with all its tries: they stay usable until it ends."""
        self._calls += 1
        try:
            yield
        finally:
            self._calls -= 1
            await self._close_unused()

    async def post(self, path: str, body: bytes) -> Reply:
        """Post a JSON text, once. Raises as `send`."""
        return await send(self._session, "POST", self._url + path, body, largest=LARGEST_REPLY)

    async def aclose(self) -> None:
        """Close them, now or when the last call ends that holds them."""
        self._ended = True
        await self._close_unused()

    async def _close_unused(self) -> None:
        if self._ended and not self._calls:
            await self._session.close()
