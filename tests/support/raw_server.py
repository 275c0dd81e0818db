"""An HTTP server by hand, which breaks the rules of HTTP as a test says."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from support.chat_server import reply

Step = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Request(NamedTuple):
    """What was asked: the request line, the headers (names in lower case), and the body."""

    line: str
    headers: dict[str, str]
    body: bytes


class RawServer:
    """Does with each request what its step says; after the last step, what that one says.

    `async with` listens. `url` is what an engine is given, `connections` counts those that were taken.
    """

    def __init__(self, *steps: Step, tls: ssl.SSLContext | None = None) -> None:
        self._steps = steps
        self._tls = tls
        self.requests: list[Request] = []
        self.connections = 0

    async def __aenter__(self) -> RawServer:
        self._server = await asyncio.start_server(self._connection, "127.0.0.1", 0, ssl=self._tls, backlog=4096)
        self.port = self._server.sockets[0].getsockname()[1]
        self.url = f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}/v1"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while not writer.is_closing():
                self.requests.append(await _read(reader))
                await self._steps[min(len(self.requests), len(self._steps)) - 1](reader, writer)
        except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
            pass  # the client, or the test, is over
        finally:
            writer.close()


async def _read(reader: asyncio.StreamReader) -> Request:
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    line, *rest = head.rstrip().split("\r\n")
    headers = {name.lower(): value for name, value in (field.split(": ", 1) for field in rest)}
    return Request(line, headers, await reader.readexactly(int(headers.get("content-length", 0))))


def says(data: bytes) -> Step:
    """Write these bytes, and leave the connection open."""

    async def step(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        await writer.drain()

    return step


def says_and_closes(data: bytes = b"") -> Step:
    """Write these bytes, and close the connection."""

    async def step(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        writer.close()

    return step


def says_and_resets(data: bytes) -> Step:
    """Write these bytes, wait until they have arrived, and end the connection as a process does that dies."""

    async def step(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        await asyncio.sleep(0.05)
        writer.transport.abort()

    return step


def http(body: bytes, *headers: str, status: str = "200 OK", sized: bool = True) -> bytes:
    """A reply with this body; `sized`: with its length."""
    fields = [*headers, f"Content-Length: {len(body)}"] if sized else [*headers]
    return "\r\n".join([f"HTTP/1.1 {status}", *fields, "", ""]).encode() + body


def json_body(*texts: str) -> bytes:
    """The body of a chat completion."""
    return json.dumps(reply(*texts)).encode()


def answers(*texts: str) -> Step:
    """Answer with a chat completion."""
    return says(http(json_body(*texts), "Content-Type: application/json"))


def body_of(request: Request) -> dict[str, Any]:
    """What a request has in its JSON."""
    read: dict[str, Any] = json.loads(request.body)
    return read
