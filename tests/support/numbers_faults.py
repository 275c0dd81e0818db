"""Faults for test_numbers: of the GRM, of the meta RM, and of the wire between an adapter and the service."""

from __future__ import annotations

import asyncio
import itertools
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hypothesis import note
from hypothesis import strategies as st
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from grm_plugin.config import NEUTRAL_REWARD
from grm_plugin.errors import EngineError, EngineTimeout, PromptTooLong
from grm_plugin.judging.fallback import LOG_KEYS
from grm_plugin.serving.http.app import create_app
from grm_plugin.serving.service import RewardService
from grm_plugin.types import Completion, Conversation, Prompt, Sampling
from support.factories import Scripted, completions, critique_text, make_config, never, responses_shown

DEADLINE_S = 0.2
"""`failure.deadline_s` of the service, and so what a GRM that hangs costs a test."""

CLIENT_TIMEOUT_S = 0.4
LARGEST = 3.4e38
"""Of float32, which a trainer makes of a reward."""


def sound(prompt: Prompt, sampling: Sampling) -> list[Completion]:
    shown = responses_shown(prompt)
    return completions(*[[1 + len(response) % 10 for response in shown]] * sampling.n)


def fails_with(error: Exception) -> Callable[[Prompt, Sampling], Any]:
    def reply(prompt: Prompt, sampling: Sampling) -> Any:
        raise error

    return reply


def says(text: str, finish_reason: str = "stop") -> Callable[[Prompt, Sampling], Any]:
    return lambda prompt, sampling: [Completion(text, finish_reason)] * sampling.n


def _boxed(box: str) -> Callable[[Prompt, Sampling], Any]:
    return says(f"Analysis: as seen.\nScores: \\boxed{{{box}}}")


GRM: dict[str, Callable[[Prompt, Sampling], Any]] = {
    "sound": sound,
    "raises": fails_with(EngineError("out of memory")),
    "raises what is not ours": fails_with(RuntimeError("CUDA error")),
    "times out": fails_with(EngineTimeout("too slow")),
    "prompt too long": fails_with(PromptTooLong("no room")),
    "hangs": never,
    "no completion": lambda prompt, sampling: [],
    "one completion": lambda prompt, sampling: sound(prompt, sampling)[:1],
    "twice as many completions": lambda prompt, sampling: sound(prompt, sampling) * 2,
    "no list": lambda prompt, sampling: None,
    "no completions in the list": lambda prompt, sampling: [None] * sampling.n,
    "bare texts": lambda prompt, sampling: [critique_text([5] * len(prompt.order))] * sampling.n,
    "completions without text": lambda prompt, sampling: [Completion(None)] * sampling.n,  # type: ignore[arg-type]
    "empty": says(""),
    "prose": says("All of them are fine, I would say."),
    "cut": says("Scores: \\boxed{7", "length"),
    "lone surrogates": says("\ud800 Scores: \\boxed{\udfff}"),
    "nan": _boxed("nan"),
    "infinity": _boxed("inf, 1e999"),
    "huge": _boxed("9" * 5000),
    "too few scores": _boxed("7"),
    "out of range": _boxed("0, 11, -3"),
    "some cut": lambda prompt, sampling: [*sound(prompt, sampling)[1:], Completion("Scores: ", "length")],
}

META: dict[str, Callable[[Sequence[Conversation]], Any]] = {
    "sound": lambda rated: [float(len(rated) - index) for index in range(len(rated))],
    "nan": lambda rated: [math.nan] * len(rated),
    "infinity": lambda rated: [math.inf] * len(rated),
    "huge": lambda rated: [1e308] * len(rated),
    "too few": lambda rated: [0.0] * (len(rated) - 1),
    "no list": lambda rated: None,
    "texts": lambda rated: ["good"] * len(rated),
}

