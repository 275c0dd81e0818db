"""Judges that compare pairs: a response left over gets a partner, whose own votes stay; alone it gets no vote."""

from __future__ import annotations

import asyncio
import logging

import pytest

from grm_plugin._util.deadline import Deadline
from grm_plugin.config import Config
from grm_plugin.judging.judge import Judge
from grm_plugin.serving.counters import Counters
from grm_plugin.serving.gathering import Gatherer
from grm_plugin.types import Completion, Judgement, Prompt, Sample, Sampling, UnparsedReason
from support.factories import Scripted, by_number, judge_one, make_config, make_group, responses_shown


def pairs_config(**judge: object) -> Config:
    return make_config(judge={"answer": "verdict", "list_size": 2, **judge}, sampling__k=2)


def comparing(prompt: Prompt, sampling: Sampling) -> list[Completion]:
    """A GRM that prefers the response with the larger number."""
    first, second = map(by_number, responses_shown(prompt))
    verdict = "A" if first > second else "B" if first < second else "C"
    return [Completion(f"Well.\n[[{verdict}]]", tokens=4)] * sampling.n


def members(judgement: Judgement) -> list[tuple[int, ...]]:
    return [judged.members for judged in judgement.lists]


def means(judgement: Judgement) -> list[float | None]:
    return [reward.mean for reward in judgement.rewards]


async def test_the_better_of_two_gets_ten() -> None:
    judgement = await judge_one(Judge(pairs_config(), Scripted(comparing)), "3", "7")
    assert means(judgement) == [1, 10]
    assert means(await judge_one(Judge(pairs_config(), Scripted(comparing)), "7", "7.")) == [5.5, 5.5]


@pytest.mark.parametrize("n", range(2, 8))
async def test_every_list_is_a_pair(n: int) -> None:
    generator = Scripted(comparing)
    judgement = await judge_one(Judge(pairs_config(), generator), *[f"{index}" for index in range(n)])
    assert {len(responses_shown(prompt)) for prompt, _ in generator.calls} == {2}
    assert None not in means(judgement)
    assert len(judgement.lists) == -(-n // 2)


async def test_a_response_left_over_is_compared_with_a_sibling_whose_own_vote_stays() -> None:
    judgement = await judge_one(Judge(pairs_config(), Scripted(comparing)), "5", "7", "9")
    assert members(judgement) == [(0, 1), (2, 1)]
    assert means(judgement) == [1, 10, 10], "the second lost to the third, and keeps what it won"
    assert [reward.votes_asked for reward in judgement.rewards] == [2, 4, 2]
    assert [reward.tokens for reward in judgement.rewards] == [4, 8, 4]
    assert judgement.rewards[1].votes_kept == 2


async def test_the_partner_is_one_with_another_text() -> None:
    judgement = await judge_one(Judge(pairs_config(), Scripted(comparing)), "7", "9", "5", "5")
    assert members(judgement) == [(0, 1), (2, 1)]
    assert means(judgement) == [1, 10, 1, 1]


async def test_a_group_of_copies_is_a_tie() -> None:
    judgement = await judge_one(Judge(pairs_config(), Scripted(comparing)), "9", "9", "9")
    assert members(judgement) == [(0, 1)]
    assert means(judgement) == [5.5, 5.5, 5.5]


async def test_a_partner_is_never_blank() -> None:
    judgement = await judge_one(Judge(pairs_config(), Scripted(comparing)), "5", "9", " ", "7")
    assert members(judgement) == [(0, 1), (3, 1)]
    assert means(judgement) == [1, 10, 1, 1]


@pytest.mark.parametrize("responses", [("5",), ("5", ""), (" ", "5", "\n")])
async def test_one_that_is_alone_gets_no_vote_and_says_why(
    responses: tuple[str, ...], caplog: pytest.LogCaptureFixture
) -> None:
    generator = Scripted(comparing)
    with caplog.at_level(logging.WARNING):
        judgement = await judge_one(Judge(pairs_config(), generator), *responses)
    assert generator.calls == []
    assert judgement.rewards[responses.index("5")].status == "no_votes"
    (lost,) = (vote for judged in judgement.lists for vote in judged.unparsed)
    assert lost.reason is UnparsedReason.NO_PAIR
    assert "compares pairs" in lost.detail
    assert "compares pairs" in caplog.text


async def test_a_pair_that_cannot_be_read_is_not_judged_one_by_one() -> None:
    generator = Scripted(lambda prompt, sampling: [Completion("I cannot tell.")] * sampling.n)
    judgement = await judge_one(Judge(pairs_config(), generator), "5", "7")
    assert members(judgement) == [(0, 1)]
    assert means(judgement) == [None, None]


async def test_a_partner_whose_own_pair_was_lost_takes_the_vote_of_the_other() -> None:
    def reply(prompt: Prompt, sampling: Sampling) -> list[Completion]:
        lost = "5" in responses_shown(prompt)
        return [Completion("?")] * sampling.n if lost else comparing(prompt, sampling)

    assert means(await judge_one(Judge(pairs_config(), Scripted(reply)), "5", "7", "9")) == [None, 1, 10]


@pytest.mark.parametrize("judge", [{"preset": "j1"}, {"answer": "regex", "pattern": r"A=(\d+) B=(\d+)"}])
async def test_other_judges_of_pairs_get_pairs_too(judge: dict[str, object]) -> None:
    generator = Scripted(lambda prompt, sampling: [Completion("<scores>\nScores: \\boxed{8, 3}\nA=8 B=3")] * sampling.n)
    config = make_config(judge={"list_size": 2, **judge}, sampling__k=2)
    judgement = await judge_one(Judge(config, generator), "5", "7", "9")
    assert members(judgement) == [(0, 1), (2, 1)]
    assert len({prompt.order for prompt, _ in generator.calls}) == 2


async def gathered(config: Config, generator: Scripted, responses: tuple[str, ...], n: int) -> Judgement:
    gather = Gatherer(Judge(config, generator), config, Counters())
    conversation = make_group("x").conversation
    found = await asyncio.gather(
        *(gather.judge_sample(Sample(conversation, text), n, Deadline.after(60.0)) for text in responses)
    )
    return found[0][0]


@pytest.mark.parametrize("responses", [("5", "7", "9"), ("5", "7", "9", "2", "4"), ("5", " ", "7", "9")])
async def test_samples_that_come_one_by_one_are_paired_alike(responses: tuple[str, ...]) -> None:
    config = pairs_config()
    one_by_one = await gathered(config, Scripted(comparing), responses, len(responses))
    at_once = await judge_one(Judge(config, Scripted(comparing)), *responses)
    assert sorted(members(one_by_one)) == sorted(members(at_once))
    assert means(one_by_one) == means(at_once)


async def test_a_group_whose_siblings_never_come_neither_hangs_nor_scores() -> None:
    config = pairs_config().model_copy(update={"group": make_config(group__wait_s=0.05).group})
    generator = Scripted(comparing)
    judgement = await gathered(config, generator, ("5",), 2)
    assert means(judgement) == [None]
    assert generator.calls == []
