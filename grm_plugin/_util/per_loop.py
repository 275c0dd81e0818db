"""Things that event loops must not share, such as connections: one for each event loop, ended with it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class PerLoop(Generic[T]):
    """One thing per event loop, made when it is first asked for there. Threads may ask at the same time.

    Args:
        make: yields the thing once, without waiting for anything before, and ends it then. A generator, because
            asyncio ends those that are open when it ends a loop: nobody needs to close what has no end of its own.
    """

    def __init__(self, make: Callable[[], AsyncGenerator[T, None]]) -> None:
        self._make = make
        self._made: dict[asyncio.AbstractEventLoop, tuple[T, AsyncGenerator[T, None]]] = {}

    async def get(self) -> T:
        """That of the current event loop. Raises what `make` raises."""
        loop = asyncio.get_running_loop()
        if loop not in self._made:
            for ended in [other for other in list(self._made) if other.is_closed()]:
                if made := self._made.pop(ended, None):
                    await made[1].aclose()  # where a loop was closed without an end of its generators
            making = self._make()
            self._made[loop] = await anext(making), making
        return self._made[loop][0]

    async def aclose(self) -> None:
        """End that of the current event loop, if there is one; who asks later gets a new one."""
        made = self._made.pop(asyncio.get_running_loop(), None)
        if made:
            await made[1].aclose()
