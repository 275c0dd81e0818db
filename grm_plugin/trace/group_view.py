"""What the page shows of one group: its responses, named A, B, C ... in the request's order, and its votes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from string import ascii_uppercase

from grm_plugin.trace.stored_trace import Trace
from grm_plugin.types import Criterion, CriterionReward, Critique, ListJudgement, Reward, Stopped

STATUS_NOTES = {
    "blank": "blank: scored by rule, not by the GRM",
    "no_votes": "no vote: the failure policy gave this reward",
    "rule": "scored by rules alone, the GRM was not asked",
}
"""By `Reward.status`: the note on a response without votes."""


STOPPED_NOTES = {
    Stopped.WINNER: "more votes would hardly name another winner",
    Stopped.PRECISE: "the advantages are precise enough",
    Stopped.FUTILE: "the responses are tied as far as votes can tell",
}
"""By `ListJudgement.stopped`: why early stopping asked for no more votes."""


@dataclass(frozen=True, slots=True)
class ResponseView:
    """One response. `reward` is what the trainer got (None: an error), `scores` are the kept votes, `note` explains;
    `criteria` are those that say something of it."""

    letter: str
    text: str
    reward: float | None
    fallback: bool
    mean: float | None
    spread: float | None
    scores: tuple[float, ...]
    note: str
    criteria: tuple[CriterionReward, ...]


@dataclass(frozen=True, slots=True)
class VoteView:
    """One critique.

    Attributes:
        number: counts the critiques of the group from 1.
        shown: letters of the responses, in the order in which the GRM saw them.
        scores: by letter.
        meta: the meta RM's logit, if there is a meta RM.
        kept: whether the meta RM let it vote.
        tokens: generated for it.
        principles, analysis: the parts of the critique that the parser has found.
        text: all that the GRM wrote by itself.
        forced: whether it was cut off and asked for its scores.
        forced_line: what stands behind `text` then.
        by_criterion: the name of each criterion, and its scores by letter; None where they could not be read.
    """

    number: int
    shown: tuple[str, ...]
    scores: dict[str, float]
    meta: float | None
    kept: bool
    tokens: int
    principles: str
    analysis: str
    text: str
    forced: bool
    forced_line: str
    by_criterion: tuple[tuple[str, dict[str, float] | None], ...]


@dataclass(frozen=True, slots=True)
class LostView:
    """A lost vote: a completion that could not be read, or an error of the engine."""

    reason: str
    detail: str
    text: str


@dataclass(frozen=True, slots=True)
class GroupView:
    """Everything the page of a group shows."""

    turns: tuple[tuple[str, str], ...]
    reference: str | None
    rubric: str | None
    principles: str | None
    criteria: tuple[Criterion, ...]
    responses: tuple[ResponseView, ...]
    votes: tuple[VoteView, ...]
    lost: tuple[LostView, ...]
    meta_errors: tuple[str, ...]
    stopped: tuple[str, ...]
    lists: int


def letter(index: int) -> str:
    """The name of the response at `index` of the request: A, B, ... Z, AA, AB, ..."""
    name = ""
    index += 1
    while index:
        index, rest = divmod(index - 1, 26)
        name = ascii_uppercase[rest] + name
    return name


def view_of(trace: Trace) -> GroupView:
    """What the page shows of a trace.

    Responses come by reward, the best first and those without votes last. Votes come as they were asked for, those that
    the meta RM dropped behind those that it kept.
    """
    judgement = trace.judgement
    critiques = [(judged, critique) for judged in judgement.lists for critique in judged.critiques]
    names = [criterion.name for criterion in judgement.group.criteria]
    votes = [_vote(number, *pair, names) for number, pair in enumerate(critiques, 1)]
    responses = [_response(trace, index) for index in range(len(judgement.rewards))]
    return GroupView(
        turns=tuple((turn.role, turn.content) for turn in judgement.group.conversation),
        reference=judgement.group.reference,
        rubric=judgement.group.rubric,
        principles=judgement.group.principles,
        criteria=judgement.group.criteria,
        responses=tuple(sorted(responses, key=_sort_key)),
        votes=tuple(sorted(votes, key=lambda vote: not vote.kept)),
        lost=tuple(
            LostView(vote.reason, vote.detail, vote.text) for judged in judgement.lists for vote in judged.unparsed
        ),
        stopped=tuple(
            dict.fromkeys(
                STOPPED_NOTES[judged.stopped] for judged in judgement.lists if judged.stopped in STOPPED_NOTES
            )
        ),
        meta_errors=tuple(judged.meta_error for judged in judgement.lists if judged.meta_error),
        lists=len(judgement.lists),
    )


def _sort_key(response: ResponseView) -> tuple[bool, float]:
    return response.fallback, -(response.reward if response.reward is not None else float("-inf"))


def _response(trace: Trace, index: int) -> ResponseView:
    reward: Reward = trace.judgement.rewards[index]
    judged_as = index if reward.same_as is None else reward.same_as
    lists = trace.judgement.lists
    of_lists = [
        vote.scores
        for judged in lists
        for member, vote in zip(judged.members, judged.votes, strict=True)
        if member == judged_as and vote is not None
    ]
    # Of lists the first one counts, of pairs all of them.
    counted = of_lists if any(judged.purpose == "pair" for judged in lists) else of_lists[:1]
    scores = tuple(score for of_list in counted for score in of_list)
    notes = [STATUS_NOTES[reward.status]] if reward.status in STATUS_NOTES else []
    if reward.same_as is not None:
        notes.append(f"reads the same as {letter(reward.same_as)}, which was judged for both")
    if reward.votes_tiebreak:
        notes.append(
            f"compared once more with its neighbours, {reward.votes_tiebreak} critiques: their votes were tied"
        )
    if reward.cut:
        notes.append(f"{reward.cut:,} characters were not shown to the GRM")
    return ResponseView(
        letter=letter(index),
        text=trace.judgement.group.responses[index],
        reward=trace.settled[index].value if trace.settled else reward.value,
        fallback=reward.value is None,
        mean=reward.mean,
        spread=reward.spread,
        scores=scores,
        note="; ".join(notes),
        criteria=tuple(row for row in reward.criteria if row.mean is not None or row.problem),
    )


def _vote(number: int, judged: ListJudgement, critique: Critique, names: Sequence[str]) -> VoteView:
    letters = [letter(member) for member in judged.members]
    return VoteView(
        number=number,
        shown=tuple(letters[index] for index in critique.order),
        scores=dict(zip(letters, critique.scores, strict=True)),
        meta=critique.meta,
        kept=critique.kept,
        tokens=critique.tokens,
        principles=critique.principles,
        analysis=critique.analysis,
        text=critique.text,
        forced=critique.forced,
        forced_line=critique.forced_line,
        by_criterion=tuple(
            (name, None if row is None else dict(zip(letters, row, strict=True)))
            for name, row in zip(names, critique.by_criterion, strict=False)
        ),
    )
