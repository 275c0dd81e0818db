"""The keeper when things go wrong: the owner is told why, nothing stays behind, and the keeper ends."""

from __future__ import annotations

import threading
from queue import SimpleQueue
from types import SimpleNamespace
from typing import Any

import pytest

from grm_plugin.errors import ServiceError
from support.factories import make_config
from support.ray_cluster import free_port

ray = pytest.importorskip("ray")

from grm_plugin.serving.ray import deploying  # noqa: E402
from grm_plugin.serving.ray.keeper import About, Keeper  # noqa: E402
from grm_plugin.serving.ray.lease import Owner  # noqa: E402

OWN_HANDLE = object()
URL = "http://127.0.0.1:8790"

Killed = SimpleQueue[object]


class App:
    """Stands for Deployment: a start waits for `go_on`, and then fails unless `works`; taking it down always fails."""

    def __init__(self, *_: Any) -> None:
        self.works = False
        self.waits_for = ""
        self.go_on = threading.Event()
        self.given_up = threading.Event()
        self.deploying = True
        self.deploying_at_delete: list[bool] = []

    def deploy(self) -> tuple[str, tuple[str, ...]]:
        assert self.go_on.wait(20)
        self.deploying = False
        if self.works:
            return URL, ()
        raise ServiceError("the model does not load")

    def give_up(self) -> None:
        self.given_up.set()

    def delete(self, patience_s: float) -> None:
        self.deploying_at_delete.append(self.deploying)
        raise TimeoutError("Some of these applications weren't deleted after 60s")


@pytest.fixture
def lease(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Set when the owner of the service is gone."""
    over = threading.Event()

    def hold(_: object) -> None:
        over.wait()
        raise ray.exceptions.RayActorError

    monkeypatch.setattr(ray, "get", hold)
    return over


@pytest.fixture
def killed(monkeypatch: pytest.MonkeyPatch) -> Killed:
    killed: Killed = SimpleQueue()
    monkeypatch.setattr(ray, "kill", killed.put)
    monkeypatch.setattr(ray, "get_runtime_context", lambda: SimpleNamespace(current_actor=OWN_HANDLE))
    monkeypatch.setattr(deploying, "Deployment", App)
    return killed


HOLD = SimpleNamespace(hold=SimpleNamespace(remote=lambda: None))


@pytest.fixture
def keeper(lease: threading.Event, killed: Killed) -> Keeper:
    return Keeper(make_config(), HOLD)


@pytest.fixture
def shared(lease: threading.Event, killed: Killed) -> Keeper:
    return Keeper(make_config(service__lifetime="shared"), HOLD)


def app_of(keeper: Keeper) -> App:
    assert isinstance(keeper._deployment, App)
    return keeper._deployment


def test_the_reason_of_a_failed_start_is_told_even_if_it_cannot_be_taken_down(keeper: Keeper) -> None:
    app_of(keeper).go_on.set()
    assert keeper._started.result(20).error == "the model does not load"


def test_it_ends_with_its_owner_even_if_the_service_cannot_be_taken_down(
    keeper: Keeper, lease: threading.Event, killed: Killed
) -> None:
    app_of(keeper).go_on.set()
    keeper._started.result(20)
    lease.set()
    assert killed.get(timeout=20) is OWN_HANDLE


def test_a_start_without_an_owner_has_ended_before_it_is_taken_down(
    keeper: Keeper, lease: threading.Event, killed: Killed
) -> None:
    app = app_of(keeper)
    lease.set()
    assert app.given_up.wait(20)
    assert app.deploying_at_delete == []
    app.go_on.set()
    assert killed.get(timeout=20) is OWN_HANDLE
    assert app.deploying_at_delete == [False, False]


def test_a_service_of_a_job_ends_with_its_owner(keeper: Keeper, lease: threading.Event, killed: Killed) -> None:
    app = app_of(keeper)
    app.works = True
    app.go_on.set()
    assert keeper.started().url == URL
    lease.set()
    assert killed.get(timeout=20) is OWN_HANDLE
    assert app.deploying_at_delete == [False]


def test_a_shared_service_outlives_its_owner(shared: Keeper, lease: threading.Event, killed: Killed) -> None:
    app = app_of(shared)
    app.works = True
    app.go_on.set()
    assert shared.started().url == URL
    lease.set()
    shared._watch(HOLD)
    assert (app.given_up.is_set(), app.deploying_at_delete, killed.empty()) == (False, [], True)


def test_a_shared_service_that_is_not_ready_yet_ends_with_its_owner(
    shared: Keeper, lease: threading.Event, killed: Killed
) -> None:
    app = app_of(shared)
    app.works = True
    lease.set()
    assert app.given_up.wait(20)
    app.go_on.set()
    assert killed.get(timeout=20) is OWN_HANDLE
    assert app.deploying_at_delete == [False]


def test_a_start_that_was_given_up_starts_no_actor(monkeypatch: pytest.MonkeyPatch) -> None:
    app = deploying.Deployment(make_config(engine__replicas=1, service__port=free_port()))

    def wait_for_gpus() -> SimpleNamespace:
        app.give_up()  # the owner dies meanwhile
        return SimpleNamespace(total=0.0)

    def start(*_: object, **__: object) -> None:
        pytest.fail("started")

    monkeypatch.setattr(app._waits, "for_gpus", wait_for_gpus)
    monkeypatch.setattr(app, "_start", start)
    monkeypatch.setattr(deploying, "end_actors", lambda *_: False)
    with pytest.raises(ServiceError, match="the process that started the service is gone"):
        app.deploy()
    app.delete()


def test_it_tells_of_its_service_while_that_starts_and_when_its_owner_is_gone(
    lease: threading.Event, killed: Killed
) -> None:
    config = make_config(service__lifetime="shared", service__replicas=2, service__max_waiting=100, service__port=8790)
    keeper = Keeper(config, HOLD, None, Owner("login", 7))
    app = app_of(keeper)
    app.waits_for = "2 GPUs lack"
    assert keeper.about() == About(URL, "shared", 200, Owner("login", 7), False, True, "2 GPUs lack")
    app.waits_for, app.works = "", True
    app.go_on.set()
    assert keeper.started().url == URL
    lease.set()
    keeper._watch(HOLD)
    assert keeper.about() == About(URL, "shared", 200, Owner("login", 7), True, False, "")
