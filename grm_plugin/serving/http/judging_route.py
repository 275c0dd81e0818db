"""A route that judges: what is as it should be is read in one pass, and the reply is written in one.

FastAPI's own reading and writing costs several times the CPU of all that the service does with a sample. It still
describes the route and, where anything about a call is odd (a field, a parameter, the kind of its body), reads it again
and words the refusal.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import lru_cache
from typing import Any, get_type_hints
from urllib.parse import parse_qsl

from fastapi import HTTPException, Request, Response
from fastapi.routing import APIRoute
from pydantic import TypeAdapter, ValidationError
from pydantic_core import to_json
from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive, Scope, Send

from grm_plugin.serving.http.headers import header


class JudgingRoute(APIRoute):
    """For POST endpoints with a parameter `payload`, the body; a `request`; and others, each of the query."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        super().__init__(path, endpoint, **options)
        hints = get_type_hints(endpoint, include_extras=True)
        self._payload = _reader(hints["payload"])
        self._parameters = {
            name: _reader(hints[name])
            for name in inspect.signature(endpoint).parameters
            if name not in ("payload", "request")
        }

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Called by the router for a request to this path, of whatever method."""
        if scope["method"] != "POST":
            await super().handle(scope, receive, send)
            return
        try:
            body = await Request(scope, receive).body()
        except ClientDisconnect:
            raise HTTPException(400, "the client closed the connection") from None
        arguments = self._read(scope, body)
        if arguments is None:
            await super().handle(scope, _received(body, receive), send)
            return
        del body  # the call may wait for minutes, with thousands of others
        reply = await self.endpoint(request=Request(scope, receive), **arguments)
        if isinstance(reply, Response):
            await reply(scope, receive, send)
            return
        content = to_json(reply)
        length = str(len(content)).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", length)]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": content})

    def _read(self, scope: Scope, body: bytes) -> dict[str, Any] | None:
        """The endpoint's arguments; None where something is odd: pydantic's JSON is stricter than Python's, too."""
        if header(scope, b"content-type").partition(b";")[0].strip().lower() != b"application/json":
            return None
        given = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        arguments: dict[str, Any] = dict(given)
        if len(arguments) < len(given) or not arguments.keys() <= self._parameters.keys():
            return None
        try:
            for name, value in arguments.items():
                arguments[name] = self._parameters[name].validate_python(value)
            arguments["payload"] = self._payload.validate_json(body)
        except ValidationError:
            return None
        return arguments


@lru_cache
def _reader(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def _received(body: bytes, receive: Receive) -> Receive:
    """A `receive` that begins with a body that was received already."""
    rest = iter([{"type": "http.request", "body": body, "more_body": False}])

    async def again() -> Message:
        return next(rest, None) or await receive()

    return again
