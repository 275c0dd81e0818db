"""What schemathesis makes of the service's own OpenAPI description, as it is and damaged, is answered: no 5xx, no hang,
every reply as described. `GRM_FUZZ_REQUESTS=10000` sends so many of schemathesis's own, and as many damaged ones."""

from __future__ import annotations

import asyncio
import json
import os
import random
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.checks import CHECKS, load_all_checks

from grm_plugin.serving.http.app import create_app
from grm_plugin.serving.service import RewardService
from support.factories import by_number, make_config, scoring

BUDGET = int(os.environ.get("GRM_FUZZ_REQUESTS", "240"))
POSTS = ("/get_reward", "/v1/score", "/v1/sample", "/verify")
DAMAGED_PER_CASE = 1 if BUDGET >= 10_000 else 6  # making one costs a hundredth of what schemathesis's own costs

CALL_DEADLINE_S = 20.0

load_all_checks()
DESCRIBED = [
    check
    for check in CHECKS.get_all()
    if check.__name__
    in ("not_a_server_error", "status_code_conformance", "content_type_conformance", "response_schema_conformance")
]

FRAGMENTS = (
    *("null", "true", "-0", "NaN", "-Infinity", "1e999", "1e308", "9" * 400, "9" * 5000, "{}", "[]", '""', '"\\u0000"'),
    *('"\\ud800"', '"\\udc00\\ud800"', '"\u202e\u200b"', "[[[]]]", '{"\\ud800": 1}', '{"": {"": null}}', "[null, 1]"),
    *(
        "[" * 100 + "]" * 100,
        "[" * 100_000 + "]" * 100_000,
        '{"a":' * 3000 + "1" + "}" * 3000,
        '"' + "a" * 70_000 + '"',
    ),
)
CONTENT_TYPES = (
    *("text/plain", "", "application/x-www-form-urlencoded", "multipart/form-data", "application/vnd.api+json"),
    *("application/json; charset=utf-16", "application/json; charset=none", "application/xml", ";", "application/"),
)
HOLE = "a hole in the body"


class Calls:
    """A client of the app on one event loop, without sockets; every call has a deadline."""

    def __init__(self, app: Any) -> None:
        self.app = app
        self.seen: Counter[int] = Counter()
        self._runner = asyncio.Runner()
        self._client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://service", timeout=None)

    def __call__(self, method: str, url: str, **rest: Any) -> httpx.Response:
        reply = self._runner.run(self._call(method, url, **rest))
        self.seen[reply.status_code] += 1
        return reply

    async def _call(self, method: str, url: str, **rest: Any) -> httpx.Response:
        async with asyncio.timeout(CALL_DEADLINE_S):
            return await self._client.request(method, url, **rest)

    def close(self) -> None:
        self._runner.run(self._client.aclose())
        self._runner.close()


@pytest.fixture
def calls(tmp_path: Path) -> Iterator[Calls]:
    # max_chars: short enough to be met; group.wait_s: a sample whose siblings nobody sends is judged at once.
    config = make_config(
        sampling__k=2, group__wait_s=0, service__max_chars=60_000, trace__path=str(tmp_path / "traces.db")
    )
    service = RewardService(config, scoring(by_number))
    calls = Calls(create_app(lambda: service))
    yield calls
    calls._runner.run(service.close())
    calls.close()


def limits(examples: int) -> Callable[[Any], Any]:
    return settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
    )


