import asyncio
import gc
import weakref
from collections.abc import Coroutine

import pytest

from grm_plugin.errors import EngineError
from grm_plugin.serving.single_flight import SingleFlight
from support.factories import until


class Work:
    """Counts its runs; each ends with its number once `gate` opens."""

    def __init__(self, error: Exception | None = None) -> None:
        self.runs = 0
        self.gate = asyncio.Event()
        self.error = error

    def __call__(self) -> Coroutine[None, None, int]:
        self.runs += 1
        return self._run(self.runs)

    async def _run(self, number: int) -> int:
        await self.gate.wait()
        if self.error:
            raise self.error
        return number


async def start(coroutine: Coroutine[None, None, int]) -> asyncio.Task[int]:
    task = asyncio.create_task(coroutine)
    await asyncio.sleep(0)
    return task


async def drop(task: asyncio.Task[int]) -> None:
    """The caller hangs up."""
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_equal_work_with_waiting_callers_is_siblings_work() -> None:
    flights, work = SingleFlight[int](keep_s=9), Work()
    callers = [await start(flights.get("key", work)) for _ in range(3)]
    work.gate.set()
    assert await asyncio.gather(*callers) == [1, 2, 3]
    assert flights.attached == 0
    assert not flights._flights


async def test_abandoned_work_runs_on_and_is_joined() -> None:
    flights, work = SingleFlight[int](keep_s=9), Work()
    await drop(await start(flights.get("key", work)))
    retry = await start(flights.get("key", work))
    work.gate.set()
    assert await retry == 1
    assert (work.runs, flights.attached) == (1, 1)
    assert not flights._flights


async def test_abandoned_work_that_ended_meanwhile_is_joined() -> None:
    flights, work = SingleFlight[int](keep_s=9), Work()
    await drop(await start(flights.get("key", work)))
    work.gate.set()
    await asyncio.sleep(0.01)
    assert await flights.get("key", work) == 1
    assert await flights.get("key", work) == 2, "an answer is given once: this is a new sample that happens to be equal"
    assert not flights._flights


async def test_a_retry_joins_the_abandoned_work_and_leaves_the_siblings_alone() -> None:
    flights, work = SingleFlight[int](keep_s=9), Work()
    first, second = [await start(flights.get("key", work)) for _ in range(2)]
    await drop(first)
    retry, third = [await start(flights.get("key", work)) for _ in range(2)]
    work.gate.set()
    assert [await retry, await second, await third] == [1, 2, 3]
    assert flights.attached == 1
    assert not flights._flights


async def test_work_can_be_abandoned_and_joined_again_and_again() -> None:
    flights, work = SingleFlight[int](keep_s=9), Work()
    for _ in range(4):
        await drop(await start(flights.get("key", work)))
    work.gate.set()
    assert await flights.get("key", work) == 1
    assert (work.runs, flights.attached) == (1, 4)
    assert not flights._flights


async def test_other_keys_are_other_work() -> None:
    flights, work = SingleFlight[int](keep_s=9), Work()
    await drop(await start(flights.get("one", work)))
    work.gate.set()
    assert await flights.get("other", work) == 2


async def test_identified_requests_join_while_it_runs_and_later() -> None:
    flights, work = SingleFlight[int](keep_s=0.1), Work()
    callers = [await start(flights.get("id", work, identified=True)) for _ in range(3)]
    work.gate.set()
    assert await asyncio.gather(*callers) == [1, 1, 1]
    assert await flights.get("id", work, identified=True) == 1
    await until(lambda: not flights._flights)
    assert await flights.get("id", work, identified=True) == 2, "forgotten after keep_s"
    assert flights.attached == 3


async def test_a_result_that_was_taken_is_kept_for_a_lost_reply_and_no_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("grm_plugin.serving.single_flight.TAKEN_S", 0.1, raising=False)
    flights, work = SingleFlight[int](keep_s=1200), Work()
    callers = [await start(flights.get("id", work, identified=True)) for _ in range(2)]
    work.gate.set()
    assert await asyncio.gather(*callers) == [1, 1]
    assert await flights.get("id", work, identified=True) == 1, "its reply was lost"
    await until(lambda: not flights._flights, 10)


async def test_a_taken_result_stays_taken_when_another_caller_hangs_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("grm_plugin.serving.single_flight.TAKEN_S", 0.1, raising=False)
    flights, work = SingleFlight[int](keep_s=1200), Work()
    await drop(await start(flights.get("id", work, identified=True)))
    first, second = [await start(flights.get("id", work, identified=True)) for _ in range(2)]
    work.gate.set()
    assert await first == 1
    second.cancel()
    await asyncio.wait([second])
    await until(lambda: not flights._flights, 10)


async def test_a_result_that_nobody_took_keeps_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("grm_plugin.serving.single_flight.TAKEN_S", 0.0, raising=False)
    flights, work = SingleFlight[int](keep_s=1200), Work()
    await drop(await start(flights.get("id", work, identified=True)))
    work.gate.set()
    await asyncio.sleep(0.1)
    assert await flights.get("id", work, identified=True) == 1


class Result:
    """Stands for a reply with its critiques."""


async def _result() -> Result:
    await asyncio.sleep(0.01)
    return Result()


async def test_a_forgotten_result_is_out_of_memory() -> None:
    """The timer that the caller who hung up has left does not keep the result."""
    flights = SingleFlight[Result](keep_s=1200)
    first = asyncio.create_task(flights.get("key", _result))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.wait([first])
    del first
    taken = weakref.ref(await flights.get("key", _result))
    assert (flights.attached, flights._flights) == (1, {})
    await asyncio.sleep(0)  # the event loop drops its references
    gc.collect()
    assert taken() is None


@pytest.mark.parametrize("identified", [False, True])
async def test_abandoned_work_is_forgotten_in_time(identified: bool) -> None:
    flights, work = SingleFlight[int](keep_s=0.02), Work()
    await drop(await start(flights.get("key", work, identified)))
    work.gate.set()
    await until(lambda: not flights._flights)


@pytest.mark.parametrize("identified", [False, True])
async def test_a_failure_reaches_every_waiting_caller_and_is_not_kept(identified: bool) -> None:
    flights, work = SingleFlight[int](keep_s=9), Work(EngineError("gone"))
    callers = [await start(flights.get("key", work, identified)) for _ in range(2)]
    work.gate.set()
    for caller in callers:
        with pytest.raises(EngineError, match="gone"):
            await caller
    assert not flights._flights
    work.error = None
    assert await flights.get("key", work, identified) == work.runs


@pytest.mark.parametrize("identified", [False, True])
async def test_a_failure_that_nobody_saw_is_no_answer_to_a_retry(identified: bool) -> None:
    flights, work = SingleFlight[int](keep_s=0.05), Work(EngineError("gone"))
    await drop(await start(flights.get("key", work, identified)))
    work.gate.set()
    await asyncio.sleep(0.01)
    work.error = None
    assert await flights.get("key", work, identified) == 2
    await until(lambda: not flights._flights)
