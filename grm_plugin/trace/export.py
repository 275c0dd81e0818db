"""Exports traces for notebooks and other tools: as JSON lines, or as Parquet where pyarrow is installed."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from pydantic_core import from_json, to_json

from grm_plugin.errors import StoreError
from grm_plugin.trace.filters import Filter
from grm_plugin.trace.store_reader import GroupRow, StoreReader

PARQUET_ROWS = 500
"""Groups that are in memory at a time."""


def has_parquet() -> bool:
    """Whether pyarrow is installed."""
    return importlib.util.find_spec("pyarrow") is not None


def json_lines(store: StoreReader, chosen: Filter) -> Iterator[bytes]:
    """One line of JSON per group that matches a filter, oldest first.

    Its keys: `id`, `time` (seconds since the epoch), `service`, `judgement` (`grm_plugin.types.Judgement`, but with
    `unit_mean` under the name `unit`) and `settled` (what the trainer got; empty if it got an error).
    """
    for row, body in store.export(chosen):
        # `body` is the JSON object {"judgement": ..., "settled": ...}, to which the other keys are added in front.
        head = f'{{"id":{row.id},"time":{row.time!r},"service":'.encode()
        yield head + to_json(row.service) + b"," + body[1:] + b"\n"


def write_json_lines(store: StoreReader, chosen: Filter, path: Path) -> int:
    """Write `json_lines` to a file; returns the number of groups."""
    with path.open("wb") as file:
        return sum(1 for line in json_lines(store, chosen) if file.write(line))


def write_parquet(store: StoreReader, chosen: Filter, path: Path) -> int:
    """Write a Parquet file with one row per group, responses and critiques nested in it; returns the number of groups.

    Raises:
        StoreError: pyarrow is missing.
    """
    if not has_parquet():
        raise StoreError("Parquet needs pyarrow: `pip install pyarrow`, or export .jsonl")
    import pyarrow as pa
    from pyarrow import parquet

    schema = _schema(pa)
    rows = (_parquet_row(row, from_json(body)) for row, body in store.export(chosen))
    written = 0
    with parquet.ParquetWriter(path, schema, compression="zstd") as writer:
        while batch := list(islice(rows, PARQUET_ROWS)):
            writer.write_table(pa.Table.from_pylist(batch, schema=schema))
            written += len(batch)
    return written


def _parquet_row(row: GroupRow, body: dict[str, Any]) -> dict[str, Any]:
    """A group as a row: its responses with their rewards in one list, the critiques of all its lists in another."""
    judgement = body["judgement"]
    group, lists = judgement["group"], judgement["lists"]
    settled = body["settled"] or [None] * len(judgement["rewards"])
    return {
        "id": row.id,
        "time": row.time,
        "service": row.service,
        "conversation": group["conversation"],
        "reference": group["reference"],
        "rubric": group["rubric"],
        "criteria": group.get("criteria", []),
        "source": group.get("source"),
        "responses": [
            {"text": text, "settled": given and given["value"], "fallback": reward["value"] is None, **reward}
            for text, reward, given in zip(group["responses"], judgement["rewards"], settled, strict=True)
        ],
        "critiques": [
            critique | {"members": judged["members"]} for judged in lists for critique in judged["critiques"]
        ],
        "unparsed": [vote for judged in lists for vote in judged["unparsed"]],
        "latency_s": row.latency_s,
        "tokens": row.tokens,
    }


def _schema(pa: Any) -> Any:
    text, number, count, yes = pa.string(), pa.float64(), pa.int64(), pa.bool_()
    scored = {"name": text, "mean": number, "spread": number, "votes": count, "value": number}
    reward = {
        "text": text, "value": number, "settled": number, "fallback": yes, "status": text, "mean": number,
        "total": number, "spread": number, "unit": number, "votes_asked": count, "votes_parsed": count,
        "votes_kept": count, "meta": number, "meta_failed": yes, "tokens": number, "cut": count,
        "criteria": pa.list_(pa.struct(list(scored.items()))),
    }  # fmt: skip
    critique = {
        "members": pa.list_(count), "order": pa.list_(count), "scores": pa.list_(number), "text": text,
        "principles": text, "analysis": text, "sample": count, "tokens": count, "meta": number, "kept": yes,
        "by_criterion": pa.list_(pa.list_(number)),
    }  # fmt: skip
    unparsed = {"reason": text, "detail": text, "text": text, "tokens": count, "order": pa.list_(count)}

    def rows_of(fields: dict[str, Any]) -> Any:
        return pa.list_(pa.struct(list(fields.items())))

    return pa.schema(
        [
            ("id", count),
            ("time", number),
            ("service", text),
            ("conversation", rows_of({"role": text, "content": text})),
            ("reference", text),
            ("rubric", text),
            ("criteria", rows_of({"name": text, "text": text, "weight": number, "kind": text})),
            ("source", text),
            ("responses", rows_of(reward)),
            ("critiques", rows_of(critique)),
            ("unparsed", rows_of(unparsed)),
            ("latency_s", number),
            ("tokens", count),
        ]
    )
