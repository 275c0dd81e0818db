"""Carries requests to an OpenAI-compatible server. What one costs does not grow with those that are under way."""

from __future__ import annotations

import asyncio
import base64
import logging
import os
import resource
from collections.abc import AsyncGenerator

import aiohttp
from yarl import URL

from grm_plugin._util.http_calls import LargeReplyError, Reply, open_session, send
from grm_plugin._util.per_loop import PerLoop
from grm_plugin.config import OpenAIConfig
from grm_plugin.engines.openai_replies import NoCompletionError
from grm_plugin.engines.proxies import proxy_of

logger = logging.getLogger(__name__)

LARGEST_REPLY = 64 * 2**20
"""Bytes, unpacked. What is larger is no answer to any request of ours."""


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
        """Send a JSON text, once: see `send`, which takes `timeout_s`, and whose errors pass through.

        Raises:
            NoCompletionError: the reply is larger than `LARGEST_REPLY`.
        """
        try:
            return await send(self._session, "POST", self._url, body, largest=LARGEST_REPLY, timeout_s=timeout_s)
        except LargeReplyError as error:
            raise NoCompletionError(f"with {error}") from None


class Transport:
    """Ways to `POST {base_url}/chat/completions` with the key of the configuration, one per event loop.

    Connections are opened as requests need them, kept for later ones, and closed with their event loop.
    """

    def __init__(self, config: OpenAIConfig) -> None:
        self._config = config
        self._connections = PerLoop(self._open)

    async def connections(self) -> Connections:
        """Those of the current event loop.

        Raises:
            ValueError: the address, the proxy or the key is none. The message says which, and why.
        """
        return await self._connections.get()

    async def _open(self) -> AsyncGenerator[Connections, None]:
        url = _address(self._config.base_url)
        proxy = proxy_of(self._config.base_url)
        secure = url.scheme == "https" or (proxy or "").startswith("https:")
        async with open_session(secure, _headers(self._config), proxy) as session:
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
        # Which of several organizations of OpenAI's pays.
        "OpenAI-Organization": os.environ.get("OPENAI_ORG_ID", ""),
        "OpenAI-Project": os.environ.get("OPENAI_PROJECT_ID", ""),
    }
    return {name: value for name, value in sent.items() if value}


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
