"""A start waits for GPUs that are about to come, and tells so. Ray's numbers are stubs here."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from grm_plugin.errors import ServiceError
from support.factories import make_config
from support.ray_cluster import wait_for

ray = pytest.importorskip("ray")

from grm_plugin.serving.ray import deploying, gpus, launch  # noqa: E402
from grm_plugin.serving.ray.deploying import Deployment  # noqa: E402
from grm_plugin.serving.ray.gpus import GPUs  # noqa: E402
from grm_plugin.serving.ray.keeper import Started  # noqa: E402

NONE, TWO = GPUs(2.0, (0.0,)), GPUs(2.0, (2.0,))
Start = Callable[..., Deployment]


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch) -> Start:
    """A deployment that sees these GPUs one after the other, the last of them from then on."""
    monkeypatch.setattr(deploying, "GPU_PATIENCE_S", 0.0)
    monkeypatch.setattr(deploying, "POLL_S", 0.001)
    monkeypatch.setattr(gpus, "is_cpu_build", lambda: False)

    def start(*seen: GPUs, grows: bool = False, timeout_s: float = 60.0) -> Deployment:
        left = list(seen)
        monkeypatch.setattr(deploying, "cluster_gpus", lambda: left.pop(0) if len(left) > 1 else left[0])
        monkeypatch.setattr(deploying, "cluster_grows", lambda: grows)
        return Deployment(
            make_config(engine__type="vllm", engine__model="a/b", service__gpu_timeout_s=timeout_s, engine__replicas=2)
        )

    return start


def test_gpus_that_become_free_are_waited_for(start: Start) -> None:
    deployment = start(NONE, NONE, NONE, TWO)
    assert deployment._wait_for_gpus() == TWO
    assert deployment.waits_for == ""


def test_gpus_that_stay_taken_end_the_start(start: Start) -> None:
    with pytest.raises(ServiceError, match=r"needs 2 GPU\(s\).*0 of 2 are free.*service\.gpu_timeout_s"):
        start(NONE, timeout_s=0.01)._wait_for_gpus()


def test_what_is_waited_for_is_known_meanwhile_and_a_start_can_be_given_up(start: Start) -> None:
    deployment = start(NONE)
    failed: list[Exception] = []

    def wait() -> None:
        try:
            deployment._wait_for_gpus()
        except ServiceError as error:
            failed.append(error)

    waiting = threading.Thread(target=wait)
    waiting.start()
    wait_for(lambda: bool(deployment.waits_for), 20.0, "a reason")
    assert "needs 2 GPU(s)" in deployment.waits_for
    deployment.give_up()
    waiting.join(20)
    assert "is gone" in str(failed[0])


def test_where_an_autoscaler_runs_the_replicas_are_started_so_that_it_adds_nodes(start: Start) -> None:
    deployment = start(NONE, grows=True)
    assert deployment._wait_for_gpus() == NONE
    assert "needs 2 GPU(s)" in deployment.waits_for


@pytest.mark.parametrize(
    ("types", "grows"),
    [({"node_16689caedb2b"}, False), (set(), False), ({"ray.head.default"}, True), ({"node_1", "gpu-group"}, True)],
)
def test_an_autoscaler_names_the_types_of_nodes(types: set[str], grows: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpus, "_node_types", lambda: types)
    assert gpus.cluster_grows() is grows


class Answer:
    """A method of an actor: each call gives the next of these answers."""

    def __init__(self, *answers: Any) -> None:
        self._answers: Iterator[Any] = iter(answers)

    def remote(self) -> Any:
        return next(self._answers)


def test_the_owner_is_told_once_what_a_start_waits_for(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    looks = iter([False, False, False, True])
    monkeypatch.setattr(ray, "wait", lambda asked, timeout: (asked if next(looks) else [], []))
    monkeypatch.setattr(ray, "get", lambda answer, timeout: answer)
    started = Started("http://127.0.0.1:8790")

    class Keeper:
        pass

    keeper: Any = Keeper()
    keeper.started, keeper.waits_for = Answer(started), Answer("needs 2", "needs 2", "")
    assert launch._started(keeper, 60.0) is started
    assert [record.message for record in caplog.records] == ["the service waits for GPUs: needs 2"]