TOKENS = ["NaN", "Infinity", "-Infinity", "1e999", "1e300", "9" * 400, '"nan"', '"x"', "null", "true", "-1", "[]", "{}"]
"""What may stand in a reply where something else belongs."""

NO_REPLIES = ['{"detail": ["?"]}', '{"judgements": []}', "<html>"]
BODIES = ["", "null", "[]", "{}", "NaN", "Infinity", "1e999", "1e300", '"nan"', *NO_REPLIES]
STATUSES = [200, 204, 400, 404, 422, 429, 500, 502, 503]


@dataclass(frozen=True)
class ReplyFault:
    """What goes wrong with one reply. `at` chooses the place in it."""

    fault: str = "sound"
    status: int = 200
    text: str = ""
    at: int = 0


REPLY_FAULTS = st.one_of(
    st.just(ReplyFault()),
    st.just(ReplyFault("lost")),
    st.just(ReplyFault("late")),
    st.builds(ReplyFault, st.just("status"), st.sampled_from(STATUSES[2:]), st.sampled_from(BODIES)),
    st.builds(ReplyFault, st.just("status"), st.sampled_from(STATUSES[:2]), st.sampled_from(BODIES)),
    st.builds(ReplyFault, st.just("busy")),
    st.builds(ReplyFault, st.just("cut"), at=st.integers(0, 500)),
    st.builds(ReplyFault, st.just("replace"), text=st.sampled_from(TOKENS), at=st.integers(0, 200)),
    st.builds(ReplyFault, st.sampled_from(["drop", "repeat"]), at=st.integers(0, 200)),
)


@dataclass(frozen=True)
class Plan:
    """What goes wrong, call by call; each list starts again at its end."""

    grm: list[str]
    meta: list[str] | None
    replies: list[ReplyFault]
    config: dict[str, Any] = field(default_factory=dict)


CONFIG = st.fixed_dictionaries(
    {
        "normalize__method": st.sampled_from(sorted(NEUTRAL_REWARD)),
        "failure__policy": st.sampled_from(["group_mean", "constant"]),
        "judge__list_size": st.integers(1, 3),
        "sampling__k": st.integers(1, 4),
        "judge__decimals": st.sampled_from(["reject", "accept"]),
    }
)


def plans(replies: st.SearchStrategy[ReplyFault] = REPLY_FAULTS) -> st.SearchStrategy[Plan]:
    """Plans that hold about as many sound calls as faults."""
    grm = st.just("sound") | st.sampled_from(sorted(GRM))
    meta = st.just("sound") | st.sampled_from(sorted([*META, "raises", "hangs"]))
    some = {"min_size": 1, "max_size": 4}
    return st.builds(Plan, st.lists(grm, **some), st.none() | st.lists(meta, **some), st.lists(replies, **some), CONFIG)


SERVICE_PLANS = plans(st.just(ReplyFault()))
"""Nothing is wrong between adapter and service: for replies that are taken as they come."""


class FaultyMetaRM:
    """A meta RM that does what a plan says."""

    def __init__(self, faults: Sequence[str]) -> None:
        self._faults = itertools.cycle(faults)

    async def rate(self, conversations: Sequence[Conversation]) -> list[float]:
        fault = next(self._faults)
        if fault == "raises":
            raise EngineError("the meta RM is gone")
        if fault == "hangs":
            await asyncio.Event().wait()
        ratings: list[float] = META[fault](conversations)
        return ratings


class FaultyService:
    """A service that fails as a plan says. `app` is its ASGI app, which stays; `begin` puts a new service behind it."""

    def __init__(self) -> None:
        self.app = _FaultyReplies(create_app(lambda: self.service), lambda: next(self._replies))
        self.begin()

    def begin(self, plan: Plan | None = None) -> None:
        """Without a plan all goes well."""
        if plan is None:
            plan = Plan(["sound"], None, [ReplyFault()])
        else:
            note(str(plan))
        grm = itertools.cycle(plan.grm)
        self._replies: Iterator[ReplyFault] = itertools.cycle(plan.replies)
        limits = {"failure__deadline_s": DEADLINE_S, "group__wait_s": DEADLINE_S / 4}
        self.service = RewardService(
            make_config(**limits, **plan.config),
            Scripted(lambda prompt, sampling: GRM[next(grm)](prompt, sampling)),
            None if plan.meta is None else FaultyMetaRM(plan.meta),
        )


