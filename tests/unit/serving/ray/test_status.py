"""What is made of Ray's actor table and of what the actors of services answer. With a cluster: tests/e2e."""

from __future__ import annotations

from typing import Any

import pytest

from grm_plugin.serving.status import ReplicaStatus, ServiceStatus

pytest.importorskip("ray")

from ray.core.generated import gcs_pb2

from grm_plugin.serving.ray import status
from grm_plugin.serving.ray.actors import NAMESPACE
from grm_plugin.serving.ray.keeper import About
from grm_plugin.serving.ray.lease import Owner
from grm_plugin.serving.ray.replica_pool import PoolLoad
from grm_plugin.serving.ray.replicas import ReplicaLoad
from grm_plugin.serving.ray.service_actor import ServiceLoad

URL = "http://10.0.0.1:8790"
NODES = {"aa": "head", "bb": "gpu-1"}

Answers = dict[tuple[str, str], Any]


def row(name: str, state: str = "ALIVE", namespace: str = NAMESPACE, **rest: Any) -> Any:
    node = bytes.fromhex(rest.pop("node", "bb"))
    number = gcs_pb2.ActorTableData.ActorState.Value(state)
    return gcs_pb2.ActorTableData(name=name, state=number, ray_namespace=namespace, node_id=node, **rest)


ROWS = {
    "grm-keeper-grm": row("grm-keeper-grm", node="aa"),
    "grm:RewardService": row("grm:RewardService", node="aa", pid=10),
    "grm:RewardService:1": row("grm:RewardService:1", node="aa", pid=11),
    "grm:Engine:0": row("grm:Engine:0", pid=20),
    "grm:Engine:1": row("grm:Engine:1", pid=21, num_restarts=3),
    "grm:MetaRM:0": row("grm:MetaRM:0", pid=30),
}


def about(**changes: Any) -> About:
    known = {"lifetime": "job", "max_waiting": 200, "owner": Owner("login", 7), "owner_is_gone": False}
    return About(**{"url": URL, "starting": False, "waits_for": "", **known, **changes})


ANSWERS: Answers = {
    ("keeper", "about"): about(),
    ("RewardService", "load"): ServiceLoad(5, PoolLoad(64, {"Engine:0": 2, "Engine:1": 1}, 3)),
    ("RewardService", "problem"): "",
    ("RewardService:1", "load"): ServiceLoad(6, PoolLoad(64, {"Engine:0": 4, "Engine:1": 0}, 0)),
    ("RewardService:1", "problem"): "",
    ("Engine:0", "load"): ReplicaLoad(("0", "1"), 9, 0.25),
    ("Engine:1", "load"): ReplicaLoad(("2", "3"), 1, 0.0),
    ("MetaRM:0", "load"): ReplicaLoad(("4",), 2, None),
}


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> Any:
    """`services_on_ray` of these rows and these answers."""

    def services(rows: list[Any], answers: Answers) -> list[ServiceStatus]:
        monkeypatch.setattr(status, "actor_table", lambda: rows)
        monkeypatch.setattr(status, "_host_names", lambda: NODES)
        monkeypatch.setattr(status, "_ask", lambda *_: {("grm", *key): value for key, value in answers.items()})
        return status.services_on_ray(2.0)

    return services


def without(*missing: tuple[str, str]) -> Answers:
    return {key: value for key, value in ANSWERS.items() if key not in missing}


def test_a_whole_service(found: Any) -> None:
    others = [row("another:Engine:0", namespace="theirs"), row("grm:Engine:9", "DEAD"), row("lone", namespace="")]
    [service] = found([*ROWS.values(), *others], ANSWERS)
    assert service == ServiceStatus(
        "grm",
        URL,
        True,
        "",
        "on Ray",
        "head",
        "job",
        "process 7 on login",
        samples=11,
        max_samples=200,
        lists=7,
        lists_waiting=3,
        replicas=(
            ReplicaStatus("Engine:0", "ready", "gpu-1", 20, ("0", "1"), 0, 6, 128, 9, 0.25),
            ReplicaStatus("Engine:1", "ready", "gpu-1", 21, ("2", "3"), 3, 1, 128, 1, 0.0),
            ReplicaStatus("MetaRM:0", "ready", "gpu-1", 30, ("4",), 0, None, None, 2, None),
        ),
    )
    assert service.whole


