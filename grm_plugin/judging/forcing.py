"""Forced answers: a critique that was cut before its scores is asked for them, at the cost of a few tokens.

The start of its answer is put behind it, and the GRM writes on: budget forcing as in s1 (arXiv 2501.19393), of the
answer only. Its prompt and its text are in the engine's prefix cache.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeGuard

from grm_plugin._util.concurrency import let_go, unless_cancelled_within
from grm_plugin._util.deadline import Deadline, working_until
from grm_plugin._util.reasoning import closing_mark, with_opening
from grm_plugin._util.text import encodable
from grm_plugin.config import JudgeConfig
from grm_plugin.config.answer_lines import answer_line
from grm_plugin.judging.sampling import Sampled
from grm_plugin.judging.seams import Continues
from grm_plugin.types import Completion, Prompt, Sampling

logger = logging.getLogger(__name__)

CUT = frozenset({"length", "repetition"})
"""What engines that can continue a text call the end of one that they have cut: it was too long, or went in circles."""

_ROW = re.compile(r"\d{1,2}: .*|\d{0,2}:?")
"""A row of an answer by criteria, or its beginning."""


@dataclass(frozen=True, slots=True)
class Forced:
    """A completion that was cut, and the answer that it was asked for, with what was put in before it."""

    begun: Completion
    behind: Completion

    @property
    def whole(self) -> Completion:
        """Both as one completion, which ends as the answer does."""
        return Completion(self.begun.text + self.behind.text, self.behind.finish_reason, self.tokens)

    @property
    def tokens(self) -> int:
        """Tokens generated."""
        return self.begun.tokens + self.behind.tokens


def put_in(text: str, opening: str, prompt: str = "") -> str:
    """What an engine puts behind a text that was cut, so that its answer follows.

    That is the opening, or what is missing of it where the text broke off in the middle of it, or of the answer: twice
    in a row it confuses a GRM, and of an answer of several rows it might go on where it was, with the others above the
    second heading. Where the text broke off in reasoning, the mark that ends it comes first.

    Args:
        text: what the GRM wrote.
        opening: `AnswerLine.opening`.
        prompt: the end of its prompt, in which a chat template may have opened the reasoning.
    """
    if mark := closing_mark(with_opening(prompt, text)):
        return f"\n{mark}\n{opening}"
    _, begun, answer = text.rpartition(opening)
    further = answer.split("\n")[1:]
    in_rows = _ROW.fullmatch(opening.rpartition("\n")[2]) and all(map(_ROW.fullmatch, further))
    if begun and (in_rows or not further):
        return ""
    sizes = range(len(opening) - 1, 0, -1)
    return opening[next((size for size in sizes if text.endswith(opening[:size])), 0) :]


async def force_answers(
    engine: Continues,
    judge: JudgeConfig,
    requests: Sequence[tuple[Prompt, Sampling]],
    answers: Sequence[Sequence[Sampled]],
    deadline: Deadline,
    criteria: int = 0,
) -> list[list[Sampled | Forced]]:
    """The outcomes of requests, with an answer behind those that were cut.

    What is not answered by the deadline, or because the engine fails, stays as it is. Of greedy outcomes, which are
    copies of one, the answer is generated once and they share it.

    Args:
        engine: runs the GRM.
        judge: says how an answer begins (`answer_line` must know it).
        requests: what was asked.
        answers: one list of outcomes per request.
        deadline: for all together.
        criteria: how many the answer scores by; 0 for one overall score.
    """
    tasks: dict[tuple[int, int], asyncio.Task[Completion]] = {}
    with working_until(deadline):
        for number, ((prompt, sampling), outcomes) in enumerate(zip(requests, answers, strict=True)):
            cut = [place for place, outcome in enumerate(outcomes) if _is_cut(outcome)]
            for place in cut[:1] if sampling.greedy else cut:
                begun, line = outcomes[place], answer_line(judge, len(prompt.order), criteria)
                if line is None or not _is_cut(begun) or deadline.over:
                    continue
                single = replace(
                    sampling,
                    n=1,
                    top_p=1.0 if sampling.greedy else sampling.top_p,
                    seed=None if sampling.seed is None else sampling.seed + place,
                )
                work = unless_cancelled_within(engine.continue_text(prompt, begun, line, single), "the GRM")
                tasks[number, place] = asyncio.create_task(work)
    try:
        if tasks:
            await asyncio.wait(tasks.values(), timeout=deadline.left_s)
        behind = {place: found for place, task in tasks.items() if (found := _result(task)) is not None}
    finally:
        let_go(*tasks.values())
    return [
        _with_answers(outcomes, {place: found for (of, place), found in behind.items() if of == number}, sampling)
        for number, ((_, sampling), outcomes) in enumerate(zip(requests, answers, strict=True))
    ]


def _is_cut(outcome: Sampled) -> TypeGuard[Completion]:
    return isinstance(outcome, Completion) and outcome.finish_reason in CUT


def _with_answers(
    outcomes: Sequence[Sampled], behind: dict[int, Completion], sampling: Sampling
) -> list[Sampled | Forced]:
    if not behind:
        return list(outcomes)
    shared = replace(next(iter(behind.values())), tokens=0) if sampling.greedy else None
    found: list[Sampled | Forced] = []
    for place, outcome in enumerate(outcomes):
        answer = behind.get(place, shared)
        found.append(Forced(outcome, answer) if answer and _is_cut(outcome) else outcome)
    return found


def _result(task: asyncio.Task[Completion]) -> Completion | None:
    """What the engine has written; None where it has nothing, or something else."""
    if not task.done():
        return None
    error = task.exception()
    answer = None if error else task.result()
    if isinstance(answer, Completion) and isinstance(answer.text, str) and isinstance(answer.tokens, int):
        return replace(answer, text=encodable(answer.text))
    # The type only: the message may quote the prompt, which does not belong into logs.
    logger.warning("the GRM engine failed to continue a critique (%s)", type(error or answer).__name__)
    return None
