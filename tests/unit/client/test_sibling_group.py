"""Samples of a prompt that come one by one are judged in one call, once."""

from __future__ import annotations

import asyncio

import pytest

from grm_plugin.client.sibling_group import SiblingGroup
from grm_plugin.errors import RewardError
from grm_plugin.judging.fallback import SettledReward


def opened(calls: list[list[str]], closings: list[int]) -> SiblingGroup[str]:
    async def judge() -> list[SettledReward]:
        calls.append(list(group.members))
        await asyncio.sleep(0)
        if "fail" in group.members:
            raise RewardError("no votes")
        return [SettledReward(float(member), 0.5, False, {}) for member in group.members]

    group: SiblingGroup[str] = SiblingGroup(judge, lambda: closings.append(len(group.members)))
    return group


async def test_each_member_gets_its_own_reward_of_one_judgement() -> None:
    calls: list[list[str]] = []
    closings: list[int] = []
    group = opened(calls, closings)
    group.expected = 3
    waiting = [asyncio.create_task(group.reward_of(group.add(member))) for member in ("3", "1", "2")]
    rewards = await asyncio.gather(*waiting)
    assert [reward.value for reward in rewards] == [3, 1, 2]
    assert (calls, closings) == ([["3", "1", "2"]], [3])


async def test_a_member_that_leaves_takes_nothing_with_it() -> None:
    group = opened([], [])
    group.expected = 2
    leaving = asyncio.create_task(group.reward_of(group.add("1")))
    await asyncio.sleep(0)
    leaving.cancel()
    assert (await group.reward_of(group.add("2"))).value == 2
    assert (await group.reward_of(0)).value == 1, "its reward is there for a repeated call"


async def test_a_group_that_is_closed_is_judged_as_it_is_and_only_once() -> None:
    calls: list[list[str]] = []
    closings: list[int] = []
    group = opened(calls, closings)
    group.expected = 8
    index = group.add("5")
    group.close()
    group.close()
    assert (await group.reward_of(index)).value == 5
    assert (calls, closings, group.closed) == ([["5"]], [1], True)


async def test_a_group_that_nobody_came_to_is_not_judged() -> None:
    calls: list[list[str]] = []
    group = opened(calls, [])
    group.expected = 0
    group.close_if_complete()
    await group.wait()
    assert calls == []


async def test_what_the_judging_raises_reaches_every_member() -> None:
    group = opened([], [])
    group.expected = 2
    waiting = [asyncio.create_task(group.reward_of(group.add(member))) for member in ("1", "fail")]
    for result in await asyncio.gather(*waiting, return_exceptions=True):
        assert isinstance(result, RewardError)
    with pytest.raises(RewardError):
        await group.reward_of(0)
