"""The load's callers: the hooks as frameworks call them, and the client. Each gets the rewards of one group."""

from __future__ import annotations

import asyncio
import importlib.util
import itertools
import json
import os
from collections.abc import Callable, Coroutine
from typing import Any

from questions import N, Question

from grm_plugin.client import Client
from grm_plugin.config import Config
from grm_plugin.integrations.trl.grm_reward import GRMReward
from grm_plugin.integrations.verl.group_gatherer import GRMGroupGatherer
from grm_plugin.integrations.verl.samples import Member
from grm_plugin.integrations.verl.settings import GRMSettings
from grm_plugin.wire.schemas import WireGroup

Answer = tuple[float | None, bool]
"""A reward as a trainer gets it, and whether it says that it is the failure policy's."""

Call = tuple[tuple[int, ...], Coroutine[Any, Any, list[Answer]]]
"""Which responses of a question a call asks about, and the call: one answer for each."""

Caller = Callable[[Question], list[Call]]


def make_callers(url: str, config: Config) -> dict[str, Caller]:
    """All callers by name, for the service at `url`."""
    return {
        "OpenRLHF http": _openrlhf_http(url),
        "OpenRLHF function": _openrlhf_function(url, config),
        "Client": _client(url, config),
        "/v1/sample": _sample(url, config),
        "TRL": _trl(url, config),
        "verl": _verl(url, config),
    }


def _openrlhf_http(url: str) -> Caller:
    """OpenRLHF's own HTTP call, with its five tries."""
    from openrlhf.utils.agent import SingleTurnAgentExecutor

    executor = SingleTurnAgentExecutor([f"{url}/get_reward?n={N}"])

    async def ask(question: Question, index: int) -> list[Answer]:
        query = question.prompt + question.responses[index]
        [reply] = await executor._fetch_rewards_via_http([query], [question.prompt], [""])
        return [(reply["rewards"][0], reply["extra_logs"]["grm_fallback"][0] == 1)]

    return _one_by_one(ask)


def _openrlhf_function(url: str, config: Config) -> Caller:
    """The reward function, in threads, as OpenRLHF calls it."""
    os.environ |= {"GRM_URL": url, "GRM_CONFIG": json.dumps(config.model_dump(mode="json")), "GRM_N": str(N)}
    spec = importlib.util.find_spec("grm_plugin.integrations.openrlhf.reward_func")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    async def ask(question: Question, index: int) -> list[Answer]:
        query = question.prompt + question.responses[index]
        reply = await asyncio.to_thread(module.reward_func, [query], [question.prompt], [""])
        return [(reply["rewards"], reply["extra_logs"]["grm_fallback"] == 1)]

    return _one_by_one(ask)


def _client(url: str, config: Config) -> Caller:
    """Whole groups, through /v1/score."""
    client = Client(url, timeout_s=_patience(config))

    async def ask(question: Question) -> list[Answer]:
        [judgement] = await client.ajudge([WireGroup(prompt=question.prompt, responses=list(question.responses))])
        return [(reward.settled, reward.value is None) for reward in judgement.rewards]

    return _together(ask)


def _sample(url: str, config: Config) -> Caller:
    """slime's remote_rm: a bare number comes back, so the policy's constant is its only flag."""
    client = Client(url, timeout_s=_patience(config))

    async def ask(question: Question, index: int) -> list[Answer]:
        group = WireGroup(prompt=question.prompt, responses=[question.responses[index]])
        reward = await client.areward(group, N)
        return [(reward, reward == config.failure.constant)]

    return _one_by_one(ask)


def _trl(url: str, config: Config) -> Caller:
    """TRL's reward function; None is what the failure policy is elsewhere."""
    reward = GRMReward(url, timeout_s=_patience(config))

    async def ask(question: Question) -> list[Answer]:
        values = await reward(list(question.responses), [question.prompt] * N)
        return [(0.0 if value is None else value, value is None) for value in values]

    return _together(ask)


def _verl(url: str, config: Config) -> Caller:
    """What gathers verl's samples, without verl's actor around it."""
    gatherer = GRMGroupGatherer(GRMSettings(url=url, wait_s=60, failure=config.failure))
    numbers = itertools.count()

    def calls(question: Question) -> list[Call]:
        uid = str(next(numbers))
        return [((index,), ask(question, index, uid)) for index in range(N)]

    async def ask(question: Question, index: int, uid: str) -> list[Answer]:
        asked = [{"role": "user", "content": question.prompt}]
        reward = await gatherer.reward(Member(uid, N, index, asked, question.responses[index]))
        return [(reward.value, reward.fallback)]

    return calls


def _one_by_one(ask: Callable[[Question, int], Coroutine[Any, Any, list[Answer]]]) -> Caller:
    return lambda question: [((index,), ask(question, index)) for index in range(N)]


def _together(ask: Callable[[Question], Coroutine[Any, Any, list[Answer]]]) -> Caller:
    return lambda question: [(tuple(range(N)), ask(question))]


def _patience(config: Config) -> float:
    """Of a caller who has no failure policy: a service that is killed starts its deadline anew."""
    return 2 * config.failure.deadline_s + 5.0
