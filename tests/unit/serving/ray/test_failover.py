"""Requests over several replicas: what fails, hangs or answers with garbage costs no vote."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from typing import Any

import pytest

from grm_plugin._util.deadline import Deadline, working_until
from grm_plugin.errors import EngineError, GRMError, GroupError, PromptError, PromptTooLong
from grm_plugin.serving.ray.failover import TRIES, Failover
from grm_plugin.serving.ray.replica_watch import (
    ENOUGH_ANSWERS,
    FAILURES,
    PATIENCE_S,
    STALLED_S,
    Attempt,
    ReplicaWatch,
)
from support.clock import Clock
from support.factories import until


class Replicas:
    """What each replica does with a request; `asked` is who got one."""

    def __init__(self, watch: ReplicaWatch, **behaviour: Callable[[], Any]) -> None:
        self._watch = watch
        self._behaviour = behaviour
        self.asked: list[str] = []
        self.cancelled: list[str] = []
        watch.set_replicas(behaviour)

    async def send(self, attempt: Attempt) -> Any:
        replica = self._watch.choose(8, attempt)
        assert replica is not None
        self.asked.append(replica)
        try:
            answer = self._behaviour[replica]()
            return await answer if asyncio.iscoroutine(answer) else answer
        except asyncio.CancelledError:
            self.cancelled.append(replica)
            raise


def accept(answer: Any) -> None:
    if answer != "good":
        raise EngineError(f"garbage: {answer}")


def good() -> str:
    return "good"


def fail() -> str:
    raise EngineError("died")


def cancel_itself() -> str:
    raise asyncio.CancelledError


async def hang() -> str:
    await asyncio.sleep(3600)
    return "late"


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("grm_plugin.serving.ray.failover.LOOK_S", 0.01)


@pytest.mark.parametrize(
    "bad", [fail, lambda: "bad", lambda: None, cancel_itself], ids=["died", "garbage", "nothing", "cancelled"]
)
async def test_a_bad_replica_costs_nothing(bad: Callable[[], Any]) -> None:
    watch = ReplicaWatch()
    replicas = Replicas(watch, a=bad, b=bad, c=good)
    failover = Failover(watch)
    for _ in range(20):
        assert await failover.call(replicas.send, accept) == "good"
    assert replicas.asked.count("a") <= FAILURES, "it was suspended"
    assert not watch.busy


async def test_tries_that_cancel_themselves_are_an_error_in_the_end() -> None:
    watch = ReplicaWatch()
    with pytest.raises(EngineError, match="cancelled the request by itself"):
        await Failover(watch).call(Replicas(watch, a=cancel_itself).send, accept)
    assert not watch.busy


async def test_a_try_that_is_left_behind_brings_no_text_into_a_log(
    quick: None, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock()
    watch = ReplicaWatch(clock)
    left = []

    async def quote() -> str:
        try:
            return await hang()
        except asyncio.CancelledError:
            left.append("a")
            raise ValueError("the secret prompt") from None

    replicas = Replicas(watch, a=quote)
    asking = asyncio.create_task(Failover(watch).call(replicas.send, accept))
    await until(lambda: replicas.asked == ["a"])
    replicas._behaviour["b"] = good
    clock.now += STALLED_S + 1
    watch.set_replicas(["a", "b"])
    assert await asking == "good"
    await until(lambda: left == ["a"])
    await asyncio.sleep(0)
    gc.collect()
    assert "secret" not in caplog.text


async def test_tries_are_bounded_and_the_last_error_is_told() -> None:
    watch = ReplicaWatch()
    replicas = Replicas(watch, a=fail, b=fail)
    with pytest.raises(EngineError, match="died"):
        await Failover(watch).call(replicas.send, accept)
    assert len(replicas.asked) == TRIES
    assert not watch.busy


async def test_near_the_deadline_nothing_is_tried_again() -> None:
    clock = Clock()
    watch = ReplicaWatch(clock)
    replicas = Replicas(watch, a=good, b=good)
    for _ in range(4):
        attempt = watch.begin()
        watch.choose(8, attempt)
        clock.now += 3
        watch.end(attempt, True)
    watch.ping_answered("a"), watch.ping_answered("b")
    replicas._behaviour |= {"a": fail, "b": fail}
    with working_until(Deadline.after(2.0)), pytest.raises(EngineError, match="died"):
        await Failover(watch).call(replicas.send, accept)
    assert len(replicas.asked) == 1, "an answer takes 3 s, and 2 s are left"


async def test_a_deadline_that_comes_near_after_a_retry_was_decided_on_does_not_lose_it() -> None:
    class Slowing(ReplicaWatch):
        """`usual_s` is 0 the first time it is read, and huge from then on."""

        asked = 0

        @property
        def usual_s(self) -> float:
            self.asked += 1
            return 0.0 if self.asked == 1 else 1e6

    watch = Slowing()
    replicas = Replicas(watch, a=fail, b=fail)
    with working_until(Deadline.after(60.0)), pytest.raises(EngineError, match="died"):
        await Failover(watch).call(replicas.send, accept)
    assert len(replicas.asked) == 2


async def test_a_prompt_that_is_too_long_is_no_replicas_fault() -> None:
    def refuse() -> str:
        raise PromptTooLong("too long")

    watch = ReplicaWatch()
    replicas = Replicas(watch, a=refuse, b=refuse)
    for _ in range(2 * FAILURES):
        with pytest.raises(PromptTooLong):
            await Failover(watch).call(replicas.send, accept)
    assert len(replicas.asked) == 2 * FAILURES
    assert all(replica.suspended_until == 0 for replica in watch._replicas.values())


async def test_a_prompt_that_is_too_long_says_nothing_about_the_time_of_others() -> None:
    def refuse() -> str:
        raise PromptTooLong("too long")

    watch = ReplicaWatch()
    replicas = Replicas(watch, a=refuse)
    for _ in range(ENOUGH_ANSWERS):
        with pytest.raises(PromptTooLong):
            await Failover(watch).call(replicas.send, accept)
    assert watch.patience_s == PATIENCE_S


@pytest.mark.parametrize("kind", [PromptError, GroupError])
async def test_texts_that_no_replica_can_show_are_no_replicas_fault(kind: type[GRMError]) -> None:
    def refuse() -> str:
        raise kind("wrong for all")

    watch = ReplicaWatch()
    replicas = Replicas(watch, a=refuse, b=refuse)
    for _ in range(2 * FAILURES):
        with pytest.raises(kind):
            await Failover(watch).call(replicas.send, accept)
    assert len(replicas.asked) == 2 * FAILURES
    assert all(replica.suspended_until == 0 for replica in watch._replicas.values())


async def test_a_frozen_replicas_work_is_done_by_another(quick: None) -> None:
    clock = Clock()
    watch = ReplicaWatch(clock)
    replicas = Replicas(watch, a=hang)
    asking = asyncio.create_task(Failover(watch).call(replicas.send, accept))
    await asyncio.sleep(0.05)
    replicas._behaviour["b"] = good
    clock.now += STALLED_S + 1
    watch.set_replicas(["a", "b"])
    assert await asking == "good"
    assert replicas.asked == ["a", "b"]
    assert not watch.busy
    await asyncio.sleep(0)
    assert replicas.cancelled == ["a"]


async def test_who_seemed_frozen_and_answers_first_wins(quick: None) -> None:
    clock = Clock()
    watch = ReplicaWatch(clock)
    awake = asyncio.Event()

    async def nap() -> str:
        await awake.wait()
        return "good"

    replicas = Replicas(watch, a=nap)
    asking = asyncio.create_task(Failover(watch).call(replicas.send, accept))
    await asyncio.sleep(0.05)
    replicas._behaviour["b"] = hang
    clock.now += STALLED_S + 1
    watch.set_replicas(["a", "b"])
    await until(lambda: replicas.asked == ["a", "b"])
    awake.set()
    assert await asking == "good"
    await asyncio.sleep(0)
    assert replicas.cancelled == ["b"]


async def test_a_caller_that_leaves_takes_its_tries_along() -> None:
    watch = ReplicaWatch()
    replicas = Replicas(watch, a=hang)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await Failover(watch).call(replicas.send, accept)
    await asyncio.sleep(0)
    assert replicas.cancelled == ["a"]
    assert not watch.busy
