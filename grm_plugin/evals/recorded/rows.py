"""Judgements that were recorded elsewhere, in the formats that the benchmarks' own scripts write.

    JudgeBench       judgments: per order of the two responses a decision, and the scores of a scalar model
    RM-Bench         score_chosen and score_rejected: three logits each
    RMB              chosen_reward and reject_reward
    RewardBench      scores_chosen and scores_rejected
    RewardBench 2    scores: a logit per response, right ones first

Written from the official scripts, and checked against two published files of JudgeBench. `recorded_lines` reads our own
format.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from grm_plugin.batch.vote_store import StoredVote
from grm_plugin.errors import WireError
from grm_plugin.evals.benchmarks.rows import BenchmarkRow
from grm_plugin.judging.seams import LARGEST_LOGIT
from grm_plugin.types import DETAIL_CHARS, UnparsedReason

JudgeKind = Literal["generative", "scalar"]

DECISIONS = {"A>B": (2.0, 1.0), "B>A": (1.0, 2.0), "A=B": (1.0, 1.0)}
"""JudgeBench's decision -> scores of the response shown first and of the other one."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """What one row says about one item.

    Attributes:
        votes: in the order in which they stand there.
        greedy: the vote at temperature 0: one or none.
        judge: what voted; None where all its votes are lost and nothing says.
        model: its name; empty where the row has none.
        right: how many of the item's responses are right ones; None where the row does not say.
    """

    votes: tuple[StoredVote, ...]
    greedy: tuple[StoredVote, ...] = ()
    judge: JudgeKind | None = None
    model: str = ""
    right: int | None = None


@dataclass(frozen=True, slots=True)
class RowFormat:
    """A format of recorded judgements.

    Attributes:
        suite: the benchmark.
        columns: the columns that tell the format, and hold the judgements.
        needs: a column that says that the row holds the whole item, too.
        key: the columns that make the item's id where it does not; none where only a whole row has an id.
        read: makes the judgements.
    """

    suite: str
    columns: tuple[str, ...]
    needs: str
    key: tuple[str, ...]
    read: Callable[[BenchmarkRow], Recorded]

    def fits(self, row: BenchmarkRow) -> bool:
        """Whether a row has all the columns that tell the format."""
        return all(column in row.values for column in self.columns)


def without_judgements(row: BenchmarkRow, columns: tuple[str, ...]) -> BenchmarkRow:
    """The benchmark's own row: without the columns of the judgements, and from the benchmark's own file.

    RM-Bench's script puts the model and the time behind the name of the benchmark's file.
    """
    source = re.sub(r"(_filtered)_[^/\\]*(\.\w+)$", r"\1\2", row.source)
    return BenchmarkRow(source, row.number, {key: value for key, value in row.values.items() if key not in columns})


def rows_of_columns(row: BenchmarkRow) -> Iterator[BenchmarkRow]:
    """RewardBench's scripts write one object that holds a list per column: its rows. Any other row is left as it is.

    Raises:
        WireError: the columns are not equally long.
    """
    names = row.values.get("id")
    if not isinstance(names, list):
        yield row
        return
    columns = {key: value for key, value in row.values.items() if isinstance(value, list)}
    if uneven := [key for key, value in columns.items() if len(value) != len(names)]:
        raise WireError(f"{row.where}: the columns {', '.join(uneven)} and id are not equally long")
    for number in range(len(names)):
        yield replace(
            row, number=number + 1, values=dict(row.values) | {key: value[number] for key, value in columns.items()}
        )


def _judgebench(row: BenchmarkRow) -> Recorded:
    """One vote per order: the second was asked with the responses the other way round."""
    judgements = row.values["judgments"]
    if not isinstance(judgements, list) or not 1 <= len(judgements) <= 2:
        raise WireError("judgments must be a list of one judgement, or of two: one per order of the responses")
    votes, kinds, models = [], set(), set()
    for judgement, order in zip(judgements, ((0, 1), (1, 0)), strict=False):
        if judgement is not None and not isinstance(judgement, Mapping):
            raise WireError(f"a judgement must be an object or null, not {type(judgement).__name__}")
        said = judgement or {}
        details = said.get("judgment")
        details = details if isinstance(details, Mapping) else {}
        if judgement is not None:
            kinds.add("scalar" if details.get("scores") is not None else "generative")
            models.add(str(details.get("judge_model") or ""))
        votes.append(_decided(said.get("decision"), details, order))
    if len(kinds) > 1:
        raise WireError("judgments: one has scores and the other has none")
    if len(models - {""}) > 1:
        raise WireError(f"judgments are of several judges ({', '.join(sorted(models - {''}))}): give one judge's")
    name = str(row.values.get("judge_name") or "")
    model = " ".join(sorted(models - {""})) + (f" ({name})" if name not in ("", "reward_model") else "")
    kind: JudgeKind | None = None if not kinds else "scalar" if "scalar" in kinds else "generative"
    return Recorded(tuple(votes), judge=kind, model=model.strip())


def _decided(decision: Any, details: Mapping[str, Any], order: tuple[int, int]) -> StoredVote:
    """A judgement as a vote, in the item's own order of responses."""
    text = details.get("response")
    text = text if isinstance(text, str) else ""
    if details.get("scores") is not None:
        shown = numbers(details["scores"], "scores", 2)
        # The official code says B>A where the scores are equal.
        allowed = ("A>B",) if shown[0] > shown[1] else ("B>A",) if shown[0] < shown[1] else ("B>A", "A=B")
        if decision not in allowed:
            raise WireError(f"the decision {decision!r} contradicts the scores {list(shown)}")
    elif isinstance(decision, str) and decision in DECISIONS:
        shown = DECISIONS[decision]
    elif decision is None or (isinstance(decision, str) and re.fullmatch(r"[AB<>=\s]*", decision)):
        detail = "no decision" if decision is None else f"decision {decision!r}"
        return StoredVote(None, order, str(UnparsedReason.NO_SCORES), detail, text=text)
    else:
        raise WireError(f"decision {decision!r} is none of {', '.join(DECISIONS)} and null")
    return StoredVote(tuple(shown[order.index(index)] for index in (0, 1)), order, text=text)


