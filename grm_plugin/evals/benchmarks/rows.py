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

_HUB_ID = re.compile(r"(?P<id>[A-Za-z0-9][\w.-]*/[\w.-]+)(?::(?P<split>[\w.-]+))?")


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
    """A data set on the Hugging Face hub.

    Attributes:
        id: owner and name.
        config: its configuration; None: the only one.
        split: its split; None: all.
        whole: name of the file that repeats all others, where a copy of the set has such a file.
    """

    id: str
    config: str | None = None
    split: str | None = None
    whole: str | None = None


def read_benchmark_rows(
    data: str | Path | None, published: Sequence[HubSet], option: str = "--data"
) -> Iterator[BenchmarkRow]:
    """The rows of the data that a user names.

    Args:
        data: a file, a folder (read with everything below it), or a hub id, which may be followed by a colon and a
            split; None reads the `published` sets.
        published: the suite's data sets on the hub. In a downloaded copy of one, the files of its split are read, or
            the one file that holds all.
        option: what names the data on the command line, for messages.

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
        yield from _local_rows(path, published, option)
    elif (named := _HUB_ID.fullmatch(str(data))) and path.suffix not in SUFFIXES:
        for known in [known for known in published if known.id == named["id"]] or [HubSet(named["id"])]:
            yield from _hub_rows(known, named["split"])
    else:
        raise ConfigError(
            f"{option} {data} does not exist; give a file, a folder, or a Hugging Face id (owner/name or "
            "owner/name:split)"
        )


def _local_rows(path: Path, published: Sequence[HubSet], option: str) -> Iterator[BenchmarkRow]:
    if path.is_file():
        if path.suffix not in SUFFIXES:
            raise ConfigError(f"{option} {path}: give a file that ends in {', '.join(SUFFIXES)}")
        yield from _file_rows(path, str(path))
        return
    files = sorted(file for file in path.rglob("*") if file.suffix in SUFFIXES and file.is_file())
    if not files:
        raise ConfigError(f"{option} {path} holds no file that ends in {', '.join(SUFFIXES)}")
    whole = {known.whole for known in published}
    # In a copy of a hub repository the names of files begin with their split.
    splits = tuple(f"{known.split}-" for known in published if known.split)
    chosen = [file for file in files if file.name in whole] or [file for file in files if file.name.startswith(splits)]
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


def _hub_rows(known: HubSet, split: str | None = None) -> Iterator[BenchmarkRow]:
    """The rows of a set's usual split, or of the one that is asked for."""
    datasets = _optional("datasets", f"{known.id}, on the Hugging Face hub,")
    try:
        found = datasets.load_dataset(known.id, known.config)
    except Exception as error:  # `datasets` raises errors of many kinds: no network, no such set, a gated set
        raise ConfigError(
            f"{known.id} cannot be loaded from the Hugging Face hub ({type(error).__name__}: {str(error)[:200]}). "
            "Without a network, give --data the folder of a downloaded copy"
        ) from None
    if split is not None and split not in found:
        raise ConfigError(f"{known.id} has no split {split!r}; it has {', '.join(sorted(found))}")
    wanted = split or known.split
    source = "/".join(filter(None, [known.id, known.config]))
    for name in [wanted] if wanted in found else sorted(found):
        for number, values in enumerate(found[name], start=1):
            yield BenchmarkRow(f"{source}/{name}", number, values)


def _optional(module: str, what: str) -> Any:
    require(module.partition(".")[0], what=what)
    return importlib.import_module(module)
