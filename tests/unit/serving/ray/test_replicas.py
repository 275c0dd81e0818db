"""The replicas of models, without a cluster; tests/e2e and tests/chaos run them on one."""

from __future__ import annotations

import asyncio
import os
import time
from types import SimpleNamespace
from typing import Any

import pytest

from support.factories import make_config, until

ray = pytest.importorskip("ray")

from grm_plugin.errors import EngineError  # noqa: E402
from grm_plugin.judging.prompts import PromptBuilder  # noqa: E402
from grm_plugin.serving.ray import own_process, replicas  # noqa: E402
from grm_plugin.serving.ray.own_process import starting  # noqa: E402
from grm_plugin.serving.ray.replicas import (  # noqa: E402
    FAILED_CHECKS,
    EngineReplica,
    MetaRMReplica,
    ReplicaLoad,
    hung_after_s,
    requests_per_replica,
)
from grm_plugin.types import Prompt, Sampling  # noqa: E402


@pytest.mark.parametrize(
    ("overrides", "hung_s"),
    [
        ({"failure__deadline_s": 20, "group__wait_s": 1}, 20),
        ({}, 170),
        ({"failure__deadline_s": 1200, "sampling__max_tokens": 512}, 170),
        ({"failure__deadline_s": 1200, "sampling__max_tokens": 2000}, 400),
        ({"failure__deadline_s": 1200, "sampling__max_tokens": 32_768}, 1200),
    ],
)
def test_a_hang_is_noticed_long_before_a_long_deadline(overrides: dict[str, Any], hung_s: float) -> None:
    assert hung_after_s(make_config(**overrides)) == hung_s


@pytest.mark.parametrize(
    ("overrides", "requests"),
    [
        ({}, 256),
        ({"engine__max_concurrency": 1}, 1),
        ({"service__replicas": 2}, 128),
        ({"service__replicas": 3}, 86),
        ({"engine__max_concurrency": 9, "service__replicas": 100}, 1),
    ],
)
def test_processes_of_the_service_share_the_requests_of_a_replica(overrides: dict[str, Any], requests: int) -> None:
    assert requests_per_replica(make_config(**overrides)) == requests


@pytest.mark.parametrize(
    ("assigned", "seen"), [([2, 3], "2,3"), (["GPU-4f1e"], "GPU-4f1e"), ([], "as before")], ids=["ids", "uuid", "none"]
)
@pytest.mark.parametrize(
    ("replica", "arguments"),
    [
        (EngineReplica, ("Engine:0", make_config(), PromptBuilder(), {})),
        (
            MetaRMReplica,
            (
                "MetaRM:0",
                make_config(meta_rm={"type": "fake", "replicas": 1}),
            ),
        ),
    ],
    ids=["grm", "meta-rm"],
)
async def test_a_replica_sees_its_own_gpus_and_is_guarded_before_its_model_starts(
    monkeypatch: pytest.MonkeyPatch, replica: Any, arguments: Any, assigned: list[Any], seen: str
) -> None:
    """Ray sets the variable itself, unless RAY_EXPERIMENTAL_NOSET_CUDA_VISIBLE_DEVICES is set."""
    at_the_start = []

    def build(_: Any) -> None:
        at_the_start.append(os.environ["CUDA_VISIBLE_DEVICES"])
        assert guarded, "the processes that it starts would outlive it"

    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "as before")
    monkeypatch.setattr(ray, "get_gpu_ids", lambda: assigned)
    guarded: list[bool] = []
    monkeypatch.setattr(replicas, "guard_this_process", lambda: guarded.append(True))
    monkeypatch.setattr(replicas, "build_generator", build)
    monkeypatch.setattr(replicas, "build_meta_rm", build)
    started = replica(*arguments)
    started._health.cancel()
    assert at_the_start == [seen]


class Ended(BaseException):
    """Stands for the end of the process."""


@pytest.fixture
def ends(monkeypatch: pytest.MonkeyPatch) -> None:
    def end(status: int) -> None:
        raise Ended

    monkeypatch.setattr(os, "_exit", end)


class Model:
    """A GRM that fails as a test says, and is well or not."""

    def __init__(self, error: BaseException, well: bool = True) -> None:
        self.error = error
        self.well = well
        self.checks = 0

    async def generate(self, *_: Any) -> Any:
        raise self.error

    async def check_health(self) -> None:
        self.checks += 1
        if not self.well:
            raise EngineError("its process is gone")


