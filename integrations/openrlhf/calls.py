"""Gathers single calls, each blocking a thread, into groups; made so that it goes on with any number of threads."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress

from grm_plugin.config import GroupConfig
from grm_plugin.conversation.messages import as_reference
from grm_plugin.integrations.openrlhf.group_rewards import OpenRLHFReward
from grm_plugin.integrations.openrlhf.siblings import JudgeGroup
from grm_plugin.judging.grouping import GroupBuffer, OpenGroup
from grm_plugin.types import Message, Sample

LOOK_S = 0.05
"""Time between two looks at whether a group can still grow."""

STUCK_LOOKS = 4
"""Looks in a row that must find all threads waiting: a call may just be on its way to a free thread."""

Backlog = Callable[[], int]
"""How many calls wait for a thread."""


class CallGatherer:
    """Groups of `n` calls with equal prompt and label, for one event loop; `GroupBuffer` says which belong together.

    A group is judged when it is complete, when `group.wait_s` is over, or when it is the largest one waiting while
    calls queue up for threads and nothing is being judged: then no thread would ever become free, so it goes as it is.
    Siblings that come within `keep_s` after their group form one of their own.
    """

    def __init__(self, judge: JudgeGroup, n: int, group: GroupConfig, keep_s: float) -> None:
        self._judge_group = judge
        self._n = n
        self._wait_s = group.wait_s
        self._buffer = GroupBuffer(list_size=n, keep_s=keep_s)
        self._waiting: dict[int, _Calls] = {}
        self._judging = 0

    async def reward(self, prompt: str, response: str, label: object, backlog: Backlog) -> OpenRLHFReward:
        """The row of one response. `backlog` tells about the pool whose thread waits for this row."""
        sample = Sample((Message("user", prompt),), response, as_reference(label))
        group, index = self._buffer.add(sample, self._n, time.monotonic())
        calls = self._waiting.get(id(group))
        if calls is None:
            calls = self._waiting[id(group)] = _Calls(group, backlog)
            calls.rows = asyncio.create_task(self._judge(calls, prompt, label))
        if group.complete:
            del self._waiting[id(group)]
            calls.complete.set()
        return (await asyncio.shield(calls.rows))[index]

    async def _judge(self, calls: _Calls, prompt: str, label: object) -> list[OpenRLHFReward]:
        stuck = await self._gather(calls)
        if not calls.complete.is_set():
            del self._waiting[id(calls.group)]
            self._buffer.close(calls.group, time.monotonic(), surely_late=stuck)
        self._judging += 1
        try:
            return await self._judge_group(prompt, tuple(calls.group.responses), label)
        finally:
            self._judging -= 1

    async def _gather(self, calls: _Calls) -> bool:
        """Wait for siblings; whether it has ended because they get no thread."""
        deadline = time.monotonic() + self._wait_s
        stuck = 0
        while not calls.complete.is_set() and time.monotonic() < deadline and stuck < STUCK_LOOKS:
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    await calls.complete.wait()
            stuck = stuck + 1 if self._is_stuck(calls) else 0
        return stuck == STUCK_LOOKS

    def _is_stuck(self, calls: _Calls) -> bool:
        """Whether all threads wait, and this group is the one to give some back."""
        largest = max(self._waiting.values(), key=lambda other: len(other.group.responses), default=None)
        return calls is largest and self._judging == 0 and calls.backlog() > 0


class _Calls:
    """Calls that wait for siblings, and the task whose result they wait for."""

    rows: asyncio.Task[list[OpenRLHFReward]]

    def __init__(self, group: OpenGroup, backlog: Backlog) -> None:
        self.group = group
        self.backlog = backlog
        self.complete = asyncio.Event()
