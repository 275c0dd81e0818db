"""TRL reward function for training a GRM itself: +1 for a right verdict, else -1 (SPCT, arXiv 2504.02495, Eq. 11).

from grm_plugin.integrations.trl.spct_reward import outcome_reward

dataset = load_dataset("json", data_files="rl.jsonl", split="train")       # of `grm-plugin spct rl-data`
GRPOTrainer(reward_funcs=[outcome_reward], train_dataset=dataset, ...)     # num_generations=4 in the paper

A critique that was cut by `max_completion_length` earns -1 even if it holds the right verdict: serving would lose it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from grm_plugin.errors import ConfigError, GroupError
from grm_plugin.judging.outcome import Target, verdict_of
from grm_plugin.types import Completion


def outcome_reward(
    completions: Sequence[str | Sequence[Mapping[str, Any]]],
    label: Sequence[str] | None = None,
    completion_ids: Sequence[Sequence[int]] | None = None,
    **columns: Any,
) -> list[float]:
    """Rewards of one batch of critiques, +1 or -1 each.

    Args:
        completions: texts, or lists of chat messages.
        label: the column of that name of `rl-data`.
        completion_ids: the tokens of each, with the one that ended it. None (other trainers) takes all for ended.
        columns: the dataset's other columns, which are not looked at, and TRL's `log_metric`.

    Raises:
        ConfigError: the dataset has no column `label`.
        WireError: a label is none of `rl-data`.
        GroupError: a completion is neither a text nor chat messages.
    """
    if label is None:
        raise ConfigError("the dataset has no column label: make it with `grm-plugin spct rl-data`")
    trainer = getattr(columns.get("log_metric"), "__self__", None)  # the method of the trainer that logs
    reasons = ["stop"] * len(completions)
    if completion_ids is not None:
        reasons = _finish_reasons(completion_ids, getattr(trainer, "eos_token_ids", None))
    return [
        verdict_of(Completion(_text(completion), reason), Target.from_json(target)).reward
        for completion, reason, target in zip(completions, reasons, label, strict=True)
    ]


def _finish_reasons(completion_ids: Sequence[Sequence[int]], end_ids: Collection[int] | None) -> list[str]:
    """`length` for the completions that do not end in one of the end tokens.

    Where these are not known they are those that end the completions that are shorter than the longest one, which the
    limit cannot have cut. If there is none, nobody can tell.
    """
    longest = max(map(len, completion_ids), default=0)
    ends = set(end_ids or (ids[-1] for ids in completion_ids if 0 < len(ids) < longest))
    return ["length" if ends and ids and ids[-1] not in ends else "stop" for ids in completion_ids]


def _text(completion: str | Sequence[Mapping[str, Any]]) -> str:
    if isinstance(completion, str):
        return completion
    text = completion[-1].get("content") if completion else None
    if not isinstance(text, str):
        raise GroupError("a completion must be a text, or chat messages that end with one that holds a text")
    return text
