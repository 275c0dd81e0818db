"""Several processes as one service: whichever of them is asked, samples meet their siblings and repeats their work."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from grm_plugin.engines.fake import FakeEngine, score_by_vocabulary
from grm_plugin.errors import RewardError, ServiceBusy, WireError
from grm_plugin.serving.http.app import create_app
from grm_plugin.serving.processes import front as front_module
from grm_plugin.serving.processes.front import Front
from grm_plugin.serving.service import RewardService
from grm_plugin.types import Completion, Message, Prompt, Sample, Sampling
from grm_plugin.wire.schemas import GetRewardRequest, ScoreRequest
from support.factories import Scripted, by_number, completions, make_config, responses_shown, scoring, until

Started = Callable[..., Awaitable[Any]]


def request(prompt: str, *responses: str, **rest: Any) -> GetRewardRequest:
    return GetRewardRequest(query=[prompt + text for text in responses], prompts=[prompt] * len(responses), **rest)


def sample(prompt: str, response: str) -> Sample:
    return Sample((Message("user", prompt),), response, identity=prompt)


class Gate(Scripted):
    """Answers by the numbers in the responses, once a test says so."""

    def __init__(self) -> None:
        super().__init__(self._answer)
        self.open = asyncio.Event()

    async def _answer(self, prompt: Prompt, sampling: Sampling) -> list[Completion]:
        await self.open.wait()
        return completions(*[[by_number(text) for text in responses_shown(prompt)]] * sampling.n)


async def count(service: Any, name: str) -> float:
    return sum(front.own.info().counters[name] for front in service.fronts)


async def test_samples_of_a_prompt_meet_whichever_process_is_asked(processes: Started) -> None:
    service = await processes(3)
    prompts = [prompt for place in range(3) for prompt in service.prompts_of(place, 2)]
    calls = [
        front.get_reward(request(prompt, str(number)), n=6)
        for prompt in prompts
        for number, front in enumerate(itertools.islice(itertools.cycle(service.fronts), 6), start=1)
    ]
    replies = await asyncio.gather(*calls)
    assert [reply.rewards[0] for reply in replies] == pytest.approx([(vote - 1) / 9 for vote in range(1, 7)] * 6)
    assert await count(service, "groups") == 6
    assert await count(service, "incomplete_groups") == 0
    assert [front.own.counters.groups for front in service.fronts] == [2, 2, 2]


async def test_single_samples_and_calls_of_one_prompt_meet(processes: Started) -> None:
    service = await processes(2)
    (prompt,) = service.prompts_of(1)
    one = service.fronts[0].prompts.read(prompt)
    first, second = await asyncio.gather(
        service.fronts[0].get_reward(request(prompt, "2"), n=2),
        service.fronts[1].reward_sample(Sample(one.conversation, "10", identity=one.identity), n=2),
    )
    assert (first.rewards, second.value) == ([pytest.approx(1 / 9)], 1.0)
    assert service.fronts[1].own.counters.groups == 1


async def test_one_call_with_many_prompts_is_answered_as_by_one_process(processes: Started) -> None:
    """In order; one that cannot be read costs itself; and the totals say the same."""
    alone, service = RewardService(make_config(sampling__k=2), scoring(by_number)), await processes(3)
    prompts = [f"Question {number}?" for number in range(12)]
    query = [f"{prompt}{number % 10}" for number, prompt in enumerate(prompts)]
    query[4] = "something else entirely"
    call = GetRewardRequest(query=query, prompts=prompts, n=1)
    expected, reply = await alone.get_reward(call), await service.fronts[1].get_reward(call)
    assert reply.rewards == expected.rewards
    logs = reply.extra_logs | {"grm_latency_s": expected.extra_logs["grm_latency_s"]}
    assert logs == expected.extra_logs
    for name in ("requests", "samples", "groups", "unreadable", "fallbacks"):
        assert await count(service, name) == alone.info().counters[name], name


async def test_an_empty_call_is_answered(processes: Started) -> None:
    service = await processes(2)
    assert (await service.fronts[1].get_reward(request("Q"))).rewards == []


@pytest.mark.parametrize("replicas", [1, 3])
async def test_rewards_are_equal_to_the_digit_whatever_the_processes(processes: Started, replicas: int) -> None:
    """Whole groups; and single samples over HTTP, each on a connection of its own to any process."""
    overrides: dict[str, Any] = {"sampling__seed": 7, "sampling__k": 8, "normalize__method": "group", "group__n": 4}
    alone = RewardService(make_config(**overrides), FakeEngine(score_by_vocabulary))
    texts = [" ".join(f"word{number}" for number in range(7 * length)) for length in (1, 2, 3, 4)]
    prompts = [f"Question {number}?" for number in range(6)]
    whole = ScoreRequest.model_validate({"groups": [{"prompt": prompt, "responses": texts} for prompt in prompts]})
    expected = await alone.judge_groups(whole)
    service = await processes(replicas, FakeEngine(score_by_vocabulary), **overrides)
    apps = [httpx.ASGITransport(create_app(lambda front=front: front)) for front in service.fronts]
    for front in service.fronts:
        judged = await front.judge_groups(whole)
        assert [group.critiques for group in judged.judgements] == [group.critiques for group in expected.judgements]
        assert [group.rewards for group in judged.judgements] == [group.rewards for group in expected.judgements]

    async def posted(app: httpx.ASGITransport, body: Any) -> float:
        async with httpx.AsyncClient(transport=app, base_url="http://service") as client:
            reply = await client.post("/get_reward", json=body, timeout=20)
            return float(reply.raise_for_status().json()["rewards"][0])

    bodies = [{"query": [prompt + text], "prompts": [prompt]} for prompt in prompts for text in texts]
    rewards = await asyncio.gather(*map(posted, itertools.cycle(apps), bodies))
    assert rewards == [reward.settled for group in expected.judgements for reward in group.rewards]


async def test_a_call_repeated_on_another_process_is_no_second_sample(processes: Started) -> None:
    gate = Gate()
    service = await processes(3, gate)
    (prompt,) = service.prompts_of(2)
    lost = asyncio.create_task(service.fronts[0].get_reward(request(prompt, "4"), n=2))
    await until(lambda: service.fronts[2].own.counters.samples == 1)
    lost.cancel()  # its client has hung up
    await asyncio.gather(lost, return_exceptions=True)
    again = asyncio.create_task(service.fronts[1].get_reward(request(prompt, "4"), n=2))
    await until(lambda: service.fronts[2].own._parts.attached == 1)
    gate.open.set()
    sibling = await service.fronts[2].get_reward(request(prompt, "10"), n=2)
    assert ((await again).rewards, sibling.rewards) == ([pytest.approx(1 / 3)], [1.0])
    assert (await count(service, "samples"), await count(service, "attached")) == (2, 1)


@pytest.mark.parametrize("asks", ["sample", "groups"])
async def test_a_request_id_is_known_to_all_processes(processes: Started, asks: str) -> None:
    gate = Gate()
    service = await processes(3, gate)
    whole = ScoreRequest.model_validate({"groups": [{"prompt": "Q", "responses": ["4", "10"]}], "request_id": "a"})

    async def ask(front: Front) -> object:
        if asks == "groups":
            return (await front.judge_groups(whole)).judgements[0].rewards
        return (await front.reward_sample(sample("Q", "4"), 1, "a")).value

    asked = [asyncio.create_task(ask(front)) for front in service.fronts]
    await until(lambda: sum(flights.attached for f in service.fronts for flights in f.own._flights()) == 2)
    gate.open.set()
    answers = await asyncio.gather(*asked)
    assert answers[0] == answers[1] == answers[2]
    assert await count(service, "groups") == 1


async def test_errors_come_as_they_are(processes: Started) -> None:
    service = await processes(2, Scripted(lambda prompt, sampling: []), failure__policy="raise")
    (prompt,) = service.prompts_of(1)
    errors = []
    for front in service.fronts:
        with pytest.raises(RewardError) as error:
            await front.get_reward(request(prompt, "4"), n=1)
        errors.append(str(error.value))
    assert errors[0] == errors[1] != ""
    comparing = await processes(2, normalize__method="group")
    (prompt,) = comparing.prompts_of(1)
    for front in comparing.fronts:
        with pytest.raises(WireError, match="group"):
            await front.reward_sample(sample(prompt, "4"), 1)
        with pytest.raises(WireError, match="group"):
            await front.get_reward(request(prompt, "4"), 1)


async def test_a_full_process_says_so_through_another(processes: Started) -> None:
    gate = Gate()
    service = await processes(2, gate, service__max_waiting=1)
    first, second = service.prompts_of(1, 2)
    waiting = asyncio.create_task(service.fronts[0].get_reward(request(first, "4"), n=1))
    await until(lambda: service.fronts[1].own.counters.samples == 1)
    with pytest.raises(ServiceBusy, match="max_waiting"):
        await service.fronts[0].get_reward(request(second, "4"), n=1)
    gate.open.set()
    assert (await waiting).rewards == [pytest.approx(1 / 3)]


async def test_what_a_dead_process_had_is_asked_anew_of_the_next_one(processes: Started) -> None:
    gate = Gate()
    service = await processes(3, gate)
    (prompt,) = service.prompts_of(1)
    first = asyncio.create_task(service.fronts[0].get_reward(request(prompt, "4"), n=2))
    await until(lambda: service.fronts[1].own.counters.samples == 1)
    service.kill(1)
    second = asyncio.create_task(service.fronts[2].get_reward(request(prompt, "10"), n=2))
    await until(lambda: not service.fronts[2]._links[1].is_up)
    gate.open.set()
    started = await service.restart(1)
    assert [(await first).rewards, (await second).rewards] == [[pytest.approx(1 / 3)], [1.0]]
    assert started.own.counters.groups == 1
    assert await service.fronts[0].problem() == ""


async def test_a_process_that_stays_away_is_not_waited_for_beyond_the_deadline(processes: Started) -> None:
    service = await processes(2, failure__deadline_s=0.2, group__wait_s=0.1)
    (prompt,) = service.prompts_of(1)
    service.kill(1)
    await until(lambda: not service.fronts[0]._links[1].is_up)
    assert await service.fronts[0].problem() == "process 2 of 2 of the service does not answer"
    with pytest.raises(ServiceBusy, match="process 2 of 2 of the service does not answer"):
        await service.fronts[0].get_reward(request(prompt, "4"), n=1)
    (own,) = service.prompts_of(0)
    assert (await service.fronts[0].get_reward(request(own, "4"), n=1)).rewards == [pytest.approx(1 / 3)]


async def test_whole_groups_do_not_wait_for_a_dead_process(processes: Started) -> None:
    gate = Gate()
    service = await processes(2, gate)
    id = next(id for id in "abcdefgh" if service.fronts[0]._owner(id) == 1)
    whole = ScoreRequest.model_validate({"groups": [{"prompt": "Q", "responses": ["4", "10"]}], "request_id": id})
    asked = asyncio.create_task(service.fronts[0].judge_groups(whole))
    await until(lambda: service.fronts[1].own.counters.samples == 2)
    service.kill(1)
    await until(lambda: service.fronts[0].own.counters.samples == 2)
    gate.open.set()
    assert len((await asked).judgements[0].rewards) == 2
    assert len((await service.fronts[0].judge_groups(whole)).judgements[0].rewards) == 2


async def test_a_stop_waits_for_the_answers_of_other_processes(processes: Started) -> None:
    gate = Gate()
    service = await processes(2, gate)
    (prompt,) = service.prompts_of(1)
    asked = asyncio.create_task(service.fronts[0].get_reward(request(prompt, "4"), n=1))
    await until(lambda: bool(gate.calls))
    stops = [asyncio.create_task(front.drain(20)) for front in service.fronts]
    await asyncio.sleep(0.02)
    assert not any(stop.done() for stop in stops)
    with pytest.raises(ServiceBusy, match="stopping"):
        await service.fronts[0].get_reward(request(prompt, "5"), n=1)
    gate.open.set()
    await asyncio.wait_for(asyncio.gather(*stops), 20)
    assert (await asked).rewards == [pytest.approx(1 / 3)]


async def test_a_stop_hands_back_what_is_not_finished(processes: Started, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(front_module, "BACK_S", 0.05)
    service = await processes(2, Gate())
    (there,), (away,) = service.prompts_of(1), service.prompts_of(0)
    asked = [
        asyncio.create_task(service.fronts[0].get_reward(request(there, "4"), n=1)),
        asyncio.create_task(service.fronts[1].get_reward(request(away, "4"), n=1)),
    ]
    await until(lambda: sum(front.own.counters.samples for front in service.fronts) == 2)
    service.kill(1)  # and its caller would wait for the next one
    await until(lambda: not service.fronts[0]._links[1].is_up)
    await asyncio.wait_for(service.fronts[0].drain(0.05), 20)
    with pytest.raises(ServiceBusy, match="stopping"):
        await asked[0]
    asked[1].cancel()
