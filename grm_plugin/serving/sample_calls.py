"""OpenRLHF's call, read and answered: a sample that cannot be read costs itself, not the others of its call."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from grm_plugin._util.log_once import OncePerMinute
from grm_plugin.config import FailureConfig
from grm_plugin.conversation.labels import Label
from grm_plugin.conversation.messages import to_response
from grm_plugin.conversation.response import response_of
from grm_plugin.errors import GroupError, PromptError, WireError
from grm_plugin.judging.fallback import CRITERION_KEY, LOG_KEYS, SettledReward, missing, settle, with_logs
from grm_plugin.serving.counters import Counters
from grm_plugin.serving.metrics import Metrics
from grm_plugin.serving.read_prompts import ReadPrompts
from grm_plugin.types import Reward, Sample
from grm_plugin.wire.schemas import GetRewardReply, GetRewardRequest

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SampleCall:
    """A call, read. `samples` has None for a sample that cannot be read; `siblings` numbers those of one prompt."""

    samples: list[Sample | None]
    siblings: list[list[int]]
    n: int

    @property
    def readable(self) -> list[tuple[Sample, int]]:
        """Each sample that can be read, and the number of samples it is to be gathered with.

        The group of one that cannot be read is smaller by it, where the call holds the whole group: its siblings would
        wait for it.
        """
        sizes = [self.n] * len(self.samples)
        for group in self.siblings:
            read = [index for index in group if self.samples[index] is not None]
            if len(read) < len(group) and len(group) % self.n == 0:
                rest = len(read) % self.n
                for index in read[len(read) - rest :]:
                    sizes[index] = rest
        return [(sample, size) for sample, size in zip(self.samples, sizes, strict=True) if sample is not None]


@dataclass(frozen=True, slots=True)
class Part:
    """Those samples of a call that one process of the service gathers: each with the size of its group.

    `samples` and `requests` are what counts as come in with them: the first part of a call also brings the samples that
    cannot be read, and the call.
    """

    readable: list[tuple[Sample, int]]
    samples: int
    requests: int = 1


class SampleCalls:
    """Reads calls, and answers them.

    Args:
        prompts: reads prompts.
        policy: says what a sample that cannot be read gets.
        counters: counts them.
        metrics: likewise.
        columns: the criteria of the configuration, by name.
    """

    def __init__(
        self,
        prompts: ReadPrompts,
        policy: FailureConfig,
        counters: Counters,
        metrics: Metrics,
        columns: Sequence[str] = (),
    ) -> None:
        self._columns = columns
        self._prompts = prompts
        self._policy = policy
        self._counters = counters
        self._metrics = metrics
        self._unreadable = OncePerMinute(logger)
        self._keys = (*LOG_KEYS, *(CRITERION_KEY + name for name in columns))

    def read(self, request: GetRewardRequest, n: int) -> SampleCall:
        """The samples of a call, each to be judged in a group of `n`.

        Raises:
            WireError: no sample can be read, or one cannot and `failure.policy` is `raise`.
        """
        labels = request.labels or [None] * len(request.query)
        samples: list[Sample | None] = []
        siblings: dict[tuple[object, ...], list[int]] = defaultdict(list)
        problems: list[str] = []
        for index, (query, prompt, label) in enumerate(zip(request.query, request.prompts, labels, strict=True)):
            siblings[prompt, label].append(index)
            try:
                samples.append(self._sample(query, prompt, label))
            except (GroupError, PromptError, WireError) as error:
                samples.append(None)
                problems.append(f"query.{index}: {error}")
        if problems and len(problems) == len(samples):
            raise WireError(problems[0])
        if problems and self._policy.policy == "raise":
            raise WireError(f"{problems[0]} (failure.policy is 'raise': with another one its siblings are rewarded)")
        if problems:
            self._counters.unreadable += len(problems)
            self._counters.fallbacks += len(problems)
            self._metrics.count_unreadable(len(problems))
            self._unreadable.warning(
                "%d of %d samples of a call to /get_reward cannot be read and get what failure.policy says: %s",
                *(len(problems), len(samples), problems[0]),
            )
        return SampleCall(samples, list(siblings.values()), n)

    def _sample(self, query: str, prompt: str, label: Label | str | None) -> Sample:
        said = label if isinstance(label, Label) else Label(label)
        response = to_response(response_of(query, prompt), prompt)
        read = self._prompts.read(prompt)
        return Sample(read.conversation, response, *said, read.identity)

    def reply(self, call: SampleCall, rewarded: Sequence[SettledReward]) -> GetRewardReply:
        """The answer to a call whose readable samples got these rewards, in order."""
        rows = iter(rewarded)
        found = [next(rows) if sample else None for sample in call.samples]
        for group in call.siblings:
            missing = [index for index in group if found[index] is None]
            if missing:
                substitute = self._substitute([row for index in group if (row := found[index])])
                for index in missing:
                    found[index] = substitute
        complete = [row for row in found if row]
        return GetRewardReply(
            rewards=[row.value for row in complete],
            scores=[row.unit_mean for row in complete],
            extra_logs={key: [row.logs[key] for row in complete] for key in self._keys},
        )

    def _substitute(self, siblings: Sequence[SettledReward]) -> SettledReward:
        """What a sample that cannot be read gets beside these siblings: see `settle`."""
        unread = missing(self._columns)
        voted = (row for row in siblings if row.logs["grm_votes_kept"])
        rewards = [Reward(row.value, "ok", unit_mean=row.unit_mean) for row in voted]
        return with_logs(unread, settle([*rewards, unread], self._policy)[-1], 0.0)
