"""What a caller knows about the replicas of a model, and which of them it chooses for a request.

Two kinds of replicas get no requests. A replica is *stalled* when it does not answer pings (a frozen process, a lost
node); it gets none until it answers again. A replica is *suspended* for some seconds when it is *silent* (it has
requests and answers none of them) or has failed several in a row; it gets none unless there is no other.
"""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections import deque
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

STALLED_S = 4.0
"""A replica that has not answered a ping for so long is stalled."""

PATIENCE_FACTOR = 3.0
"""A replica is silent when it has requests and has answered none for this factor times the longest recent answer of any
replica, but at least `SHORTEST_PATIENCE_S`, or `PATIENCE_S` while fewer than `ENOUGH_ANSWERS` answers are known."""

PATIENCE_S = 30.0
SHORTEST_PATIENCE_S = 5.0
ENOUGH_ANSWERS = 8

RECENT_ANSWERS = 64
"""Answers whose times are remembered."""

FAILURES = 2
"""So many failures in a row suspend a replica; a single one may be the request's fault."""

FIRST_SUSPENSION_S, LONGEST_SUSPENSION_S = 2.0, 10.0
"""A suspension's time, which doubles with every further failure. After it the replica is on probation: it gets one
request at a time, until it gives a good answer."""


@dataclass(slots=True, eq=False)
class Attempt:
    """A request on its way to one replica."""

    avoid: frozenset[str]
    """Replicas that have failed the same request, or have it already."""
    stuck: asyncio.Future[None]
    """Done when the replica is stalled or silent and another one could take the request."""
    weight: int = 1
    """How much of a replica's places it takes."""
    replica: str = ""
    """The replica that has the request; empty until one is chosen."""
    sent: float = 0.0
    """When it was chosen."""


@dataclass(slots=True)
class _Replica:
    """What is known of one replica; times are of the watch's clock."""

    ping_answered: float
    answered: float
    attempts: set[Attempt] = field(default_factory=set)
    failures: int = 0
    """In a row, until now."""
    suspended_until: float = 0.0
    load: int = 0
    """Weight of its attempts."""


