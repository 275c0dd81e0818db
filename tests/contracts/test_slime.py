"""slime's hooks: the callable of `--custom-rm-path`, called as slime's rm_hub calls it, and the payload of remote_rm.

slime is on no package index (the `slime` there is another project), so its own loader cannot run here. These tests hold
on to its documented signature: `async fn(args, sample | samples)`, and POST {prompt, response, label} -> number.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from grm_plugin.errors import ConfigError, PromptError, RewardError, ServiceError
from grm_plugin.integrations.slime import grm_reward
from grm_plugin.judging.fallback import LOG_KEYS
from grm_plugin.serving.http.app import create_app
from grm_plugin.serving.service import RewardService
from grm_plugin.wire.ready import Ready
from support.factories import (
    Scripted,
    by_number,
    completions,
    live,
    make_config,
    never,
    responses_shown,
    scoring,
    until,
)
from support.relay import breaking_first_connection

NOWHERE = "http://127.0.0.1:9"  # the discard port: nothing listens there
CHATML = "<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n"


@dataclass
class Sample:
    """The fields of slime's Sample that a reward function meets."""

    prompt: str | list[dict[str, Any]]
    response: str
    label: Any = None
    group_index: int | None = 0
    metadata: dict[str, Any] = field(default_factory=dict)
    multimodal_inputs: dict[str, Any] | None = None


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr("grm_plugin.client.http_client.FIRST_PAUSE_S", 0.005)
    monkeypatch.setattr("grm_plugin.integrations.environment_variables.READY_PATIENCE_S", 0.0)
    for variable in ("GRM_URL", "GRM_CONFIG"):
        monkeypatch.delenv(variable, raising=False)
    yield
    grm_reward._service.cache_clear()


def slime_args(url: str | None, **options: Any) -> SimpleNamespace:
    defaults = {"reward_key": None, "eval_reward_key": None, "group_rm": True}
    counts = {"n_samples_per_prompt": 3, "n_samples_per_eval_prompt": 1}
    return SimpleNamespace(rm_url=url, **(defaults | counts | options))


def load(path: str) -> Callable[..., Any]:
    """A function by its dotted path, as slime/utils/misc.py `load_function` finds it."""
    module, _, name = path.rpartition(".")
    function: Callable[..., Any] = getattr(importlib.import_module(module), name)
    return function


custom_rm = load("grm_plugin.integrations.slime.grm_reward.custom_rm")
custom_rm_eval = load("grm_plugin.integrations.slime.grm_reward.custom_rm_eval")


def unit(score: float) -> float:
    return (score - 1) / 9


async def test_evaluation_is_not_learnt_from(serve: Callable[..., Any]) -> None:
    service = serve(normalize__method="running")
    await custom_rm_eval(slime_args(service.url), Sample("What?", "9"))
    await custom_rm(slime_args(service.url), Sample("What?", "9"))  # alone where training hands over groups
    assert service.service.judge.normalizer.stats.count == 0
    await custom_rm(slime_args(service.url), [Sample("What?", text) for text in ("3", "10", "1")])
    await custom_rm(slime_args(service.url, group_rm=False, n_samples_per_prompt=1), Sample("What?", "9"))
    assert service.service.judge.normalizer.stats.count == 4


@pytest.mark.parametrize("group_rm", [True, False])
async def test_one_sample_per_prompt_is_refused_where_samples_are_compared(
    serve: Callable[..., Any], group_rm: bool
) -> None:
    service = serve(normalize__method="rank")
    args = slime_args(service.url, n_samples_per_prompt=1, group_rm=group_rm)
    samples = [Sample("What?", "3")]
    with pytest.raises(ConfigError, match=r"rank compares .*: set --n-samples-per-prompt to 2 or more"):
        await custom_rm(args, samples if group_rm else samples[0])
    assert await custom_rm_eval(args, samples[0]) == 0.5, "in evaluation slime draws one by default"
    assert await custom_rm(slime_args(service.url), samples) == [0.5], "what is left of three is no mistake"


@pytest.mark.parametrize("prompt", [CHATML.format("What?"), [{"role": "user", "content": "What?"}]])
async def test_a_group_is_judged_together(serve: Callable[..., Any], prompt: Any) -> None:
    service = serve(conversation__format="chatml")
    samples = [Sample(prompt, text, label="plum") for text in ("3", "10", "1")]
    assert await custom_rm(slime_args(service.url), samples) == pytest.approx([unit(3), unit(10), unit(1)])
    assert service.groups == [("What?", ["1", "10", "3"])]
    assert service.judged[0].group.reference == "plum"