@pytest.mark.parametrize(
    ("actor", "state"),
    [
        (row("grm:Engine:1", pid=21), "not answering"),
        (row("grm:Engine:1", "RESTARTING"), "restarting"),
        (row("grm:Engine:1", "PENDING_CREATION"), "starting"),
        (row("grm:Engine:1", "DEPENDENCIES_UNREADY"), "starting"),
    ],
    ids=["frozen", "restarting", "pending", "unready"],
)
def test_a_replica_that_says_nothing(found: Any, actor: Any, state: str) -> None:
    [service] = found([*(ROWS | {"grm:Engine:1": actor}).values()], without(("Engine:1", "load")))
    replica = service.replicas[1]
    assert (replica.state, replica.gpus, replica.requests) == (state, None, None)
    assert (service.ready, service.whole) == (True, False), "it judges with the other one"


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({("RewardService:1", "load"): None}, "RewardService:1 does not answer within 2 s"),
        ({("RewardService", "problem"): "the GRM is away"}, "the GRM is away"),
        (
            {("RewardService", "problem"): "same", ("RewardService:1", "problem"): "same"},
            "same",
        ),
        ({("RewardService", "problem"): None}, "the service answers, its GRM does not answer within 2 s"),
        ({("keeper", "about"): None}, "its keeper does not answer"),
        ({("keeper", "about"): about(starting=True)}, "it starts"),
        ({("keeper", "about"): about(starting=True, waits_for="2 GPUs lack.")}, "it starts. 2 GPUs lack"),
    ],
    ids=["one process", "a problem", "a problem of both", "no word of the GRM", "no keeper", "starting", "waiting"],
)
def test_why_a_service_is_not_ready(found: Any, changes: Answers, problem: str) -> None:
    answers = {key: value for key, value in (ANSWERS | changes).items() if value is not None}
    [service] = found([*ROWS.values()], answers)
    assert service.problem.startswith(problem)
    assert not service.ready


def test_what_one_process_says_is_not_taken_for_the_whole(found: Any) -> None:
    [service] = found([*ROWS.values()], without(("RewardService:1", "load")))
    assert (service.samples, service.lists, service.lists_waiting) == (None, None, None)
    assert {replica.lists for replica in service.replicas} == {None}


def test_a_service_that_has_only_a_keeper_yet(found: Any) -> None:
    [service] = found([ROWS["grm-keeper-grm"]], {("keeper", "about"): about(starting=True)})
    assert (service.url, service.node, service.replicas, service.problem) == (URL, "", (), "it starts")


def test_one_whose_keeper_has_died_is_told(found: Any) -> None:
    rows = [actor for name, actor in ROWS.items() if name != "grm-keeper-grm"]
    [service] = found(rows, without(("keeper", "about")))
    assert (service.name, service.url, service.lifetime, service.owner) == ("grm", "", "", "")
    assert (service.ready, service.samples) == (False, 11)


def test_an_owner_that_has_ended(found: Any) -> None:
    [service] = found([*ROWS.values()], ANSWERS | {("keeper", "about"): about(owner_is_gone=True)})
    assert service.owner == "process 7 on login (ended)"


def test_replicas_stand_in_the_order_of_their_numbers(found: Any) -> None:
    rows = [row(f"grm:Engine:{number}") for number in (10, 9, 2, 0)]
    [service] = found([*ROWS.values(), *rows[:3]], ANSWERS)
    names = [replica.name for replica in service.replicas]
    assert names == ["Engine:0", "Engine:1", "Engine:2", "Engine:9", "Engine:10", "MetaRM:0"]


def test_a_cluster_without_services(found: Any) -> None:
    assert found([], {}) == []
