"""OpenRLHF's function hook, apart from a service: what its calls share."""

from __future__ import annotations

import asyncio
import resource
from concurrent.futures import Future
from contextlib import nullcontext

import pytest

from grm_plugin.client import Client
from grm_plugin.config import FailureConfig
from grm_plugin.errors import ConfigError
from grm_plugin.integrations.environment_variables import Connection
from grm_plugin.integrations.openrlhf import reward_func
from grm_plugin.serving.http.app import create_app
from grm_plugin.serving.service import RewardService
from grm_plugin.wire.schemas import WireGroup
from support.factories import by_number, live, make_config, scoring


async def test_a_call_that_is_cancelled_while_the_service_starts_costs_no_other_call(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    starting: Future[Client] = Future()
    monkeypatch.setattr(reward_func, "_service", lambda: (Connection(starting, FailureConfig()), 1))
    sample = WireGroup(prompt="How many?", responses=["10"])
    gone, other = (asyncio.create_task(reward_func._reward(sample)) for _ in range(2))
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.sleep(0)
    service = RewardService(make_config(), scoring(by_number))
    with live(create_app(lambda: service)) as url:
        async with Client(url) as client:
            starting.set_result(client)
            assert (await other).value == 1.0
    assert gone.cancelled()


@pytest.mark.parametrize(("files", "threads"), [(256, 128), (65_536, 1024), (resource.RLIM_INFINITY, 1024)])
def test_half_of_the_files_are_left_to_others(
    files: int, threads: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (files, files))
    assert reward_func._threads() == threads
    assert ("raise it to 2048, or use the agent hook" in caplog.text) is (threads < reward_func.MOST_CALLS)


@pytest.mark.parametrize("n", ["1", "2"])
def test_one_sample_per_prompt_stops_the_job_at_its_start_where_samples_are_compared(
    n: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = RewardService(make_config(normalize__method="group"), scoring(by_number))
    with live(create_app(lambda: service)) as url:
        for name, value in {"GRM_URL": url, "GRM_N": n, "GRM_CONFIG": "", "GRM_OVERRIDES": ""}.items():
            monkeypatch.setenv(name, value)
        reward_func._service.cache_clear()
        with (
            nullcontext()
            if n == "2"
            else pytest.raises(ConfigError, match=r"group compares .*: set GRM_N to 2 or more")
        ):
            reward_func._service()
    reward_func._service.cache_clear()
