"""Rates the responses of items with a scalar reward model: the baseline of a GRM, on the same benchmarks."""

from __future__ import annotations

from grm_plugin._util.concurrency import unless_cancelled_within
from grm_plugin._util.deadline import Deadline, working_until
from grm_plugin.batch.items import Item
from grm_plugin.batch.resumable_run import EngineFailed
from grm_plugin.batch.vote_store import ItemVotes, StoredVote
from grm_plugin.errors import EngineError, PromptTooLong
from grm_plugin.evals.vote_collector import ITEM_DEADLINE_S
from grm_plugin.judging.seams import MetaRM, check_logits
from grm_plugin.types import DETAIL_CHARS, Message, UnparsedReason


class ScalarCollector:
    """Asks for the logits of items.

    The model is shown what benchmarks show it: the prompt's turns and then the response as the assistant's turn, in its
    own chat template. Nothing is cut, and nothing is put around it.

    Args:
        model: rates conversations; a sequence classification model with one label.
    """

    def __init__(self, model: MetaRM) -> None:
        self._model = model

    async def votes_on(self, item: Item) -> ItemVotes | EngineFailed:
        """One "vote" with a logit per response, in the item's order; or what the model failed with.

        Where a response does not fit into the model's context the vote is lost.
        """
        order = tuple(range(len(item.responses)))
        try:
            vote = StoredVote(await self._logits(item), order)
        except PromptTooLong as error:
            vote = StoredVote(None, order, str(UnparsedReason.TOO_LONG), str(error)[:DETAIL_CHARS])
        except TimeoutError:
            return EngineFailed(f"the model has not rated an item within {ITEM_DEADLINE_S:g} s")
        except EngineError as error:
            return EngineFailed(f"{type(error).__name__}: {error}")
        return ItemVotes(item, (), (vote,), (0,) * len(item.responses))

    async def _logits(self, item: Item) -> tuple[float, ...]:
        conversations = [(*item.conversation, Message("assistant", response)) for response in item.responses]
        deadline = Deadline.after(ITEM_DEADLINE_S)
        with working_until(deadline):
            async with deadline.timeout():
                logits = await unless_cancelled_within(self._model.rate(conversations), "the scalar reward model")
        check_logits(logits, len(conversations), "the model", "responses", "dtype")
        return tuple(map(float, logits))