async def test_a_reward_key_makes_dicts_with_the_log_values(serve: Callable[..., Any]) -> None:
    args = slime_args(serve().url, reward_key="grm", eval_reward_key="eval")
    rewards = await custom_rm(args, [Sample("What?", "3"), Sample("What?", "10")])
    assert [reward["grm"] for reward in rewards] == pytest.approx([unit(3), unit(10)])
    assert all(set(reward) == {"grm", "eval", *LOG_KEYS} for reward in rewards)


async def test_single_samples_meet_in_the_service(serve: Callable[..., Any]) -> None:
    service = serve()
    args = slime_args(service.url, group_rm=False)
    async with asyncio.timeout(30):
        rewards = await asyncio.gather(*(custom_rm(args, Sample("What?", text)) for text in ("3", "10", "1")))
    assert rewards == pytest.approx([unit(3), unit(10), unit(1)])
    assert service.groups == [("What?", ["1", "10", "3"])]


@pytest.mark.parametrize("function", [custom_rm, custom_rm_eval])
async def test_evaluation_has_groups_of_its_own_size(serve: Callable[..., Any], function: Callable[..., Any]) -> None:
    service = serve()
    async with asyncio.timeout(30):
        reward = await function(slime_args(service.url, reward_key="grm"), Sample("What?", "7"), evaluation=True)
    assert reward == {"grm": pytest.approx(unit(7))}
    assert service.groups == [("What?", ["7"])]


async def test_missing_rewards_are_finite_numbers(serve: Callable[..., Any]) -> None:
    def silent_on_the_third(prompt: Any, sampling: Any) -> Any:
        shown = responses_shown(prompt)
        return [] if "3" in shown else completions(*[[by_number(text) for text in shown]] * sampling.n)

    service = serve(Scripted(silent_on_the_third), judge__list_size=1)
    rewards = await custom_rm(slime_args(service.url, reward_key="grm"), [Sample("What?", t) for t in ("1", "3", "7")])
    assert [reward["grm"] for reward in rewards] == pytest.approx([unit(1), unit(4), unit(7)])  # the mean of the others
    assert [reward["grm_fallback"] for reward in rewards] == [0.0, 1.0, 0.0]


@pytest.mark.parametrize(
    ("failure", "reward"), [(None, 0.25), ({"constant": -0.5}, -0.5), ({"policy": "raise"}, RewardError)]
)
async def test_where_the_service_goes_away_the_policy_decides(
    failure: dict[str, Any] | None,
    reward: float | type[Exception],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    if failure:
        monkeypatch.setenv("GRM_CONFIG", json.dumps({"engine": {"type": "fake"}, "failure": failure}))
    service = RewardService(make_config(sampling__k=2, failure__constant=0.25), scoring(by_number))
    with live(create_app(lambda: service)) as url:
        grm_reward._service(url)
    args = slime_args(url, reward_key="grm")
    samples = [Sample("What?", "1"), Sample("What?", "2")]
    if not isinstance(reward, float):
        for asked in (samples, samples[0]):
            with pytest.raises(reward, match=r"failure\.policy is 'raise'"):
                await custom_rm(args, asked)
        return
    rewards = await custom_rm(args, samples)
    assert [given["grm"] for given in rewards] == [reward, reward]
    assert all(set(given) == {"grm", *LOG_KEYS} and given["grm_fallback"] == 1 for given in rewards)
    assert "failure.policy decides" in caplog.text
    assert await custom_rm(args, samples[0]) == {"grm": reward}


async def test_a_group_that_fails_ends_the_others(serve: Callable[..., Any], left_alone: Scripted) -> None:
    service = serve(left_alone, failure__policy="raise")
    with pytest.raises(RewardError):
        await custom_rm(slime_args(service.url), [Sample("What?", "bad"), Sample("Why?", "5")])
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_wrong_address_ends_the_first_rollout() -> None:
    with pytest.raises(ServiceError, match=f"no GRM service answers at {NOWHERE}"):
        await custom_rm(slime_args(NOWHERE), [Sample("What?", "1")])
    with pytest.raises(ConfigError, match="give http://HOST:PORT only"):
        await custom_rm(slime_args(f"{NOWHERE}/v1/sample?n=8"), Sample("What?", "1"))


async def test_what_cannot_be_judged_is_an_error(serve: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="--rm-url"):
        await custom_rm(slime_args(None), [Sample("What?", "1")])
    monkeypatch.setenv("GRM_URL", serve().url)
    assert await custom_rm(slime_args(None), [Sample("What?", "1")]) == [0.0]
    picture = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]
    with pytest.raises(PromptError, match="'image_url' are not supported"):
        await custom_rm(slime_args(None), [Sample(picture, "1")])
    with pytest.raises(PromptError, match="multimodal_inputs: images, sound and video are not supported"):
        await custom_rm(slime_args(None), [Sample("What?", "1", multimodal_inputs={"images": ["x"]})])
    with pytest.raises(PromptError, match="the unknown field 'rubrik'"):
        await custom_rm(slime_args(None), [Sample("What?", "1", label={"reference": "1", "rubrik": "x"})])


