"""`grm-plugin eval --import`: judgements that were recorded elsewhere become a vote store."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

from grm_plugin._util.digests import digest
from grm_plugin._util.text import one_line
from grm_plugin.batch.items import Item
from grm_plugin.batch.label_noise import Fault
from grm_plugin.batch.vote_store import RECORDED, ItemVotes, Manifest
from grm_plugin.errors import ConfigError, WireError
from grm_plugin.evals.benchmarks.drawing import draw
from grm_plugin.evals.benchmarks.rows import BenchmarkRow, read_benchmark_rows
from grm_plugin.evals.benchmarks.suites import (
    WHOLE_TEXTS,
    LoadedItems,
    items_of,
    load_items,
    suite_named,
    with_unique_ids,
)
from grm_plugin.evals.recorded.lines import COLUMN, read_recorded_line
from grm_plugin.evals.recorded.rows import FORMATS, Recorded, RowFormat, rows_of_columns, without_judgements

NAMED = 3
"""So many ids stand in an error about many items."""


@dataclass(frozen=True, slots=True)
class RecordedStore:
    """What the judgements of a file make.

    Attributes:
        manifest: for a vote store.
        records: the items with their votes.
        loaded: the items of the benchmark, and what is not among them.
    """

    manifest: Manifest
    records: list[ItemVotes]
    loaded: LoadedItems


@dataclass(frozen=True, slots=True)
class _Judged:
    """A row: what it says, and the id of its item, which it may hold: as an item, and as the benchmark's row."""

    where: str
    said: Recorded
    id: str
    item: Item | None = None
    row: BenchmarkRow | None = None


def read_recorded(
    path: Path, suite: str, data: str | None, limit: int | None, seed: int, name: str | None = None
) -> RecordedStore:
    """Read recorded judgements, and give each to its item.

    Args:
        path: a file, or a folder of them, in one of the formats of `recorded_rows` and `recorded_lines`.
        suite: the benchmark's name.
        data: where its items are (as in `load_items`); None takes them from the rows, if these hold whole items.
        limit, seed: as in `load_items`. Items that are not chosen need no judgement; all others do.
        name: what reports call the judge; None takes the name in the rows, else that of the file.

    Raises:
        WireError: a row is wrong, or belongs to no item, or its item differs from that of `data`, or an item has two
            rows; the message names file, row and column.
        ConfigError: the file or the data cannot be read; no format fits; items have no judgement; the judgements are of
            several judges or of several kinds; or items have different numbers of votes.
    """
    suite_named(suite)
    if not path.exists():
        raise ConfigError(f"--import {path} does not exist; give a file of recorded judgements, or a folder of them")
    judged = list(_judged(path, suite))
    if not judged:
        raise ConfigError(f"--import {path} holds no judgement on an item of {suite}")
    rows = _by_id(judged)
    whole = [row.row for row in judged if row.row is not None]
    in_rows = data is None and len(whole) == len(judged)
    loaded = load_items(suite, data, judge=WHOLE_TEXTS, rows=whole if in_rows else None)
    _require_known(rows, loaded, data or suite)
    items = loaded.items if limit is None else draw(loaded.items, limit, seed)
    missing = [item.id for item in items if item.id not in rows]
    if missing:
        raise ConfigError(
            f"--import {path} has no judgement on {len(missing):,} of {len(items):,} items ({_some(missing)}): "
            "give the whole of it, or --limit"
        )
    records = [_record(item, rows[item.id]) for item in items]
    return RecordedStore(_manifest(suite, name or _model(rows, path), records, rows), records, loaded)


def _judged(path: Path, suite: str) -> Iterator[_Judged]:
    """What each row says. Where rows hold whole items, these get the ids that `load_items` would give them."""
    held: list[_Judged] = []
    for row in (part for whole in read_benchmark_rows(path, (), "--import") for part in rows_of_columns(whole)):
        try:
            if COLUMN in row.values:
                name, said = read_recorded_line(row)
                yield _Judged(row.where, said, name)
                continue
            form = _format_of(row, suite)
            said = form.read(row)
            if form.needs in row.values or not form.key:
                whole_row = without_judgements(row, form.columns)
                items = items_of(suite_named(suite), [whole_row], Counter())
                held += [_Judged(row.where, said, item.id, item, whole_row) for item in items]
            else:
                row.need(*form.key)
                yield _Judged(row.where, said, "/".join(str(row.values[column]) for column in form.key))
        except WireError as error:
            raise error if row.where in str(error) else WireError(f"{row.where}: {error}") from None
    for judged, item in zip(held, with_unique_ids(each.item for each in held if each.item), strict=True):
        yield replace(judged, id=item.id, item=item)


