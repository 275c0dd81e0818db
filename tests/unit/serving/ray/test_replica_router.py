"""Serve's router for the GRM and the meta RM: who waits for a replica, and who does not. On Serve: tests/chaos."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("ray")

from ray.serve._private.common import DeploymentHandleSource, DeploymentID, ReplicaID

from grm_plugin.serving.ray import replica_router
from grm_plugin.serving.ray.replica_router import LiveReplicasRouter
from grm_plugin.serving.ray.replica_watch import Attempt, ReplicaWatch
from support.factories import until

ENGINE = DeploymentID("Engine", "grm")
HOLD_S = 0.03


class Replica:
    """A replica with one place, as Serve shows it to its routers."""

    max_ongoing_requests = 1

    def __init__(self, id: str) -> None:
        self.replica_id = ReplicaID(id, ENGINE)
        self.pings = 0
        self.cancels_itself = False

    async def get_queue_len(self, deadline_s: float) -> int:
        if deadline_s == replica_router.PING_TIMEOUT_S:  # Serve's own router asks too
            self.pings += 1
            if self.pings == 1 and self.cancels_itself:
                raise asyncio.CancelledError
        return 0


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> ReplicaWatch:
    watch = ReplicaWatch()
    monkeypatch.setattr(replica_router, "watch_of", lambda *_: watch)
    return watch


@pytest.fixture
async def router(watch: ReplicaWatch) -> Any:
    """A router with the replicas a and b."""
    router = LiveReplicasRouter(ENGINE, DeploymentHandleSource.REPLICA)
    router.initialize_state()
    router.update_replicas([Replica("a"), Replica("b")])
    yield router
    router.update_replicas([])


async def choose(router: Any, attempt: Attempt) -> str:
    async with asyncio.timeout(20):
        replica = await router._choose_replica_for_request(SimpleNamespace(kwargs={"attempt": attempt.id}))
    return str(replica.replica_id.unique_id)


async def test_a_retry_that_waits_for_another_replica_holds_up_nobody(router: Any, watch: ReplicaWatch) -> None:
    in_a = watch.begin({"b"})
    assert await choose(router, in_a) == "a"
    retry = asyncio.create_task(choose(router, watch.begin({"b"})))
    await asyncio.sleep(0)
    assert await choose(router, watch.begin()) == "b"
    assert not retry.done(), "b has failed it"
    watch.end(in_a, True)
    assert await retry == "a"


async def test_a_retry_gets_its_place_where_others_want_it_too(router: Any, watch: ReplicaWatch) -> None:
    router.update_replicas([Replica("a")])

    async def work(attempt: Attempt) -> None:
        await choose(router, attempt)
        await asyncio.sleep(HOLD_S)
        watch.end(attempt, True)

    async with asyncio.TaskGroup() as tasks:
        others = [tasks.create_task(work(watch.begin())) for _ in range(40)]
        await tasks.create_task(work(watch.begin({"b"})))
        assert any(not other.done() for other in others)
        for other in others:
            other.cancel()


async def test_those_that_may_go_anywhere_are_served_as_they_came(router: Any, watch: ReplicaWatch) -> None:
    served: list[int] = []

    async def work(number: int, attempt: Attempt) -> None:
        await choose(router, attempt)
        served.append(number)
        watch.end(attempt, True)

    async with asyncio.TaskGroup() as tasks:
        for number in range(20):
            tasks.create_task(work(number, watch.begin()))
    assert served == list(range(20))


async def test_a_ping_that_is_cancelled_at_the_other_end_is_not_the_last_one(
    router: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replica_router, "PING_PERIOD_S", 0.01)
    replica = Replica("c")
    replica.cancels_itself = True
    router.update_replicas([replica])
    await until(lambda: replica.pings > 1)
