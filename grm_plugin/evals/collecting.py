"""Draws the votes of a store: K sampled critiques and a greedy one per item, through the judge."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from grm_plugin._util.concurrency import all_of, for_each
from grm_plugin._util.deadline import Deadline
from grm_plugin.batch.engine_failures import FailuresInARow, failure_of_list
from grm_plugin.batch.items import Item
from grm_plugin.batch.vote_store import ItemVotes, StoredVote, VoteStore, votes_of
from grm_plugin.config import Config
from grm_plugin.errors import EngineError
from grm_plugin.evals.meter import VoteMeter
from grm_plugin.judging.lists import ListJudge
from grm_plugin.judging.seams import Generator, MetaRM
from grm_plugin.types import UnparsedReason

ITEM_DEADLINE_S = 1800.0
"""For all votes or ratings of one item; those that are not in are not stored, and asked for again by the next run."""

NEVER_PARSED_ITEMS = 20
"""So many items without one readable vote mean that the model or the template is the wrong one."""


def sampled_config(config: Config, k: int, seed: int) -> Config:
    """The configuration that draws the K votes: all of them (no early stopping), seeded."""
    sampling = {"k": k, "adaptive": None, "seed": config.sampling.seed if config.sampling.seed is not None else seed}
    return config.model_copy(update={"sampling": config.sampling.model_copy(update=sampling)})


class VoteDrawing:
    """One run over items.

    All responses to an item are judged in one list, whatever `judge.list_size` says: the scores of one vote belong
    together. Items for which the engine or the meta RM failed get no record, so that the next run tries them again; a
    critique that cannot be read is an answer, and so is a prompt that is too long for either.

    Args:
        config: of `sampled_config`.
        generator, meta_rm: what it describes.
        store: takes the records.
        meter: is told about each.
        concurrency: items judged at once.
        keep_going: judge all items, even if nothing can be read.
    """

    def __init__(
        self,
        config: Config,
        generator: Generator,
        meta_rm: MetaRM | None,
        store: VoteStore,
        meter: VoteMeter,
        concurrency: int,
        keep_going: bool = False,
    ) -> None:
        self.last_failure = ""
        once = {"sampling": config.sampling.model_copy(update={"k": 1, "temperature": 0.0}), "meta_rm": None}
        self._sampled = ListJudge(config, generator, meta_rm)
        self._greedy = ListJudge(config.model_copy(update=once), generator)
        self._store = store
        self._meter = meter
        self._concurrency = concurrency
        self._keep_going = keep_going
        self._failures = FailuresInARow("items in a row without an answer")
        self._reasons: Counter[str] = Counter()

    async def run(self, items: Sequence[Item]) -> None:
        """Judge the items that have no votes yet, in any order.

        Raises:
            ConfigError: the disk of the store is full, or gone.
            EngineError: nothing but failures for a while, or nothing that can be read.
            PromptError: the template cannot be rendered.
        """
        self._sampled.prompts.check()
        missing = (item for item in items if item.id not in self._store.done)
        await for_each(missing, self._one, self._concurrency)

    async def _one(self, item: Item) -> None:
        members = tuple(range(len(item.responses)))
        deadline = Deadline.after(ITEM_DEADLINE_S)
        greedy, sampled = await all_of(
            lists.judge(item.group, members, deadline) for lists in (self._greedy, self._sampled)
        )
        failure = failure_of_list(greedy) or failure_of_list(sampled)
        if failure:
            self.last_failure = failure
            self._meter.lose()
        self._failures.add(failure)
        if failure:
            return
        record = ItemVotes(item, votes_of(greedy), votes_of(sampled), sampled.cut)
        self._store.add(record)
        self._meter.drawn(record.votes)
        self._check_readable(record.votes)

    def _check_readable(self, votes: Sequence[StoredVote]) -> None:
        """Stop a run that reads nothing: no model writes votes for one item in twenty only."""
        if self._keep_going or self._meter.parsed or all(vote.reason == UnparsedReason.TOO_LONG for vote in votes):
            return
        self._reasons.update(" ".join(f"{vote.reason}: {vote.detail}".rstrip(": ").split()) for vote in votes)
        self._reasons["items"] += 1
        if self._reasons["items"] >= NEVER_PARSED_ITEMS:
            del self._reasons["items"]
            reason, times = self._reasons.most_common(1)[0]
            raise EngineError(
                f"the GRM never parses: no vote on {NEVER_PARSED_ITEMS} items could be read ({times} times {reason}). "
                "Is it a GRM, and is judge.template the one that it was trained with? (--keep-going judges all items)"
            )