def _format_of(row: BenchmarkRow, suite: str) -> RowFormat:
    fitting = [form for form in FORMATS if form.fits(row)]
    for form in fitting:
        if form.suite == suite:
            return form
    if fitting:
        raise ConfigError(f"{row.where} is a judgement of {fitting[0].suite}: give --suite {fitting[0].suite}")
    known = "; ".join(f"{' and '.join(form.columns)} ({form.suite})" for form in FORMATS)
    raise ConfigError(
        f"{row.where} is no recorded judgement: it has the columns {', '.join(sorted(row.values)) or 'none'}. Formats "
        f"are told by the columns {known}; or id and {COLUMN} (our own, with --data)"
    )


def _by_id(judged: Sequence[_Judged]) -> dict[str, _Judged]:
    rows: dict[str, _Judged] = {}
    for row in judged:
        if row.id in rows:
            raise WireError(
                f"{row.where} is a second judgement on the item {row.id!r}, after {rows[row.id].where}: give one "
                "judge's, once (several votes stand in one row)"
            )
        rows[row.id] = row
    return rows


def _require_known(rows: dict[str, _Judged], loaded: LoadedItems, data: str) -> None:
    """Check that every row's item is in the data, with the same texts and label.

    Rows on items that the loader leaves out, and has counted, are passed over. An item that a row holds can only be
    left out for its label; one that is only named may be of a row of the benchmark that makes no item.
    """
    known = {item.id: item for item in loaded.items}
    unknown = [name for name in rows if name not in known]
    noise = sum(loaded.left_out.get(fault, 0) for fault in get_args(Fault))
    named = [name for name in unknown if rows[name].item is None]
    if len(unknown) - len(named) > noise or len(unknown) > sum(loaded.left_out.values()):
        raise WireError(
            f"{rows[unknown[0]].where}: {len(unknown):,} judgements are on items that {data} does not have "
            f"({_some(unknown)}): give the --data that was judged"
        )
    for name, row in rows.items():
        item, same = row.item, known.get(name)
        if item is None or same is None:
            continue
        if (item.conversation, item.responses) != (same.conversation, same.responses):
            raise WireError(f"{row.where}: item {name!r} has another prompt or other responses than in {data}")
        if (item.best, item.label) != (same.best, same.label):
            raise WireError(f"{row.where}: the label of item {name!r} contradicts that in {data}")


def _record(item: Item, row: _Judged) -> ItemVotes:
    n = len(item.responses)
    for vote in (*row.said.votes, *row.said.greedy):
        if vote.scores is not None and len(vote.scores) != n:
            raise WireError(f"{row.where}: {len(vote.scores)} scores for item {item.id!r}, which has {n} response(s)")
        if vote.order and len(vote.order) != n:
            raise WireError(f"{row.where}: the order {list(vote.order)} is not of item {item.id!r}'s {n} response(s)")
    if row.said.right is not None and row.said.right != len(item.best):
        raise WireError(
            f"{row.where}: {row.said.right} right responses for item {item.id!r}, which has {len(item.best)}: give the "
            "--data that was judged"
        )
    return ItemVotes(item, row.said.greedy, row.said.votes, (0,) * n)


def _model(rows: dict[str, _Judged], path: Path) -> str:
    models = sorted({one_line(row.said.model) for row in rows.values()} - {""})
    if len(models) > 1:
        raise ConfigError(f"--import {path} has judgements of several judges ({_some(models)}): give one judge's")
    return models[0] if models else path.stem


def _manifest(suite: str, model: str, records: Sequence[ItemVotes], rows: dict[str, _Judged]) -> Manifest:
    said = [rows[record.id] for record in records]
    kinds = {row.said.judge: row.where for row in said if row.said.judge is not None}
    if len(kinds) > 1:
        raise ConfigError(
            f"the judgements are of a generative judge ({kinds['generative']}) and of a scalar one "
            f"({kinds['scalar']}): import each by itself, into an --output of its own"
        )
    for what, counts in (
        ("votes", {len(row.said.votes): row.where for row in said}),
        ("greedy votes", {len(row.said.greedy): row.where for row in said}),
    ):
        if len(counts) > 1:
            (few, at), (many, other) = sorted(counts.items())[:2]
            raise ConfigError(f"items have different numbers of {what}: {few} ({at}) and {many} ({other})")
    # Of all judgements, also those that --limit leaves out: a larger limit adds to the same store.
    contents = digest(sorted([name, repr((row.said.greedy, row.said.votes))] for name, row in rows.items()))
    return Manifest(suite, model, len(records[0].votes), None, {RECORDED: contents}, next(iter(kinds), "generative"))


def _some(names: Sequence[str]) -> str:
    """The first few names, for an error about many."""
    return ", ".join(names[:NAMED]) + (", ..." if len(names) > NAMED else "")
