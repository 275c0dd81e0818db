"""Whether the models answer: a busy one is watched, an idle one is asked for the least that judging will ask for."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from typing import Protocol, TypeVar

from grm_plugin._util.concurrency import all_of, unless_cancelled_within
from grm_plugin._util.deadline import NEVER, Deadline
from grm_plugin.config import Config
from grm_plugin.errors import EngineError, EngineRefusal, PromptTooLong
from grm_plugin.judging.orders import plan_draws
from grm_plugin.judging.sampling import sampling_of
from grm_plugin.judging.seams import (
    ALL_VOTES,
    Continues,
    Generator,
    ListVoter,
    MetaRM,
    Wanted,
    as_asked,
    check_completions,
    check_logits,
)
from grm_plugin.types import AnswerLine, Completion, Conversation, Group, ListJudgement, Message, Prompt, Sampling

PROBLEM_CHARS = 400
"""Longest reason in the reply of `/ready`: an error of Ray brings its traceback along."""

PROBE_TIMEOUT_S = 30.0
"""A model that has answered nothing for so long counts as unable to answer."""

PROBE = Prompt((Message("user", "ready?"),), (0,))
PROBE_CRITIQUE: Conversation = (*PROBE.messages, Message("assistant", "ready"))
ONE_TOKEN = Sampling(n=1, temperature=0.0, top_p=1.0, max_tokens=1)

AnswerT = TypeVar("AnswerT")


def probe_sampling(config: Config) -> Sampling:
    """As the first draw on a full list is sampled, but for the length of the answer.

    A server may refuse what judging asks for: several completions, a temperature, a seed.
    """
    options = config.sampling
    draw = plan_draws(config.judge.shown_together, options, random.Random(0))[0][0]
    return as_asked(replace(sampling_of(options, draw.n, options.seed), max_tokens=ONE_TOKEN.max_tokens))


class _Watched:
    """Passes calls on to a model, and remembers when it last answered."""

    named: str
    """What messages call the model."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._under_way = 0
        self._answered_at: float | None = None
        """Time of the last answer; None before the first one and after a failure."""
        self.refused = False
        """Whether the last look met a refusal that will stay: see `EngineRefusal`."""

    async def problem(self) -> str:
        """Why the model cannot answer now, or an empty string.

        The model is asked, unless it is busy and has answered something in the last 30 s: the requests of a training
        step may keep a probe waiting for minutes.
        """
        if self._busy_and_answering():
            return ""
        self.refused = False
        try:
            async with asyncio.timeout(PROBE_TIMEOUT_S):
                await unless_cancelled_within(self._probe(), self.named)
        except TimeoutError:
            return "" if self._busy_and_answering() else f"{self.named} did not answer within {PROBE_TIMEOUT_S:g} s"
        except EngineError as error:
            self.refused = isinstance(error, EngineRefusal)
            return str(error)
        except Exception as error:  # Ray's own errors while an actor restarts: they are reported, not a 500 of `/ready`
            return f"{type(error).__name__}: {error}"[:PROBLEM_CHARS]
        return ""

    async def _probe(self) -> None:
        raise NotImplementedError

    async def _watch(self, work: Awaitable[AnswerT]) -> AnswerT:
        """The answer to a call."""
        with self.busy():
            try:
                answer = await unless_cancelled_within(work, self.named)
                self.heard(bool(answer))
            except PromptTooLong:  # the model works: it has measured the prompt and refused it
                self.heard(True)
                raise
            except Exception:
                self.heard(False)
                raise
        return answer

    @contextmanager
    def busy(self) -> Iterator[None]:
        """Within the block the model has a request."""
        self._under_way += 1
        try:
            yield
        finally:
            self._under_way -= 1

    def heard(self, answered: bool) -> None:
        """Tell that the model has answered a request, or failed."""
        self._answered_at = self._clock() if answered else None

    def _busy_and_answering(self) -> bool:
        at = self._answered_at
        return self._under_way > 0 and at is not None and self._clock() - at <= PROBE_TIMEOUT_S


