"""`/docs` needs nothing from anywhere else, and says all that the app's description says."""

from __future__ import annotations

import re
from html import unescape
from html.parser import HTMLParser
from urllib.parse import urljoin

import httpx
import pytest

from grm_plugin.serving.http.docs_page import EXAMPLES, FOLDER, type_of

URL = "http://service/docs"


class Page(HTMLParser):
    """The elements of a page, its text, and what it links to or loads."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.links: list[str] = []
        self.ids: set[str | None] = set()
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.ids.add(dict(attrs).get("id"))
        self.links += [value for name, value in attrs if name in ("href", "src", "action", "srcset") and value]

    def handle_data(self, data: str) -> None:
        self.text += data


async def test_it_asks_no_other_server_for_anything(client: httpx.AsyncClient) -> None:
    reply = await client.get("/docs")
    assert reply.status_code == 200
    page = Page(reply.text)
    assert not page.tags & {"script", "style", "iframe", "img", "object", "embed", "form"}
    assert not [link for link in page.links if "//" in link]
    assert not re.search(r"(url\(|@import|//)", (FOLDER / "docs.css").read_text())
    assert "default-src 'none'" in reply.headers["content-security-policy"]
    for link in page.links:
        if not link.startswith("#"):
            assert (await client.get(urljoin(URL, link))).status_code == 200, link


async def test_no_page_of_fastapis_own_is_left(client: httpx.AsyncClient) -> None:
    for path in ("/redoc", "/docs/oauth2-redirect"):
        assert (await client.get(path)).status_code == 404


async def test_it_says_all_that_the_description_says(client: httpx.AsyncClient) -> None:
    described = (await client.get("/openapi.json")).json()
    page = Page((await client.get("/docs")).text)
    words = " ".join(page.text.split())
    for path, operations in described["paths"].items():
        assert path in words
        for operation in operations.values():
            assert operation["summary"] in words
            for parameter in operation.get("parameters", ()):
                assert f"?{parameter['name']}=" in words
                assert " ".join(parameter["description"].replace("`", "").split()) in words
    for name, schema in described["components"]["schemas"].items():
        assert name in page.ids
        for field, value in schema.get("properties", {}).items():
            assert field in words
            assert " ".join(value.get("description", "").replace("`", "").split()) in words
    assert {link[1:] for link in page.links if link.startswith("#")} <= page.ids


async def test_the_examples_work(client: httpx.AsyncClient) -> None:
    described = (await client.get("/openapi.json")).json()
    bodies = {path for path, operations in described["paths"].items() if "requestBody" in operations.get("post", {})}
    assert set(EXAMPLES) == bodies
    shown = unescape((await client.get("/docs")).text)
    for path, (query, body) in EXAMPLES.items():
        assert f"curl '{str(client.base_url).rstrip('/')}{path}{query}'" in shown
        assert f"-d '{body}'" in shown
        reply = await client.post(path + query, content=body, headers={"Content-Type": "application/json"})
        assert reply.status_code == 200, reply.text


async def test_a_hostile_host_is_text(client: httpx.AsyncClient) -> None:
    reply = await client.get("/docs", headers={"Host": "a'><script>alert(1)</script>"})
    assert reply.status_code < 500
    assert "<script" not in reply.text


@pytest.mark.parametrize(
    ("schema", "text"),
    [
        ({"type": "string"}, "string"),
        ({"$ref": "#/components/schemas/WireGroup"}, "WireGroup"),
        ({"type": "array", "items": {"$ref": "#/components/schemas/WireGroup"}}, "list of WireGroup"),
        (
            {"anyOf": [{"type": "integer", "minimum": 1, "maximum": 4096}, {"type": "null"}]},
            "integer 1 to 4096 or null",
        ),
        ({"enum": ["a", "b"]}, "a, b"),
        ({"const": "ok"}, "ok"),
        ({}, "any JSON"),
    ],
)
def test_types_are_in_words(schema: dict[str, object], text: str) -> None:
    assert " ".join(piece.text for piece in type_of(schema)) == text
