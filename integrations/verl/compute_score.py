"""verl reward function: each sample is judged by itself, on the GRM's absolute scale.

    python -m verl.trainer.main_ppo \\
        reward.custom_reward_function.path=pkg://grm_plugin.integrations.verl.compute_score \\
        +reward.custom_reward_function.reward_kwargs.grm.url=http://HOST:8790 ...

verl tells a reward function neither the prompt nor the sample's group. So the prompt must stand in the dataset's
`extra_info`, under `prompt`, `raw_prompt` or `question` (a text, or chat messages); and siblings are not compared. The
reward manager (`reward_manager`) needs no such column and compares them: prefer it.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from typing import Any

from grm_plugin._util.text import encodable
from grm_plugin.client import Client
from grm_plugin.client.readiness import read_ready
from grm_plugin.errors import PromptError
from grm_plugin.integrations.environment import READY_PATIENCE_S
from grm_plugin.integrations.verl.group_rewards import judge_group
from grm_plugin.integrations.verl.samples import read_prompt, read_reference
from grm_plugin.integrations.verl.settings import Settings, read_settings
from grm_plugin.types import Conversation, Group

WORKERS = 8
"""verl's default of `reward.num_workers`; each has a client of its own."""

PROMPT_KEYS = ("prompt", "raw_prompt", "question")


async def compute_score(
    data_source: str,
    solution_str: str,
    ground_truth: Any,
    extra_info: Mapping[str, Any] | None = None,
    *,
    grm: Mapping[str, Any] | None = None,
    **_: Any,
) -> dict[str, float]:
    """The reward of one response, as `score`, and beside it always the same log values (`group_rewards.INFO_KEYS`).

    Args:
        data_source: not used.
        solution_str: the response.
        ground_truth: shown to the GRM as a reference answer, where there is one.
        extra_info: the row's; holds the prompt.
        grm: see `settings`.

    Raises:
        ConfigError: `grm` is wrong, or nothing says where the service is.
        PromptError: `extra_info` holds no prompt, or one with images.
        ServiceError: nothing that can judge answers at the address when the first reward is asked for.
        RewardError: there is no reward and `failure.policy` is `raise`.
    """
    settings, client = _connection(json.dumps(grm or {}, default=dict))
    group = Group(_prompt(extra_info or {}), (encodable(solution_str),), read_reference(ground_truth))
    [row] = await judge_group(client, group, settings.failure)
    return row.info


@functools.cache
def _connection(section: str) -> tuple[Settings, Client]:
    """Made by the first reward, which waits until the service is there."""
    settings = read_settings(json.loads(section), where="reward.custom_reward_function.reward_kwargs.grm")
    settings = settings.completed(read_ready(settings.url, patience_s=READY_PATIENCE_S), n=1, processes=WORKERS)
    return settings, settings.client()


def _prompt(extra_info: Mapping[str, Any]) -> Conversation:
    for key in PROMPT_KEYS:
        if extra_info.get(key) is not None:
            return read_prompt(extra_info[key])
    raise PromptError(
        f"verl tells a reward function no prompt, and extra_info has none of {', '.join(PROMPT_KEYS)} (it has: "
        f"{', '.join(extra_info) or 'nothing'}): add one to the dataset, or use the reward manager, which needs none"
    )
