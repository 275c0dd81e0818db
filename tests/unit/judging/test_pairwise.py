"""Mode pairwise: which pairs are shown, what their votes make of each response, and what becomes of lost ones."""

from __future__ import annotations

import asyncio
import itertools
import logging
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grm_plugin._util.deadline import Deadline
from grm_plugin.config import Config
from grm_plugin.errors import EngineError
from grm_plugin.judging.comparing import pair_count, pairs_of
from grm_plugin.judging.judge import Judge
from grm_plugin.serving.counters import Counters
from grm_plugin.serving.gathering import Gatherer
from grm_plugin.types import Completion, Judgement, Prompt, Sample, Sampling, Stopped, UnparsedReason
from support.factories import (
    Scripted,
    by_number,
    completions,
    judge_one,
    make_config,
    make_group,
    never,
    responses_shown,
    scoring,
)


def pairwise(k: int = 2, **judge: Any) -> Config:
    return make_config(judge={"mode": "pairwise", **judge}, sampling__k=k)


def borda(k: int = 2, **judge: Any) -> Config:
    return pairwise(k, pair_rewards="borda", **judge)


def means(judgement: Judgement) -> list[float | None]:
    return [reward.mean for reward in judgement.rewards]


async def test_every_pair_is_shown_in_both_orders() -> None:
    generator = scoring(by_number)
    judgement = await judge_one(Judge(borda(4), generator), "3", "7", "5")
    shown = sorted((tuple(responses_shown(prompt)), sampling.n) for prompt, sampling in generator.calls)
    assert shown == sorted((pair, 2) for pair in itertools.permutations(("3", "5", "7"), 2))
    assert means(judgement) == [1, 10, 5.5]
    assert {judged.purpose for judged in judgement.lists} == {"pair"}
    for reward in judgement.rewards:
        assert (reward.votes_asked, reward.votes_parsed, reward.votes_kept) == (8, 8, 8)
    first, best, middle = judgement.rewards
    assert (first.total, best.total, middle.total) == (8, 80, 44)
    assert (first.spread, best.spread, middle.spread) == (0, 0, 4.5)


async def test_bradley_terry_ranks_alike_and_leaves_room_at_the_ends() -> None:
    found = means(await judge_one(Judge(pairwise(8), scoring(by_number)), "3", "7", "5"))
    assert found[0] == pytest.approx(11 - (found[1] or 0))
    assert 1 < (found[0] or 0) < (found[2] or 0) < (found[1] or 0) < 10
    assert found[2] == pytest.approx(5.5)


async def test_a_pair_judge_compares_all_of_them_too() -> None:
    def verdict(prompt: Prompt, sampling: Sampling) -> list[Completion]:
        first, second = map(by_number, responses_shown(prompt))
        return [Completion(f"[[{'A' if first > second else 'B' if second > first else 'C'}]]")] * sampling.n

    config = borda(answer="verdict", list_size=2)
    assert means(await judge_one(Judge(config, Scripted(verdict)), "3", "7", "5", "5.")) == [1, 10, 5.5, 5.5]


@pytest.mark.parametrize("method", ["borda", "bradley_terry"])
async def test_a_tie_is_half_a_vote_for_each(method: str) -> None:
    assert means(await judge_one(Judge(pairwise(pair_rewards=method), scoring(lambda _: 7)), "a", "b")) == [5.5, 5.5]


async def test_copies_are_judged_once_and_blank_ones_not_at_all() -> None:
    generator = scoring(by_number)
    judgement = await judge_one(Judge(borda(), generator), "3", " ", "7", "3")
    assert means(judgement) == [1, 1, 10, 1]
    assert [reward.status for reward in judgement.rewards] == ["ok", "blank", "ok", "ok"]
    assert judgement.rewards[3].same_as == 0
    assert len(judgement.lists) == 1
    assert means(await judge_one(Judge(borda(), generator), "9", "9", "9")) == [5.5, 5.5, 5.5]


@pytest.mark.parametrize("responses", [("5",), ("5", " ")])
async def test_one_that_is_alone_gets_no_vote_and_says_why(
    responses: tuple[str, ...], caplog: pytest.LogCaptureFixture
) -> None:
    generator = scoring(by_number)
    with caplog.at_level(logging.WARNING):
        judgement = await judge_one(Judge(pairwise(), generator), *responses)
    assert generator.calls == []
    assert judgement.rewards[0].status == "no_votes"
    assert [lost.reason for judged in judgement.lists for lost in judged.unparsed] == [UnparsedReason.NO_PAIR]
    assert caplog.text.count("compares pairs") == 1


