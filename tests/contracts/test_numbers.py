"""No NaN, no infinity and no None reaches a trainer that cannot take it, whatever fails behind an adapter.

Hypothesis draws what the GRM, the meta RM and the wire do wrong, call by call (numbers_faults.py); every adapter is
called as its framework calls it, in front of a real service. An adapter gives numbers, or raises where its framework
stops on errors: which of the two is said at its test.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from types import ModuleType, SimpleNamespace
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, Phase, given, settings

from grm_plugin.client import Client
from grm_plugin.errors import ServiceError, WireError
from grm_plugin.integrations.slime import grm_reward as slime
from grm_plugin.integrations.trl.grm_reward import GRMReward
from grm_plugin.integrations.verl.group_gatherer import GRMGroupGatherer
from grm_plugin.integrations.verl.results import INFO_KEYS, as_result
from grm_plugin.integrations.verl.samples import Member
from grm_plugin.integrations.verl.settings import GRMSettings
from grm_plugin.judging.fallback import LOG_KEYS
from grm_plugin.types import Group, Message, message_dicts
from support.factories import live, make_config
from support.numbers_faults import (
    CLIENT_TIMEOUT_S,
    SERVICE_PLANS,
    FaultyService,
    Plan,
    check_logs,
    check_number,
    plans,
)

pytestmark = pytest.mark.timeout(600)

EXAMPLES = int(os.environ.get("GRM_NUMBERS_EXAMPLES", "15"))
"""Plans per adapter."""

LONGEST_S = 30.0
"""A call that takes longer hangs: the service, its clients and their retries end far sooner."""

QUESTION = "Name 3 fruits."
TEXTS = ("plum", "plum, fig", " ", "fig, \ud800 pear")
ASKED = (Message("user", QUESTION),)

failing = settings(
    max_examples=EXAMPLES,
    deadline=None,
    phases=(Phase.explicit, Phase.reuse, Phase.generate),  # a smaller example is not worth minutes of hanging calls
    report_multiple_bugs=False,
    # The service's address and the loaded hooks outlive an example; `begin` renews what has a state.
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.fixture(scope="module")
def faulty() -> FaultyService:
    return FaultyService()


@pytest.fixture(scope="module")
def url(faulty: FaultyService) -> Iterator[str]:
    with live(faulty.app) as address:
        yield address


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("grm_plugin.client.http_client.FIRST_PAUSE_S", 0.001)
    monkeypatch.setattr("grm_plugin.integrations.environment_variables.MARGIN_S", CLIENT_TIMEOUT_S / 2)
    monkeypatch.setattr("grm_plugin.integrations.verl.settings.MARGIN_S", CLIENT_TIMEOUT_S / 2)
    monkeypatch.setenv("GRM_CONFIG", make_config(**_limits()).model_dump_json())


def bounded() -> Any:
    return asyncio.timeout(LONGEST_S)


# Taken as they come: the routes of the service itself.


@given(plan=SERVICE_PLANS)
@failing
async def test_get_reward(plan: Plan, faulty: FaultyService, url: str) -> None:
    """OpenRLHF puts the reply into its batch as it is."""
    faulty.begin(plan)
    bodies = [{"query": [QUESTION + text], "prompts": [QUESTION], "labels": ["x"]} for text in TEXTS[:3]]
    async with bounded(), httpx.AsyncClient(timeout=None) as http:
        replies = await asyncio.gather(*(http.post(f"{url}/get_reward?n=3", json=body) for body in bodies))
    for reply in replies:
        assert reply.status_code == 200, reply.text
        [reward], [score] = reply.json()["rewards"], reply.json()["scores"]
        check_number(reward)
        check_number(score)
        assert 0 <= score <= 1
        check_logs({key: value for key, [value] in reply.json()["extra_logs"].items()})


@given(plan=SERVICE_PLANS)
@failing
async def test_v1_score(plan: Plan, faulty: FaultyService, url: str) -> None:
    faulty.begin(plan)
    left_alone = {"prompt": "Why?", "responses": TEXTS[:1], "n": 2}
    body = {"groups": [{"prompt": QUESTION, "responses": TEXTS[:3]}, left_alone]}
    async with bounded(), httpx.AsyncClient(timeout=None) as http:
        reply = await http.post(f"{url}/v1/score", json=body)
    assert reply.status_code == 200, reply.text
    rewards = [reward for judgement in reply.json()["judgements"] for reward in judgement["rewards"]]
    assert len(rewards) == 4
    for reward in rewards:
        check_number(reward["settled"])
        check_number(reward["unit"])
        if reward["value"] is not None:
            assert reward["value"] == reward["settled"]


@given(plan=SERVICE_PLANS)
@failing
async def test_v1_sample_and_verify(plan: Plan, faulty: FaultyService, url: str) -> None:
    faulty.begin(plan)
    said = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": TEXTS[1]}]}
    rollout = {"responses_create_params": {"input": QUESTION}, "response": {"output": [said]}}
    async with bounded(), httpx.AsyncClient(timeout=None) as http:
        sample, logged, verdict = await asyncio.gather(
            http.post(f"{url}/v1/sample?n=3", json={"prompt": QUESTION, "response": TEXTS[0]}),
            http.post(f"{url}/v1/sample?n=3&logs=true", json={"prompt": QUESTION, "response": TEXTS[1]}),
            http.post(f"{url}/verify?n=3", json=rollout),
        )
    assert (sample.status_code, logged.status_code, verdict.status_code) == (200, 200, 200)
    check_number(sample.json())
    check_number(logged.json()["reward"])
    check_number(logged.json()["unit"])
    assert 0 <= logged.json()["unit"] <= 1
    check_logs(logged.json()["logs"])
    check_number(verdict.json()["reward"])
    check_logs(verdict.json()["grm"])


# The client: a number, or an error of ours that says what was wrong.


@given(plan=plans())
@failing
async def test_client(plan: Plan, faulty: FaultyService, url: str) -> None:
    faulty.begin(plan)
    group = Group(ASKED, TEXTS)
    async with bounded(), Client(url, timeout_s=CLIENT_TIMEOUT_S) as client:
        judgements, values, logged = await asyncio.gather(
            asyncio.gather(*(client.ajudge([group]) for _ in range(2)), return_exceptions=True),
            asyncio.gather(*(client.areward(Group(ASKED, (text,)), n=2) for text in TEXTS[:2]), return_exceptions=True),
            asyncio.gather(
                *(client.areward_with_logs(Group(ASKED, (text,)), n=2) for text in TEXTS[2:]), return_exceptions=True
            ),
        )
    for answer in judgements:
        if _is_ours(answer):
            continue
        [judgement] = answer
        assert len(judgement.rewards) == len(TEXTS)
        for reward in judgement.rewards:
            check_number(reward.settled)
            check_number(reward.unit)
            if reward.value is not None:
                check_number(reward.value)
    for value in values:
        if not _is_ours(value):
            check_number(value)
    for reply in logged:
        if not _is_ours(reply):
            check_number(reply.reward)
            check_number(reply.unit)
            check_logs(reply.logs)


@given(plan=plans())
@failing
async def test_nemo_gym(plan: Plan, faulty: FaultyService, url: str) -> None:
    """`gym_resources_server` makes a masked row of an error of ours; what else comes goes to Gym as it is."""
    faulty.begin(plan)
    said = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": TEXTS[1]}]}
    rollout = {"responses_create_params": {"input": QUESTION}, "response": {"output": [said]}}
    async with bounded(), Client(url, timeout_s=CLIENT_TIMEOUT_S) as client:
        [verdict] = await asyncio.gather(client.averify(rollout, 1), return_exceptions=True)
    if not _is_ours(verdict):
        check_number(verdict["reward"])
        assert isinstance(verdict["mask_sample"], bool)


def _is_ours(answer: object) -> bool:
    """Whether this is one of the errors that `Client` documents; any other fails the test."""
    if isinstance(answer, BaseException) and not isinstance(answer, ServiceError | WireError):
        raise answer
    return isinstance(answer, BaseException)


# OpenRLHF: a finite number for every sample, always, and the same log keys.


@given(plan=SERVICE_PLANS)
@failing
async def test_openrlhf_http(plan: Plan, faulty: FaultyService, url: str, openrlhf: ModuleType) -> None:
    """OpenRLHF's own HTTP call."""
    from openrlhf.utils.agent import SingleTurnAgentExecutor

    faulty.begin(plan)
    executor = SingleTurnAgentExecutor([f"{url}/get_reward?n=2"])
    async with bounded():
        replies = await asyncio.gather(
            *(executor._fetch_rewards_via_http([QUESTION + text], [QUESTION], [""]) for text in TEXTS[:2])
        )
    for [reply] in replies:
        check_number(reply["rewards"][0])
        check_number(reply["scores"][0])
        check_logs({key: value for key, [value] in reply["extra_logs"].items()})


