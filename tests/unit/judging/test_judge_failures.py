"""An engine that fails costs votes, and never becomes a score."""

import asyncio
import gc
from typing import Any

import pytest

from grm_plugin.errors import EngineError, PromptTooLong
from grm_plugin.judging.judge import Judge
from grm_plugin.serving.counters import Counters
from grm_plugin.types import Completion, Judgement, Prompt, Sampling, UnparsedReason
from support.factories import (
    Scripted,
    completions,
    judge_one,
    make_config,
    make_group,
    never,
    responses_shown,
    until,
)


def reasons(judgement: Judgement) -> list[UnparsedReason]:
    return [vote.reason for judged in judgement.lists for vote in judged.unparsed]


async def _late(prompt: Prompt, sampling: Sampling) -> list[Completion]:
    await asyncio.sleep(30)
    return completions([5] * len(prompt.order))


def _raises(prompt: Prompt, sampling: Sampling) -> list[Completion]:
    raise EngineError("the GPU is on fire")


def _raises_anything(prompt: Prompt, sampling: Sampling) -> list[Completion]:
    raise KeyError("choices")


def _cancels_itself(prompt: Prompt, sampling: Sampling) -> list[Completion]:
    raise asyncio.CancelledError


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (lambda prompt, sampling: [], UnparsedReason.ENGINE),
        (_raises, UnparsedReason.ENGINE),
        (_raises_anything, UnparsedReason.ENGINE),
        (_cancels_itself, UnparsedReason.ENGINE),
        (never, UnparsedReason.TIMEOUT),
        (_late, UnparsedReason.TIMEOUT),
        (lambda prompt, sampling: [Completion("")] * sampling.n, UnparsedReason.EMPTY),
        (lambda prompt, sampling: [Completion("I refuse.")] * sampling.n, UnparsedReason.NO_SCORES),
        (lambda prompt, sampling: completions(*[[5, 5, 5]] * sampling.n), UnparsedReason.WRONG_COUNT),
        (lambda prompt, sampling: completions(*[[11] * len(prompt.order)] * sampling.n), UnparsedReason.OUT_OF_RANGE),
        (lambda prompt, sampling: [Completion("x" * 100, "length", 9)] * sampling.n, UnparsedReason.TRUNCATED),
        (
            lambda prompt, sampling: completions([5] * len(prompt.order), tokens=sampling.max_tokens) * sampling.n,
            UnparsedReason.TRUNCATED,
        ),
    ],
    ids=[
        "nothing",
        "raises",
        "raises-anything",
        "cancels-itself",
        "hangs",
        "late",
        "empty",
        "prose",
        "count",
        "range",
        "cut",
        "full",
    ],
)
@pytest.mark.parametrize("method", ["unit", "running"])
async def test_an_engine_that_fails_costs_votes_and_is_never_a_score(
    reply: Any, reason: UnparsedReason, method: str
) -> None:
    judge = Judge(make_config(normalize__method=method), Scripted(reply))
    judgement = await judge_one(judge, "a", "b", timeout_s=0.05 if reason is UnparsedReason.TIMEOUT else 60.0)
    assert set(reasons(judgement)) == {reason}
    # What was read in vain is asked once more, for each response alone, with its share of the votes.
    asked = 8 if reason.engine_failed else 8 + 4
    for reward in judgement.rewards:
        assert (reward.value, reward.status, reward.mean, reward.unit_mean) == (None, "no_votes", None, None)
        assert (reward.votes_asked, reward.votes_parsed, reward.votes_kept) == (asked, 0, 0)
    assert judge.normalizer.stats.count == 0, "a lost group teaches the running statistics nothing"