def engine_replica(monkeypatch: pytest.MonkeyPatch, model: Any) -> Any:
    monkeypatch.setattr(replicas, "guard_this_process", lambda: None)
    monkeypatch.setattr(replicas, "build_generator", lambda _: model)
    monkeypatch.setattr(ray, "get_gpu_ids", list)
    return EngineReplica("Engine:0", make_config(), PromptBuilder(), {})


async def test_a_model_that_cancels_itself_is_an_error_of_the_replica(monkeypatch: pytest.MonkeyPatch) -> None:
    """Or Ray would tell the caller that it was cancelled, and no replica would be asked in its place."""
    replica = engine_replica(monkeypatch, Model(asyncio.CancelledError()))
    with pytest.raises(EngineError, match="the model cancelled the request by itself"):
        await replica.generate(Prompt((), (0,)), Sampling(1, 0.5, 1.0, 64))
    replica._health.cancel()


async def test_a_replica_ends_with_a_model_that_is_gone(monkeypatch: pytest.MonkeyPatch, ends: None) -> None:
    replica = engine_replica(monkeypatch, Model(EngineError("no answer"), well=False))
    with pytest.raises(Ended):
        await replica.generate(Prompt((), (0,)), Sampling(1, 0.5, 1.0, 64))
    replica._health.cancel()


async def test_a_replica_ends_after_some_failed_checks_in_a_row(monkeypatch: pytest.MonkeyPatch, ends: None) -> None:
    monkeypatch.setattr(replicas, "HEALTH_PERIOD_S", 0.001)
    model = Model(EngineError("no answer"), well=False)
    with pytest.raises(Ended):
        await engine_replica(monkeypatch, model)._health
    assert model.checks == FAILED_CHECKS


@pytest.mark.parametrize("again", [False, True])
def test_an_error_ends_the_first_start_and_is_tried_again_at_later_ones(
    monkeypatch: pytest.MonkeyPatch, ends: None, again: bool
) -> None:
    context = SimpleNamespace(was_current_actor_reconstructed=again)
    monkeypatch.setattr(ray, "get_runtime_context", lambda: context)
    monkeypatch.setattr(own_process, "RESTART_PAUSE_S", 0.0)
    with pytest.raises(Ended if again else EngineError), starting():
        raise EngineError("the GPU is still taken")


async def test_a_loop_that_is_stuck_is_noticed_once_it_has_turned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own_process, "LOOP_S", 0.2)
    monkeypatch.setattr(own_process, "TURN_S", 0.01)
    turns = own_process._turns_of(asyncio.get_running_loop())
    time.sleep(0.3)  # noqa: ASYNC251 - as a model that loads
    assert turns()
    await asyncio.sleep(0.02)
    assert turns()
    time.sleep(0.3)  # noqa: ASYNC251
    assert not turns()
    await asyncio.sleep(0.05)
    assert turns()


@pytest.mark.parametrize(("by_the_user", "left"), [(True, "7"), (False, None)])
def test_a_number_of_threads_that_ray_has_set_is_no_wish_of_the_user(
    by_the_user: bool, left: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replicas, "was_set_at_start", lambda name: by_the_user)
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    replicas.forget_rays_threads()
    assert os.environ.get("OMP_NUM_THREADS") == left


class Waiting:
    """A GRM that answers when it is told to, and says how full its KV cache is."""

    kv_cache_use = 0.5

    def __init__(self) -> None:
        self.go_on = asyncio.Event()

    async def generate(self, *_: Any) -> Any:
        await self.go_on.wait()
        return []


async def test_a_replica_tells_its_gpus_and_what_its_model_has(monkeypatch: pytest.MonkeyPatch) -> None:
    model = Waiting()
    replica = engine_replica(monkeypatch, model)
    monkeypatch.setattr(ray, "get_gpu_ids", lambda: [2, 3])
    assert await replica.load() == ReplicaLoad(("2", "3"), 0, 0.5)
    under_way = asyncio.create_task(replica.generate(Prompt((), (0,)), Sampling(1, 0.5, 1.0, 64)))
    await until(lambda: replica._watchdog.under_way == 1)
    assert (await replica.load()).requests == 1
    model.go_on.set()
    await under_way
    assert (await replica.load()).requests == 0
    replica._health.cancel()
