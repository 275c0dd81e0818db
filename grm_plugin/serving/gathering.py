"""Gathers samples that come one by one into groups, which are judged together.

Each sample waits for its group's judgement. A list of the group goes to the GRM as soon as it is full.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time

from grm_plugin._util.concurrency import take_error
from grm_plugin._util.deadline import Deadline
from grm_plugin.config import Config
from grm_plugin.judging.grouping import GroupBuffer, OpenGroup
from grm_plugin.judging.judge import Judge
from grm_plugin.serving.counters import Counters
from grm_plugin.types import Judgement, Sample

logger = logging.getLogger(__name__)

WARNING_PERIOD_S = 60.0
"""Incomplete groups are warned of once in this time."""


class Gatherer:
    """Turns concurrent single samples into judged groups."""

    def __init__(self, judge: Judge, config: Config, counters: Counters) -> None:
        self.judge = judge
        self.config = config
        self._counters = counters
        self._no_warning_before = 0.0
        self._buffer = GroupBuffer(config.judge.list_size, keep_s=config.failure.deadline_s)
        self._under_way: dict[int, _GroupUnderWay] = {}

    async def judge_sample(self, sample: Sample, n: int, deadline: Deadline) -> tuple[Judgement, int]:
        """The judgement of the sample's group and the sample's index in it.

        The group is judged when its n samples have arrived, or `group.wait_s` after the first one. That wait is at most
        half of the time that the first one's deadline leaves, so that the GRM gets the other half. The deadline of the
        sample that arrived first holds for the whole group.

        The sample of a caller that is cancelled stays in the group: the rewards of its siblings depend on it.
        """
        listed = not self.judge.is_blank(sample.response)
        group, index = self._buffer.add(sample, n, time.monotonic(), listed)
        under_way = self._under_way.get(id(group))
        if under_way is None:
            under_way = self._under_way[id(group)] = _GroupUnderWay(self, group, deadline)
        under_way.sample_arrived()
        return await asyncio.shield(under_way.judgement), index

    def _count_incomplete(self, group: OpenGroup, wait_s: float) -> None:
        """Count a group that is judged without its late samples, and warn: a wrong n shows in no other way."""
        self._counters.incomplete_groups += 1
        now = time.monotonic()
        if now >= self._no_warning_before:
            self._no_warning_before = now + WARNING_PERIOD_S
            logger.warning(
                "%d of %d samples of a prompt came within %g s and were judged without the others (%d such groups so "
                "far): is n the job's n_samples_per_prompt, and this the job's only reward server? (One address; scale "
                "by engine.replicas)",
                *(len(group.responses), group.expected, wait_s, self._counters.incomplete_groups),
            )

    def _close(self, group: OpenGroup) -> None:
        self._buffer.close(group, time.monotonic())
        del self._under_way[id(group)]


class _GroupUnderWay:
    """A group from its first sample to its judgement, which is the result of the task `judgement`."""

    def __init__(self, gatherer: Gatherer, group: OpenGroup, deadline: Deadline) -> None:
        self.gatherer = gatherer
        self.group = group
        left_s = math.inf if deadline.left_s is None else deadline.left_s
        self.wait_s = min(gatherer.config.group.wait_s, left_s / 2)
        self.judged = gatherer.judge.begin(deadline)
        self.complete = asyncio.Event()
        self.judgement = asyncio.create_task(self._finish())
        self.judgement.add_done_callback(take_error)  # where all of its callers have left

    def sample_arrived(self) -> None:
        """To be called when a sample has joined the group: judges a list that is now full."""
        members = self.group.take_full_list()
        if members is not None:
            self.judged.put(self.group.snapshot(), members)
        if self.group.complete:
            self.complete.set()

    async def _finish(self) -> Judgement:
        try:
            async with asyncio.timeout(self.wait_s):
                await self.complete.wait()
        except TimeoutError:
            self.gatherer._count_incomplete(self.group, self.wait_s)
        finally:
            self.gatherer._close(self.group)
        for members in self.group.take_rest():
            self.judged.put(self.group.snapshot(), members)
        return await self.judged.conclude(self.group.snapshot())
