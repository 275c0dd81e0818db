"""Several engines of one model in this process that work together as one engine."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from grm_plugin._util.concurrency import unless_cancelled_within
from grm_plugin.errors import EngineError, PromptTooLong
from grm_plugin.types import AnswerLine, Completion, Conversation, Prompt, Sampling

logger = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(slots=True, eq=False)
class _Engine:
    model: Any
    requests: int = 0


class SeveralEngines:
    """Sends each request to the engine that has the fewest. A `Generator` or a `MetaRM`, as its engines are.

    An engine that fails a request and is not healthy is not used any more; its requests go to the others. It is not
    started again, as a service would do it (`grm_plugin.serving.ray.failover`): an offline run can be repeated.
    """

    def __init__(self, models: Sequence[Any]) -> None:
        self._engines = [_Engine(model) for model in models]

    async def generate(self, prompt: Prompt, sampling: Sampling) -> list[Completion]:
        """See `Generator.generate`."""
        completions: list[Completion] = await self._ask(lambda model: model.generate(prompt, sampling))
        return completions

    async def continue_text(
        self, prompt: Prompt, begun: Completion, line: AnswerLine, sampling: Sampling
    ) -> Completion:
        """See `Continues.continue_text`."""
        behind: Completion = await self._ask(lambda model: model.continue_text(prompt, begun, line, sampling))
        return behind

    async def count_tokens(self, conversation: Conversation) -> int:
        """See `CountsTokens.count_tokens`."""
        tokens: int = await self._ask(lambda model: model.count_tokens(conversation))
        return tokens

    async def rate(self, conversations: Sequence[Conversation]) -> list[float]:
        """See `MetaRM.rate`."""
        logits: list[float] = await self._ask(lambda model: model.rate(conversations))
        return logits

    async def _ask(self, ask: Callable[[Any], Awaitable[T]]) -> T:
        while True:
            engine = min(self._engines, key=lambda engine: engine.requests)
            engine.requests += 1
            try:
                return await unless_cancelled_within(ask(engine.model), "an engine")
            except PromptTooLong:  # the other engines would refuse it too
                raise
            except EngineError:
                if await _is_healthy(engine.model) or not self._stop_using(engine):
                    raise
            finally:
                engine.requests -= 1

    def _stop_using(self, engine: _Engine) -> bool:
        """Whether other engines are left. The last one stays, so that its error reaches the user."""
        if self._engines == [engine]:
            return False
        if engine in self._engines:
            self._engines.remove(engine)
            logger.error(
                "one of %d engines has failed and is not used any more; the others go on", len(self._engines) + 1
            )
        return True


async def _is_healthy(model: Any) -> bool:
    try:
        await model.check_health()
    except EngineError:
        return False
    return True
