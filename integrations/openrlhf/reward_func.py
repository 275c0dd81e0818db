"""OpenRLHF reward function (`--reward.remote_url .../reward_func.py`).

Gathers the n samples of a prompt, which OpenRLHF hands over one by one, and has them judged as one group; `threads`
says what this takes. n is GRM_N, in training and in evaluation: where the two differ, evaluation waits `group.wait_s`
for siblings that do not exist. The `agent` hook knows n and needs no threads; prefer it where you can.

Configuration: see `grm_plugin.integrations.environment`.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Sequence
from typing import Any

from grm_plugin._util.background import run_in_background
from grm_plugin.conversation.response import response_of
from grm_plugin.errors import ConfigError
from grm_plugin.integrations.environment import connect, read_environment
from grm_plugin.integrations.openrlhf.calls import CallGatherer
from grm_plugin.integrations.openrlhf.group_rewards import GroupJudge, OpenRLHFReward
from grm_plugin.integrations.openrlhf.one_sample import one_sample
from grm_plugin.integrations.openrlhf.threads import backlog_of_this_thread, widen_default_executor


def reward_func(queries: Sequence[str], prompts: Sequence[str], labels: Sequence[object]) -> dict[str, Any]:
    """The reward of a sample; called from many threads at once, it blocks until the sample's group is judged.

    Args:
        queries: one prompt + response, decoded with special tokens.
        prompts: one, as the policy saw it.
        labels: one reference answer, or an empty string.

    Returns:
        `rewards`, `scores` (in [0, 1]) and the values of `extra_logs`, each a plain float.

    Raises:
        GroupError: the query holds no response to its prompt, or there are several.
        ServiceError: there is no service: none answers at GRM_URL, or none could be started (GRM_CONFIG).
        RewardError: a reward is missing and `failure.policy` is `raise`.
    """
    with one_sample(queries, prompts, labels) as (query, prompt, label):
        row = _row(prompt, response_of(query, prompt), label)
    return {"rewards": row.reward, "scores": row.unit_mean, "extra_logs": row.logs}


def _row(prompt: str, response: str, label: object) -> OpenRLHFReward:
    backlog = backlog_of_this_thread()

    async def gather() -> OpenRLHFReward:
        return await _gatherer().reward(prompt, response, label, backlog)

    return run_in_background(gather())


@functools.cache
def _gatherer() -> CallGatherer:
    settings = read_environment()
    if settings.n is None:
        raise ConfigError("GRM_N is not set: set it to OpenRLHF's --rollout.n_samples_per_prompt")
    connection = connect(settings)
    groups = GroupJudge(connection.client, connection.failure)
    return CallGatherer(groups.judge, settings.n, settings.group, keep_s=connection.failure.deadline_s)


def _prepare_rollout_actor() -> None:
    """OpenRLHF imports this file in the running event loop of a rollout actor: there, be ready before the first call.

    A wrong configuration or address stops the job at its start; an error in a later call OpenRLHF would only log.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    widen_default_executor()
    _gatherer()


_prepare_rollout_actor()
