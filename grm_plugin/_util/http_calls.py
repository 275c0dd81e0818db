"""HTTP requests, each answered by one whole reply. What one costs does not grow with those that are under way."""

from __future__ import annotations

import asyncio
import os
import re
import socket
import ssl
from collections.abc import Mapping
from typing import Any, NamedTuple

import aiohttp
import certifi
from yarl import URL

from grm_plugin import __version__
from grm_plugin._util.background import start_in_background

CONNECT_TIMEOUT_S = 30.0
"""Longest wait for a connection: a host that is there takes it at once, after lost packets within 15 s."""

IDLE_S = 4.0
"""A connection without a request is closed after so many seconds: vLLM, our service and others close theirs after 5."""

LARGEST_GET = 2**20
"""Bytes: what a service says of itself is some thousand."""

_NUMBERS = re.compile(r"\[Errno (\d+)\]")
"""Of several errors in one text: of a host's several addresses each has refused the connection in its way."""


class NoReplyError(Exception):
    """There was no reply. The message says why."""


class LostConnectionError(NoReplyError):
    """A connection ended before anything of a reply had come: a server closes those that had no request for a while."""


class LargeReplyError(Exception):
    """The reply is larger than the caller reads."""


class Reply(NamedTuple):
    """What a server replied: its status, the whole body, its headers (by names in any case), and what was asked."""

    status: int
    body: bytes
    headers: Mapping[str, str]
    url: str = ""

    @property
    def is_success(self) -> bool:
        """Whether the server did what it was asked."""
        return 200 <= self.status < 300


def open_session(secure: bool, headers: Mapping[str, str], proxy: str | None = None) -> aiohttp.ClientSession:
    """A way to send requests from the running event loop, with as many connections as there are requests at once.

    It keeps no cookies and asks no proxy but the one that is given, whatever the environment says.

    Args:
        secure: whether some server or proxy is spoken to by TLS.
        headers: sent with every request.
    """
    connector = _Connector(
        limit=0,  # callers bound them
        keepalive_timeout=IDLE_S,
        resolver=aiohttp.ThreadedResolver(),  # the system's, which knows the names of clusters and containers
        ssl=_certificates() if secure else True,
    )
    return aiohttp.ClientSession(
        connector=connector,
        headers={"User-Agent": f"grm-plugin/{__version__}", **headers},
        proxy=proxy,
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_S),
    )


async def send(
    session: aiohttp.ClientSession,
    method: str,
    url: str | URL,
    body: bytes | None = None,
    *,
    largest: int,
    timeout_s: float | None = None,
) -> Reply:
    """Send a request, once, and read the reply whatever its status is. To cancel it closes the connection.

    No redirect is followed: what is sent goes to the server that the user names, and to no other.

    Args:
        largest: bytes of a reply, unpacked, that are read.
        timeout_s: for all of it; above 0. None where the caller has a limit of its own.

    Raises:
        TimeoutError: it took longer than `timeout_s`, or the connection longer than `CONNECT_TIMEOUT_S`.
        NoReplyError: the server cannot be reached, or broke off.
        LargeReplyError: the reply is larger than `largest`.
    """
    begun = False
    timeout = session.timeout
    if timeout_s is not None:
        timeout = aiohttp.ClientTimeout(total=timeout_s, sock_connect=CONNECT_TIMEOUT_S)
    try:
        async with session.request(method, url, data=body, timeout=timeout, allow_redirects=False) as reply:
            begun = True
            return Reply(reply.status, await _read(reply, largest), reply.headers, str(url))
    except TimeoutError:
        raise
    except (aiohttp.ClientError, OSError, UnicodeError) as error:  # UnicodeError: of a host that can be no name
        ended = isinstance(error, aiohttp.ServerDisconnectedError | aiohttp.ClientOSError)
        lost = ended and not begun and not isinstance(error, aiohttp.ClientConnectorError)
        raise (LostConnectionError if lost else NoReplyError)(words(error)) from error


def get(url: str, headers: Mapping[str, str] | None, timeout_s: float) -> Reply:
    """`GET` for callers that are not async, on a connection of its own. It blocks any event loop that calls it.

    Raises:
        TimeoutError, NoReplyError: as `send`; the reply is larger than `LARGEST_GET`.
    """
    asking = start_in_background(lambda: asyncio.run(_get(url, headers or {}, timeout_s)), "grm-get")
    try:
        return asking.result()
    except LargeReplyError as error:
        raise NoReplyError(f"the reply has {error}") from None


def words(error: Exception) -> str:
    """Why there was no reply: the operating system's words where there are some; without addresses and keys."""
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return "the connection was not taken in time: is it the right host, and does a firewall let it through?"
    if isinstance(error, TimeoutError):
        return "there was no reply in time"
    if isinstance(error, aiohttp.ClientResponseError):
        return f"{error.status} {error.message}"[:200]
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    if isinstance(cause, OSError) and not isinstance(cause, ssl.SSLError):
        if isinstance(cause, socket.gaierror):
            return (cause.strerror or str(cause)).lower()
        numbers = [cause.errno] if cause.errno else map(int, _NUMBERS.findall(str(cause)))
        if said := ", ".join(dict.fromkeys(os.strerror(number).lower() for number in numbers)):
            return said
    return str(cause) or type(error).__name__


class _Connector(aiohttp.TCPConnector):
    """Logs no error where an event loop is gone that never ran to an end of its own: there is nobody who could close
    what its clients leave, and the sockets close by themselves."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._runs_in = asyncio.get_running_loop()

    @property
    def closed(self) -> bool:
        return super().closed or not self._runs_in.is_running()

    def __del__(self, _warnings: Any = None) -> None:
        pass


async def _get(url: str, headers: Mapping[str, str], timeout_s: float) -> Reply:
    async with open_session(url.startswith("https:"), headers) as session:
        return await send(session, "GET", url, largest=LARGEST_GET, timeout_s=timeout_s)


async def _read(reply: aiohttp.ClientResponse, largest: int) -> bytes:
    parts, size = [], 0
    async for part in reply.content.iter_any():
        size += len(part)
        if size > largest:
            raise LargeReplyError(f"more than {largest >> 20} MiB")
        parts.append(part)
    return b"".join(parts)


def _certificates() -> ssl.SSLContext:
    """Whom to trust: the system and certifi, which a bare container may lack; or what the environment says instead."""
    context = ssl.create_default_context()
    if not (os.environ.get("SSL_CERT_FILE") or os.environ.get("SSL_CERT_DIR")):
        context.load_verify_locations(certifi.where())
    return context
