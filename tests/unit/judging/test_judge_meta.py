"""The meta filter inside the judge: what it drops, and what it may never cost."""

import asyncio
import math
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from grm_plugin._util.deadline import Deadline
from grm_plugin.config.loading import load_config
from grm_plugin.errors import EngineError, PromptError, PromptTooLong
from grm_plugin.judging.judge import Judge
from grm_plugin.types import Completion, Conversation, Prompt, Sampling, Stopped
from support.factories import (
    Scripted,
    by_number,
    completions,
    judge_one,
    make_config,
    make_group,
    responses_shown,
    scoring,
)
from support.paths import ROOT


class ScriptedMeta:
    def __init__(self, rate: Callable[[Sequence[Conversation]], Any]) -> None:
        self._rate = rate
        self.seen: list[Conversation] = []

    async def rate(self, conversations: Sequence[Conversation]) -> list[float]:
        self.seen += conversations
        ratings = self._rate(conversations)
        return await ratings if isinstance(ratings, Awaitable) else ratings


def by_sample() -> Scripted:
    """k = 4 votes on one response: 1, 2, 3, 4, in the order of the samples."""
    return Scripted(lambda prompt, sampling: completions([1], [2], [3], [4]))


def meta_judge(rate: Callable[[Sequence[Conversation]], Any], **overrides: Any) -> tuple[Judge, ScriptedMeta]:
    meta = ScriptedMeta(rate)
    return Judge(make_config(meta_rm={"model": "a/b"}, sampling__k=4, **overrides), by_sample(), meta), meta


async def test_the_meta_rm_drops_the_worst_half() -> None:
    judge, meta = meta_judge(lambda conversations: [0.1, 2.0, -1.0, 1.0])
    judgement = await judge_one(judge, "a")
    (reward,) = judgement.rewards
    assert (reward.mean, reward.votes_asked, reward.votes_parsed, reward.votes_kept) == (3, 4, 4, 2)
    assert reward.meta == 1.5, "the mean rating of the kept critiques"
    assert not reward.meta_failed
    assert [critique.meta for critique in judgement.lists[0].critiques] == [0.1, 2.0, -1.0, 1.0]
    assert [conversation[-1].role for conversation in meta.seen] == ["assistant"] * 4
    assert "boxed{2}" in meta.seen[1][-1].content


async def test_the_meta_rm_sees_the_order_that_the_critique_saw() -> None:
    meta = ScriptedMeta(lambda conversations: [0.0] * len(conversations))
    generator = scoring(by_number)
    config = make_config(meta_rm={"model": "a/b"})
    judgement = await judge_one(Judge(config, generator, meta), "3", "5", "7")
    shown = [responses_shown(Prompt(conversation[:1], ())) for conversation in meta.seen]
    numbers = ("3", "5", "7")
    assert shown == [[numbers[index] for index in c.order] for c in judgement.lists[0].critiques]


async def test_only_parsed_critiques_are_rated() -> None:
    meta = ScriptedMeta(lambda conversations: [1.0] * len(conversations))
    votes = [*completions([4]), Completion("garbage"), Completion("cut", "length"), *completions([8])]
    config = make_config(meta_rm={"model": "a/b", "k_meta": 3}, sampling__k=4)
    judgement = await judge_one(Judge(config, Scripted(lambda prompt, sampling: votes), meta), "a")
    assert len(meta.seen) == 2
    assert [critique.sample for critique in judgement.lists[0].critiques] == [0, 3], "numbered over all k completions"
    assert judgement.rewards[0].mean == 6
    assert judgement.rewards[0].votes_kept == 2, "fewer parsed than k_meta keeps what there is"


async def test_nothing_parsed_nothing_rated() -> None:
    meta = ScriptedMeta(lambda conversations: [1.0])
    judge = Judge(make_config(meta_rm={"model": "a/b"}), Scripted(lambda prompt, sampling: []), meta)
    assert (await judge_one(judge, "a")).rewards[0].status == "no_votes"
    assert meta.seen == []


def _meta_raises(conversations: Sequence[Conversation]) -> list[float]:
    raise RuntimeError("no such pooling task")


def _meta_cancels_itself(conversations: Sequence[Conversation]) -> list[float]:
    raise asyncio.CancelledError


async def _meta_hangs(conversations: Sequence[Conversation]) -> list[float]:
    await asyncio.Event().wait()
    return []


@pytest.mark.parametrize(
    ("rate", "words"),
    [
        (_meta_raises, "RuntimeError: no such pooling task"),
        (_meta_cancels_itself, "EngineError: the meta RM cancelled the request by itself"),
        (_meta_hangs, "TimeoutError"),
        (lambda conversations: [0.1, 0.2, math.nan, 0.4], "NaN or infinite"),
        (lambda conversations: [0.1, 0.2, math.inf, 0.4], "NaN or infinite"),
        (lambda conversations: [0.1], "1 logits for 4 critiques"),
        (lambda conversations: [0.1] * 5, "5 logits for 4 critiques"),
        (lambda conversations: [], "0 logits for 4 critiques"),
        (lambda conversations: None, "must answer with a list of logits, got NoneType"),
        (lambda conversations: [0.1, 0.2, "best", 0.4], "must answer with a list of logits, got list of float, str"),
    ],
    ids=["raises", "cancels-itself", "hangs", "nan", "inf", "few", "many", "none", "null", "text"],
)
async def test_a_meta_rm_that_fails_costs_the_filter_and_never_a_vote(rate: Any, words: str) -> None:
    judge, _ = meta_judge(rate)
    judgement = await judge_one(judge, "a", timeout_s=1.0 if rate is _meta_hangs else 60.0)
    (reward,) = judgement.rewards
    assert (reward.mean, reward.votes_kept, reward.meta) == (2.5, 4, None)
    assert reward.meta_failed
    assert words in judgement.lists[0].meta_error
    assert not judgement.lists[0].meta_too_long


