"""Calls to replicas: who waits for one and who does not, and what errors of Ray become. On a cluster: tests/chaos."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import pytest_asyncio

pytest.importorskip("ray")

from ray.exceptions import ActorDiedError, ActorUnavailableError, RayTaskError, TaskCancelledError

from grm_plugin import __version__
from grm_plugin.errors import EngineError, GRMError, GroupError, PromptError, PromptTooLong
from grm_plugin.serving.ray import replica_pool
from grm_plugin.serving.ray.remote_meta_rm import RemoteMetaRM
from grm_plugin.serving.ray.replica_pool import PoolLoad, ReplicaPool
from grm_plugin.types import Conversation, Message
from support.factories import until

RATED: list[Conversation] = [(Message("user", "Name three colours."), Message("assistant", "Scores: 5"))]
HOLD_S = 0.03


class Actor:
    """An actor's handle: `rate` gives the outcomes in order, the last one for ever; `ping` what a test says."""

    def __init__(self, *outcomes: Any) -> None:
        self.outcomes = list(outcomes)
        self.calls: list[asyncio.Task[Any]] = []
        self.pings = 0
        self.ping_says: Any = __version__

    def __getattr__(self, name: str) -> Any:
        class Method:
            remote = staticmethod(self._ping if name == "ping" else self._rate)

        return Method

    def _ping(self) -> asyncio.Task[Any]:
        self.pings += 1
        return asyncio.create_task(_give(self.ping_says))

    def _rate(self, *_: Any) -> asyncio.Task[Any]:
        outcome = self.outcomes.pop(0) if len(self.outcomes) > 1 else self.outcomes[0]
        self.calls.append(asyncio.create_task(_give(outcome)))
        return self.calls[-1]


async def _give(outcome: Any) -> Any:
    if isinstance(outcome, BaseException):
        raise outcome
    if callable(outcome):
        return await outcome()
    return outcome


Pools = Callable[..., ReplicaPool]


@pytest_asyncio.fixture
async def pools(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Pools]:
    """Makes pools, which send no pings after the test."""
    made: list[ReplicaPool] = []
    monkeypatch.setattr(replica_pool, "cancel", lambda call: call.cancel())

    def make(*actors: Actor, places: int = 8) -> ReplicaPool:
        made.append(ReplicaPool({f"r{number}": actor for number, actor in enumerate(actors)}, places))
        return made[-1]

    yield make
    for pool in made:
        pool.close()


def raised(cause: Exception) -> RayTaskError:
    return RayTaskError("rate", "a remote traceback", cause)


def accept(answer: Any) -> None:
    pass


@pytest.mark.parametrize(
    "error",
    [
        ActorDiedError(),
        ActorUnavailableError("restarting", None),
        raised(RuntimeError("CUDA error")),
        raised(EngineError("vLLM failed")),
        raised(TaskCancelledError()),
        asyncio.CancelledError(),
        [float("nan")],
        [],
        None,
    ],
    ids=repr,
)
async def test_what_another_replica_can_do_is_done_by_it(error: Any, pools: Pools) -> None:
    actors = Actor(error), Actor([1.5])
    meta_rm = RemoteMetaRM(pools(*actors))
    for _ in range(32):  # among equals a replica is chosen at random
        assert await meta_rm.rate(RATED) == [1.5]
    assert actors[0].calls


@pytest.mark.parametrize("kind", [PromptTooLong, PromptError, GroupError])
async def test_what_is_wrong_for_every_replica_stays_what_it_is(kind: type[GRMError], pools: Pools) -> None:
    actor = Actor(raised(kind("99 of 64 tokens")))
    with pytest.raises(kind, match="99 of 64 tokens") as error:
        await RemoteMetaRM(pools(actor)).rate(RATED)
    assert "remote traceback" not in str(error.value)
    assert len(actor.calls) == 1


async def test_garbage_everywhere_is_said(pools: Pools) -> None:
    with pytest.raises(EngineError, match="NaN"):
        await RemoteMetaRM(pools(Actor([float("nan")]))).rate(RATED)


async def test_a_caller_that_leaves_cancels_the_remote_call(pools: Pools) -> None:
    actor = Actor(lambda: asyncio.sleep(3600))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await RemoteMetaRM(pools(actor)).rate(RATED)
    await until(lambda: [call.cancelled() for call in actor.calls] == [True])


