"""Reading the store: lists, single groups, what stands next to them, and everything for an export."""

from __future__ import annotations

import math
import sqlite3
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from grm_plugin.errors import DamagedStore, StoreError
from grm_plugin.trace.filters import Filter
from grm_plugin.trace.store_file import open_reader
from grm_plugin.trace.stored_trace import Trace, unpack, unpack_json

EXPORT_BATCH = 200
QUERY_S = 20.0
"""Longest that one query may take."""
STEPS_PER_LOOK = 20_000
"""Of SQLite's machine, between two looks at the clock: about a millisecond."""


@dataclass(frozen=True, slots=True)
class GroupRow:
    """One line of the list; see `record.summarize`."""

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
    """Groups that were dropped before `time`, and why."""

    time: float
    dropped: int
    reason: str


class StoreReader:
    """The reading side of a store: one connection, one snapshot per method.

    Raises (everywhere):
        StoreError: there is no such store, it is from another version, or a query took too long.
        DamagedStore: it cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._connection = open_reader(path)
        self._give_up = math.inf
        self._connection.set_progress_handler(lambda: time.monotonic() > self._give_up, STEPS_PER_LOOK)

    def close(self) -> None:
        self._connection.close()

    def page(self, chosen: Filter, limit: int, after: int | None = None) -> list[GroupRow]:
        """The first `limit` groups of a filter, or those that follow the group `after`."""
        where, values = chosen.where()
        if after is not None:
            where += f" AND ({chosen.key}, t.id) < (SELECT {chosen.key}, t.id FROM traces AS t WHERE t.id = ?)"
            values.append(after)
        query = f"SELECT t.* FROM traces AS t WHERE {where} ORDER BY {chosen.key} DESC, t.id DESC LIMIT ?"
        return [GroupRow(*row) for row in self._all(query, [*values, limit])]

    def newer(self, chosen: Filter, than: int, limit: int) -> list[GroupRow]:
        """The groups of a filter that came after the group `than`, newest first."""
        where, values = chosen.where()
        query = f"SELECT t.* FROM traces AS t WHERE t.id > ? AND {where} ORDER BY t.id DESC LIMIT ?"
        return [GroupRow(*row) for row in self._all(query, [than, *values, limit])]

    def row(self, group: int) -> GroupRow | None:
        """The line of one group."""
        rows = self._all("SELECT t.* FROM traces AS t WHERE t.id = ?", [group])
        return GroupRow(*rows[0]) if rows else None

    def trace(self, group: int) -> Trace | None:
        """One group whole."""
        rows = self._all("SELECT body FROM bodies WHERE id = ?", [group])
        with _in_words(self.path):
            return unpack(rows[0][0]) if rows else None

    def neighbours(self, chosen: Filter, group: int) -> tuple[int | None, int | None]:
        """The groups before and after one in the order of a filter."""

        def nearest(sign: str, direction: str) -> int | None:
            where, values = chosen.where()
            query = (
                f"SELECT t.id FROM traces AS t WHERE {where} AND ({chosen.key}, t.id) {sign} "
                f"(SELECT {chosen.key}, t.id FROM traces AS t WHERE t.id = ?) "
                f"ORDER BY {chosen.key} {direction}, t.id {direction} LIMIT 1"
            )
            rows = self._all(query, [*values, group])
            return rows[0][0] if rows else None

        return nearest(">", "ASC"), nearest("<", "DESC")

    def count(self, chosen: Filter) -> int:
        """Groups that a filter shows."""
        where, values = chosen.where()
        return int(self._all(f"SELECT count(*) FROM traces AS t WHERE {where}", values)[0][0])

    def newest(self) -> int:
        """The number of the newest group; 0 in an empty store."""
        return int(self._all("SELECT coalesce(max(id), 0) FROM traces")[0][0])

    def gaps(self, limit: int = 100) -> list[Gap]:
        """What was dropped, newest first."""
        return [Gap(*row) for row in self._all("SELECT * FROM gaps ORDER BY rowid DESC LIMIT ?", [limit])]

    def select(self, query: str, values: list[str | float]) -> list[sqlite3.Row]:
        """Rows of a query over `traces AS t`."""
        return self._all(query, values)

    def export(self, chosen: Filter) -> Iterator[tuple[GroupRow, bytes]]:
        """Every group of a filter, oldest first, with its JSON. Groups that are evicted meanwhile are left out."""
        where, values = chosen.where()
        last = 0
        query = (
            "SELECT t.*, bodies.body FROM traces AS t JOIN bodies USING (id) "
            f"WHERE t.id > ? AND {where} ORDER BY t.id LIMIT {EXPORT_BATCH}"
        )
        while batch := self._all(query, [last, *values]):
            with _in_words(self.path):
                texts = [unpack_json(row[-1]) for row in batch]
            yield from ((GroupRow(*row[:-1]), text) for row, text in zip(batch, texts, strict=True))
            last = batch[-1][0]

    def _all(self, query: str, values: list[str | float] | None = None) -> list[sqlite3.Row]:
        self._give_up = time.monotonic() + QUERY_S
        with _in_words(self.path):
            return self._connection.execute(query, values or []).fetchall()


@contextmanager
def opened(path: Path | None) -> Iterator[StoreReader | None]:
    """The store at `path`, closed afterwards; None if there is none yet."""
    store = StoreReader(path) if path is not None and path.is_file() else None
    try:
        yield store
    finally:
        if store is not None:
            store.close()


@contextmanager
def _in_words(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        if "interrupted" in str(error):
            raise StoreError("the search took too long; narrow it down") from None
        raise StoreError(f"{path}: {error}") from None
    except (sqlite3.DatabaseError, zlib.error, ValueError) as error:
        raise DamagedStore(f"the trace store {path} is damaged: {error}") from None
