"""Runs grouping in time: each sample waits for its group's judgement, lists go to the GRM as soon as they are full."""

from __future__ import annotations

import asyncio
import logging
import time

from grm_plugin._util.deadline import Deadline
from grm_plugin.config import Config
from grm_plugin.judging.grouping import GroupBuffer, OpenGroup
from grm_plugin.judging.judge import Judge
from grm_plugin.serving.counters import Counters
from grm_plugin.types import Judgement, Sample

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

    async def judge_sample(self, sample: Sample, n: int, deadline: Deadline) -> tuple[Judgement, int]:
        """The judgement of the sample's group and the sample's index in it.

        The group is judged when its n samples are there, or `group.wait_s` (at most half of the time left, so that the
        GRM has some) after the first one. The deadline of the oldest sample holds for all.

        A caller that is cancelled leaves its sample in the group: the siblings' ranking still needs it.
        """
        listed = not self.judge.is_blank(sample.response)
        group, index = self._buffer.add(sample, n, time.monotonic(), listed)
        run = self._runs.get(id(group))
        if run is None:
            run = self._runs[id(group)] = _Run(self, group, deadline)
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
    """One group on its way: it takes samples until it is complete, and its task ends in the judgement."""

    def __init__(self, gatherer: Gatherer, group: OpenGroup, deadline: Deadline) -> None:
        self.gatherer = gatherer
        self.group = group
        self.wait_s = min(gatherer.config.group.wait_s, (deadline.left_s or 0.0) / 2)
        self.judged = gatherer.judge.begin(deadline)
        self.complete = asyncio.Event()
        self.judgement = asyncio.create_task(self._finish())

    def arrived(self) -> None:
        """A sample has joined the group."""
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
            self.gatherer._incomplete(self.group, self.wait_s)
        finally:
            self.gatherer._close(self.group)
        for members in self.group.take_rest():
            self.judged.put(self.group.snapshot(), members)
        return await self.judged.conclude(self.group.snapshot())
