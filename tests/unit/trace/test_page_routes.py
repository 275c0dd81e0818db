import json
import re
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import httpx
import pytest
from fastapi import FastAPI
from pyarrow import parquet

from grm_plugin.serving.http.app import create_app
from grm_plugin.serving.http.trace_app import page_app
from grm_plugin.serving.service import RewardService
from grm_plugin.trace.group_view import view_of
from grm_plugin.trace.stored_trace import Trace
from grm_plugin.types import Judgement
from support.factories import by_number, make_config, scoring
from support.trace_factories import fill, judged, silent, writing

HOSTILE = "</div><script>alert(1)</script><img src=x onerror=alert(2)>\" onmouseover='alert(3)' {{ 7 * 7 }} \u202e"


class Markup(HTMLParser):
    """What a browser would make of a page: its elements, with their attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def links(self) -> list[str]:
        return [
            value
            for _, attributes in self.elements
            for name, value in attributes.items()
            if name in ("href", "src", "action") and value and not value.startswith("#")
        ]


@pytest.fixture
def store(tmp_path: Path) -> Callable[..., Path]:
    return lambda *judgements: fill(
        tmp_path / "a.db", judgements or [judged("1", "10"), judged("3", generator=silent())]
    )


def client_of(app: FastAPI) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://page", timeout=20)


@pytest.fixture
async def client(store: Callable[..., Path]) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(page_app(store())) as client:
        yield client


def rows(page: str) -> list[int]:
    return [int(found) for found in re.findall(r'<tr data-id="(\d+)"', page)]


async def test_the_list(client: httpx.AsyncClient) -> None:
    page = (await client.get("/")).text
    assert rows(page) == [2, 1]
    assert "What is 2 + 2?" in page
    assert '<b id="groups">2</b>' in page
    assert "1 fallback" in page
    assert "2 lost" in page


@pytest.mark.parametrize(
    ("query", "expected"),
    [("?fallback=1", [2]), ("?min=0.9", [1]), ("?q=rather", [2]), ("?sort=highest", [1, 2]), ("?q=nowhere", [])],
)
async def test_filters(client: httpx.AsyncClient, query: str, expected: list[int]) -> None:
    page = (await client.get(f"/{query}")).text
    assert rows(page) == expected
    assert expected or "No group matches" in page


async def test_one_group_shows_responses_by_reward_and_what_was_lost(client: httpx.AsyncClient) -> None:
    page = (await client.get("/traces/1")).text
    assert page.index('<span class="reward">1.000') < page.index('<span class="reward">0.000')
    assert all(part in page for part in ("Specific Criteria", "as seen", "Order shown", "2 kept · 2 read · 2 asked"))
    lost = (await client.get("/traces/2")).text
    assert all(part in lost for part in ("no_scores", "I would rather not say.", "the failure policy gave this reward"))


async def test_a_group_in_pairs_shows_the_scores_of_all_of_them(store: Callable[..., Path]) -> None:
    pairs = judged("9", "2", "5", judge__mode="pairwise")
    tied = judged("9", "9 too", "2", judge__mode="tiebreak")
    view = view_of(Trace(pairs, ()))
    assert [(response.letter, response.scores) for response in view.responses] == [
        ("A", (9,) * 4),
        ("C", (5,) * 4),
        ("B", (2,) * 4),
    ]
    async with client_of(page_app(store(pairs, tied))) as client:
        assert (await client.get("/traces/2")).text.count("compared once more with its neighbours, 2 critiques") == 2


async def test_a_group_says_why_its_votes_ended(store: Callable[..., Path]) -> None:
    early = judged("9", "2", sampling__k=32, sampling__adaptive={})
    async with client_of(page_app(store(early))) as client:
        assert "Stopped early: more votes would hardly name another winner." in (await client.get("/traces/1")).text


@pytest.mark.parametrize("path", ["/", "/traces/1", "/?q=</script>", "/live?than=0"])
async def test_hostile_text_is_text(store: Callable[..., Path], path: str) -> None:
    judgement = judged(f"3 {HOSTILE}", "4", question=HOSTILE, generator=writing(HOSTILE))
    async with client_of(page_app(store(judgement))) as client:
        reply = await client.get(path)
    page = json.loads(reply.text)["rows"] if path.startswith("/live") else reply.text
    assert "alert(" in page or "?q=" in path
    markup = Markup(page)
    scripts = [attributes for tag, attributes in markup.elements if tag == "script"]
    assert [script.get("src") for script in scripts] == ([] if path.startswith("/live") else [scripts[0]["src"]])
    assert not [tag for tag, _ in markup.elements if tag in ("img", "iframe", "object", "embed", "base")]
    assert not [name for _, attributes in markup.elements for name in attributes if name.startswith("on")]
    assert not [1 for _, attributes in markup.elements if "style" in attributes], "CSP forbids style attributes"
    assert "\u202e" not in page
    assert "{{ 7 * 7 }}" in page or "?q=" in path


@pytest.mark.parametrize(
    "path",
    ["/", "/traces/1", "/traces/99", "/live", "/export.jsonl", "/export.parquet", "/static/page.js", "/static/x"],
)
async def test_every_reply_forbids_foreign_and_inline_code(client: httpx.AsyncClient, path: str) -> None:
    headers = (await client.get(path)).headers
    policy = headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
    assert "unsafe" not in policy
    assert headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("prefix", ["", "/grm"])
async def test_every_link_works_also_under_a_prefix(store: Callable[..., Path], prefix: str) -> None:
    app = page_app(store())
    outer = FastAPI()
    outer.mount(prefix, app)
    async with client_of(outer if prefix else app) as client:
        for path in ("/", "/?q=2&min=0", "/traces/2?q=2", "/traces/1"):
            page = await client.get(prefix + path)
            links = Markup(page.text).links()
            assert len(links) > 4
            for link in links:
                target = urljoin(str(page.url), link)
                assert target.startswith(f"http://page{prefix}/"), link
                assert (await client.get(target)).status_code == 200, link


@pytest.mark.parametrize(
    "number", ["99", "0", "-1", "x", "\u0661", "\u00b2", "1.0", "+1", "%201", "9" * 18, "9" * 19, "9" * 23, "9" * 5000]
)
async def test_a_group_that_is_not_there(client: httpx.AsyncClient, number: str) -> None:
    reply = await client.get(f"/traces/{number}")
    assert reply.status_code == 404
    assert "There is no group #" in reply.text


async def test_a_file_that_is_not_there(client: httpx.AsyncClient) -> None:
    assert (await client.get("/static/nothing.js")).status_code == 404


@pytest.mark.parametrize("path", ["/static/..%2fpage.py", "/static/%2e%2e/page.py", "/static/../page.py"])
async def test_only_the_pages_own_files_are_served(client: httpx.AsyncClient, path: str) -> None:
    assert "import" not in (await client.get(path)).text


async def test_live_rows(client: httpx.AsyncClient) -> None:
    news = (await client.get("/live?than=1&charts=1")).json()
    assert (news["newest"], news["count"], rows(news["rows"]), news["groups"]) == (2, 1, [2], "2")
    assert "Position bias" in news["charts"]
    assert (await client.get("/live?than=2")).json()["rows"] == ""


async def test_more_than_a_page(store: Callable[..., Path]) -> None:
    async with client_of(page_app(store(*[judged("5")] * 120))) as client:
        seen: list[int] = []
        path: str | None = "./"
        while path:
            page = await client.get(urljoin("http://page/", path))
            seen += rows(page.text)
            path = next((a["href"] for tag, a in Markup(page.text).elements if a.get("id") == "more"), None)
    assert seen == list(range(120, 0, -1))


async def test_exports(client: httpx.AsyncClient, tmp_path: Path) -> None:
    lines = [json.loads(line) for line in (await client.get("/export.jsonl")).text.splitlines()]
    assert [(line["id"], line["service"]) for line in lines] == [(1, "grm"), (2, "grm")]
    assert lines[0]["judgement"]["group"]["responses"] == ["1", "10"]
    assert [settled["value"] for settled in lines[1]["settled"]] == [lines[1]["settled"][0]["value"]]
    (tmp_path / "t.parquet").write_bytes((await client.get("/export.parquet?fallback=1")).content)
    (row,) = parquet.read_table(tmp_path / "t.parquet").to_pylist()
    assert row["id"] == 2
    assert row["responses"][0]["fallback"]
    assert [vote["reason"] for vote in row["unparsed"]] == ["no_scores", "no_scores"]
    (tmp_path / "all.parquet").write_bytes((await client.get("/export.parquet")).content)
    first = parquet.read_table(tmp_path / "all.parquet").to_pylist()[0]
    assert [response["unit"] for response in first["responses"]] == [0, 1]


@pytest.mark.parametrize("path", ["/", "/traces/1", "/live", "/export.jsonl", "/export.parquet"])
async def test_a_damaged_store_is_a_page_that_says_so(tmp_path: Path, path: str) -> None:
    (tmp_path / "a.db").write_text("no database")
    async with client_of(page_app(tmp_path / "a.db")) as client:
        reply = await client.get(path)
    assert reply.status_code == 503
    assert "is damaged" in reply.text
    assert "<h1>" in reply.text


@pytest.mark.parametrize("path", ["/?q=rather", "/traces/1", "/live", "/export.parquet", "/export.jsonl"])
async def test_a_search_that_takes_too_long_is_a_page_that_says_so(
    store: Callable[..., Path], path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("grm_plugin.trace.store_reader.QUERY_S", -1.0)
    monkeypatch.setattr("grm_plugin.trace.store_reader.STEPS_PER_LOOK", 1)
    async with client_of(page_app(store())) as client:
        reply = await client.get(path)
    assert reply.status_code == 503
    assert "the search took too long; narrow it down" in reply.text
    assert "<h1>" in reply.text


def service(path: Path | None) -> RewardService:
    config: dict[str, Any] = {} if path is None else {"trace__path": str(path)}
    return RewardService(make_config(**config), scoring(by_number))


async def test_the_service_serves_its_page(tmp_path: Path) -> None:
    running = service(tmp_path / "a.db")
    async with client_of(create_app(lambda: running)) as client:
        assert "Nothing judged yet" in (await client.get("/")).text
        body = {"groups": [{"prompt": "How many?", "responses": ["4", "10"]}]}
        assert (await client.post("/v1/score", json=body)).status_code == 200
        await running.close()
        assert rows((await client.get("/")).text) == [1]
        assert (await client.get("/docs")).status_code == 200


async def test_a_service_without_traces_says_how_to_turn_them_on() -> None:
    running = service(None)
    async with client_of(create_app(lambda: running)) as client:
        page = await client.get("/")
        assert page.status_code == 200
        assert "trace:\n  path: traces.db" in page.text
        assert (await client.get("/export.jsonl")).status_code == 503


async def test_a_service_with_a_damaged_store_says_so(tmp_path: Path) -> None:
    (tmp_path / "a.db").write_text("no database")
    running = service(tmp_path / "a.db")
    async with client_of(create_app(lambda: running)) as client:
        assert "is damaged" in (await client.get("/")).text


@pytest.mark.parametrize("responses", [1, 5, 30])
async def test_groups_of_any_size(store: Callable[..., Path], responses: int) -> None:
    judgement: Judgement = judged(*(str(1 + index % 10) for index in range(responses)))
    async with client_of(page_app(store(judgement))) as client:
        page = (await client.get("/traces/1")).text
    assert page.count('<article class="response') == responses
    if responses == 30:
        assert '<b class="letter">AD</b>' in page


async def test_a_vote_that_was_asked_for_is_told_from_the_others(store: Callable[..., Path]) -> None:
    judgement = judged("1", "5")
    (one,) = judgement.lists
    first, *others = one.critiques
    forced = replace(first, text="Analysis: it is cl", forced=True, forced_line="\nScores: \\boxed{1, 5}")
    marked = replace(judgement, lists=(replace(one, critiques=(forced, *others)),))
    async with client_of(page_app(store(marked))) as client:
        page = (await client.get("/traces/1")).text
    assert page.count("scores asked for</span>") == 1
    asked = page.split("Cut off here; asked for its scores")[1].split("</article>")[0]
    assert "Scores: \\boxed{1, 5}" in asked
    assert "it is cl" not in asked
