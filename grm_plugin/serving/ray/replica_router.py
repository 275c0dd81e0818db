"""Chooses the replica that gets a request: Ray Serve's request router for the GRM and the meta RM.

Serve's own router sends requests to a frozen replica until its health checks have failed for half a minute, and cannot
be told to avoid a replica. This one pings the replicas and lets `replica_watch.py` choose.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any
from weakref import WeakValueDictionary

from ray.serve.request_router import PendingRequest, RequestRouter, RunningReplica

from grm_plugin._util.concurrency import unless_cancelled_within
from grm_plugin.serving.ray.replica_watch import ReplicaWatch, watch_of

logger = logging.getLogger(__name__)

FULL_PAUSE_S = 0.02
"""Pause between two looks for a replica with a free place."""

PING_PERIOD_S = 1.0
PING_TIMEOUT_S = 10.0
"""Long, so that few pings wait in a frozen replica: it answers all of them when it goes on."""


class LiveReplicasRouter(RequestRouter):  # type: ignore[misc]
    """Sends each attempt to the least busy replica that answers; first come, first served.

    A retry waits for a replica that has not failed its request. It queues only with attempts that avoid the same
    replicas, so that attempts which may go to any replica do not wait behind it.
    """

    _watch: ReplicaWatch

    def initialize_state(self, **_: Any) -> None:
        """Called by Serve before the first request."""
        self._watch = watch_of(self._deployment_id.app_name, self._deployment_id.name)
        self._pings: dict[str, asyncio.Task[None]] = {}
        self._queues: WeakValueDictionary[frozenset[str], asyncio.Lock] = WeakValueDictionary()
        """By the replicas that an attempt avoids: a lock, which its waiters get in the order of their arrival."""

    def update_replicas(self, replicas: list[RunningReplica]) -> None:
        """Called by Serve with all replicas that run now, whenever one starts or ends."""
        super().update_replicas(replicas)
        running = {replica.replica_id.unique_id: replica for replica in replicas}
        self._watch.set_replicas(running.keys())
        for id in self._pings.keys() - running.keys():
            self._pings.pop(id).cancel()
        for id in running.keys() - self._pings.keys():
            self._pings[id] = self._event_loop.create_task(self._ping(id, running[id]))

    async def choose_replicas(
        self, candidate_replicas: list[RunningReplica], pending_request: PendingRequest | None = None
    ) -> list[list[RunningReplica]]:
        """The replicas that answer pings. Called only by a version of Serve that does not call the method below."""
        return [[replica for replica in candidate_replicas if self._watch.is_alive(replica.replica_id.unique_id)]]

    async def _choose_replica_for_request(
        self, pending_request: PendingRequest, *, is_retry: bool = False
    ) -> RunningReplica:
        """The replica for a request, once one has a free place.

        It replaces a private method of Serve, which gives a replica that it has found to whichever request waits
        longest: `replica_watch.py` would not know which replica has which attempt.
        """
        attempt = pending_request.kwargs.get("attempt")
        if is_retry:  # the replica that this method has chosen was full, or has ended
            await asyncio.sleep(FULL_PAUSE_S)
        queue = self._queues.setdefault(self._watch.avoided(attempt), asyncio.Lock())
        async with queue:
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
                    await unless_cancelled_within(replica.get_queue_len(deadline_s=PING_TIMEOUT_S), "a replica")
                self._watch.ping_answered(id)
            except Exception as error:  # dead or out of reach: it counts as stalled after `STALLED_S`
                logger.debug("replica %s does not answer a ping: %r", id, error)
            await asyncio.sleep(PING_PERIOD_S)
