"""Whether the models answer: a busy one is watched, an idle one is asked for the least that judging will ask for."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from grm_plugin._util.concurrency import all_of, unless_cancelled_within
from grm_plugin.config import Config
from grm_plugin.errors import EngineError, PromptTooLong
from grm_plugin.judging.orders import plan_draws
from grm_plugin.judging.seams import Generator, MetaRM, as_asked, check_completions, check_logits
from grm_plugin.types import Completion, Conversation, Message, Prompt, Sampling

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
    draw = plan_draws(config.judge.list_size, options, random.Random(0))[0][0]
    return as_asked(Sampling(draw.n, options.temperature, options.top_p, ONE_TOKEN.max_tokens, options.seed))


class _Watched:
    """Passes calls on to a model, and remembers when it last answered."""

    named: str
    """What messages call the model."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._under_way = 0
        self._answered_at: float | None = None
        """Time of the last answer; None before the first one and after a failure."""

    async def problem(self) -> str:
        """Why the model cannot answer now, or an empty string.

        The model is asked, unless it is busy and has answered something in the last 30 s: the requests of a training
        step may keep a probe waiting for minutes.
        """
        if self._busy_and_answering():
            return ""
        try:
            async with asyncio.timeout(PROBE_TIMEOUT_S):
                await unless_cancelled_within(self._probe(), self.named)
        except TimeoutError:
            return "" if self._busy_and_answering() else f"{self.named} did not answer within {PROBE_TIMEOUT_S:g} s"
        except EngineError as error:
            return str(error)
        except Exception as error:  # Ray's own errors while Serve restarts: they are reported, not a 500 of `/ready`
            return f"{type(error).__name__}: {error}"[:PROBLEM_CHARS]
        return ""

    async def _probe(self) -> None:
        raise NotImplementedError

    async def _watch(self, work: Awaitable[list[AnswerT]]) -> list[AnswerT]:
        """The answer to a call."""
        self._under_way += 1
        try:
            answer = await unless_cancelled_within(work, self.named)
            self._answered_at = self._clock() if answer else None
        except PromptTooLong:  # the model works: it has measured the prompt and refused it
            self._answered_at = self._clock()
            raise
        except Exception:
            self._answered_at = None
            raise
        finally:
            self._under_way -= 1
        return answer

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


async def problem_of(*models: ProbedGenerator | ProbedMetaRM | None) -> str:
    """Why models cannot answer now, or an empty string. All but the GRM, whose problems come first, are named."""
    present = [model for model in models if model]
    problems = zip(present, await all_of(model.problem() for model in present), strict=True)
    return "; ".join(
        why if isinstance(model, ProbedGenerator) or why.startswith(model.named) else f"{model.named}: {why}"
        for model, why in problems
        if why
    )
