"""The reward service: takes samples or groups and answers with settled rewards, always within the deadline.

A plain asyncio class without HTTP or Ray: `http/app.py` gives it its routes, `ray/app.py` runs it in a Ray actor.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from grm_plugin import __version__
from grm_plugin._util.concurrency import all_of
from grm_plugin._util.deadline import Deadline
from grm_plugin.config import Config
from grm_plugin.conversation.messages import to_conversation, to_response
from grm_plugin.conversation.plain_json import identity_of
from grm_plugin.conversation.reader import ConversationReader
from grm_plugin.conversation.response import response_of
from grm_plugin.errors import ConfigError, GroupError, PromptError, ServiceBusy, WireError
from grm_plugin.judging.fallback import LOG_KEYS, Settled, log_values, settle
from grm_plugin.judging.judge import Judge
from grm_plugin.judging.seams import Generator, MetaRM
from grm_plugin.serving.counters import Counters
from grm_plugin.serving.gathering import Gatherer
from grm_plugin.serving.metrics import Metrics
from grm_plugin.serving.probing import ProbedGenerator
from grm_plugin.serving.score_reply import judgement_to_wire
from grm_plugin.serving.single_flight import SingleFlight
from grm_plugin.serving.stop_times import DRAIN_S
from grm_plugin.trace.recorder import Recorder
from grm_plugin.types import Conversation, Group, Judgement, Reward, Sample
from grm_plugin.wire.schemas import (
    GetRewardReply,
    GetRewardRequest,
    Info,
    ScoreReply,
    ScoreRequest,
    WireGroup,
)

logger = logging.getLogger(__name__)

REPLY_SHARE = 0.03
"""Share of the deadline that the judge does not get: the time to settle the rewards and send the reply."""

OPENRLHF_DEADLINE_S = 170.0
"""For `/get_reward`: OpenRLHF gives up its HTTP call, and loses the samples, after 180 s (openrlhf/utils/agent.py)."""

STOPPING = "the service is stopping; try again in a second"

SAVE_PAUSE_S = 1.0
"""Pause between two saves of the running normaliser's statistics: what a killed process loses of them at most."""


