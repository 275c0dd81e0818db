"""A start waits for what may come, tells so, and ends where it never will. Ray's numbers are stubs here."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from grm_plugin._util.deadline import Deadline
from grm_plugin.errors import EngineError, EngineRefusal, ServiceError
from grm_plugin.serving.http.app import create_app
from grm_plugin.serving.service import RewardService
from grm_plugin.types import Completion, Prompt, Sampling
from support.factories import Scripted, live, make_config
from support.ray_cluster import wait_for

ray = pytest.importorskip("ray")

from grm_plugin.serving.ray import gpus, launch, start_waits  # noqa: E402
from grm_plugin.serving.ray.gpus import GPUs  # noqa: E402
from grm_plugin.serving.ray.keeper import Started  # noqa: E402
from grm_plugin.serving.ray.start_waits import StartWaits  # noqa: E402

NONE, TWO = GPUs(2.0, (0.0,)), GPUs(2.0, (2.0,))
Start = Callable[..., StartWaits]


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch) -> Start:
    """The waits of a start that sees these GPUs one after the other, the last of them from then on."""
    monkeypatch.setattr(start_waits, "GPU_PATIENCE_S", 0.0)
    monkeypatch.setattr(start_waits, "POLL_S", 0.001)
    monkeypatch.setattr(gpus, "is_cpu_build", lambda: False)

    def start(*seen: GPUs, grows: bool = False, timeout_s: float = 60.0) -> StartWaits:
        left = list(seen)
        monkeypatch.setattr(start_waits, "cluster_gpus", lambda: left.pop(0) if len(left) > 1 else left[0])
        monkeypatch.setattr(start_waits, "cluster_grows", lambda: grows)
        config = make_config(
            engine__type="vllm", engine__model="a/b", service__gpu_timeout_s=timeout_s, engine__replicas=2
        )
        return StartWaits(config, threading.Event())

    return start


def test_gpus_that_become_free_are_waited_for(start: Start) -> None:
    waits = start(NONE, NONE, NONE, TWO)
    assert waits.for_gpus() == TWO
    assert waits.waits_for == ""


def test_gpus_that_stay_taken_end_the_start(start: Start) -> None:
    with pytest.raises(ServiceError, match=r"needs 2 GPU\(s\).*0 of 2 are free.*service\.gpu_timeout_s"):
        start(NONE, timeout_s=0.01).for_gpus()


def test_what_is_waited_for_is_known_meanwhile_and_a_start_can_be_given_up(start: Start) -> None:
    waits = start(NONE)
    failed: list[Exception] = []

    def wait() -> None:
        try:
            waits.for_gpus()
        except ServiceError as error:
            failed.append(error)

    waiting = threading.Thread(target=wait)
    waiting.start()
    wait_for(lambda: bool(waits.waits_for), 20.0, "a reason")
    assert "needs 2 GPU(s)" in waits.waits_for
    waits._given_up.set()
    waiting.join(20)
    assert "is gone" in str(failed[0])


def test_a_cluster_that_shrinks_while_replicas_start_ends_the_start(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A node with GPUs has gone: its replica would wait for others until `service.ready_timeout_s`."""
    waits = start(GPUs(1.0, (1.0,), per_node=(1.0,)), timeout_s=0.01)
    monkeypatch.setattr(start_waits, "gpus_per_node", lambda: (1.0,))
    with pytest.raises(ServiceError, match=r"has lost GPUs while the service started.*needs 2 GPU"):
        waits._check_room(waits._check_room(Deadline.after(0.0)))


def test_a_cluster_with_room_or_an_autoscaler_is_waited_for(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(start_waits, "gpus_per_node", lambda: (1.0, 1.0))
    assert not start(TWO)._check_room(Deadline.after(0.0)).over
    monkeypatch.setattr(start_waits, "gpus_per_node", lambda: (1.0,))
    assert not start(TWO, grows=True)._check_room(Deadline.after(0.0)).over


def test_where_an_autoscaler_runs_the_replicas_are_started_so_that_it_adds_nodes(start: Start) -> None:
    waits = start(NONE, grows=True)
    assert waits.for_gpus() == NONE
    assert "needs 2 GPU(s)" in waits.waits_for


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


@pytest.mark.parametrize(
    ("error", "ended_by"),
    [
        (EngineRefusal("Error code: 401; check the key"), "the service cannot start.*check the key"),
        (EngineError("overloaded"), "not ready after service.ready_timeout_s"),
    ],
    ids=["refused for good", "may pass"],
)
def test_a_server_that_refuses_for_good_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch, error: EngineError, ended_by: str
) -> None:
    def refuse(prompt: Prompt, sampling: Sampling) -> list[Completion]:
        raise error

    monkeypatch.setattr(start_waits, "REFUSED_S", 0.0)
    service = RewardService(make_config(), Scripted(refuse))
    with live(create_app(lambda: service)) as url, pytest.raises(ServiceError, match=ended_by):
        StartWaits(make_config(), threading.Event()).until_ready(url, None, Deadline.after(2.0))
