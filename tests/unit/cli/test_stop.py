"""Where `grm-plugin stop` looks for a service, and what it says when there is none."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from grm_plugin.cli.app import app
from grm_plugin.errors import ServiceError
from grm_plugin.serving import pid_file
from grm_plugin.serving.ray import launch

CLUSTER = "10.0.0.1:6379"


class Places:
    """The services on the Ray cluster and without Ray on this machine; what was stopped."""

    def __init__(self) -> None:
        self.on_ray = {"grm"}
        self.here = {"grm"}
        self.stopped: list[str] = []

    def stop_on_ray(self, name: str) -> bool:
        return self._stop(name, self.on_ray, "cluster")

    def stop_here(self, name: str) -> bool:
        return self._stop(name, self.here, "here")

    def _stop(self, name: str, there: set[str], place: str) -> bool:
        if name not in there:
            return False
        there.remove(name)
        self.stopped.append(place)
        return True


@pytest.fixture
def places(monkeypatch: pytest.MonkeyPatch) -> Places:
    places = Places()
    monkeypatch.setattr(launch, "stop_on_ray", places.stop_on_ray)
    monkeypatch.setattr(pid_file, "stop", places.stop_here)
    monkeypatch.setattr(launch, "cluster_is_here", lambda: True, raising=False)
    return places


@pytest.mark.parametrize(("address", "order"), [(CLUSTER, ["cluster", "here"]), ("", ["here", "cluster"])])
def test_the_cluster_of_ray_address_comes_first(places: Places, address: str, order: list[str]) -> None:
    for stopped in (1, 2):
        said = CliRunner(env={"RAY_ADDRESS": address}).invoke(app, ["stop"])
        assert said.output == "grm stopped\n"
        assert places.stopped == order[:stopped]


@pytest.mark.parametrize(
    ("address", "looked"),
    [
        (CLUSTER, f"on the Ray cluster at {CLUSTER}, nor on this machine without Ray"),
        ("", "on this machine, with Ray or without; for one on another machine, set RAY_ADDRESS"),
    ],
)
def test_where_it_looked_is_told_when_there_is_none(places: Places, address: str, looked: str) -> None:
    said = CliRunner(env={"RAY_ADDRESS": address}).invoke(app, ["stop", "--name", "nosuch"])
    assert (said.exit_code, said.output) == (0, f"there is no service named nosuch {looked}\n")
    assert places.stopped == []


def test_a_machine_without_a_cluster_is_none_to_complain_about(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_cluster(_: str) -> bool:
        raise ServiceError("no Ray cluster at 'auto'")

    monkeypatch.setattr(launch, "stop_on_ray", no_cluster)
    monkeypatch.setattr(launch, "cluster_is_here", lambda: False, raising=False)
    assert launch.stop("nosuch") is False


def test_where_the_cluster_does_not_answer_nothing_is_stopped(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    """The service may be there: its namesake on this machine is left alone."""

    def dead(_: str) -> bool:
        raise ServiceError("the Ray cluster does not answer")

    monkeypatch.setattr(launch, "stop_on_ray", dead)
    monkeypatch.setenv("RAY_ADDRESS", CLUSTER)
    with pytest.raises(ServiceError, match="does not answer"):
        launch.stop("grm")
    assert places.stopped == []


def test_what_its_keeper_cannot_close_is_taken_off_serve(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without its keeper it would live on, and hold its GPUs."""
    ray = pytest.importorskip("ray")
    keeper = SimpleNamespace(close=SimpleNamespace(remote=lambda _: None))
    done: list[object] = []

    def fail(*_: object, **__: object) -> None:
        raise ray.exceptions.RayActorError

    monkeypatch.setattr(launch, "connect", lambda default: None)
    monkeypatch.setattr(launch, "_find_keeper", lambda _: keeper)
    monkeypatch.setattr(launch, "_stop_orphan", done.append)
    monkeypatch.setattr(ray, "get", fail)
    monkeypatch.setattr(ray, "kill", done.append)
    assert launch.stop_on_ray("grm") is True
    assert done == [keeper, "grm"]
