"""TRL reward function for training a GRM itself: +1 for a right verdict, else -1 (SPCT, arXiv 2504.02495, Eq. 11).

from grm_plugin.integrations.trl.spct_reward import outcome_reward

dataset = load_dataset("json", data_files="rl.jsonl", split="train")       # of `grm-plugin spct rl-data`
GRPOTrainer(reward_funcs=[outcome_reward], train_dataset=dataset, ...)     # num_generations=4 in the paper
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from grm_plugin.errors import ConfigError, GroupError
from grm_plugin.judging.outcome import Target, verdict_of
from grm_plugin.types import Completion


def outcome_reward(
    completions: Sequence[str | Sequence[Mapping[str, Any]]], label: Sequence[str] | None = None, **columns: Any
) -> list[float]:
    """Rewards of one batch of critiques, +1 or -1 each.

    Args:
        completions: texts, or lists of chat messages.
        label: the column of that name of `rl-data`.
        columns: the dataset's other columns, which are not looked at.

    Raises:
        ConfigError: the dataset has no column `label`.
        WireError: a label is none of `rl-data`.
        GroupError: a completion is neither a text nor chat messages.
    """
    if label is None:
        raise ConfigError("the dataset has no column label: make it with `grm-plugin spct rl-data`")
    return [
        verdict_of(Completion(_text(completion)), Target.from_json(target)).reward
        for completion, target in zip(completions, label, strict=True)
    ]


def _text(completion: str | Sequence[Mapping[str, Any]]) -> str:
    if isinstance(completion, str):
        return completion
    text = completion[-1].get("content") if completion else None
    if not isinstance(text, str):
        raise GroupError("a completion must be a text, or chat messages that end with one that holds a text")
    return text
