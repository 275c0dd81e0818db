"""Reads the store: lists of groups, single groups and their neighbours, and whole groups for an export."""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from grm_plugin._util.deadline import NEVER, Deadline
from grm_plugin.errors import DamagedStore, StoreError
from grm_plugin.trace.filters import Filter
from grm_plugin.trace.store_file import open_reader
from grm_plugin.trace.stored_trace import Trace, tells_stopped, unpack, unpack_json

EXPORT_BATCH = 200
"""Groups that an export reads at a time."""

QUERY_S = 20.0
"""Longest time of one query."""

STEPS_PER_LOOK = 20_000
"""SQLite's instructions between two looks at the clock; they take about a millisecond."""


@dataclass(frozen=True, slots=True)
class GroupRow:
    """The row of one group in the table `traces`; see `stored_trace.summary_row`."""

    id: int
    time: float
    service: str
    preview: str
    responses: int
    reward_min: float | None
    reward_max: float | None
    reward_mean: float | None
    spread: float | None
    asked: int
    parsed: int
    kept: int
    fallbacks: int
    latency_s: float
    tokens: int
    bias: str | None


@dataclass(frozen=True, slots=True)
class Gap:
    """Groups that were judged before `time` (seconds since the epoch) but not stored, and why."""

    time: float
    dropped: int
    reason: str


@dataclass(frozen=True, slots=True)
class ModelSpan:
    """From group `first` on, what this service has judged comes from this model, until another span of the service."""

    first: int
    service: str
    model: str


class StoreReader:
    """Reads a store over one connection. Each query sees the store as it is when the query begins.

    Raises (the constructor and every method):
        StoreError: there is no such store, it is from another version, or a query took longer than `QUERY_S`.
        DamagedStore: it cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._connection = open_reader(path)
        self._deadline = NEVER
        """Of the query that runs now."""
        self._connection.set_progress_handler(lambda: self._deadline.over, STEPS_PER_LOOK)

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def page(self, chosen: Filter, limit: int, after: int | None = None) -> list[GroupRow]:
        """The first `limit` groups that match a filter, in its order; or those that follow the group `after`."""
        where, values = chosen.where()
        if after is not None:
            where += f" AND ({chosen.key}, t.id) < (SELECT {chosen.key}, t.id FROM traces AS t WHERE t.id = ?)"
            values.append(after)
        query = f"SELECT t.* FROM traces AS t WHERE {where} ORDER BY {chosen.key} DESC, t.id DESC LIMIT ?"
        return [GroupRow(*row) for row in self.select(query, [*values, limit])]

    def newer(self, chosen: Filter, than: int, limit: int) -> list[GroupRow]:
        """At most `limit` groups that match a filter and came after the group `than`, newest first."""
        where, values = chosen.where()
        query = f"SELECT t.* FROM traces AS t WHERE t.id > ? AND {where} ORDER BY t.id DESC LIMIT ?"
        return [GroupRow(*row) for row in self.select(query, [than, *values, limit])]

    def row(self, group: int) -> GroupRow | None:
        """The row of the group with this number, if it is there."""
        rows = self.select("SELECT t.* FROM traces AS t WHERE t.id = ?", [group])
        return GroupRow(*rows[0]) if rows else None

    def trace(self, group: int) -> Trace | None:
        """The whole judgement of the group with this number, if it is there."""
        rows = self.select("SELECT body FROM bodies WHERE id = ?", [group])
        with _errors_in_words(self.path):
            return unpack(rows[0][0]) if rows else None

    def tells_stopped(self, group: int) -> bool:
        """See `stored_trace.tells_stopped`; False for a group that is not there."""
        rows = self.select("SELECT body FROM bodies WHERE id = ?", [group])
        with _errors_in_words(self.path):
            return bool(rows) and tells_stopped(rows[0][0])

    def neighbours(self, chosen: Filter, group: int) -> tuple[int | None, int | None]:
        """The numbers of the groups before and after a group in the order of a filter; None at an end."""

        def nearest(sign: str, direction: str) -> int | None:
            where, values = chosen.where()
            query = (
                f"SELECT t.id FROM traces AS t WHERE {where} AND ({chosen.key}, t.id) {sign} "
                f"(SELECT {chosen.key}, t.id FROM traces AS t WHERE t.id = ?) "
                f"ORDER BY {chosen.key} {direction}, t.id {direction} LIMIT 1"
            )
            rows = self.select(query, [*values, group])
            return rows[0][0] if rows else None

        return nearest(">", "ASC"), nearest("<", "DESC")

    def count(self, chosen: Filter) -> int:
        """How many groups match a filter."""
        where, values = chosen.where()
        return int(self.select(f"SELECT count(*) FROM traces AS t WHERE {where}", values)[0][0])

    def newest(self) -> int:
        """The number of the newest group; 0 in an empty store."""
        return int(self.select("SELECT coalesce(max(id), 0) FROM traces")[0][0])

    def gaps(self, limit: int = 100) -> list[Gap]:
        """The last `limit` gaps, newest first."""
        return [Gap(*row) for row in self.select("SELECT * FROM gaps ORDER BY rowid DESC LIMIT ?", [limit])]

    def models(self) -> list[ModelSpan]:
        """Which models the groups come from, oldest first; empty for a store that no service has noted it in."""
        if not self.select("SELECT 1 FROM sqlite_master WHERE name = 'models'"):
            return []
        return [ModelSpan(*row) for row in self.select("SELECT first, service, model FROM models ORDER BY rowid")]

    def select(self, query: str, values: Sequence[str | float] = ()) -> list[sqlite3.Row]:
        """The rows of an SQL query. `Filter.where` gives conditions over `traces AS t`."""
        self._deadline = Deadline.after(QUERY_S)
        with _errors_in_words(self.path):
            return self._connection.execute(query, values).fetchall()

    def export(self, chosen: Filter) -> Iterator[tuple[GroupRow, bytes]]:
        """Every group that matches a filter, oldest first, with its JSON. Groups deleted meanwhile are left out."""
        where, values = chosen.where()
        last = 0
        query = (
            "SELECT t.*, bodies.body FROM traces AS t JOIN bodies USING (id) "
            f"WHERE t.id > ? AND {where} ORDER BY t.id LIMIT {EXPORT_BATCH}"
        )
        while batch := self.select(query, [last, *values]):
            with _errors_in_words(self.path):
                texts = [unpack_json(row[-1]) for row in batch]
            yield from ((GroupRow(*row[:-1]), text) for row, text in zip(batch, texts, strict=True))
            last = batch[-1][0]


@contextmanager
def opened(path: Path | None) -> Iterator[StoreReader | None]:
    """The store at `path`, open within the block; None if there is no file yet."""
    store = StoreReader(path) if path is not None and path.is_file() else None
    try:
        yield store
    finally:
        if store is not None:
            store.close()


@contextmanager
def _errors_in_words(path: Path) -> Iterator[None]:
    """Turns errors of SQLite, zlib and pydantic into errors that say what is wrong with the store at `path`."""
    try:
        yield
    except sqlite3.OperationalError as error:
        if "interrupted" in str(error):  # by the progress handler, at the query's deadline
            raise StoreError("the search took too long; narrow it down") from None
        raise StoreError(f"{path}: {error}") from None
    except (sqlite3.DatabaseError, zlib.error, ValueError) as error:
        raise DamagedStore(f"the trace store {path} is damaged: {error}") from None
