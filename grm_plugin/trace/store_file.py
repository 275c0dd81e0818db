"""The SQLite file behind the traces: its schema, and opening it with what can be wrong said in words."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from grm_plugin.errors import DamagedStore, StoreError

VERSION = 2
"""Format of the store. Raise it with every change of `SCHEMA`, `record.Trace` or `record.searchable`."""

APPLICATION_ID = 0x67726D74
BUSY_S = 10.0
"""Longest wait for another process that writes to the same store."""

SCHEMA = (
    # One small row per judged group: filters and charts scan this table. `time` is in seconds since the epoch,
    # `preview` the start of the last user turn; the other columns are explained in `record.summarize`.
    """CREATE TABLE traces (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        time REAL NOT NULL, service TEXT NOT NULL, preview TEXT NOT NULL, responses INTEGER NOT NULL,
        reward_min REAL, reward_max REAL, reward_mean REAL, spread REAL,
        asked INTEGER NOT NULL, parsed INTEGER NOT NULL, kept INTEGER NOT NULL, fallbacks INTEGER NOT NULL,
        latency_s REAL NOT NULL, tokens INTEGER NOT NULL, bias TEXT)""",
    # The judgements themselves, packed by `record.pack`.
    "CREATE TABLE bodies (id INTEGER PRIMARY KEY, body BLOB NOT NULL)",
    # Contentless: the index alone. Taking a row out needs the text that went in (`record.searchable`).
    "CREATE VIRTUAL TABLE search USING fts5(text, content='', tokenize='unicode61 remove_diacritics 2')",
    # What is missing: groups dropped before `time`, and why.
    "CREATE TABLE gaps (time REAL NOT NULL, dropped INTEGER NOT NULL, reason TEXT NOT NULL)",
)


def open_writer(path: Path) -> sqlite3.Connection:
    """The store for writing, made if it does not exist. Several processes may write at once.

    Raises:
        StoreError: the folder cannot be written, or the store comes from another version of grm_plugin.
        DamagedStore: the file is something else, or corrupt.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
    except (OSError, sqlite3.OperationalError) as error:
        raise StoreError(f"trace.path: cannot write {path} ({error}); choose a folder that can be written") from None
    try:
        if _tables(connection):
            _check(connection, path)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")  # survives kill -9; a power cut may cost the last commits
        connection.execute("BEGIN IMMEDIATE")
        if not _tables(connection):  # looked at again: another service may have made them meanwhile
            for statement in SCHEMA:
                connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {VERSION}")
        connection.execute("COMMIT")
    except sqlite3.OperationalError as error:
        connection.close()
        raise StoreError(f"trace.path: cannot write {path} ({error}); free it or choose another file") from None
    except sqlite3.DatabaseError as error:
        connection.close()
        raise _damaged(path, error) from None
    except StoreError:
        connection.close()
        raise
    return connection


def open_reader(path: Path) -> sqlite3.Connection:
    """The store for reading, also from a folder that cannot be written.

    Raises:
        StoreError: there is no such file, or it comes from another version of grm_plugin.
        DamagedStore: the file is something else, or corrupt.
    """
    if not path.is_file():
        raise StoreError(f"there is no trace store at {path}; a service with trace.path set writes one")
    try:
        connection = _connect_to_read(path)
        _check(connection, path)
    except sqlite3.DatabaseError as error:
        raise _damaged(path, error) from None
    connection.row_factory = sqlite3.Row
    return connection


def _connect_to_read(path: Path) -> sqlite3.Connection:
    uri = f"{path.resolve().as_uri()}?mode=ro"
    connection = sqlite3.connect(uri, uri=True, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("SELECT 1 FROM sqlite_master LIMIT 1")
    except sqlite3.OperationalError:
        # WAL needs its -shm file beside the store. Where that cannot be made nobody can be writing either.
        connection.close()
        uri += "&immutable=1"
        return sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)
    return connection


def _tables(connection: sqlite3.Connection) -> int:
    return int(connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0])


def _check(connection: sqlite3.Connection, path: Path) -> None:
    if connection.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
        raise DamagedStore(f"{path} is no trace store; choose another trace.path")
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version != VERSION:
        writer, fix = ("a newer", "update grm_plugin") if version > VERSION else ("an older", "move it away")
        raise StoreError(
            f"{path} was written by {writer} grm_plugin (store version {version}, this one keeps {VERSION}); "
            f"{fix} or choose another trace.path"
        )
    # Reads the newest pages of every table: what is broken shows now, not in the first step of a job.
    connection.execute("SELECT * FROM traces ORDER BY id DESC LIMIT 1").fetchall()
    connection.execute("SELECT * FROM bodies ORDER BY id DESC LIMIT 1").fetchall()
    connection.execute("SELECT rowid FROM search WHERE search MATCH 'a' LIMIT 1").fetchall()
    connection.execute("SELECT * FROM gaps LIMIT 1").fetchall()


def _damaged(path: Path, error: sqlite3.DatabaseError) -> DamagedStore:
    return DamagedStore(f"the trace store {path} is damaged ({error}); move it away or choose another trace.path")
