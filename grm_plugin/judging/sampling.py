"""Runs the generator on several prompts at once, inside a deadline. What it does not deliver is a lost vote."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import replace

from grm_plugin._util.deadline import deadline_within
from grm_plugin._util.redaction import describe
from grm_plugin._util.text import encodable
from grm_plugin.errors import EngineError, PromptTooLong
from grm_plugin.judging.seams import Generator, check_completions
from grm_plugin.types import Completion, Prompt, Sampling, Unparsed, UnparsedReason

logger = logging.getLogger(__name__)

Sampled = Completion | Unparsed


async def sample_all(
    generator: Generator, requests: Sequence[tuple[Prompt, Sampling]], timeout_s: float | None
) -> list[list[Sampled]]:
    """One list of exactly `sampling.n` outcomes per request, in order.

    An engine that raises, answers with too few completions or with something else, or is still busy after `timeout_s`
    seconds costs the votes concerned and nothing else; requests still running are cancelled, also when the caller is.
    """
    with deadline_within(timeout_s):
        tasks = [asyncio.ensure_future(generator.generate(prompt, sampling)) for prompt, sampling in requests]
    try:
        await asyncio.wait(tasks, timeout=timeout_s)
        return [_outcomes(task, *request) for task, request in zip(tasks, requests, strict=True)]
    finally:
        for task in tasks:
            task.cancel()


def _outcomes(task: asyncio.Future[list[Completion]], prompt: Prompt, sampling: Sampling) -> list[Sampled]:
    n = sampling.n
    if not task.done() or task.cancelled():
        return [Unparsed(UnparsedReason.TIMEOUT)] * n
    error = task.exception() or _garbage(task.result())
    if error is not None:
        problem = describe(error, prompt.messages)
        logger.warning("the GRM engine failed, %d vote(s) lost: %s", n, problem)
        reason = UnparsedReason.TOO_LONG if isinstance(error, PromptTooLong) else UnparsedReason.ENGINE
        return [Unparsed(reason, detail=problem[:200])] * n
    # A server's JSON may hold lone surrogates; no reply and no trace can.
    completions = [replace(completion, text=encodable(completion.text)) for completion in task.result()[:n]]
    missing = n - len(completions)
    if missing:
        logger.warning("the GRM engine returned %d of %d completions", len(completions), n)
    return [*completions, *[Unparsed(UnparsedReason.ENGINE, detail=f"{missing} of {n} completions missing")] * missing]


def _garbage(answer: object) -> EngineError | None:
    """What is wrong with an answer, other than how many completions there are."""
    try:
        check_completions(answer, len(answer) if isinstance(answer, list) else 0)
    except EngineError as error:
        return error
    return None
