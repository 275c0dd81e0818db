"""Answers an unexpected error with its type only: its message may quote prompts and responses."""

from __future__ import annotations

import logging
import traceback

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

logger = logging.getLogger(__name__)


class HideErrorText:
    """ASGI middleware: answers an unexpected error with a 500 that names its type, and logs type and code lines.

    The server would log the error's message as well, and libraries quote in it what they failed on: prompts, responses.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = False

        async def watched(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except Exception as error:  # anything that no route has handled: the client still gets an answer
            name = type(error).__name__
            logger.error("%s on %s\n%s", name, scope.get("path"), "".join(traceback.format_tb(error.__traceback__)))
            if scope["type"] != "http" or started:
                raise RuntimeError(f"{name}, logged above") from None
            await JSONResponse({"detail": f"an error of the service ({name}); see its log"}, 500)(scope, receive, send)
