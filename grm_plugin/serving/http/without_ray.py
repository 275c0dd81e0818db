"""The service in one process under uvicorn, without Ray: for engines that load no model here (openai, fake).

Nothing restarts this process when it is killed, as Ray does with its actors: let systemd or the like do that.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager

import uvicorn
from fastapi import FastAPI

from grm_plugin._util.garbage import collect_rarely
from grm_plugin.config import Config, VLLMConfig, replicas_of
from grm_plugin.engines.build import build_generator, build_meta_rm
from grm_plugin.errors import ConfigError
from grm_plugin.serving.http.app import create_app
from grm_plugin.serving.pid_file import holding_pid_file
from grm_plugin.serving.ports import http_url, listen
from grm_plugin.serving.service import RewardService
from grm_plugin.serving.stop_times import CONNECTIONS_S
from grm_plugin.wire.token import exposure, read_service_token

logger = logging.getLogger(__name__)


def runs_without_ray(config: Config) -> bool:
    """Whether the service of this configuration is one process: it has no replicas, nor has the GRM or the meta RM."""
    models = config.engine, config.meta_rm
    return config.service.replicas == 1 and not any(
        isinstance(model, VLLMConfig) or replicas_of(model) for model in models
    )


def app_and_service(config: Config) -> tuple[FastAPI, RewardService]:
    """The HTTP app and the service behind it, with its engines in this process. The app closes the service at its end.

    Raises:
        ConfigError: the configuration has a vLLM model, a fake one with replicas, or several processes of the service,
            which run on Ray; or the environment variable of a token holds something that cannot be one.
        PromptError: the prompt template does not render.
    """
    if not runs_without_ray(config):
        raise ConfigError(
            "vLLM models, fake ones with replicas, and service.replicas above 1 run on Ray: use "
            "grm_plugin.serving.ray.launch.start, or engine.type openai or fake without a vLLM meta_rm"
        )
    meta_rm = build_meta_rm(config.meta_rm) if config.meta_rm else None
    service = RewardService(config, build_generator(config.engine), meta_rm)
    token = read_service_token(config.service)
    for note in exposure(config.service.host, token, config.service.token_env):
        logger.warning(note)
    app = create_app(lambda: service, lambda: token)
    app.router.lifespan_context = _closing(service)
    return app, service


def serve_uvicorn(config: Config, announce: Callable[[str], None]) -> None:
    """Serve until SIGINT or SIGTERM, then drain; `announce` is called with the URL once connections are taken.

    Raises:
        ServiceError: the port is in use, or a service of this name runs on this machine already.
        ConfigError, PromptError: see `app_and_service`.
    """
    url = http_url(config.service.host, config.service.port)
    with holding_pid_file(config.service.name, url):
        app, service = app_and_service(config)
        settings = uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=CONNECTIONS_S)
        with listen(config.service.host, config.service.port) as listening, _second_signal_ignored():
            announce(url)
            collect_rarely()
            _DrainingServer(settings, service).run(sockets=[listening])


class _DrainingServer(uvicorn.Server):
    """A uvicorn server that drains the service while it shuts down.

    uvicorn alone would close the connections of requests that are not finished in time; the service answers those so
    that clients ask again.
    """

    def __init__(self, config: uvicorn.Config, service: RewardService) -> None:
        super().__init__(config)
        self._service = service

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await asyncio.gather(self._service.drain(), super().shutdown(sockets))


@contextmanager
def _second_signal_ignored() -> Iterator[None]:
    """Ignore the signal that uvicorn raises again after its shutdown, for the handlers that were set before it ran.

    By then the service has drained: the process is to end with status 0, not by the signal.
    """
    before = {number: signal.signal(number, lambda *_: None) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _closing(service: RewardService) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await service.close()

    return lifespan
