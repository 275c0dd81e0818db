"""Finds the service of a TRL job, or starts one that ends with it."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from pathlib import Path

from grm_plugin.client.readiness import read_ready
from grm_plugin.config import Config
from grm_plugin.config.loading import load_config
from grm_plugin.errors import ConfigError, ServiceError
from grm_plugin.serving.ports import http_url
from grm_plugin.serving.ray.launch import ServiceHandle, start
from grm_plugin.wire.token import Token, read_token

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class FoundService:
    """A service's address, its token (None: what `url` or GRM_TOKEN says), and its handle if this process has started
    it."""

    url: str
    token: Token | None = None
    started: ServiceHandle | None = None


def find_or_start(url: str | None, config: Config | str | Path | None) -> FoundService:
    """The service to ask.

    With `config` rank 0 (of torchrun or accelerate) starts a service and the other ranks of the machine wait for it.

    Raises:
        ConfigError: not exactly one of `url` and `config` is given; the ranks are spread over machines, or could not
            find the service, which is at another address than `service.host` and `service.port` say.
        ServiceError: the service does not start.
    """
    if (url is None) == (config is None):
        raise ConfigError("give GRMReward exactly one of url=... (a running service) and config=... (starts one)")
    if config is None:
        assert url is not None
        return FoundService(url.rstrip("/"))
    loaded = config if isinstance(config, Config) else load_config(config)
    world, local = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    if world > local:
        raise ConfigError(
            f"the training runs on several machines ({world} ranks, {local} on this one): start the service once with "
            "grm-plugin serve, and give every rank its url=..."
        )
    address = loaded.service.host, loaded.service.port
    if int(os.environ.get("RANK", "0")) > 0:
        expected, token = http_url(*address), read_token(loaded.service.token_env)
        read_ready(expected, token, loaded.service.ready_timeout_s)  # rank 0 starts it
        return FoundService(expected, token)
    handle = start(loaded)
    # Computed only now that Ray is connected: on a cluster `http_url` takes this machine's address from Ray, as the
    # service does.
    if world > 1 and handle.url != (expected := http_url(*address)):
        stop_service(handle)
        raise ConfigError(
            f"the service answers at {handle.url}, on the Ray cluster's head node, and the other ranks look for it at "
            f"{expected}: start it once with grm-plugin serve, and give every rank its url=..."
        )
    return FoundService(handle.url, handle.token, handle)


def stop_service(started: ServiceHandle | None) -> None:
    """Stop what `find_or_start` started, unless it went with its Ray cluster (at interpreter exit)."""
    if started is None:
        return
    import ray

    if not ray.is_initialized():
        return
    try:
        started.stop()
    except ServiceError as error:
        logger.warning("the GRM service did not stop cleanly: %s", error)
