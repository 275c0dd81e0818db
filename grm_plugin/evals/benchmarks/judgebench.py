"""JudgeBench (Tan et al., arXiv 2410.12784): pairs of a right and a wrong answer to hard questions.

Checked against both published files (responses of GPT-4o and of Claude 3.5 Sonnet).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

from grm_plugin.batch.items import Item
from grm_plugin.conversation.chat_turns import exchange_of
from grm_plugin.errors import WireError
from grm_plugin.evals.benchmarks.rows import BenchmarkRow

CATEGORIES = {
    "mmlu-pro": "Knowledge",
    "livebench-reasoning": "Reasoning",
    "livebench-math": "Math",
    "livecodebench": "Coding",
}
"""How the column `source` begins -> subset."""

_MODEL_IN_NAME = re.compile(r"response_model=([^,/\\]+?)(?=,|\.(?:jsonl?|parquet)$|[/\\]|$)")
"""As in the names of the published files: `dataset=judgebench,response_model=NAME.jsonl`."""

_LABELS = {"A>B": 0, "B>A": 1}


def judgebench(row: BenchmarkRow, left_out: Counter[str]) -> Iterator[Item]:
    """JudgeBench. Columns: pair_id, question, response_A, response_B, label (A>B or B>A), source; response_model, which
    the file's name may tell instead: the official set is one file per response model.

    The official score asks once in each order and adds the two up. Here the votes are spread over both orders, which
    comes to the same.
    """
    row.need("pair_id", "question", "response_A", "response_B", "label", "source")
    if "judgments" in row.values:  # the benchmark's folder `outputs` repeats every pair, with a judge's answer
        left_out["rows of a judge's output"] += 1
        return
    label, source = str(row.values["label"]), str(row.values["source"])
    if label not in _LABELS:
        raise WireError(f"label {label!r} is neither A>B nor B>A")
    model = str(row.values.get("response_model") or "")
    in_name = _MODEL_IN_NAME.search(row.source)
    responses = [row.values["response_A"], row.values["response_B"]]
    conversation, texts = exchange_of(row.values["question"], responses)
    yield Item(
        "/".join(filter(None, (model, str(row.values["pair_id"])))),
        conversation,
        texts,
        best=(_LABELS[label],),
        subset=next((name for start, name in CATEGORIES.items() if source.startswith(start)), source),
        meta={"source": source, "response_model": model or (in_name[1] if in_name else "")},
    )
