"""The service that a training script brings along."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from grm_plugin.config import Config
from grm_plugin.config_loading import load_config
from grm_plugin.errors import ConfigError, ServiceError
from grm_plugin.readiness import require_ready
from grm_plugin.serving.launch import ServiceHandle, start

logger = logging.getLogger(__name__)


def url_of_local_service(url: str | None, config: Config | str | Path | None) -> tuple[str, ServiceHandle | None]:
    """The address to use, and the service if this process has started it.

    With `config` rank 0 (of torchrun or accelerate) starts a service and the other ranks of the machine wait for it.

    Raises:
        ConfigError: not exactly one of `url` and `config` is given; or the ranks are spread over machines.
        ServiceError: the service does not start.
    """
    if (url is None) == (config is None):
        raise ConfigError("give GRMReward exactly one of url=... (a running service) and config=... (starts one)")
    if config is None:
        assert url is not None
        return url.rstrip("/"), None
    loaded = config if isinstance(config, Config) else load_config(config)
    world, local = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    if world > local:
        raise ConfigError(
            f"the training runs on several machines ({world} ranks, {local} on this one): start the service once with "
            "grm-plugin serve, and give every rank its url=..."
        )
    if int(os.environ.get("RANK", "0")) == 0:
        handle = start(loaded)
        return handle.url, handle
    url = f"http://{loaded.service.host}:{loaded.service.port}"
    require_ready(url, patience_s=loaded.service.ready_timeout_s)  # rank 0 starts it
    return url, None


def stop_service(started: ServiceHandle | None) -> None:
    """Stop what `url_of_local_service` started, unless it went with its Ray cluster (at interpreter exit)."""
    if started is None:
        return
    import ray

    if not ray.is_initialized():
        return
    try:
        started.stop()
    except ServiceError as error:
        logger.warning("the GRM service did not stop cleanly: %s", error)
