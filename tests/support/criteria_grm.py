"""A GRM that scores by two criteria: right, by the number in a response, and kind, by the word."""

from __future__ import annotations

from typing import Any

from grm_plugin.types import Completion, Criterion, Prompt, Sampling
from support.factories import by_number, completions, responses_shown

CRITERIA: list[dict[str, Any]] = [
    {"name": "right", "text": "Is it right?", "weight": 3},
    {"name": "kind", "text": "Is it kind?", "kind": "yes_no"},
]
READ = (Criterion("right", "Is it right?", 3.0), Criterion("kind", "Is it kind?", 1.0, "yes_no"))


def judging(prompt: Prompt, sampling: Sampling) -> list[Completion]:
    """`broken` has no score for right. A list without criteria gets overall scores, by the number."""
    shown = responses_shown(prompt)
    if "#### Criteria ####" not in prompt.messages[-1].content:
        return completions(*[[by_number(text) for text in shown]] * sampling.n)
    right = ", ".join(f"{by_number(text):g}" if text != "broken" else "?" for text in shown)
    kind = ", ".join("yes" if "kind" in text else "no" for text in shown)
    return [Completion(f"Analysis: -\nScores:\n1: \\boxed{{{right}}}\n2: \\boxed{{{kind}}}")] * sampling.n
