"""Judgements that were recorded elsewhere, in our own format: JSONL with the votes on one item per line.

    {"id": ITEM, "votes": [{"scores": [8, 3], "order": [1, 0], "text": TEXT, "tokens": 90}, {"scores": null}],
     "greedy": {"scores": [9, 2]}, "judge": "generative", "model": NAME}

`scores` are in the order of the item's responses, and null for a vote that was lost (`reason` may say why). `order`
says which response was shown at each position; without it they were shown as they are. Only `id`, `votes` and `scores`
must be there. `judge` is `scalar` where the scores are a reward model's logits.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StrictInt, StrictStr, ValidationError

from grm_plugin._util.text import one_line
from grm_plugin.batch.input_lines import explain_validation
from grm_plugin.batch.vote_store import StoredVote
from grm_plugin.errors import WireError
from grm_plugin.evals.benchmarks.rows import BenchmarkRow
from grm_plugin.evals.recorded.rows import JudgeKind, Recorded
from grm_plugin.judging.seams import LARGEST_LOGIT
from grm_plugin.types import DETAIL_CHARS, UnparsedReason

REASON_CHARS = 60
"""The longest reason by which lost votes are counted; whole messages would make a line each."""

COLUMN = "votes"
"""The key that tells this format."""


class RecordedVote(BaseModel):
    """One vote."""

    model_config = ConfigDict(extra="forbid")

    scores: list[Annotated[float, Field(strict=True, ge=-LARGEST_LOGIT, le=LARGEST_LOGIT)]] | None
    """One number per response, in the item's order; null for a lost vote."""
    order: list[StrictInt] | None = None
    """`order[position]` is the index of the response shown at `position`."""
    text: str = ""
    """The critique."""
    tokens: int = Field(default=0, ge=0)
    """Number of tokens generated."""
    reason: str = ""
    """Why a vote was lost: a few words, by which reports count lost votes. A longer text is kept as a detail."""


class RecordedLine(BaseModel):
    """One line."""

    model_config = ConfigDict(extra="forbid")

    id: StrictStr | StrictInt
    """The item's id, as in --data."""
    votes: list[RecordedVote] = Field(min_length=1)
    """The sampled votes; as many for every item."""
    greedy: RecordedVote | None = None
    """The vote at temperature 0."""
    judge: JudgeKind = "generative"
    """What voted."""
    model: str = ""
    """Its name in reports."""


def read_recorded_line(row: BenchmarkRow) -> tuple[str, Recorded]:
    """The id of an item, and what a line says about it.

    Raises:
        WireError: a field is missing, unknown or wrong; the message names it.
    """
    try:
        line = RecordedLine.model_validate(row.values)
    except ValidationError as error:
        raise WireError(explain_validation(error)) from None
    greedy = () if line.greedy is None else (_stored(line.greedy, "greedy"),)
    votes = tuple(_stored(vote, f"votes.{place}") for place, vote in enumerate(line.votes))
    return str(line.id), Recorded(votes, greedy, line.judge, line.model)


def _stored(vote: RecordedVote, where: str) -> StoredVote:
    order = tuple(vote.order or range(len(vote.scores or ())))
    if sorted(order) != list(range(len(order))):
        raise WireError(f"{where}.order must hold each index of the responses once, not {list(order)}")
    if vote.scores is None:
        reason, detail = one_line(vote.reason), "recorded without scores"
        if not reason or len(reason) > REASON_CHARS:
            reason, detail = str(UnparsedReason.NO_SCORES), reason[:DETAIL_CHARS] or detail
        return StoredVote(None, order, reason, detail, vote.tokens, text=vote.text)
    if vote.reason:
        raise WireError(f"{where}: reason says why a vote was lost, and this one has scores: leave one of them out")
    if len(order) != len(vote.scores):
        raise WireError(f"{where}.order must hold each index of the {len(vote.scores)} scores once, not {list(order)}")
    return StoredVote(tuple(map(float, vote.scores)), order, tokens=vote.tokens, text=vote.text)