@given(plan=plans())
@failing
async def test_openrlhf_function(
    plan: Plan, faulty: FaultyService, url: str, openrlhf: ModuleType, hook_file: Callable[..., str]
) -> None:
    from openrlhf.utils.agent import SingleTurnAgentExecutor

    faulty.begin()
    reward_func = SingleTurnAgentExecutor([hook_file("reward_func", url, 2, **_limits())]).reward_func
    faulty.begin(plan)
    calls = [asyncio.to_thread(reward_func, [QUESTION + text], [QUESTION], [""]) for text in TEXTS[:2]]
    async with bounded():
        replies = await asyncio.gather(*calls)
    for reply in replies:
        check_number(reply["rewards"])
        check_number(reply["scores"])
        check_logs(reply["extra_logs"])


@given(plan=plans())
@failing
async def test_openrlhf_agent(
    plan: Plan, faulty: FaultyService, url: str, rollout: Callable[..., Any], hook_file: Callable[..., str]
) -> None:
    """Through OpenRLHF's rollout actor, into the tensors of its trainer."""
    from openrlhf.trainer.ray.vllm_engine import _load_agent_executor

    faulty.begin()
    executor = _load_agent_executor(hook_file("agent", url, **_limits()))
    faulty.begin(plan)
    actor = rollout(executor, ["plum", "plum, fig", " "])
    outputs = await actor.generate(QUESTION, 3)
    for output in outputs:
        check_number(output["reward"])
        check_number(output["scores"])
        check_logs(output["extra_logs"])
    experience = actor.experience(outputs)
    assert bool(experience.rewards.isfinite().all())
    assert {key for key in experience.info if key.startswith("grm_")} == set(LOG_KEYS)


