"""What `grm-plugin status` prints, and its exit status; what is found is scripted."""

from __future__ import annotations

import json
from concurrent.futures import Future
from typing import Any

import pytest
from typer.testing import CliRunner

from grm_plugin.cli import status
from grm_plugin.cli.app import app
from grm_plugin.errors import ServiceError
from grm_plugin.serving.ray import launch
from grm_plugin.serving.status import ReplicaStatus, ServiceStatus

CLUSTER = "the Ray cluster at 10.0.0.1:6379"
HERE = ServiceStatus(
    "here", "http://127.0.0.1:8790", True, "", "in one process", "vm", owner="process 4", samples=3, max_samples=32_768
)
REPLICAS = (
    ReplicaStatus("Engine:0", "ready", "gpu-1", 20, ("0", "1"), 0, 6, 256, 9, 0.254),
    ReplicaStatus("Engine:1", "restarting", restarts=3),
    ReplicaStatus("MetaRM:0", "ready", "gpu-1", 30, (), 0, None, None, 2, None),
)
ON_RAY = ServiceStatus(
    "grm",
    "http://10.0.0.1:8790",
    True,
    "",
    "on Ray",
    "head",
    "job",
    "process 7 on login",
    1_100,
    32_768,
    6,
    2,
    REPLICAS,
)


class Found:
    """The services without Ray, and what the cluster answers; None where there is no cluster."""

    def __init__(self) -> None:
        self.here: list[ServiceStatus] = []
        self.on_ray: Future[list[ServiceStatus]] | None = None
        self.timeouts: set[float] = set()

    def without_ray(self, token: Any, timeout_s: float) -> list[ServiceStatus]:
        self.timeouts.add(timeout_s)
        return list(self.here)

    def ask_cluster(self, timeout_s: float) -> tuple[str, Future[list[ServiceStatus]] | None]:
        self.timeouts.add(timeout_s)
        return (CLUSTER, self.on_ray) if self.on_ray else ("", None)

    def answer(self, *services: ServiceStatus) -> None:
        self.on_ray = Future()
        self.on_ray.set_result([*services])


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> Found:
    found = Found()
    monkeypatch.delenv("GRM_TOKEN", raising=False)
    monkeypatch.setattr(status, "services_without_ray", found.without_ray)
    monkeypatch.setattr(status, "_ask_cluster", found.ask_cluster)
    return found


def run(*arguments: str) -> tuple[int, str, str]:
    said = CliRunner().invoke(app, ["status", *arguments])
    return said.exit_code, said.stdout, said.stderr


def test_a_service_without_ray(found: Found) -> None:
    found.here = [HERE]
    assert run() == (
        0,
        "here: ready at http://127.0.0.1:8790 (in one process on vm, process 4)\n"
        "  samples waiting: 3 of at most 32,768\n",
        "",
    )


def test_a_service_on_ray_with_its_replicas(found: Found) -> None:
    found.answer(ON_RAY)
    code, shown, _ = run()
    assert code == 1, "a replica is restarting"
    assert shown == (
        "grm: ready at http://10.0.0.1:8790 (on Ray on head, lifetime job, started by process 7 on login)\n"
        "  samples waiting: 1,100 of at most 32,768; lists: 6 with replicas, 2 waiting for one\n"
        "  replica   state       node   GPUs  lists  requests  KV cache  restarts  process\n"
        "  Engine:0  ready       gpu-1  0,1   6      9/256     25%       0         20\n"
        "  Engine:1  restarting  ?      ?                                3         ?\n"
        "  MetaRM:0  ready       gpu-1  none         2                   0         30\n"
    )


def test_both_are_shown_and_one_that_is_not_ready_fails(found: Found) -> None:
    found.here = [HERE]
    found.answer(ServiceStatus("grm", "", False, "its keeper does not answer", "on Ray"))
    code, shown, _ = run()
    assert code == 1
    assert shown.splitlines()[3:] == ["grm: not ready (on Ray)", "  its keeper does not answer"]


@pytest.mark.parametrize("on_ray", [False, True], ids=["no cluster", "an empty cluster"])
def test_where_it_looked_is_told_when_there_is_none(found: Found, on_ray: bool) -> None:
    if on_ray:
        found.answer()
    where = f"{CLUSTER}, nor without Ray on this machine" if on_ray else "this machine, with Ray or without"
    code, shown, _ = run()
    assert code == 1
    assert shown.startswith(f"no service runs on {where}")


def test_json_has_all_of_it(found: Found) -> None:
    found.here = [HERE]
    found.answer(ON_RAY)
    code, shown, _ = run("--json")
    said = json.loads(shown)
    assert (code, said["problem"]) == (1, "")
    assert [service["name"] for service in said["services"]] == ["here", "grm"]
    assert said["services"][1]["replicas"][0]["gpus"] == ["0", "1"]
    assert said["services"][1]["replicas"][0]["kv_cache"] == 0.254


def test_a_cluster_that_is_frozen_is_not_waited_for_for_ever(found: Found, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(status, "CONNECT_S", 0.1)
    found.here = [HERE]
    found.on_ray = Future()
    code, shown, said = run("--timeout", "0.2")
    assert (code, shown.splitlines()[0].split()[0]) == (1, "here:")
    assert said == f"{CLUSTER} does not answer within 0.3 s\n"
    assert found.timeouts == {0.2}


@pytest.mark.parametrize(
    ("error", "told"),
    [(ServiceError("no Ray cluster"), "no Ray cluster"), (RuntimeError("gone"), "cannot be asked: RuntimeError: gone")],
    ids=["known", "of Ray"],
)
def test_a_cluster_that_cannot_be_asked(found: Found, error: Exception, told: str) -> None:
    found.on_ray = Future()
    found.on_ray.set_exception(error)
    code, shown, said = run()
    assert (code, shown) == (1, "no service without Ray runs on this machine\n")
    assert told in said
    assert told in json.loads(run("--json")[1])["problem"]


def test_a_dead_address_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray")
    monkeypatch.setattr(status, "services_without_ray", lambda *_: [])
    monkeypatch.setattr(launch, "listens", lambda _: False)
    said = CliRunner(env={"RAY_ADDRESS": "10.0.0.1:6379"}).invoke(app, ["status"])
    assert said.exit_code == 1
    assert "the Ray cluster at 10.0.0.1:6379 does not answer" in said.stderr
