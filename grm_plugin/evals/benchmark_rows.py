"""Reads the rows of a benchmark: from JSON, JSONL and Parquet files, folders of them, or the Hugging Face hub."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from grm_plugin._util.json_values import RepeatedKey, parse_json
from grm_plugin._util.packages import require
from grm_plugin._util.text_files import read_text
from grm_plugin.batch.input_lines import parse_line, read_lines
from grm_plugin.errors import ConfigError, WireError

SUFFIXES = (".json", ".jsonl", ".parquet")

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")


@dataclass(frozen=True, slots=True)
class BenchmarkRow:
    """One row of a benchmark.

    Attributes:
        source: where it comes from: the path of its file, or its data set's hub id, configuration and split.
        number: its number in the source, from 1.
        values: column -> value.
    """

    source: str
    number: int
    values: Mapping[str, Any]

    def need(self, *columns: str) -> None:
        """Check that the row has these columns.

        Raises:
            WireError: some are missing; the message names them, and the columns that there are.
        """
        missing = [column for column in columns if column not in self.values]
        if missing:
            raise WireError(
                f"no column {', '.join(missing)}; it has {', '.join(sorted(self.values)) or 'none'}. "
                "Is this the suite's published format?"
            )

    @property
    def where(self) -> str:
        """Source and number, for messages."""
        return f"{self.source} row {self.number}"


@dataclass(frozen=True, slots=True)
class HubSet:
    """A data set on the Hugging Face hub: its id, its configuration (None: the only one) and its split (None: all)."""

    id: str
    config: str | None = None
    split: str | None = None


def read_benchmark_rows(data: str | Path | None, published: Sequence[HubSet]) -> Iterator[BenchmarkRow]:
    """The rows of the data that a user names.

    Args:
        data: a file, a folder (read with everything below it), or a hub id; None reads the `published` sets.
        published: the suite's data sets on the hub. In a downloaded copy of one, the files of its split are read.

    Raises:
        ConfigError: nothing has that name, it cannot be read, or a folder holds no file of a known kind.
        WireError: a file holds something other than rows.
    """
    if data is None:
        for known in published:
            yield from _hub_rows(known)
        return
    path = Path(data).expanduser()
    if path.exists():
        yield from _local_rows(path, [known.split for known in published if known.split])
    elif _HUB_ID.fullmatch(str(data)):
        for known in [known for known in published if known.id == str(data)] or [HubSet(str(data))]:
            yield from _hub_rows(known)
    else:
        raise ConfigError(f"--data {data} does not exist; give a file, a folder, or a Hugging Face id (owner/name)")


def _local_rows(path: Path, splits: Sequence[str]) -> Iterator[BenchmarkRow]:
    if path.is_file():
        if path.suffix not in SUFFIXES:
            raise ConfigError(f"--data {path}: give a file that ends in {', '.join(SUFFIXES)}")
        yield from _file_rows(path, str(path))
        return
    files = sorted(file for file in path.rglob("*") if file.suffix in SUFFIXES and file.is_file())
    if not files:
        raise ConfigError(f"--data {path} holds no file that ends in {', '.join(SUFFIXES)}")
    # In a copy of a hub repository the names of files begin with their split.
    chosen = [file for file in files if file.name.startswith(tuple(f"{split}-" for split in splits))]
    for file in chosen or files:
        yield from _file_rows(file, str(path / file.relative_to(path)))


def _file_rows(path: Path, name: str) -> Iterator[BenchmarkRow]:
    rows = {".json": _json_rows, ".jsonl": _jsonl_rows, ".parquet": _parquet_rows}[path.suffix](path)
    number = 0
    for number, values in enumerate(rows, start=1):
        if not isinstance(values, Mapping):
            raise WireError(f"{name} row {number} must be an object of columns, not {type(values).__name__}")
        yield BenchmarkRow(name, number, values)
    if not number:
        raise ConfigError(f"{name} is empty: it holds no row")


def _json_rows(path: Path) -> Iterator[Any]:
    try:
        rows = parse_json(read_text(path))
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror or error}") from None
    except RepeatedKey as error:
        raise WireError(f"{path}: {error}") from None
    except ValueError:
        # Many files named .json hold one object per line.
        yield from _jsonl_rows(path)
        return
    yield from rows if isinstance(rows, list) else [rows]


def _jsonl_rows(path: Path) -> Iterator[Any]:
    for number, text in read_lines(path):
        try:
            yield parse_line(text)
        except WireError as error:
            raise WireError(f"{path} line {number}: {error}") from None


def _parquet_rows(path: Path) -> Iterator[Any]:
    parquet = _optional("pyarrow.parquet", f"the Parquet file {path}")
    try:
        for batch in parquet.ParquetFile(path).iter_batches():
            yield from batch.to_pylist()
    except (OSError, ValueError) as error:  # pyarrow's own errors are ValueErrors
        raise ConfigError(f"{path} cannot be read as Parquet: {error}") from None


def _hub_rows(known: HubSet) -> Iterator[BenchmarkRow]:
    datasets = _optional("datasets", f"{known.id}, on the Hugging Face hub,")
    try:
        found = datasets.load_dataset(known.id, known.config)
    except Exception as error:  # `datasets` raises errors of many kinds: no network, no such set, a gated set
        raise ConfigError(
            f"{known.id} cannot be loaded from the Hugging Face hub ({type(error).__name__}: {str(error)[:200]}). "
            "Without a network, give --data the folder of a downloaded copy"
        ) from None
    splits = [known.split] if known.split in found else sorted(found)
    source = "/".join(filter(None, [known.id, known.config]))
    for split in splits:
        for number, values in enumerate(found[split], start=1):
            yield BenchmarkRow(f"{source}/{split}", number, values)


def _optional(module: str, what: str) -> Any:
    require(module.partition(".")[0], what=what)
    return importlib.import_module(module)