async def test_critiques_that_are_too_long_for_the_meta_rm_are_told_from_its_failures() -> None:
    def refuse(conversations: Sequence[Conversation]) -> list[float]:
        raise PromptTooLong("9000 tokens")

    judge, _ = meta_judge(refuse)
    judgement = await judge_one(judge, "a")
    assert judgement.lists[0].meta_too_long
    assert judgement.rewards[0].votes_kept == 4


async def test_the_stopping_rule_sees_what_the_vote_will_see() -> None:
    """The critiques that the meta RM drops say the opposite; each critique is rated once."""
    rated: list[int] = []

    def rate(conversations: Sequence[Conversation]) -> list[float]:
        rated.append(len(conversations))
        return [float(number % 2) for number in range(len(conversations))]

    def reply(prompt: Prompt, sampling: Sampling) -> list[Completion]:
        votes = [(2, 9) if number % 2 == 0 else (9, 2) for number in range(sampling.n)]
        return completions(*[[vote[index] for index in prompt.order] for vote in votes])

    config = make_config(meta_rm={"model": "a/b"}, sampling__k=32, sampling__adaptive={})
    judgement = await judge_one(Judge(config, Scripted(reply), ScriptedMeta(rate)), "a", "b")
    assert [(reward.votes_asked, reward.votes_kept) for reward in judgement.rewards] == [(8, 4)] * 2
    assert [reward.mean for reward in judgement.rewards] == [9, 2]
    assert rated == [8]


@pytest.mark.parametrize(
    ("scores", "asked", "stopped"),
    [((9, 4, 3, 2), 8, Stopped.WINNER), ((5, 5, 5, 5), 32, Stopped.ALL)],
    ids=["clear", "tied"],
)
async def test_the_shipped_configuration_stops_on_clear_lists_only(
    scores: tuple[int, ...], asked: int, stopped: Stopped
) -> None:
    config = load_config(ROOT / "configs/deepseek_grm_27b_meta_rm.yaml")

    def reply(prompt: Prompt, sampling: Sampling) -> list[Completion]:
        return completions(*[[scores[index] for index in prompt.order]] * sampling.n)

    judge = Judge(config, Scripted(reply), ScriptedMeta(lambda conversations: [0.5] * len(conversations)))
    judgement = await judge_one(judge, "a", "b", "c", "d")
    found = {(reward.votes_asked, reward.votes_kept, reward.stopped) for reward in judgement.rewards}
    assert found == {(asked, asked // 2, stopped)}


async def test_a_meta_rm_that_fails_between_rounds_is_not_asked_again() -> None:
    asked: list[int] = []

    def fail(conversations: Sequence[Conversation]) -> list[float]:
        asked.append(len(conversations))
        raise EngineError("gone")

    config = make_config(meta_rm={"model": "a/b"}, sampling__k=32, sampling__adaptive={})
    judgement = await judge_one(Judge(config, scoring(lambda response: 5), ScriptedMeta(fail)), "a", "b")
    assert (judgement.rewards[0].votes_asked, judgement.rewards[0].votes_kept) == (32, 32)
    assert judgement.rewards[0].meta_failed
    assert asked == [8]


async def test_a_grm_request_that_hangs_leaves_the_meta_rm_its_time() -> None:
    async def reply(prompt: Prompt, sampling: Sampling) -> list[Completion]:
        if prompt.order == (0, 1):
            await asyncio.sleep(60)
        return completions([3, 4], [5, 6])

    meta = ScriptedMeta(lambda conversations: [0.0, 1.0])
    judge = Judge(make_config(meta_rm={"model": "a/b", "k_meta": 1}, sampling__k=4), Scripted(reply), meta)
    (judgement,) = await judge.judge([make_group("a", "b")], Deadline.after(1.0))
    assert judgement.lists[0].meta_error == ""
    assert [(reward.votes_asked, reward.votes_kept) for reward in judgement.rewards] == [(4, 1)] * 2


async def test_a_template_of_the_meta_rm_that_fails_is_told(tmp_path: Path) -> None:
    """It renders at the start, and not for this critique: that is the user's to mend, and no failure of the model."""
    template = tmp_path / "meta_rm.txt"
    template.write_text("{{ 1 // (n - 1) }}")
    config = make_config(meta_rm={"model": "a/b", "template": str(template)}, sampling__k=4)
    judge = Judge(config, by_sample(), ScriptedMeta(lambda conversations: [1.0] * len(conversations)))
    with pytest.raises(PromptError, match=r"meta_rm\.txt: integer division or modulo by zero"):
        await judge_one(judge, "a")
