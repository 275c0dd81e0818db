"""Responses that read the same to the GRM: it is shown one of them, and its votes count for all."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grm_plugin.judging.judge import Judge
from grm_plugin.types import Completion, Judgement, Prompt, Sampling
from support.factories import Scripted, by_number, completions, judge_one, make_config, responses_shown, scoring


def place_matters() -> Scripted:
    """A GRM that scores by the place alone: equal texts at different places would get different means."""
    return Scripted(
        lambda prompt, sampling: completions(
            *[[10 - place for place in range(len(prompt.order))]] * sampling.n, tokens=7
        )
    )


def shown(generator: Scripted) -> set[tuple[str, ...]]:
    return {tuple(sorted(responses_shown(prompt))) for prompt, _ in generator.calls}


@pytest.mark.parametrize(
    ("responses", "same_as", "lists"),
    [
        (["a", "a", "a", "a"], [None, 0, 0, 0], {("a",)}),
        (["a", "b", "a", "b"], [None, None, 0, 1], {("a", "b")}),
        (["a", " ", "a", ""], [None, None, 0, None], {("a",)}),
        (["a", "a\u200b", "\u202ea", "A"], [None, 0, 0, None], {("A", "a")}),
        (["<|im_end|>", "<|im_end|>", "< |im_end|>"], [None, 0, 0], {("< |im_end|>",)}),
        (list("abcdea"), [None] * 5 + [0], {("a", "b", "c"), ("d", "e")}),
        (list("abab"), [None, None, 0, 1], {("a", "b")}),
        (["a", "a "], [None, None], {("a", "a ")}),
    ],
    ids=["all", "pairs", "blank", "invisible", "control-token", "across-lists", "order", "white-space"],
)
async def test_the_grm_is_shown_each_text_once(
    responses: list[str], same_as: list[int | None], lists: set[tuple[str, ...]]
) -> None:
    generator = place_matters()
    judgement = await judge_one(Judge(make_config(sampling__k=4), generator), *responses)
    assert shown(generator) == lists
    assert [reward.same_as for reward in judgement.rewards] == same_as
    assert sorted(member for judged in judgement.lists for member in judged.members) == [
        index for index, first in enumerate(same_as) if first is None and responses[index].strip()
    ]
    for reward, first in zip(judgement.rewards, same_as, strict=True):
        assert first is None or numbers(reward) == numbers(judgement.rewards[first])


def numbers(reward: Any) -> tuple[Any, ...]:
    """All of a reward but whose votes it has."""
    return tuple(getattr(reward, name) for name in type(reward).__slots__ if name != "same_as")


@pytest.mark.parametrize("invisible", ["strip", "keep"])
async def test_what_reads_the_same_depends_on_what_is_shown(invisible: str) -> None:
    judge = Judge(make_config(judge__invisible=invisible), scoring(by_number))
    judgement = await judge_one(judge, "7", "7\u200b")
    assert judgement.rewards[1].same_as == (0 if invisible == "strip" else None)


async def test_texts_that_differ_only_in_what_is_cut_read_the_same() -> None:
    judge = Judge(make_config(judge__max_response_chars=100), scoring(by_number))
    start, end = "7" + "." * 99, "." * 50
    judgement = await judge_one(judge, start + "x" * 40 + end, start + "y" * 40 + end, start + "z" * 41 + end)
    assert [reward.same_as for reward in judgement.rewards] == [None, 0, None], "how much is cut is shown"
    assert [reward.cut for reward in judgement.rewards] == [90, 90, 91]


async def test_a_blank_response_that_is_judged_is_shown_once_too() -> None:
    generator = place_matters()
    await judge_one(Judge(make_config(judge__blank_response="judge"), generator), " ", " ", "a")
    assert shown(generator) == {(" ", "a")}


async def test_tokens_are_shared_so_that_they_add_up() -> None:
    judgement = await judge_one(Judge(make_config(sampling__k=4), place_matters()), *"aaab")
    assert [reward.tokens for reward in judgement.rewards] == pytest.approx([14 / 3] * 3 + [14])
    assert sum(reward.tokens for reward in judgement.rewards) == pytest.approx(judgement.lists[0].tokens)


async def test_a_lost_vote_is_lost_for_the_copies_too() -> None:
    def reply(prompt: Prompt, sampling: Sampling) -> list[Completion]:
        if "a" in responses_shown(prompt):
            return [Completion("no verdict")] * sampling.n
        return completions(*[[8]] * sampling.n)

    judgement = await judge_one(Judge(make_config(judge__list_size=1), Scripted(reply)), "a", "b", "a")
    assert [reward.status for reward in judgement.rewards] == ["no_votes", "ok", "no_votes"]
    assert judgement.rewards[2].votes_asked == judgement.rewards[0].votes_asked > 0


@given(st.lists(st.sampled_from(["3", "3\u200b", "5", "7", " ", "9 (x)"]), min_size=1, max_size=9), st.integers(1, 4))
def test_equal_texts_have_equal_rewards_and_all_tokens_are_accounted_for(responses: list[str], list_size: int) -> None:
    judge = Judge(make_config(sampling__k=4, judge__list_size=list_size), place_matters())
    judgement: Judgement = asyncio.run(judge_one(judge, *responses))
    by_text: dict[str, set[Any]] = {}
    for response, reward in zip(responses, judgement.rewards, strict=True):
        by_text.setdefault(response.replace("\u200b", ""), set()).add(numbers(reward))
    assert all(len(kinds) == 1 for text, kinds in by_text.items())
    assert sum(reward.tokens for reward in judgement.rewards) == pytest.approx(
        sum(judged.tokens for judged in judgement.lists)
    )


@pytest.mark.parametrize(
    ("method", "expected"),
    [("group", lambda low, high: [low, low, low, high]), ("rank", lambda low, high: [1 / 3, 1 / 3, 1 / 3, 1.0])],
)
async def test_copies_count_as_members_of_their_group(
    method: str, expected: Callable[[float, float], list[float]]
) -> None:
    judgement = await judge_one(Judge(make_config(normalize__method=method), scoring(by_number)), *"2226")
    low, high = -(3**-0.5), 3**0.5
    assert [reward.value for reward in judgement.rewards] == pytest.approx(expected(low, high))
