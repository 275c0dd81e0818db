"""Refuses requests that do not carry the service's token."""

from __future__ import annotations

from collections.abc import Callable

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from grm_plugin.serving.http.headers import header
from grm_plugin.serving.http.limits import discard
from grm_plugin.wire.token import Token

OPEN_PATHS = ("/health", "/readyz")
"""Paths that need no token: a cluster's health probes have none, and the replies say only yes or no."""

METRICS_PATH = "/metrics"
"""The one path that `Token.metrics_secret` opens: it shows numbers, and no texts."""

REALM = 'realm="grm_plugin"'
"""The realm of HTTP authentication: what a browser shows when it asks for the password."""


class RequireToken:
    """ASGI middleware: a request without the token is answered with 401, and its body is not kept in memory.

    Args:
        token: returns the service's token, called for every request; None lets everybody in.
    """

    def __init__(self, app: ASGIApp, token: Callable[[], Token | None]) -> None:
        self._app = app
        self._token = token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" or self._may_pass(scope):
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            await discard(receive)
            await _refusal()(scope, receive, send)
        # Else it is a websocket, for which there is no route: a server answers 403 where an app returns without a word.

    def _may_pass(self, scope: Scope) -> bool:
        token = self._token()
        if token is None or path_of(scope) in OPEN_PATHS:
            return True
        authorization = header(scope, b"authorization")
        return token.opens(authorization) or (path_of(scope) == METRICS_PATH and token.opens_metrics(authorization))


def path_of(scope: Scope) -> str:
    """The path of a request inside the app, without the prefix under which another app or a proxy mounts it."""
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", ""))


def _refusal() -> JSONResponse:
    detail = (
        "this service asks for its token: send Authorization: Bearer TOKEN, or the token as the password of HTTP Basic "
        "(clients of grm_plugin: set GRM_TOKEN)"
    )
    refusal = JSONResponse({"detail": detail}, status_code=401)
    # Basic comes first: a browser takes the first scheme that it knows, and asks its user for a password.
    for challenge in (f'Basic {REALM}, charset="UTF-8"', f"Bearer {REALM}"):
        refusal.headers.append("WWW-Authenticate", challenge)
    # A part of the request's body may be unread: the connection cannot carry another request.
    refusal.headers["Connection"] = "close"
    return refusal
