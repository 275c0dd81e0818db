"""Templates -> HTML, with the headers that keep hostile text harmless and store errors in words."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from fastapi import Request, Response
from fastapi.responses import HTMLResponse
from fastapi.routing import APIRoute
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from grm_plugin import __version__
from grm_plugin.errors import StoreError
from grm_plugin.trace.charts import HEIGHT, WIDTH
from grm_plugin.trace.safe_text import visible, with_letters

HEADERS = {
    # No inline script or style anywhere: what a response smuggles in cannot run even if escaping failed.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


def html(template: str, status: int = 200, **values: Any) -> Response:
    """A whole page."""
    return HTMLResponse(render(template, **values), status_code=status, headers=HEADERS)


def render(template: str, **values: Any) -> str:
    """A template of `templates/`; every value is escaped."""
    return _environment().get_template(template).render(values)


class WordsForErrors(APIRoute):
    """A route that shows a store's errors as a page instead of the service's JSON."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler = super().get_route_handler()

        async def handle(request: Request) -> Response:
            try:
                return await handler(request)
            except StoreError as error:
                base = ".." if "/traces/" in request.url.path else "."
                return html("problem.html", 503, base=base, problem=str(error))

        return handle


@functools.cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= {"version": __version__, "chart_width": WIDTH, "chart_height": HEIGHT}
    environment.filters |= {
        "visible": visible,
        "with_letters": with_letters,
        "reward": lambda value: "–" if value is None else f"{value:.3f}" if abs(value) < 10 else f"{value:.4g}",
        "points": lambda value: "–" if value is None else f"{value:.2f}",
        "seconds": lambda value: f"{value:.0f} s" if value >= 10 else f"{value:.2g} s",
        "date": lambda value: time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(value)),
        "iso": lambda value: time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(value)),
        "along": _along,
    }
    return environment


def _along(value: float, low: float | None, high: float | None) -> str:
    """Where a value lies on the scale low..high, as 0..100; the middle where there is no scale."""
    if low is None or high is None or high <= low:
        return "50"
    return f"{100 * min(1.0, max(0.0, (value - low) / (high - low))):.1f}"
