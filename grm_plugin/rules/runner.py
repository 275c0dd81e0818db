"""Runs rules in a pool of processes: each call has a deadline, and one that breaks it costs its own process only."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping
from concurrent.futures import Future
from contextlib import suppress
from typing import TypeVar

from grm_plugin._util.background import start_in_background
from grm_plugin._util.deadline import NEVER, Deadline
from grm_plugin.config import JudgeConfig
from grm_plugin.errors import ConfigError
from grm_plugin.rules.carriers import RuleFunction
from grm_plugin.rules.process import GONE_S, RuleProcess
from grm_plugin.types import Conversation, RuleScore, message_dicts

T = TypeVar("T")

LOAD_S = 60.0
"""Longest time to import one file of rules, in seconds: some import torch or sympy."""


def runner_of(judge: JudgeConfig) -> RuleRunner | None:
    """What runs the rules of a configuration, each of them loaded once; None where there are none. Blocks.

    Raises:
        ConfigError: as `RuleRunner.check`.
    """
    functions = {item.name: item.function for item in judge.criteria if item.function is not None}
    if not functions:
        return None
    runner = RuleRunner(functions, judge.rule_timeout_s, judge.rule_workers)
    try:
        runner.check()
    except BaseException:
        runner.close()
        raise
    return runner


class RuleRunner:
    """Calls users' functions, each in one of several processes. To be used on one event loop.

    A function takes any of `prompt` (the text of the last user turn), `messages` (all turns, as `{"role": ...,
    "content": ...}`), `response`, `reference` and `source` (None where there is none), each by this name, and must
    take `response`. It returns a number from 0 to 1, True, False, or None where it does not apply.

    Args:
        functions: criterion's name -> `file.py:function` with an absolute path.
        timeout_s: longest time of a call, in seconds.
        workers: most processes, and so most calls at once. They are started when they are first needed.
        load_s: longest time to import one file, in seconds.

    Raises:
        ConfigError: one of `functions` is not written so.
    """

    def __init__(self, functions: Mapping[str, str], timeout_s: float, workers: int, load_s: float = LOAD_S) -> None:
        self._functions = {rule: RuleFunction.parse(rule, text) for rule, text in functions.items()}
        self._timeout_s = timeout_s
        self._load_s = load_s
        self._places = [_Place() for _ in range(workers)]
        self._idle: asyncio.LifoQueue[_Place] = asyncio.LifoQueue()  # the last one first: few processes for few calls
        for place in reversed(self._places):
            self._idle.put_nowait(place)
        self._closed = False

    def check(self) -> None:
        """Load every function in the first process, which then waits for calls. Blocks.

        Raises:
            ConfigError: the file or the function is missing, it is no plain function of these parameters, or the file
                cannot be imported in time; the message names it and what to do.
        """
        try:
            self._started(self._places[0]).result()
        except OSError as error:
            raise ConfigError(f"no process for rules can be started: {error}") from None

    async def score(
        self,
        name: str,
        conversation: Conversation,
        response: str,
        reference: str | None = None,
        source: str | None = None,
        deadline: Deadline = NEVER,
    ) -> RuleScore:
        """What a rule says of a response. A failure of it is a `RuleScore` with a `problem`, never an error.

        The time of a call begins when a process is free for it; before that it waits as long as those ahead of it
        take, which have their deadlines. A call that nobody waits for any more is ended.

        Args:
            name: the criterion's.
            conversation: what the response answers.
            response: as the policy wrote it.
            reference: of the sample.
            source: of the sample.
            deadline: for the wait and the call together.

        Raises:
            KeyError: there is no rule of this name.
        """
        if name not in self._functions:
            raise KeyError(name)
        try:
            place = await _until(deadline, self._idle.get()) if self._idle.empty() else self._idle.get_nowait()
        except TimeoutError:
            return RuleScore(None, "the deadline was over before a process was free")
        try:
            starting = self._started(place)
            if not starting.done():  # another call takes it over where this one is given up
                await _until(deadline, asyncio.shield(asyncio.wrap_future(starting)))
            process = starting.result()
            given = {
                "prompt": _prompt(conversation),
                "messages": message_dicts(conversation),
                "response": response,
                "reference": reference,
                "source": source,
            }
            left = deadline.left_s
            return await process.score(name, given, self._timeout_s if left is None else min(left, self._timeout_s))
        except TimeoutError:
            return RuleScore(None, "the deadline was over before a process had started")
        except (ConfigError, OSError) as error:  # the file has changed since `check`, or the machine is full
            return RuleScore(None, f"no process could be started: {error}")
        finally:
            self._idle.put_nowait(place)

    def close(self) -> None:
        """End all processes; calls on their way have a problem, and so have later ones. May be called again."""
        self._closed = True
        for place in self._places:
            if place.starting is not None:
                place.starting.add_done_callback(_end)
        for place in self._places:
            with suppress(ConfigError, OSError, TimeoutError):
                if place.starting is not None:
                    place.starting.result(self._load_s).end().result(GONE_S)

    def _started(self, place: _Place) -> Future[RuleProcess]:
        """The process in a place, on its way where it was never started, or has ended."""
        if self._closed:
            raise ConfigError("the rules were closed")
        if place.starting is None or _is_over(place.starting):
            place.starting = start_in_background(lambda: RuleProcess(self._functions, self._load_s), "grm-rules-start")
        return place.starting


class _Place:
    """Room for one process."""

    def __init__(self) -> None:
        self.starting: Future[RuleProcess] | None = None


def _is_over(starting: Future[RuleProcess]) -> bool:
    """Whether another process must be started: this one could not be, or has ended."""
    return starting.done() and (starting.exception() is not None or not starting.result().alive)


async def _until(deadline: Deadline, work: Awaitable[T]) -> T:
    async with deadline.timeout():
        return await work


def _end(starting: Future[RuleProcess]) -> None:
    if starting.exception() is None:
        starting.result().end()


def _prompt(conversation: Conversation) -> str:
    """The text of the last user turn; of the last turn where there is none."""
    for turn in reversed(conversation):
        if turn.role == "user":
            return turn.content
    return conversation[-1].content if conversation else ""
