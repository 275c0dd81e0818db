"""Siblings of the agent hook that never come; those that do are in tests/contracts/test_openrlhf.py."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from grm_plugin.errors import GroupError
from grm_plugin.integrations.openrlhf.siblings import SiblingGroups
from grm_plugin.judging.fallback import LOG_KEYS, SettledReward


async def judge(prompt: str, responses: Sequence[str], *_: object) -> list[SettledReward]:
    logs = dict.fromkeys(LOG_KEYS, 0.0)
    return [SettledReward(float(response), 0.5, False, logs) for response in responses]


async def test_nobody_waits_without_end_for_a_sibling(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("grm_plugin.integrations.openrlhf.siblings.GENERATION_DEADLINE_S", 0.05)
    groups, shared = SiblingGroups(judge), object()
    first, other = (groups.join(shared, "A?", "") for _ in range(2))
    async with asyncio.timeout(20):
        with pytest.raises(GroupError, match=r"1 of 2 samples .* after 0\.05 s; .* the policy's vLLM engine"):
            await first.reward("3")
        assert (await other.reward("4")).value == 4.0, "it comes late, and has its own reward"
