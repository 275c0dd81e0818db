"""Exports over HTTP: all groups of the filter in the address."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path

from fastapi import APIRouter, Request, Response
from fastapi.responses import FileResponse, StreamingResponse
from starlette.background import BackgroundTask

from grm_plugin.errors import StoreError
from grm_plugin.trace.export import json_lines, write_parquet
from grm_plugin.trace.filter_query import filter_of
from grm_plugin.trace.filters import Filter
from grm_plugin.trace.page_rendering import HEADERS, WordsForErrors
from grm_plugin.trace.store_reader import StoreReader, opened


def download_router(path: Callable[[], Path | None]) -> APIRouter:
    """`/export.jsonl` and `/export.parquet` of the store at `path()`."""
    router = APIRouter(include_in_schema=False, route_class=WordsForErrors)

    @router.get("/export.jsonl")
    def lines(request: Request) -> Response:
        rows = _closing(_existing(path()), filter_of(request.query_params))
        first = next(rows, b"")  # what fails, fails before the reply has begun, and can still be told
        return StreamingResponse(
            chain((first,), rows),
            media_type="application/x-ndjson",
            headers=HEADERS | {"Content-Disposition": 'attachment; filename="traces.jsonl"'},
        )

    @router.get("/export.parquet")
    def table(request: Request) -> Response:
        with opened(path()) as store, tempfile.NamedTemporaryFile(suffix=".parquet", delete=False) as file:
            made = Path(file.name)
            try:
                write_parquet(store or _existing(None), filter_of(request.query_params), made)
            except BaseException:
                made.unlink()
                raise
        drop = BackgroundTask(made.unlink, missing_ok=True)
        return FileResponse(made, filename="traces.parquet", headers=HEADERS, background=drop)

    return router


def _existing(path: Path | None) -> StoreReader:
    if path is None:
        raise StoreError("no traces are kept: set trace.path")
    return StoreReader(path)


def _closing(store: StoreReader, chosen: Filter) -> Iterator[bytes]:
    try:
        yield from json_lines(store, chosen)
    finally:
        store.close()
