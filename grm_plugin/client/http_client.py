"""Client of a running service: groups in, judgements out.

    with Client("http://127.0.0.1:8790") as client:
        [judgement] = client.judge([Group((Message("user", "Why is the sky blue?"),), ("Scattering.", "Paint."))])
        print([reward.settled for reward in judgement.rewards])

    async with Client(url) as client:
        judgements = await client.ajudge(groups)

One client serves all threads and event loops of a process. A service with a token gets it from GRM_TOKEN.
"""

from __future__ import annotations

import asyncio
import json
import random
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import httpx
from pydantic import ValidationError

from grm_plugin._util.background import run_in_background
from grm_plugin._util.text import encodable
from grm_plugin.client.call_slots import CallSlots
from grm_plugin.client.connections import Connections
from grm_plugin.client.replies import (
    explain,
    is_away,
    knows_no_detail,
    read_judgements,
    read_number,
    read_sample,
    read_verdict,
    what_is_wrong,
)
from grm_plugin.client.transport_errors import explain_transport
from grm_plugin.errors import GroupError, ServiceError, WireError
from grm_plugin.types import Group
from grm_plugin.wire.schemas import SampleReply, ScoreRequest, WireGroup, WireJudgement
from grm_plugin.wire.token import Token, locate

TRIES = 6
"""Of a call, before a service that has never answered is taken for not there."""

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.25, 8.0

MARGIN_S = 5.0
"""The service keeps `failure.deadline_s` itself; a client waits a little longer for the reply."""


class Client:
    """Has groups judged over HTTP.

    A try that finds no service, or loses its connection, is repeated with growing, jittered pauses: up to `TRIES`
    times, or, once the service has answered a call, until the time is up, since it is then on its way back. A busy
    service (503 with Retry-After) is asked again until the time is up, too. All tries of a call carry one request id,
    by which the service attaches them to the work that already runs. Proxy variables of the environment are ignored.

    Args:
        url: `http://HOST:PORT`, as `grm-plugin serve` prints it.
        timeout_s: longest time for one call with all its tries, counted from when it is first sent. Set it above the
            service's `failure.deadline_s`, which is 1,200 s in the 16B and 27B configurations.
        max_concurrency: most calls in flight per event loop. Further ones wait for their turn, and give up when no call
            has succeeded for `timeout_s`.
        token: the service's token; None takes the one in `url` (`http://grm:TOKEN@HOST:PORT`), or else that of the
            environment variable GRM_TOKEN, if there is one.

    Raises:
        ServiceError: `url` is no HTTP address.
        ConfigError: GRM_TOKEN is set to what cannot be a token.
    """

    def __init__(
        self, url: str, timeout_s: float = 175.0, max_concurrency: int = 64, token: Token | None = None
    ) -> None:
        self.url, found = locate(url)
        if not self.url.startswith(("http://", "https://")):
            raise ServiceError(f"{self.url!r} is no address of a service; give http://HOST:PORT")
        self.timeout_s = timeout_s
        self.max_concurrency = max_concurrency
        self._token = token or found
        self._has_answered = False
        self._gets_all = False
        """Whether the service is of a version that always sends the critiques."""
        self._sessions: dict[asyncio.AbstractEventLoop, _Session] = {}

    async def ajudge(
        self,
        groups: Sequence[Group | WireGroup],
        on_place: Callable[[], None] = lambda: None,
        *,
        learn: bool = True,
        detail: bool = False,
    ) -> list[WireJudgement]:
        """One judgement per group, in order; at most 1,024 groups.

        `WireJudgement.rewards[i].settled` is always a finite number, `.value` is None where there was no vote.
        With `detail` come the critiques, too, and what could not be read; both are empty lists without it.
        `on_place` is called when the call's turn has come (`max_concurrency`) and it is sent. `learn=False`, here and
        in the other calls, says that this is evaluation: `normalize.method` running does not learn from it.

        Raises:
            ServiceError: the service cannot be reached, has failed, or did not answer in time.
            WireError: a group does not fit the schema (the message names the field), there are too many, or the reply
                does not fit.
        """
        wire = [to_wire(group) for group in groups]
        try:
            request = ScoreRequest(groups=wire, request_id=_new_id(), learn=learn, detail=detail or self._gets_all)
        except ValidationError as error:
            raise WireError(f"too much for one call: {explain(error.errors())}; make several calls") from None
        # What a service of an older version does not know stays out. Not pydantic's JSON: messages may hold lone
        # surrogates, which UTF-8 cannot hold and json escapes.
        body = json.dumps(request.model_dump(exclude_defaults=True))
        answer = await self._in_place("/v1/score", body, on_place)
        if not request.detail and knows_no_detail(answer):
            self._gets_all = True
            return await self.ajudge(groups, on_place, learn=learn)
        return read_judgements(answer, request.groups)

    async def areward(self, sample: Group | WireGroup, n: int, *, learn: bool = True) -> float:
        """The reward of one response, judged with the n - 1 others to its prompt that the service receives meanwhile.

        Always finite: the service puts what `failure.policy` says in the place of a missing reward. Siblings wait for
        each other in the service, so these calls are not bounded by `max_concurrency`.

        Raises:
            GroupError: `sample` does not hold exactly one response.
            ServiceError, WireError: as `ajudge`.
        """
        return read_number(await self._call(_path("/v1/sample", n, learn), _one_response(sample)))

    async def areward_with_logs(self, sample: Group | WireGroup, n: int, *, learn: bool = True) -> SampleReply:
        """`areward` with the values to log beside the reward, under the keys `grm_plugin.judging.fallback.LOG_KEYS`.

        Raises:
            GroupError, ServiceError, WireError: as `areward`.
        """
        path = _path("/v1/sample", n, learn) + "&logs=true"
        return read_sample(await self._call(path, _one_response(sample)))

    async def averify(self, rollout: Mapping[str, Any], n: int, *, learn: bool = True) -> dict[str, Any]:
        """A NeMo-Gym rollout with its reward (`serving.http.nemo_gym.VerifyReply`), judged in its cohort of n.

        Raises:
            ServiceError, WireError: as `ajudge`.
        """
        return read_verdict(await self._call(_path("/verify", n, learn), json.dumps(rollout)))

    def judge(
        self, groups: Sequence[Group | WireGroup], *, learn: bool = True, detail: bool = False
    ) -> list[WireJudgement]:
        """`ajudge` for callers that are not async; any number of threads may call it."""
        return run_in_background(self.ajudge(groups, learn=learn, detail=detail))

    async def aclose(self) -> None:
        """Close the connections that this event loop uses."""
        session = self._sessions.pop(asyncio.get_running_loop(), None)
        if session is not None:
            await session.connections.aclose()

    def close(self) -> None:
        """Close the connections that `judge` uses."""
        run_in_background(self.aclose())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self.aclose()

    def _session(self) -> _Session:
        loop = asyncio.get_running_loop()
        if loop not in self._sessions:
            for ended in [other for other in list(self._sessions) if other.is_closed()]:
                self._sessions.pop(ended, None)
            headers = self._token.headers if self._token else None
            self._sessions[loop] = _Session(
                Connections(self.url, headers), CallSlots(self.max_concurrency, self.timeout_s)
            )
        return self._sessions[loop]

    async def _in_place(self, path: str, body: str, on_place: Callable[[], None]) -> httpx.Response:
        session = self._session()
        try:
            async with session.places.hold():
                on_place()
                return await self._call(path, body)
        except TimeoutError:
            raise self._late(session.problem) from None

    async def _call(self, path: str, body: str) -> httpx.Response:
        session = self._session()
        try:
            async with session.connections.hold() as http, asyncio.timeout(self.timeout_s):
                return await self._post(session, http, path, body)
        except TimeoutError:
            raise self._late(session.problem) from None

    def _late(self, problem: str) -> ServiceError:
        if problem:
            return self._nowhere(f"{problem}, for {self.timeout_s:g} s")
        return ServiceError(
            f"the GRM service at {self.url} did not answer within {self.timeout_s:g} s; see {self.url}/info, "
            "and allow it more time or give it more replicas"
        )

    def _nowhere(self, problem: str) -> ServiceError:
        return ServiceError(
            f"no GRM service answers at {self.url} ({problem}); check that it runs (grm-plugin serve) and that "
            f"this host reaches it: curl {self.url}/health"
        )

    async def _post(self, session: _Session, http: httpx.AsyncClient, path: str, body: str) -> httpx.Response:
        failed = crashed = 0
        while True:
            try:
                response = await http.post(path, content=body, headers={"Content-Type": "application/json"})
            except httpx.TransportError as error:
                session.problem = explain_transport(error)
            else:
                session.problem = ""
                crashed += response.status_code != 503
                if not is_away(response) or crashed == TRIES:
                    self._has_answered = True
                    return response
                busy_s = response.headers.get("Retry-After", "")
                if busy_s.isdecimal():
                    pause_s = max(FIRST_PAUSE_S, min(float(busy_s), self.timeout_s))
                    await asyncio.sleep(pause_s * random.uniform(1, 2))
                    continue
                session.problem = f"{response.status_code}: {what_is_wrong(response)}"
            failed += 1
            if failed >= TRIES and not self._has_answered:
                raise self._nowhere(session.problem)
            await asyncio.sleep(min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** min(failed, 10)) * random.uniform(0.5, 1))


