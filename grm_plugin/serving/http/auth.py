"""Lets nobody in without the token."""

from __future__ import annotations

from collections.abc import Callable

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from grm_plugin.serving.http.limits import discard
from grm_plugin.wire.token import Token

OPEN_PATHS = ("/health",)
"""What probes of a cluster ask without a token; it says nothing but that the process answers."""

REALM = 'realm="grm_plugin"'


class RequireToken:
    """ASGI middleware: a request without the token is answered 401, and nothing of its body is kept.

    Args:
        token: the service's token, looked up per request; None lets everybody in.
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
        # There are no websocket routes: returning without accepting makes the server answer 403.

    def _may_pass(self, scope: Scope) -> bool:
        token = self._token()
        if token is None or path_of(scope) in OPEN_PATHS:
            return True
        return token.opens(Headers(scope=scope).get("authorization", "").encode("latin-1"))


def path_of(scope: Scope) -> str:
    """The path inside the app, without the prefix under which Ray Serve or a proxy mounts it."""
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", ""))


def _refusal() -> JSONResponse:
    detail = (
        "this service asks for its token: send Authorization: Bearer TOKEN, or the token as the password of HTTP Basic "
        "(clients of grm_plugin: set GRM_TOKEN)"
    )
    refusal = JSONResponse({"detail": detail}, status_code=401)
    # Basic first: a browser asks for a password by the first scheme that it knows.
    for challenge in (f'Basic {REALM}, charset="UTF-8"', f"Bearer {REALM}"):
        refusal.headers.append("WWW-Authenticate", challenge)
    refusal.headers["Connection"] = "close"  # a part of its body may be unread
    return refusal
