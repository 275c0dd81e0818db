"""The rewards of a whole group as verl takes them: finite numbers, and log values under always the same keys."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from grm_plugin.client import Client
from grm_plugin.client.settled_rewards import SettledReward, judge_settled
from grm_plugin.config import FailureConfig
from grm_plugin.judging.fallback import LOG_KEYS
from grm_plugin.wire.schemas import WireGroup

INFO_KEYS = ("score", *LOG_KEYS, "grm_ok")
"""The keys of `VerlReward.info`."""


@dataclass(frozen=True, slots=True)
class VerlReward:
    """What verl takes for one sample. `info` always has the keys `INFO_KEYS`: verl batches them by the first sample's.

    `info["score"]` repeats the reward, under the name that verl's own managers and group filters use;
    `info["grm_ok"]` is 1 for a reward that was voted on and 0 for a fallback.
    """

    reward: float
    info: dict[str, float]

    def as_result(self) -> dict[str, Any]:
        """The value of `RewardManagerBase.run_single`."""
        return {"reward_score": self.reward, "reward_extra_info": self.info}


async def judge_group(
    client: Client, group: WireGroup, failure: FailureConfig, learn: bool = True, n: int | None = None
) -> list[VerlReward]:
    """One reward per response of the group, in order; see `grm_plugin.client.settled_rewards.judge_settled`.

    Raises:
        RewardError: the service failed and the policy is `raise`.
    """
    return [_as_verl_takes_it(reward) for reward in await judge_settled(client, group, failure, learn, n)]


def _as_verl_takes_it(reward: SettledReward) -> VerlReward:
    settled = reward.settled
    return VerlReward(settled.value, {"score": settled.value, **reward.logs, "grm_ok": float(not settled.fallback)})