class ReplicaWatch:
    """The replicas of one model. To be used on one event loop."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._replicas: dict[str, _Replica] = {}
        self._attempts: set[Attempt] = set()
        self._latencies: deque[float] = deque(maxlen=RECENT_ANSWERS)
        self.freed = asyncio.Event()
        """Set when a replica may have a free place; to be cleared by who waits for one."""

    def set_replicas(self, ids: Collection[str]) -> None:
        """Tell which replicas there are. A new one counts as if it had just answered a ping."""
        now = self._clock()
        self._replicas = {id: self._replicas.get(id) or _Replica(ping_answered=now, answered=now) for id in ids}

    def ping_answered(self, id: str) -> None:
        """Tell that a replica has answered a ping."""
        self._replicas[id].ping_answered = self._clock()
        self.freed.set()

    def lost(self, id: str) -> None:
        """Tell that a replica's process has ended: it is stalled until it answers a ping."""
        self._replicas[id].ping_answered = -math.inf

    @property
    def alive(self) -> int:
        """How many replicas answer pings."""
        now = self._clock()
        return sum(not self._stalled(id, now) for id in self._replicas)

    def choose(self, places: int, attempt: Attempt) -> str | None:
        """Choose the replica for an attempt.

        Stalled replicas are left out; so are, unless there is no other, suspended ones and those that the attempt
        avoids. Among the rest the least loaded one is taken.

        Args:
            places: how much weight a replica takes at once. An idle one takes any attempt.
            attempt: the attempt.

        Returns:
            The replica's id, or None if all that are left are full.
        """
        now = self._clock()
        alive = [id for id in self._replicas if not self._stalled(id, now)]
        best = [id for id in alive if self._usable(id, now)] or alive
        best = [id for id in best if id not in attempt.avoid] or best
        loads = {id: load for id in best if (load := self._replicas[id].load) + attempt.weight <= places or not load}
        if not loads:
            return None
        id = min(loads, key=lambda id: (loads[id], random.random()))
        attempt.replica, attempt.sent = id, now
        self._replicas[id].attempts.add(attempt)
        self._replicas[id].load += attempt.weight
        return id

    def begin(self, avoid: Collection[str] = (), weight: int = 1) -> Attempt:
        """A new attempt of this weight, which avoids these replicas."""
        attempt = Attempt(frozenset(avoid), asyncio.get_running_loop().create_future(), weight)
        self._attempts.add(attempt)
        return attempt

    def end(self, attempt: Attempt, good: bool | None, timed: bool = True) -> None:
        """Tell that an attempt is over.

        Args:
            attempt: the attempt.
            good: whether its replica gave a good answer (True) or failed (False); None if it was cancelled.
            timed: False for an answer that came without the model's work, or with less than others need. It says
                neither how long others take, nor that the replica answers them.
        """
        self._attempts.discard(attempt)
        attempt.stuck.cancel()
        self.freed.set()
        replica = self._replicas.get(attempt.replica)
        if replica is None:
            return
        if attempt in replica.attempts:
            replica.attempts.remove(attempt)
            replica.load -= attempt.weight
        now = self._clock()
        if good:
            replica.failures, replica.suspended_until = 0, 0.0
            if timed:
                replica.answered = now
                self._latencies.append(now - attempt.sent)
        elif good is False:
            self._fail(replica, now)

    def find_stuck(self) -> None:
        """Suspend silent replicas, and mark the attempts that another replica should get too.

        To be called every now and then.
        """
        now = self._clock()
        silent = {id for id in self._replicas if self._silent(id, now)}
        for id in silent:
            if self._replicas[id].suspended_until <= now:
                # Silence suspends at once: it counts as the last of the failures in a row that it takes.
                self._replicas[id].failures = max(FAILURES - 1, self._replicas[id].failures)
                self._fail(self._replicas[id], now)
        bad = silent | {id for id in self._replicas if self._stalled(id, now)}
        if not any(self._usable(id, now) for id in self._replicas.keys() - bad):
            return
        for attempt in self._attempts:
            lost = attempt.replica in bad or attempt.replica not in self._replicas
            if attempt.replica and lost and not attempt.stuck.done():
                attempt.stuck.set_result(None)

    @property
    def busy(self) -> bool:
        """Whether an attempt is under way."""
        return bool(self._attempts)

    @property
    def waiting(self) -> int:
        """Attempts that wait for a replica with a free place."""
        return sum(not attempt.replica for attempt in self._attempts)

    def running(self) -> dict[str, int]:
        """How many attempts each replica has."""
        return {id: len(replica.attempts) for id, replica in self._replicas.items()}

    @property
    def usual_s(self) -> float:
        """Seconds that an answer takes: the median of the recent ones; 0 if none is known."""
        return sorted(self._latencies)[len(self._latencies) // 2] if self._latencies else 0.0

    @property
    def patience_s(self) -> float:
        """Seconds after which a replica that has requests and answers none is silent. See `PATIENCE_FACTOR`."""
        shortest = PATIENCE_S if len(self._latencies) < ENOUGH_ANSWERS else SHORTEST_PATIENCE_S
        return max(shortest, PATIENCE_FACTOR * max(self._latencies, default=0.0))

    def _fail(self, replica: _Replica, now: float) -> None:
        replica.failures += 1
        if replica.failures >= FAILURES:
            doubled_s = FIRST_SUSPENSION_S * 2 ** min(replica.failures - FAILURES, 8)
            replica.suspended_until = now + min(LONGEST_SUSPENSION_S, doubled_s)

    def _stalled(self, id: str, now: float) -> bool:
        return id not in self._replicas or now - self._replicas[id].ping_answered > STALLED_S

    def _silent(self, id: str, now: float) -> bool:
        replica = self._replicas[id]
        if not replica.attempts:
            return False
        oldest = min(attempt.sent for attempt in replica.attempts)
        return now - max(oldest, replica.answered) > self.patience_s

    def _usable(self, id: str, now: float) -> bool:
        """Whether it is neither stalled nor suspended, nor on probation with a request."""
        replica = self._replicas[id]
        on_probation = replica.failures >= FAILURES
        return replica.suspended_until <= now and not (on_probation and replica.attempts) and not self._stalled(id, now)