async def test_lost_pairs_cost_themselves() -> None:
    def reply(prompt: Prompt, sampling: Sampling) -> list[Completion]:
        shown = responses_shown(prompt)
        if set(shown) == {"3", "7"}:
            raise EngineError("gone")
        if "dumb" in shown:
            return [Completion("I cannot tell.")] * sampling.n
        return completions(*[[by_number(text) for text in shown]] * sampling.n)

    judgement = await judge_one(Judge(borda(), Scripted(reply)), "3", "7", "5", "dumb")
    assert means(judgement) == [1, 10, 5.5, None]
    assert [reward.votes_kept for reward in judgement.rewards] == [2, 2, 4, 0]
    assert judgement.rewards[3].status == "no_votes"
    assert judgement.rewards[3].votes_asked == 6
    assert len(judgement.lists) == 6, "no pair is judged one by one"


async def test_pairs_that_came_in_time_count_when_the_judgement_is_cut_off() -> None:
    async def reply(prompt: Prompt, sampling: Sampling) -> list[Completion]:
        shown = responses_shown(prompt)
        if "9" in shown:
            return await never(prompt, sampling)
        return completions(*[[by_number(text) for text in shown]] * sampling.n)

    judge = Judge(borda(), Scripted(reply))
    group, progress = make_group("3", "7", "9"), judge.begin()
    progress.put(group, (0, 1, 2))
    for _ in range(50):
        await asyncio.sleep(0)
    assert means(progress.conclude_now(group)) == [1, 10, None]


async def test_early_stopping_works_inside_each_pair() -> None:
    config = make_config(judge={"mode": "pairwise", "list_size": 1}, sampling={"k": 16, "adaptive": {"goal": "winner"}})
    judgement = await judge_one(Judge(config, scoring(by_number)), "3", "9", "6")
    assert {(judged.asked, judged.stopped) for judged in judgement.lists} == {(4, Stopped.WINNER)}
    assert {(reward.votes_asked, reward.stopped) for reward in judgement.rewards} == {(8, Stopped.WINNER)}


async def test_samples_that_come_one_by_one_wait_for_all_of_them() -> None:
    config, generator = borda(), scoring(by_number)
    gather = Gatherer(Judge(config, generator), config, Counters())
    conversation, texts = make_group("x").conversation, ("5", "7", "9", "2", "4", "6", " ", "7")
    found = await asyncio.gather(
        *(gather.judge_sample(Sample(conversation, text), len(texts), Deadline.after(60.0)) for text in texts)
    )
    assert means(found[0][0]) == means(await judge_one(Judge(config, scoring(by_number)), *texts))
    assert len(found[0][0].lists) == 15


def by_criteria(**verdicts: tuple[int, str]) -> Scripted:
    """A GRM that gives each response, by its text, a score for the first criterion and a yes or no for the second."""

    def reply(prompt: Prompt, sampling: Sampling) -> list[Completion]:
        shown = [verdicts[text.strip()] for text in responses_shown(prompt)]
        scores, yes = (", ".join(str(verdict[place]) for verdict in shown) for place in (0, 1))
        return [Completion(f"Analysis: so.\nScores:\n1: \\boxed{{{scores}}}\n2: \\boxed{{{yes}}}")] * sampling.n

    return Scripted(reply)


CRITERIA = [{"name": "right", "text": "It is right."}, {"name": "polite", "text": "It is polite.", "kind": "must"}]


async def test_criteria_are_compared_one_by_one_and_a_must_decides_alone() -> None:
    generator = by_criteria(a=(9, "yes"), b=(6, "yes"), c=(10, "no"), d=(2, "no"))
    judgement = await judge_one(Judge(borda(criteria=CRITERIA), generator), "a", "b", "c", "d")
    assert means(judgement) == pytest.approx([10, 7, 1, 1])
    right, polite = zip(*(reward.criteria for reward in judgement.rewards), strict=True)
    assert [row.mean for row in right] == pytest.approx([7, 4, 10, 1])
    assert [row.votes for row in right] == [6] * 4
    assert [row.mean for row in polite] == pytest.approx([8.5, 8.5, 2.5, 2.5])


async def test_reliability_is_that_of_the_comparisons() -> None:
    judge = Judge(borda(4), scoring(by_number))
    await judge_one(judge, "3", "7", "5", "9")
    assert judge.reliability.of_rewards == 1.0
    asleep = iter(itertools.cycle([(10, 1), (1, 10)]))
    guessing = Judge(borda(4), Scripted(lambda _, sampling: completions(*[next(asleep) for _ in range(sampling.n)])))
    await judge_one(guessing, "3", "7", "5", "9")
    assert guessing.reliability.of_rewards == 0.0


