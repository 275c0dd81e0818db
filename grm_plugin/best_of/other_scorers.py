"""Scorers besides the GRM: a scalar reward model, a Python function of the user's, and a test command."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from grm_plugin._util.concurrency import all_of, unless_cancelled_within
from grm_plugin._util.deadline import Deadline, working_until
from grm_plugin._util.digests import digest
from grm_plugin.batch.local_engines import running_scalar, scalar_model
from grm_plugin.batch.resumable_run import EngineFailed
from grm_plugin.best_of.checking import Limits, TestCommand
from grm_plugin.best_of.cost import CHARS_PER_TOKEN
from grm_plugin.best_of.problems import Problem
from grm_plugin.best_of.scores import Score, Scored, Scorer
from grm_plugin.config import Config
from grm_plugin.engines.fingerprint import scalar_fingerprint, source_of
from grm_plugin.errors import EngineError
from grm_plugin.judging.seams import MetaRM, check_logits
from grm_plugin.rules.runner import RuleRunner
from grm_plugin.types import Message

DEADLINE_S = 1800.0
"""Longest wait for the logits of one problem, in seconds."""

RULE = "rule"


def scalar_scorer(config: Config, named: str) -> Scorer:
    """A scalar (Bradley-Terry) reward model: the logit itself, never its sigmoid, which flattens good samples.

    Args:
        config: `engine` is the model; nothing else is read.
        named: what the user typed it for, in errors about it.

    Raises:
        ConfigError: a server would run it, which gives no logits.
    """
    model = scalar_model(config)

    @asynccontextmanager
    async def opened() -> AsyncIterator[Score]:
        with running_scalar(model, named) as scalar:

            async def score(problem: Problem) -> Scored | EngineFailed:
                return await rate(scalar, problem)

            yield score

    return Scorer("scalar", scalar_fingerprint(model), opened)


async def rate(model: MetaRM, problem: Problem) -> Scored | EngineFailed:
    """The logits of a problem's samples; equal texts are rated once."""
    texts = list(dict.fromkeys(sample.text for sample in problem.samples))
    conversations = [(*problem.question, Message("assistant", text)) for text in texts]
    deadline = Deadline.after(DEADLINE_S)
    try:
        with working_until(deadline):
            async with deadline.timeout():
                logits = await unless_cancelled_within(model.rate(conversations), "the scalar reward model")
        check_logits(logits, len(texts), "the scalar reward model", "samples", "engine.dtype")
    except TimeoutError:
        return EngineFailed(f"problem {problem.id!r} was not rated within {DEADLINE_S:g} s")
    except EngineError as error:
        return EngineFailed(f"problem {problem.id!r}: {type(error).__name__}: {error}")
    of_text = dict(zip(texts, map(float, logits), strict=True))
    scores = tuple(of_text[sample.text] for sample in problem.samples)
    prompt = sum(len(turn.content) for turn in problem.question)
    return Scored(
        problem.id, problem.digest, scores, scores, sum(prompt + len(text) for text in texts) / CHARS_PER_TOKEN
    )


def rule_scorer(function: str, timeout_s: float, workers: int) -> Scorer:
    """A function of the user's, run as rules of a configuration are (`grm_plugin.rules`).

    Args:
        function: `file.py:function`.
        timeout_s: longest time of a call, in seconds.
        workers: most calls at once.

    Raises:
        ConfigError: it is not written so.
    """
    path, _, name = function.rpartition(":")
    full = f"{Path(path).expanduser().resolve()}:{name}" if path else function
    runner = RuleRunner({RULE: full}, timeout_s, workers)

    @asynccontextmanager
    async def opened() -> AsyncIterator[Score]:
        try:
            runner.check()

            async def score(problem: Problem) -> Scored:
                answers = await all_of(
                    runner.score(RULE, problem.question, sample.text, problem.reference) for sample in problem.samples
                )
                why = Counter(answer.problem for answer in answers if answer.problem)
                values = tuple(answer.value for answer in answers)
                return Scored(problem.id, problem.digest, values, values, why=why)

            yield score
        finally:
            runner.close()

    return Scorer(RULE, {"function": digest([name, source_of(path)])}, opened)


def command_scorer(command: str, bounds: Limits, at_once: int) -> tuple[Scorer, bool]:
    """A test command, and whether its processes have no network.

    Raises:
        ConfigError: it cannot be read or found.
    """
    tests = TestCommand(command, bounds, at_once)

    async def score(problem: Problem) -> Scored:
        answers = await all_of(tests.check(problem, sample) for sample in problem.samples)
        why = Counter(answer.why for answer in answers if answer.why)
        values = tuple(float(answer.passed) for answer in answers)
        return Scored(problem.id, problem.digest, values, values, why=why)

    @asynccontextmanager
    async def opened() -> AsyncIterator[Score]:
        yield score

    return Scorer("command", {"command": digest(tests.named)}, opened), tests.isolated
