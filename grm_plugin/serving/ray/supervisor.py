"""Starts a job's service again when all of it is gone. Runs in a thread of the process that started the service.

Ray restarts the actors of a service that die. It brings back neither a service that is gone as a whole nor its keeper.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from grm_plugin._util.http_calls import NoReplyError, get
from grm_plugin.config import Config
from grm_plugin.errors import ServiceError
from grm_plugin.serving.ray import launch

logger = logging.getLogger(__name__)

PERIOD_S = 10.0
"""Pause between two looks at the service."""

HEALTH_TIMEOUT_S = 10.0

SILENT_LOOKS = 3
"""After so many looks in a row without an answer the service counts as gone: in half a minute Ray would have
restarted whatever it can."""

RESTARTS = 3
"""Restarts per job. What makes a service die more often is nothing that a restart mends."""


class Supervisor:
    """Watches a service and starts it again. A context manager: it watches within the block.

    Args:
        config: the service's configuration. The service comes back at its address if its port is still free.
        url: the service's address.
        gone: looks at the service. Returns False if it answers, True if all of it is gone, and None if it does not
            answer, which may pass. By default, asks the Ray cluster and `/health`.
        restart: starts the service again and returns its address. By default, `launch.start`.
        period_s: pause between two looks.
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
        """End the watch. A restart under way is waited for: otherwise its service could not be stopped."""
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
            except Exception as error:  # any error, also of Ray: the next look comes in `period_s`
                logger.error("the GRM service did not come back: %s", error)
                continue
            if url != self._url:
                logger.error("the GRM service came back at %s, but the job asks it at %s", url, self._url)
            logger.warning("the GRM service is back at %s", url)

    def _guarded_look(self) -> bool | None:
        """`gone`, with any error as None."""
        try:
            return self._gone()
        except Exception as error:  # for instance while Ray restarts
            logger.warning("the GRM service cannot be checked now: %s", error)
            return None

    def _look(self) -> bool | None:
        if not launch.exists(self._config.service.name):
            return True
        try:
            if get(f"{self._url}/health", None, HEALTH_TIMEOUT_S).is_success:
                return False
        except (TimeoutError, NoReplyError):
            pass
        # The job's process may be on a node that does not reach the address. Its hooks may all the same.
        return False if launch.answers(self._config.service.name, HEALTH_TIMEOUT_S) else None

    def _start_again(self) -> str:
        try:
            launch.stop_on_ray(self._config.service.name)
        except ServiceError as error:
            logger.warning("the rest of the GRM service was not stopped before its restart: %s", error)
        return launch.start(self._config).url
