"""Which replica gets a request: Ray Serve's router for the GRM and the meta RM.

Serve's own router leaves a frozen replica in until its health checks have failed for half a minute, and cannot be told
to avoid one. This one pings the replicas and lets `grm_plugin.serving.ray.replica_watch` choose.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any
from weakref import WeakValueDictionary

from ray.serve.request_router import PendingRequest, RequestRouter, RunningReplica

from grm_plugin.serving.ray.replica_watch import ReplicaWatch, watch_of

logger = logging.getLogger(__name__)

FULL_PAUSE_S = 0.02
"""Between two looks for a replica with a place."""

PING_PERIOD_S = 1.0
PING_TIMEOUT_S = 10.0
"""A frozen replica answers the pings of all that time when it goes on; few are left waiting."""


class LiveReplicasRouter(RequestRouter):  # type: ignore[misc]
    """Sends each attempt to the least busy replica that answers; first come, first served.

    A retry waits for a replica that has not failed it, in a line with those that avoid the same ones: the others need
    not wait for that replica.
    """

    _watch: ReplicaWatch

    def initialize_state(self, **_: Any) -> None:
        """Serve calls this before the first request."""
        self._watch = watch_of(self._deployment_id.app_name, self._deployment_id.name)
        self._pings: dict[str, asyncio.Task[None]] = {}
        self._turns: WeakValueDictionary[frozenset[str], asyncio.Lock] = WeakValueDictionary()

    def update_replicas(self, replicas: list[RunningReplica]) -> None:
        """Serve's controller says what runs."""
        super().update_replicas(replicas)
        running = {replica.replica_id.unique_id: replica for replica in replicas}
        self._watch.replicas(running.keys())
        for id in self._pings.keys() - running.keys():
            self._pings.pop(id).cancel()
        for id in running.keys() - self._pings.keys():
            self._pings[id] = self._event_loop.create_task(self._ping(id, running[id]))

    async def choose_replicas(
        self, candidate_replicas: list[RunningReplica], pending_request: PendingRequest | None = None
    ) -> list[list[RunningReplica]]:
        """Those that answer. Only asked by a Serve that does not call the method below."""
        return [[replica for replica in candidate_replicas if self._watch.is_alive(replica.replica_id.unique_id)]]

    async def _choose_replica_for_request(
        self, pending_request: PendingRequest, *, is_retry: bool = False
    ) -> RunningReplica:
        """The replica for a request, once one has a place for it.

        Serve's own way here gives a replica to whichever request waits longest, so that nobody knows which one has it.
        """
        attempt = pending_request.kwargs.get("attempt")
        if is_retry:  # the chosen one was full, or is gone
            await asyncio.sleep(FULL_PAUSE_S)
        turn = self._turns.setdefault(self._watch.avoided(attempt), asyncio.Lock())
        async with turn:
            while True:
                running = {replica.replica_id.unique_id: replica for replica in self._replicas.values()}
                places = {id: replica.max_ongoing_requests for id, replica in running.items()}
                chosen = self._watch.choose(places, attempt)
                if chosen is not None:
                    return running[chosen]
                await asyncio.sleep(FULL_PAUSE_S)

    async def _ping(self, id: str, replica: RunningReplica) -> None:
        while True:
            try:
                async with asyncio.timeout(PING_TIMEOUT_S):
                    await replica.get_queue_len(deadline_s=PING_TIMEOUT_S)
                self._watch.heard(id)
            except asyncio.CancelledError:
                raise
            except Exception as error:  # dead, or not reached: it stalls until a ping comes back, or Serve takes it off
                logger.debug("replica %s does not answer a ping: %r", id, error)
            await asyncio.sleep(PING_PERIOD_S)
