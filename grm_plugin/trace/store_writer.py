"""Writes judged groups to the store, and deletes the oldest ones when it grows beyond its bounds."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from grm_plugin.config import FailureConfig, TraceConfig
from grm_plugin.trace.store_file import open_writer
from grm_plugin.trace.stored_trace import Entry, Trace, pack, searchable, settled_or_empty, summary_row, unpack

EVICTED_AT_ONCE = 64
"""Groups that are deleted at a time, at most."""

MIB = 1 << 20

COLUMNS = (
    "time", "service", "preview", "responses", "reward_min", "reward_max", "reward_mean", "spread",
    "asked", "parsed", "kept", "fallbacks", "latency_s", "tokens", "bias",
)  # fmt: skip
_INSERT = f"INSERT INTO traces ({', '.join(COLUMNS)}) VALUES ({', '.join(f':{column}' for column in COLUMNS)})"


class StoreWriter:
    """Writes to a store; to be used by one thread.

    Args:
        path: the store's file, made if there is none.
        config: bounds of the store.
        policy: what the service makes of missing rewards.

    Raises:
        StoreError, DamagedStore: see `store_file.open_writer`.
    """

    def __init__(self, path: Path, config: TraceConfig, policy: FailureConfig) -> None:
        self._connection = open_writer(path)
        self._config = config
        self._policy = policy

    def write(self, entries: Sequence[Entry], gaps: Sequence[tuple[int, str]] = ()) -> None:
        """Add judged groups, in one transaction: all of them or none.

        Args:
            entries: the groups.
            gaps: what was dropped before them: how many groups, and why.

        Raises:
            sqlite3.Error: for instance, the disk is full, the file is locked for too long, or the store is damaged.
        """
        execute = self._connection.execute
        execute("BEGIN IMMEDIATE")
        try:
            for entry in entries:
                self._add(entry)
            for dropped, reason in gaps:
                execute("INSERT INTO gaps VALUES (?, ?, ?)", (time.time(), dropped, reason))
            while self._too_large() and self._evict():
                pass
            execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                execute("ROLLBACK")
            raise

    def name_model(self, service: str, model: str) -> None:
        """Note that what this service judges from now on comes from this model.

        Raises:
            sqlite3.Error: as for `write`.
        """
        execute = self._connection.execute
        execute("BEGIN IMMEDIATE")
        try:
            last = execute(
                "SELECT model FROM models WHERE service = ? ORDER BY rowid DESC LIMIT 1", (service,)
            ).fetchone()
            if last is None or last[0] != model:
                first = execute("SELECT coalesce(max(id), 0) + 1 FROM traces").fetchone()[0]
                execute("INSERT INTO models VALUES (?, ?, ?)", (first, service, model))
            execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                execute("ROLLBACK")
            raise

    def close(self) -> None:
        """Close the file. SQLite then copies its write-ahead log into it."""
        self._connection.close()

    def _add(self, entry: Entry) -> None:
        settled = settled_or_empty(entry.judgement, self._policy)
        row = self._connection.execute(_INSERT, summary_row(entry, settled)).lastrowid
        self._connection.execute("INSERT INTO bodies VALUES (?, ?)", (row, pack(Trace(entry.judgement, settled))))
        self._connection.execute("INSERT INTO search (rowid, text) VALUES (?, ?)", (row, searchable(entry.judgement)))

    def _too_large(self) -> bool:
        def pragma(name: str) -> int:
            return int(self._connection.execute(f"PRAGMA {name}").fetchone()[0])

        first, last = self._connection.execute("SELECT min(id), max(id) FROM traces").fetchone()
        if first is None:
            return False
        used = (pragma("page_count") - pragma("freelist_count")) * pragma("page_size")
        return last - first >= self._config.max_groups or used > self._config.max_mb * MIB

    def _evict(self) -> bool:
        """Delete some of the oldest groups, but never the newest one; False if there was none to delete."""
        execute = self._connection.execute
        oldest = execute(
            "SELECT id, body FROM bodies WHERE id < (SELECT max(id) FROM bodies) ORDER BY id LIMIT ?",
            (min(EVICTED_AT_ONCE, max(1, self._config.max_groups // 10)),),
        ).fetchall()
        for row, body in oldest:
            text = searchable(unpack(body).judgement)
            execute("INSERT INTO search (search, rowid, text) VALUES ('delete', ?, ?)", (row, text))
            execute("DELETE FROM bodies WHERE id = ?", (row,))
            execute("DELETE FROM traces WHERE id = ?", (row,))
        return bool(oldest)
