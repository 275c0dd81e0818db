"""A TCP relay in front of a service, for breaking a connection at a chosen moment."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from support.factories import until


@asynccontextmanager
async def breaking_first_connection(url: str, when: Callable[[], object]) -> AsyncIterator[str]:
    """Relay to `url`; the first connection is cut, towards both sides, as soon as `when()` is true.

    Yields the relay's address.
    """
    host, port = url.removeprefix("http://").split(":")
    connections = 0

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        doomed = connections == 1
        answer, question = await asyncio.open_connection(host, int(port))
        both = asyncio.gather(_copy(reader, question), _copy(answer, writer))
        try:
            if doomed:
                await until(lambda: bool(when()))
            else:
                await both
        finally:
            both.cancel()
            for side in (question, writer):
                side.transport.abort()

    server = await asyncio.start_server(relay, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()
