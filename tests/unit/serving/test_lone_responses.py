"""One sample per prompt under methods that compare siblings: refused where it is a mistake, counted where it is not."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from grm_plugin.config import COMPARING_METHODS, NEUTRAL_REWARD
from grm_plugin.errors import WireError
from grm_plugin.serving.service import RewardService
from grm_plugin.types import Completion, Message, Prompt, Sample, Sampling
from grm_plugin.wire.schemas import GetRewardRequest, ScoreRequest
from support.factories import Scripted, by_number, completions, make_config, responses_shown, scoring

SAMPLE = Sample((Message("user", "Two?"),), "7")
COMPARING = pytest.mark.parametrize("method", COMPARING_METHODS)


def make_service(method: str, generator: Scripted | None = None, **overrides: Any) -> RewardService:
    config = make_config(sampling__k=2, normalize__method=method, **overrides)
    return RewardService(config, generator or scoring(by_number))


def single(*responses: str, **rest: Any) -> GetRewardRequest:
    return GetRewardRequest(query=["Two? " + text for text in responses], prompts=["Two? "] * len(responses), **rest)


def group(*responses: str, n: int | None = None, **rest: Any) -> ScoreRequest:
    return ScoreRequest.model_validate({"groups": [{"prompt": "Two?", "responses": responses, "n": n}], **rest})


@COMPARING
@pytest.mark.parametrize("n", [None, 1])
async def test_a_call_that_says_one_sample_per_prompt_is_refused(method: str, n: int | None) -> None:
    service = make_service(method)
    for call in (service.get_reward(single("7"), n), service.reward_sample(SAMPLE, n)):
        with pytest.raises(WireError, match=rf"normalize\.method {method} .*\?n= in the URL or group\.n"):
            await call
    assert service.counters.samples == 0


@COMPARING
async def test_a_whole_group_of_one_response_is_refused(method: str) -> None:
    both = ScoreRequest(groups=[*group("7", "8").groups, *group("7").groups])
    with pytest.raises(WireError, match=rf"groups\.1: normalize\.method {method} .* alone would always get"):
        await make_service(method).judge_groups(both)


@COMPARING
async def test_n_from_anywhere_lets_a_sample_in(method: str) -> None:
    calls = [
        make_service(method).get_reward(single("2", "7"), 2),
        make_service(method).get_reward(single("2", "7", n=2)),
        make_service(method, group__n=2).get_reward(single("2", "7")),
    ]
    for reply in await asyncio.gather(*calls):
        assert reply.rewards[0] < reply.rewards[1]


@COMPARING
async def test_an_empty_call_needs_no_group(method: str) -> None:
    assert (await make_service(method).get_reward(single())).rewards == []


@pytest.mark.parametrize("method", sorted(set(NEUTRAL_REWARD) - set(COMPARING_METHODS)))
async def test_other_methods_judge_a_single_response(method: str) -> None:
    service = make_service(method)
    settled = await service.reward_sample(SAMPLE)
    assert (settled.fallback, settled.logs["grm_mean"]) == (False, 7)
    [judgement] = (await service.judge_groups(group("7"))).judgements
    assert judgement.rewards[0].mean == 7
    assert service.counters.alone == 0


@COMPARING
async def test_evaluation_may_draw_one_sample(method: str, caplog: pytest.LogCaptureFixture) -> None:
    """As verl and slime do by default: nobody trains on the reward, and the mean votes are what is looked at."""
    service = make_service(method)
    reply = await service.get_reward(single("7"), learn=False)
    settled = await service.reward_sample(SAMPLE, 1, learn=False)
    [judgement] = (await service.judge_groups(group("7", learn=False))).judgements
    assert reply.rewards == [settled.value] == [judgement.rewards[0].settled] == [NEUTRAL_REWARD[method]]
    assert reply.extra_logs["grm_mean"] == [7]
    assert service.info().counters["alone"] == 3
    assert caplog.text.count("no sibling with votes to be compared with") == 1, "once a minute"


@COMPARING
async def test_what_is_left_of_a_group_is_no_mistake(method: str, caplog: pytest.LogCaptureFixture) -> None:
    service = make_service(method)
    [judgement] = (await service.judge_groups(group("7", n=4))).judgements
    assert (judgement.rewards[0].status, judgement.rewards[0].settled) == ("ok", NEUTRAL_REWARD[method])
    assert f"normalize.method {method}: a response had no sibling with votes" in caplog.text


@COMPARING
async def test_a_late_sibling_is_judged_alone(method: str) -> None:
    service = make_service(method, group__wait_s=0.05)
    reply = await service.get_reward(single("7"), 2)
    assert (reply.rewards, reply.extra_logs["grm_fallback"]) == ([NEUTRAL_REWARD[method]], [0])
    assert (service.counters.alone, service.counters.incomplete_groups) == (1, 1)


@COMPARING
async def test_a_response_whose_siblings_cannot_be_read_has_the_neutral_reward(method: str) -> None:
    def reply(prompt: Prompt, sampling: Sampling) -> list[Completion]:
        if responses_shown(prompt) != ["7"]:
            return [Completion("no verdict")] * sampling.n
        return completions(*[[7]] * sampling.n)

    service = make_service(method, Scripted(reply), judge__list_size=1)
    answer = await service.get_reward(single("7", "bad", "worse"), 3)
    assert answer.rewards == [NEUTRAL_REWARD[method]] * 3
    assert answer.extra_logs["grm_fallback"] == [0, 1, 1]
    assert service.counters.alone == 1


@COMPARING
@pytest.mark.parametrize(("responses", "alone"), [(["7", " "], 0), (["7", "7"], 0), ([" ", " "], 0)])
async def test_blank_ones_and_copies_are_siblings(method: str, responses: list[str], alone: int) -> None:
    service = make_service(method)
    await service.get_reward(single(*responses), 2)
    assert service.counters.alone == alone


async def test_a_call_that_leaves_n_open_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    service = make_service("unit")
    for _ in range(3):
        await service.get_reward(single("7"))
    assert caplog.text.count("did not say how many samples its prompt has") == 1
    caplog.clear()
    for said in (
        make_service("unit").get_reward(single("7"), 1),
        make_service("unit", group__n=1).reward_sample(SAMPLE),
    ):
        await said
    assert not caplog.messages
