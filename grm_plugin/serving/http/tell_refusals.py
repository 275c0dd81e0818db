"""Has the service tell of every call that it refuses: callers may swallow the answer, as OpenRLHF does."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from grm_plugin.errors import GRMError, RewardError, ServiceBusy, WireError
from grm_plugin.serving.http.auth import path_of
from grm_plugin.serving.refusals import Refusals

REASON = "reason_of_refusal"
"""Key of an ASGI scope under which the handlers of errors leave the reason for the log."""

TELLABLE = (WireError, ServiceBusy, RewardError)
"""Errors whose messages are written here and hold nothing of a request. Others may quote what an engine said."""

MOST_FIELDS = 5
"""Fields that the log names of one refused request."""

OTHER_REASONS = {
    401: "the call carries no token, or another one",
    408: "its body did not arrive within failure.deadline_s",
    413: "its body is larger than service.max_body_mb",
}

_QUOTED = re.compile(r"""(?<!\w)(?:'(?:[^'\\]|\\.)*+'|"(?:[^"\\]|\\.)*+")""")
"""What stands in quotes in a message: a role or a key that the request made up."""


class TellRefusals:
    """ASGI middleware: records POST calls that are answered with 400 or above. To be the outermost one.

    Args:
        refusals: returns what counts and logs them; called for every refusal.
    """

    def __init__(self, app: ASGIApp, refusals: Callable[[], Refusals]) -> None:
        self._app = app
        self._refusals = refusals

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        status = 0

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        await self._app(scope, receive, watched)
        if status >= 400:
            reason = scope.get(REASON) or OTHER_REASONS.get(status) or HTTPStatus(status).phrase
            self._refusals().record(_route(scope), status, reason)


def reason_of(error: GRMError) -> str:
    """What the log may say of an error."""
    return (
        _QUOTED.sub("'...'", str(error))
        if isinstance(error, TELLABLE)
        else f"{type(error).__name__}; the reply says more"
    )


def reason_of_fields(errors: Sequence[Mapping[str, Any]], known: Collection[str]) -> str:
    """What the log may say of invalid fields: where they are, and pydantic's messages.

    Keys that the request made up are text of the request, and are left out: only `known` names are shown. So is what
    a message quotes, unless it lists the values that a field may have.
    """
    return "; ".join(
        f"{'.'.join(_places(error['loc'], known))}: "
        + (error["msg"] if error["type"] == "literal_error" else _QUOTED.sub("'...'", error["msg"]))
        for error in errors[:MOST_FIELDS]
    )


def names_of(app: FastAPI) -> frozenset[str]:
    """Every name that stands in the app's description: of fields and of parameters."""
    described = app.openapi()
    fields = (schema.get("properties", ()) for schema in described["components"]["schemas"].values())
    parameters = (
        parameter["name"]
        for path in described["paths"].values()
        for operation in path.values()
        for parameter in operation.get("parameters", ())
    )
    return frozenset(("body", "query", *(name for names in fields for name in names), *parameters))


def _places(loc: Sequence[str | int], known: Collection[str]) -> Iterator[str]:
    return (str(part) if isinstance(part, int) or part in known else "*" for part in loc)


def _route(scope: Scope) -> str:
    """The path of a route of ours, else a phrase: a path that nobody serves may hold anything."""
    path = path_of(scope)
    app = scope.get("app")
    return path if app is None or any(getattr(route, "path", None) == path for route in app.routes) else "another path"
