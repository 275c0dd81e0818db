"""ReaLMistake (Kamoi et al., arXiv 2404.03602): single responses, with an error or without.

Written from the published schema and not checked against the files, which are gated: no copy was at hand.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

from grm_plugin._util.digests import digest
from grm_plugin.batch.items import Item
from grm_plugin.errors import WireError
from grm_plugin.evals.benchmark_rows import BenchmarkRow
from grm_plugin.evals.chat_turns import exchange_of

TASKS = ("math_word_problem_generation", "finegrained_fact_verification", "answerability_classification")
"""Names of the configurations on the hub, and of the folders of the archive."""

EXAMPLES = "examples of the paper (not part of the benchmark)"

_LABELS = {"error": 0, "no_error": 1}


def realmistake(row: BenchmarkRow, left_out: Counter[str]) -> Iterator[Item]:
    """ReaLMistake. Columns: input, llm_response, and label (archive) or error_label (hub): error or no_error."""
    parts = re.split(r"[/\\]", row.source)
    if parts[-1] == "example.jsonl":
        left_out[EXAMPLES] += 1
        return
    column = "error_label" if "error_label" in row.values else "label"
    row.need("input", "llm_response", column)
    label = str(row.values[column])
    if label not in _LABELS:
        raise WireError(f"{column} {label!r} is neither error nor no_error")
    task = next((part for part in parts if part in TASKS), "")
    conversation, responses = exchange_of(row.values["input"], [row.values["llm_response"]])
    name = digest([row.values["input"], row.values["llm_response"]])
    yield Item(f"{task or 'item'}/{name}", conversation, responses, label=_LABELS[label], subset=task)
