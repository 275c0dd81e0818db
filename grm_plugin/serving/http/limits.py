"""How much one request may hold: of bytes while it arrives, of samples and text once it is read."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

from fastapi import HTTPException
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from grm_plugin.config import Config, ServiceConfig

MIB = 2**20

LINGER_S = 5.0

MAX_DEPTH = 64
"""Lists and objects inside each other in a request; labels and NeMo-Gym's task fields may hold any JSON."""

Path = tuple[str | int, ...]


class LimitBody:
    """ASGI middleware: a body larger than `service.max_body_mb` is a 413, one that takes longer than
    `failure.deadline_s` to arrive a 408. What is too much is not kept in memory.

    Args:
        config: the service's configuration, looked up per request.
    """

    def __init__(self, app: ASGIApp, config: Callable[[], Config]) -> None:
        self._app = app
        self._config = config

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        config = self._config()
        declared = Headers(scope=scope).get("content-length", "0")
        if declared.isdecimal() and int(declared[:20]) > config.service.max_body_mb * MIB:
            error = _too_large(config.service)
            await discard(receive)
            await JSONResponse({"detail": error.detail}, error.status_code, error.headers)(scope, receive, send)
        else:
            await self._app(scope, _Counting(receive, config).receive, send)


async def discard(receive: Receive) -> None:
    """Read the rest of a body and keep nothing of it, for at most `LINGER_S` seconds.

    A sender that is cut off while it sends does not get to see the reply, and would try again.
    """
    with suppress(TimeoutError):  # it gets the reply anyway, if it looks
        async with asyncio.timeout(LINGER_S):
            while (await receive()).get("more_body", False):
                pass


class _Counting:
    """`receive` of one request, which ends a body that grows too large or comes too slowly."""

    def __init__(self, receive: Receive, config: Config) -> None:
        self._receive = receive
        self._limits = config.service
        self._left = config.service.max_body_mb * MIB
        self._deadline_s = config.failure.deadline_s
        self._deadline = time.monotonic() + config.failure.deadline_s
        self._more = True

    async def receive(self) -> Message:
        if not self._more:
            return await self._receive()  # the body is here: what comes next is the client hanging up
        try:
            async with asyncio.timeout(self._deadline - time.monotonic()):
                message = await self._receive()
        except TimeoutError:
            raise HTTPException(
                408, f"the body did not arrive within failure.deadline_s ({self._deadline_s:g} s)", _CLOSE
            ) from None
        self._left -= len(message.get("body", b""))
        if self._left < 0:
            await discard(self._receive)
            raise _too_large(self._limits)
        self._more = message.get("more_body", False)
        return message


def check_limits(payload: BaseModel, samples: int, limits: ServiceConfig) -> None:
    """Refuse a request with too many samples, too long a text, or too deep a nesting.

    Raises:
        RequestValidationError: the reply is a 422 that names the field, and never repeats its text.
    """
    problem = next(_problems(payload, samples, limits), None)
    if problem is not None:
        where, message = problem
        raise RequestValidationError([{"loc": ("body", *where), "msg": message, "type": "too_large"}])


def _problems(payload: BaseModel, samples: int, limits: ServiceConfig) -> Iterator[tuple[Path, str]]:
    if samples > limits.max_samples:
        yield (), f"{samples} responses in one request, service.max_samples allows {limits.max_samples}: send several"
    # No recursion: what is nested too deep for Python's stack must be refused, too.
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
    if isinstance(value, BaseModel):
        yield from value  # extra fields too
    elif isinstance(value, dict):
        # A key is text as well, and its name may be as long as any: it is not repeated in a path.
        yield from (("(key)", key) for key in value)
        yield from ((str(key)[:64], inner) for key, inner in value.items())
    elif isinstance(value, list | tuple):
        yield from enumerate(value)


_CLOSE = {"Connection": "close"}
"""What may be left of the body is not read."""


def _too_large(limits: ServiceConfig) -> HTTPException:
    return HTTPException(
        413,
        f"the body is larger than service.max_body_mb ({limits.max_body_mb:g} MiB): send fewer groups at a time",
        _CLOSE,
    )
