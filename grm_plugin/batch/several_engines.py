"""Several engines of one model in this process, as one."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from grm_plugin.errors import EngineError, PromptTooLong
from grm_plugin.types import Completion, Conversation, Prompt, Sampling

logger = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(slots=True, eq=False)
class _Engine:
    model: Any
    busy: int = 0


class SeveralEngines:
    """A `Generator` and a `MetaRM`, whichever its engines are: a request goes to the engine with the least work.

    An engine that fails a request and is not healthy gets no more; its requests go to the others. A service does more
    (`grm_plugin.serving.ray.failover`): an offline run can be started again.
    """

    def __init__(self, models: Sequence[Any]) -> None:
        self._engines = [_Engine(model) for model in models]

    async def generate(self, prompt: Prompt, sampling: Sampling) -> list[Completion]:
        """See `Generator.generate`."""
        completions: list[Completion] = await self._ask(lambda model: model.generate(prompt, sampling))
        return completions

    async def rate(self, conversations: Sequence[Conversation]) -> list[float]:
        """See `MetaRM.rate`."""
        logits: list[float] = await self._ask(lambda model: model.rate(conversations))
        return logits

    async def _ask(self, ask: Callable[[Any], Awaitable[T]]) -> T:
        while True:
            engine = min(self._engines, key=lambda engine: engine.busy)
            engine.busy += 1
            try:
                return await ask(engine.model)
            except PromptTooLong:
                raise
            except EngineError:
                if await _is_healthy(engine.model) or not self._leave(engine):
                    raise
            finally:
                engine.busy -= 1

    def _leave(self, engine: _Engine) -> bool:
        """Use the engine no more; False for the last one, which stays to say what is wrong with it."""
        if self._engines == [engine]:
            return False
        if engine in self._engines:
            self._engines.remove(engine)
            logger.error("one of %d engines is gone; the others go on", len(self._engines) + 1)
        return True


async def _is_healthy(model: Any) -> bool:
    try:
        await model.check_health()
    except EngineError:
        return False
    return True
