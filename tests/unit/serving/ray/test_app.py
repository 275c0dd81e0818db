"""What the Ray Serve application decides before it runs; tests/e2e and tests/chaos run it."""

from __future__ import annotations

import asyncio
import os
from typing import Any

import pytest

from support.factories import make_config

ray = pytest.importorskip("ray")

from grm_plugin.config import FakeConfig, FakeMetaRMConfig  # noqa: E402
from grm_plugin.errors import EngineError  # noqa: E402
from grm_plugin.serving.ray import app as ray_app  # noqa: E402
from grm_plugin.serving.ray.app import EngineReplica, MetaRMReplica, build_app  # noqa: E402
from grm_plugin.serving.ray.engine_watchdog import Watchdog  # noqa: E402
from grm_plugin.types import Prompt, Sampling  # noqa: E402


@pytest.mark.parametrize(
    ("overrides", "hung_after_s"),
    [
        ({"failure__deadline_s": 20, "group__wait_s": 1}, 20),
        ({}, 170),
        ({"failure__deadline_s": 1200, "sampling__max_tokens": 512}, 170),
        ({"failure__deadline_s": 1200, "sampling__max_tokens": 2000}, 400),
        ({"failure__deadline_s": 1200, "sampling__max_tokens": 32_768}, 1200),
    ],
)
def test_a_hang_is_noticed_long_before_a_long_deadline(
    monkeypatch: pytest.MonkeyPatch, overrides: dict[str, Any], hung_after_s: float
) -> None:
    config = make_config(engine__replicas=2, meta_rm={"type": "fake", "replicas": 1}, **overrides)
    given = {}

    def deployment(replica: type, name: str, model: Any, cluster_gpus: float, hung_after_s: float) -> None:
        given[name] = hung_after_s

    monkeypatch.setattr(ray_app, "_deployment", deployment)
    build_app(config, 0)
    assert given == {"Engine": hung_after_s, "MetaRM": hung_after_s}


@pytest.mark.parametrize(
    ("assigned", "seen"), [([2, 3], "2,3"), (["GPU-4f1e"], "GPU-4f1e"), ([], "as before")], ids=["ids", "uuid", "none"]
)
@pytest.mark.parametrize(
    ("replica", "model"), [(EngineReplica, FakeConfig()), (MetaRMReplica, FakeMetaRMConfig())], ids=["grm", "meta-rm"]
)
async def test_a_replica_sees_its_own_gpus_before_its_model_starts(
    monkeypatch: pytest.MonkeyPatch, replica: Any, model: Any, assigned: list[Any], seen: str
) -> None:
    """Ray sets the variable itself, unless RAY_EXPERIMENTAL_NOSET_CUDA_VISIBLE_DEVICES is set."""
    at_the_start = []

    def build(_: Any) -> None:
        at_the_start.append(os.environ["CUDA_VISIBLE_DEVICES"])

    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "as before")
    monkeypatch.setattr(ray, "get_gpu_ids", lambda: assigned)
    monkeypatch.setattr(ray_app, "guard_children", lambda _: None)
    monkeypatch.setattr(ray_app, "build_generator", build)
    monkeypatch.setattr(ray_app, "build_meta_rm", build)
    await replica.__init__(object.__new__(replica), model, 170.0)
    assert at_the_start == [seen]


async def test_a_model_that_cancels_itself_is_an_error_of_the_replica() -> None:
    """Or Ray would tell the caller that it was cancelled, and no replica would be asked in its place."""

    class Model:
        async def generate(self, *_: Any) -> Any:
            raise asyncio.CancelledError

        async def check_health(self) -> None:
            pass

    replica = object.__new__(EngineReplica)
    replica._model, replica._watchdog = Model(), Watchdog(170.0)
    with pytest.raises(EngineError, match="the model cancelled the request by itself"):
        await replica.generate(Prompt((), (0,)), Sampling(1, 0.5, 1.0, 64))