def _scalar(right: str, wrong: str, count: int) -> Callable[[BenchmarkRow], Recorded]:
    """Reads the logits of a scalar model: two columns, of the right and the wrong responses, with `count` each."""

    def read(row: BenchmarkRow) -> Recorded:
        return _logits(row, [logit for name in (right, wrong) for logit in numbers(row.values[name], name, count)])

    return read


def _rewardbench_2(row: BenchmarkRow) -> Recorded:
    """The logits of a scalar model, those of the right responses first; `num_correct` says how many these are."""
    right = row.values["num_correct"]
    if not isinstance(right, int) or isinstance(right, bool):
        raise WireError(f"num_correct: {right!r} is no whole number")
    return replace(_logits(row, numbers(row.values["scores"], "scores")), right=right)


def _logits(row: BenchmarkRow, logits: Sequence[float]) -> Recorded:
    vote = StoredVote(tuple(logits), tuple(range(len(logits))))
    return Recorded((vote,), judge="scalar", model=str(row.values.get("model") or ""))


def numbers(value: Any, column: str, count: int | None = None) -> tuple[float, ...]:
    """The numbers in a column, of a size that a model can give: one, or a list; scripts often write a number as a list
    of one.

    Raises:
        WireError: it is something else, or not `count` numbers.
    """
    found = [item[0] if isinstance(item, list) and len(item) == 1 else item for item in _as_list(value)]
    for item in found:
        if isinstance(item, bool) or not isinstance(item, int | float) or not abs(item) <= LARGEST_LOGIT:
            raise WireError(f"{column}: {repr(item)[:DETAIL_CHARS]} is no finite number")
    if count is not None and len(found) != count:
        raise WireError(f"{column} must be {count} number{'s' * (count > 1)}, not {len(found)}")
    return tuple(map(float, found))


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


FORMATS = (
    RowFormat("judgebench", ("judgments",), "question", (), _judgebench),
    RowFormat(
        "rm-bench", ("score_chosen", "score_rejected"), "chosen", (), _scalar("score_chosen", "score_rejected", 3)
    ),
    RowFormat(
        "rmb",
        ("chosen_reward", "reject_reward"),
        "conversation_input",
        ("category_path", "pair_uid"),
        _scalar("chosen_reward", "reject_reward", 1),
    ),
    RowFormat(
        "rewardbench",
        ("scores_chosen", "scores_rejected"),
        "chosen",
        ("subset", "id"),
        _scalar("scores_chosen", "scores_rejected", 1),
    ),
    RowFormat("rewardbench2", ("scores", "num_correct"), "chosen", ("subset", "id"), _rewardbench_2),
)
"""By benchmark."""
