"""The reward service: takes samples or groups and answers with settled rewards, always within the deadline.

A plain asyncio class without HTTP or Ray: `http/app.py` gives it its routes, `ray/service_actor.py` runs it in an actor
on Ray. Where a service has several processes each has one of it, behind a `processes.front.Front`.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from functools import partial
from typing import Any

from grm_plugin import __version__
from grm_plugin._util.concurrency import all_of
from grm_plugin._util.deadline import Deadline
from grm_plugin.config import Config, name_of
from grm_plugin.conversation.labels import Label
from grm_plugin.conversation.messages import to_conversation
from grm_plugin.conversation.reader import ConversationReader
from grm_plugin.engines.fingerprint import reward_fingerprint
from grm_plugin.errors import PromptError, ServiceBusy, WireError
from grm_plugin.judging.fallback import SettledReward, settle, with_logs
from grm_plugin.judging.judge import Judge
from grm_plugin.judging.prompts import PromptBuilder
from grm_plugin.judging.seams import Generator, ListVoter, MetaRM
from grm_plugin.rules.runner import runner_of
from grm_plugin.serving.admission import STOPPING, Admission
from grm_plugin.serving.counters import Counters
from grm_plugin.serving.gathering import Gatherer
from grm_plugin.serving.lone_responses import LoneResponses
from grm_plugin.serving.metrics import Metrics
from grm_plugin.serving.probing import (
    ProbedGenerator,
    ProbedLists,
    ProbedMetaRM,
    RemoteVoter,
    probe_sampling,
    problem_of,
)
from grm_plugin.serving.read_prompts import ReadPrompts
from grm_plugin.serving.refusals import Refusals
from grm_plugin.serving.sample_calls import Part, SampleCalls
from grm_plugin.serving.score_reply import judgement_to_wire
from grm_plugin.serving.single_flight import SingleFlight, digest
from grm_plugin.serving.state_saver import StateSaver
from grm_plugin.serving.stop_times import DRAIN_S
from grm_plugin.trace.recorder import Recorder
from grm_plugin.types import Conversation, Group, Judgement, Sample
from grm_plugin.wire.ready import OPENRLHF_DEADLINE_S
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


class RewardService:
    """Judges samples and groups that frameworks send.

    Args:
        config: the whole configuration; the engine sections are only shown (`info`).
        grm: runs the GRM in this process; or judges whole lists in other ones.
        meta_rm: rates critiques, if there is a meta RM; where lists are judged elsewhere, it only says if it is ready.
        saves: whether the running normaliser's statistics are saved here. One process of a service does that.

    Raises:
        PromptError: the prompt template does not render (checked now, not in the first step of a job).
        ConfigError: the saved state of the running normaliser is damaged; or a rule, or the file of the principles,
            cannot be loaded.
        StoreError: the trace store cannot be written, or comes from another version of grm_plugin.
    """

    def __init__(
        self, config: Config, grm: Generator | RemoteVoter, meta_rm: MetaRM | None = None, saves: bool = True
    ) -> None:
        self.config = config
        self.counters = Counters()
        self.refusals = Refusals()
        self.lone_responses = LoneResponses(config, self.counters)
        self._admission = Admission(config.service.max_waiting, self.counters)
        self.metrics = Metrics(
            self.counters,
            self.refusals,
            lambda: self._admission.waiting,
            lambda: self.traces.status if self.traces else None,
        )
        self.meta_rm = ProbedMetaRM(meta_rm) if meta_rm else None
        self.grm: ProbedGenerator | ProbedLists
        if isinstance(grm, ListVoter):
            self.grm = ProbedLists(grm, self.meta_rm, probe_sampling(config))
        else:
            self.grm = ProbedGenerator(grm, sampling=probe_sampling(config))
        self.rules = runner_of(config.judge)
        self.judge = Judge(config, self.grm, self.meta_rm, on_judgement=self._record, rules=self.rules)
        for left_out in PromptBuilder.of(config).check():
            logger.warning(left_out)
        self._fingerprint = reward_fingerprint(config)  # now: its files may change while the service runs
        model, path = self.model, config.trace.path
        self.traces = Recorder(config.trace, config.failure, config.service.name, model) if path else None
        reader = ConversationReader(config.conversation.format, config.conversation.tokenizer)
        self.prompts = ReadPrompts(reader)
        self.calls = SampleCalls(self.prompts, config.failure, self.counters, self.metrics, config.judge.columns)
        self._gatherer = Gatherer(self.judge, config, self.counters, texts=self.traces is not None)
        self._replies: SingleFlight[GetRewardReply] = SingleFlight(keep_s=config.failure.deadline_s)
        self._samples: SingleFlight[SettledReward] = SingleFlight(keep_s=config.failure.deadline_s)
        self._groups: SingleFlight[ScoreReply] = SingleFlight(keep_s=config.failure.deadline_s)
        self._parts: SingleFlight[list[SettledReward]] = SingleFlight(keep_s=config.failure.deadline_s)
        self.saver = StateSaver(self.judge.normalizer) if saves and self.judge.normalizer.saves else None

    async def get_reward(self, request: GetRewardRequest, n: int | None = None, learn: bool = True) -> GetRewardReply:
        """Rewards of single samples (OpenRLHF's call), each judged in its group of n, within `OPENRLHF_DEADLINE_S`.

        The group size is `n`, else `request.n`, else `group.n`. A request that equals one whose caller has hung up
        gets the result of that one's work, which goes on. A sample whose response is not found in its query gets what
        `failure.policy` says, logged and counted. `learn=False` is for evaluation (see `Judge.judge`).

        Raises:
            WireError: no query holds its prompt, or one does not and `failure.policy` is `raise`; a prompt holds a
                token that stands for an image; or there is one sample per prompt, and it cannot be rewarded alone.
            RewardError: a reward is missing and `failure.policy` is `raise`.
            ServiceBusy: too much is waiting.
        """
        size = self.size_of(request, n, learn)
        labels = [label if label is None or isinstance(label, str) else _plain(label) for label in request.labels]
        key = digest(size, learn, request.query, request.prompts, labels)
        return await self._replies.get(key, lambda: self._get_reward(request, size, learn))

    async def judge_part(self, part: Part, learn: bool, deadline: Deadline) -> list[SettledReward]:
        """The rewards of some samples of a call to `/get_reward` that another process has read. See `get_reward`.

        Raises:
            RewardError, ServiceBusy: as there.
        """
        said = [(sample.identity, sample.response, *_notes(sample), size) for sample, size in part.readable]
        work = partial(self._judge_part, part, learn, deadline)
        return await self._parts.get(digest(learn, said), work)

    def size_of(self, request: GetRewardRequest, n: int | None, learn: bool) -> int:
        """Samples per prompt of a call to `/get_reward`. Raises `WireError` where one cannot be rewarded alone."""
        # An empty call, as older versions of OpenRLHF make, needs no group.
        return self.lone_responses.samples_per_prompt(n or request.n, learn) if request.query else 1

    def deadline_of_calls(self) -> Deadline:
        """By when a call to `/get_reward` that comes now is answered."""
        return Deadline.after(min(self.config.failure.deadline_s, OPENRLHF_DEADLINE_S))

    async def reward_sample(
        self,
        sample: Sample,
        n: int | None = None,
        request_id: str | None = None,
        learn: bool = True,
        deadline: Deadline | None = None,
    ) -> SettledReward:
        """The reward of one sample, judged in its group of `n` (`group.n` where None).

        A repeated call gets the result of the work under way instead of adding a second sample. A call is a repetition
        if it has the same `request_id`; without an id, if it equals a call whose caller has hung up. `learn=False` is
        for evaluation (see `Judge.judge`). `deadline` is by default `failure.deadline_s` from now.

        Raises:
            WireError: there is one sample per prompt, and it cannot be rewarded alone.
            RewardError: the reward is missing and `failure.policy` is `raise`.
            ServiceBusy: too much is waiting, or the service stops before all siblings are there.
        """
        size, identified = self.lone_responses.samples_per_prompt(n, learn), request_id is not None
        said = [(turn.role, turn.content) for turn in sample.conversation]
        key = digest(request_id, size, learn, sample.identity, said, sample.response, *_notes(sample))
        work = partial(self._reward_sample, sample, size, learn, identified, deadline)
        return await self._samples.get(key, work, identified)

    async def judge_groups(self, request: ScoreRequest, deadline: Deadline | None = None) -> ScoreReply:
        """Judgements of whole groups, with every critique unless `request.detail` is False.

        `deadline` is by default `failure.deadline_s` from now.

        Raises:
            WireError: a group is one response, which cannot be rewarded alone; or a prompt holds a token that stands
                for an image.
            RewardError: a reward is missing and `failure.policy` is `raise`.
            ServiceBusy: too much is waiting.
        """
        self.lone_responses.check(request.groups, request.learn)
        work = partial(self._judge_all, request, deadline)
        if request.request_id is None:
            return await self._groups.get_unshared(work)
        return await self._groups.get(digest(request.model_dump()), work, identified=True)

    @property
    def waiting(self) -> int:
        """Samples that are here now."""
        return self._admission.waiting

    def info(self) -> Info:
        """What runs here and what it has done so far."""
        return Info(
            pid=os.getpid(),
            version=__version__,
            model=self.model,
            k=self.config.sampling.k,
            k_meta=self.config.kept_of(self.config.sampling.k),
            list_size=self.config.judge.shown_together,
            max_waiting=self.config.service.max_waiting * self.config.service.replicas,
            fingerprint=self._fingerprint,
            counters={
                **self.counters.as_dict(),
                "attached": sum(flights.attached for flights in self._flights()),
                "waiting": self._admission.waiting,
                **{f"refused_{status}": count for status, count in sorted(self.refusals.by_status.items())},
            },
        )

    async def whole_info(self) -> Info:
        """`info` of all processes of the service: this one is all there is."""
        return self.info()

    async def exposition(self, accept: str) -> tuple[bytes, str]:
        """See `Metrics.exposition`; of all processes of the service."""
        return self.metrics.exposition(accept)

    async def problem(self) -> str:
        """Why the GRM or the meta RM cannot judge now, or an empty string."""
        return await problem_of(self.grm, self.meta_rm)

    @property
    def model(self) -> str:
        """The GRM's name; see `config.name_of`."""
        return name_of(self.config.engine)

    @property
    def refused(self) -> bool:
        """Whether the GRM's server will refuse all requests, by what `problem` has last seen."""
        return self.grm.refused

    async def drain(self, patience_s: float = DRAIN_S) -> None:
        """Prepare for the end of the process: `finish`, then `close`."""
        await self.finish(patience_s)
        await self.close()

    async def finish(self, patience_s: float) -> None:
        """Refuse new requests, and finish those under way.

        Requests that are refused, or not finished within `patience_s` seconds, fail with `ServiceBusy`: clients then
        ask again, and whichever service is at the address by then answers. Samples with a request id whose siblings are
        not all here fail so at once, and their group is judged whole by that service. Callers without an id may not ask
        again in time: their groups take in siblings for half of the patience, and are then judged as they are.
        """
        self._admission.close()
        self._gatherer.stop_waiting(ServiceBusy(STOPPING), patience_s / 2)
        await self._admission.empty(patience_s)
        for flights in self._flights():
            flights.cancel_all(ServiceBusy(STOPPING))
        self._gatherer.cancel_all()

    async def close(self) -> None:
        """Write the traces that wait, save the running normaliser's statistics, and end the rules' processes."""
        if self.rules:
            await asyncio.to_thread(self.rules.close)
        if self.traces:
            await asyncio.to_thread(self.traces.close)
        if self.saver:
            await self.saver.save()

    def close_here(self) -> None:
        """`close` in this thread, also where the process is about to end and no thread can be started any more."""
        if self.rules:
            self.rules.close()
        if self.traces:
            self.traces.close()
        if self.saver:
            self.saver.save_here()

    def _flights(self) -> tuple[SingleFlight[Any], ...]:
        return self._replies, self._samples, self._groups, self._parts

    async def _get_reward(self, request: GetRewardRequest, n: int, learn: bool) -> GetRewardReply:
        call = self.calls.read(request, n)
        part = Part(call.readable, len(call.samples))
        return self.calls.reply(call, await self._judge_part(part, learn, self.deadline_of_calls()))

    async def _judge_part(self, part: Part, learn: bool, deadline: Deadline) -> list[SettledReward]:
        siblings = sum(self._gatherer.waits_for(sample, size, learn) for sample, size in part.readable)
        with self._admission.admit(part.samples, siblings, part.requests):
            return await all_of(self._settled_reward(sample, size, deadline, learn) for sample, size in part.readable)

    async def _reward_sample(
        self, sample: Sample, n: int, learn: bool, identified: bool, deadline: Deadline | None
    ) -> SettledReward:
        with self._admission.admit(1, int(self._gatherer.waits_for(sample, n, learn))):
            deadline = deadline or Deadline.after(self.config.failure.deadline_s)
            return await self._settled_reward(sample, n, deadline, learn, identified)

    async def _judge_all(self, request: ScoreRequest, deadline: Deadline | None) -> ScoreReply:
        groups = [group.to_group(self._conversation(index, group)) for index, group in enumerate(request.groups)]
        with self._admission.admit(sum(len(group.responses) for group in groups)):
            deadline = deadline or Deadline.after(self.config.failure.deadline_s)
            texts = request.detail or self.traces is not None
            judgements = await all_of(self._judge_group(group, deadline, request.learn, texts) for group in groups)
        settled = [settle(judgement.rewards, self.config.failure) for judgement in judgements]
        self.counters.fallbacks += sum(row.fallback for rows in settled for row in rows)
        pairs = zip(judgements, settled, strict=True)
        return ScoreReply(judgements=[judgement_to_wire(*pair, request.detail) for pair in pairs])

    async def _judge_group(self, group: Group, deadline: Deadline, learn: bool, texts: bool) -> Judgement:
        try:
            async with deadline.timeout():
                return await self.judge.judge_group(group, deadline.earlier(REPLY_SHARE), learn, texts)
        except TimeoutError:
            return self._judged_too_late(group)

    async def _settled_reward(
        self, sample: Sample, n: int, deadline: Deadline, learn: bool, identified: bool = False
    ) -> SettledReward:
        started = time.monotonic()
        judgement, index = await self._gatherer.judge_sample(
            sample, n, deadline.earlier(REPLY_SHARE), deadline, learn, identified
        )
        settled = settle(judgement.rewards, self.config.failure)[index]
        self.counters.fallbacks += settled.fallback
        took = time.monotonic() - started
        self.metrics.observe("sample", took)
        return with_logs(judgement.rewards[index], settled, took)

    def _conversation(self, index: int, group: WireGroup) -> Conversation:
        if group.messages is not None:
            return to_conversation(group.messages)
        try:
            return self.prompts.read(group.prompt or "").conversation
        except PromptError as error:
            raise WireError(f"groups.{index}.prompt: {error}") from None

    def _record(self, judgement: Judgement) -> None:
        self.counters.add(judgement)
        self.lone_responses.count(judgement)
        self.metrics.count_judgement(judgement)
        self._trace(judgement)
        if self.saver:
            self.saver.save_soon()

    def _judged_too_late(self, group: Group) -> Judgement:
        """A judgement without votes, for a whole group that the judge itself did not return in time.

        The judge keeps its deadline, which is a little earlier, unless something blocks the event loop.
        """
        self.counters.deadline_misses += 1
        judgement = self.judge.without_votes(group)
        self.metrics.count_missing(judgement)
        self._trace(judgement)
        return judgement

    def _trace(self, judgement: Judgement) -> None:
        if self.traces:
            self.traces.offer(judgement)


def _notes(sample: Sample) -> tuple[Any, ...]:
    """What a sample says beside prompt and response, as plain values."""
    return _plain(Label(sample.reference, sample.rubric, sample.criteria, sample.source))


def _plain(label: Label) -> tuple[Any, ...]:
    criteria = [(criterion.name, criterion.text, criterion.weight, criterion.kind) for criterion in label.criteria]
    return label.reference, label.rubric, criteria, label.source
