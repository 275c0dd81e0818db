"""`grm-plugin serve` of a service on Ray: what `--detach`, `service.lifetime` and RAY_ADDRESS make of its end."""

from __future__ import annotations

import re
from contextlib import nullcontext
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from grm_plugin.cli.app import app
from grm_plugin.config import Config
from grm_plugin.errors import ConfigError, ServiceError
from grm_plugin.serving.ray import launch
from grm_plugin.serving.ray.gpus import GPUs

ADDRESS = "127.0.0.1:6379"


class Ray:
    """A cluster, and what is done with the service on it, whose user presses Ctrl-C at once or whose keeper dies."""

    def __init__(self) -> None:
        self.steps: list[str] = []
        self.end: BaseException = KeyboardInterrupt()

    def start(self, config: Config) -> launch.ServiceHandle:
        self.steps.append("start")
        return launch.ServiceHandle(config.service.name, "http://127.0.0.1:8790")

    def wait(self) -> None:
        self.steps.append("wait")
        raise self.end

    def stop(self) -> None:
        self.steps.append("stop")


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch) -> Ray:
    ray = Ray()
    monkeypatch.delenv("GRM_CPU", raising=False)
    monkeypatch.setattr(launch, "connect", lambda: None)
    monkeypatch.setattr(launch, "start", ray.start)
    monkeypatch.setattr(launch.ServiceHandle, "wait", lambda handle: ray.wait())
    monkeypatch.setattr(launch.ServiceHandle, "stop", lambda handle: ray.stop())
    monkeypatch.setattr("grm_plugin.serving.ray.gpus.cluster_gpus", lambda: GPUs(8, (8,)))
    monkeypatch.setattr("signal.signal", lambda *_: None)
    return ray


def serve(folder: Path, address: str, lifetime: str, *options: str, replicas: str = ", replicas: 1") -> Result:
    config = folder / "grm.yaml"
    config.write_text(f"engine: {{type: fake{replicas}}}\nservice: {{lifetime: {lifetime}}}\n")
    return CliRunner(env={"RAY_ADDRESS": address}).invoke(app, ["serve", "--config", str(config), *options])


@pytest.mark.parametrize(
    ("address", "lifetime", "steps"),
    [
        ("", "job", ["start", "wait", "stop"]),
        ("", "shared", ["start", "wait", "stop"]),
        (ADDRESS, "job", ["start", "wait", "stop"]),
        (ADDRESS, "shared", ["start", "wait"]),
    ],
)
def test_only_a_shared_service_on_a_cluster_that_stays_outlives_ctrl_c(
    ray: Ray, tmp_path: Path, address: str, lifetime: str, steps: list[str]
) -> None:
    assert serve(tmp_path, address, lifetime).exit_code == 0
    assert ray.steps == steps


@pytest.mark.parametrize(
    ("address", "lifetime", "steps", "words"),
    [
        ("", "job", ["start", "wait", "stop"], "is stopped: start it again"),
        ("", "shared", ["start", "wait", "stop"], "is stopped: start it again"),
        (ADDRESS, "job", ["start", "wait", "stop"], "is stopped: start it again"),
        (ADDRESS, "shared", ["start", "wait"], "still answers at http://127.0.0.1:8790.* grm-plugin stop --name grm"),
    ],
)
def test_a_dead_keeper_is_told_and_leaves_only_a_shared_service(
    ray: Ray, tmp_path: Path, address: str, lifetime: str, steps: list[str], words: str
) -> None:
    ray.end = ServiceError("the keeper has died")
    said = serve(tmp_path, address, lifetime)
    assert isinstance(said.exception, ServiceError)
    assert re.search(f"the keeper has died.* {words}", str(said.exception))
    assert ray.steps == steps


@pytest.mark.parametrize(
    ("actors", "died"), [({"grm:Engine:0": object()}, True), ({}, False)], ids=["service", "nothing"]
)
def test_a_keeper_that_is_gone_has_died_where_the_service_is_still_there(
    monkeypatch: pytest.MonkeyPatch, actors: dict[str, object], died: bool
) -> None:
    found = iter([object(), None])
    monkeypatch.setattr(launch, "WATCH_PERIOD_S", 0.0)
    monkeypatch.setattr(launch, "_find_keeper", lambda name: next(found))
    monkeypatch.setattr(launch, "actors_of", lambda name: actors)
    with pytest.raises(ServiceError, match="the keeper of the service 'grm' has died") if died else nullcontext():
        launch.ServiceHandle("grm", "http://127.0.0.1:8790").wait()


def test_detach_returns_and_leaves_it_running(ray: Ray, tmp_path: Path) -> None:
    said = serve(tmp_path, ADDRESS, "shared", "--detach")
    assert said.exit_code == 0
    assert "GRM service at http://127.0.0.1:8790" in said.stdout
    assert ray.steps == ["start"]


@pytest.mark.parametrize(("address", "lifetime"), [("", "job"), ("", "shared"), (ADDRESS, "job")])
def test_what_would_end_with_the_command_is_not_detached(ray: Ray, tmp_path: Path, address: str, lifetime: str) -> None:
    said = serve(tmp_path, address, lifetime, "--detach")
    assert isinstance(said.exception, ConfigError)
    assert "run `ray start --head`, set RAY_ADDRESS to its address and add --grm.service.lifetime shared" in str(
        said.exception
    )
    assert ray.steps == []


def test_a_service_without_ray_is_not_detached(ray: Ray, tmp_path: Path) -> None:
    said = serve(tmp_path, ADDRESS, "shared", "--detach", replicas="")
    assert isinstance(said.exception, ConfigError)
    assert "--detach needs the service on Ray" in str(said.exception)


@pytest.mark.parametrize(("method", "n", "warned"), [("group", 1, True), ("rank", 1, True), ("rank", 4, False)])
def test_one_sample_per_prompt_is_told_where_samples_are_compared(
    ray: Ray, tmp_path: Path, method: str, n: int, warned: bool
) -> None:
    done = serve(tmp_path, "", "job", "--grm.normalize.method", method, "--grm.group.n", str(n))
    assert (f"warning: normalize.method {method} compares the responses to a prompt" in done.output) is warned
    assert f'--reward.remote_url "http://127.0.0.1:8790/get_reward?n={"N" if warned else n}"' in done.output
