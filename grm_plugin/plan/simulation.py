"""A simulation of a pool: lists come when responses are done, each goes to the replica with the least to do.

It knows what the arithmetic of `serving/capacity.py` leaves out: critiques of different lengths, lists that come one
after the other, replicas that have no work while others still write. A heap of events, a replica being a queue whose
critiques all advance together.
"""

from __future__ import annotations

import heapq
import math
import random
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from grm_plugin.serving.capacity import Speed, Step, Tokens

MOST_CRITIQUES = 50_000
"""A larger step is simulated in part."""

P95 = 1.6449
"""Standard deviations above the mean of a normal distribution below which 95 % lie."""


@dataclass(frozen=True, slots=True)
class Simulated:
    """What became of a step.

    Attributes:
        half_s, most_s, last_s: seconds from the first list until half of the groups have their rewards, 95 %, and all.
        waited_s: seconds from the end of the rollout until all have.
        busy: share of the replicas' places that was taken, on average from the first list to the last reward.
        in_flight: critiques that were waiting or written, on average over the same time.
    """

    half_s: float
    most_s: float
    last_s: float
    waited_s: float
    busy: float
    in_flight: float


def simulate(step: Step, speed: Speed, replicas: int, rollout_s: float = 0.0, seed: int = 0) -> Simulated:
    """Judge a step whose groups are complete at even distances within `rollout_s` seconds (0: all at once)."""
    votes = max(1, round(step.written / step.lists))
    # A part of the lists on as large a part of the replicas; where these are too few, in a part of the time.
    shrink = math.ceil(step.critiques / MOST_CRITIQUES)
    simulated = max(1, replicas // max(1, shrink))
    lists = max(1, math.ceil(step.lists * simulated / replicas))
    most = max(1, MOST_CRITIQUES // votes)
    slower = max(1.0, lists / most)
    lists, rollout_s = min(lists, most), rollout_s / slower
    # Where there are more replicas than lists, the orders of a list are spread (`serving/ray/remote_lists.py`).
    orders = max(1, step.requests // step.lists)
    parts = max(1, min(orders, votes, simulated // lists))
    per_prompt = max(1, step.lists // step.prompts)
    rng = random.Random(seed)
    pool = _Pool(speed, simulated)
    reading = step.requests / step.lists * step.tokens.prompt * speed.prompt_s
    for number in range(lists):
        group = number // per_prompt
        arrival = rollout_s * (group + 1) * per_prompt / lists if rollout_s else 0.0
        lengths = [*_lengths(step.tokens, votes, rng)]
        for part in range(parts):
            pool.arrive(min(arrival, rollout_s), group, lengths[part::parts], reading / parts)
    pool.run()
    ends = sorted(pool.ends.values())
    span = max(ends[-1], 1e-12)
    return Simulated(
        half_s=ends[(len(ends) - 1) // 2] * slower,
        most_s=ends[math.ceil(0.95 * len(ends)) - 1] * slower,
        last_s=ends[-1] * slower,
        waited_s=(ends[-1] - rollout_s) * slower,
        busy=pool.place_s / (span * simulated * speed.at_once),
        in_flight=pool.critique_s / span * replicas / simulated,
    )


def _lengths(tokens: Tokens, votes: int, rng: random.Random) -> Iterator[float]:
    """Lengths of critiques, which have this mean, and of which one in twenty is longer than `longest`: log-normal."""
    ratio = max(1.0, tokens.longest / tokens.critique)
    # mean = exp(m + s^2 / 2) and p95 = exp(m + P95 s); of both solutions the narrow one.
    discriminant = P95 * P95 - 2 * math.log(ratio)
    sigma = P95 - math.sqrt(max(0.0, discriminant))
    mu = math.log(tokens.critique) - sigma * sigma / 2
    for _ in range(votes):
        yield rng.lognormvariate(mu, sigma) if sigma else tokens.critique


@dataclass(slots=True)
class _Replica:
    """Critiques under way, by the progress at which each ends, and those that wait for a place."""

    running: list[tuple[float, int]] = field(default_factory=list)
    waiting: deque[tuple[float, int]] = field(default_factory=deque)
    progress: float = 0.0
    """Tokens that a critique which was there from the beginning would have by now."""
    at: float = 0.0
    reading_until: float = 0.0
    version: int = 0

    @property
    def load(self) -> int:
        return len(self.running) + len(self.waiting)


class _Pool:
    def __init__(self, speed: Speed, replicas: int) -> None:
        self._speed = speed
        self._replicas = [_Replica() for _ in range(replicas)]
        self._events: list[tuple[float, int, int, int]] = []
        """Time, kind (0: a list comes, 1: a critique ends), list or replica, and the replica's version."""
        self._lists: list[tuple[int, list[float], float]] = []
        self._left: dict[int, int] = {}
        self._loads = [(0, place) for place in range(replicas)]
        self.ends: dict[int, float] = {}
        self.place_s = 0.0
        self.critique_s = 0.0

    def arrive(self, time: float, group: int, lengths: list[float], reading_s: float) -> None:
        """Have a list of a group come at this time, with critiques of these lengths."""
        self._left[group] = self._left.get(group, 0) + len(lengths)
        heapq.heappush(self._events, (time, 0, len(self._lists), 0))
        self._lists.append((group, lengths, reading_s))

    def run(self) -> None:
        while self._events:
            time, kind, number, version = heapq.heappop(self._events)
            if kind == 0:
                self._take(time, *self._lists[number])
            elif version == self._replicas[number].version:
                self._end(time, number)

    def _take(self, time: float, group: int, lengths: Sequence[float], reading_s: float) -> None:
        place = self._least_loaded()
        replica = self._replicas[place]
        self._advance(replica, time)
        replica.waiting.extend((length, group) for length in lengths)
        # Prompts are read one after the other, and nothing is written meanwhile.
        replica.reading_until = max(replica.reading_until, time) + reading_s
        self._fill(place, time)

    def _least_loaded(self) -> int:
        while True:
            load, place = heapq.heappop(self._loads)
            if load == self._replicas[place].load:  # else it is old: `_fill` has put in the present one
                return place

    def _end(self, time: float, place: int) -> None:
        replica = self._replicas[place]
        self._advance(replica, time)
        # The clock may be too coarse to show what was left of it: its end has come all the same.
        replica.progress = max(replica.progress, replica.running[0][0])
        while replica.running and replica.running[0][0] <= replica.progress * (1 + 1e-12):
            _, group = heapq.heappop(replica.running)
            self._left[group] -= 1
            if not self._left[group]:
                self.ends[group] = time
        self._fill(place, time)

    def _advance(self, replica: _Replica, time: float) -> None:
        writing = max(0.0, time - max(replica.at, replica.reading_until))
        if replica.running:
            replica.progress += writing / self._speed.token_s(len(replica.running))
        self.place_s += (time - replica.at) * len(replica.running)
        self.critique_s += (time - replica.at) * replica.load
        replica.at = max(replica.at, time)

    def _fill(self, place: int, time: float) -> None:
        replica = self._replicas[place]
        while replica.waiting and len(replica.running) < self._speed.at_once:
            length, group = replica.waiting.popleft()
            heapq.heappush(replica.running, (replica.progress + length, group))
        replica.version += 1
        heapq.heappush(self._loads, (replica.load, place))
        if replica.running:
            left = replica.running[0][0] - replica.progress
            start = max(time, replica.reading_until)
            ends = start + max(0.0, left) * self._speed.token_s(len(replica.running))
            heapq.heappush(self._events, (ends, 1, place, replica.version))
