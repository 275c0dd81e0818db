"""By when work must be done: one moment, set where a request comes in and handed down to all that wait for it."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Deadline:
    """A moment on this process's monotonic clock. `at` is infinite where there is no deadline."""

    at: float = math.inf

    @classmethod
    def after(cls, seconds: float | None) -> Deadline:
        """The moment `seconds` from now; no deadline for None."""
        return cls() if seconds is None else cls(time.monotonic() + seconds)

    @property
    def left_s(self) -> float | None:
        """Seconds until then, 0.0 when it is over; None where there is no deadline. What asyncio takes as a timeout."""
        return None if self.at == math.inf else max(0.0, self.at - time.monotonic())

    @property
    def over(self) -> bool:
        """Whether the moment has passed."""
        return time.monotonic() >= self.at

    def earlier(self, share: float) -> Deadline:
        """The moment at which `share` (0..1) of the time that is left now is still left."""
        return self if self.at == math.inf else Deadline(self.at - share * (self.left_s or 0.0))

    def timeout(self) -> asyncio.Timeout:
        """`async with deadline.timeout():` raises TimeoutError in the block when the time is up."""
        return asyncio.timeout(self.left_s)


NEVER = Deadline()
"""No deadline."""

_current: ContextVar[Deadline] = ContextVar("deadline", default=NEVER)


@contextmanager
def working_until(deadline: Deadline) -> Iterator[None]:
    """Within the block, and in tasks started in it, `current_deadline` is this one. It cancels nothing itself.

    For engines, whose protocol has no deadline: they decide by it whether another try is worth it.
    """
    token = _current.set(deadline)
    try:
        yield
    finally:
        _current.reset(token)


def current_deadline() -> Deadline:
    """The deadline of the work that the current task does."""
    return _current.get()
