"""What verl takes for one sample: finite numbers, and log values under always the same keys."""

from __future__ import annotations

from typing import Any

from grm_plugin.judging.fallback import LOG_KEYS, SettledReward

INFO_KEYS = ("score", *LOG_KEYS, "grm_ok")
"""The keys of `reward_extra_info`: verl batches them by the first sample's."""


def as_result(reward: SettledReward) -> dict[str, Any]:
    """The value of verl's `RewardManagerBase.run_single`.

    `reward_extra_info["score"]` repeats the reward, under the name that verl's own managers and group filters use;
    `grm_ok` is 1 for a reward that was voted on and 0 for a fallback.
    """
    info = {"score": reward.value, **reward.logs, "grm_ok": float(not reward.fallback)}
    return {"reward_score": reward.value, "reward_extra_info": info}
