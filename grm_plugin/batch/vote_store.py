"""The votes of `grm-plugin eval`, kept in a file from which every figure can be computed again without a model.

The file is `votes.jsonl` in the folder of a run. Its first line says what the votes were sampled with (`Manifest`);
every other line is an item with its votes (`ItemVotes`).
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Literal

from grm_plugin.batch.append_only import AppendOnlyFile
from grm_plugin.batch.items import Item, item_from_json
from grm_plugin.config import JudgeConfig
from grm_plugin.engines.fingerprint import differing
from grm_plugin.errors import ConfigError, WireError
from grm_plugin.judging.lists import SHORTEST_SHOWN, ShownList, next_shorter
from grm_plugin.judging.prompts import draw_marker
from grm_plugin.judging.sanitizing import sanitize, visible
from grm_plugin.types import Critique, Group, ListJudgement, Unparsed

FILE_NAME = "votes.jsonl"
FORMAT = 1
ROW_START = b'{"evals": '


@dataclass(frozen=True, slots=True)
class Manifest:
    """What the votes of a store were sampled with.

    Attributes:
        suite: the benchmark's name.
        model: what reports call the GRM.
        k: votes asked for per item.
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
        text: the whole critique.
    """

    scores: tuple[float, ...] | None
    order: tuple[int, ...] = ()
    reason: str = ""
    detail: str = ""
    tokens: int = 0
    meta: float | None = None
    text: str = ""


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


class VoteStore(AppendOnlyFile):
    """A store that is open for adding votes. Only one process may have it open at a time.

    Attributes:
        done: id -> item, for every item that has its votes.

    Raises:
        ConfigError: the file cannot be written, is in use, is not a vote store, or holds votes that were sampled with
            something else than `manifest` says.
    """

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self.folder = folder
        self.manifest = manifest
        self.done: dict[str, Item] = {}
        self._found: Manifest | None = None
        super().__init__(folder / FILE_NAME, ROW_START, self._on_row)
        if self._found is None:
            self.append({"evals": FORMAT, **asdict(manifest)})

    def require_same_items(self, items: Iterable[Item]) -> None:
        """Check that the items with votes have not changed: an id must still stand for the same texts and label.

        Raises:
            ConfigError: the store has votes on another item with the id of one of these.
        """
        for item in items:
            if self.done.get(item.id, item) != item:
                raise ConfigError(
                    f"{self.folder} has votes on another item with the id {item.id!r}: give another --output"
                )

    def add(self, record: ItemVotes) -> None:
        """Add an item and its votes. They are safe from kill -9 when this returns.

        Raises:
            ConfigError: the disk is full, or gone.
        """
        self.append(_to_row(record))
        self.done[record.item.id] = record.item

    def _on_row(self, text: bytes, number: int) -> None:
        if self._found is None:
            self._found = _parse_manifest(text, self.path)
            _refuse_another(self._found, self.manifest, self.path)
        else:
            record = _parse_record(text, number, self.path, texts=False)
            self.done[record.item.id] = record.item


def read_store(folder: Path, texts: bool = True) -> tuple[Manifest, list[ItemVotes]]:
    """The manifest and all items of a store. A half row at the end is passed over.

    Args:
        folder: the folder of the store, or its file.
        texts: whether to keep the texts of the critiques. They take most of the memory, and figures do not need them.

    Raises:
        ConfigError: there is no store, or it is damaged.
    """
    path = folder / FILE_NAME if folder.is_dir() else folder
    try:
        with path.open("rb") as stream:
            lines = (line for line in stream if line.endswith(b"\n"))
            first = next(lines, None)
            if first is None:
                raise ConfigError(f"{path} is empty: it is not a vote store")
            manifest = _parse_manifest(first, path)
            return manifest, [_parse_record(line, number, path, texts) for number, line in enumerate(lines, start=2)]
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be read: {error.strerror or error}; --from takes the --output of an earlier run"
        ) from None


def list_as_shown(record: ItemVotes, config: JudgeConfig) -> ShownList:
    """The item as it was shown to the GRM when it voted, with another marker: no critique depends on the marker."""
    showings = _showings(record, config)
    first = next(showings)
    found = (showing for showing in chain((first,), showings) if showing[1] == record.cut)
    group, cut = next(found, first) if record.cut else first
    return ShownList(group, draw_marker(random.Random(record.item.id), group), cut)


def _showings(record: ItemVotes, config: JudgeConfig) -> Iterator[tuple[Group, tuple[int, ...]]]:
    """The item with its responses cut to each length that the GRM may have seen, and how much is left out then.

    The judge cuts all responses of a list to one length, which may be shorter than the configured one. Where a response
    has neither reasoning nor calls of tools, that is what is left of it; else one of the lengths that the judge tries.
    """
    members = tuple(range(len(record.item.responses)))
    for response, cut in zip(record.item.responses, record.cut, strict=False):
        if 0 < cut < (length := len(visible(response, config))):
            yield sanitize(record.item.group, members, config, length - cut)
    limit = config.max_response_chars
    while True:
        shown = sanitize(record.item.group, members, config, limit)
        yield shown
        if limit <= SHORTEST_SHOWN:
            return
        limit = next_shorter(limit, shown[0])


def votes_of(judged: ListJudgement) -> tuple[StoredVote, ...]:
    """The votes that `ListJudge.judge` returned, lost ones too, in the order in which they were sampled."""
    parsed = {critique.sample: critique for critique in judged.critiques}
    lost = iter(judged.unparsed)
    return tuple(
        _stored(parsed[sample]) if sample in parsed else _stored_loss(next(lost)) for sample in range(judged.asked)
    )


def _stored(vote: Critique) -> StoredVote:
    return StoredVote(vote.scores, vote.order, tokens=vote.tokens, meta=vote.meta, text=vote.text)


def _stored_loss(vote: Unparsed) -> StoredVote:
    return StoredVote(None, vote.order, str(vote.reason), vote.detail, vote.tokens, text=vote.text)


def _to_row(record: ItemVotes) -> dict[str, Any]:
    return {
        "evals": FORMAT,
        "item": record.item.to_json(),
        "greedy": [_vote_to_json(vote) for vote in record.greedy],
        "votes": [_vote_to_json(vote) for vote in record.votes],
        "cut": list(record.cut),
    }


def _vote_to_json(vote: StoredVote) -> dict[str, Any]:
    row = {"scores": None if vote.scores is None else list(vote.scores), "order": list(vote.order)}
    rest = {"reason": vote.reason, "detail": vote.detail, "tokens": vote.tokens, "meta": vote.meta, "text": vote.text}
    return row | {key: value for key, value in rest.items() if value not in ("", None)}


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
    )


def _parse_manifest(text: bytes, path: Path) -> Manifest:
    try:
        row = json.loads(text)
        if row.pop("evals") != FORMAT:
            raise ConfigError(
                f"{path} was written by another version of grm_plugin: sample the votes again, into another folder"
            )
        return Manifest(**row)
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ConfigError(f"{path} is not a vote store of `grm-plugin eval`: give another folder") from None


def _parse_record(text: bytes, number: int, path: Path, texts: bool) -> ItemVotes:
    try:
        row = json.loads(text)
        greedy, votes = (tuple(_parse_vote(vote, texts) for vote in row[key]) for key in ("greedy", "votes"))
        return ItemVotes(item_from_json(row["item"], read_before=True), greedy, votes, tuple(row["cut"]))
    except (ValueError, KeyError, TypeError, WireError):
        raise ConfigError(f"{path} line {number} is damaged: remove the line, and its item is judged again") from None


def _refuse_another(found: Manifest, wanted: Manifest, path: Path) -> None:
    """Raises `ConfigError` when the votes in a store were sampled with something else than is wanted now."""
    named = ("suite", "k")
    differ = [
        f"{name} ({getattr(found, name)}, now {getattr(wanted, name)})"
        for name in named
        if getattr(found, name) != getattr(wanted, name)
    ]
    differ += differing(found.fingerprint, wanted.fingerprint)
    if differ:
        raise ConfigError(
            f"{path} holds the votes of another run, which differs in {', '.join(differ)}: give another --output"
        )
