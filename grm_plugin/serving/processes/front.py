"""What the HTTP routes ask in a service of several processes: it sends each sample to the process that gathers it.

    connection -> any process -> whole groups: judged there
                              -> samples, by a hash of their prompt: the process that gathers them, over a `Link`

So the samples of a prompt meet, whatever connections they come on, and a request that is repeated on another connection
finds the work of the first one. A process that has died is waited for until the deadline: Ray starts it again, and it
is asked anew, because those who hold the requests are others.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from grm_plugin._util.concurrency import all_of
from grm_plugin._util.deadline import Deadline
from grm_plugin.config import Config
from grm_plugin.errors import ServiceBusy
from grm_plugin.judging.fallback import SettledReward
from grm_plugin.serving.admission import STOPPING
from grm_plugin.serving.processes.exchange import Exchange
from grm_plugin.serving.processes.link import Link, LinkServer, Methods, PeerLost
from grm_plugin.serving.read_prompts import ReadPrompts, SharedPrompts
from grm_plugin.serving.refusals import Refusals
from grm_plugin.serving.sample_calls import Part
from grm_plugin.serving.service import RewardService
from grm_plugin.serving.stop_times import DRAIN_S
from grm_plugin.trace.recorder import Recorder
from grm_plugin.types import Sample
from grm_plugin.wire.schemas import GetRewardReply, GetRewardRequest, Info, ScoreReply, ScoreRequest

WAY_BACK = 0.01
"""Share of a deadline that another process does not get: its answer must still arrive here."""

PING_S = 5.0
"""A process that does not answer within this time makes the service not ready."""

BACK_S = 1.0
"""At a stop, the answers of other processes may arrive so long after the last of them has been made."""


class Front:
    """One process of a service, in front of its `RewardService`. To be made on its event loop.

    Args:
        own: gathers and judges what is this process's own.
        place: which of the processes this is; 0 is the first one, which keeps the totals.
        paths: the sockets of all of them (`Link`), by their places.

    Raises:
        ServiceError: the socket cannot be made.
    """

    def __init__(self, own: RewardService, place: int, paths: Sequence[str]) -> None:
        self.own = own
        self._place = place
        self._links = {other: Link(path) for other, path in enumerate(paths) if other != place}
        self._exchange = Exchange(own, place, self._links)
        self._methods: Methods = {
            "judge_part": self._judge_part,
            "reward_sample": self._reward_sample,
            "judge_groups": self._judge_groups,
            "ping": self._ping,
            **self._exchange.methods,
        }
        self._server = LinkServer(paths[place], self._methods)
        self._count = len(paths)
        self._prompts = SharedPrompts()
        self._draining = False
        self._forwarded = 0
        self._all_back = asyncio.Event()
        """Set when this process stops and no other one owes it an answer."""

    @property
    def config(self) -> Config:
        return self.own.config

    @property
    def prompts(self) -> ReadPrompts:
        return self.own.prompts

    @property
    def refusals(self) -> Refusals:
        return self.own.refusals

    @property
    def traces(self) -> Recorder | None:
        return self.own.traces

    async def started(self) -> None:
        """Return when other processes can call this one."""
        await self._server.started()

    async def get_reward(self, request: GetRewardRequest, n: int | None = None, learn: bool = True) -> GetRewardReply:
        """See `RewardService.get_reward`."""
        if not request.query:
            return await self.own.get_reward(request, n, learn)
        call = self.own.calls.read(request, self.own.size_of(request, n, learn))
        readable = call.readable
        deadline = self.own.deadline_of_calls()
        places: dict[int, list[int]] = {}
        for index, (sample, _) in enumerate(readable):
            places.setdefault(self._owner(sample.identity), []).append(index)
        # Whatever it is split into, it counts as one call with all of its samples.
        extra, requests = len(call.samples) - len(readable), 1
        asked = []
        for place, members in places.items():
            part = Part([readable[index] for index in members], len(members) + extra, requests)
            asked.append(self._at(place, deadline, "judge_part", part, learn))
            extra = requests = 0
        answers = await all_of(asked)
        rows: dict[int, SettledReward] = {}
        for members, answer in zip(places.values(), answers, strict=True):
            rows.update(zip(members, answer, strict=True))
        return self.own.calls.reply(call, [rows[index] for index in range(len(readable))])

    async def reward_sample(
        self, sample: Sample, n: int | None = None, request_id: str | None = None, learn: bool = True
    ) -> SettledReward:
        """See `RewardService.reward_sample`."""
        deadline = Deadline.after(self.config.failure.deadline_s)
        asked = (sample, n, request_id, learn)
        rewarded: SettledReward = await self._at(self._owner(sample.identity), deadline, "reward_sample", *asked)
        return rewarded

    async def judge_groups(self, request: ScoreRequest) -> ScoreReply:
        """See `RewardService.judge_groups`. A request with an id goes where it would go if it were repeated."""
        place = self._place if request.request_id is None else self._owner(request.request_id)
        deadline = Deadline.after(self.config.failure.deadline_s)
        if place != self._place and self._links[place].is_up:
            with suppress(PeerLost):  # and its work is lost with it: this process is as good
                answer: ScoreReply = await self._sent(place, deadline, "judge_groups", request)
                return answer
        return await self.own.judge_groups(request, deadline)

    async def whole_info(self) -> Info:
        """What runs here and what the service has done so far."""
        counters = dict((await self._exchange.totals()).counters)
        return self.own.info().model_copy(update={"counters": counters})

    async def exposition(self, accept: str) -> tuple[bytes, str]:
        """See `Metrics.exposition`; of all processes of the service."""
        return (await self._exchange.totals()).exposition(accept)

    async def problem(self) -> str:
        """Why the service cannot judge now, or an empty string: a model or a process that does not answer."""
        problems = await all_of([self.own.problem(), *(self._problem_of(place) for place in self._links)])
        return "; ".join(why for why in problems if why)

    @property
    def refused(self) -> bool:
        """See `RewardService.refused`."""
        return self.own.refused

    async def drain(self, patience_s: float = DRAIN_S) -> None:
        """See `RewardService.drain`. To be called in all processes at once: each waits for answers of the others."""
        self._draining = True
        ends = Deadline.after(patience_s + BACK_S)
        await self.own.finish(patience_s)
        if self._forwarded:
            with suppress(TimeoutError):
                async with ends.timeout():
                    await self._all_back.wait()
        await self._exchange.hand_over(ends)
        for link in self._links.values():
            link.close()
        await self.own.close()

    def _owner(self, prompt: str) -> int:
        """The place of the process that gathers the samples of a prompt; the same in every process."""
        return zlib.crc32(prompt.encode("utf-8", "surrogatepass")) % self._count

    async def _at(self, place: int, deadline: Deadline, method: str, *arguments: Any) -> Any:
        """What a process answers, which is waited for where it has died.

        Raises:
            ServiceBusy: it does not answer before the deadline, or this process stops.
        """
        if place == self._place:
            return await self._methods[method](*arguments, deadline.left_s)
        while True:
            try:
                return await self._sent(place, deadline, method, *arguments)
            except PeerLost:
                if self._draining or self._links[place].closed:
                    raise ServiceBusy(STOPPING) from None

    async def _sent(self, place: int, deadline: Deadline, method: str, *arguments: Any) -> Any:
        """What another process answers.

        Raises:
            PeerLost: it has died meanwhile.
            ServiceBusy: it does not answer before the deadline.
        """
        link = self._links[place]
        self._forwarded += 1
        try:
            async with deadline.timeout():
                await link.reached()
                return await link.call(method, *arguments, deadline.earlier(WAY_BACK).left_s)
        except TimeoutError:
            raise ServiceBusy(f"{self._named(place)} does not answer; try again in a second") from None
        finally:
            self._forwarded -= 1
            if self._draining and not self._forwarded:
                self._all_back.set()

    async def _judge_part(self, part: Part, learn: bool, left_s: float) -> list[SettledReward]:
        readable = [(self._prompts.shared(sample), size) for sample, size in part.readable]
        shared = Part(readable, part.samples, part.requests)
        return await self.own.judge_part(shared, learn, Deadline.after(left_s))

    async def _reward_sample(
        self, sample: Sample, n: int | None, request_id: str | None, learn: bool, left_s: float
    ) -> SettledReward:
        sample = self._prompts.shared(sample)
        return await self.own.reward_sample(sample, n, request_id, learn, Deadline.after(left_s))

    async def _judge_groups(self, request: ScoreRequest, left_s: float) -> ScoreReply:
        return await self.own.judge_groups(request, Deadline.after(left_s))

    async def _ping(self) -> None:
        """To be answered."""

    async def _problem_of(self, place: int) -> str:
        try:
            async with asyncio.timeout(PING_S):
                await self._links[place].call("ping")
        except (PeerLost, TimeoutError):
            return f"{self._named(place)} does not answer"
        return ""

    def _named(self, place: int) -> str:
        return f"process {place + 1} of {self._count} of the service"
