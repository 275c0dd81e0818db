"""Runs grouping in time: each sample waits for its group's judgement, lists go to the GRM as soon as they are full."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence

from grm_plugin.config import Config
from grm_plugin.judging.grouping import GroupBuffer, OpenGroup
from grm_plugin.judging.judge import Judge
from grm_plugin.judging.rewards import is_blank
from grm_plugin.serving.counters import Counters
from grm_plugin.types import Judgement, ListJudgement, Sample

logger = logging.getLogger(__name__)

LOG_PERIOD_S = 60.0


class Gatherer:
    """Turns concurrent single samples into judged groups."""

    def __init__(self, judge: Judge, config: Config, counters: Counters) -> None:
        self.judge = judge
        self.config = config
        self._counters = counters
        self._quiet_until = 0.0
        self._buffer = GroupBuffer(config.judge.list_size, keep_s=config.failure.deadline_s)
        self._runs: dict[int, _Run] = {}

    async def judge_sample(self, sample: Sample, n: int, timeout_s: float) -> tuple[Judgement, int]:
        """The judgement of the sample's group and the sample's index in it.

        The group is judged when its n samples are there, or `group.wait_s` (at most half of `timeout_s`, so that the
        GRM has time) after the first one. `timeout_s` counts from now; the oldest sample sets the deadline for all.

        A caller that is cancelled leaves its sample in the group: the siblings' ranking still needs it.
        """
        now = time.monotonic()
        group, index = self._buffer.add(sample, n, now, listed=not is_blank(sample.response, self.config))
        run = self._runs.get(id(group))
        if run is None:
            run = self._runs[id(group)] = _Run(self, group, now, timeout_s)
        run.arrived()
        return await asyncio.shield(run.judgement), index

    def _incomplete(self, group: OpenGroup, wait_s: float) -> None:
        """A sibling is lost or late: the ones that are here are judged. Logged, since a wrong n looks just like it."""
        self._counters.incomplete_groups += 1
        now = time.monotonic()
        if now >= self._quiet_until:
            self._quiet_until = now + LOG_PERIOD_S
            logger.warning(
                "%d of %d samples of a prompt came within %g s and were judged without the others (%d such groups so "
                "far): is n the job's n_samples_per_prompt?",
                *(len(group.responses), group.expected, wait_s, self._counters.incomplete_groups),
            )

    def _close(self, group: OpenGroup) -> None:
        self._buffer.close(group, time.monotonic())
        del self._runs[id(group)]


class _Run:
    """One group on its way: the lists already before the GRM and the task that ends in the judgement."""

    def __init__(self, gatherer: Gatherer, group: OpenGroup, now: float, timeout_s: float) -> None:
        self.gatherer = gatherer
        self.group = group
        self.deadline = now + timeout_s
        self.wait_s = min(gatherer.config.group.wait_s, timeout_s / 2)
        self.lists: list[asyncio.Task[Sequence[ListJudgement]]] = []
        self.complete = asyncio.Event()
        self.judgement = asyncio.create_task(self._finish())

    def arrived(self) -> None:
        """A sample has joined the group."""
        members = self.group.take_full_list()
        if members is not None:
            self._put_before_grm(members)
        if self.group.complete:
            self.complete.set()

    def _put_before_grm(self, members: tuple[int, ...]) -> None:
        judged = self.gatherer.judge.judge_members(self.group.snapshot(), members, self.deadline - time.monotonic())
        self.lists.append(asyncio.create_task(judged))

    async def _finish(self) -> Judgement:
        started = time.monotonic()
        try:
            async with asyncio.timeout(self.wait_s):
                await self.complete.wait()
        except TimeoutError:
            self.gatherer._incomplete(self.group, self.wait_s)
        finally:
            self.gatherer._close(self.group)
        for members in self.group.take_rest():
            self._put_before_grm(members)
        try:
            lists = [judged for part in await asyncio.gather(*self.lists) for judged in part]
        finally:
            for task in self.lists:  # if one has failed the others are for nobody
                task.cancel()
        return self.gatherer.judge.conclude(self.group.snapshot(), lists, time.monotonic() - started)
