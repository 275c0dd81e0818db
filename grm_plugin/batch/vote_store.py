"""The votes of `grm-plugin eval`, kept in a file from which every figure can be computed again without a model.

The file is `votes.jsonl` in the folder of a run; `grm_plugin.batch.vote_rows` says what its rows are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from grm_plugin.batch.append_only import AppendOnlyFile
from grm_plugin.batch.items import Item
from grm_plugin.batch.vote_rows import (
    FORMAT,
    RECORDED,
    ROW_START,
    ItemVotes,
    Manifest,
    StoredVote,
    more_to_row,
    parse_manifest,
    parse_record,
    to_row,
)
from grm_plugin.engines.fingerprint import differing
from grm_plugin.errors import ConfigError
from grm_plugin.types import Critique, ListJudgement, Unparsed

__all__ = ["FILE_NAME", "RECORDED", "ItemVotes", "Manifest", "StoredVote", "VoteStore", "read_store", "votes_of"]

FILE_NAME = "votes.jsonl"


@dataclass(frozen=True, slots=True)
class _Stored:
    """What a store that is open for adding knows of an item: all but its votes' contents."""

    item: Item
    votes: int
    cut: tuple[int, ...]


class VoteStore(AppendOnlyFile):
    """A store that is open for adding votes. Only one process may have it open at a time.

    Attributes:
        done: the ids of the items that have as many votes as are wanted: `manifest.k`, unless `want` says otherwise.

    Raises:
        ConfigError: the file cannot be written, is in use, is not a vote store, or holds votes that were sampled with
            something else than `manifest` says. A store whose votes are more or fewer than `manifest.k` is none such.
    """

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self.folder = folder
        self.manifest = manifest
        self.done: set[str] = set()
        self._wanted: Mapping[str, int] = {}
        self._stored: dict[str, _Stored] = {}
        self._found: Manifest | None = None
        super().__init__(folder / FILE_NAME, ROW_START, self._on_row)
        if self._found is None:
            self.append({"evals": FORMAT, **asdict(manifest)})

    def drawn(self, name: str) -> int:
        """How many votes the item with this id has; 0 where there is no such item."""
        return self._stored[name].votes if name in self._stored else 0

    def want(self, votes: Mapping[str, int]) -> None:
        """Say how many votes some items are to have: id -> number, in place of `manifest.k`."""
        self._wanted = votes
        self.done = {name for name in self._stored if self._is_done(name)}

    def require_same_items(self, items: Iterable[Item]) -> None:
        """Check that the items with votes have not changed: an id must still stand for the same texts and label.

        Raises:
            ConfigError: the store has votes on another item with the id of one of these.
        """
        for item in items:
            if item.id in self._stored and self._stored[item.id].item != item:
                raise ConfigError(
                    f"{self.folder} has votes on another item with the id {item.id!r}: give another --output"
                )

    def add(self, record: ItemVotes) -> None:
        """Add an item and its votes; or further votes, where it has some. They are safe from kill -9 on return.

        Raises:
            ConfigError: the disk is full, or gone; or an item with votes is shown to the GRM otherwise than before.
        """
        before = self._stored.get(record.id)
        if before is None:
            self.append(to_row(record))
        elif record.cut != before.cut:
            raise ConfigError(
                f"item {record.id!r} was shown to the GRM cut to another length when its first votes were sampled: the "
                "GRM's context has changed, give another --output"
            )
        else:
            self.append(more_to_row(record))
        self._count(record)

    def _on_row(self, text: bytes, number: int) -> None:
        if self._found is None:
            self._found = parse_manifest(text, self.path)
            _refuse_another(self._found, self.manifest, self.path)
        else:
            self._count(parse_record(text, number, self.path, False, self._first_votes))

    def _first_votes(self, name: str) -> ItemVotes:
        return ItemVotes(self._stored[name].item, (), (), self._stored[name].cut)

    def _count(self, record: ItemVotes) -> None:
        votes = self.drawn(record.id) + len(record.votes)
        self._stored[record.id] = _Stored(record.item, votes, record.cut)
        if self._is_done(record.id):
            self.done.add(record.id)

    def _is_done(self, name: str) -> bool:
        return self._stored[name].votes >= self._wanted.get(name, self.manifest.k)


def read_store(folder: Path, texts: bool = True) -> tuple[Manifest, list[ItemVotes]]:
    """The manifest and all items of a store, with all their votes. A half row at the end is passed over.

    Args:
        folder: the folder of the store, or its file.
        texts: whether to keep the texts of the critiques. They take most of the memory, and figures do not need them.

    Raises:
        ConfigError: there is no store, or it is damaged.
    """
    path = folder / FILE_NAME if folder.is_dir() else folder
    records: dict[str, ItemVotes] = {}
    try:
        with path.open("rb") as stream:
            lines = (line for line in stream if line.endswith(b"\n"))
            first = next(lines, None)
            if first is None:
                raise ConfigError(f"{path} is empty: it is not a vote store")
            manifest = parse_manifest(first, path)
            for number, line in enumerate(lines, start=2):
                record = parse_record(line, number, path, texts, records.__getitem__)
                before = records[record.id].votes if record.id in records else ()
                records[record.id] = replace(record, votes=before + record.votes)
            return manifest, list(records.values())
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be read: {error.strerror or error}; --from takes the --output of an earlier run"
        ) from None


def votes_of(judged: ListJudgement) -> tuple[StoredVote, ...]:
    """The votes that `ListJudge.judge` returned, lost ones too, in the order in which they were sampled."""
    parsed = {critique.sample: critique for critique in judged.critiques}
    lost = iter(judged.unparsed)
    return tuple(
        _stored(parsed[sample]) if sample in parsed else _stored_loss(next(lost)) for sample in range(judged.asked)
    )


def _stored(vote: Critique) -> StoredVote:
    return StoredVote(vote.scores, vote.order, tokens=vote.tokens, meta=vote.meta, text=vote.whole, forced=vote.forced)


def _stored_loss(vote: Unparsed) -> StoredVote:
    return StoredVote(None, vote.order, str(vote.reason), vote.detail, vote.tokens, text=vote.text)


def _refuse_another(found: Manifest, wanted: Manifest, path: Path) -> None:
    """Raises `ConfigError` when the votes in a store were sampled with something else than is wanted now."""
    named = ("suite", "judge")
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
