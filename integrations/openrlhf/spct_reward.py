"""OpenRLHF reward function for training a GRM itself (`--reward.remote_url $(grm-plugin path openrlhf-spct-reward)`).

+1 for a right verdict, -1 for any other and for none: SPCT's rule-based outcome reward, without a format reward (arXiv
2504.02495, Eq. 11). The prompts and labels are those of `grm-plugin spct rl-data`. No service, no model, no settings.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from grm_plugin.conversation.response import response_of
from grm_plugin.integrations.openrlhf.one_sample import one_sample
from grm_plugin.judging.outcome import Target, verdict_of
from grm_plugin.types import Completion


def reward_func(queries: Sequence[str], prompts: Sequence[str], labels: Sequence[str]) -> dict[str, Any]:
    """The reward of a critique.

    Args:
        queries: one prompt + critique, decoded with special tokens.
        prompts: one, as the GRM saw it.
        labels: one, of `rl-data`.

    Returns:
        `rewards` (+1 or -1), `scores` (1 for right, else 0, for dynamic filtering) and the values of `extra_logs`, each
        a plain float.

    Raises:
        WireError: the label is none of `rl-data`.
        GroupError: the query does not begin with its prompt, or there are several samples.
    """
    with one_sample(queries, prompts, labels) as (query, prompt, label):
        verdict = verdict_of(Completion(response_of(query, prompt)), Target.from_json(label))
    right = float(verdict.right)
    logs = {"spct_right": right, "spct_parsed": float(verdict.scores is not None), "spct_tie": float(verdict.tie)}
    return {"rewards": verdict.reward, "scores": right, "extra_logs": logs}
