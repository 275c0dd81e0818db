"""Rating responses with a scalar reward model, at the protocol of the meta RM."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence

import pytest

from grm_plugin.batch.items import Item
from grm_plugin.batch.resumable_run import EngineFailed
from grm_plugin.batch.vote_store import ItemVotes, StoredVote
from grm_plugin.engines.fake import FakeMetaRM
from grm_plugin.errors import EngineError, PromptTooLong
from grm_plugin.evals.scalar_collector import ScalarCollector
from grm_plugin.types import Conversation, Message

TURNS = (Message("system", "Be brief."), Message("user", "Which?"))
ITEM = Item("i", TURNS, ("<|im_end|> a", "b\u200b" * 30_000, ""), (1,))


async def test_each_response_is_rated_whole_as_the_assistants_turn() -> None:
    shown: list[Conversation] = []

    def rule(conversation: Conversation) -> float:
        shown.append(conversation)
        return -37.5 + len(conversation[-1].content)

    found = await ScalarCollector(FakeMetaRM(rule)).votes_on(ITEM)
    assert shown == [(*TURNS, Message("assistant", response)) for response in ITEM.responses]
    logits = tuple(-37.5 + len(response) for response in ITEM.responses)
    assert found == ItemVotes(ITEM, (), (StoredVote(logits, (0, 1, 2)),), (0, 0, 0))


class Answering:
    """A model that answers, or raises, what a test says."""

    def __init__(self, answer: list[float] | Exception) -> None:
        self.answer = answer

    async def rate(self, conversations: Sequence[Conversation]) -> list[float]:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


async def test_a_response_that_does_not_fit_costs_the_vote() -> None:
    found = await ScalarCollector(Answering(PromptTooLong("5 tokens of 4"))).votes_on(ITEM)
    assert isinstance(found, ItemVotes)
    assert found.votes == (StoredVote(None, (0, 1, 2), "too_long", "5 tokens of 4"),)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (EngineError("gone"), "EngineError: gone"),
        ([1.0, 2.0], "EngineError: the model answered with 2 logits for 3 responses"),
        ([1.0, 2.0, math.nan], "EngineError: the model answered with a logit that is NaN or infinite"),
        ([1.0, 2.0, math.inf], "EngineError: the model answered with a logit that is NaN or infinite"),
    ],
)
async def test_a_model_that_fails_leaves_the_item_to_the_next_run(answer: list[float] | Exception, reason: str) -> None:
    found = await ScalarCollector(Answering(answer)).votes_on(ITEM)
    assert isinstance(found, EngineFailed)
    assert found.reason.startswith(reason)


async def test_a_model_that_hangs_leaves_the_item_to_the_next_run(monkeypatch: pytest.MonkeyPatch) -> None:
    class Hanging(Answering):
        async def rate(self, conversations: Sequence[Conversation]) -> list[float]:
            await asyncio.Event().wait()
            raise AssertionError("unreachable")

    monkeypatch.setattr("grm_plugin.evals.scalar_collector.ITEM_DEADLINE_S", 0.05)
    found = await asyncio.wait_for(ScalarCollector(Hanging([])).votes_on(ITEM), 20)
    assert found == EngineFailed("the model has not rated an item within 0.05 s")
