"""Small makers shared by the tests: configs, groups, critiques, and a generator that does what a test tells it."""

from __future__ import annotations

import asyncio
import re
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from inspect import isawaitable
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from grm_plugin._util.deadline import Deadline
from grm_plugin.config import Config
from grm_plugin.config.loading import load_config
from grm_plugin.judging.judge import Judge
from grm_plugin.types import Completion, Critique, Group, Judgement, Message, Prompt, Sampling

_BLOCK = re.compile(
    r"\[(?:The )?begin of response (\d+) ([A-Z]{6})\]\n(.*?)\n\[(?:The )?end of response \1 \2\]",
    re.DOTALL | re.IGNORECASE,
)

Reply = Callable[[Prompt, Sampling], list[Completion] | Awaitable[list[Completion]]]


def make_config(**overrides: Any) -> Config:
    """A valid configuration; `sampling__k=4` sets `sampling.k`."""
    data: dict[str, Any] = {"engine": {"type": "fake"}}
    for key, value in overrides.items():
        *sections, last = key.split("__")
        here = data
        for section in sections:
            here = here.setdefault(section, {})
        here[last] = value
    return load_config(data)


def make_group(*responses: str, question: str = "What is 2 + 2?", **rest: str) -> Group:
    return Group((Message("user", question),), responses, **rest)


def critique_text(scores: Sequence[float]) -> str:
    """A completion text that the parser reads these scores from."""
    return f"Specific Criteria: correct.\nAnalysis: as seen.\nScores: \\boxed{{{', '.join(f'{s:g}' for s in scores)}}}"


def completions(*votes: Sequence[float], tokens: int = 0) -> list[Completion]:
    return [Completion(critique_text(scores), tokens=tokens) for scores in votes]


def make_critique(*scores: float, sample: int = 0, **rest: Any) -> Critique:
    order = tuple(range(len(scores)))
    return Critique(scores=scores, text="", principles="", analysis="", order=order, sample=sample, **rest)


def responses_shown(prompt: Prompt) -> list[str]:
    """The responses as the general template, or the one of DeepSeek-GRM, shows them, in the order shown."""
    return [block[2] for block in _BLOCK.findall(prompt.messages[-1].content)]


class Scripted:
    """A generator that answers with `reply(prompt, sampling)`, plain or awaitable, and remembers what it was asked."""

    def __init__(self, reply: Reply) -> None:
        self.reply = reply
        self.calls: list[tuple[Prompt, Sampling]] = []
        self.cancelled = 0

    async def generate(self, prompt: Prompt, sampling: Sampling) -> list[Completion]:
        self.calls.append((prompt, sampling))
        try:
            reply = self.reply(prompt, sampling)
            return await reply if isawaitable(reply) else reply
        except asyncio.CancelledError:
            self.cancelled += 1
            raise


def scoring(score: Callable[[str], float]) -> Scripted:
    """A noise-free GRM: every vote gives each response `score(response)`."""
    return Scripted(lambda prompt, sampling: completions(*[[score(r) for r in responses_shown(prompt)]] * sampling.n))


def by_number(response: str) -> float:
    """The first number in a response, as its score."""
    found = re.search(r"\d+", response)
    return float(found[0]) if found else 1.0


async def judge_one(judge: Judge, *responses: str, timeout_s: float | None = 60.0, **rest: str) -> Judgement:
    (judgement,) = await judge.judge([make_group(*responses, **rest)], Deadline.after(timeout_s))
    return judgement


async def never(prompt: Prompt, sampling: Sampling) -> list[Completion]:
    """The reply of an engine that hangs."""
    await asyncio.Event().wait()
    raise AssertionError("unreachable")


async def until(condition: Callable[[], bool], deadline_s: float = 20.0) -> None:
    """Wait for a condition of this process; fails after `deadline_s`."""
    async with asyncio.timeout(deadline_s):
        while not condition():  # noqa: ASYNC110 - any condition, not only events
            await asyncio.sleep(0.005)


@contextmanager
def live(app: ASGIApp, deadline_s: float = 60.0) -> Iterator[str]:
    """Serve an app with a real uvicorn on a free port; yields its address."""
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning", lifespan="off"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        give_up = time.monotonic() + deadline_s
        while not server.started:
            assert time.monotonic() < give_up, "uvicorn did not start"
            assert thread.is_alive(), "uvicorn died"
            time.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = server.force_exit = True
        thread.join(deadline_s)
        assert not thread.is_alive(), "uvicorn did not stop"
