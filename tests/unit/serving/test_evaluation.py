"""Evaluation that is marked as such (`learn=false`) never moves the statistics of `normalize.method` running."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from grm_plugin.client import Client
from grm_plugin.serving.http.app import create_app
from grm_plugin.serving.service import RewardService
from grm_plugin.types import Message, Sample
from support.factories import by_number, live, make_config, make_group, scoring

ROLLOUT = {
    "responses_create_params": {"input": "Two?"},
    "response": {"output": [{"role": "assistant", "content": "9"}]},
}


def make_service(**overrides: Any) -> RewardService:
    return RewardService(make_config(sampling__k=2, normalize__method="running", **overrides), scoring(by_number))


async def test_no_way_to_ask_moves_them() -> None:
    service = make_service()
    with live(create_app(lambda: service)) as url:
        async with Client(url) as client:
            for learn in (False, True):
                await client.ajudge([make_group("9", "8")], learn=learn)
                await client.areward(make_group("9"), 1, learn=learn)
                await client.areward_with_logs(make_group("9"), 1, learn=learn)
                await client.averify(ROLLOUT, 1, learn=learn)
                await asyncio.to_thread(client.judge, [make_group("9")], learn=learn)
                body = {"query": ["Two? 9"], "prompts": ["Two? "]}
                await client._call(f"/get_reward?n=1&learn={str(learn).lower()}", str(body).replace("'", '"'))
                assert service.judge.normalizer.stats.count == (7 if learn else 0)
    assert service.counters.groups == 12


async def test_the_reward_of_a_training_response_does_not_depend_on_evaluation() -> None:
    async def last_reward(evaluated: int) -> float:
        service = make_service()
        for _ in range(20):
            await service.judge.judge([make_group("4", "6")])
        for _ in range(evaluated):
            await service.reward_sample(Sample((Message("user", "Eval?"),), "9"), 1, learn=False)
        settled = await service.reward_sample(Sample((Message("user", "Two?"),), "6"), 1)
        return settled.value

    assert await last_reward(60) == await last_reward(0) == pytest.approx(0.98, abs=0.01)


async def test_before_training_evaluation_gets_zero() -> None:
    settled = await make_service().reward_sample(Sample((Message("user", "Two?"),), "9"), 1, learn=False)
    assert (settled.value, settled.logs["grm_mean"]) == (0.0, 9)


async def test_equal_prompts_of_training_and_evaluation_are_two_groups() -> None:
    service = make_service()

    def ask(response: str, learn: bool) -> Any:
        return service.reward_sample(Sample((Message("user", "Two?"),), response), 2, learn=learn)

    await asyncio.gather(ask("3", True), ask("9", False), ask("5", True), ask("10", False))
    stats = service.judge.normalizer.stats
    assert (service.counters.groups, stats.count, stats.mean) == (2, 2, 4)


async def test_a_repeated_call_of_the_other_kind_is_another_call() -> None:
    service = make_service()
    sample = Sample((Message("user", "Two?"),), "9")
    await service.reward_sample(sample, 1, "an id", learn=False)
    await service.reward_sample(sample, 1, "an id", learn=True)
    assert service.judge.normalizer.stats.count == 1


async def test_evaluation_leaves_the_saved_state_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    service = make_service(normalize__state_path=str(path))
    await service.judge.judge([make_group("3", "5")])
    await service.close()
    before = path.read_text()
    await service.reward_sample(Sample((Message("user", "Two?"),), "9"), 1, learn=False)
    await service.close()
    assert path.read_text() == before