@pytest.mark.parametrize("reason", ["unread", "truncated"])
async def test_a_response_that_confuses_the_grm_does_not_take_its_siblings_votes(reason: str) -> None:
    def reply(prompt: Prompt, sampling: Sampling) -> list[Completion]:
        shown = responses_shown(prompt)
        if "flood" in shown:
            return [Completion("and so on", "length" if reason == "truncated" else "stop", 30)] * sampling.n
        return completions(*[[len(text) for text in shown]] * sampling.n)

    judgement = await judge_one(Judge(make_config(), Scripted(reply)), "abc", "flood", "abcde")
    assert [reward.mean for reward in judgement.rewards] == [3, None, 5]
    assert [reward.votes_parsed for reward in judgement.rewards] == [3, 0, 3], "8 votes shared by three, rounded up"
    assert [judged.members for judged in judgement.lists] == [(0, 1, 2), (0,), (1,), (2,)]
    assert len(reasons(judgement)) == 8 + 3, "the votes on the whole list are lost too"
    assert [reward.votes_asked for reward in judgement.rewards] == [8 + 3] * 3
    assert [reward.tokens for reward in judgement.rewards] == [80, 80 + 90, 80]


async def test_a_second_try_is_counted_like_the_first() -> None:
    def reply(prompt: Prompt, sampling: Sampling) -> list[Completion]:
        shown = responses_shown(prompt)
        return completions(*[[5]] * sampling.n) if len(shown) == 1 else [Completion("?")] * sampling.n

    counters = Counters()
    config = make_config(judge__max_response_chars=100)
    await judge_one(Judge(config, Scripted(reply), on_judgement=counters.add), "a", "b" * 200)
    assert (counters.votes_asked, counters.votes_parsed, counters.cut_responses) == (8 + 2 * 4, 8, 1)


async def test_an_engine_that_is_down_is_not_asked_again_for_each_response() -> None:
    generator = Scripted(_raises)
    await judge_one(Judge(make_config(), generator), "a", "b", "c")
    assert len(generator.calls) == 3, "one request per order"


async def test_too_few_completions_cost_only_those_that_are_missing() -> None:
    judge = Judge(make_config(), Scripted(lambda prompt, sampling: completions(*[[5, 5]] * (sampling.n - 1))))
    judgement = await judge_one(judge, "a", "b")
    assert reasons(judgement) == [UnparsedReason.ENGINE] * 2
    assert [reward.votes_parsed for reward in judgement.rewards] == [6, 6]
    assert [reward.mean for reward in judgement.rewards] == [5, 5]


async def test_more_completions_than_asked_do_not_vote_twice() -> None:
    judge = Judge(make_config(), Scripted(lambda prompt, sampling: completions(*[[5, 5]] * (sampling.n + 3))))
    assert (await judge_one(judge, "a", "b")).rewards[0].votes_asked == 8


async def test_one_order_that_hangs_costs_its_votes_only() -> None:
    first: list[tuple[int, ...]] = []

    async def reply(prompt: Prompt, sampling: Sampling) -> list[Completion]:
        first.append(prompt.order)
        return await never(prompt, sampling) if prompt.order == first[0] else completions(*[[9, 9]] * sampling.n)

    generator = Scripted(reply)
    judgement = await judge_one(Judge(make_config(), generator), "a", "b", timeout_s=1.0)
    assert reasons(judgement) == [UnparsedReason.TIMEOUT] * 4
    assert [reward.mean for reward in judgement.rewards] == [9, 9]
    await until(lambda: generator.cancelled == 1)


async def test_one_group_that_fails_leaves_the_others_alone() -> None:
    def reply(prompt: Prompt, sampling: Sampling) -> list[Completion]:
        if "poison" in responses_shown(prompt):
            raise EngineError("gone")
        return completions(*[[8, 8]] * sampling.n)

    lost, judged = await Judge(make_config(), Scripted(reply)).judge([make_group("poison", "b"), make_group("a", "b")])
    assert [reward.value for reward in lost.rewards] == [None, None]
    assert [reward.mean for reward in judged.rewards] == [8, 8]


