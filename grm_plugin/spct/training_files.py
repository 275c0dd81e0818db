"""Reads and writes the files that trainers take: rows of chat messages, as JSONL or Parquet."""

from __future__ import annotations

import hashlib
import json
import tempfile
from array import array
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from grm_plugin._util.files import replacing
from grm_plugin._util.packages import require
from grm_plugin.batch.input_lines import parse_line, read_lines
from grm_plugin.errors import ConfigError, WireError

TrainingRow = dict[str, Any]

CHUNK = 1000
"""Rows of a Parquet file that are in memory together."""

PARQUET = ".parquet"


def write_rows(path: Path, rows: Iterable[TrainingRow], seed: int | None = None) -> int:
    """Write rows to `path` (Parquet if it ends in .parquet, else JSONL) and return their number.

    The file replaces a former one when it is complete. Where `rows` raises an error, the former file stays.

    Args:
        path: the file.
        rows: its rows.
        seed: of the order of the rows in the file, see `shuffled`; None keeps theirs.

    Raises:
        ConfigError: the disk is full, the folder cannot be written, or pyarrow is missing.
    """
    with replacing(path) as draft:
        if seed is not None:
            is_device = path.exists() and not path.is_file()
            rows = shuffled(rows, seed, None if is_device else draft.parent)
        return _write_parquet(draft, rows) if path.suffix == PARQUET else _write_jsonl(draft, rows)


def shuffled(rows: Iterable[TrainingRow], seed: int, folder: Path | None = None) -> Iterator[TrainingRow]:
    """The rows in an order that depends on the seed and on what the rows are, not on the order in which they come.

    A trainer that takes the first rows of a file then takes a fair part of every kind, and the same one each time.

    Args:
        rows: any number of them. They wait in a file; 32 bytes or so of each are in memory.
        seed: another one gives another order.
        folder: for that file, which has no name; None takes the system's folder for such files.
    """
    starts, keys = array("Q"), array("Q")
    with tempfile.TemporaryFile(dir=folder) as waiting:
        for row in rows:
            line = json.dumps(row).encode() + b"\n"
            starts.append(waiting.tell())
            keys.append(int.from_bytes(hashlib.sha256(b"%d " % seed + line).digest()[:8]))
            waiting.write(line)
        for index in sorted(range(len(keys)), key=keys.__getitem__):
            waiting.seek(starts[index])
            yield json.loads(waiting.readline())


def write_json(path: Path, content: Any) -> None:
    """Write a JSON value; a former file stays until the new one is complete.

    Raises:
        ConfigError: the disk is full, or the folder cannot be written.
    """
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    with replacing(path) as draft:
        draft.write_text(text, encoding="utf-8")


def read_rows(path: Path) -> Iterator[TrainingRow]:
    """The rows of a JSONL or Parquet file.

    Raises:
        ConfigError: the file cannot be read, or a line is not a JSON object; the message names the line.
    """
    try:
        yield from _read_parquet(path) if path.suffix == PARQUET else _read_jsonl(path)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror or error}") from None


def _write_jsonl(path: Path, rows: Iterable[TrainingRow]) -> int:
    number = 0
    with path.open("w", encoding="utf-8") as stream:
        for row in rows:
            number += 1
            stream.write(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n")
    return number


def _write_parquet(path: Path, rows: Iterable[TrainingRow]) -> int:
    arrow, parquet = _pyarrow()
    number, writer = 0, None
    try:
        for chunk in _chunks(rows):
            table = arrow.Table.from_pylist(chunk, schema=writer.schema if writer else None)
            writer = writer or parquet.ParquetWriter(path, table.schema)
            writer.write_table(table)
            number += len(chunk)
    finally:
        if writer:
            writer.close()
    if writer is None:
        parquet.write_table(arrow.Table.from_pylist([]), path)
    return number


def _chunks(rows: Iterable[TrainingRow]) -> Iterator[list[TrainingRow]]:
    left = iter(rows)
    while chunk := list(islice(left, CHUNK)):
        yield chunk


def _read_jsonl(path: Path) -> Iterator[TrainingRow]:
    for number, text in read_lines(path):
        try:
            row = parse_line(text)
        except WireError as error:
            raise ConfigError(f"{path} line {number}: {error}") from None
        if not isinstance(row, dict):
            raise ConfigError(f"{path} line {number} must be a JSON object, not {type(row).__name__}")
        yield row


def _read_parquet(path: Path) -> Iterator[TrainingRow]:
    arrow, parquet = _pyarrow()
    try:
        for batch in parquet.ParquetFile(path).iter_batches(CHUNK):
            yield from batch.to_pylist()
    except arrow.ArrowInvalid as error:
        raise ConfigError(f"{path} is no Parquet file: {error}") from None


def _pyarrow() -> tuple[Any, Any]:
    require("pyarrow", what="a Parquet file")
    import pyarrow
    import pyarrow.parquet

    return pyarrow, pyarrow.parquet
