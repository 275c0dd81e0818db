"""A Ray cluster that is gone is told at once: Ray's own attempt to reach it takes minutes."""

import socket
from typing import Any

import pytest

from grm_plugin.errors import ServiceError
from grm_plugin.serving.ray import launch
from grm_plugin.serving.ray.cluster_address import listens


@pytest.fixture
def dead() -> str:
    """An address that nothing listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{free.getsockname()[1]}"


@pytest.fixture(autouse=True)
def no_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    import ray

    def never(**_: Any) -> None:
        raise AssertionError("ray.init was called")

    monkeypatch.setattr(ray, "init", never)
    monkeypatch.setattr("ray._private.services.find_gcs_addresses", set)  # those that others run on this machine
    monkeypatch.delenv("RAY_ADDRESS", raising=False)


def test_an_address_of_the_environment(dead: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", dead)
    with pytest.raises(ServiceError, match=rf"the Ray cluster at {dead} does not answer .*run `ray stop`, or set"):
        launch.connect()


def test_an_address_left_over_from_a_killed_cluster(dead: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ray._private.services.find_bootstrap_address", lambda _: dead)
    with pytest.raises(ServiceError, match=rf"the Ray cluster at {dead} does not answer"):
        launch.connect("auto")
    assert launch.stop("nosuch") is False


def test_no_cluster_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ray._private.services.find_bootstrap_address", lambda _: None)
    with pytest.raises(ServiceError, match="no Ray cluster at 'auto'"):
        launch.connect("auto")
    assert launch.stop("nosuch") is False


def test_what_listens(dead: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as there:
        port = there.getsockname()[1]
        assert listens(f"127.0.0.1:{port}")
        assert listens(f"ray://localhost:{port}")
    assert not listens(dead)
    assert not listens(f"ray://{dead}")
    assert listens("local"), "no host:port: Ray decides"


def test_the_cluster_of_this_machine_is_left_for_ray_to_find(monkeypatch: pytest.MonkeyPatch) -> None:
    """Newer versions of Ray send their token to a cluster that they find themselves, and to no other."""
    asked: list[str] = []
    monkeypatch.setattr("ray.init", lambda address, **_: asked.append(address))
    with socket.create_server(("127.0.0.1", 0)) as there:
        found = f"127.0.0.1:{there.getsockname()[1]}"
        monkeypatch.setattr("ray._private.services.find_bootstrap_address", lambda _: found)
        launch.connect("auto")
    assert asked == ["auto"]
