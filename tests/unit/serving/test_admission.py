"""What is let in: no more than may wait, but every sibling that a group waits for."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from typing import Any

import pytest

from grm_plugin.errors import ServiceBusy
from grm_plugin.serving.admission import Admission
from grm_plugin.serving.counters import Counters
from grm_plugin.serving.service import RewardService
from grm_plugin.types import Message, Sample
from grm_plugin.wire.schemas import GetRewardRequest
from support.factories import by_number, make_config, scoring

N = 4


def make_service(**overrides: Any) -> RewardService:
    options = {"normalize__method": "rank", "group__n": N, "service__max_waiting": 20, **overrides}
    return RewardService(make_config(sampling__k=1, **options), scoring(by_number))


@pytest.mark.parametrize("identified", [True, False])
async def test_a_limit_splits_no_group(identified: bool) -> None:
    """Sixty groups in random order, and places for five of them: those that ask again form whole groups."""
    service = make_service()
    samples = [
        Sample((Message("user", f"Question {group}?"),), str(1 + 2 * score))
        for group in range(60)
        for score in range(N)
    ]
    random.Random(5).shuffle(samples)
    refused = 0

    async def reward(number: int, sample: Sample) -> float:
        nonlocal refused
        while True:
            try:
                settled = await service.reward_sample(sample, request_id=f"id {number}" if identified else None)
                return settled.value
            except ServiceBusy:
                refused += 1
                await asyncio.sleep(0.001 * random.random())

    async with asyncio.timeout(60):
        rewards = await asyncio.gather(*(reward(number, sample) for number, sample in enumerate(samples)))
    assert refused
    for sample, value in zip(samples, rewards, strict=True):
        assert value == pytest.approx((int(sample.response) - 1) / 2 / (N - 1)), "the rank in the whole group"
    assert (service.counters.groups, service.counters.incomplete_groups) == (60, 0)


async def test_siblings_complete_their_group_beyond_the_limit_and_no_more_than_that() -> None:
    service = make_service(service__max_waiting=2)

    def ask(question: str, response: str) -> asyncio.Task[Any]:
        return asyncio.create_task(service.reward_sample(Sample((Message("user", question),), response)))

    first = [ask("A?", "1"), ask("B?", "1")]
    await asyncio.sleep(0)
    with pytest.raises(ServiceBusy, match=r"service\.max_waiting"):
        await ask("C?", "1")
    siblings = [ask("A?", str(score)) for score in (2, 3, 4)]
    await asyncio.sleep(0)
    one_more = ask("A?", "5")
    with pytest.raises(ServiceBusy):
        await one_more
    assert [settled.value for settled in await asyncio.gather(first[0], *siblings)] == pytest.approx(
        [0, 1 / 3, 2 / 3, 1]
    )
    first[1].cancel()


async def test_the_siblings_in_one_call_count_each_for_itself() -> None:
    service = make_service(service__max_waiting=1)

    def call(*pairs: tuple[str, str]) -> GetRewardRequest:
        return GetRewardRequest(query=[a + b for a, b in pairs], prompts=[a for a, _ in pairs])

    waiting = asyncio.create_task(service.get_reward(call(("A? ", "1"))))
    await asyncio.sleep(0.01)
    with pytest.raises(ServiceBusy):
        await service.get_reward(call(("A? ", "2"), ("B? ", "2")))
    await service.get_reward(call(("A? ", "2"), ("A? ", "3"), ("A? ", "4")))
    assert (await waiting).rewards == [0]


class TestAdmission:
    def test_a_request_larger_than_the_limit_is_taken_by_an_empty_service(self) -> None:
        admission = Admission(2, Counters())
        with admission.admit(5):
            assert admission.waiting == 5
            with pytest.raises(ServiceBusy, match="5 samples are waiting"), admission.admit(1):
                pass
            with admission.admit(3, siblings=3):
                assert admission.waiting == 8
        assert admission.waiting == 0

    def test_while_it_drains_only_siblings_come_in(self) -> None:
        counters = Counters()
        admission = Admission(9, counters)
        admission.close()
        for samples, siblings in ((1, 0), (2, 1), (0, 0)):
            with pytest.raises(ServiceBusy, match="is stopping"), admission.admit(samples, siblings):
                pass
        with admission.admit(2, siblings=2):
            pass
        assert Counter(refused=counters.refused, requests=counters.requests) == {"refused": 3, "requests": 1}

    @pytest.mark.parametrize("waiting", [0, 1])
    async def test_it_is_empty_when_the_last_sample_has_left(self, waiting: int) -> None:
        admission = Admission(9, Counters())
        with admission.admit(waiting):
            admission.close()
            await admission.empty(0.01)
        async with asyncio.timeout(5):
            await admission.empty(60)
