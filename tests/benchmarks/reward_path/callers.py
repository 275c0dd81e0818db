"""The callers of the paths. Each has its questions prepared, runs them as one burst, and then says what was wrong."""

from __future__ import annotations

import asyncio
import inspect
import json
import re
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from reward_path.texts import K, N, Question, wrong

PLACES = 512
"""Groups in flight of the grouped client; each has a connection."""

SAMPLE_PLACES = 1024
"""Requests in flight of the bare client per sample."""

_VERDICT = re.compile(r"\\boxed\{([\d, ]+)\}\Z")


class Caller(Protocol):
    """Prepares, runs and checks bursts; only `run` is measured."""

    def prepare(self, asked: Sequence[Question]) -> None: ...

    async def run(self) -> None: ...

    def wrong(self) -> int: ...


class Executor:
    """OpenRLHF's executor: without a reward, with its HTTP hook, or with our agent file in its place.

    Args:
        executor: of OpenRLHF.
        expected: the rewards that it should give to a question's responses; None where it asks for none.
    """

    def __init__(self, executor: Any, expected: Callable[[Question], Sequence[float]] | None = None) -> None:
        from reward_path.openrlhf_side import Rollout

        self._rollout = Rollout(executor)
        self._expected = expected

    def prepare(self, asked: Sequence[Question]) -> None:
        self._asked = asked
        self._rollout.prepare(asked)

    async def run(self) -> None:
        self._outputs = await self._rollout.run()

    def wrong(self) -> int:
        from reward_path.openrlhf_side import reward_of

        got = [reward_of(output) for group in self._outputs for output in group]
        if self._expected is None:
            return sum(reward is not None for reward in got)
        return wrong([reward for each in self._asked for reward in self._expected(each)], got)


class GroupedClient:
    """Our `Client`: one call per group, as many in flight as it may have."""

    def __init__(self, url: str) -> None:
        from grm_plugin.client import Client

        options = {"max_concurrency": PLACES} if "max_concurrency" in inspect.signature(Client).parameters else {}
        self._client = Client(url, **options)

    def prepare(self, asked: Sequence[Question]) -> None:
        from grm_plugin.types import Group, Message

        self._asked = asked
        self._groups = [Group((Message("user", each.prompt),), each.responses) for each in asked]

    async def run(self) -> None:
        self._judgements = await asyncio.gather(*(self._client.ajudge([group]) for group in self._groups))

    def wrong(self) -> int:
        rewards = [reward for [judgement] in self._judgements for reward in judgement.rewards]
        return wrong(
            [reward for each in self._asked for reward in each.rewards],
            [reward.value if reward.votes_kept == K else None for reward in rewards],
        )


class BareClient:
    """aiohttp straight to the engine: a request per group or per sample, a search in each critique, no more."""

    def __init__(self, url: str, per_group: bool) -> None:
        self._url = f"{url}/v1/chat/completions"
        self._per_group = per_group
        self._session: Any = None

    def prepare(self, asked: Sequence[Question]) -> None:
        self._asked = asked
        shown = [[response] for each in asked for response in each.responses]
        prompts = [each.prompt for each in asked for _ in range(N)]
        if self._per_group:
            shown, prompts = [list(each.responses) for each in asked], [each.prompt for each in asked]
        self._bodies = [
            {
                "model": "simulated",
                "messages": [{"role": "user", "content": "\n\n".join(["Rate the responses.", prompt, *responses])}],
                "n": K,
            }
            for prompt, responses in zip(prompts, shown, strict=True)
        ]

    async def run(self) -> None:
        import aiohttp

        if self._session is None:
            connector = aiohttp.TCPConnector(limit=PLACES if self._per_group else SAMPLE_PLACES)
            self._session = aiohttp.ClientSession(connector=connector)
        self._rewards = [
            reward
            for rewards in await asyncio.gather(*(self._ask(body) for body in self._bodies))
            for reward in rewards
        ]

    async def _ask(self, body: dict[str, Any]) -> list[float]:
        async with self._session.post(self._url, json=body) as reply:
            return mean_rewards(await reply.json())

    def wrong(self) -> int:
        return wrong([reward for each in self._asked for reward in each.rewards], self._rewards)


class Crowd:
    """Sends all groups to a service at once, each in a call of its own, and waits for them."""

    def __init__(self, url: str) -> None:
        self._url = f"{url}/v1/score"

    def prepare(self, asked: Sequence[Question]) -> None:
        groups = ({"prompt": each.prompt, "responses": each.responses} for each in asked)
        self._bodies = [json.dumps({"groups": [group]}) for group in groups]

    async def run(self) -> None:
        import aiohttp

        timeout, headers = aiohttp.ClientTimeout(total=None), {"Content-Type": "application/json"}
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=timeout) as session:

            async def post(body: str) -> None:
                async with session.post(self._url, data=body, headers=headers) as reply:
                    await reply.read()

            await asyncio.gather(*map(post, self._bodies))

    def wrong(self) -> int:
        """Nobody looks at the rewards."""
        return 0


def mean_rewards(reply: dict[str, Any]) -> list[float]:
    """The rewards of the responses that a prompt showed, from the votes in an engine's reply.

    Raises:
        ValueError: a critique has no verdict.
    """
    votes = []
    for choice in reply["choices"]:
        found = _VERDICT.search(choice["message"]["content"])
        if not found:
            raise ValueError("a critique has no verdict")
        votes.append([int(score) for score in found[1].split(",")])
    return [(sum(scores) / len(scores) - 1) / 9 for scores in zip(*votes, strict=True)]


def _rights(question: Question) -> Sequence[float]:
    return question.rewards


def _openrlhf(endpoint: str | None, expected: Callable[[Question], Sequence[float]] | None) -> Caller:
    from openrlhf.utils.agent import SingleTurnAgentExecutor

    return Executor(SingleTurnAgentExecutor(endpoint), expected)


def _agent(url: str) -> Caller:
    from reward_path.openrlhf_side import load_agent

    return Executor(load_agent(), _rights)


CALLERS: dict[str, Callable[[str], Caller]] = {
    "executor": lambda url: _openrlhf(None, None),
    "instant": lambda url: _openrlhf(f"{url}/get_reward", lambda question: [0.5] * N),
    "http": lambda url: _openrlhf(f"{url}/get_reward?n={N}", _rights),
    "agent": _agent,
    "client": GroupedClient,
    "crowd": Crowd,
    "bare_group": lambda url: BareClient(url, per_group=True),
    "bare_sample": lambda url: BareClient(url, per_group=False),
}
"""What makes the caller of a path, given the address that it calls."""
