"""What became of every reward that was asked for."""

from __future__ import annotations

import asyncio
import bisect
import math
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from callers import Call
from questions import Question

DEADLINE_S = 170.0
"""A reward that comes later is lost. OpenRLHF gives up a request after 180 s."""

GRACE_S = 20.0
"""A call that has not ended this long after the deadline hangs."""


@dataclass(slots=True)
class Tally:
    """Rewards by what became of them: asked = answered + by_policy + lost + wrong + hung."""

    name: str
    asked: int = 0
    answered: int = 0
    """Finite and right, within the deadline."""
    by_policy: int = 0
    """The failure policy's, and flagged as that."""
    lost: int = 0
    """An error instead of a reward, or later than the deadline."""
    wrong: int = 0
    """Not finite, or a number that is neither the right one nor flagged."""
    worst_latency_s: float = 0.0
    worst_call: str = ""
    """The caller of the slowest call, and when in the phase it began."""
    median_latency_s: float = 0.0
    hung: int = 0
    """Still waiting after the deadline and a grace."""
    faults: list[str] = field(default_factory=list)
    """What was done, and when."""
    complaints: list[str] = field(default_factory=list)
    """Details of what was lost, wrong or hung."""
    policy_of: dict[str, int] = field(default_factory=dict)
    """`by_policy` by caller."""
    unmended: str = ""
    """Replicas that were still missing long after the phase; then the run ends."""
    _began: float = field(default_factory=time.monotonic, repr=False)
    _latencies: list[float] = field(default_factory=list, repr=False)

    @property
    def failed(self) -> int:
        return self.lost + self.wrong + self.hung

    async def count(self, caller: str, question: Question, call: Call) -> None:
        """Make a call, and count its rewards."""
        indices, work = call
        self.asked += len(indices)
        began = time.monotonic()
        since_start = began - self._began
        task = asyncio.ensure_future(work)
        done, _ = await asyncio.wait({task}, timeout=DEADLINE_S + GRACE_S)
        took = time.monotonic() - began
        bisect.insort(self._latencies, took)
        self.median_latency_s = self._latencies[len(self._latencies) // 2]
        if took > self.worst_latency_s:
            self.worst_latency_s, self.worst_call = took, f"{caller} at {since_start:.1f} s"
        where = f"{caller}, {question.prompt!r} {list(indices)}, after {took:.1f} s"
        if not done:
            self.hung += len(indices)
            self.complaints.append(f"hung: {where}: {task!r}")
            task.cancel()
        elif task.exception() is not None:
            self.lost += len(indices)
            self.complaints.append(f"lost: {where}: {task.exception()!r}")
        elif took > DEADLINE_S:
            self.lost += len(indices)
            self.complaints.append(f"lost (late): {where}")
        else:
            for index, (reward, by_policy) in zip(indices, task.result(), strict=True):
                self._count_one(caller, where, question, index, reward, by_policy)

    def _count_one(
        self, caller: str, where: str, question: Question, index: int, reward: float | None, by_policy: bool
    ) -> None:
        if reward is None or not math.isfinite(reward):
            self.wrong += 1
            self.complaints.append(f"wrong: {where}: {reward!r} for response {index}")
        elif by_policy:
            self.by_policy += 1
            self.policy_of[caller] = self.policy_of.get(caller, 0) + 1
        elif question.is_right(index, reward):
            self.answered += 1
        else:
            self.wrong += 1
            right = f"{question.low[index]:.4f}..{question.high[index]:.4f}"
            self.complaints.append(f"wrong: {where}: {reward:.4f} for response {index}, whose reward is {right}")

    def as_dict(self) -> dict[str, Any]:
        return {name: value for name, value in asdict(self).items() if not name.startswith("_")}


def total(name: str, tallies: list[Tally]) -> Tally:
    """The sums of several, and the worst of their latencies."""
    summed = Tally(name)
    for tally in tallies:
        for field_name in COUNTS:
            setattr(summed, field_name, getattr(summed, field_name) + getattr(tally, field_name))
        summed.worst_latency_s = max(summed.worst_latency_s, tally.worst_latency_s)
    return summed


COUNTS = ("asked", "answered", "by_policy", "lost", "wrong", "hung")


def complaints(tallies: list[Tally]) -> Iterator[str]:
    for tally in tallies:
        if tally.unmended:
            yield f"[{tally.name}] {tally.unmended}"
        yield from (f"[{tally.name}] {complaint}" for complaint in tally.complaints)
