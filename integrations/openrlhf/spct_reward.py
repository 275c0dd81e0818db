"""OpenRLHF reward function for training a GRM itself (`--reward.remote_url $(grm-plugin path openrlhf-spct-reward)`).

+1 for a right verdict, -1 for any other and for none: SPCT's rule-based outcome reward, without a format reward (arXiv
2504.02495, Eq. 11). The prompts and labels are those of `grm-plugin spct rl-data`. No service, no model, no settings.

A critique that was cut by the length limit earns -1 even if it holds the right verdict: serving would lose it. OpenRLHF
hands over no finish reason, but the token that ended the critique: where it is missing, the critique was cut.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from grm_plugin.conversation.response import response_of
from grm_plugin.integrations.openrlhf.one_sample import one_sample
from grm_plugin.judging.outcome import Target, verdict_of
from grm_plugin.types import Completion

_TOKEN = r"(?:<[^\s<>]{1,40}>|\[[^\s\[\]]{1,40}\])"
_BEGINS_WITH_TOKEN = re.compile(_TOKEN)  # <｜begin▁of▁sentence｜>
_OPENS_TURN = re.compile(rf"{_TOKEN}[^<>\[\]]{{0,40}}\Z")  # <|im_start|>assistant, <start_of_turn>model, [/INST]
_ENDS_IN_TOKEN = re.compile(rf"{_TOKEN}\s*\Z")

TAIL_CHARS = 128
"""So much of a text's end is looked at for a token."""


def reward_func(queries: Sequence[str], prompts: Sequence[str], labels: Sequence[str]) -> dict[str, Any]:
    """The reward of a critique.

    Args:
        queries: one prompt + critique, decoded with special tokens. Where the prompt is a chat template's with special
            tokens, a query that ends in none was cut; after other prompts nobody can tell.
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
        completion = Completion(response_of(query, prompt), _finish_reason(query, prompt))
        verdict = verdict_of(completion, Target.from_json(label))
    right = float(verdict.right)
    logs = {"spct_right": right, "spct_parsed": float(verdict.scores is not None), "spct_tie": float(verdict.tie)}
    return {"rewards": verdict.reward, "scores": right, "extra_logs": logs}


def _finish_reason(query: str, prompt: str) -> str:
    """`length` where the token that ends a turn is missing."""
    has_tokens = _BEGINS_WITH_TOKEN.match(prompt) or _OPENS_TURN.search(prompt[-TAIL_CHARS:])
    cut = has_tokens and not _ENDS_IN_TOKEN.search(query[-TAIL_CHARS:])
    return "length" if cut else "stop"
