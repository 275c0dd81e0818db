"""A model that hangs is told from one that is slow, and from one without requests."""

from __future__ import annotations

import asyncio

import pytest

from grm_plugin.errors import EngineError
from grm_plugin.serving.ray.engine_watchdog import Watchdog

HUNG_S = 100.0


class Model:
    """A model under watch, and its clock, which tests move on."""

    def __init__(self) -> None:
        self.now = 0.0
        self.watchdog = Watchdog(HUNG_S, lambda: self.now)

    async def start(self) -> tuple[asyncio.Task[str], asyncio.Future[str]]:
        answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        task = asyncio.create_task(self.watchdog.watch(answer))
        await asyncio.sleep(0)
        return task, answer

    @property
    def hangs(self) -> bool:
        try:
            self.watchdog.check()
        except EngineError:
            return True
        return False


async def leave(task: asyncio.Task[str]) -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_idle_is_well() -> None:
    model = Model()
    model.now = 10 * HUNG_S
    assert not model.hangs


async def test_work_without_an_answer_is_a_hang() -> None:
    model = Model()
    await model.start()
    model.now = HUNG_S
    assert not model.hangs
    model.now += 1
    assert model.hangs


@pytest.mark.parametrize("ends", ["answers", "fails", "cancels itself"])
async def test_any_answer_among_the_requests_makes_it_well(ends: str) -> None:
    model = Model()
    _, (task, answer) = await model.start(), await model.start()
    model.now = HUNG_S + 1
    if ends == "fails":
        answer.set_exception(EngineError("too long"))
        with pytest.raises(EngineError):
            await task
    elif ends == "cancels itself":
        answer.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    else:
        answer.set_result("critique")
        assert await task == "critique"
    assert not model.hangs
    model.now += HUNG_S + 1
    assert model.hangs, "the other one is still there"


async def test_callers_that_leave_do_not_hide_a_hang_and_idle_time_is_none() -> None:
    model = Model()
    for _ in range(3):
        task, _ = await model.start()
        model.now += 0.3 * HUNG_S
        await leave(task)
        model.now += 10 * HUNG_S
        assert not model.hangs
    await model.start()
    model.now += 0.2 * HUNG_S
    assert model.hangs
