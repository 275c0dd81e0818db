"""Rewards for hooks that must give a number: `failure.policy` replaces missing ones, also while the service is down."""

from __future__ import annotations

import logging
import time

from grm_plugin.client import Client
from grm_plugin.config import FailureConfig
from grm_plugin.errors import GRMError
from grm_plugin.judging.fallback import Settled, SettledReward, missing, settle, with_logs
from grm_plugin.types import Group
from grm_plugin.wire.group_forms import to_wire
from grm_plugin.wire.schemas import WireGroup

logger = logging.getLogger(__name__)


async def reward_settled(
    client: Client, sample: Group | WireGroup, n: int, failure: FailureConfig, learn: bool = True
) -> SettledReward:
    """The settled reward of one response, judged with the n - 1 others to its prompt that the service receives
    meanwhile.

    A service that is down, fails, or refuses the sample leaves it without a reward: `failure.policy` decides, as in
    `judge_settled`. `learn=False` is for evaluation (see `Client.ajudge`).

    Raises:
        RewardError: the service failed and the policy is `raise`.
    """
    started = time.monotonic()
    try:
        reply = await client.areward_with_logs(sample, n, learn=learn)
    except GRMError as error:
        [lost] = _settle_outage(1, client, failure, error, time.monotonic() - started)
        return lost
    return SettledReward(reply.reward, reply.unit, fallback=reply.logs["grm_fallback"] > 0, logs=reply.logs)


async def judge_settled(
    client: Client, group: Group | WireGroup, failure: FailureConfig, learn: bool = True, n: int | None = None
) -> list[SettledReward]:
    """One settled reward per response of the group, in order.

    `n` is how many responses the prompt has, where some may not have come (see `WireGroup.n`).

    A service that is down, fails, or refuses the group leaves all of it without a reward: `failure.policy` decides
    (`group_mean` has no mean here and gives `failure.constant`). `learn=False` is for evaluation.

    Raises:
        RewardError: the service failed and the policy is `raise`.
    """
    started = time.monotonic()

    def restart() -> None:  # latencies are read against the service's deadline, which leaves out the wait for a turn
        nonlocal started
        started = time.monotonic()

    try:
        sent = to_wire(group) if n is None else to_wire(group).model_copy(update={"n": n})
        [judgement] = await client.ajudge([sent], on_place=restart, learn=learn)
    except GRMError as error:
        return _settle_outage(len(group.responses), client, failure, error, time.monotonic() - started)
    latency_s = time.monotonic() - started
    return [
        with_logs(reward, Settled(reward.settled, reward.unit, fallback=reward.value is None), latency_s)
        for reward in judgement.rewards
    ]


def _settle_outage(
    n: int, client: Client, failure: FailureConfig, cause: GRMError, latency_s: float
) -> list[SettledReward]:
    """What `failure.policy` gives a group of n whose rewards are all missing because the service failed; logs the
    cause.

    Raises:
        RewardError: the policy is `raise`.
    """
    logger.error("no reward for a group of %d, failure.policy decides: %s", n, cause)
    lost = missing(client.columns)
    try:
        return [with_logs(lost, settled, latency_s) for settled in settle([lost] * n, failure)]
    except GRMError as error:
        raise error from cause
