"""Rates stored critiques with a meta RM: what another meta RM buys is seen without running the GRM again."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import replace

from grm_plugin._util.concurrency import for_each
from grm_plugin.batch.vote_store import ItemVotes, StoredVote, VoteStore, shown_length
from grm_plugin.config import Config
from grm_plugin.errors import ConfigError, EngineError, PromptTooLong
from grm_plugin.evals.collecting import ITEM_DEADLINE_S
from grm_plugin.evals.meter import VoteMeter
from grm_plugin.judging.prompts import PromptBuilder, draw_marker
from grm_plugin.judging.sanitizing import neutralize_special_tokens, sanitize
from grm_plugin.judging.seams import MetaRM, check_logits
from grm_plugin.judging.voting import with_ratings
from grm_plugin.types import Conversation, Critique


class Rating:
    """Puts the meta RM's logits beside stored votes, and the result into another store.

    The meta RM reads what the service would give it: the item as it was shown, in the order of the critique.

    Args:
        config: its `judge` section as when the votes were drawn; its `meta_rm` describes the meta RM.
        meta_rm: rates.
        store: takes the rated records.
        meter: is told about each.
        concurrency: items rated at once.
    """

    def __init__(self, config: Config, meta_rm: MetaRM, store: VoteStore, meter: VoteMeter, concurrency: int) -> None:
        self._config = config
        self._meta_rm = meta_rm
        self._prompts = PromptBuilder(config.judge.template, config.meta_rm.template if config.meta_rm else None)
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
        conversations = self._conversations(record, critiques)
        try:
            async with asyncio.timeout(ITEM_DEADLINE_S):
                ratings = await self._meta_rm.rate(conversations) if conversations else []
            check_logits(ratings, len(critiques))
            logits = {critique.sample: critique.meta for critique in with_ratings(critiques, ratings)}
        except PromptTooLong:  # such an item is voted on without the meta RM, as in the service
            logits = {}
        except TimeoutError:
            raise EngineError(f"the meta RM has not rated an item within {ITEM_DEADLINE_S:g} s") from None
        votes = tuple(replace(vote, meta=logits.get(sample)) for sample, vote in enumerate(record.votes))
        self._store.add(replace(record, votes=votes))
        self._meter.drawn(votes)

    def _conversations(self, record: ItemVotes, critiques: Sequence[Critique]) -> list[Conversation]:
        members = tuple(range(len(record.item.responses)))
        shown, _ = sanitize(record.item.group, members, self._config.judge, shown_length(record, self._config.judge))
        marker = draw_marker(random.Random(record.item.id))
        tokens = self._config.judge.control_tokens
        texts = [neutralize_special_tokens(critique.text, tokens) for critique in critiques]
        return [
            self._prompts.meta(shown, critique.order, marker, text)
            for critique, text in zip(critiques, texts, strict=True)
        ]


def _critique(vote: StoredVote, sample: int) -> Critique:
    return Critique(vote.scores or (), vote.text, "", "", vote.order, sample, vote.tokens)
