"""A sample of OpenRLHF's call that cannot be read costs itself: its siblings are judged, and nobody waits for it."""

from __future__ import annotations

import asyncio
import math
from typing import Any

import pytest

from grm_plugin.errors import WireError
from grm_plugin.judging.fallback import LOG_KEYS
from grm_plugin.serving.service import RewardService
from grm_plugin.wire.schemas import GetRewardReply, GetRewardRequest
from support.factories import Scripted, by_number, make_config, responses_shown, scoring

PROMPT = "<s>[INST] How many? [/INST]"


def call(*responses: str | None, prompts: str = "") -> GetRewardRequest:
    """Samples of one prompt, or of prompt A, B, ... by the letters of `prompts`; None cannot be read."""
    asked = [PROMPT.replace("many", f"many {letter}") for letter in prompts] or [PROMPT] * len(responses)
    queries = [
        "secret of another prompt" if response is None else prompt.replace("[INST]", " [INST]") + response
        for prompt, response in zip(asked, responses, strict=True)
    ]
    return GetRewardRequest(query=queries, prompts=asked)


async def rewards(
    request: GetRewardRequest, n: int, generator: Scripted | None = None, **overrides: Any
) -> tuple[GetRewardReply, RewardService]:
    service = RewardService(make_config(sampling__k=2, group__wait_s=60, **overrides), generator or scoring(by_number))
    async with asyncio.timeout(30):
        return await service.get_reward(request, n), service


@pytest.mark.parametrize(
    ("policy", "value", "score"),
    [({}, 5 / 9, 5 / 9), ({"failure__policy": "constant", "failure__constant": -1}, -1, 5 / 9)],
)
async def test_its_siblings_are_judged_and_it_gets_what_the_policy_says(
    policy: dict[str, Any], value: float, score: float, caplog: pytest.LogCaptureFixture
) -> None:
    generator = scoring(by_number)
    reply, service = await rewards(call("1", None, "10", "7"), 4, generator, **policy)
    assert reply.rewards == pytest.approx([0, value, 1, 6 / 9])
    assert reply.scores == pytest.approx([0, score, 1, 6 / 9])
    assert set(reply.extra_logs) == set(LOG_KEYS)
    assert all(len(values) == 4 and all(map(math.isfinite, values)) for values in reply.extra_logs.values())
    assert reply.extra_logs["grm_fallback"] == [0, 1, 0, 0]
    assert {tuple(sorted(responses_shown(prompt))) for prompt, _ in generator.calls} == {("1", "10", "7")}
    counters = service.info().counters
    assert (counters["unreadable"], counters["fallbacks"], counters["incomplete_groups"]) == (1, 1, 0)
    assert b'grm_fallbacks_total{reason="unreadable"} 1' in service.metrics.exposition()[0]
    [line] = [message for message in caplog.messages if "cannot be read" in message]
    assert "1 of 4 samples of a call to /get_reward" in line
    assert "query.1: the prompt is no prefix of the query" in line
    assert "secret" not in caplog.text


async def test_a_blank_sibling_is_no_neutral_reward() -> None:
    reply, _ = await rewards(call("10", " ", None), 3)
    assert reply.rewards == pytest.approx([1, 0, 1])


async def test_without_a_sibling_it_gets_the_constant() -> None:
    reply, _ = await rewards(call("10", None, prompts="AB"), 1, failure__constant=0.25)
    assert reply.rewards == pytest.approx([1, 0.25])
    assert reply.scores == pytest.approx([1, 0.5])


async def test_it_is_logged_once_a_minute_and_always_counted(caplog: pytest.LogCaptureFixture) -> None:
    service = RewardService(make_config(sampling__k=2), scoring(by_number))
    for response in "123":
        await service.get_reward(call(response, None), 2)
    assert service.info().counters["unreadable"] == 3
    assert len([message for message in caplog.messages if "cannot be read" in message]) == 1


@pytest.mark.parametrize(
    ("request_", "options", "message"),
    [
        (call(None), {}, r"^query\.0: the prompt is no prefix"),
        (call(None, None), {}, r"^query\.0: the prompt is no prefix"),
        (
            call("1", None),
            {"failure__policy": "raise"},
            r"^query\.1: the prompt is no prefix .*failure\.policy is 'raise'",
        ),
    ],
)
async def test_a_call_without_any_or_with_policy_raise_is_refused(
    request_: GetRewardRequest, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(WireError, match=message):
        await rewards(request_, len(request_.query), **options)


@pytest.mark.parametrize(
    ("letters", "unread", "n", "sizes"),
    [
        ("AAAA", [1], 4, [3, 3, 3]),
        ("AAAA", [0, 1, 2], 4, [1]),
        ("AAAABBBB", [5], 4, [4, 4, 4, 4, 3, 3, 3]),
        ("ABABABAB", [1], 4, [4, 4, 3, 4, 3, 4, 3]),
        ("AAAAAAAA", [0], 4, [4, 4, 4, 4, 3, 3, 3]),
        ("AAAAAAAA", [0, 1, 2, 3], 4, [4, 4, 4, 4]),
        ("AAA", [0], 4, [4, 4]),  # a sibling is in another call: so may be the others
        ("AB", [1], 1, [1]),
    ],
)
def test_a_group_does_not_wait_for_it(letters: str, unread: list[int], n: int, sizes: list[int]) -> None:
    service = RewardService(make_config(), scoring(by_number))
    request = call(*(None if index in unread else "5" for index in range(len(letters))), prompts=letters)
    assert [size for _, size in service.calls.read(request, n).readable] == sizes