@pytest.mark.timeout(120 if BUDGET < 1000 else 6000)
@pytest.mark.parametrize("mode", list(schemathesis.GenerationMode), ids=lambda mode: mode.value)
@pytest.mark.parametrize("path", POSTS)
def test_every_request_is_answered_as_described(calls: Calls, path: str, mode: Any) -> None:
    operation = schemathesis.openapi.from_asgi("/openapi.json", calls.app)[path]["POST"]
    rng = random.Random(f"{path} {mode}")

    @limits(BUDGET // (2 * len(POSTS)))
    @given(operation.as_strategy(generation_mode=mode))
    def send(case: Any) -> None:
        request = prepared(case)
        headers, body = dict(request.headers), as_bytes(request.body)
        check(case, calls("POST", str(request.url), headers=headers, content=body))
        for _ in range(DAMAGED_PER_CASE):
            changed, kind = damaged(body, rng)
            sent = headers if kind is None else headers | {"Content-Type": kind}
            check(case, calls("POST", str(request.url), headers=length_of(sent, changed), content=changed))

    send()
    print(f"{path} {mode.value}: {dict(calls.seen)}")
    assert sum(calls.seen.values()) >= BUDGET // (2 * len(POSTS)) * (1 + DAMAGED_PER_CASE)
    if mode is schemathesis.GenerationMode.POSITIVE:
        assert calls.seen[200], "some requests must get through, or nothing behind the schema was tried"
    assert calls.seen[422]


def check(case: Any, reply: httpx.Response) -> None:
    case.validate_response(reply, checks=DESCRIBED)
    reply.content.decode()  # UTF-8
    json.loads(reply.content, parse_constant=_no_number)


def prepared(case: Any) -> requests.PreparedRequest:
    fields = case.as_transport_kwargs(base_url="http://service")
    known = ("method", "url", "headers", "params", "json", "data", "files", "cookies")
    return requests.Request(**{key: fields[key] for key in known if key in fields}).prepare()


def as_bytes(body: Any) -> bytes:
    return body.encode() if isinstance(body, str) else body or b""


def length_of(headers: dict[str, str], body: bytes) -> dict[str, str]:
    kept = {key: value for key, value in headers.items() if key.lower() not in ("content-length", "transfer-encoding")}
    return kept | {"Content-Length": str(len(body))}


def damaged(body: bytes, rng: random.Random) -> tuple[bytes, str | None]:
    """The body with one thing wrong in it, and the content type to send where that is what is wrong."""
    kind = rng.random()
    if kind < 0.1:
        return body, rng.choice(CONTENT_TYPES)
    if kind < 0.2 or not body:
        return body[: rng.randrange(len(body) + 1)], None
    if kind < 0.3:
        place = rng.randrange(len(body))
        return body[:place] + rng.randbytes(2) + body[place + 1 :], None
    try:
        value = json.loads(body)
    except ValueError:
        return rng.choice(FRAGMENTS).encode(), None
    text = json.dumps(with_hole(value, rng)).replace(json.dumps(HOLE), rng.choice(FRAGMENTS), 1)
    return text.encode(), None


def with_hole(value: Any, rng: random.Random) -> Any:
    """The value with one part of it, drawn at random, replaced by `HOLE`; or with `HOLE` added to it."""
    if isinstance(value, dict) and rng.random() < 0.9:
        if not value or rng.random() < 0.1:
            return value | {rng.choice(["n", "label", "rubric", "\ud800", ""]): HOLE}
        key = rng.choice(list(value))
        return value | {key: with_hole(value[key], rng)}
    if isinstance(value, list) and value and rng.random() < 0.9:
        place = rng.randrange(len(value))
        return [*value[:place], with_hole(value[place], rng), *value[place + 1 :]]
    return HOLE


def _no_number(constant: str) -> None:
    raise AssertionError(f"{constant} is no JSON")


TEXT = st.text(max_size=20)
VALUES = st.one_of(TEXT, st.sampled_from(["nan", "inf", "-1", "9" * 30, "1e999", "\ud800", "%00", "*", "(", "'", '"']))
KEYS = st.one_of(
    st.sampled_from(
        ["text", "sort", "after", "than", "charts", "low", "high", "status", "min_reward", "max_reward", "since"]
    ),
    TEXT,
)
PAGES = st.sampled_from(["/", "/live", "/traces/1", "/traces/0", "/export.jsonl", "/metrics", "/info", "/ready"])


def test_the_pages_stand_any_query_and_header(calls: Calls) -> None:
    sample = {"prompt": "What is 2 + 2?", "response": "4"}
    assert calls("POST", "/v1/sample", json=sample).status_code == 200

    @limits(max(BUDGET // 2, 100))
    @given(
        path=st.one_of(PAGES, TEXT.map(lambda text: f"/traces/{text}"), TEXT.map(lambda text: f"/static/{text}")),
        query=st.dictionaries(KEYS, VALUES, max_size=4),
        accept=st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"), max_size=30),
    )
    def get(path: str, query: dict[str, str], accept: str) -> None:
        url = requests.Request("GET", "http://service").prepare().url or ""
        pairs = {key.encode("utf-8", "replace"): value.encode("utf-8", "replace") for key, value in query.items()}
        quoted = requests.utils.quote(path.encode("utf-8", "replace"))
        full = requests.Request("GET", url.rstrip("/") + quoted, params=pairs).prepare().url
        reply = calls("GET", str(full), headers={"Accept": accept.encode("latin-1")})
        assert reply.status_code < 500

    get()
    assert calls.seen[200] > 1
