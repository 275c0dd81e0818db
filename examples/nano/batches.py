"""Makes token batches of synthetic judgements, with labels of facts that the lower layers should learn to see."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import jinja2
import torch
from tokenizers import Encoding
from transformers import Qwen2Tokenizer

from examples.nano import teacher
from examples.nano.domain import ASPECTS, CATEGORIES, LEVELS, SEPARATORS, Task, levels, read, true_quality
from examples.nano.groups import draw_training_group
from grm_plugin.config import JudgeConfig
from grm_plugin.judging.prompts import PromptBuilder, draw_marker
from grm_plugin.types import Criterion, Group, Message

LISTWISE, CRITERIA, META_RM = (
    str(Path(__file__).with_name(f"{name}.txt")) for name in ("listwise", "criteria", "meta_rm")
)
PROMPTS = PromptBuilder(LISTWISE, META_RM, JudgeConfig(criteria_template=CRITERIA))
PIECE_HEADS = {"in_category": 2, "seen_before": 2, "count": 8, "right_separator": 2}
"""Facts that can be known at an item or separator -> number of classes."""
CONTEXT_WEIGHT, LEVEL_WEIGHT = 0.1, 2.0


@dataclass
class Batch:
    """A batch of B rows of T tokens.

    Attributes:
        ids: [B, T] tokens, right-padded.
        weights: [B, T] weight of each token as a target.
        marks: fact -> where it can be known, and its label: (row, position, class) each.
    """

    ids: torch.Tensor
    weights: torch.Tensor
    marks: dict[str, list[tuple[int, int, int]]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Example:
    """A prompt, rendered from `responses` to `task` with the fence `marker`, and the judgement to learn."""

    task: Task
    responses: Sequence[str]
    marker: str
    prompt: str
    judgement: str


MarkRow = Callable[[Batch, int, Encoding, Example], None]
HINT = jinja2.Template(Path(__file__).with_name("hint.txt").read_text(encoding="utf-8"))
"""The hint of `grm-plugin spct rft-data --hint-template`; the GRM learns early what it means."""
HINTED = 0.06
"""Share of judgements in training that have a hint before them."""
Lesson = Literal["see", "judge", "score"]


def draw_batch(
    tokenizer: Qwen2Tokenizer,
    rng: random.Random,
    n: int,
    tokens: int,
    *,
    lesson: Lesson,
    shallow: float = teacher.SHALLOW,
) -> Batch:
    """About `tokens` tokens of fresh training examples with n responses each.

    `lesson`: "see" asks for noise-free comments on all aspects (`teacher.inspect`), "judge" for whole judgements, a few
    of them after a hint, and "score" for their last line alone. `shallow` is the share of shallow judgements.
    """
    examples = []
    for _ in range(max(1, tokens // (100 + 55 * n))):
        task, responses = draw_training_group(rng, n)
        marker = draw_marker(rng)
        judgement, hint = _lesson(lesson, task, responses, rng, shallow)
        examples.append(Example(task, responses, marker, render(tokenizer, task, responses, marker, hint), judgement))
    return batch_of(tokenizer, examples)


def batch_of(tokenizer: Qwen2Tokenizer, examples: Sequence[Example], mark_judgement: MarkRow | None = None) -> Batch:
    """The examples as rows, with the facts about their responses marked; `mark_judgement` adds those of judgements."""
    texts = [f"{example.prompt}{example.judgement}{tokenizer.eos_token}" for example in examples]
    encodings = tokenizer.backend_tokenizer.encode_batch(texts, add_special_tokens=False)
    batch = collate(encodings, tokenizer, [len(example.prompt) for example in examples])
    for row, (encoding, example) in enumerate(zip(encodings, examples, strict=True)):
        _mark(batch, row, encoding, example)
        if mark_judgement is not None:
            mark_judgement(batch, row, encoding, example)
    return batch


def render(
    tokenizer: Qwen2Tokenizer,
    task: Task,
    responses: Sequence[str],
    marker: str,
    hint: int | None = None,
    criteria: tuple[Criterion, ...] = (),
) -> str:
    """The GRM's input text, exactly as the library and the chat template make it; `hint` is the index of the best."""
    group = Group((Message("user", task.prompt),), tuple(responses), criteria=criteria)
    content = PROMPTS.listwise(group, tuple(range(len(responses))), marker).messages[0].content
    if hint is not None:
        content = HINT.render(prompt=content, best=hint + 1, n=len(responses), label=None)
    return str(tokenizer.apply_chat_template([{"role": "user", "content": content}], tokenize=False))


