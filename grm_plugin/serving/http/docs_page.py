"""`GET /docs`: the routes of the service as one page of plain HTML, made of the app's OpenAPI description.

FastAPI's own page loads its scripts and styles from the internet, which a cluster's nodes may not reach. This one has
no script at all.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from fastapi import APIRouter, Request, Response
from fastapi.responses import FileResponse, HTMLResponse

from grm_plugin.trace.page_rendering import html_environment
from grm_plugin.trace.page_routes import HEADERS

FOLDER = Path(__file__).parent / "docs"
"""The page's template and its style."""

EXAMPLES = {
    "/get_reward": ("?n=1", '{"query": ["What is 2 + 2? 4"], "prompts": ["What is 2 + 2? "]}'),
    "/v1/score": ("", '{"groups": [{"prompt": "What is 2 + 2?", "responses": ["4", "5"]}]}'),
    "/v1/sample": ("?n=1&logs=true", '{"prompt": "What is 2 + 2?", "response": "4", "label": "4"}'),
    "/verify": (
        "?n=1",
        '{"responses_create_params": {"input": "What is 2 + 2?"}, "response": {"output": [{"type": "message", '
        '"role": "assistant", "content": [{"type": "output_text", "text": "4"}]}]}}',
    ),
}
"""By route: a query and a body to try it with."""


class Piece(NamedTuple):
    """A part of a type as the page shows it. `schema` names the schema that it links to, if it is one."""

    text: str
    schema: str = ""


def docs_router() -> APIRouter:
    """The page, and its style."""
    router = APIRouter(include_in_schema=False)

    @router.get("/docs")
    async def docs(request: Request) -> Response:
        page = _template().render(described=request.app.openapi(), examples=EXAMPLES, base=str(request.base_url))
        return HTMLResponse(page, headers=HEADERS)

    @router.get("/docs.css")
    async def style() -> Response:
        return FileResponse(FOLDER / "docs.css", media_type="text/css", headers=HEADERS)

    return router


def type_of(schema: Mapping[str, Any]) -> list[Piece]:
    """What a JSON schema says of a value's type, such as "list of", a link to WireGroup, "or null"."""
    return list(_pieces(schema))


def _pieces(schema: Mapping[str, Any]) -> Iterator[Piece]:
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[-1]
        yield Piece(name, name)
    elif options := schema.get("anyOf") or schema.get("oneOf"):
        for number, option in enumerate(options):
            if number:
                yield Piece("or")
            yield from _pieces(option)
    elif "const" in schema or "enum" in schema:
        yield Piece(", ".join(map(str, schema.get("enum", [schema.get("const")]))))
    elif schema.get("type") == "array":
        yield Piece("list of")
        yield from _pieces(schema.get("items", {}))
    else:
        yield Piece(schema.get("type", "any JSON"))
        if "minimum" in schema and "maximum" in schema:
            yield Piece(f"{schema['minimum']:g} to {schema['maximum']:g}")


@functools.cache
def _template() -> Any:
    environment = html_environment(FOLDER)
    environment.filters["pieces"] = type_of
    return environment.get_template("docs.html")