class ProbedGenerator(_Watched):
    """A `Generator` that passes all calls on to another one.

    Args:
        generator: runs the GRM.
        sampling: of the probe.
    """

    named = "the GRM"

    def __init__(
        self, generator: Generator, clock: Callable[[], float] = time.monotonic, sampling: Sampling = ONE_TOKEN
    ) -> None:
        super().__init__(clock)
        self.generator = generator
        self._sampling = sampling

    async def generate(self, prompt: Prompt, sampling: Sampling) -> list[Completion]:
        """See `Generator.generate`."""
        return await self._watch(self.generator.generate(prompt, sampling))

    async def continue_text(
        self, prompt: Prompt, begun: Completion, line: AnswerLine, sampling: Sampling
    ) -> Completion:
        """See `Continues.continue_text`.

        Raises:
            EngineError: as there; or the generator cannot continue texts.
        """
        if not isinstance(self.generator, Continues):
            raise EngineError(f"{type(self.generator).__name__} cannot continue a text: see sampling.force_answer")
        return await self._watch(self.generator.continue_text(prompt, begun, line, sampling))

    async def _probe(self) -> None:
        answer = await self.generator.generate(PROBE, self._sampling)
        check_completions(answer, len(answer) or 1)


class ProbedMetaRM(_Watched):
    """A `MetaRM` that passes all calls on to another one.

    Args:
        meta_rm: rates critiques.
    """

    named = "the meta RM"

    def __init__(self, meta_rm: MetaRM, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(clock)
        self.meta_rm = meta_rm

    async def rate(self, conversations: Sequence[Conversation]) -> list[float]:
        """See `MetaRM.rate`."""
        return await self._watch(self.meta_rm.rate(conversations))

    async def _probe(self) -> None:
        check_logits(await self.meta_rm.rate([PROBE_CRITIQUE]), 1)


class RemoteVoter(ListVoter, Protocol):
    """Judges lists in other processes."""

    async def probe(self, sampling: Sampling) -> list[Completion]:
        """The GRM's answer to `PROBE`, from any of them."""
        ...


class ProbedLists(_Watched):
    """A `ListVoter` that passes all lists on to a remote one, and tells by its judgements how the models are.

    Args:
        lists: judges them.
        meta_rm: the meta RM that rates their critiques, as this process reaches it; None where there is none.
        sampling: of the probe.
    """

    named = "the GRM"

    def __init__(
        self,
        lists: RemoteVoter,
        meta_rm: ProbedMetaRM | None,
        sampling: Sampling = ONE_TOKEN,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(clock)
        self._lists = lists
        self._meta_rm = meta_rm
        self._sampling = sampling

    async def judge(
        self, group: Group, members: tuple[int, ...], deadline: Deadline = NEVER, wanted: Wanted = ALL_VOTES
    ) -> ListJudgement:
        """See `ListVoter.judge`."""
        with self.busy(), self._meta_rm.busy() if self._meta_rm else nullcontext():
            judged = await self._lists.judge(group, members, deadline, wanted)
        self.heard(bool(judged.critiques) or not all(lost.reason.engine_failed for lost in judged.unparsed))
        if self._meta_rm and judged.critiques:
            self._meta_rm.heard(not judged.meta_error or judged.meta_too_long)
        return judged

    async def _probe(self) -> None:
        answer = await self._lists.probe(self._sampling)
        check_completions(answer, len(answer) or 1)


async def problem_of(*models: ProbedGenerator | ProbedLists | ProbedMetaRM | None) -> str:
    """Why models cannot answer now, or an empty string. All but the GRM, whose problems come first, are named."""
    present = [model for model in models if model]
    problems = zip(present, await all_of(model.problem() for model in present), strict=True)
    return "; ".join(
        why if not isinstance(model, ProbedMetaRM) or why.startswith(model.named) else f"{model.named}: {why}"
        for model, why in problems
        if why
    )
