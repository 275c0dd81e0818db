"""The keeper: an actor that deploys the service, and takes it down when it is stopped or its owner is gone.

The owner is the process that started the service. Each service has one keeper, a detached named actor on the head node,
as the service's listener is, whose socket it holds. It waits for the replicas in place of the owner, which may be a
training driver. It outlives an owner that is killed, so that the service is taken down in any case.
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
from grm_plugin.serving.ports import http_url
from grm_plugin.serving.ray.lease import Owner
from grm_plugin.wire.token import Token

if TYPE_CHECKING:
    from grm_plugin.serving.ray.deploying import Deployment

logger = logging.getLogger(__name__)

GIVE_UP_S = 30.0
"""The keeper waits this long for a start to end that it has given up because the owner is gone."""


@dataclass(frozen=True, slots=True)
class Started:
    """How a start ended.

    Attributes:
        url: the service's address; empty if the start failed.
        notes: what the user should know.
        error: why the start failed; empty if it did not.
        token: what requests to the service must carry.
    """

    url: str = ""
    notes: tuple[str, ...] = ()
    error: str = ""
    token: Token | None = None


@dataclass(frozen=True, slots=True)
class About:
    """What the keeper knows of its service.

    Attributes:
        url: the service's address, also while it starts.
        lifetime: `service.lifetime`.
        max_waiting: most samples that all of its processes take at once.
        owner: the process that started it, where it is known.
        owner_is_gone: whether that has ended.
        starting: whether it is not ready yet.
        waits_for: see `Deployment.waits_for`.
    """

    url: str
    lifetime: str
    max_waiting: int
    owner: Owner | None
    owner_is_gone: bool
    starting: bool
    waits_for: str


class Keeper:
    """Deploys one service in a thread and watches its lease in another; an actor with threads, as both of them wait.

    Args:
        config: what to deploy.
        lease: the owner's `Lease`. When it ends, a service that is still starting is taken down, and so is one whose
            `service.lifetime` is `job`.
        token: what requests to the service must carry.
        owner: whose lease it is.
    """

    def __init__(self, config: Config, lease: Any, token: Token | None = None, owner: Owner | None = None) -> None:
        # Imported here and not in the process that starts the keeper: it brings the whole service along.
        from grm_plugin.serving.ray.deploying import Deployment

        self._config = config
        self._token = token
        self._owner = owner
        self._owner_is_gone = False
        self._deployment: Deployment = Deployment(config, token)
        self._started: Future[Started] = Future()
        self._closing = threading.Lock()
        self._own_handle = ray.get_runtime_context().current_actor
        threading.Thread(target=self._start, daemon=True).start()
        threading.Thread(target=self._watch, args=(lease,), daemon=True).start()

    def started(self) -> Started:
        """How the start ended; blocks until then."""
        return self._started.result()

    def about(self) -> About:
        """What it knows of the service; at once, also while that starts."""
        service = self._config.service
        return About(
            http_url(service.host, service.port),
            service.lifetime,
            service.max_waiting * service.replicas,
            self._owner,
            self._owner_is_gone,
            not self._started.done(),
            self.waits_for(),
        )

    def waits_for(self) -> str:
        """See `Deployment.waits_for`."""
        return self._deployment.waits_for

    def close(self, patience_s: float = 0.0) -> None:
        """Take the service down. See `Deployment.delete`."""
        with self._closing:
            self._deployment.delete(patience_s)

    def _start(self) -> None:
        began = time.monotonic()
        try:
            url, notes = self._deployment.deploy()
            started = Started(url, notes, token=self._token)
        except GRMError as error:
            started = Started(error=str(error))
        except Exception as error:  # whatever Ray raises: the owner waits for an answer
            logger.exception("the service cannot be started")
            started = Started(error=f"{type(error).__name__}: {error}")
        if started.error:
            self._take_down()
        logger.info("start of %s: %s, %.1f s", self._config.service.name, started, time.monotonic() - began)
        self._started.set_result(started)

    def _take_down(self) -> None:
        try:
            self.close()
        except Exception:  # whatever Ray raises: the owner still hears why the start failed
            logger.exception("the service %s could not be taken down", self._config.service.name)

    def _watch(self, lease: Any) -> None:
        """Wait for the end of the lease, then take the service down and end this actor."""
        try:
            ray.get(lease.hold.remote())
        except ray.exceptions.RayError:
            self._owner_is_gone = True
            if self._config.service.lifetime == "shared" and self._started.done():
                return
            logger.info("the owner of %s is gone: taking it down", self._config.service.name)
            self._deployment.give_up()
            # A service that is taken down while its start goes on would be deployed after that.
            with suppress(TimeoutError):
                self._started.result(GIVE_UP_S)
            self._take_down()
            ray.kill(self._own_handle)
