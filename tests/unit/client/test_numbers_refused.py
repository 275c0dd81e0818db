"""Numbers that no trainer should see, refused where they would come in. The property is in contracts/test_numbers."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from grm_plugin.client import Client
from grm_plugin.errors import EngineError, WireError
from grm_plugin.judging.fallback import LOG_KEYS
from grm_plugin.judging.judge import Judge
from grm_plugin.judging.seams import check_logits
from grm_plugin.types import Completion, Group, Message
from support.factories import Scripted, critique_text, judge_one, live, make_config

REWARD = {
    "value": 0.5, "settled": 0.5, "unit": 0.5, "status": "ok", "mean": 5.5, "total": 11.0, "spread": 0.5,
    "votes_asked": 2, "votes_parsed": 2, "votes_kept": 2, "meta": None, "tokens": 4.0, "cut": 0,
}  # fmt: skip
CRITIQUE = {
    "members": [0], "scores": [5.0], "order": [0], "text": "", "principles": "", "analysis": "", "meta": None,
    "kept": True,
}  # fmt: skip
GROUP = Group((Message("user", "Why?"),), ("Because.",))


def reply(*rewards: dict[str, Any], **critique: Any) -> str:
    critiques = [CRITIQUE | critique]
    judgement = {"rewards": list(rewards), "critiques": critiques, "unparsed": [], "latency_s": 0.1}
    return json.dumps({"judgements": [judgement]})


class Saying:
    """A service that answers every request with `body`."""

    def __init__(self) -> None:
        self.body = ""
        self.status = 200
        self.proxied = 0
        """Answers of a proxy before the service that come first."""
        self.url = ""

    async def answer(self, _: Request) -> Response:
        if self.proxied:
            self.proxied -= 1
            return PlainTextResponse("Path '/v1/sample' not found. Ping http://.../-/routes", 404)
        return Response(self.body, self.status, media_type="application/json")


@pytest.fixture(scope="module")
def service() -> Iterator[Saying]:
    saying = Saying()
    with live(Starlette(routes=[Route("/{path:path}", saying.answer, methods=["POST"])])) as saying.url:
        yield saying


def test_a_sound_reply_is_taken(service: Saying) -> None:
    service.body = reply(REWARD)
    with Client(service.url) as client:
        [judgement] = client.judge([GROUP])
    assert judgement.rewards[0].settled == 0.5


@pytest.mark.parametrize(
    "body",
    [
        *(reply(REWARD | {field: value}) for field in ("settled", "unit", "mean", "meta", "tokens")
          for value in (math.nan, math.inf, 1e300)),
        reply(REWARD | {"settled": None}),
        reply(REWARD | {"votes_asked": 10**400}),
        reply(REWARD | {"votes_kept": -1}),
        reply(REWARD | {"mean": None}),
        reply(REWARD, order=[]),
        reply(REWARD, order=[1]),
        reply(REWARD, scores=[]),
        reply(),
        reply(REWARD, REWARD),
        '{"judgements": []}',
        "[]",
        "",
    ],
)  # fmt: skip
def test_a_reply_that_would_break_a_trainer_is_refused(service: Saying, body: str) -> None:
    service.body = body
    with Client(service.url) as client, pytest.raises(WireError):
        client.judge([GROUP])


@pytest.mark.parametrize("body", ["NaN", "Infinity", "1e999", "1e300", "null", "{}", '"x"', "", "<html>"])
async def test_a_single_reward_that_is_no_number_is_refused(service: Saying, body: str) -> None:
    service.body = body
    async with Client(service.url) as client:
        with pytest.raises(WireError, match="install the same version"):
            await client.areward(GROUP, 1)


SAMPLE = {"reward": 0.5, "unit": 0.5, "logs": dict.fromkeys(LOG_KEYS, 0.0)}


async def test_log_values_of_a_newer_service_are_left_out(service: Saying) -> None:
    service.body = json.dumps({**SAMPLE, "new": 1, "logs": {"grm_new": 1.0} | dict.fromkeys(reversed(LOG_KEYS), 0.0)})
    async with Client(service.url) as client:
        assert tuple((await client.areward_with_logs(GROUP, 1)).logs) == LOG_KEYS


@pytest.mark.parametrize(
    "body",
    [
        *(json.dumps(SAMPLE | {field: value}) for field in ("reward", "unit")
          for value in (math.nan, math.inf, 1e300, None)),
        *(json.dumps(SAMPLE | {"logs": {**dict.fromkeys(LOG_KEYS, 0.0), "grm_mean": value}})
          for value in (math.nan, 1e300, None)),
        json.dumps(SAMPLE | {"logs": dict.fromkeys(LOG_KEYS[1:], 0.0)}),
        json.dumps(SAMPLE | {"unit": 1.5}),
        *("0.5", "[]", "{}", ""),
    ],
)  # fmt: skip
async def test_a_reward_whose_log_values_would_break_a_trainer_is_refused(service: Saying, body: str) -> None:
    service.body = body
    async with Client(service.url) as client:
        with pytest.raises(WireError, match="install the same version"):
            await client.areward_with_logs(GROUP, 1)


@pytest.mark.parametrize(
    "body", ["[]", "{}", '{"reward": 1}', '{"reward": NaN, "mask_sample": false}', '{"reward": 1, "mask_sample": 0}']
)
async def test_a_verdict_without_a_reward_is_refused(service: Saying, body: str) -> None:
    service.body = body
    async with Client(service.url) as client:
        with pytest.raises(WireError, match="install the same version"):
            await client.averify({}, 1)


@pytest.mark.parametrize(
    "answer",
    [None, "text", [None], [critique_text([5])], [Completion(None)], [Completion("x", tokens="many")]],  # type: ignore[arg-type]
)
async def test_what_is_no_completion_is_a_lost_vote(answer: Any) -> None:
    judgement = await judge_one(Judge(make_config(sampling__k=1), Scripted(lambda *_: answer)), "plum")
    assert (judgement.rewards[0].value, judgement.rewards[0].votes_asked) == (None, 1)


@pytest.mark.parametrize("rating", [math.nan, math.inf, -math.inf, 1e308])
def test_a_rating_whose_mean_would_be_infinite_is_refused(rating: float) -> None:
    with pytest.raises(EngineError, match=r"NaN or infinite.*meta_rm\.dtype"):
        check_logits([0.0, rating], 2)


async def test_equal_ratings_of_the_largest_size_have_a_mean() -> None:
    class Sure:
        async def rate(self, conversations: Any) -> list[float]:
            return [3.4e38] * len(conversations)

    config = make_config(sampling__k=4)
    texts = Scripted(lambda prompt, sampling: [Completion(critique_text([5]))] * sampling.n)
    judgement = await judge_one(Judge(config, texts, Sure()), "plum")
    assert judgement.rewards[0].meta == pytest.approx(3.4e38)


@pytest.mark.parametrize("detail", [["?"], [{}], {}, None, 7])
async def test_a_refusal_may_say_anything(service: Saying, detail: Any) -> None:
    service.body, service.status = json.dumps({"detail": detail}), 422
    try:
        async with Client(service.url) as client:
            with pytest.raises(WireError, match="rejects the request"):
                await client.areward(GROUP, 1)
    finally:
        service.status = 200


async def test_a_proxy_that_does_not_know_the_service_yet_is_asked_again(
    service: Saying, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("grm_plugin.client.http_client.FIRST_PAUSE_S", 0.005)
    service.body, service.proxied = "0.5", 2
    async with Client(service.url) as client:
        assert await client.areward(GROUP, 1) == 0.5
    assert service.proxied == 0


async def test_a_critique_that_utf_8_cannot_hold_is_kept_readable() -> None:
    said = Scripted(lambda *_: [Completion("so \ud800 so")])
    judgement = await judge_one(Judge(make_config(sampling__k=1), said), "plum")
    assert judgement.lists[0].unparsed[0].text == "so \ufffd so"
