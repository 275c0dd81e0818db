"""RMB (Zhou et al., arXiv 2410.09893): pairs and Best-of-N lists, for helpfulness and harmlessness.

Checked against eight of the published helpfulness files; harmlessness files are read by the same rules.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from typing import Any

from grm_plugin.batch.items import Item
from grm_plugin.conversation.chat_turns import conversation_of
from grm_plugin.conversation.messages import text_of
from grm_plugin.errors import WireError
from grm_plugin.evals.benchmarks.rows import BenchmarkRow

FORMATS = {"BoN_set": "BoN", "Pairwise_set": "pairwise"}

GOALS = ("Helpfulness", "Harmlessness")

SUBSETS = tuple(f"{goal} {form}" for goal in GOALS for form in FORMATS.values())
"""The columns of the paper's table, whose mean is the score."""


def rmb(row: BenchmarkRow, left_out: Counter[str]) -> Iterator[Item]:
    """RMB. Columns of pairs: pair_uid, conversation_input, chosen, reject, category_path; of Best-of-N lists: bon_uid,
    conversation_input, bon_best, loser_list, category_path.

    An answer is an object with the key `answer`, or the text that Python prints for such an object; the published files
    have both. A list is right when its best answer is strictly ahead of all others. The subsets are the four columns of
    the paper's table.
    """
    if "bon_uid" in row.values:
        row.need("conversation_input", "bon_best", "loser_list", "category_path")
        answers = [row.values["bon_best"], *_losers(row)]
        uid = row.values["bon_uid"]
    else:
        row.need("pair_uid", "conversation_input", "chosen", "reject", "category_path")
        answers = [row.values["chosen"], row.values["reject"]]
        uid = row.values["pair_uid"]
    path = str(row.values["category_path"])
    yield Item(
        f"{path}/{uid}",
        conversation_of(row.values["conversation_input"]),
        tuple(_answer(answer, row) for answer in answers),
        best=(0,),
        subset=_subset(path, row),
        meta={"scenario": path.rpartition("/")[2]},
    )


def _subset(path: str, row: BenchmarkRow) -> str:
    kind, _, rest = path.partition("/")
    if kind not in FORMATS or not rest:
        raise WireError(f"category_path {path!r} begins with none of {', '.join(FORMATS)}")
    subset = f"{rest.partition('/')[0]} {FORMATS[kind]}"
    if subset not in SUBSETS:
        raise WireError(f"category_path {path!r} is of none of the goals {', '.join(GOALS)}")
    return subset


def _losers(row: BenchmarkRow) -> list[Any]:
    losers = row.values["loser_list"]
    if isinstance(losers, str):
        losers = _printed(losers, row)
    if not isinstance(losers, list) or not losers:
        raise WireError("loser_list must be a list of answers, not empty")
    return losers


def _answer(answer: Any, row: BenchmarkRow) -> str:
    if isinstance(answer, str):
        answer = _printed(answer, row)
    if not isinstance(answer, dict) or "answer" not in answer:
        raise WireError("an answer must be an object with the key answer")
    if not isinstance(answer["answer"], str):
        raise WireError(f"an answer must be text, got {type(answer['answer']).__name__}")
    return text_of(answer["answer"])


def _printed(text: str, row: BenchmarkRow) -> Any:
    """The object that Python printed as this text. Only literals are read: nothing is run."""
    try:
        return ast.literal_eval(text)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        raise WireError("an answer is neither an object nor the printed form of one") from None
