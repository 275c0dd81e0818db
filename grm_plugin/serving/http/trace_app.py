"""The trace page alone, without a service, over a store that a service has written or still writes.

`grm-plugin view` runs it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import uvicorn
from fastapi import FastAPI

from grm_plugin.serving.http.auth import RequireToken
from grm_plugin.serving.ports import http_url, listen
from grm_plugin.trace.page_routes import Source, page_router
from grm_plugin.wire.token import exposure, read_token

logger = logging.getLogger(__name__)


def page_app(path: Path) -> FastAPI:
    """The app that shows the store at `path`; requests must carry the token of GRM_TOKEN, if that is set.

    Raises:
        ConfigError: GRM_TOKEN holds something that cannot be a token.
    """
    token = read_token()
    app = FastAPI(title="grm_plugin traces", docs_url=None, redoc_url=None, openapi_url=None)
    app.add_middleware(RequireToken, token=lambda: token)
    app.include_router(page_router(lambda: Source(path)))
    return app


def serve_page(path: Path, host: str, port: int, announce: Callable[[str], None]) -> None:
    """Serve the page until SIGINT or SIGTERM; `announce` is called with its URL once connections are taken.

    Raises:
        ServiceError: the address cannot be listened on.
        ConfigError: see `page_app`.
    """
    app = page_app(path)
    for note in exposure(host, read_token()):
        logger.warning(note)
    with listen(host, port, "choose another --port") as listening:
        announce(f"{http_url(host, listening.getsockname()[1])}/")
        uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False)).run(sockets=[listening])
