"""ReaLMistake (Kamoi et al., arXiv 2404.03602): single responses, with an error or without.

Written from the published schema and not checked against the files, which are gated: no copy was at hand.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping

from grm_plugin._util.digests import digest
from grm_plugin._util.json_values import parse_json
from grm_plugin.batch.items import Item
from grm_plugin.conversation.chat_turns import exchange_of
from grm_plugin.errors import WireError
from grm_plugin.evals.benchmarks.rows import BenchmarkRow

TASKS = ("math_word_problem_generation", "finegrained_fact_verification", "answerability_classification")
"""Names of the configurations on the hub, and of the folders of the archive."""

MODELS = {"gpt4": "gpt-4-0613", "llama2": "Llama-2-70b-chat-hf"}
"""Split on the hub -> the model whose responses it holds, named as the files of the archive are."""

SETS = tuple(f"{task}/{model}" for task in TASKS for model in MODELS.values())
"""The six sets, whose mean is the official figure."""

EXAMPLES = "examples of the paper (not part of the benchmark)"

_LABELS = {"error": 0, "no_error": 1}


def realmistake(row: BenchmarkRow, left_out: Counter[str]) -> Iterator[Item]:
    """ReaLMistake. Columns: input, llm_response, and label (archive) or error_label (hub): error or no_error.

    Its six sets are the responses of two models in three tasks. The model is told by `metadata.llm_response_model`, or
    by the name of the file or split; the task by the name of the folder or configuration.
    """
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
    model = _model(row, parts[-1])
    subset = f"{task}/{model}" if task and model else task
    conversation, responses = exchange_of(row.values["input"], [row.values["llm_response"]])
    name = digest([row.values["input"], row.values["llm_response"]])
    yield Item(f"{task or 'item'}/{name}", conversation, responses, label=_LABELS[label], subset=subset)


def _model(row: BenchmarkRow, name: str) -> str:
    """The model that gave the response; empty where nothing tells it. `name` is that of the file or split."""
    metadata = row.values.get("metadata")
    if isinstance(metadata, str):
        try:
            metadata = parse_json(metadata)
        except ValueError:
            metadata = None
    told = metadata.get("llm_response_model") if isinstance(metadata, Mapping) else None
    if told:
        return str(told).rpartition("/")[2]
    named = (model for split, model in MODELS.items() if name.startswith((split, model)))
    return next(named, "")
