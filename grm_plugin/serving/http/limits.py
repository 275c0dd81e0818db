"""Refuses requests that are too large: by their bytes while they arrive, by samples, text and nesting once parsed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import suppress

from fastapi import HTTPException
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from grm_plugin._util.deadline import Deadline
from grm_plugin.config import Config, ServiceConfig
from grm_plugin.serving.http.headers import header

MIB = 2**20

LINGER_S = 5.0
"""Longest time for which the rest of a refused body is read."""

MAX_DEPTH = 64
"""How deep lists and objects of a request may be nested; labels and NeMo-Gym's task fields may hold any JSON."""

Path = tuple[str | int, ...]
"""Where in a request a value stands: keys and list indices from the outermost in."""


class LimitBody:
    """ASGI middleware: answers 413 for a body larger than `service.max_body_mb`, and 408 for one that takes longer than
    `failure.deadline_s` to arrive. No more than `service.max_body_mb` of a body is kept in memory.

    Args:
        config: returns the service's configuration; called for every request.
    """

    def __init__(self, app: ASGIApp, config: Callable[[], Config]) -> None:
        self._app = app
        self._config = config

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        config = self._config()
        declared = header(scope, b"content-length")
        if declared.isdigit() and int(declared[:20]) > config.service.max_body_mb * MIB:
            error = _too_large(config.service)
            await discard(receive)
            await JSONResponse({"detail": error.detail}, error.status_code, error.headers)(scope, receive, send)
        else:
            await self._app(scope, _LimitedBody(receive, config).receive, send)


async def discard(receive: Receive) -> None:
    """Read the rest of a body, for at most `LINGER_S` seconds, and keep nothing of it.

    A client whose connection is closed while it still sends does not see the reply, and would repeat the request.
    """
    with suppress(TimeoutError):  # then the reply is sent while the client still sends
        async with asyncio.timeout(LINGER_S):
            while (await receive()).get("more_body", False):
                pass


class _LimitedBody:
    """Receives the body of one request, and fails when it grows too large or comes too slowly."""

    def __init__(self, receive: Receive, config: Config) -> None:
        self._receive = receive
        self._config = config
        self._bytes_left = config.service.max_body_mb * MIB
        self._deadline = Deadline.after(config.failure.deadline_s)
        self._more = True

    async def receive(self) -> Message:
        """The next ASGI message, in place of the server's own `receive`.

        Raises:
            HTTPException: 413 or 408.
        """
        if not self._more:
            return await self._receive()  # the body is complete: the next message says that the client has hung up
        try:
            async with self._deadline.timeout():
                message = await self._receive()
        except TimeoutError:
            limit_s = self._config.failure.deadline_s
            raise HTTPException(
                408, f"the body did not arrive within failure.deadline_s ({limit_s:g} s)", _CLOSE
            ) from None
        self._bytes_left -= len(message.get("body", b""))
        if self._bytes_left < 0:
            await discard(self._receive)
            raise _too_large(self._config.service)
        self._more = message.get("more_body", False)
        return message


def check_limits(payload: BaseModel, samples: int, limits: ServiceConfig) -> None:
    """Refuse a parsed request with too many samples, too long a text, or too deep a nesting.

    Args:
        payload: the request.
        samples: how many responses it holds.
        limits: what is allowed.

    Raises:
        RequestValidationError: something exceeds its limit. It becomes a 422 that names the field, without its text.
    """
    problem = next(_problems(payload, samples, limits), None)
    if problem is not None:
        where, message = problem
        raise RequestValidationError([{"loc": ("body", *where), "msg": message, "type": "too_large"}])


def _problems(payload: BaseModel, samples: int, limits: ServiceConfig) -> Iterator[tuple[Path, str]]:
    if samples > limits.max_samples:
        yield (), f"{samples} responses in one request, service.max_samples allows {limits.max_samples}: send several"
    # A stack of our own instead of recursion, which a request nested deeper than Python's stack would break.
    waiting: list[tuple[Path, object]] = [((), payload)]
    while waiting:
        path, value = waiting.pop()
        if isinstance(value, str):
            if len(value) > limits.max_chars:
                yield path, f"a text of {len(value)} characters, service.max_chars allows {limits.max_chars}"
        elif len(path) > MAX_DEPTH:
            yield path[:1], f"nested deeper than {MAX_DEPTH} levels"
        else:
            waiting.extend(((*path, key), inner) for key, inner in _inside(value))


def _inside(value: object) -> Iterator[tuple[str | int, object]]:
    """The parts of a model, an object or a list, each with its key."""
    if isinstance(value, BaseModel):
        yield from value  # its fields, those beyond its declared ones too
    elif isinstance(value, dict):
        # Keys are checked as texts too; the path shows only the start of a key, which may be as long as any text.
        yield from (("(key)", key) for key in value)
        yield from ((str(key)[:64], inner) for key, inner in value.items())
    elif isinstance(value, list | tuple):
        yield from enumerate(value)


_CLOSE = {"Connection": "close"}
"""For a reply that is sent before all of the body is read: the connection cannot carry another request."""


def _too_large(limits: ServiceConfig) -> HTTPException:
    return HTTPException(
        413,
        f"the body is larger than service.max_body_mb ({limits.max_body_mb:g} MiB): send fewer groups at a time",
        _CLOSE,
    )
