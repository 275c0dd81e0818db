"""The routes of the trace page: list of groups, live rows, one group, exports, static files. They only read the store.

Every link of the page is relative, so that it works at `/`, below a proxy's prefix, and where another app mounts it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Coroutine, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse, StreamingResponse
from fastapi.routing import APIRoute
from starlette.background import BackgroundTask

from grm_plugin.errors import StoreError
from grm_plugin.trace.chart_data import chart_data
from grm_plugin.trace.charts import charts
from grm_plugin.trace.export import has_parquet, json_lines, write_parquet
from grm_plugin.trace.filter_query import filter_of, finite_number, group_number, query_of
from grm_plugin.trace.filters import Filter, Sort
from grm_plugin.trace.group_view import view_of
from grm_plugin.trace.page_rendering import render
from grm_plugin.trace.recorder import RecorderStatus
from grm_plugin.trace.store_reader import StoreReader, opened

ROWS = 50
"""Groups on a page of the list."""

GAPS = 5
"""Gaps that the list tells of."""

STATIC = {file.name: file for file in (Path(__file__).parent / "static").iterdir()}
MEDIA_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}

HEADERS = {
    # No inline script or style anywhere: what a response smuggles in could not run even if it were not escaped.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


@dataclass(frozen=True, slots=True)
class Source:
    """What the page shows.

    Attributes:
        path: the store's file; None where tracing is off.
        status: the state of tracing, if the process of the page is the one that writes the store.
    """

    path: Path | None
    status: RecorderStatus | None = None


def page_router(source: Callable[[], Source]) -> APIRouter:
    """All routes of the page; `source` is called for every request. They run in threads, off the event loop."""
    router = APIRouter(include_in_schema=False, route_class=_ErrorPageRoute)

    @router.get("/")
    def list_page(request: Request) -> Response:
        shown = source()
        with opened(shown.path) as store:
            if store is None or not store.newest():
                return _page("empty.html", base=".", recorder=shown.status, path=shown.path)
            return _page("list.html", base=".", recorder=shown.status, **_list_values(store, request.query_params))

    @router.get("/live")
    def live(request: Request) -> Response:
        shown = source()
        with opened(shown.path) as store:
            news = _news(store, shown.status, request.query_params) if store else {"newest": 0}
        return JSONResponse(news, headers=HEADERS)

    @router.get("/traces/{group}")
    def group_page(request: Request, group: str) -> Response:
        shown, number = source(), group_number(group)
        with opened(shown.path) as store:
            values = _group_values(store, number, request.query_params) if store and number is not None else None
        if values is None:
            problem = f"There is no group #{group}: it was never here, or it was deleted to make room for newer ones."
            return _page("problem.html", 404, base="..", problem=problem)
        return _page("group.html", base="..", recorder=shown.status, **values)

    @router.get("/export.jsonl")
    def export_json_lines(request: Request) -> Response:
        lines = _lines_then_close(_existing_store(source().path), filter_of(request.query_params))
        first = next(lines, b"")  # an error now still becomes a page; once the reply has begun, it could not
        return StreamingResponse(
            chain((first,), lines),
            media_type="application/x-ndjson",
            headers=HEADERS | {"Content-Disposition": 'attachment; filename="traces.jsonl"'},
        )

    @router.get("/export.parquet")
    def export_parquet(request: Request) -> Response:
        with opened(source().path) as store, tempfile.NamedTemporaryFile(suffix=".parquet", delete=False) as file:
            made = Path(file.name)
            try:
                write_parquet(store or _existing_store(None), filter_of(request.query_params), made)
            except BaseException:
                made.unlink()
                raise
        delete = BackgroundTask(made.unlink, missing_ok=True)
        return FileResponse(made, filename="traces.parquet", headers=HEADERS, background=delete)

    @router.get("/static/{name}")
    def static(name: str) -> Response:
        if name not in STATIC:
            return Response(status_code=404, headers=HEADERS)
        headers = HEADERS | {"Cache-Control": "max-age=60"}
        return FileResponse(STATIC[name], media_type=MEDIA_TYPES[STATIC[name].suffix], headers=headers)

    return router


class _ErrorPageRoute(APIRoute):
    """A route that answers an error of the store with a page; other routes of the service answer with JSON."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler = super().get_route_handler()

        async def handle(request: Request) -> Response:
            try:
                return await handler(request)
            except StoreError as error:
                base = ".." if "/traces/" in request.url.path else "."
                return _page("problem.html", 503, base=base, problem=str(error))

        return handle


def _page(template: str, status: int = 200, **values: Any) -> Response:
    return HTMLResponse(render(template, **values), status_code=status, headers=HEADERS)


def _list_values(store: StoreReader, query: Mapping[str, str]) -> dict[str, Any]:
    """What `list.html` shows."""
    chosen = filter_of(query)
    after = group_number(query.get("after"))
    rows = store.page(chosen, ROWS + 1, after)
    return {
        "rows": rows[:ROWS],
        "more": query_of(chosen, after=rows[ROWS - 1].id) if len(rows) > ROWS else None,
        "after": after,
        "newest": store.newest(),
        "gaps": store.gaps(GAPS),
        "parquet": has_parquet(),
        "sorts": list(Sort),
        **_filter_values(chosen),
        **_chart_values(store, chosen),
    }


def _news(store: StoreReader, status: RecorderStatus | None, query: Mapping[str, str]) -> dict[str, Any]:
    """Groups that came after the group `than` of the query, as HTML to put into the list.

    With `charts=1` in the query, the charts too.
    """
    chosen = filter_of(query)
    rows = store.newer(chosen, group_number(query.get("than")) or 0, ROWS)
    scale = {"low": finite_number(query.get("low")), "high": finite_number(query.get("high"))}
    news = {
        "newest": store.newest(),
        "count": len(rows),
        "rows": render("rows.html", base=".", rows=rows, **scale, **_filter_values(chosen)),
        "status": render("status.html", recorder=status, gaps=store.gaps(GAPS)),
    }
    if query.get("charts") == "1":
        values = _chart_values(store, chosen)
        news |= {"charts": render("charts.html", **values), "groups": f"{values['groups']:,}"}
    return news


def _group_values(store: StoreReader, group: int, query: Mapping[str, str]) -> dict[str, Any] | None:
    """What `group.html` shows; None if there is no such group."""
    chosen = filter_of(query)
    row, trace = store.row(group), store.trace(group)
    if row is None or trace is None:
        return None
    before, behind = store.neighbours(chosen, group)
    return {"row": row, "group": view_of(trace), "before": before, "behind": behind, **_filter_values(chosen)}


def _filter_values(chosen: Filter) -> dict[str, Any]:
    return {"chosen": chosen, "query": query_of(chosen)}


def _chart_values(store: StoreReader, chosen: Filter) -> dict[str, Any]:
    data = chart_data(store, chosen)
    return {"groups": data.groups, "charts": charts(data), "low": data.reward_min, "high": data.reward_max}


def _existing_store(path: Path | None) -> StoreReader:
    if path is None:
        raise StoreError("no traces are kept: set trace.path")
    return StoreReader(path)


def _lines_then_close(store: StoreReader, chosen: Filter) -> Iterator[bytes]:
    try:
        yield from json_lines(store, chosen)
    finally:
        store.close()
