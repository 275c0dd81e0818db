"""The keeper: an actor that deploys the service, watches over its lifetime, and takes it down.

One per service, detached, named, on the head node (where Serve's HTTP proxy is). It does what would otherwise block or
burden the training driver, and it outlives a driver that is killed, which is what makes the clean-up certain.
"""

from __future__ import annotations

import logging
import threading
import time
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import ray

from grm_plugin.config import Config
from grm_plugin.errors import GRMError
from grm_plugin.wire.token import Token

if TYPE_CHECKING:
    from grm_plugin.serving.ray.deploying import ServeApp

logger = logging.getLogger(__name__)

GIVE_UP_S = 30.0
"""A start whose owner is gone has this long to end by itself."""

NAMESPACE = "grm_plugin"


def keeper_name(service: str) -> str:
    """Name of a service's keeper in `NAMESPACE`."""
    return f"grm-keeper-{service}"


@dataclass(frozen=True, slots=True)
class Started:
    """How the start ended: `error` is empty, or says why there is no `url`.

    `notes` are for the user, `token` is for the service's clients.
    """

    url: str = ""
    notes: tuple[str, ...] = ()
    error: str = ""
    token: Token | None = None


class Keeper:
    """A threaded actor (Serve's API blocks).

    Args:
        config: what to deploy.
        lease: when it is over, a starting service and one of lifetime `job` are taken down.
        token: what requests to the service must carry.
    """

    def __init__(self, config: Config, lease: Any, token: Token | None = None) -> None:
        # Ray Serve takes seconds to import, which the process that starts the keeper is spared.
        from grm_plugin.serving.ray.deploying import ServeApp

        self._config = config
        self._token = token
        self._app: ServeApp = ServeApp(config, token)
        self._started: Future[Started] = Future()
        self._closing = threading.Lock()
        self._own_handle = ray.get_runtime_context().current_actor
        threading.Thread(target=self._start, daemon=True).start()
        threading.Thread(target=self._watch, args=(lease,), daemon=True).start()

    def started(self) -> Started:
        """Blocks until the service is ready or has failed."""
        return self._started.result()

    def close(self, patience_s: float = 0.0) -> None:
        """Take the service down; its replicas are gone when this returns. See `ServeApp.delete`."""
        with self._closing:
            self._app.delete(patience_s)

    def _start(self) -> None:
        began = time.monotonic()
        try:
            url, notes = self._app.deploy()
            started = Started(url, notes, token=self._token)
        except GRMError as error:
            started = Started(error=str(error))
        except Exception as error:  # Ray's and Serve's own: the starter is told, not left waiting
            logger.exception("the service cannot be started")
            started = Started(error=f"{type(error).__name__}: {error}")
        if started.error:
            self._take_down()
        logger.info("start of %s: %s, %.1f s", self._config.service.name, started, time.monotonic() - began)
        self._started.set_result(started)

    def _take_down(self) -> None:
        try:
            self.close()
        except Exception:  # Serve's and Ray's own: the starter must hear its reason, and the keeper end, all the same
            logger.exception("the service %s is not taken down", self._config.service.name)

    def _watch(self, lease: Any) -> None:
        try:
            ray.get(lease.hold.remote())
        except ray.exceptions.RayError:
            if self._config.service.lifetime == "shared" and self._started.done():
                return
            logger.info("the owner of %s is gone: taking it down", self._config.service.name)
            self._app.give_up()
            with suppress(TimeoutError):  # only what has been sent to Serve can be taken off it
                self._started.result(GIVE_UP_S)
            self._take_down()
            ray.kill(self._own_handle)
