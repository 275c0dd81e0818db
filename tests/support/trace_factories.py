"""Makers for the tests of traces: judgements by the real judge over a scripted GRM, and stores of them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from grm_plugin._util.background import run_in_background
from grm_plugin._util.deadline import Deadline
from grm_plugin.config import FailureConfig, TraceConfig
from grm_plugin.judging.judge import Judge
from grm_plugin.judging.seams import Generator
from grm_plugin.trace.store_writer import StoreWriter
from grm_plugin.trace.stored_trace import Entry
from grm_plugin.types import Completion, Judgement, Prompt, Sampling
from support.factories import Scripted, by_number, critique_text, make_config, make_group, responses_shown, scoring

START = 1_700_000_000.0


def judged(
    *responses: str, generator: Generator | None = None, question: str = "What is 2 + 2?", **config: Any
) -> Judgement:
    """One group judged; by default each response scores its first number."""
    judge = Judge(make_config(**{"sampling__k": 2, **config}), generator or scoring(by_number))
    (judgement,) = run_in_background(judge.judge([make_group(*responses, question=question)], Deadline.after(60.0)))
    return judgement


def writing(text: str) -> Scripted:
    """A GRM whose critiques say `text` before they score each response by its first number."""

    def reply(prompt: Prompt, sampling: Sampling) -> list[Completion]:
        scores = critique_text([by_number(response) for response in responses_shown(prompt)])
        return [Completion(scores.replace("as seen.", text), tokens=7)] * sampling.n

    return Scripted(reply)


def silent() -> Scripted:
    """A GRM that never gives a score."""
    return Scripted(lambda prompt, sampling: [Completion("I would rather not say.", tokens=5)] * sampling.n)


def fill(path: Path, judgements: Iterable[Judgement]) -> Path:
    """A store of these judgements, one second apart."""
    writer = StoreWriter(path, TraceConfig(path=str(path)), FailureConfig())
    writer.write([Entry(START + second, "grm", judgement) for second, judgement in enumerate(judgements)])
    writer.close()
    return path
