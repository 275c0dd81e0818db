"""Asks the judge for the votes on an item: K sampled ones and a greedy one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from grm_plugin._util.concurrency import all_of
from grm_plugin._util.deadline import Deadline
from grm_plugin.batch.engine_failures import failure_of_list
from grm_plugin.batch.items import Item
from grm_plugin.batch.lost_votes import advice
from grm_plugin.batch.resumable_run import EngineFailed
from grm_plugin.batch.vote_store import ItemVotes, StoredVote, votes_of
from grm_plugin.config import Config
from grm_plugin.errors import EngineError
from grm_plugin.judging.applying import Applying
from grm_plugin.judging.lists import ListJudge
from grm_plugin.judging.seams import Generator, MetaRM, Wanted
from grm_plugin.types import UnparsedReason

ITEM_DEADLINE_S = 1800.0
"""Longest wait for all votes, or all ratings, of one item. What comes later is lost, and the next run tries again."""

UNREADABLE_ITEMS = 20
"""After this many items without one readable vote the model or the template counts as the wrong one."""


def sampled_config(config: Config, k: int, seed: int) -> Config:
    """The configuration with which the K votes are sampled: always all K (no early stopping), and with a seed.

    Args:
        config: of the GRM and the meta RM.
        k: votes per item.
        seed: used unless `sampling.seed` is set.
    """
    sampling = {"k": k, "adaptive": None, "seed": config.sampling.seed if config.sampling.seed is not None else seed}
    return config.model_copy(update={"sampling": config.sampling.model_copy(update=sampling)})


class VoteCollector:
    """Asks for the votes on items.

    The GRM reads all responses of an item in one list, whatever `judge.list_size` says: a vote compares them all.

    Args:
        config: made by `sampled_config`.
        generator: the GRM.
        meta_rm: rates the sampled critiques; may be None.
        keep_going: go on even if no vote can be read.
        drawn: gives the number of votes that the item of an id has from an earlier run with fewer votes per item.
    """

    def __init__(
        self,
        config: Config,
        generator: Generator,
        meta_rm: MetaRM | None = None,
        keep_going: bool = False,
        drawn: Callable[[str], int] = lambda _: 0,
    ) -> None:
        greedy = {"sampling": config.sampling.model_copy(update={"k": 1, "temperature": 0.0}), "meta_rm": None}
        self._sampled = ListJudge(config, generator, meta_rm)
        self._greedy = ListJudge(config.model_copy(update=greedy), generator)
        self._sampled.prompts.check()
        self._applying = Applying(config.judge)
        self._readable = keep_going
        self._drawn = drawn
        self._unread_items = 0
        self._reasons: Counter[str] = Counter()

    async def votes_on(self, item: Item) -> ItemVotes | EngineFailed:
        """The votes that an item lacks, or what the engine or the meta RM failed with.

        Those are a greedy one and K sampled ones; where the item has votes already, the rest of the K.

        A critique that cannot be read is an answer, and so is the refusal of a prompt that is too long.

        Raises:
            PromptError: the template cannot be rendered.
        """
        group = self._applying.applied(item.group)
        members = tuple(range(len(item.responses)))
        deadline = Deadline.after(ITEM_DEADLINE_S)
        drawn = self._drawn(item.id)
        asked = [self._sampled.judge(group, members, deadline, Wanted(drawn=drawn))]
        if not drawn:
            asked.append(self._greedy.judge(group, members, deadline))
        sampled, *greedy = await all_of(asked)
        failure = next(filter(None, map(failure_of_list, (*greedy, sampled))), "")
        if failure:
            return EngineFailed(failure)
        return ItemVotes(item, votes_of(greedy[0]) if greedy else (), votes_of(sampled), sampled.cut)

    def check_readable(self, record: ItemVotes) -> None:
        """Stop a run in which no vote can be read: a GRM with the right template gives some within twenty items.

        Raises:
            EngineError: not one vote on the first `UNREADABLE_ITEMS` items could be read.
        """
        self._readable = self._readable or any(vote.scores is not None for vote in record.votes)
        if self._readable or all(vote.reason == UnparsedReason.TOO_LONG for vote in record.votes):
            return
        self._unread_items += 1
        self._reasons.update(_reason(vote) for vote in record.votes)
        if self._unread_items >= UNREADABLE_ITEMS:
            reason, times = self._reasons.most_common(1)[0]
            raise EngineError(
                f"no vote on {UNREADABLE_ITEMS} items could be read ({times} times {reason}): "
                f"{advice([reason.partition(':')[0]])} (--keep-going judges all items)"
            )


def _reason(vote: StoredVote) -> str:
    return " ".join(f"{vote.reason}: {vote.detail}".rstrip(": ").split())
