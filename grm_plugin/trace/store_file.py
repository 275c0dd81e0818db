"""The SQLite file of a trace store: its schema, and opening it, with an error that says what is wrong with it."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from grm_plugin.errors import DamagedStore, StoreError

VERSION = 2
"""Version of the format. Raise it with every change of `SCHEMA`, `stored_trace.Trace` or `stored_trace.searchable`."""

APPLICATION_ID = 0x67726D74
"""Marks an SQLite file as a trace store ("grmt")."""

BUSY_S = 10.0
"""Longest wait for another process that writes to the same store."""

SCHEMA = (
    # One small row per judged group: filters and charts read all of this table. `time` is in seconds since the epoch,
    # `preview` the start of the last user turn; the other columns are explained in `stored_trace.summary_row`.
    """CREATE TABLE traces (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        time REAL NOT NULL, service TEXT NOT NULL, preview TEXT NOT NULL, responses INTEGER NOT NULL,
        reward_min REAL, reward_max REAL, reward_mean REAL, spread REAL,
        asked INTEGER NOT NULL, parsed INTEGER NOT NULL, kept INTEGER NOT NULL, fallbacks INTEGER NOT NULL,
        latency_s REAL NOT NULL, tokens INTEGER NOT NULL, bias TEXT)""",
    # The judgements themselves, packed by `stored_trace.pack`.
    "CREATE TABLE bodies (id INTEGER PRIMARY KEY, body BLOB NOT NULL)",
    # An index without the texts (`content=''`): to delete a row, SQLite must be given its text again
    # (`stored_trace.searchable`).
    "CREATE VIRTUAL TABLE search USING fts5(text, content='', tokenize='unicode61 remove_diacritics 2')",
    # How many groups were dropped before `time`, and why.
    "CREATE TABLE gaps (time REAL NOT NULL, dropped INTEGER NOT NULL, reason TEXT NOT NULL)",
)

LATER = (
    # From group `first` on, what this service has judged comes from this model. Younger than the format: readers do
    # without it, and a writer makes it where it is missing.
    "CREATE TABLE IF NOT EXISTS models (first INTEGER NOT NULL, service TEXT NOT NULL, model TEXT NOT NULL)",
)


def open_writer(path: Path) -> sqlite3.Connection:
    """Open a store for writing; makes the file if there is none. Several processes may write to one store.

    Raises:
        StoreError: the folder cannot be written, or the store comes from another version of grm_plugin.
        DamagedStore: the file is no trace store, or is corrupt.
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
        # Commits survive the death of the process; a loss of power may cost the last ones.
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("BEGIN IMMEDIATE")
        if not _tables(connection):  # checked under the lock: another process may be making them too
            for statement in SCHEMA:
                connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {VERSION}")
        for statement in LATER:
            connection.execute(statement)
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
    """Open a store for reading; its folder need not be writable.

    Raises:
        StoreError: there is no such file, or it comes from another version of grm_plugin.
        DamagedStore: the file is no trace store, or is corrupt.
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
        # SQLite must make a -shm file beside a store in WAL mode. Where it cannot, no other process can write to the
        # store either, so that it may be read as a file that does not change.
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
    # Reading the end of every table shows damage now, and not in the first step of a job.
    connection.execute("SELECT * FROM traces ORDER BY id DESC LIMIT 1").fetchall()
    connection.execute("SELECT * FROM bodies ORDER BY id DESC LIMIT 1").fetchall()
    connection.execute("SELECT rowid FROM search WHERE search MATCH 'a' LIMIT 1").fetchall()
    connection.execute("SELECT * FROM gaps LIMIT 1").fetchall()


def _damaged(path: Path, error: sqlite3.DatabaseError) -> DamagedStore:
    return DamagedStore(f"the trace store {path} is damaged ({error}); move it away or choose another trace.path")
