"""Runs the generator on several prompts at once, inside a deadline. What it does not deliver is a lost vote."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import replace

from grm_plugin._util.concurrency import let_go, unless_cancelled_within
from grm_plugin._util.deadline import Deadline, working_until
from grm_plugin._util.text import encodable
from grm_plugin.config import Config, SamplingConfig
from grm_plugin.config.answer_lines import answer_line
from grm_plugin.errors import EngineError, PromptTooLong
from grm_plugin.judging.seams import Generator, as_asked, as_often_as_wanted, check_completions
from grm_plugin.types import DETAIL_CHARS, Completion, Group, Prompt, Sampling, Unparsed, UnparsedReason

logger = logging.getLogger(__name__)

Sampled = Completion | Unparsed


def spare_of(config: Config, shown: Group) -> int:
    """Tokens of context that stay free behind a critique of a list, for an answer that is forced."""
    if not config.sampling.force_answer:
        return 0
    line = answer_line(config.judge, len(shown.responses), len(shown.criteria))
    return line.spare if line else 0


def sampling_of(options: SamplingConfig, n: int, seed: int | None, spare: int = 0) -> Sampling:
    """How n critiques of one prompt are sampled.

    Args:
        options: the section of the configuration.
        n: how many.
        seed: of this prompt.
        spare: tokens of context that stay free behind each.
    """
    thinking, circles = options.thinking_tokens, options.repetition
    return Sampling(
        *(n, options.temperature, options.top_p, options.max_tokens, seed, spare),
        thinking_min=thinking.min if thinking else 0,
        thinking_max=thinking.max if thinking else None,
        repetition=(circles.pattern, circles.times) if circles else None,
    )


async def sample_all(
    generator: Generator, requests: Sequence[tuple[Prompt, Sampling]], deadline: Deadline
) -> list[list[Sampled]]:
    """One list of exactly `Sampling.n` outcomes per request, in order.

    Greedy outcomes of a prompt are one completion, generated once and counted n times.

    An engine that raises, answers with too few completions or with something else, or is still busy at the deadline
    costs the votes concerned and nothing else; requests still running are cancelled, also when the caller is.
    """
    with working_until(deadline):
        tasks = [
            asyncio.create_task(unless_cancelled_within(generator.generate(prompt, as_asked(sampling)), "the GRM"))
            for prompt, sampling in requests
        ]
    try:
        await asyncio.wait(tasks, timeout=deadline.left_s)
        return [_outcomes(task, sampling) for task, (_, sampling) in zip(tasks, requests, strict=True)]
    finally:
        let_go(*tasks)


def _outcomes(task: asyncio.Future[list[Completion]], sampling: Sampling) -> list[Sampled]:
    n = sampling.n
    if not task.done():
        return [Unparsed(UnparsedReason.TIMEOUT)] * n
    error = task.exception() or _garbage(task.result())
    if error is not None:
        # The type only: the message may quote the prompt, which does not belong into logs. The lost votes have it.
        logger.warning("the GRM engine failed (%s), %d vote(s) lost", type(error).__name__, n)
        reason = UnparsedReason.TOO_LONG if isinstance(error, PromptTooLong) else UnparsedReason.ENGINE
        return [Unparsed(reason, detail=" ".join(f"{type(error).__name__}: {error}".split())[:DETAIL_CHARS])] * n
    # A server's JSON may hold lone surrogates; no reply and no trace can.
    drawn = as_often_as_wanted(task.result(), sampling)[:n]
    completions = [replace(completion, text=encodable(completion.text)) for completion in drawn]
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
