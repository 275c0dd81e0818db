"""The page: list of groups, one group, live rows, static files, as routes over a store. It only reads.

Every link in it is relative, so it works at `/`, under Ray Serve's route prefix and behind a proxy alike.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import FileResponse, JSONResponse

from grm_plugin.trace.chart_data import Overview, overview
from grm_plugin.trace.charts import charts
from grm_plugin.trace.downloads import download_router
from grm_plugin.trace.export import has_parquet
from grm_plugin.trace.filter_query import filter_of, number, query_of, whole
from grm_plugin.trace.filters import Filter, Sort
from grm_plugin.trace.group_view import view
from grm_plugin.trace.page_rendering import HEADERS, WordsForErrors, html, render
from grm_plugin.trace.recorder import RecorderStatus
from grm_plugin.trace.store_reader import StoreReader, opened

ROWS = 50
STATIC = {file.name: file for file in (Path(__file__).parent / "static").iterdir()}
MEDIA_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


@dataclass(frozen=True, slots=True)
class Source:
    """What the page shows: the store, if there is one, and how writing it goes, if this process writes it."""

    path: Path | None
    status: RecorderStatus | None = None


def page_router(source: Callable[[], Source]) -> APIRouter:
    """The routes over the store of `source()` (looked up per request). They run in threads, off the event loop."""
    router = APIRouter(include_in_schema=False, route_class=WordsForErrors)
    router.include_router(download_router(lambda: source().path))

    @router.get("/")
    def list_page(request: Request) -> Response:
        here = source()
        with opened(here.path) as store:
            if store is None or not store.newest():
                return html("empty.html", base=".", recorder=here.status, path=here.path)
            return html("list.html", base=".", recorder=here.status, **_list(store, request.query_params))

    @router.get("/live")
    def live(request: Request) -> Response:
        here = source()
        with opened(here.path) as store:
            news = _news(store, here.status, request.query_params) if store else {"newest": 0}
        return JSONResponse(news, headers=HEADERS)

    @router.get("/traces/{group}")
    def group_page(request: Request, group: str) -> Response:
        here, id = source(), whole(group)
        with opened(here.path) as store:
            found = _group(store, id, request.query_params) if store and id is not None else None
        if found is None:
            problem = f"There is no group #{group}: it was never here, or it made room for newer ones."
            return html("problem.html", 404, base="..", problem=problem)
        return html("group.html", base="..", recorder=here.status, **found)

    @router.get("/static/{name}")
    def static(name: str) -> Response:
        if name not in STATIC:
            return Response(status_code=404, headers=HEADERS)
        headers = HEADERS | {"Cache-Control": "max-age=60"}
        return FileResponse(STATIC[name], media_type=MEDIA_TYPES[STATIC[name].suffix], headers=headers)

    return router


def _list(store: StoreReader, query: Mapping[str, str]) -> dict[str, Any]:
    chosen = filter_of(query)
    after = whole(query.get("after"))
    rows = store.page(chosen, ROWS + 1, after)
    return {
        "rows": rows[:ROWS],
        "more": query_of(chosen, after=rows[ROWS - 1].id) if len(rows) > ROWS else None,
        "after": after,
        "newest": store.newest(),
        "gaps": store.gaps(5),
        "parquet": has_parquet(),
        "sorts": list(Sort),
        **_chosen(chosen),
        **_seen(overview(store, chosen)),
    }


def _news(store: StoreReader, status: RecorderStatus | None, query: Mapping[str, str]) -> dict[str, Any]:
    """What came after the group `than`, as HTML to put into the list; `charts=1` asks for the charts too."""
    chosen = filter_of(query)
    rows = store.newer(chosen, whole(query.get("than")) or 0, ROWS)
    scale = {"low": number(query.get("low")), "high": number(query.get("high"))}
    news = {
        "newest": store.newest(),
        "count": len(rows),
        "rows": render("rows.html", base=".", rows=rows, **scale, **_chosen(chosen)),
        "status": render("status.html", recorder=status, gaps=store.gaps(5)),
    }
    if query.get("charts") == "1":
        seen = _seen(overview(store, chosen))
        news |= {"charts": render("charts.html", **seen), "groups": f"{seen['groups']:,}"}
    return news


def _group(store: StoreReader, group: int, query: Mapping[str, str]) -> dict[str, Any] | None:
    chosen = filter_of(query)
    row, trace = store.row(group), store.trace(group)
    if row is None or trace is None:
        return None
    before, behind = store.neighbours(chosen, group)
    return {"row": row, "group": view(trace), "before": before, "behind": behind, **_chosen(chosen)}


def _chosen(chosen: Filter) -> dict[str, Any]:
    return {"chosen": chosen, "query": query_of(chosen)}


def _seen(seen: Overview) -> dict[str, Any]:
    return {"groups": seen.groups, "charts": charts(seen), "low": seen.reward_min, "high": seen.reward_max}