def collate(encodings: Sequence[Encoding], tokenizer: Qwen2Tokenizer, starts: Sequence[int]) -> Batch:
    """Pads rows to the longest; `starts[row]` is the character at which the text to be learned begins."""
    width = max(len(encoding.ids) for encoding in encodings)
    ids = torch.full((len(encodings), width), tokenizer.pad_token_id)
    weights = torch.zeros(len(encodings), width)
    for row, (encoding, start) in enumerate(zip(encodings, starts, strict=True)):
        length, first = len(encoding.ids), encoding.char_to_token(start)
        ids[row, :length] = torch.tensor(encoding.ids)
        weights[row, :first] = CONTEXT_WEIGHT
        weights[row, first:length] = 1.0
    return Batch(ids, weights)


def emphasise_levels(batch: Batch, tokenizer: Qwen2Tokenizer) -> torch.Tensor:
    """Mask [B, T] of the level words in the judgements; their weight is raised to LEVEL_WEIGHT in place."""
    words = torch.tensor([tokenizer.convert_tokens_to_ids(f"Ġ{level}") for level in LEVELS])
    mask = torch.isin(batch.ids, words) & (batch.weights == 1.0)
    batch.weights[mask] = LEVEL_WEIGHT
    return mask


def _lesson(
    lesson: Lesson, task: Task, responses: Sequence[str], rng: random.Random, shallow: float
) -> tuple[str, int | None]:
    """The text to learn and the hint before it, if any."""
    if lesson == "see":
        return teacher.inspect(task, responses, rng), None
    judgement = teacher.judge(task, responses, rng, shallow=shallow)
    if lesson == "score":
        return judgement.text.splitlines()[-1], None
    if len(responses) == 1 or rng.random() >= HINTED:
        return judgement.text, None
    qualities = [true_quality(task.prompt, response) for response in responses]
    best = qualities.index(max(qualities))
    for _ in range(5):  # a hinted judgement should agree with the hint
        if all(judgement.scores[best] > score for index, score in enumerate(judgement.scores) if index != best):
            break
        judgement = teacher.judge(task, responses, rng, shallow=shallow)
    return judgement.text, best


def _mark(batch: Batch, row: int, encoding: Encoding, example: Example) -> None:
    task, prompt, marker, position = example.task, example.prompt, example.marker, 0
    for number, response in enumerate(example.responses, 1):
        head = f"Response {number} {marker}: "
        start = prompt.index(head, position) + len(head)
        reading, seen = read(response), set[str]()
        for count, item in enumerate(reading.items, 1):
            at = encoding.char_to_token(start + item.end - 1)
            add_mark(batch, "in_category", row, at, item.text in CATEGORIES[task.category])
            add_mark(batch, "seen_before", row, at, item.text in seen)
            add_mark(batch, "count", row, at, min(count, 8) - 1)
            seen.add(item.text)
        for separator in reading.separators:
            at = encoding.char_to_token(start + separator.start)
            add_mark(batch, "right_separator", row, at, separator.text == SEPARATORS[task.separator].strip())
        position = prompt.index(f"End {number} {marker}", start + len(response))
        found = levels(task, response)
        for aspect in ASPECTS:
            add_mark(batch, aspect, row, encoding.char_to_token(position + 4), found[aspect])


def add_mark(batch: Batch, head: str, row: int, position: int | None, label: int) -> None:
    assert position is not None, "every character of a text has its token"
    batch.marks.setdefault(head, []).append((row, position, int(label)))
