"""What a vote store holds: what its votes were sampled with, items, and votes; and the rows of its file.

The first row says what the votes were sampled with (`Manifest`); every other row is an item with its votes
(`ItemVotes`), or further votes on an item of an earlier row.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from grm_plugin.batch.items import Item, item_from_json
from grm_plugin.errors import ConfigError, WireError

FORMAT = 1
ROW_START = b'{"evals": '

RECORDED = "import"
"""The part of a fingerprint that stands, alone, for judgements that were recorded elsewhere."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What the votes of a store were sampled with.

    Attributes:
        suite: the benchmark's name.
        model: what reports call the GRM.
        k: votes asked for per item. In a file, those of the first run: a later one may have asked for more, so that
            `len(ItemVotes.votes)` counts.
        meta_rm: what reports call the meta RM; None without one.
        fingerprint: part -> digest (`engines.fingerprint`). Votes may be mixed only where all parts are equal.
        judge: what voted: a `generative` model whose text was read, or a `scalar` reward model, whose one "vote" per
            item are its unbounded logits. Benchmarks count ties of the two kinds differently.
    """

    suite: str
    model: str
    k: int
    meta_rm: str | None
    fingerprint: Mapping[str, str]
    judge: Literal["generative", "scalar"] = "generative"


@dataclass(frozen=True, slots=True)
class StoredVote:
    """One sampled critique: its scores, or why there are none.

    Attributes:
        scores: 1..10 per response, in the order of the item's responses; None for a lost vote.
        order: `order[position]` is the index of the response shown at `position`; empty for some lost votes of older
            stores.
        reason: why the vote was lost, an `UnparsedReason`; else empty.
        detail: what was found instead of scores.
        tokens: number of tokens generated.
        meta: the meta RM's logit; None where it did not rate the critique.
        text: the whole critique, with its scores.
        forced: whether it was cut off and asked for them (`sampling.force_answer`).
    """

    scores: tuple[float, ...] | None
    order: tuple[int, ...] = ()
    reason: str = ""
    detail: str = ""
    tokens: int = 0
    meta: float | None = None
    text: str = ""
    forced: bool = False


@dataclass(frozen=True, slots=True)
class ItemVotes:
    """An item and its votes.

    Attributes:
        item: what was judged.
        greedy: the vote at temperature 0, if one was asked for: one or none.
        votes: the K sampled votes, those of the same order side by side.
        cut: per response, how many of its characters were cut and not shown to the GRM.
    """

    item: Item
    greedy: tuple[StoredVote, ...]
    votes: tuple[StoredVote, ...]
    cut: tuple[int, ...] = ()

    @property
    def id(self) -> str:
        """The item's id."""
        return self.item.id


def to_row(record: ItemVotes) -> dict[str, Any]:
    """The row of an item with its first votes; `parse_record` reads it back."""
    return {
        "evals": FORMAT,
        "item": record.item.to_json(),
        "greedy": [_vote_to_json(vote) for vote in record.greedy],
        "votes": [_vote_to_json(vote) for vote in record.votes],
        "cut": list(record.cut),
    }


def more_to_row(record: ItemVotes) -> dict[str, Any]:
    """The row of further votes on an item of an earlier row."""
    return {"evals": FORMAT, "more": record.id, "votes": [_vote_to_json(vote) for vote in record.votes]}


def _vote_to_json(vote: StoredVote) -> dict[str, Any]:
    row: dict[str, Any] = {"scores": None if vote.scores is None else list(vote.scores), "order": list(vote.order)}
    rest = {"reason": vote.reason, "detail": vote.detail, "tokens": vote.tokens, "meta": vote.meta, "text": vote.text}
    row |= {key: value for key, value in rest.items() if value not in ("", None)}
    return row | {"forced": True} if vote.forced else row


def _parse_vote(row: Mapping[str, Any], texts: bool) -> StoredVote:
    scores = row["scores"]
    return StoredVote(
        None if scores is None else tuple(scores),
        tuple(row["order"]),
        row.get("reason", ""),
        row.get("detail", ""),
        row.get("tokens", 0),
        row.get("meta"),
        row.get("text", "") if texts else "",
        row.get("forced", False),
    )


def parse_manifest(text: bytes, path: Path) -> Manifest:
    """What the first row says.

    Raises:
        ConfigError: it is no manifest, or another version's.
    """
    try:
        row = json.loads(text)
        if row.pop("evals") != FORMAT:
            raise ConfigError(
                f"{path} was written by another version of grm_plugin: sample the votes again, into another folder"
            )
        return Manifest(**row)
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ConfigError(f"{path} is not a vote store of `grm-plugin eval`: give another folder") from None


def parse_record(
    text: bytes, number: int, path: Path, texts: bool, first_votes: Callable[[str], ItemVotes]
) -> ItemVotes:
    """The item of a line with the votes that stand there.

    Args:
        text, number, path: the line, for messages too.
        texts: whether to keep the texts of the critiques.
        first_votes: gives the item of an earlier line by its id, for a line of further votes; raises KeyError where
            there is none.

    Raises:
        ConfigError: the line is neither.
    """
    try:
        row = json.loads(text)
        votes = tuple(_parse_vote(vote, texts) for vote in row["votes"])
        if "more" in row:
            return replace(first_votes(row["more"]), votes=votes)
        greedy = tuple(_parse_vote(vote, texts) for vote in row["greedy"])
        return ItemVotes(item_from_json(row["item"], read_before=True), greedy, votes, tuple(row["cut"]))
    except (ValueError, KeyError, TypeError, WireError):
        raise ConfigError(f"{path} line {number} is damaged: remove the line, and its item is judged again") from None
