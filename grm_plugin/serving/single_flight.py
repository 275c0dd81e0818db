"""Single flight: a repeated request attaches to the work that is already running and gets the same answer.

OpenRLHF repeats a request when its connection breaks, with nothing in it that says so, and sends equal requests for two
siblings that happen to be equal. The difference is the first caller: if it is gone the request is a repetition, if it
still waits it is a sibling. Requests with an id say so themselves.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from typing import Generic, TypeVar

T = TypeVar("T")

TAKEN_S = 30.0
"""A result that was taken, but whose reply may be lost, is kept so long: a client pauses at most 8 s between tries."""


class SingleFlight(Generic[T]):
    """Runs work apart from its callers.

    A result that nobody took is kept for `keep_s` seconds after its last caller left. One that was taken is kept for
    at most `TAKEN_S` where its request has an id, and else not at all.
    """

    def __init__(self, keep_s: float) -> None:
        self.keep_s = keep_s
        self.attached = 0
        self._flights: dict[Hashable, list[_Flight[T]]] = {}

    async def get(self, key: Hashable, work: Callable[[], Coroutine[None, None, T]], identified: bool = False) -> T:
        """The result of `work()`, or of earlier work under the same key.

        Without `identified` only abandoned work (its caller was cancelled) is joined; work that failed never is.
        Cancelling a caller never cancels the work.
        """
        flight = self._joinable(key, identified)
        if flight is None:
            flight = _Flight(asyncio.create_task(work()), self.keep_s)
            self._flights.setdefault(key, []).append(flight)
        else:
            self.attached += 1
        flight.waiters += 1
        try:
            result = await asyncio.shield(flight.task)
        except asyncio.CancelledError:
            if flight.handed_back is not None and flight.task.cancelled():
                self._forget(key, flight)
                raise flight.handed_back from None
            flight.waiters -= 1
            self._forget_later(key, flight)
            raise
        except Exception:
            self._forget(key, flight)
            raise
        if identified:
            flight.keep_s = min(self.keep_s, TAKEN_S)
            self._forget_later(key, flight)
        else:
            self._forget(key, flight)
        return result

    async def alone(self, work: Callable[[], Coroutine[None, None, T]]) -> T:
        """The result of `work()`, which nobody can join and which is cancelled with its caller."""
        key = object()
        try:
            return await self.get(key, work)
        except asyncio.CancelledError:
            for flight in list(self._flights.get(key, ())):
                flight.task.cancel()
                self._forget(key, flight)
            raise

    def hand_back(self, error: Exception) -> None:
        """Cancel all work under way; its callers get `error`."""
        for flight in [flight for flights in self._flights.values() for flight in flights]:
            if not flight.task.done():
                flight.handed_back = error
                flight.task.cancel()

    def _joinable(self, key: Hashable, identified: bool) -> _Flight[T] | None:
        flights = self._flights.get(key, ())
        return next((flight for flight in flights if not flight.failed and (identified or flight.waiters == 0)), None)

    def _forget_later(self, key: Hashable, flight: _Flight[T]) -> None:
        if flight.timer:
            flight.timer.cancel()
        flight.timer = asyncio.get_running_loop().call_later(flight.keep_s, self._forget, key, flight)

    def _forget(self, key: Hashable, flight: _Flight[T]) -> None:
        if flight.timer:
            flight.timer.cancel()  # or it would hold the result until its time
        flights = self._flights.get(key, [])
        if flight in flights:
            flights.remove(flight)
        if not flights:
            self._flights.pop(key, None)
        if flight.task.done() and not flight.task.cancelled():
            flight.task.exception()  # marks a failure that nobody waited for as seen


class _Flight(Generic[T]):
    def __init__(self, task: asyncio.Task[T], keep_s: float) -> None:
        self.task = task
        self.keep_s = keep_s
        self.timer: asyncio.TimerHandle | None = None
        self.waiters = 0
        self.handed_back: Exception | None = None

    @property
    def failed(self) -> bool:
        return self.task.done() and (self.task.cancelled() or self.task.exception() is not None)
