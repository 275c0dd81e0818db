"""The replicas of one model as another process calls them: plain Ray actors, pinged, chosen and failed over here."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar
from weakref import WeakValueDictionary

import ray
from ray.exceptions import RayActorError, RayError, RayTaskError, TaskCancelledError

from grm_plugin import __version__
from grm_plugin._util.concurrency import being_cancelled
from grm_plugin.errors import EngineError, GRMError, GroupError, PromptError
from grm_plugin.serving.ray.failover import Failover
from grm_plugin.serving.ray.replica_watch import Attempt, ReplicaWatch

logger = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class PoolLoad:
    """What one caller has given to the replicas of a model.

    Attributes:
        places: how much weight of this caller's calls each of them takes at once.
        running: the calls that each has, by its name.
        waiting: calls that wait for a place.
    """

    places: int
    running: Mapping[str, int]
    waiting: int


FULL_PAUSE_S = 0.05
"""Longest pause between two looks for a replica with a free place; it is shorter where one becomes free."""

PING_PERIOD_S = 1.0
PING_TIMEOUT_S = 10.0
"""Long, so that few pings wait in a frozen replica: it answers all of them when it goes on."""


class ReplicaPool:
    """Calls the replicas of one model. To be made and used on one event loop.

    Each call goes to the least busy replica that answers; first come, first served. A retry waits for a replica that
    has not failed its request. It queues only with attempts that avoid the same replicas, so that attempts which may go
    to any replica do not wait behind it.

    Args:
        handles: the actors, by a name of each. Ray restarts an actor that dies, under the same handle.
        places: how much weight of calls each of them gets at once.
    """

    def __init__(self, handles: Mapping[str, Any], places: int) -> None:
        self.watch = ReplicaWatch()
        self.watch.set_replicas(handles.keys())
        self._handles = handles
        self._places = places
        self._failover = Failover(self.watch)
        self._queues: WeakValueDictionary[frozenset[str], asyncio.Lock] = WeakValueDictionary()
        """By the replicas that an attempt avoids: a lock, which its waiters get in the order of their arrival."""
        self._pings = [asyncio.create_task(self._ping(id, handle)) for id, handle in handles.items()]

    async def call(
        self,
        method: str,
        arguments: Callable[[], tuple[Any, ...]],
        check: Callable[[T], None],
        timed: bool = True,
        not_by: str = "",
        weight: int = 1,
    ) -> T:
        """The first answer of a replica that passes `check`. See `Failover.call`.

        Args:
            method: of the replicas.
            arguments: makes what a replica is sent, at the moment when it is sent.
            check, timed, not_by, weight: as there.

        Raises:
            EngineError: as there.
            PromptError, GroupError: as the replica raised it.
        """
        return await self._failover.call(
            lambda attempt: self._send(attempt, method, arguments), check, timed, not_by, weight
        )

    def close(self) -> None:
        """Send no more pings."""
        for ping in self._pings:
            ping.cancel()

    def states(self) -> dict[str, int]:
        """How many replicas answer, and how many do not: they start, restart or are frozen."""
        alive = self.watch.alive
        return {"RUNNING": alive, "DOWN": len(self._handles) - alive}

    def load(self) -> PoolLoad:
        """What the replicas have been given, and what waits for them."""
        return PoolLoad(self._places, self.watch.running(), self.watch.waiting)

    async def _send(self, attempt: Attempt, method: str, arguments: Callable[[], tuple[Any, ...]]) -> Any:
        id = await self._place(attempt)
        call = None
        try:
            call = getattr(self._handles[id], method).remote(*arguments())
            return await call
        except asyncio.CancelledError:
            cancel(call)
            if being_cancelled():
                raise
            raise EngineError("a replica cancelled a request by itself") from None
        except RayActorError as error:
            self.watch.lost(id)
            raise EngineError(f"a replica died under a request: {error}") from None
        except RayTaskError as error:
            raise _own_error(error) from None
        except RayError as error:
            raise EngineError(f"Ray cannot reach a replica: {error}") from None

    async def _place(self, attempt: Attempt) -> str:
        """The replica for an attempt, once one has a free place."""
        async with self._queues.setdefault(attempt.avoid, asyncio.Lock()):
            while (id := self.watch.choose(self._places, attempt)) is None:
                self.watch.freed.clear()
                with suppress(TimeoutError):
                    async with asyncio.timeout(FULL_PAUSE_S):
                        await self.watch.freed.wait()
            return id

    async def _ping(self, id: str, handle: Any) -> None:
        while True:
            try:
                async with asyncio.timeout(PING_TIMEOUT_S):
                    version = await handle.ping.remote()
                if version == __version__:
                    self.watch.ping_answered(id)
                else:
                    logger.error("replica %s runs grm_plugin %s and gets no work: install %s", id, version, __version__)
            except RayActorError:  # its process has ended, and Ray starts it again
                self.watch.lost(id)
            except Exception as error:  # out of reach: it counts as stalled after a while
                logger.debug("replica %s does not answer a ping: %r", id, error)
            await asyncio.sleep(PING_PERIOD_S)


def cancel(call: Any) -> None:
    """Have a replica stop work on a call, as far as it can be reached."""
    ray.cancel(call, recursive=False)


def _own_error(error: RayTaskError) -> GRMError:
    """The error that the replica raised, without the traceback of its process that Ray adds to the message."""
    cause = error.cause
    if isinstance(cause, EngineError | PromptError | GroupError):
        return type(cause)(str(cause))
    if isinstance(cause, TaskCancelledError):
        return EngineError("a replica cancelled a request by itself")
    return EngineError(str(cause) if isinstance(cause, GRMError) else f"{type(cause).__name__}: {cause}")
