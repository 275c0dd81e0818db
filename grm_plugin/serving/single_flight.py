"""Single flight: a repeated request starts no second work, but waits for the work of the first one and gets its result.

OpenRLHF repeats a request when its connection breaks, and nothing in the request says that it is a repetition. It also
sends equal requests for two siblings whose responses happen to be equal. The first caller tells the two apart: if it
has hung up, an equal request is a repetition; if it still waits, an equal request is a sibling. Requests with an id are
repetitions where the ids are equal.
"""

from __future__ import annotations

import asyncio
import hashlib
import marshal
from collections.abc import Callable, Coroutine, Hashable
from typing import Any, Generic, TypeVar

from grm_plugin._util.concurrency import take_error

T = TypeVar("T")

TAKEN_S = 30.0
"""A result that a caller has got is kept this long, because the reply may be lost on its way to the client. A client
repeats its request after at most 8 s."""


def digest(*request: Any) -> bytes:
    """A short key that is equal for equal requests, given as plain values."""
    # Takes a fiftieth of the time of JSON or repr, and lone surrogates. In format 2 equal values are equal bytes.
    return hashlib.sha256(marshal.dumps(request, 2)).digest()


class SingleFlight(Generic[T]):
    """Runs work in tasks of its own, so that the work outlives a caller that hangs up.

    Args:
        keep_s: seconds for which a result that no caller has got is kept after the last caller has hung up. A result
            that a caller has got is kept for at most `TAKEN_S` if its request has an id, and otherwise not at all.
    """

    def __init__(self, keep_s: float) -> None:
        self.keep_s = keep_s
        self.attached = 0
        """Repetitions so far: calls that waited for the work of an earlier one."""
        self._flights: dict[Hashable, list[_Flight[T]]] = {}

    async def get(self, key: Hashable, work: Callable[[], Coroutine[None, None, T]], identified: bool = False) -> T:
        """The result of `work()`, or of earlier work under the same key.

        Cancelling a caller does not cancel the work. Earlier work that failed is never used.

        Args:
            key: equal for equal requests.
            work: started if there is no earlier work to wait for.
            identified: whether the key holds the request's id. Without an id, only the work of a caller that has hung
                up (was cancelled) is used.
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
            if flight.cancelled_with is not None and flight.task.cancelled():
                self._forget(key, flight)
                raise flight.cancelled_with from None
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

    async def get_unshared(self, work: Callable[[], Coroutine[None, None, T]]) -> T:
        """The result of `work()`, which no other call can wait for and which is cancelled when its caller is."""
        key = object()
        try:
            return await self.get(key, work)
        except asyncio.CancelledError:
            for flight in list(self._flights.get(key, ())):
                flight.task.cancel()
                self._forget(key, flight)
            raise

    def cancel_all(self, error: Exception) -> None:
        """Cancel all work under way; the callers that wait for it get `error`."""
        for flight in [flight for flights in self._flights.values() for flight in flights]:
            if not flight.task.done():
                flight.cancelled_with = error
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
            flight.timer.cancel()  # the timer refers to the flight, and would keep its result in memory
        flights = self._flights.get(key, [])
        if flight in flights:
            flights.remove(flight)
        if not flights:
            self._flights.pop(key, None)


class _Flight(Generic[T]):
    """One piece of work, and how many callers wait for it."""

    def __init__(self, task: asyncio.Task[T], keep_s: float) -> None:
        self.task = task
        task.add_done_callback(take_error)  # a failure for which no caller waits any more
        self.keep_s = keep_s
        self.timer: asyncio.TimerHandle | None = None
        self.waiters = 0
        self.cancelled_with: Exception | None = None

    @property
    def failed(self) -> bool:
        return self.task.done() and (self.task.cancelled() or self.task.exception() is not None)
