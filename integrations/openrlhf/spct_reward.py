"""OpenRLHF reward function for training a GRM itself (`--reward.remote_url $(grm-plugin path openrlhf-spct-reward)`).

+1 for a right verdict, -1 for any other and for none: SPCT's rule-based outcome reward, without a format reward (arXiv
2504.02495, Eq. 11). The prompts and labels are those of `grm-plugin spct rl-data`. No service, no model, no settings.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from grm_plugin.conversation import response_of
from grm_plugin.errors import GRMError
from grm_plugin.spct.outcome import Target, Verdict, verdict_of
from grm_plugin.types import Completion

logger = logging.getLogger(__name__)


def reward_func(queries: Sequence[str], prompts: Sequence[str], labels: Sequence[str]) -> dict[str, Any]:
    """Rewards of critiques.

    Args:
        queries: prompt + critique, decoded with special tokens.
        prompts: as the GRM saw them.
        labels: of `rl-data`.

    Returns:
        `rewards` (+1 or -1), `scores` (1 for right, else 0, for dynamic filtering) and `extra_logs`. Plain floats for
        one sample, which is how OpenRLHF calls since 0.9.1; lists in the order of `queries` for several.

    Raises:
        WireError: a label is none of `rl-data`.
        GroupError: a query does not begin with its prompt.
    """
    try:
        verdicts = [_verdict(*sample) for sample in zip(queries, prompts, labels, strict=True)]
    except GRMError as error:
        logger.error("no reward: %s", error)  # OpenRLHF swallows it, and fails later without naming the cause
        raise
    columns = {
        "rewards": [verdict.reward for verdict in verdicts],
        "scores": [float(verdict.right) for verdict in verdicts],
    }
    logs = {
        "spct_right": columns["scores"],
        "spct_parsed": [float(verdict.scores is not None) for verdict in verdicts],
        "spct_tie": [float(verdict.tie) for verdict in verdicts],
    }
    if len(verdicts) == 1:
        single = {key: value for key, (value,) in columns.items()}
        return {**single, "extra_logs": {key: value for key, (value,) in logs.items()}}
    return {**columns, "extra_logs": logs}


def _verdict(query: str, prompt: str, label: str) -> Verdict:
    return verdict_of(Completion(response_of(query, prompt)), Target.from_json(label))