@pytest.mark.parametrize("n", range(1, 9))
@pytest.mark.parametrize("comparisons", ["all", "circular"])
def test_the_pairs_are_as_many_as_the_plan_says(comparisons: Any, n: int) -> None:
    group, members = make_group(*(f"response {index}" for index in range(n + 1))), tuple(range(1, n + 1))
    pairs = pairs_of(group, members, comparisons, None)
    assert len({frozenset(pair) for pair in pairs}) == len(pairs) == pair_count(n, comparisons)
    reached = {members[0]}
    for _ in members:
        reached |= {member for pair in pairs for member in pair if reached & {*pair}}
    assert reached == {*members}
    if comparisons == "circular" and n > 2:
        assert all(sum(member in pair for pair in pairs) == 2 for member in members)


def test_with_a_seed_the_circle_depends_on_the_texts_only() -> None:
    texts = [f"response {index}" for index in range(7)]

    def circle(order: list[str]) -> set[frozenset[str]]:
        group = make_group(*order)
        return {frozenset(group.responses[i] for i in pair) for pair in pairs_of(group, range(7), "circular", 3)}

    assert circle(texts) == circle(texts[::-1]) == circle([*texts[3:], *texts[:3]])


SCORES = st.lists(st.integers(1, 10), min_size=2, max_size=6)


def judged(config: Config, generator: Scripted, responses: list[str]) -> Judgement:
    return asyncio.run(Judge(config, generator).judge_group(make_group(*responses)))


@given(SCORES, st.sampled_from(["borda", "bradley_terry"]), st.sampled_from(["all", "circular"]), st.data())
def test_relabelling_the_responses_relabels_the_rewards(
    scores: list[int], method: str, comparisons: str, data: st.DataObject
) -> None:
    judge = {"mode": "pairwise", "pair_rewards": method, "comparisons": comparisons}
    config = make_config(judge=judge, sampling={"k": 4, "seed": 1})
    responses = [f"{score} (text {index})" for index, score in enumerate(scores)]
    permutation = data.draw(st.permutations(range(len(scores))))
    before = means(judged(config, scoring(by_number), responses))
    after = means(judged(config, scoring(by_number), [responses[index] for index in permutation]))
    assert after == pytest.approx([before[index] for index in permutation], abs=1e-4)
    if comparisons == "all":
        for one, other in itertools.combinations(range(len(scores)), 2):
            apart = (before[one] or 0) - (before[other] or 0)
            assert math.copysign(1, scores[one] - scores[other]) * apart > 0 or scores[one] == scores[other]


@given(st.data(), st.integers(2, 5), st.sampled_from(["borda", "bradley_terry"]))
def test_any_votes_are_finite_and_a_shift_of_a_critique_changes_nothing(
    data: st.DataObject, n: int, method: str
) -> None:
    """Unbeaten responses, cycles and ties are among them."""
    vote = st.tuples(st.integers(1, 6), st.integers(1, 6))
    votes = {
        pair: data.draw(st.lists(vote, min_size=3, max_size=3), label=str(pair))
        for pair in itertools.combinations(range(n), 2)
    }
    shifts = iter(itertools.cycle(data.draw(st.lists(st.integers(0, 4), min_size=1, max_size=9), label="shifts")))

    def of_votes(shifted: bool) -> list[float | None]:
        drawn = {pair: iter(found) for pair, found in votes.items()}

        def reply(prompt: Prompt, sampling: Sampling) -> list[Completion]:
            shown = [int(by_number(text)) for text in responses_shown(prompt)]
            found = []
            for _ in range(sampling.n):
                scores = dict(zip(sorted(shown), next(drawn[tuple(sorted(shown))]), strict=True))
                shift = next(shifts) if shifted else 0
                found.append([scores[member] + shift for member in shown])
            return completions(*found)

        config = make_config(judge={"mode": "pairwise", "pair_rewards": method}, sampling__k=3)
        return means(judged(config, Scripted(reply), [f"{index}" for index in range(n)]))

    plain = of_votes(False)
    assert plain == of_votes(True)
    assert all(mean is not None and 1 <= mean <= 10 for mean in plain)
    assert math.fsum(mean or 0 for mean in plain) == pytest.approx(5.5 * n, abs=1e-3)
