"""Has many callers share one look at the models: who has no token must not be able to keep them busy by asking."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

KEEP_S = 2.0
"""An answer is told again for so long. A look at idle models costs them a critique of one token."""


class SharedLook:
    """Asks whether the models answer, once for all who ask at the same time or within `KEEP_S` of the answer.

    Args:
        problem: see `RewardService.problem`.
    """

    def __init__(self, problem: Callable[[], Awaitable[str]], clock: Callable[[], float] = time.monotonic) -> None:
        self._problem = problem
        self._clock = clock
        self._look: asyncio.Task[str] | None = None
        self._answered_at = 0.0

    async def problem(self) -> str:
        """Why a model does not answer, as it was at most `KEEP_S` ago; empty if all do."""
        if self._look is None or (self._look.done() and self._clock() - self._answered_at > KEEP_S):
            self._look = asyncio.create_task(self._ask())
        return await asyncio.shield(self._look)  # one who hangs up does not take the answer from the others

    async def _ask(self) -> str:
        try:
            return await self._problem()
        finally:
            self._answered_at = self._clock()