def _limits() -> dict[str, Any]:
    return {"failure__deadline_s": CLIENT_TIMEOUT_S / 2, "group__wait_s": 0.05, "failure__constant": 0.25}


# verl: the same, with keys of its own.


@given(plan=plans())
@failing
async def test_verl(plan: Plan, faulty: FaultyService, url: str) -> None:
    faulty.begin(plan)
    failure = {"deadline_s": CLIENT_TIMEOUT_S / 2}
    gatherer = GRMGroupGatherer(GRMSettings(url=url, wait_s=1, failure=failure))  # type: ignore[arg-type]
    members = [Member("a", 3, session, message_dicts(ASKED), text) for session, text in enumerate(TEXTS[:3])]
    alone = Member("b", 1, 0, message_dicts(ASKED), TEXTS[0])
    async with bounded():
        rewards = await asyncio.gather(*map(gatherer.reward, [alone, *members]))
    for reward in rewards:
        check_number(reward.value)
        check_logs(as_result(reward)["reward_extra_info"], INFO_KEYS)


# TRL takes None: a completion that stays out of its group's statistics.


@given(plan=plans())
@failing
async def test_trl(plan: Plan, faulty: FaultyService, url: str) -> None:
    pytest.importorskip("trl")
    faulty.begin()
    reward = GRMReward(url, timeout_s=CLIENT_TIMEOUT_S)
    faulty.begin(plan)
    logged: dict[str, Any] = {}
    metrics: dict[str, Any] = {}
    completions = [*TEXTS, "plum"]
    async with bounded():
        rewards, blocking = await asyncio.gather(
            reward(
                completions,
                [QUESTION] * len(TEXTS) + ["Why?"],
                log_extra=logged.__setitem__,
                log_metric=metrics.__setitem__,
            ),
            asyncio.to_thread(reward.blocking, completions, [QUESTION] * len(completions)),
        )
    for value in rewards + blocking:
        if value is not None:
            check_number(value)
    assert len(rewards) == len(blocking) == len(completions)
    assert {name: len(column) for name, column in logged.items()} == {"grm_votes": 5, "grm_critique": 5}
    for metric in metrics.values():
        check_number(float(metric))


# slime: a finite number, alone or in a dict whose keys do not depend on what failed.


@given(plan=plans())
@failing
async def test_slime(plan: Plan, faulty: FaultyService, url: str) -> None:
    faulty.begin()
    slime._service(url)
    faulty.begin(plan)
    samples = [SimpleNamespace(prompt=QUESTION, response=text, label=None) for text in TEXTS]
    args = SimpleNamespace(
        rm_url=url, reward_key="grm", eval_reward_key=None, n_samples_per_prompt=4, n_samples_per_eval_prompt=1
    )
    async with bounded():
        rewards, alone, keyed = await asyncio.gather(
            slime.custom_rm(args, samples),
            slime.custom_rm(SimpleNamespace(**{**vars(args), "reward_key": None}), samples[0]),
            slime.custom_rm_eval(args, samples[1]),
        )
    slime._service.cache_clear()
    check_number(alone)
    assert tuple(keyed) == ("grm",)
    check_number(keyed["grm"])
    for reward in rewards:
        check_logs(reward, (*LOG_KEYS, "grm"))


# NeMo-RL: a finite tensor, or an error that ends the training.


@given(plan=plans())
@failing
async def test_nemo_rl(plan: Plan, faulty: FaultyService, url: str, environment: ModuleType) -> None:
    faulty.begin()
    worker = environment.GRMEnvironmentWorker({"url": url, "n": 2})
    worker._client = Client(url, timeout_s=CLIENT_TIMEOUT_S)
    faulty.begin(plan)
    logs = [[{"role": "user", "content": QUESTION}, {"role": "assistant", "content": text}] for text in TEXTS[:3]]
    async with bounded():
        steps = await asyncio.gather(
            asyncio.to_thread(worker.step, logs, [{}] * 3),
            asyncio.to_thread(worker.step, logs[:1], [{}]),
            return_exceptions=True,
        )
    for step in steps:
        if not _is_ours(step):
            assert bool(step.rewards.isfinite().all())