@pytest.mark.parametrize("group_rm", [True, False])
async def test_calls_results_reference_and_rubric_are_carried(serve: Callable[..., Any], group_rm: bool) -> None:
    service = serve()
    call = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": {"at": "trees"}}}
    prompt = [
        {"role": "user", "content": "What?"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "a plum"},
    ]
    args = slime_args(service.url, group_rm=group_rm, n_samples_per_prompt=1)
    labelled = {"label": {"reference": "plum", "rubric": "Be brief."}, "metadata": {"rubric": "Be kind."}}
    sample = Sample(prompt, "3", multimodal_inputs=None, **labelled)
    await custom_rm(args, [sample] if group_rm else sample)
    [judged] = service.judged
    assert (judged.group.reference, judged.group.rubric) == ("plum", "Be kind.\n\nBe brief.")
    assert [turn.content for turn in judged.group.conversation[1:]] == [
        '[tool call look]\n{"at": "trees"}\n[end of tool call]',
        "[tool result look]\na plum\n[end of tool result]",
    ]


async def test_single_samples_whose_prompts_differ_in_an_id_are_no_siblings(serve: Callable[..., Any]) -> None:
    service = serve(group__wait_s=0.2)
    prompts = [[{"role": "user", "content": "What?", "id": name}] for name in ("a", "b")]
    args = slime_args(service.url, group_rm=False, n_samples_per_prompt=2)
    await asyncio.gather(*(custom_rm(args, Sample(prompt, "3")) for prompt in prompts))
    assert [judged.group.responses for judged in service.judged] == [("3",), ("3",)]


async def remote_rm(url: str, sample: Sample) -> Any:
    """What slime's remote_rm sends, and makes of the answer."""
    payload = {"prompt": sample.prompt, "response": sample.response, "label": sample.label}
    async with httpx.AsyncClient(timeout=120) as client:
        response = await client.post(url, json=payload)
        response.raise_for_status()
        return response.json()


async def test_remote_rm_gets_a_bare_number_and_siblings_are_judged_together(serve: Callable[..., Any]) -> None:
    service = serve()
    url = f"{service.url}/v1/sample?n=3"
    async with asyncio.timeout(30):
        rewards = await asyncio.gather(*(remote_rm(url, Sample("What?", text, {"a": 1})) for text in ("3", "10", "1")))
    assert rewards == pytest.approx([unit(3), unit(10), unit(1)])
    assert service.groups == [("What?", ["1", "10", "3"])]
    assert service.judged[0].group.reference == '{"a": 1}'


async def test_remote_rm_always_gets_a_finite_number(serve: Callable[..., Any]) -> None:
    service = serve(Scripted(never), group__wait_s=0.1, failure__deadline_s=0.6, failure__constant=0.25)
    async with asyncio.timeout(30):
        reward = await remote_rm(f"{service.url}/v1/sample?n=3", Sample("What?", "1"))
    assert math.isfinite(reward)
    assert reward == 0.25


async def test_a_repeated_call_attaches_to_the_work_that_runs(
    serve: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    # It would block the event loop that the relay runs in, and the relay would break its connection.
    monkeypatch.setattr(
        "grm_plugin.integrations.environment_variables.read_ready", lambda *_: Ready(ready=True, problem="")
    )
    release = asyncio.Event()
    loop = asyncio.get_running_loop()

    async def reply(prompt: Any, sampling: Any) -> Any:
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(release.wait(), loop))
        return completions([7], [7])

    service = serve(Scripted(reply))
    generator = service.service.grm.generator
    async with breaking_first_connection(service.url, lambda: generator.calls) as url:
        work = asyncio.create_task(custom_rm(slime_args(url, group_rm=False, n_samples_per_prompt=1), Sample("?", "1")))
        await until(lambda: service.service.info().counters["attached"] == 1)
        release.set()
        assert await work == pytest.approx(unit(7))
    assert len(generator.calls) == 1


@pytest.mark.parametrize(
    ("payload", "field"),
    [
        ({"prompt": "What?"}, "response"),
        ({"prompt": [], "response": "1"}, "prompt"),
        ({"prompt": [{"role": "alien", "content": "What?"}], "response": "1"}, "prompt"),
        ({"prompt": "What?", "response": "1", "labels": "x"}, "labels"),
    ],
)
def test_a_payload_that_does_not_fit_names_the_field(
    serve: Callable[..., Any], payload: dict[str, Any], field: str
) -> None:
    answer = httpx.post(f"{serve(scoring(by_number)).url}/v1/sample", json=payload, timeout=60, trust_env=False)
    assert answer.status_code == 422
    assert field in str(answer.json()["detail"])
