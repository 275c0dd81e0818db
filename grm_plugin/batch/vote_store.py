"""The votes of an evaluation, drawn once and kept: everything that is reported can be computed from this file again.

`votes.jsonl` in the folder of a run. The first line says what drew the votes (`Manifest`); every other line is an item
with its votes (`ItemVotes`).
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from grm_plugin.batch.append_only import AppendOnlyFile
from grm_plugin.batch.fingerprint import differing
from grm_plugin.batch.items import Item, item_from_json
from grm_plugin.config import JudgeConfig
from grm_plugin.errors import ConfigError, WireError
from grm_plugin.judging.lists import ShownList
from grm_plugin.judging.prompts import draw_marker
from grm_plugin.judging.sanitizing import sanitize, visible
from grm_plugin.types import Critique, ListJudgement, Unparsed

FILE_NAME = "votes.jsonl"
FORMAT = 1
ROW_START = b'{"evals": '


@dataclass(frozen=True, slots=True)
class Manifest:
    """What drew the votes of a store.

    Attributes:
        suite: the benchmark's name.
        model: the GRM, as a reader knows it.
        k: votes asked for per item.
        meta_rm: the meta RM, or None.
        fingerprint: part -> digest (`grm_plugin.batch.fingerprint`); stores that agree in all parts may be mixed.
    """

    suite: str
    model: str
    k: int
    meta_rm: str | None
    fingerprint: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class StoredVote:
    """One sampled critique: its scores, or why there are none.

    Attributes:
        scores: 1..10 per response, in the order of the item's responses; None when the critique gave no vote.
        order: which response stood at each position shown; empty for some lost votes of older stores.
        reason: of an absent vote, an `UnparsedReason`; else empty.
        detail: what was found instead.
        tokens: generated.
        meta: the meta RM's logit; None where it did not rate.
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
        greedy: the votes at temperature 0: one, or none where they were not asked for.
        votes: the K sampled ones, those of one order side by side.
        cut: characters that the GRM was not shown of each response.
    """

    item: Item
    greedy: tuple[StoredVote, ...]
    votes: tuple[StoredVote, ...]
    cut: tuple[int, ...] = ()

    @property
    def id(self) -> str:
        """The item's."""
        return self.item.id


class VoteStore(AppendOnlyFile):
    """A store that is open for adding. One process may have it open at a time; nothing in it is ever changed.

    Attributes:
        done: id -> the item as it was judged.

    Raises:
        ConfigError: the file cannot be written, is in use, is no vote store, or holds the votes of something else.
    """

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self.folder = folder
        self.manifest = manifest
        self.done: dict[str, Item] = {}
        self._found: Manifest | None = None
        super().__init__(folder / FILE_NAME, ROW_START, self._on_row)
        if self._found is None:
            self.append({"evals": FORMAT, **asdict(manifest)})

    def check(self, items: Iterable[Item]) -> None:
        """Check that what it holds are votes on these items, as far as it has their ids.

        Raises:
            ConfigError: an item is another one now (its texts, its label).
        """
        for item in items:
            if self.done.get(item.id, item) != item:
                raise ConfigError(
                    f"{self.folder} has votes on another item with the id {item.id!r}: give another --output"
                )

    def add(self, record: ItemVotes) -> None:
        """Add the votes on an item. They are safe from kill -9 when this returns.

        Raises:
            ConfigError: the disk is full, or gone.
        """
        self.append(_to_row(record))
        self.done[record.item.id] = record.item

    def _on_row(self, text: bytes, number: int) -> None:
        if self._found is None:
            self._found = _manifest(text, self.path)
            _refuse_another(self._found, self.manifest, self.path)
        else:
            record = _record(text, number, self.path, texts=False)
            self.done[record.item.id] = record.item


def read_store(folder: Path, texts: bool = True) -> tuple[Manifest, list[ItemVotes]]:
    """What a store holds. A last line that is not whole yet is passed over.

    Args:
        folder: of the store, or its file.
        texts: whether to keep the critiques, which are nearly all of a store; figures need none.

    Raises:
        ConfigError: there is no store, or it is damaged.
    """
    path = folder / FILE_NAME if folder.is_dir() else folder
    try:
        with path.open("rb") as stream:
            lines = (line for line in stream if line.endswith(b"\n"))
            first = next(lines, None)
            if first is None:
                raise ConfigError(f"{path} is empty: it is no vote store")
            manifest = _manifest(first, path)
            return manifest, [_record(line, number, path, texts) for number, line in enumerate(lines, start=2)]
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be read: {error.strerror or error}; --from takes the --output of an earlier run"
        ) from None


def shown_again(record: ItemVotes, config: JudgeConfig) -> ShownList:
    """The item as the GRM was shown it when its votes were drawn, but for the marker, which no critique depends on."""
    # The judge cut all responses to one length, maybe a shorter one than is configured.
    texts = [visible(text, config) for text in record.item.responses]
    lengths = [len(text) - cut for text, cut in zip(texts, record.cut, strict=False) if cut]
    group, cut = sanitize(record.item.group, tuple(range(len(texts))), config, lengths[0] if lengths else None)
    return ShownList(group, draw_marker(random.Random(record.item.id), group), cut)


def votes_of(judged: ListJudgement) -> tuple[StoredVote, ...]:
    """The votes of a `ListJudge.judge`, lost ones too, in the order of their samples."""
    parsed = {critique.sample: critique for critique in judged.critiques}
    lost = iter(judged.unparsed)
    return tuple(_parsed(parsed[sample]) if sample in parsed else _lost(next(lost)) for sample in range(judged.asked))


def _parsed(vote: Critique) -> StoredVote:
    return StoredVote(vote.scores, vote.order, tokens=vote.tokens, meta=vote.meta, text=vote.text)


def _lost(vote: Unparsed) -> StoredVote:
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


def _vote(row: Mapping[str, Any], texts: bool) -> StoredVote:
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


def _manifest(text: bytes, path: Path) -> Manifest:
    try:
        row = json.loads(text)
        if row.pop("evals") != FORMAT:
            raise ConfigError(f"{path} was written by another version of grm_plugin: draw the votes again")
        return Manifest(**row)
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ConfigError(f"{path} is no vote store of `grm-plugin eval`: give another folder") from None


def _record(text: bytes, number: int, path: Path, texts: bool) -> ItemVotes:
    try:
        row = json.loads(text)
        greedy, votes = (tuple(_vote(vote, texts) for vote in row[key]) for key in ("greedy", "votes"))
        return ItemVotes(item_from_json(row["item"]), greedy, votes, tuple(row["cut"]))
    except (ValueError, KeyError, TypeError, WireError):
        raise ConfigError(f"{path} line {number} is damaged: remove it, and its item is judged again") from None


def _refuse_another(found: Manifest, wanted: Manifest, path: Path) -> None:
    """Raises `ConfigError` when the votes in a store are not those that would be drawn now."""
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
