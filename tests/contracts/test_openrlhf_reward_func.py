"""`reward_func` blocks a thread per sample; n = 8 siblings, a pool of two threads, and 80 s until `wait_s`."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from grm_plugin.errors import ConfigError, GroupError
from support.factories import until
from support.openrlhf_hooks import NOWHERE, check

pytestmark = [pytest.mark.usefixtures("openrlhf"), pytest.mark.timeout(180)]

TEXTS = ("1", "2", "3", "4", "5", "6", "7", "8")


async def test_in_a_rollout_actor_it_brings_its_own_threads(
    serve: Callable[..., Any], load: Callable[..., Any], rollout: Callable[..., Any]
) -> None:
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(2))
    service = serve(judge__list_size=8)
    actor = rollout(load("function", service.url, 8, group__wait_s=80), TEXTS)
    outputs = await actor.generate("A?", 8)
    check(actor.experience(outputs), 8)
    assert service.groups == [("A?", list(TEXTS))]


async def test_with_two_threads_it_goes_on_in_groups_of_two(
    serve: Callable[..., Any], load: Callable[..., Any], rollout: Callable[..., Any]
) -> None:
    """Loaded elsewhere, or after somebody else has set the executor: no deadlock, and no wait until `wait_s`."""
    service = serve()
    executor = load("function", service.url, 8, group__wait_s=80)
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(2))
    actor = rollout(executor, TEXTS)
    outputs = await actor.generate("A?", 8)
    check(actor.experience(outputs), 8)
    assert max(len(responses) for _, responses in service.groups) <= 2
    assert sorted(text for _, responses in service.groups for text in responses) == list(TEXTS)


async def test_two_threads_and_many_prompts(
    serve: Callable[..., Any], load: Callable[..., Any], rollout: Callable[..., Any]
) -> None:
    service = serve()
    executor = load("function", service.url, 4, group__wait_s=80)
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(2))
    actor = rollout(executor, [str(number % 10 + 1) for number in range(24)])
    batches = await asyncio.gather(*(actor.generate(f"{index}?", 4) for index in range(6)))
    for batch in batches:
        check(actor.experience(batch), 4)
    assert sum(len(responses) for _, responses in service.groups) == 24


async def test_a_lost_sibling_is_not_waited_for_longer_than_wait_s(
    serve: Callable[..., Any], load: Callable[..., Any], rollout: Callable[..., Any]
) -> None:
    service = serve()
    actor = rollout(load("function", service.url, 3, group__wait_s=3.0), ["1", RuntimeError("engine died"), "3"])
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
