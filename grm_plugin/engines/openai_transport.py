"""Carries requests to an OpenAI-compatible server. What one costs does not grow with those that are under way."""

from __future__ import annotations

import asyncio
import base64
import logging
import os
import resource
import ssl
from collections.abc import AsyncGenerator, Mapping
from typing import NamedTuple

import aiohttp
import certifi
from yarl import URL

from grm_plugin import __version__
from grm_plugin.config import OpenAIConfig
from grm_plugin.engines.openai_replies import NoCompletionError
from grm_plugin.engines.proxies import proxy_of

logger = logging.getLogger(__name__)

CONNECT_TIMEOUT_S = 30.0
"""Longest wait for a connection: a host that is there takes it at once, after lost packets within 15 s."""

IDLE_S = 4.0
"""A connection without a request is closed after so many seconds: vLLM and other servers close theirs after 5."""

LARGEST_REPLY = 64 * 2**20
"""Bytes, unpacked. What is larger is no answer to any request of ours."""


class NoReplyError(Exception):
    """There was no reply. The message says why."""


class LostConnectionError(NoReplyError):
    """A connection ended before anything of a reply had come: a server closes those that had no request for a while."""


class Reply(NamedTuple):
    """What a server replied: its status, the whole body, and its headers (by names in any case)."""

    status: int
    body: bytes
    headers: Mapping[str, str]


class Connections:
    """The connections of one event loop to one server.

    Attributes:
        slots: to be held by each that posts, so that no more connections are opened than are wanted, or can be.
    """

    def __init__(self, session: aiohttp.ClientSession, url: URL, most: int) -> None:
        self._session = session
        self._url = url
        self.slots = asyncio.Semaphore(most)

    async def post(self, body: bytes, timeout_s: float) -> Reply:
        """Send a JSON text, once, and read the reply whatever its status is. To cancel it closes the connection.

        No redirect is followed: prompts and keys go to the server that the configuration names, and to no other.

        Args:
            timeout_s: for all of it; above 0.

        Raises:
            TimeoutError: it took longer than `timeout_s`, or the connection longer than `CONNECT_TIMEOUT_S`.
            NoReplyError: the server cannot be reached, or broke off.
            NoCompletionError: the reply is larger than `LARGEST_REPLY`.
        """
        begun = False
        timeout = aiohttp.ClientTimeout(total=timeout_s, sock_connect=CONNECT_TIMEOUT_S)
        try:
            async with self._session.post(self._url, data=body, timeout=timeout, allow_redirects=False) as reply:
                begun = True
                return Reply(reply.status, await _read(reply), reply.headers)
        except TimeoutError:
            raise
        except (aiohttp.ClientError, OSError) as error:
            ended = isinstance(error, aiohttp.ServerDisconnectedError | aiohttp.ClientOSError)
            lost = ended and not begun and not isinstance(error, aiohttp.ClientConnectorError)
            raise (LostConnectionError if lost else NoReplyError)(_words(error)) from error


class Transport:
    """Ways to `POST {base_url}/chat/completions` with the key of the configuration, one per event loop.

    Connections are opened as requests need them, kept for later ones, and closed with their event loop.
    """

    def __init__(self, config: OpenAIConfig) -> None:
        self._config = config
        self._loops: dict[asyncio.AbstractEventLoop, tuple[Connections, AsyncGenerator[Connections, None]]] = {}

    async def connections(self) -> Connections:
        """Those of the current event loop.

        Raises:
            ValueError: the address, the proxy or the key is none. The message says which, and why.
        """
        loop = asyncio.get_running_loop()
        if loop not in self._loops:
            for ended in [other for other in self._loops if other.is_closed()]:
                del self._loops[ended]
            opened = self._open()
            self._loops[loop] = await anext(opened), opened
        return self._loops[loop][0]

    async def _open(self) -> AsyncGenerator[Connections, None]:
        # A generator, because asyncio ends those that are open when it ends a loop; the engine has no end of its own.
        url = _address(self._config.base_url)
        proxy = proxy_of(self._config.base_url)
        secure = url.scheme == "https" or (proxy or "").startswith("https:")
        connector = aiohttp.TCPConnector(
            limit=0,  # `slots` bounds them
            keepalive_timeout=IDLE_S,
            resolver=aiohttp.ThreadedResolver(),  # the system's, which knows the names of clusters and containers
            ssl=_certificates() if secure else True,
        )
        async with aiohttp.ClientSession(
            connector=connector,
            headers=_headers(self._config),
            proxy=proxy,
            cookie_jar=aiohttp.DummyCookieJar(),
        ) as session:
            yield Connections(session, _endpoint(url), _most_connections(self._config.max_concurrency))


def _address(base_url: str) -> URL:
    url = URL(base_url)
    if url.scheme not in ("http", "https") or not url.host:
        raise ValueError("it must begin with http:// or https:// and the server's name")
    return url


def _endpoint(url: URL) -> URL:
    path = f"{url.raw_path.rstrip('/')}/chat/completions"
    return url.with_user(None).with_path(path, encoded=True).with_query(url.query)


def _headers(config: OpenAIConfig) -> dict[str, str]:
    key = (os.environ.get(config.api_key_env) or "none").strip()
    if not key.isprintable():
        raise ValueError(f"the key in the environment variable {config.api_key_env} has line breaks or the like")
    url = URL(config.base_url)
    basic = base64.b64encode(f"{url.user}:{url.password or ''}".encode()).decode()
    sent = {
        "Authorization": f"Basic {basic}" if url.user else f"Bearer {key}",
        "Content-Type": "application/json",
        "Accept": "application/json",
        "User-Agent": f"grm-plugin/{__version__}",
        # Which of several organizations of OpenAI's pays.
        "OpenAI-Organization": os.environ.get("OPENAI_ORG_ID", ""),
        "OpenAI-Project": os.environ.get("OPENAI_PROJECT_ID", ""),
    }
    return {name: value for name, value in sent.items() if value}


def _certificates() -> ssl.SSLContext:
    """Whom to trust: the system and certifi, which a bare container may lack; or what the environment says instead."""
    context = ssl.create_default_context()
    if not (os.environ.get("SSL_CERT_FILE") or os.environ.get("SSL_CERT_DIR")):
        context.load_verify_locations(certifi.where())
    return context


def _most_connections(wanted: int) -> int:
    """As many as are wanted, or half of the files that the process may have open: the service needs some, too."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files == resource.RLIM_INFINITY or wanted <= files // 2:
        return wanted
    logger.warning(
        "engine.max_concurrency %d is bounded to %d, half of the %d files that this process may have open: raise "
        "`ulimit -n`",
        *(wanted, files // 2, files),
    )
    return max(1, files // 2)


async def _read(reply: aiohttp.ClientResponse) -> bytes:
    parts, size = [], 0
    async for part in reply.content.iter_any():
        size += len(part)
        if size > LARGEST_REPLY:
            raise NoCompletionError(f"with more than {LARGEST_REPLY >> 20} MiB")
        parts.append(part)
    return b"".join(parts)


def _words(error: Exception) -> str:
    """The operating system's words where there are some, or those of the library; without addresses and keys."""
    if isinstance(error, aiohttp.ClientResponseError):
        return f"{error.status} {error.message}"[:200]
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    if isinstance(cause, OSError) and not isinstance(cause, ssl.SSLError) and (cause.errno or 0) > 0:
        return os.strerror(cause.errno or 0).lower()
    return str(cause) or type(error).__name__
