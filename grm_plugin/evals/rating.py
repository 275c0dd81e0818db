"""Rates stored critiques with a meta RM: what another meta RM buys is seen without running the GRM again."""

from __future__ import annotations

from dataclasses import replace

from grm_plugin._util.deadline import Deadline
from grm_plugin.batch.vote_store import ItemVotes, StoredVote, shown_again
from grm_plugin.errors import ConfigError, EngineError
from grm_plugin.evals.collecting import ITEM_DEADLINE_S
from grm_plugin.judging.lists import ListJudge
from grm_plugin.types import Critique


async def rate_votes(lists: ListJudge, record: ItemVotes) -> ItemVotes:
    """A record with the meta RM's logits beside its votes. The meta RM reads what the service would give it.

    Args:
        lists: its `judge` section as when the votes were drawn. Its meta RM rates; its GRM is not asked.
        record: the item, and its votes with the texts of their critiques.

    Raises:
        EngineError: the meta RM failed, or took longer than `ITEM_DEADLINE_S`.
        ConfigError: the critiques were not kept.
    """
    critiques = [_critique(vote, sample) for sample, vote in enumerate(record.votes) if vote.scores is not None]
    if any(not critique.text for critique in critiques):
        raise ConfigError("the store holds no texts of the critiques: there is nothing to rate")
    deadline = Deadline.after(ITEM_DEADLINE_S)
    rated = await lists.rate(shown_again(record, lists.config.judge), critiques, deadline)
    # An item that is too long for the meta RM is voted on without it, as in the service.
    if rated.error and not rated.too_long:
        if deadline.left_s == 0.0:
            raise EngineError(f"the meta RM has not rated an item within {ITEM_DEADLINE_S:g} s")
        raise EngineError(f"the meta RM failed: {rated.error}")
    logits = {critique.sample: critique.meta for critique in rated.critiques}
    return replace(
        record, votes=tuple(replace(vote, meta=logits.get(sample)) for sample, vote in enumerate(record.votes))
    )


def _critique(vote: StoredVote, sample: int) -> Critique:
    return Critique(vote.scores or (), vote.text, "", "", vote.order, sample, vote.tokens)
