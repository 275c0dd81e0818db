"""An event loop on which time passes at once: where everything waits, the clock jumps to the next timer."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class _Selector(selectors.DefaultSelector):
    """Tells what is ready now, and has the loop's clock jump over what it would have waited for."""

    jumped_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready and timeout is None:
            raise RuntimeError("everything waits, and for no timer")
        if not ready and timeout:
            self.jumped_s += timeout
        return ready


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._jumping = _Selector()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.jumped_s


def run_skipping(work: Coroutine[Any, Any, T]) -> tuple[T, float]:
    """What a coroutine returns, and the seconds of its loop's clock that it took: no time but that of its timers."""
    with asyncio.Runner(loop_factory=_Loop) as runner:
        found = runner.run(work)
        return found, runner.get_loop().time()
