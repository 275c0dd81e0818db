"""Whether a job waits for its service: for one that is coming, and not for an address that is wrong."""

import resource
from typing import Any

import pytest
from fastapi import FastAPI

from grm_plugin.client.readiness import read_ready
from grm_plugin.config import FailureConfig
from grm_plugin.errors import EngineError, ServiceError
from grm_plugin.integrations.environment_variables import HookSettings, connect
from grm_plugin.serving.http.app import create_app
from grm_plugin.serving.service import RewardService
from grm_plugin.types import Completion, Prompt, Sampling
from grm_plugin.wire.ready import FEWEST_GROUPS_IN_FLIGHT, MOST_GROUPS_IN_FLIGHT, Ready
from support.factories import Scripted, by_number, completions, live, make_config, scoring


def loading(probes: int) -> Scripted:
    """A GRM that cannot answer so many times, and can then."""

    def reply(prompt: Prompt, sampling: Sampling) -> list[Completion]:
        if len(generator.calls) <= probes:
            raise EngineError("the model is loading")
        return completions([5])

    generator = Scripted(reply)
    return generator


@pytest.mark.parametrize("patience_s", [0.0, 60.0])
def test_a_service_that_is_on_its_way_is_waited_for(patience_s: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("grm_plugin.client.readiness.LOOK_S", 0.01)
    generator = loading(2)
    service = RewardService(make_config(), generator)
    with live(create_app(lambda: service)) as url:
        if patience_s:
            assert read_ready(url, patience_s=patience_s).deadline_s == service.config.failure.deadline_s
            assert len(generator.calls) == 3
        else:
            with pytest.raises(ServiceError, match="cannot judge: the model is loading"):
                read_ready(url)
            assert len(generator.calls) == 1


@pytest.mark.parametrize(
    ("reply", "deadline_s"), [({}, 170.0), ({"deadline_s": 1200.0}, 1200.0), ({"deadline_s": 60.0, "new": [1]}, 60.0)]
)
def test_a_service_of_another_version_is_understood(reply: dict[str, Any], deadline_s: float) -> None:
    app = FastAPI()
    app.get("/ready")(lambda: {"ready": True, "problem": "", **reply})
    with live(app) as url:
        ready = read_ready(url)
    assert ready.failure() == FailureConfig(deadline_s=deadline_s)
    assert ready.groups_in_flight() == FEWEST_GROUPS_IN_FLIGHT


@pytest.mark.parametrize(
    ("engine", "n", "groups"),
    [
        ({"type": "fake"}, None, 64),
        ({"type": "fake", "replicas": 4}, None, 256),
        ({"type": "fake", "replicas": 4}, 16, 128),
        ({"type": "fake", "replicas": 4}, 64, FEWEST_GROUPS_IN_FLIGHT),
        ({"type": "fake", "replicas": 4}, 1, 2048),
        ({"type": "openai", "model": "m", "base_url": "http://a:1/v1", "max_concurrency": 512}, 8, 128),
    ],
)
def test_a_hook_keeps_all_replicas_busy_and_leaves_the_rest_of_its_queue_at_home(
    engine: dict[str, Any], n: int | None, groups: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("resource.getrlimit", lambda _: (65_536, 65_536))
    assert Ready.of(make_config(engine=engine), "").groups_in_flight(n) == groups


def test_processes_share_the_groups_of_a_job() -> None:
    ready = Ready.of(make_config(engine={"type": "fake", "replicas": 4}), "")
    assert [ready.groups_in_flight(8, processes) for processes in (1, 3, 8)] == [256, 86, 32]


@pytest.mark.parametrize(
    ("files", "groups"),
    [(100_000, MOST_GROUPS_IN_FLIGHT), (resource.RLIM_INFINITY, MOST_GROUPS_IN_FLIGHT), (1024, 512)],
)
def test_a_process_opens_no_more_connections_than_it_may(
    files: int, groups: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("resource.getrlimit", lambda _: (files, files))
    pool = Ready(ready=True, problem="", max_concurrency=256 * 64)
    assert pool.groups_in_flight(1) == groups


def test_an_older_service_leaves_the_hooks_own_neutral_reward() -> None:
    own = make_config(normalize__method="group").failure
    assert own.constant == 0
    assert Ready(ready=True, problem="").failure(own).constant == 0


def test_the_groups_in_flight_of_a_hook_are_sized_for_its_service() -> None:
    service = RewardService(make_config(engine__max_concurrency=1024), scoring(by_number))
    with live(create_app(lambda: service)) as url:
        assert connect(HookSettings(url, None, None, actors=1)).client.result().max_concurrency == 256
        assert connect(HookSettings(url, None, 16, actors=1)).client.result().max_concurrency == 128
        assert connect(HookSettings(url, None, 16, actors=4)).client.result().max_concurrency == 32
        assert connect(HookSettings(url, None, 16)).client.result().max_concurrency == FEWEST_GROUPS_IN_FLIGHT
        assert connect(HookSettings(url, None, 2)).client.result().max_concurrency == 128, "an eighth"