class _FaultyReplies:
    """An app whose replies to POST requests are spoilt: `fault` gives the fault of the next one."""

    def __init__(self, app: ASGIApp, fault: Callable[[], ReplyFault]) -> None:
        self._app = app
        self._fault = fault

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        fault = ReplyFault()
        if scope.get("method") == "POST":
            fault, receive = self._fault(), await _whole(receive)
        if fault.fault == "sound":
            await self._app(scope, receive, send)
            return
        if fault.fault == "late":
            await asyncio.sleep(2 * CLIENT_TIMEOUT_S)
        if fault.fault == "lost":
            await _send(send, 200, b"{}", announced=100)  # uvicorn closes the connection of a body that is too short
            return
        if fault.fault == "status":
            await _send(send, fault.status, b"" if fault.status == 204 else fault.text.encode())
            return
        if fault.fault == "busy":
            await _send(send, 503, b'{"detail": "busy"}', retry_after="0")
            return
        status, body = await self._answer(scope, receive)
        await _send(send, status, spoil(body, fault))

    async def _answer(self, scope: Scope, receive: Receive) -> tuple[int, bytes]:
        said: list[Message] = []

        async def keep(message: Message) -> None:
            said.append(message)

        await self._app(scope, receive, keep)
        return said[0]["status"], b"".join(message.get("body", b"") for message in said[1:])


async def _whole(receive: Receive) -> Receive:
    """The same messages once the body is complete: what is slow before that is no part of the service's deadline."""
    messages = [await receive()]
    while messages[-1].get("more_body"):
        messages.append(await receive())

    async def replayed() -> Message:
        return messages.pop(0) if messages else await receive()

    return replayed


async def _send(send: Send, status: int, body: bytes, announced: int | None = None, retry_after: str = "") -> None:
    headers = [(b"content-length", str(len(body) if announced is None else announced).encode())]
    if not body.startswith(b"<"):  # or else the client takes it for a proxy's, and waits for the service
        headers.append((b"content-type", b"application/json"))
    if retry_after:
        headers.append((b"retry-after", retry_after.encode()))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": announced is not None})


def spoil(body: bytes, fault: ReplyFault) -> bytes:
    """A JSON reply with one thing wrong in it."""
    if fault.fault == "cut":
        return body[: fault.at]
    reply = json.loads(body)
    places = list(_places(reply))
    if not places:  # a bare number
        return fault.text.encode() if fault.fault == "replace" else body
    parent, key = places[fault.at % len(places)]
    if fault.fault == "replace":
        parent[key] = "<here>"
        return json.dumps(reply).replace('"<here>"', fault.text).encode()
    if fault.fault == "drop":
        del parent[key]
    elif isinstance(parent, list):
        parent.append(parent[key])
    else:
        parent[f"{key}_"] = parent[key]
    return json.dumps(reply).encode()


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every entry of every object and list in a JSON value: its container and its key."""
    if isinstance(value, dict | list):
        for key in list(value) if isinstance(value, dict) else range(len(value)):
            yield value, key
            yield from _places(value[key])


def check_number(value: object) -> None:
    assert type(value) is float, f"{value!r} is no float"
    assert math.isfinite(value)
    assert abs(value) <= LARGEST, f"{value!r} is infinite in float32"


def check_logs(logs: Mapping[str, object], keys: Sequence[str] = LOG_KEYS) -> None:
    assert tuple(logs) == tuple(keys)
    for value in logs.values():
        check_number(value)
