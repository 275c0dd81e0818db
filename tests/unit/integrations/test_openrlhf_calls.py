"""Single calls become groups; those of OpenRLHF's own threads are in tests/contracts/test_openrlhf.py."""

import asyncio
from collections.abc import Sequence

from grm_plugin.config import GroupConfig
from grm_plugin.integrations.openrlhf.calls import CallGatherer
from grm_plugin.integrations.openrlhf.group_rewards import OpenRLHFReward
from grm_plugin.judging.fallback import LOG_KEYS


class Judged:
    """A gatherer of groups of 3, and the groups it has put before its judge."""

    def __init__(self, wait_s: float = 80.0) -> None:
        self.groups: list[str] = []
        self._gatherer = CallGatherer(self._score, 3, GroupConfig(wait_s=wait_s), keep_s=80.0)

    async def ask(self, responses: str, backlog: int = 0) -> None:
        """One call per response, all at once, while so many others get no thread."""
        calls = (self._gatherer.reward("A?", response, "", lambda: backlog) for response in responses)
        async with asyncio.timeout(30):
            rows = await asyncio.gather(*calls)
        assert [row.reward for row in rows] == [float(response) for response in responses]

    async def _score(self, prompt: str, responses: Sequence[str], label: object) -> list[OpenRLHFReward]:
        self.groups.append("".join(responses))
        return [OpenRLHFReward(float(response), 0.5, dict.fromkeys(LOG_KEYS, 0.0)) for response in responses]


async def test_a_lost_sibling_splits_one_later_group_and_no_more() -> None:
    """The prompt comes again: its first sample is taken for the lost one, and the rest waits for one more in vain."""
    judged = Judged(wait_s=0.05)
    await judged.ask("12")
    for _ in range(3):
        await judged.ask("345")
    assert judged.groups == ["12", "3", "45", "345", "345"]


async def test_a_late_sibling_is_judged_at_once() -> None:
    judged = Judged(wait_s=0.05)
    await judged.ask("12")
    judged._gatherer._wait_s = 80.0  # who waited for more would time out
    await judged.ask("3")
    assert judged.groups == ["12", "3"]


async def test_siblings_that_get_a_thread_one_after_the_other_are_all_judged() -> None:
    judged = Judged()
    await judged.ask("1", backlog=2)
    await judged.ask("2", backlog=1)
    await judged.ask("3")
    assert judged.groups == ["1", "2", "3"]
