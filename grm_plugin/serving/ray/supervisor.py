"""Brings a job's service back when all of it is gone.

Ray Serve replaces what dies inside the service (replicas, its proxy, its controller). What is left for the job's own
process: a service, or its keeper, that disappears as a whole.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

import httpx

from grm_plugin.config import Config
from grm_plugin.errors import ServiceError
from grm_plugin.serving.ray import launch

logger = logging.getLogger(__name__)

PERIOD_S = 10.0
HEALTH_TIMEOUT_S = 10.0

SILENT_LOOKS = 3
"""In a row: half a minute, in which Ray Serve has replaced whatever it can."""

RESTARTS = 3
"""Per job. What dies more often has a cause that a restart does not remove."""


class Supervisor:
    """Watches a service from the process that started it, in a thread; a context manager.

    Args:
        config: what to start again. It comes back at its address as long as its port stays free.
        url: where the service is.
        gone: how it looks (True: all of it is gone, now; None: it does not answer, which may pass).
        restart: brings it back.
    """

    def __init__(
        self,
        config: Config,
        url: str,
        gone: Callable[[], bool | None] | None = None,
        restart: Callable[[], str] | None = None,
        period_s: float = PERIOD_S,
    ) -> None:
        self._config = config
        self._url = url
        self._gone = gone or self._look
        self._restart = restart or self._start_again
        self._period_s = period_s
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="grm-supervisor", daemon=True)
        self.restarts = 0

    def __enter__(self) -> Supervisor:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """No restart begins after this; one under way is waited for, so that it can be stopped."""
        self._ended.set()
        self._thread.join(self._config.service.ready_timeout_s)

    def _watch(self) -> None:
        silent = 0
        while not self._ended.wait(self._period_s):
            gone = self._guarded_look()
            silent = silent + 1 if gone is None else 0
            if not gone and silent < SILENT_LOOKS:
                continue
            if self.restarts == RESTARTS:
                logger.error("the GRM service is gone once more after %d restarts: it stays down", RESTARTS)
                return
            self.restarts += 1
            silent = 0
            logger.error("the GRM service is gone, restart %d of %d", self.restarts, RESTARTS)
            try:
                url = self._restart()
            except Exception as error:  # Ray's own too: the next restart may go better
                logger.error("the GRM service did not come back: %s", error)
                continue
            if url != self._url:
                logger.error("the GRM service came back at %s, but the job asks it at %s", url, self._url)
            logger.warning("the GRM service is back at %s", url)

    def _guarded_look(self) -> bool | None:
        try:
            return self._gone()
        except Exception as error:  # Ray itself may be restarting
            logger.warning("the GRM service cannot be looked for: %s", error)
            return None

    def _look(self) -> bool | None:
        if not launch.exists(self._config.service.name):
            return True
        try:
            httpx.get(f"{self._url}/health", timeout=HEALTH_TIMEOUT_S, trust_env=False).raise_for_status()
        except httpx.HTTPError:
            return None
        return False

    def _start_again(self) -> str:
        try:
            launch.stop_on_ray(self._config.service.name)
        except ServiceError as error:
            logger.warning("what is left of the GRM service was not stopped: %s", error)
        return launch.start(self._config).url
