"""Rates stored critiques with a meta RM: what another meta RM buys is seen without running the GRM again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from grm_plugin._util.concurrency import for_each
from grm_plugin._util.deadline import Deadline
from grm_plugin.batch.vote_store import ItemVotes, StoredVote, VoteStore, shown_again
from grm_plugin.errors import ConfigError, EngineError
from grm_plugin.evals.collecting import ITEM_DEADLINE_S
from grm_plugin.evals.meter import VoteMeter
from grm_plugin.judging.lists import ListJudge
from grm_plugin.types import Critique


class Rating:
    """Puts the meta RM's logits beside stored votes, and the result into another store.

    The meta RM reads what the service would give it: the item as it was shown, in the order of the critique.

    Args:
        lists: its `judge` section as when the votes were drawn; its meta RM rates, its GRM is not asked.
        store: takes the rated records.
        meter: is told about each.
        concurrency: items rated at once.
    """

    def __init__(self, lists: ListJudge, store: VoteStore, meter: VoteMeter, concurrency: int) -> None:
        self._lists = lists
        self._store = store
        self._meter = meter
        self._concurrency = concurrency

    async def run(self, records: Sequence[ItemVotes]) -> None:
        """Rate the records that the store lacks.

        Raises:
            EngineError: the meta RM failed, or took longer than `ITEM_DEADLINE_S` for an item.
            ConfigError: the critiques were not kept, or the disk is full.
        """
        missing = (record for record in records if record.item.id not in self._store.done)
        await for_each(missing, self._one, self._concurrency)

    async def _one(self, record: ItemVotes) -> None:
        critiques = [_critique(vote, sample) for sample, vote in enumerate(record.votes) if vote.scores is not None]
        if any(not critique.text for critique in critiques):
            raise ConfigError("the store holds no texts of the critiques: there is nothing to rate")
        shown = shown_again(record, self._lists.config.judge)
        deadline = Deadline.after(ITEM_DEADLINE_S)
        rated = await self._lists.rate(shown, critiques, deadline)
        if (
            rated.error and not rated.too_long
        ):  # an item that is too long is voted on without the meta RM, as in serving
            if deadline.left_s == 0.0:
                raise EngineError(f"the meta RM has not rated an item within {ITEM_DEADLINE_S:g} s")
            raise EngineError(f"the meta RM failed: {rated.error}")
        logits = {critique.sample: critique.meta for critique in rated.critiques}
        votes = tuple(replace(vote, meta=logits.get(sample)) for sample, vote in enumerate(record.votes))
        self._store.add(replace(record, votes=votes))
        self._meter.drawn(votes)


def _critique(vote: StoredVote, sample: int) -> Critique:
    return Critique(vote.scores or (), vote.text, "", "", vote.order, sample, vote.tokens)
