"""Client of a running service: groups in, judgements out.

    with Client("http://127.0.0.1:8790") as client:
        judged = client.judge("Why is the sky blue?", ["Scattering.", "Paint."])
        print(judged)                                       # a table, best first
        print([response.reward for response in judged.responses])

    async with Client(url) as client:
        judgements = await client.ajudge(groups)

One client serves all threads and event loops of a process. A service with a token gets it from GRM_TOKEN.
"""

from __future__ import annotations

import asyncio
import functools
import json
import random
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self, cast, overload

from pydantic import ValidationError
from yarl import URL

from grm_plugin._util.background import run_in_background
from grm_plugin._util.http_calls import LargeReplyError, NoReplyError, Reply, words
from grm_plugin._util.per_loop import PerLoop
from grm_plugin.client.call_slots import CallSlots
from grm_plugin.client.connections import Connections
from grm_plugin.client.replies import (
    is_away,
    knows_no_detail,
    read_judgements,
    read_number,
    read_sample,
    read_verdict,
    what_is_wrong,
)
from grm_plugin.client.requests import encoded, new_id, one_response, sample_path
from grm_plugin.errors import ServiceError, WireError
from grm_plugin.types import Group
from grm_plugin.wire.field_errors import explain
from grm_plugin.wire.group_forms import AnyGroup, Prompt, Responses, group_of, to_wires
from grm_plugin.wire.judged_group import JudgedGroup
from grm_plugin.wire.schemas import SampleReply, ScoreRequest, WireGroup
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
        self,
        url: str,
        timeout_s: float = 175.0,
        max_concurrency: int = 64,
        token: Token | None = None,
        columns: Sequence[str] = (),
    ) -> None:
        self.url, found = locate(url)
        if not _is_address(self.url):
            raise ServiceError(f"{self.url!r} is no address of a service; give http://HOST:PORT")
        self.timeout_s = timeout_s
        self.max_concurrency = max_concurrency
        self.columns = tuple(columns)
        token = token or found
        self._has_answered = False
        self._gets_all = False
        """Whether the service is of a version that always sends the critiques."""
        headers = token.headers if token else {}
        self._sessions = PerLoop(functools.partial(_session, self.url, headers, max_concurrency, timeout_s))

    async def ajudge(
        self,
        groups: Sequence[AnyGroup],
        on_place: Callable[[], None] = lambda: None,
        *,
        learn: bool = True,
        detail: bool = False,
    ) -> list[JudgedGroup]:
        """One judgement per group, in order; at most 1,024 groups, in the forms of `wire.group_forms`.

        `JudgedGroup.rewards[i].settled` is always a finite number, `.value` is None where there was no vote.
        With `detail` come the critiques, too, and what could not be read; both are empty lists without it.
        `on_place` is called when the call's turn has come (`max_concurrency`) and it is sent. `learn=False`, here and
        in the other calls, says that this is evaluation: `normalize.method` running does not learn from it.

        Raises:
            ServiceError: the service cannot be reached, has failed, or did not answer in time.
            WireError: a group does not fit the schema (the message names the field), there are too many, or the reply
                does not fit.
        """
        wire = to_wires(groups)
        try:
            request = ScoreRequest(groups=wire, request_id=new_id(), learn=learn, detail=detail or self._gets_all)
        except ValidationError as error:
            raise WireError(f"too much for one call: {explain(error.errors())}; make several calls") from None
        # What a service of an older version does not know stays out.
        body = encoded(request.model_dump(exclude_defaults=True))
        answer = await self._in_place("/v1/score", body, on_place)
        if not request.detail and knows_no_detail(answer):
            self._gets_all = True
            return await self.ajudge(groups, on_place, learn=learn)
        judgements = read_judgements(answer, request.groups)
        return [JudgedGroup.of(*pair) for pair in zip(request.groups, judgements, strict=True)]

    async def areward(self, sample: Group | WireGroup, n: int, *, learn: bool = True) -> float:
        """The reward of one response, judged with the n - 1 others to its prompt that the service receives meanwhile.

        Always finite: the service puts what `failure.policy` says in the place of a missing reward. Siblings wait for
        each other in the service, so these calls are not bounded by `max_concurrency`.

        Raises:
            GroupError: `sample` does not hold exactly one response.
            ServiceError, WireError: as `ajudge`.
        """
        return read_number(await self._call(sample_path("/v1/sample", n, learn), one_response(sample)))

    async def areward_with_logs(self, sample: Group | WireGroup, n: int, *, learn: bool = True) -> SampleReply:
        """`areward` with the values to log beside the reward, under the keys `grm_plugin.judging.fallback.LOG_KEYS`.

        Raises:
            GroupError, ServiceError, WireError: as `areward`.
        """
        path = sample_path("/v1/sample", n, learn) + "&logs=true"
        return read_sample(await self._call(path, one_response(sample)))

    async def averify(self, rollout: Mapping[str, Any], n: int, *, learn: bool = True) -> dict[str, Any]:
        """A NeMo-Gym rollout with its reward (`serving.http.nemo_gym.VerifyReply`), judged in its cohort of n.

        Raises:
            ServiceError, WireError: as `ajudge`.
        """
        return read_verdict(await self._call(sample_path("/verify", n, learn), json.dumps(rollout).encode()))

    @overload
    def judge(
        self, groups: Prompt, responses: Responses, *, learn: bool = True, detail: bool = True, **labels: Any
    ) -> JudgedGroup: ...

    @overload
    def judge(
        self, groups: Sequence[AnyGroup], responses: None = None, *, learn: bool = True, detail: bool = False
    ) -> list[JudgedGroup]: ...

    def judge(
        self,
        groups: Prompt | Sequence[AnyGroup],
        responses: Responses | None = None,
        *,
        learn: bool = True,
        detail: bool | None = None,
        **labels: Any,
    ) -> JudgedGroup | list[JudgedGroup]:
        """Judge the responses to one prompt, or many groups; any number of threads may call it.

            client.judge("Name three fruits.", ["plum, fig, pear", "cats"], reference="any three")
            client.judge([("Name three fruits.", ["plum, fig, pear", "cats"]), ...])

        Args:
            groups: a prompt, or groups, in the forms of `wire.group_forms`.
            responses: those to the prompt; None where `groups` are groups.
            learn: see `ajudge`.
            detail: whether critiques come along; None brings those of a prompt, and none of groups.
            labels: of the prompt: `reference`, `rubric`, `criteria`, `source`, as in `POST /v1/score`.

        Raises:
            ServiceError, WireError: as `ajudge`.
        """
        if responses is None:
            wire = to_wires(groups, **labels)
            return run_in_background(self.ajudge(wire, learn=learn, detail=bool(detail)))
        one = group_of(cast(Prompt, groups), responses, **labels)
        return run_in_background(self.ajudge([one], learn=learn, detail=detail is not False))[0]

    async def aclose(self) -> None:
        """Close the connections that this event loop uses; calls that are under way keep theirs until they end."""
        await self._sessions.aclose()

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

    async def _in_place(self, path: str, body: bytes, on_place: Callable[[], None]) -> Reply:
        session = await self._sessions.get()
        try:
            async with session.places.hold():
                on_place()
                return await self._call(path, body)
        except TimeoutError:
            raise self._late(session.problem) from None

    async def _call(self, path: str, body: bytes) -> Reply:
        session = await self._sessions.get()
        try:
            async with session.connections.hold(), asyncio.timeout(self.timeout_s):
                return await self._post(session, path, body)
        except TimeoutError:
            raise self._late(session.problem) from None
        except LargeReplyError as error:
            raise WireError(f"{self.url} answers with {error}: make several calls") from None

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

    async def _post(self, session: _Session, path: str, body: bytes) -> Reply:
        failed = crashed = 0
        while True:
            try:
                reply = await session.connections.post(path, body)
            except (TimeoutError, NoReplyError) as error:
                session.problem = words(error)
            else:
                session.problem = ""
                crashed += reply.status != 503
                if not is_away(reply) or crashed == TRIES:
                    self._has_answered = True
                    return reply
                busy_s = reply.headers.get("Retry-After", "")
                if busy_s.isdecimal():
                    pause_s = max(FIRST_PAUSE_S, min(float(busy_s), self.timeout_s))
                    await asyncio.sleep(pause_s * random.uniform(1, 2))
                    continue
                session.problem = f"{reply.status}: {what_is_wrong(reply)}"
            failed += 1
            if failed >= TRIES and not self._has_answered:
                raise self._nowhere(session.problem)
            await asyncio.sleep(min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** min(failed, 10)) * random.uniform(0.5, 1))


@dataclass(slots=True)
class _Session:
    """What belongs to one event loop."""

    connections: Connections
    places: CallSlots
    problem: str = ""
    """Why the last try of any call got no answer; empty where it got one."""


async def _session(
    url: str, headers: Mapping[str, str], max_concurrency: int, patience_s: float
) -> AsyncGenerator[_Session, None]:
    connections = Connections(url, headers)
    try:
        yield _Session(connections, CallSlots(max_concurrency, patience_s))
    finally:
        await connections.aclose()


def _is_address(url: str) -> bool:
    try:
        address = URL(url)
    except ValueError:
        return False
    return address.scheme in ("http", "https") and bool(address.host)
