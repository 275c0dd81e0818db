"""Rates stored critiques with a meta RM, so that meta RMs can be compared without running the GRM again."""

from __future__ import annotations

from dataclasses import replace

from grm_plugin._util.deadline import Deadline
from grm_plugin.batch.shown_lists import list_as_shown
from grm_plugin.batch.vote_store import ItemVotes, StoredVote
from grm_plugin.errors import ConfigError, EngineError, PromptTooLong
from grm_plugin.evals.vote_collector import ITEM_DEADLINE_S
from grm_plugin.judging.lists import ListJudge
from grm_plugin.types import Critique


async def rate_votes(lists: ListJudge, record: ItemVotes) -> ItemVotes:
    """The record with the meta RM's logits in its votes. The meta RM reads the same text as in the service.

    Args:
        lists: holds the meta RM. Its `judge` section must be the one that the votes were sampled with; its GRM is not
            asked.
        record: an item and its votes, with the texts of their critiques.

    Raises:
        EngineError: the meta RM failed, or took longer than `ITEM_DEADLINE_S`.
        ConfigError: the store has no texts of the critiques.
    """
    critiques = [_critique(vote, sample) for sample, vote in enumerate(record.votes) if vote.scores is not None]
    if any(not critique.text for critique in critiques):
        raise ConfigError("the store holds no texts of the critiques: there is nothing to rate")
    shown = list_as_shown(record, lists.config.judge)
    try:
        rated = await lists.rate(shown, critiques, Deadline.after(ITEM_DEADLINE_S))
    except PromptTooLong:  # the item has a vote without the meta RM, as in the service
        rated = critiques
    except TimeoutError:
        raise EngineError(f"the meta RM has not rated an item within {ITEM_DEADLINE_S:g} s") from None
    logits = {critique.sample: critique.meta for critique in rated}
    return replace(
        record, votes=tuple(replace(vote, meta=logits.get(sample)) for sample, vote in enumerate(record.votes))
    )


def _critique(vote: StoredVote, sample: int) -> Critique:
    return Critique(vote.scores or (), vote.text, "", "", vote.order, sample, vote.tokens)
