"""Whole groups judged for the hooks: always a row of finite numbers per response, whatever happens to the service."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass

from grm_plugin._util.text import encodable
from grm_plugin.client import Client
from grm_plugin.client.settling import judge_settled
from grm_plugin.config import FailureConfig
from grm_plugin.conversation.messages import as_reference
from grm_plugin.wire.schemas import WireGroup


@dataclass(frozen=True, slots=True)
class OpenRLHFReward:
    """What OpenRLHF takes for one sample: `unit_mean` is in [0, 1], `logs` has the keys `judging.fallback.LOG_KEYS`."""

    reward: float
    unit_mean: float
    logs: dict[str, float]


class GroupJudge:
    """Sends groups to the service; where it fails, applies the failure policy to the group as a whole.

    Args:
        client: see `environment.connect`.
        failure: `group_mean` has no mean here, so it gives `constant` like `constant` does; `raise` raises.
    """

    def __init__(self, client: Future[Client], failure: FailureConfig) -> None:
        self._client = client
        self._failure = failure

    async def judge(self, prompt: str, responses: Sequence[str], label: object) -> list[OpenRLHFReward]:
        """One row per response to `prompt` (text with the policy's chat template), in order.

        Raises:
            ServiceError: there is no service, and none could be started.
            RewardError: the service failed and `failure.policy` is `raise`.
        """
        client = await asyncio.wrap_future(self._client)
        group = WireGroup(
            prompt=encodable(prompt),
            responses=[encodable(response) for response in responses],
            reference=as_reference(label),
        )
        rewards = await judge_settled(client, group, self._failure)
        return [OpenRLHFReward(reward.settled.value, reward.settled.unit_mean, reward.logs) for reward in rewards]
