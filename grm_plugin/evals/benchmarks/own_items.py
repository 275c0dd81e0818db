"""Reads a user's own items, and preference data sets in the same format: files, folders, and sets on the hub."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from grm_plugin.batch.items import Item, check_items, item_from_json, read_items
from grm_plugin.batch.label_noise import Fault
from grm_plugin.errors import WireError
from grm_plugin.evals.benchmarks.rows import read_benchmark_rows

REPEATED = "rows that repeat an earlier one"

_TABLES = (".json", ".parquet")


def read_own_items(data: str | Path, left_out: Counter[str]) -> list[Item]:
    """The items of a file, a folder or a Hugging Face data set in the format of `grm_plugin.batch.items`.

    In a JSONL file, which is the user's own, all that is wrong is an error. Published data sets repeat rows, and have
    rows with the same response as chosen and as rejected: a user cannot mend them, so these are counted in `left_out`.

    Raises:
        WireError: a row is no item; the message names file, row and field.
        ConfigError: the data cannot be read or holds no item.
    """
    path = Path(data)
    if path.is_file() and path.suffix not in _TABLES:
        return read_items(path)
    return check_items(_items(data, left_out), str(data))


def _items(data: str | Path, left_out: Counter[str]) -> Iterator[Item]:
    identical: Fault = "identical"
    unnamed: set[str] = set()
    for row in read_benchmark_rows(data, ()):
        values = {column: value for column, value in row.values.items() if value is not None}
        if "chosen" in values and values["chosen"] == values.get("rejected"):
            left_out[identical] += 1
            continue
        try:
            item = item_from_json(values)
        except WireError as error:
            raise WireError(f"{row.where}: {error}") from None
        if "id" not in values:
            if item.id in unnamed:
                left_out[REPEATED] += 1
                continue
            unnamed.add(item.id)
        yield item
