"""OpenRLHF's reward function: it blocks a thread per sample, and the service gathers the siblings."""

import asyncio
import resource
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from grm_plugin.errors import ConfigError, GroupError
from grm_plugin.integrations.openrlhf import reward_func as module
from grm_plugin.types import Completion, Prompt, Sampling
from support.factories import Scripted, completions, until
from support.openrlhf_hooks import NOWHERE, check

pytestmark = [pytest.mark.usefixtures("openrlhf"), pytest.mark.timeout(180)]

TEXTS = ("1", "2", "3", "4", "5", "6", "7", "8")


async def test_in_a_rollout_actor_it_brings_its_own_threads(
    serve: Callable[..., Any], load: Callable[..., Any], rollout: Callable[..., Any]
) -> None:
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(2))
    service = serve(judge__list_size=8)
    actor = rollout(load("function", service.url, 8), TEXTS)
    outputs = await actor.generate("A?", 8)
    check(actor.experience(outputs), 8)
    assert service.groups == [("A?", list(TEXTS))]


async def test_a_pool_that_somebody_else_has_set_delays_calls_and_loses_none(
    serve: Callable[..., Any], load: Callable[..., Any], rollout: Callable[..., Any]
) -> None:
    """With two threads, two of eight siblings ask at a time: their groups wait `wait_s` for others that cannot come."""
    service = serve(group__wait_s=0.3)
    executor = load("function", service.url, 8)
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(2))
    actor = rollout(executor, TEXTS)
    outputs = await actor.generate("A?", 8)
    check(actor.experience(outputs), 8)
    assert max(len(responses) for _, responses in service.groups) <= 2
    assert sorted(text for _, responses in service.groups for text in responses) == list(TEXTS)


async def test_two_threads_and_many_prompts(
    serve: Callable[..., Any], load: Callable[..., Any], rollout: Callable[..., Any]
) -> None:
    service = serve(group__wait_s=0.3)
    executor = load("function", service.url, 4)
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(2))
    actor = rollout(executor, [str(number % 10 + 1) for number in range(24)])
    batches = await asyncio.gather(*(actor.generate(f"{index}?", 4) for index in range(6)))
    for batch in batches:
        check(actor.experience(batch), 4)
    assert sum(len(responses) for _, responses in service.groups) == 24


@pytest.mark.parametrize(("hook", "fallback"), [("function", 0.0), ("http", 1.0)])
async def test_openrlhfs_time_limit_is_that_of_its_http_call_only(
    hook: str,
    fallback: float,
    serve: Callable[..., Any],
    load: Callable[..., Any],
    rollout: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A GRM that takes longer than OpenRLHF's HTTP call may, and less than `failure.deadline_s`."""
    monkeypatch.setattr("grm_plugin.serving.service.OPENRLHF_DEADLINE_S", 0.5)

    async def slow(prompt: Prompt, sampling: Sampling) -> list[Completion]:
        if sampling.max_tokens > 1:  # no readiness probe
            await asyncio.sleep(1.5)
        return completions(*[[7]] * sampling.n)

    actor = rollout(load(hook, serve(Scripted(slow)).url, 1), ["7"])
    check(actor.experience(await actor.generate("A?", 1)), 1, fallback=fallback)


async def test_a_lost_sibling_is_not_waited_for_longer_than_wait_s(
    serve: Callable[..., Any], load: Callable[..., Any], rollout: Callable[..., Any]
) -> None:
    service = serve(group__wait_s=3.0)
    actor = rollout(load("function", service.url, 3), ["1", RuntimeError("engine died"), "3"])
    with pytest.raises(RuntimeError, match="engine died"):
        await actor.generate("A?", 3)
    await until(lambda: bool(service.judged))
    assert service.groups == [("A?", ["1", "3"])]


async def test_a_query_without_its_prompt_is_told_in_the_log(
    serve: Callable[..., Any], load: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    reward_func = load("function", serve().url, 2).reward_func
    with pytest.raises(GroupError, match="the prompt is no prefix of the query"):
        await asyncio.to_thread(reward_func, ["something else"], ["A?"], [""])
    assert "no reward: the prompt is no prefix of the query" in caplog.text


async def test_n_must_be_known(load: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRM_N", "eight")
    with pytest.raises(ConfigError, match="GRM_N is 'eight'"):
        load("function", NOWHERE, None)


@pytest.mark.parametrize(
    ("files", "threads"),
    [(1024, 512), (65_536, module.MOST_CALLS), (resource.RLIM_INFINITY, module.MOST_CALLS)],
)
def test_the_connections_of_waiting_calls_leave_files_to_vllm_and_ray(
    files: int, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (files, files))
    assert module._threads() == threads
