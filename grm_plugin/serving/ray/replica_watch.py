"""What the caller of several replicas knows about each: is it alive, does it answer, has it been failing?

Two kinds of replicas get no work. One that does not answer pings *stalls* (a frozen process, a lost node): nothing is
sent to it until it answers again. One that keeps requests and answers none of them (*silent*), or fails several times
in a row, is *out*: it is passed over for a while, unless there is no other.
"""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

STALLED_S = 4.0
"""Without an answer to a ping for this long a replica stalls."""

PATIENCE_S, LONGEST_ANSWERS = 30.0, 3.0
"""A replica with work is silent after this long without an answer: LONGEST_ANSWERS times the longest of the recent
answers of all replicas, but at least SHORTEST_PATIENCE_S, or PATIENCE_S while fewer than KNOWN are known."""

SHORTEST_PATIENCE_S = 5.0
KNOWN = 8
RECENT = 64

FAILURES = 2
"""In a row, they take a replica out: one alone may be the request's fault."""

FIRST_OUT_S, LONGEST_OUT_S = 2.0, 10.0
"""How long; doubled with every further failure. Then it gets one request at a time, until it answers one well."""


@dataclass(slots=True, eq=False)
class Attempt:
    """One sending of a request. `stuck` is done when its replica stalls or is silent, and another could do the work."""

    id: int
    avoid: frozenset[str]
    """Replicas that failed the same request."""
    stuck: asyncio.Future[None]
    replica: str = ""
    sent: float = 0.0


@dataclass(slots=True)
class _Replica:
    heard: float
    answered: float
    attempts: dict[int, Attempt] = field(default_factory=dict)
    failures: int = 0
    out_until: float = 0.0


class ReplicaWatch:
    """The replicas of one deployment. The router's thread and the callers' event loop use it alike."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.RLock()
        self._replicas: dict[str, _Replica] = {}
        self._attempts: dict[int, Attempt] = {}
        self._latencies: deque[float] = deque(maxlen=RECENT)
        self._next_id = 0

    def replicas(self, ids: Collection[str]) -> None:
        """These replicas run now; one that is new counts as heard from."""
        with self._lock:
            now = self._clock()
            self._replicas = {id: self._replicas.get(id) or _Replica(heard=now, answered=now) for id in ids}

    def heard(self, id: str) -> None:
        """A ping came back."""
        with self._lock:
            if id in self._replicas:
                self._replicas[id].heard = self._clock()

    def is_alive(self, id: str) -> bool:
        """Whether the replica answers pings."""
        with self._lock:
            return not self._stalls(id, self._clock())

    def choose(self, places: Mapping[str, int], attempt: int | None) -> str | None:
        """The replica for an attempt: the one with the least work among the best kind there is.

        `places` says how much each takes at once. None if all of the best kind are full, or all stall.
        """
        with self._lock:
            now = self._clock()
            alive = [id for id in places if not self._stalls(id, now)]
            best = [id for id in alive if self._fit(id, now)] or alive
            chosen = self._attempts.get(attempt) if attempt is not None else None
            if chosen is not None:
                best = [id for id in best if id not in chosen.avoid] or best
            best = [id for id in best if len(self._replicas[id].attempts) < places[id]]
            if not best:
                return None
            id = min(best, key=lambda id: (len(self._replicas[id].attempts), random.random()))
            if chosen is not None:
                self._assign(chosen, id, now)
            return id

    def avoided(self, attempt: int | None) -> frozenset[str]:
        """The replicas that `choose` passes over for an attempt, unless there is no other."""
        with self._lock:
            begun = self._attempts.get(attempt) if attempt is not None else None
            return frozenset() if begun is None else begun.avoid

    def begin(self, avoid: Collection[str] = ()) -> Attempt:
        """A new attempt, on the running event loop."""
        with self._lock:
            self._next_id += 1
            attempt = Attempt(self._next_id, frozenset(avoid), asyncio.get_running_loop().create_future())
            self._attempts[attempt.id] = attempt
            return attempt

    def end(self, attempt: Attempt, good: bool | None, timed: bool = True) -> None:
        """The attempt is over: with a good answer, as its replica's failure, or (None) neither.

        One that is not `timed` says nothing about others: neither how long they take, nor that they are answered.
        """
        with self._lock:
            self._attempts.pop(attempt.id, None)
            attempt.stuck.cancel()
            replica = self._replicas.get(attempt.replica)
            if replica is None:
                return
            replica.attempts.pop(attempt.id, None)
            now = self._clock()
            if good:
                replica.failures, replica.out_until = 0, 0.0
                if timed:
                    replica.answered = now
                    self._latencies.append(now - attempt.sent)
            elif good is False:
                self._fail(replica, now)

    def find_stuck(self) -> None:
        """Mark the attempts that another replica should get too. To be called on their event loop, now and then."""
        with self._lock:
            now = self._clock()
            silent = {id for id in self._replicas if self._silent(id, now)}
            for id in silent:
                if self._replicas[id].out_until <= now:
                    self._replicas[id].failures = max(FAILURES - 1, self._replicas[id].failures)
                    self._fail(self._replicas[id], now)
            bad = silent | {id for id in self._replicas if self._stalls(id, now)}
            if not any(self._fit(id, now) for id in self._replicas.keys() - bad):
                return
            for attempt in self._attempts.values():
                gone = attempt.replica in bad or attempt.replica not in self._replicas
                if attempt.replica and gone and not attempt.stuck.done():
                    attempt.stuck.set_result(None)

    @property
    def busy(self) -> bool:
        """Whether an attempt is under way."""
        return bool(self._attempts)

    @property
    def usual_s(self) -> float:
        """The median time of the recent answers; 0 where none is known."""
        with self._lock:
            return sorted(self._latencies)[len(self._latencies) // 2] if self._latencies else 0.0

    @property
    def patience_s(self) -> float:
        """How long a replica with work may go without an answer."""
        shortest = PATIENCE_S if len(self._latencies) < KNOWN else SHORTEST_PATIENCE_S
        return max(shortest, LONGEST_ANSWERS * max(self._latencies, default=0.0))

    def _assign(self, attempt: Attempt, id: str, now: float) -> None:
        if attempt.replica in self._replicas:  # the replica it was meant for had no place
            self._replicas[attempt.replica].attempts.pop(attempt.id, None)
        attempt.replica, attempt.sent = id, now
        self._replicas[id].attempts[attempt.id] = attempt

    def _fail(self, replica: _Replica, now: float) -> None:
        replica.failures += 1
        if replica.failures >= FAILURES:
            replica.out_until = now + min(LONGEST_OUT_S, FIRST_OUT_S * 2 ** min(replica.failures - FAILURES, 8))

    def _stalls(self, id: str, now: float) -> bool:
        return id not in self._replicas or now - self._replicas[id].heard > STALLED_S

    def _silent(self, id: str, now: float) -> bool:
        replica = self._replicas[id]
        if not replica.attempts:
            return False
        oldest = min(attempt.sent for attempt in replica.attempts.values())
        return now - max(oldest, replica.answered) > self.patience_s

    def _fit(self, id: str, now: float) -> bool:
        replica = self._replicas[id]
        on_probation = replica.failures >= FAILURES
        return replica.out_until <= now and not (on_probation and replica.attempts) and not self._stalls(id, now)


_watches: dict[tuple[str, str], ReplicaWatch] = {}


def watch_of(app: str, deployment: str) -> ReplicaWatch:
    """This process's watch over a deployment of a Serve application: its router and its callers share it."""
    return _watches.setdefault((app, deployment), ReplicaWatch())