def fitting(characters: int) -> Scripted:
    """A GRM whose context takes responses of so many characters altogether."""

    def reply(prompt: Prompt, sampling: Sampling) -> list[Completion]:
        shown = responses_shown(prompt)
        if sum(map(len, shown)) > characters:
            raise PromptTooLong("no room")
        return completions(*[[len(text) % 10 + 1 for text in shown]] * sampling.n)

    return Scripted(reply)


async def test_a_response_that_bursts_the_context_is_cut_until_all_fit_and_costs_its_siblings_nothing() -> None:
    judgement = await judge_one(Judge(make_config(), fitting(2000)), "short", "x" * 9000)
    assert [reward.status for reward in judgement.rewards] == ["ok", "ok"]
    assert [reward.cut for reward in judgement.rewards] == [0, 9000 - 1125]
    assert judgement.rewards[0].mean == 6, "the short one is shown whole"


async def test_a_conversation_that_never_fits_is_given_up() -> None:
    generator = fitting(0)
    judgement = await judge_one(Judge(make_config(sampling__k=1), generator), "x" * 1000)
    assert judgement.rewards[0].status == "no_votes"
    assert judgement.lists[0].unparsed[0].reason == "too_long"
    assert len(generator.calls) == 5, "whole, then 500, 250, 125 and 100 characters"


@pytest.mark.parametrize("caller_leaves", [False, True], ids=["deadline", "caller-leaves"])
async def test_an_engine_that_answers_its_cancellation_with_an_error_brings_no_text_into_a_log(
    caplog: pytest.LogCaptureFixture, caller_leaves: bool
) -> None:
    """asyncio logs errors that nobody asks for, whole."""
    over = []

    async def reply(prompt: Prompt, sampling: Sampling) -> list[Completion]:
        try:
            return await never(prompt, sampling)
        except asyncio.CancelledError:
            over.append(prompt)
            raise ValueError(f"aborted: {prompt.messages[-1].content}") from None

    judging = judge_one(
        Judge(make_config(), Scripted(reply)), "secret answer", "b", timeout_s=60 if caller_leaves else 0.05
    )
    if caller_leaves:
        task = asyncio.create_task(judging)
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    else:
        assert set(reasons(await judging)) == {UnparsedReason.TIMEOUT}
    await until(lambda: len(over) == 2)
    await asyncio.sleep(0)
    gc.collect()
    assert "never retrieved" not in caplog.text
    assert "secret answer" not in caplog.text


async def test_a_caller_that_leaves_is_no_failure_of_the_engine() -> None:
    generator = Scripted(never)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await judge_one(Judge(make_config(), generator), "a", "b")
    await until(lambda: generator.cancelled == 2)


async def test_greedy_votes_are_drawn_once_per_order_and_counted_k_times() -> None:
    def reply(prompt: Prompt, sampling: Sampling) -> list[Completion]:
        if sampling.n > 1 or sampling.top_p < 1:
            raise EngineError("refused with greedy sampling")
        return completions([8, 3] if prompt.order == (0, 1) else [4, 9], tokens=5)

    generator = Scripted(reply)
    config = make_config(sampling={"k": 8, "temperature": 0, "top_p": 0.9})
    judgement = await judge_one(Judge(config, generator), "a", "b")
    assert len(generator.calls) == 2
    assert [reward.mean for reward in judgement.rewards] == [8.5, 3.5]
    assert [(reward.votes_asked, reward.votes_kept) for reward in judgement.rewards] == [(8, 8)] * 2
    assert judgement.lists[0].tokens == 10


@pytest.mark.parametrize(
    "completion", [Completion("x", "length", 9), Completion("x", "stop", 9)], ids=["length", "stop"]
)
async def test_the_copies_of_a_cut_completion_are_cut_too(completion: Completion) -> None:
    config = make_config(sampling={"k": 3, "temperature": 0, "max_tokens": 9})
    judgement = await judge_one(Judge(config, Scripted(lambda prompt, sampling: [completion])), "a")
    copies = [vote for vote in judgement.lists[0].unparsed if not vote.tokens]
    assert [vote.reason for vote in copies] == [UnparsedReason.TRUNCATED] * 2
