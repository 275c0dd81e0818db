"""When the openai engine sends a request again, and when it does not."""

from __future__ import annotations

import asyncio
import time
from email.utils import formatdate

import pytest

from grm_plugin._util.deadline import Deadline, working_until
from grm_plugin._util.http_calls import LostConnectionError, NoReplyError, Reply
from grm_plugin.engines.openai_retries import LONGEST_PAUSE_S, post_repeatedly, retry_after_s

GOOD = Reply(200, b"good", {})
Outcome = Reply | Exception


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses that were made, which take no time."""
    made: list[float] = []

    async def sleep(seconds: float) -> None:
        made.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    return made


class Server:
    """Answers as scripted, and then well; `timeouts`: how long each request might have taken."""

    def __init__(self, *outcomes: Outcome) -> None:
        self._outcomes = iter(outcomes)
        self.timeouts: list[float] = []

    async def post(self, timeout_s: float) -> Reply:
        self.timeouts.append(timeout_s)
        outcome = next(self._outcomes, GOOD)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


def busy(status: int = 503, **headers: str) -> Reply:
    return Reply(status, b"", {name.replace("_", "-"): value for name, value in headers.items()})


@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503, 504, 529])
async def test_statuses_that_pass_are_met_with_growing_pauses(pauses: list[float], status: int) -> None:
    server = Server(*[busy(status)] * 6)
    assert await post_repeatedly(server.post, 9) == GOOD
    for pause, longest in zip(pauses, (0.5, 1, 2, 4, 8, 8), strict=True):
        assert 0.75 * longest <= pause <= longest <= LONGEST_PAUSE_S


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 422, 307, 302])
async def test_other_statuses_are_the_answer(pauses: list[float], status: int) -> None:
    assert (await post_repeatedly(Server(busy(status)).post, 4)).status == status
    assert pauses == []


@pytest.mark.parametrize("failure", [busy(), NoReplyError("refused"), TimeoutError()], ids=["status", "no", "late"])
async def test_there_are_only_so_many_tries(pauses: list[float], failure: Outcome) -> None:
    server = Server(*[failure] * 9)
    if isinstance(failure, Exception):
        with pytest.raises(type(failure)):
            await post_repeatedly(server.post, 2)
    else:
        assert await post_repeatedly(server.post, 2) == failure
    assert len(server.timeouts) == 3
    assert len(pauses) == 2


async def test_the_first_lost_connection_is_replaced_at_once_and_beyond_the_retries(pauses: list[float]) -> None:
    lost = LostConnectionError("closed")
    assert await post_repeatedly(Server(lost).post, 0) == GOOD
    assert pauses == []
    with pytest.raises(LostConnectionError):
        await post_repeatedly(Server(lost, lost).post, 0)
    assert await post_repeatedly(Server(lost, lost, busy(), lost).post, 3) == GOOD
    assert len(pauses) == 3


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "3"}, 3.0), ({"Retry-After": "0.25"}, 0.25), ({"Retry-After-Ms": "250"}, 0.25),
        ({"Retry-After-Ms": "250", "Retry-After": "1"}, 0.25), ({"Retry-After-Ms": "soon", "Retry-After": "1"}, 1.0),
        ({}, None), ({"Retry-After": "0"}, None), ({"Retry-After": "-5"}, None), ({"Retry-After": "nan"}, None),
        ({"Retry-After": "soon"}, None), ({"Retry-After": ""}, None), ({"Retry-After": "Mon, 99 Foo 9999"}, None),
        ({"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}, None), ({"Retry-After": "1" * 400}, float("inf")),
    ],
    ids=repr,
)  # fmt: skip
def test_how_long_a_server_asks_to_wait(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after_s(Reply(429, b"", headers)) == seconds


def test_it_may_ask_by_a_date() -> None:
    later = formatdate(time.time() + 3600, usegmt=True)
    assert retry_after_s(Reply(429, b"", {"Retry-After": later})) == pytest.approx(3600, abs=60)


async def test_what_a_server_asks_for_is_kept(pauses: list[float]) -> None:
    assert await post_repeatedly(Server(busy(Retry_After="37"), busy(Retry_After="0")).post, 4) == GOOD
    assert pauses[0] == 37
    assert 0.75 <= pauses[1] <= 1, "0 is no answer to how long"


@pytest.mark.parametrize("wait", ["121", "Fri, 31 Dec 2999 23:59:59 GMT", "1" * 400])
async def test_a_server_that_asks_for_too_long_a_wait_is_left(pauses: list[float], wait: str) -> None:
    assert (await post_repeatedly(Server(busy(Retry_After=wait)).post, 4)).status == 503
    assert pauses == []


async def test_a_server_may_say_whether_it_helps(pauses: list[float]) -> None:
    assert (await post_repeatedly(Server(busy(429, X_Should_Retry="false")).post, 4)).status == 429
    assert pauses == []
    assert await post_repeatedly(Server(busy(400, X_Should_Retry="true")).post, 4) == GOOD


@pytest.mark.parametrize(
    "failure", [busy(Retry_After="37"), NoReplyError("refused"), TimeoutError()], ids=["status", "no", "late"]
)
async def test_no_pause_outlasts_the_deadline(pauses: list[float], failure: Outcome) -> None:
    """What went wrong is told instead, in time."""
    server = Server(failure, failure)
    with working_until(Deadline.after(0.3)):
        if isinstance(failure, Exception):
            with pytest.raises(type(failure)):
                await post_repeatedly(server.post, 4)
        else:
            assert await post_repeatedly(server.post, 4) == failure
    assert pauses == []
    assert len(server.timeouts) == 1


@pytest.mark.parametrize(
    ("left_s", "expected_s"), [(None, 600), (1000, 500), (100, 60), (30, 30)], ids=["none", "half", "least", "all"]
)
async def test_a_try_may_take_half_of_the_time_but_no_less_than_a_slow_answer_does(
    pauses: list[float], left_s: float | None, expected_s: float
) -> None:
    server = Server(TimeoutError())
    with working_until(Deadline.after(left_s)):
        assert await post_repeatedly(server.post, 4) == GOOD
    assert server.timeouts == pytest.approx([expected_s] * 2, abs=5)


async def test_a_try_ends_with_the_deadline(pauses: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now)
    server = Server()

    async def late(timeout_s: float) -> Reply:
        nonlocal now
        now += timeout_s
        await server.post(timeout_s)
        raise TimeoutError

    with working_until(Deadline.after(100)), pytest.raises(TimeoutError):
        await post_repeatedly(late, 4)
    assert server.timeouts == pytest.approx([60, 40])


async def test_nothing_is_sent_after_the_deadline() -> None:
    server = Server()
    with working_until(Deadline.after(0)), pytest.raises(TimeoutError):
        await post_repeatedly(server.post, 4)
    assert server.timeouts == []


async def test_what_is_no_failure_of_the_way_comes_through(pauses: list[float]) -> None:
    with pytest.raises(KeyError):
        await post_repeatedly(Server(KeyError("x")).post, 4)
    assert pauses == []