class RewardService:
    """Judges samples and groups that frameworks send.

    Args:
        config: the whole configuration; the engine sections are only shown (`info`).
        generator: runs the GRM.
        meta_rm: rates critiques, if there is a meta RM.

    Raises:
        PromptError: the prompt template does not render (checked now, not in the first step of a job).
        ConfigError: the saved state of the running normaliser is damaged.
        StoreError: the trace store cannot be written, or comes from another version of grm_plugin.
    """

    def __init__(self, config: Config, generator: Generator, meta_rm: MetaRM | None = None) -> None:
        self.config = config
        self.counters = Counters()
        self.metrics = Metrics(
            self.counters, lambda: self._waiting, lambda: self.traces.status if self.traces else None
        )
        self.grm = ProbedGenerator(generator)
        self.judge = Judge(config, self.grm, meta_rm, on_judgement=self._record, timed=self.metrics.timed)
        self.judge.lists.prompts.check()
        self.traces = Recorder(config.trace, config.failure, config.service.name) if config.trace.path else None
        self._reader = ConversationReader(config.conversation.format, config.conversation.tokenizer)
        self._gatherer = Gatherer(self.judge, config, self.counters)
        self._replies: SingleFlight[GetRewardReply] = SingleFlight(keep_s=config.failure.deadline_s)
        self._samples: SingleFlight[tuple[Settled, dict[str, float]]] = SingleFlight(keep_s=config.failure.deadline_s)
        self._groups: SingleFlight[ScoreReply] = SingleFlight(keep_s=config.failure.deadline_s)
        self._waiting = 0
        """Samples in the service now."""
        self._draining = False
        self._drained = asyncio.Event()
        """Set when the service is draining and the last sample has left it."""
        self._save_task: asyncio.Task[None] | None = None
        self._save_lock = asyncio.Lock()

    async def get_reward(self, request: GetRewardRequest, n: int | None = None) -> GetRewardReply:
        """Rewards of single samples (OpenRLHF's call), each judged in its group of n, within `OPENRLHF_DEADLINE_S`.

        The group size is `n`, else `request.n`, else `group.n`. A request that equals one whose caller has hung up
        gets the result of that one's work, which goes on.

        Raises:
            WireError: a prompt is no prefix of its query, or holds a token that stands for an image.
            RewardError: a reward is missing and `failure.policy` is `raise`.
            ServiceBusy: too much is waiting.
        """
        n = n or request.n or self.config.group.n
        return await self._replies.get(_digest(n, request), lambda: self._get_reward(request, n))

    async def reward_sample(
        self, sample: Sample, n: int | None = None, request_id: str | None = None
    ) -> tuple[Settled, dict[str, float]]:
        """The reward of one sample, judged in its group of `n` (`group.n` where None), and its log values.

        A repeated call gets the result of the work under way instead of adding a second sample. A call is a repetition
        if it has the same `request_id`; without an id, if it equals a call whose caller has hung up.

        Raises:
            RewardError: the reward is missing and `failure.policy` is `raise`.
            ServiceBusy: too much is waiting.
        """
        n = n or self.config.group.n
        return await self._samples.get(
            _digest(request_id, n, sample), lambda: self._reward_sample(sample, n), identified=request_id is not None
        )

    def read_prompt(self, prompt: str) -> Conversation:
        """The conversation in a prompt text, by `conversation.format`.

        Raises:
            PromptError: the prompt holds a token that stands for an image, a sound or a video.
        """
        return self._reader.read(prompt)

    async def judge_groups(self, request: ScoreRequest) -> ScoreReply:
        """Judgements of whole groups, with every critique.

        Raises:
            WireError: a prompt holds a token that stands for an image.
            RewardError: a reward is missing and `failure.policy` is `raise`.
            ServiceBusy: too much is waiting.
        """
        if request.request_id is None:
            return await self._groups.get_unshared(lambda: self._judge_all(request))
        return await self._groups.get(_digest(request), lambda: self._judge_all(request), identified=True)

    def info(self) -> Info:
        """What runs here and what it has done so far."""
        return Info(
            pid=os.getpid(),
            version=__version__,
            model=getattr(self.config.engine, "model", self.config.engine.type),
            k=self.config.sampling.k,
            k_meta=self.config.kept_of(self.config.sampling.k),
            list_size=self.config.judge.list_size,
            counters={
                **self.counters.as_dict(),
                "attached": self._replies.attached + self._samples.attached + self._groups.attached,
                "waiting": self._waiting,
            },
        )

    async def problem(self) -> str:
        """Why the GRM cannot judge now, or an empty string."""
        return await self.grm.problem()

    async def drain(self, patience_s: float = DRAIN_S) -> None:
        """Prepare for the end of the process: refuse new requests, finish those under way, and `close`.

        Requests that are refused, or not finished within `patience_s` seconds, fail with `ServiceBusy`: clients then
        ask again, and whichever service is at the address by then answers.
        """
        self._draining = True
        if self._waiting:
            with suppress(TimeoutError):
                async with asyncio.timeout(patience_s):
                    await self._drained.wait()
        for flights in (self._replies, self._samples, self._groups):
            flights.cancel_all(ServiceBusy(STOPPING))
        await self.close()

    async def close(self) -> None:
        """Write the traces that wait, and save the running normaliser's statistics."""
        if self.traces:
            await asyncio.to_thread(self.traces.close)
        await self._save()

    async def _get_reward(self, request: GetRewardRequest, n: int) -> GetRewardReply:
        labels = request.labels or [None] * len(request.query)
        samples = [
            self._sample(index, query, prompt, label)
            for index, (query, prompt, label) in enumerate(zip(request.query, request.prompts, labels, strict=True))
        ]
        with self._admit(len(samples)):
            deadline = Deadline.after(min(self.config.failure.deadline_s, OPENRLHF_DEADLINE_S))
            rows = await all_of(self._settled_reward(sample, n, deadline) for sample in samples)
        logs = [log for _, log in rows]
        return GetRewardReply(
            rewards=[settled.value for settled, _ in rows],
            scores=[settled.unit_mean for settled, _ in rows],
            extra_logs={key: [log[key] for log in logs] for key in LOG_KEYS},
        )

    async def _reward_sample(self, sample: Sample, n: int) -> tuple[Settled, dict[str, float]]:
        with self._admit(1):
            return await self._settled_reward(sample, n, Deadline.after(self.config.failure.deadline_s))

    async def _judge_all(self, request: ScoreRequest) -> ScoreReply:
        groups = [group.to_group(self._conversation(index, group)) for index, group in enumerate(request.groups)]
        with self._admit(sum(len(group.responses) for group in groups)):
            deadline = Deadline.after(self.config.failure.deadline_s)
            judgements = await all_of(self._judge_group(group, deadline) for group in groups)
        settled = [settle(judgement.rewards, self.config.failure) for judgement in judgements]
        self.counters.fallbacks += sum(row.fallback for rows in settled for row in rows)
        return ScoreReply(judgements=[judgement_to_wire(*pair) for pair in zip(judgements, settled, strict=True)])

    async def _judge_group(self, group: Group, deadline: Deadline) -> Judgement:
        try:
            async with deadline.timeout():
                [judgement] = await self.judge.judge([group], deadline.earlier(REPLY_SHARE))
        except TimeoutError:
            return self._judged_too_late(group)
        return judgement

    async def _settled_reward(self, sample: Sample, n: int, deadline: Deadline) -> tuple[Settled, dict[str, float]]:
        started = time.monotonic()
        try:
            async with deadline.timeout():
                judgement, index = await self._gatherer.judge_sample(sample, n, deadline.earlier(REPLY_SHARE))
        except TimeoutError:
            judgement, index = self._judged_too_late(Group(sample.conversation, (sample.response,))), 0
        settled = settle(judgement.rewards, self.config.failure)[index]
        self.counters.fallbacks += settled.fallback
        took = time.monotonic() - started
        self.metrics.observe("sample", took)
        return settled, log_values(judgement.rewards[index], settled, took)

    def _sample(self, index: int, query: str, prompt: str, label: str | tuple[str | None, str | None] | None) -> Sample:
        reference, rubric = label if isinstance(label, tuple) else (label, None)
        try:
            response = to_response(response_of(query, prompt), prompt)
            return Sample(self._reader.read(prompt), response, reference, rubric, identity_of(prompt))
        except (GroupError, PromptError) as error:
            raise WireError(f"query.{index}: {error}") from None

    def _conversation(self, index: int, group: WireGroup) -> Conversation:
        if group.messages is not None:
            return to_conversation(group.messages)
        try:
            return self._reader.read(group.prompt or "")
        except PromptError as error:
            raise WireError(f"groups.{index}.prompt: {error}") from None

    @contextmanager
    def _admit(self, samples: int) -> Iterator[None]:
        """Count `samples` as waiting within the block.

        Raises:
            ServiceBusy: the service is draining, or `service.max_waiting` would be exceeded. A single request larger
                than that is taken by an empty service, as it would be refused for ever.
        """
        if self._draining:
            self.counters.refused += 1
            raise ServiceBusy(STOPPING)
        if self._waiting + samples > max(self.config.service.max_waiting, samples):
            self.counters.refused += 1
            raise ServiceBusy(f"{self._waiting} samples are waiting (service.max_waiting); try again in a second")
        self.counters.requests += 1
        self.counters.samples += samples
        self._waiting += samples
        try:
            yield
        finally:
            self._waiting -= samples
            if not self._waiting and self._draining:
                self._drained.set()

    def _record(self, judgement: Judgement) -> None:
        self.counters.add(judgement)
        self.metrics.count_judgement(judgement)
        self._trace(judgement)
        if self.judge.normalizer.saves and (self._save_task is None or self._save_task.done()):
            self._save_task = asyncio.create_task(self._save_until_unchanged())

    async def _save_until_unchanged(self) -> None:
        """Save the running statistics every `SAVE_PAUSE_S`, until no judgement has changed them during a save."""
        while True:
            await asyncio.sleep(SAVE_PAUSE_S)
            stats = self.judge.normalizer.stats
            try:
                await self._save()
            except ConfigError as error:  # a full disk must not cost a reward
                logger.error("the running statistics were not saved: %s", error)
            if stats == self.judge.normalizer.stats:
                return

    async def _save(self) -> None:
        async with self._save_lock:  # one save at a time: an older state must not replace the one that `close` saves
            await asyncio.to_thread(self.judge.normalizer.save)

    def _judged_too_late(self, group: Group) -> Judgement:
        """A judgement without votes, for a group that the judge itself did not return in time.

        The judge keeps its deadline, which is a little earlier, unless something blocks the event loop.
        """
        self.counters.deadline_misses += 1
        judgement = Judgement(group, tuple(Reward(None, "no_votes") for _ in group.responses))
        self.metrics.count_missing(judgement)
        self._trace(judgement)
        return judgement

    def _trace(self, judgement: Judgement) -> None:
        if self.traces:
            self.traces.offer(judgement)


def _digest(*request: object) -> bytes:
    """A short key that is equal for equal requests."""
    return hashlib.sha256(repr(request).encode()).digest()  # repr escapes lone surrogates, which UTF-8 cannot hold
