"""A problem with its samples, and the published form of repeated-sampling data that it is read from and written in.

The form is that of "Large Language Monkeys" (arXiv 2407.21787): a mapping with `prompt`, `question`, `samples` and one
of `gt_answer`, `test_cases` and `theorem_name`; after evaluation also a list of booleans, which the README of its code
calls `is_correct` and the code `is_corrects`. Both are read. Beside these keys we read and write `id`, `messages` (in
place of `prompt`), `tokens`, `finish`, `scores` and `prompt_tokens`. Further keys are kept as they are.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from grm_plugin._util.digests import digest
from grm_plugin.conversation.messages import to_conversation
from grm_plugin.errors import GroupError, WireError
from grm_plugin.types import Conversation, Message, message_dicts

VERDICTS = ("is_corrects", "is_correct")
"""The two spellings, the one that is written first."""

TRUTHS = ("gt_answer", "reference", "answer")
"""Keys of a right answer; the first is the published one."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One text that the policy wrote.

    Attributes:
        text: the text; it may be empty.
        correct: whether it is right; None where nobody has said so.
        tokens: number of tokens generated; None where it is not known.
        finish: why it ended, in the engine's words; empty where it is not known.
        score: a score that came with it, higher is better; None without one.
    """

    text: str
    correct: bool | None = None
    tokens: int | None = None
    finish: str = ""
    score: float | None = None


@dataclass(frozen=True, slots=True)
class Problem:
    """A prompt and the samples of it.

    Attributes:
        id: unique in its store.
        asked: what the policy was asked.
        question: what judges are shown instead, where it is another text (`prompt` may hold examples for the policy).
        samples: in the order in which they were drawn.
        reference: a right answer; None without one.
        prompt_tokens: number of tokens of `asked`; None where it is not known.
        rest: all other keys.
    """

    id: str
    asked: Conversation
    question: Conversation
    samples: tuple[Sample, ...] = ()
    reference: str | None = None
    prompt_tokens: int | None = None
    rest: Mapping[str, Any] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """A digest of the question and the texts of the samples, by which others are told apart."""
        return digest([message_dicts(self.question), [sample.text for sample in self.samples]])

    @property
    def asked_digest(self) -> str:
        """A digest of what the policy was asked."""
        return digest(message_dicts(self.asked))


def problem_of(row: object, name: str = "") -> Problem:
    """The problem that a mapping describes.

    Args:
        row: of a YAML file or a line of JSONL.
        name: the problem's id where the mapping has none; empty takes a digest of what the policy is asked.

    Raises:
        WireError: a key is missing or wrong; the message names it.
    """
    if not isinstance(row, dict):
        raise WireError(f"a problem must be a mapping with prompt and samples, not {type(row).__name__}")
    rest = dict(row)
    asked, question = _conversations(rest)
    texts = rest.pop("samples", ())
    if not isinstance(texts, list | tuple) or not all(isinstance(text, str) for text in texts):
        raise WireError("samples: give a list of texts (quote what YAML would read as a number)")
    n = len(texts)
    correct = _verdicts(rest, n)
    tokens = _column(rest, "tokens", n, _is_count, "a whole number of tokens, or null")
    finish = _column(rest, "finish", n, lambda value: isinstance(value, str), "a text, or null")
    scores = _column(rest, "scores", n, _is_finite, "a finite number, or null where there is none")
    prompt_tokens = rest.pop("prompt_tokens", None)
    if prompt_tokens is not None and not _is_count(prompt_tokens):
        raise WireError(f"prompt_tokens: give a whole number, not {prompt_tokens!r}")
    samples = tuple(
        Sample(text, correct[i], tokens[i], finish[i] or "", None if scores[i] is None else float(scores[i]))
        for i, text in enumerate(texts)
    )
    return Problem(
        _id(rest, name or digest(message_dicts(asked))), asked, question, samples, _reference(rest), prompt_tokens, rest
    )


def row_of(problem: Problem) -> dict[str, Any]:
    """A problem in the published form; `problem_of` reads it back. What is known of no sample is left out."""
    row: dict[str, Any] = {"id": problem.id}
    plain = len(problem.asked) == 1 and problem.asked[0].role == "user"
    row |= {"prompt": problem.asked[0].content} if plain else {"messages": message_dicts(problem.asked)}
    if problem.question != problem.asked:
        row["question"] = problem.question[0].content
    columns: dict[str, list[Any]] = {
        VERDICTS[0]: [sample.correct for sample in problem.samples],
        "tokens": [sample.tokens for sample in problem.samples],
        "finish": [sample.finish or None for sample in problem.samples],
        "scores": [sample.score for sample in problem.samples],
    }
    row["samples"] = [sample.text for sample in problem.samples]
    row |= {key: values for key, values in columns.items() if any(value is not None for value in values)}
    optional = {TRUTHS[0]: problem.reference, "prompt_tokens": problem.prompt_tokens}
    return row | {key: value for key, value in optional.items() if value is not None} | dict(problem.rest)


def _conversations(rest: dict[str, Any]) -> tuple[Conversation, Conversation]:
    prompt, messages, question = rest.pop("prompt", None), rest.pop("messages", None), rest.pop("question", None)
    for key, value in (("prompt", prompt), ("question", question)):
        if value is not None and (not isinstance(value, str) or not value.strip()):
            raise WireError(f"{key}: give a text that is not empty")
    if messages is not None and prompt is not None:
        raise WireError("give prompt or messages, not both")
    shown = None if question is None else (Message("user", question),)
    if messages is not None:
        try:
            asked = to_conversation(messages)
        except (GroupError, WireError) as error:
            raise WireError(f"messages: {error}") from None
        return asked, shown or asked
    if prompt is None and shown is None:
        raise WireError("prompt is missing: give prompt, messages or question")
    asked = shown or () if prompt is None else (Message("user", prompt),)
    return asked, shown or asked


def _verdicts(rest: dict[str, Any], n: int) -> list[bool | None]:
    found = {key: _column(rest, key, n, lambda value: isinstance(value, bool), "true or false") for key in VERDICTS}
    first, second = found.values()
    if any(one is not None and other is not None and one != other for one, other in zip(first, second, strict=True)):
        raise WireError(f"{' and '.join(VERDICTS)} contradict each other: keep one")
    return [one if one is not None else other for one, other in zip(first, second, strict=True)]


def _column(rest: dict[str, Any], key: str, n: int, fits: Any, what: str) -> list[Any]:
    """One value per sample, None where there is none."""
    values = rest.pop(key, None)
    if values is None:
        return [None] * n
    if not isinstance(values, list) or len(values) != n:
        count = f"has {len(values)} entries" if isinstance(values, list) else "is no list"
        raise WireError(
            f"{key} {count}, and there are {n} samples: give one for each (was the file written to its end?)"
        )
    for place, value in enumerate(values):
        if value is not None and not fits(value):
            raise WireError(f"{key}.{place}: give {what}, not {value!r}"[:300])
    return values


def _id(rest: dict[str, Any], name: str) -> str:
    given = rest.pop("id", None)
    if given is None:
        return name
    if isinstance(given, bool) or not isinstance(given, str | int) or given == "":
        raise WireError(f"id: give a text or a number, not {given!r}")
    return str(given)


def _reference(rest: dict[str, Any]) -> str | None:
    given = [rest.pop(key) for key in TRUTHS if key in rest]
    told = next((value for value in given if value is not None), None)
    return told if told is None or isinstance(told, str) else json.dumps(told, ensure_ascii=False, default=str)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_finite(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
