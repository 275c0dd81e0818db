"""Collects the votes of a store: K sampled critiques and a greedy one per item, through the judge."""

from __future__ import annotations

from collections import Counter

from grm_plugin._util.concurrency import all_of
from grm_plugin._util.deadline import Deadline
from grm_plugin.batch.engine_failures import failure_of_list
from grm_plugin.batch.items import Item
from grm_plugin.batch.run import EngineFailed
from grm_plugin.batch.vote_store import ItemVotes, StoredVote, votes_of
from grm_plugin.config import Config
from grm_plugin.errors import EngineError
from grm_plugin.judging.lists import ListJudge
from grm_plugin.judging.seams import Generator, MetaRM
from grm_plugin.types import UnparsedReason

ITEM_DEADLINE_S = 1800.0
"""For all votes or ratings of one item; those that are not in are not stored, and asked for again by the next run."""

NEVER_PARSED_ITEMS = 20
"""So many items without one readable vote mean that the model or the template is the wrong one."""

UNANSWERED = "items in a row without an answer"


def sampled_config(config: Config, k: int, seed: int) -> Config:
    """The configuration that samples the K votes: all of them (no early stopping), seeded."""
    sampling = {"k": k, "adaptive": None, "seed": config.sampling.seed if config.sampling.seed is not None else seed}
    return config.model_copy(update={"sampling": config.sampling.model_copy(update=sampling)})


class VoteCollector:
    """Asks for the votes on one item after the other.

    All responses to an item are judged in one list, whatever `judge.list_size` says: the scores of one vote belong
    together.

    Args:
        config: of `sampled_config`.
        generator, meta_rm: what it describes.
        keep_going: go on even if nothing can be read.
    """

    def __init__(
        self, config: Config, generator: Generator, meta_rm: MetaRM | None = None, keep_going: bool = False
    ) -> None:
        once = {"sampling": config.sampling.model_copy(update={"k": 1, "temperature": 0.0}), "meta_rm": None}
        self._sampled = ListJudge(config, generator, meta_rm)
        self._greedy = ListJudge(config.model_copy(update=once), generator)
        self._sampled.prompts.check()
        self._readable = keep_going
        self._unread_items = 0
        self._reasons: Counter[str] = Counter()

    async def votes_on(self, item: Item) -> ItemVotes | EngineFailed:
        """The votes on an item, or what the engine or the meta RM failed with.

        A critique that cannot be read is an answer, and so is a prompt that is too long for either.

        Raises:
            PromptError: the template cannot be rendered.
        """
        members = tuple(range(len(item.responses)))
        deadline = Deadline.after(ITEM_DEADLINE_S)
        greedy, sampled = await all_of(
            lists.judge(item.group, members, deadline) for lists in (self._greedy, self._sampled)
        )
        failure = failure_of_list(greedy) or failure_of_list(sampled)
        return EngineFailed(failure) if failure else ItemVotes(item, votes_of(greedy), votes_of(sampled), sampled.cut)

    def check_readable(self, record: ItemVotes) -> None:
        """Stop a run that reads nothing: a GRM that writes votes at all does not do so on one item in twenty only.

        Raises:
            EngineError: not one vote on the first `NEVER_PARSED_ITEMS` items could be read.
        """
        self._readable = self._readable or any(vote.scores is not None for vote in record.votes)
        if self._readable or all(vote.reason == UnparsedReason.TOO_LONG for vote in record.votes):
            return
        self._unread_items += 1
        self._reasons.update(_reason(vote) for vote in record.votes)
        if self._unread_items >= NEVER_PARSED_ITEMS:
            reason, times = self._reasons.most_common(1)[0]
            raise EngineError(
                f"the GRM never parses: no vote on {NEVER_PARSED_ITEMS} items could be read ({times} times {reason}). "
                "Is it a GRM, and is judge.template the one that it was trained with? (--keep-going judges all items)"
            )


def _reason(vote: StoredVote) -> str:
    return " ".join(f"{vote.reason}: {vote.detail}".rstrip(": ").split())
