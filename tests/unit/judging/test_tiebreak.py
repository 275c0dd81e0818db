"""Mode tiebreak: whom the votes on a list do not separate, and what comparing them once more adds."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grm_plugin._util.deadline import Deadline
from grm_plugin.config import Config
from grm_plugin.judging.judge import Judge
from grm_plugin.judging.rewards import NO_VOTES
from grm_plugin.judging.tiebreak import Difference, combined, tied_neighbours, with_tiebreaks
from grm_plugin.judging.voting import tally
from grm_plugin.types import Completion, Judgement, ListJudgement, Prompt, Sampling
from support.factories import (
    Scripted,
    by_number,
    completions,
    judge_one,
    make_config,
    make_critique,
    make_group,
    never,
    responses_shown,
    scoring,
)

FLIP = 0.05


def tiebreak(k: int = 4, **judge: Any) -> Config:
    return make_config(judge={"mode": "tiebreak", **judge}, sampling__k=k)


def a_list(*rows: Sequence[float], members: Sequence[int] | None = None) -> ListJudgement:
    n = len(rows[0])
    critiques = tuple(make_critique(*row, sample=number) for number, row in enumerate(rows))
    return ListJudgement(tuple(members or range(n)), tuple(tally(critiques, n)), critiques, (), (0,) * n)


def group_of(n: int) -> Any:
    return make_group(*(f"response {index}" for index in range(n)))


def means(judgement: Judgement) -> list[float | None]:
    return [reward.mean for reward in judgement.rewards]


def finer(prompt: Prompt, sampling: Sampling) -> list[Completion]:
    """A GRM that sees whole points among four, and tenths (as more points) between two."""
    shown = [float(text.split()[0]) for text in responses_shown(prompt)]
    if len(shown) > 2:
        return completions(*[[int(value) for value in shown]] * sampling.n)
    first, second = shown
    return completions(*[(8, 4) if first > second else (4, 8) if second > first else (6, 6)] * sampling.n)


async def test_only_tied_neighbours_are_compared_and_their_order_is_found() -> None:
    generator = Scripted(finer)
    judgement = await judge_one(Judge(tiebreak(), generator), "3.4", "9.0", "3.1", "6.0")
    assert [(judged.members, judged.purpose) for judged in judgement.lists] == [
        ((0, 1, 2, 3), "votes"),
        ((2, 0), "tiebreak"),
    ]
    pair = [prompt.order for prompt, _ in generator.calls if len(prompt.order) == 2]
    assert sorted(pair) == [(0, 1), (1, 0)]
    better, best, worse, middle = means(judgement)
    assert (best, middle) == (9, 6), "what was not compared stays as it was"
    assert 1 <= (worse or 0) < 3 < (better or 0) < 6
    assert [reward.votes_tiebreak for reward in judgement.rewards] == [4, 0, 4, 0]
    assert [reward.votes_asked for reward in judgement.rewards] == [8, 4, 8, 4]
    assert [reward.votes_parsed for reward in judgement.rewards] == [8, 4, 8, 4]
    assert judgement.rewards[0].spread == 0


async def test_a_list_whose_votes_separate_costs_nothing_more() -> None:
    generator = scoring(by_number)
    judgement = await judge_one(Judge(tiebreak(), generator), "3", "9", "5", "7")
    assert len(judgement.lists) == 1
    assert means(judgement) == [3, 9, 5, 7]
    assert sum(sampling.n for _, sampling in generator.calls) == 4


async def test_pairs_lie_within_a_list_and_have_votes_of_their_own() -> None:
    generator = scoring(lambda _: 5)
    config = tiebreak(4, list_size=3, tiebreak={"k": 2})
    judgement = await judge_one(Judge(config, generator), *(f"text {index}" for index in range(6)))
    pairs = [judged for judged in judgement.lists if judged.purpose == "tiebreak"]
    assert {tuple(sorted(judged.members)) for judged in pairs} == {(0, 1), (1, 2), (3, 4), (4, 5)}
    assert {judged.asked for judged in pairs} == {2}
    assert means(judgement) == pytest.approx([5] * 6)


async def test_lost_tiebreaks_leave_the_votes_of_the_list() -> None:
    def reply(prompt: Prompt, sampling: Sampling) -> list[Completion]:
        shown = responses_shown(prompt)
        return [Completion("?")] * sampling.n if len(shown) == 2 else completions(*[[5] * len(shown)] * sampling.n)

    judgement = await judge_one(Judge(tiebreak(), Scripted(reply)), "a", "b", "c")
    assert means(judgement) == [5, 5, 5]
    assert [reward.votes_asked - reward.votes_parsed for reward in judgement.rewards] == [4, 8, 4]


async def test_a_list_that_cannot_be_read_is_judged_one_by_one_and_not_compared() -> None:
    def reply(prompt: Prompt, sampling: Sampling) -> list[Completion]:
        shown = responses_shown(prompt)
        return [Completion("?")] * sampling.n if len(shown) > 1 else completions(*[[5]] * sampling.n)

    judgement = await judge_one(Judge(tiebreak(), Scripted(reply)), "a", "b")
    assert means(judgement) == [5, 5]
    assert {judged.purpose for judged in judgement.lists} == {"votes"}


async def test_tiebreaks_that_hang_cost_neither_the_deadline_nor_the_votes() -> None:
    async def reply(prompt: Prompt, sampling: Sampling) -> list[Completion]:
        shown = responses_shown(prompt)
        return await never(prompt, sampling) if len(shown) == 2 else completions(*[[5] * len(shown)] * sampling.n)

    judge = Judge(tiebreak(), Scripted(reply))
    assert means(await judge_one(judge, "a", "b", "c", timeout_s=0.3)) == [5, 5, 5]
    group, progress = make_group("a", "b", "c"), judge.begin(Deadline.after(60.0))
    progress.put(group, (0, 1, 2))
    for _ in range(50):
        await asyncio.sleep(0)
    assert means(progress.conclude_now(group)) == [5, 5, 5]


async def test_reliability_learns_from_the_lists_alone() -> None:
    with_pairs, without = (Judge(make_config(judge__mode=mode), Scripted(finer)) for mode in ("tiebreak", "listwise"))
    for judge in (with_pairs, without):
        await judge_one(judge, "3.4", "9.0", "3.1", "6.0")
    assert with_pairs.reliability.sums == without.reliability.sums


def test_whom_the_votes_separate() -> None:
    """Paired differences 2, 1, 2, 1 have t = 5.2, and 1, -1, 2, 0 have 0.8, against 2.35."""
    assert tied_neighbours(group_of(2), a_list((7, 5), (3, 2), (9, 7), (6, 5)), FLIP) == []
    assert tied_neighbours(group_of(2), a_list((7, 6), (3, 4), (9, 7), (5, 5)), FLIP) == [(0, 1)]
    assert tied_neighbours(group_of(2), a_list((5, 9)), FLIP) == [(1, 0)], "one vote says nothing of its error"
    assert tied_neighbours(group_of(2), ListJudgement((0, 1), (None, None), (), (), (0, 0)), FLIP) == []


def test_both_kinds_of_evidence_count_by_their_precision() -> None:
    """Means 5 and 5, each with the floor v, and a difference of 2 with v_12: x_1 - x_2 = 2 * 2 v / (2 v + v_12)."""
    judged = a_list((5, 5), (5, 5))
    v = 0.25**2 / 2 / 2
    found = combined(group_of(2), judged, {(0, 1): Difference(2.0, 0.0625)})
    apart = 2.0 * 2 * v / (2 * v + 0.0625)
    assert [found[0], found[1]] == pytest.approx([5 + apart / 2, 5 - apart / 2])


def test_a_run_of_three_is_solved_as_by_hand() -> None:
    judged = a_list((6, 5, 5), (4, 5, 5), (6, 6, 4), (5, 4, 5))  # means 5.25, 5, 4.75
    differences = {(0, 1): Difference(-1.0, 0.5), (1, 2): Difference(2.0, 0.25)}
    x = combined(group_of(3), judged, differences)
    v = _error(judged)
    m = [5.25, 5.0, 4.75]
    gradient = [
        (x[0] - m[0]) / v + (x[0] - x[1] + 1) / 0.5,
        (x[1] - m[1]) / v - (x[0] - x[1] + 1) / 0.5 + (x[1] - x[2] - 2) / 0.25,
        (x[2] - m[2]) / v - (x[1] - x[2] - 2) / 0.25,
    ]
    assert gradient == pytest.approx([0, 0, 0], abs=1e-9)


def _error(judged: ListJudgement) -> float:
    """Of a mean vote, from the residuals of the two-way table."""
    rows = [critique.scores for critique in judged.critiques]
    t, n = len(rows), len(rows[0])
    grand = sum(map(sum, rows)) / (t * n)
    columns = [sum(column) / t for column in zip(*rows, strict=True)]
    squares = [(value - sum(row) / n - columns[place] + grand) ** 2 for row in rows for place, value in enumerate(row)]
    return sum(squares) / ((t - 1) * (n - 1)) / t


LISTS = st.integers(2, 5).flatmap(
    lambda n: st.lists(st.lists(st.integers(1, 10), min_size=n, max_size=n), min_size=1, max_size=6)
)


def pairs_by(data: st.DataObject, pairs: Sequence[tuple[int, int]]) -> list[ListJudgement]:
    vote = st.tuples(st.integers(1, 10), st.integers(1, 10))
    return [
        replace(a_list(*data.draw(st.lists(vote, min_size=1, max_size=4)), members=pair), purpose="tiebreak")
        for pair in pairs
    ]


@given(LISTS, st.data())
def test_separated_responses_keep_their_order_and_means_their_range(rows: list[list[int]], data: st.DataObject) -> None:
    judged, group = a_list(*rows), group_of(len(rows[0]))
    tied = tied_neighbours(group, judged, FLIP)
    rewards, _ = with_tiebreaks(group, [NO_VOTES] * len(rows[0]), [judged, *pairs_by(data, tied)])
    before = [vote.mean if vote else 0.0 for vote in judged.votes]
    after = [reward.mean or 0.0 for reward in rewards]
    assert all(1 <= mean <= 10 for mean in after)
    ranking = sorted(range(len(before)), key=lambda member: (-before[member], group.responses[member]))
    for place, (better, worse) in enumerate(itertools.pairwise(ranking), 1):
        if (better, worse) not in tied:
            assert min(after[member] for member in ranking[:place]) > max(after[member] for member in ranking[place:])
    compared = {member for pair in tied for member in pair}
    assert all(after[member] == before[member] for member in ranking if member not in compared)


@given(LISTS, st.data())
def test_relabelling_the_responses_relabels_the_rewards(rows: list[list[int]], data: st.DataObject) -> None:
    n = len(rows[0])
    names = data.draw(st.permutations(range(n)))
    group = group_of(n)
    pairs = pairs_by(data, tied_neighbours(group, a_list(*rows), FLIP))
    before, _ = with_tiebreaks(group, [NO_VOTES] * n, [a_list(*rows), *pairs])

    renamed = make_group(*(group.responses[old] for old in names))
    new = {old: place for place, old in enumerate(names)}
    judged = a_list(*([row[old] for old in names] for row in rows))
    assert tied_neighbours(renamed, judged, FLIP) == [
        (new[one], new[other]) for one, other in (p.members for p in pairs)
    ]
    moved = [replace(pair, members=tuple(new[old] for old in pair.members)) for pair in pairs]
    after, _ = with_tiebreaks(renamed, [NO_VOTES] * n, [judged, *moved])
    assert [after[new[old]].mean for old in range(n)] == pytest.approx([reward.mean for reward in before])
