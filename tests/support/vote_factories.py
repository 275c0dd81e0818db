"""Small makers for tests of grm_plugin.evals: items, stored votes, records."""

from __future__ import annotations

from collections.abc import Sequence

from grm_plugin.batch.items import Item
from grm_plugin.batch.vote_store import ItemVotes, Manifest, StoredVote
from grm_plugin.types import Message


def vote(
    *scores: float, order: tuple[int, ...] = (), meta: float | None = None, tokens: int = 0, text: str = ""
) -> StoredVote:
    """A stored vote; without scores, one that could not be read."""
    if not scores:
        return StoredVote(None, order, reason="no_scores", tokens=tokens, text=text)
    return StoredVote(tuple(scores), order or tuple(range(len(scores))), tokens=tokens, meta=meta, text=text)


def manifest(suite: str = "jsonl", k: int = 4, meta_rm: str | None = None) -> Manifest:
    """Of a store without a fingerprint."""
    return Manifest(suite, "a model", k, meta_rm, {})


def make_item(
    name: str = "an item", responses: int = 2, best: int = 0, label: int | None = None, subset: str = ""
) -> Item:
    """`response 0`, `response 1`, ...; with a label there is one response."""
    texts = tuple(f"response {index}" for index in range(1 if label is not None else responses))
    best_ones = () if label is not None else (best,)
    return Item(name, (Message("user", f"{name}?"),), texts, best_ones, label, subset)


def make_record(
    votes: Sequence[StoredVote],
    greedy: Sequence[StoredVote] = (),
    name: str = "an item",
    responses: int | None = None,
    best: int = 0,
    label: int | None = None,
    subset: str = "",
) -> ItemVotes:
    """An item with these votes; as many responses as they score."""
    sizes = [len(given.scores) for given in votes if given.scores]
    n = responses or (sizes[0] if sizes else 2)
    return ItemVotes(make_item(name, n, best, label, subset), tuple(greedy), tuple(votes), (0,) * n)