@dataclass(slots=True)
class _Session:
    """What belongs to one event loop; httpx and asyncio objects must not be shared between loops."""

    connections: Connections
    places: CallSlots
    problem: str = ""
    """Why the last try of any call got no answer; empty where it got one."""


def _new_id() -> str:
    return uuid.uuid4().hex


def _path(route: str, n: int, learn: bool) -> str:
    """A route for single samples, with its query."""
    return f"{route}?n={n}&request_id={_new_id()}" + ("" if learn else "&learn=false")


def _one_response(sample: Group | WireGroup) -> str:
    """The body of `/v1/sample`."""
    wire = to_wire(sample)
    if len(wire.responses) != 1:
        raise GroupError(f"areward takes one response, not {len(wire.responses)}; use ajudge for whole groups")
    body = {
        "prompt": wire.prompt if wire.messages is None else wire.messages,
        "response": wire.responses[0],
        "label": wire.reference,
        "rubric": wire.rubric,
    }
    return json.dumps(body)


def to_wire(group: Group | WireGroup) -> WireGroup:
    """The group as it is sent.

    Raises:
        WireError: it does not fit the schema; the message names the field.
    """
    if isinstance(group, WireGroup):
        return group
    fields = {
        "messages": [{"role": turn.role, "content": encodable(turn.content)} for turn in group.conversation],
        "responses": [encodable(response) for response in group.responses],
        "reference": group.reference and encodable(group.reference),
        "rubric": group.rubric and encodable(group.rubric),
    }
    try:
        return WireGroup.model_validate(fields)
    except ValidationError as error:
        raise WireError(f"this group cannot be sent: {explain(error.errors())}") from None