async def test_a_dead_replica_gets_nothing_until_it_answers_a_ping(
    pools: Pools, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replica_pool, "PING_PERIOD_S", 0.01)
    dead, other = Actor(ActorDiedError()), Actor([1.5])
    dead.ping_says = ActorUnavailableError("restarting", None)
    pool = pools(dead, other)
    await until(lambda: pool.states() == {"RUNNING": 1, "DOWN": 1})
    for _ in range(5):
        assert await RemoteMetaRM(pool).rate(RATED) == [1.5]
    assert not dead.calls
    dead.ping_says = __version__
    await until(lambda: pool.states() == {"RUNNING": 2, "DOWN": 0})


async def test_a_replica_of_another_version_gets_nothing_and_is_named(
    pools: Pools, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("grm_plugin.serving.ray.replica_watch.STALLED_S", 0.05)
    monkeypatch.setattr(replica_pool, "PING_PERIOD_S", 0.01)
    old, other = Actor([9.0]), Actor([1.5])
    old.ping_says = "0.0.1"
    pool = pools(old, other)
    await until(lambda: pool.states() == {"RUNNING": 1, "DOWN": 1})
    assert await RemoteMetaRM(pool).rate(RATED) == [1.5]
    assert f"replica r0 runs grm_plugin 0.0.1 and gets no work: install {__version__}" in caplog.text


@pytest.mark.parametrize("answer", [TaskCancelledError(), RuntimeError("odd")], ids=repr)
async def test_a_ping_that_fails_is_not_the_last_one(
    answer: Exception, pools: Pools, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replica_pool, "PING_PERIOD_S", 0.01)
    actor = Actor([1.5])
    actor.ping_says = answer
    pools(actor)
    await until(lambda: actor.pings > 2)


class Held(Actor):
    """Answers `rate` when a test says so."""

    def __init__(self) -> None:
        super().__init__(self._answer)
        self.go_on = asyncio.Event()

    async def _answer(self) -> list[float]:
        await self.go_on.wait()
        return [1.5]


async def test_a_retry_that_waits_for_another_replica_holds_up_nobody(pools: Pools) -> None:
    a, b = Held(), Held()
    pool = pools(a, b, places=1)
    in_a = asyncio.create_task(pool.call("rate", tuple, accept))
    await until(lambda: bool(a.calls or b.calls))
    taken, free = (a, b) if a.calls else (b, a)
    avoids_the_free_one = pool.watch.begin({"r0" if free is a else "r1"})
    retry = asyncio.create_task(pool._place(avoids_the_free_one))
    await asyncio.sleep(0.01)
    third = asyncio.create_task(pool.call("rate", tuple, accept))
    await until(lambda: bool(free.calls))
    assert not retry.done()
    taken.go_on.set()
    await asyncio.wait_for(retry, 20)
    assert avoids_the_free_one.replica == ("r0" if taken is a else "r1")
    free.go_on.set()
    await asyncio.gather(in_a, third)


async def test_those_that_may_go_anywhere_are_served_as_they_came(pools: Pools) -> None:
    served: list[int] = []

    def work(number: int) -> Callable[[], tuple[Any, ...]]:
        def sent() -> tuple[Any, ...]:
            served.append(number)
            return ()

        return sent

    pool = pools(Actor([1.5]), Actor([1.5]), places=1)
    async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        for number in range(20):
            tasks.create_task(pool.call("rate", work(number), accept))
    assert served == list(range(20))


async def test_a_place_that_becomes_free_is_taken_at_once(pools: Pools, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replica_pool, "FULL_PAUSE_S", 3600.0)
    pool = pools(Actor([1.5]), places=1)
    async with asyncio.timeout(20):
        assert await asyncio.gather(*(RemoteMetaRM(pool).rate(RATED) for _ in range(50))) == [[1.5]] * 50


async def test_it_tells_what_the_replicas_have_and_what_waits_for_them(pools: Pools) -> None:
    pool = pools(*(Actor(lambda: asyncio.sleep(3600)) for _ in range(2)), places=2)
    assert pool.load() == PoolLoad(2, {"r0": 0, "r1": 0}, 0)
    calls = [asyncio.create_task(pool.call("rate", tuple, accept)) for _ in range(7)]
    await until(lambda: pool.load() == PoolLoad(2, {"r0": 2, "r1": 2}, 3))
    for call in calls:
        call.cancel()
    await until(lambda: pool.load() == PoolLoad(2, {"r0": 0, "r1": 0}, 0))
