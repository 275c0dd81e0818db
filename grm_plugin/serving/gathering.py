"""Gathers samples that come one by one into groups, which are judged together.

Each sample waits for its group's judgement. A list of the group goes to the GRM as soon as it is full.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time

from grm_plugin._util.concurrency import take_error
from grm_plugin._util.deadline import NEVER, Deadline
from grm_plugin._util.log_once import OncePerMinute
from grm_plugin.config import Config, lone_response
from grm_plugin.errors import ServiceBusy
from grm_plugin.judging.grouping import GroupBuffer, OpenGroup
from grm_plugin.judging.judge import Judge
from grm_plugin.serving.counters import Counters
from grm_plugin.types import Judgement, Sample

logger = logging.getLogger(__name__)


class Gatherer:
    """Turns concurrent single samples into judged groups.

    Args:
        texts: whether judgements are to hold the texts of the critiques, which callers of single samples do not get.
    """

    def __init__(self, judge: Judge, config: Config, counters: Counters, texts: bool = True) -> None:
        self.judge = judge
        self.texts = texts
        self.config = config
        self._counters = counters
        self._incomplete = OncePerMinute(logger)
        self._told_of_waiting = False
        self._buffer = GroupBuffer(judge.modes.gathered, keep_s=config.failure.deadline_s)
        self._under_way: dict[int, _GroupUnderWay] = {}

    async def judge_sample(
        self,
        sample: Sample,
        n: int,
        deadline: Deadline,
        answer_by: Deadline = NEVER,
        learn: bool = True,
        identified: bool = False,
    ) -> tuple[Judgement, int]:
        """The judgement of the sample's group and the sample's index in it.

        The group is judged when its n samples have arrived, or `group.wait_s` after the first one. That wait is at most
        half of the time that the first one's deadline leaves, so that the GRM gets the other half. The deadline of the
        sample that arrived first holds for the whole group.

        The sample of a caller that is cancelled stays in the group: the rewards of its siblings depend on it.

        Args:
            sample: the sample.
            n: samples of its prompt.
            deadline: for the votes.
            answer_by: a little later: what is there by then is the judgement, of the whole group. It is not reached
                unless something blocks the event loop.
            learn: False for evaluation; see `Judge.judge`. Samples that differ in it are no siblings.
            identified: whether the caller will send the sample again where the service hands it back.

        Raises:
            ServiceBusy: the group was handed back (`stop_waiting`).
        """
        listed = not self.judge.is_blank(sample.response)
        shown = self.judge.as_shown(sample.response, sample.source) if listed and n > 1 else None
        group, index = self._buffer.add(sample, n, time.monotonic(), listed, shown, learn)
        under_way = self._under_way.get(id(group))
        if under_way is None:
            under_way = self._under_way[id(group)] = _GroupUnderWay(self, group, deadline, learn)
        under_way.sample_arrived(identified)
        try:
            async with answer_by.timeout():
                return await asyncio.shield(under_way.judgement), index
        except TimeoutError:
            self._counters.deadline_misses += 1
            return under_way.conclude_now(), index

    def waits_for(self, sample: Sample, n: int, learn: bool) -> bool:
        """Whether a group with an earlier sibling of this sample waits for it."""
        return self._buffer.waits_for(sample, n, learn)

    def stop_waiting(self, error: ServiceBusy, patience_s: float) -> None:
        """Prepare for the end of the process: no group waits for siblings that are sent elsewhere by now.

        Incomplete groups whose callers will all ask again are handed back: the callers get `error`, and nothing of the
        group is judged or learnt, so that it is judged whole by the next service. The others wait for siblings for
        `patience_s` more seconds at most.
        """
        for under_way in list(self._under_way.values()):
            under_way.stop_waiting(error, patience_s)

    def cancel_all(self) -> None:
        """Give up every group that is not judged; to be called when no caller waits any more."""
        for under_way in list(self._under_way.values()):
            under_way.give_up()

    def _tell_of_waiting(self, under_way: _GroupUnderWay) -> None:
        """Say once that a sample waits: whoever has sent a single one, to try, would see nothing for `group.wait_s`."""
        if self._told_of_waiting or under_way.waited.is_set():
            return
        self._told_of_waiting = True
        alone = not lone_response(self.config.normalize.method, 1)  # else ?n=1 is refused
        logger.warning(
            "%d of %d samples of a prompt are here; those that come within %g s are judged together (said once)%s",
            *(len(under_way.group.responses), under_way.group.expected, under_way.wait_s),
            ". To try the service with a single sample add ?n=1" if alone else "",
        )

    def _count_incomplete(self, under_way: _GroupUnderWay) -> None:
        """Count a group that is judged without its late samples, and warn: a wrong n shows in no other way."""
        self._counters.incomplete_groups += 1
        self._incomplete.warning(
            "%d of %d samples of a prompt came within %g s and were judged without the others (%d such groups so "
            "far): is n the job's n_samples_per_prompt, and this the job's only reward server? (One address; scale by "
            "engine.replicas and service.replicas)",
            *(len(under_way.group.responses), under_way.group.expected, under_way.wait_s),
            self._counters.incomplete_groups,
        )


class _GroupUnderWay:
    """A group from its first sample to its judgement, which `judgement` will hold."""

    def __init__(self, gatherer: Gatherer, group: OpenGroup, deadline: Deadline, learn: bool) -> None:
        self.gatherer = gatherer
        self.group = group
        left_s = math.inf if deadline.left_s is None else deadline.left_s
        self.wait_s = min(gatherer.config.group.wait_s, left_s / 2)
        self.judged = gatherer.judge.begin(deadline, learn, gatherer.texts)
        self.waited = asyncio.Event()
        """Set when the group is complete, or no longer waits for siblings."""
        self.judgement: asyncio.Future[Judgement] = asyncio.get_running_loop().create_future()
        self.judgement.add_done_callback(take_error)  # where all of its callers have left
        self._all_identified = True
        self._handed_back: ServiceBusy | None = None
        self._task = asyncio.create_task(self._judge())
        self._task.add_done_callback(self._ended)

    def sample_arrived(self, identified: bool) -> None:
        """To be called when a sample has joined the group: judges a list that is now full."""
        self._all_identified &= identified
        members = self.group.take_full_list()
        if members is not None:
            self.judged.put(self.group.snapshot(), members)
        if self.group.complete:
            self.waited.set()

    def stop_waiting(self, error: ServiceBusy, patience_s: float) -> None:
        """See `Gatherer.stop_waiting`. A group that waits no longer goes on."""
        if self.waited.is_set():
            return
        if self._all_identified:
            self._handed_back = error
            self.waited.set()
        else:
            asyncio.get_running_loop().call_later(patience_s, self.waited.set)

    def conclude_now(self) -> Judgement:
        """The judgement from the votes that are there, for all callers of the group; or the one that there is."""
        if self._task.done():
            self._ended(self._task)
        if not self.judgement.done():
            self.gatherer._buffer.close(self.group, time.monotonic())
            self.judgement.set_result(self.judged.conclude_now(self.group.snapshot(), self.group.copies))
            self._task.cancel()
        return self.judgement.result()

    def give_up(self) -> None:
        """Judge nothing of the group any more."""
        self._task.cancel()

    async def _judge(self) -> Judgement:
        try:
            await self._wait()
            for members in self.group.take_rest():
                self.judged.put(self.group.snapshot(), members)
            return await self.judged.conclude(self.group.snapshot(), self.group.copies)
        finally:
            self.judged.cancel()

    async def _wait(self) -> None:
        """Wait for the group's samples, and close the group.

        Raises:
            ServiceBusy: it is handed back.
        """
        asyncio.get_running_loop().call_soon(self.gatherer._tell_of_waiting, self)
        try:
            async with asyncio.timeout(self.wait_s):
                await self.waited.wait()
        except TimeoutError:
            self.waited.set()
        finally:
            self.gatherer._buffer.close(self.group, time.monotonic())
        if self._handed_back:
            raise self._handed_back
        if not self.group.complete:
            self.gatherer._count_incomplete(self)

    def _ended(self, task: asyncio.Task[Judgement]) -> None:
        self.gatherer._under_way.pop(id(self.group), None)
        if self.judgement.done():
            return
        if task.cancelled():
            self.judgement.cancel()
        elif (error := task.exception()) is not None:
            self.judgement.set_exception(error)
            self.judgement.exception()  # or asyncio would log it where no caller waits any more
        else:
            self.judgement.set_result(task.result())
