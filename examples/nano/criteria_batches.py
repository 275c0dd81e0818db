"""Makes token batches of the criteria task: prompts with criteria, and the critic's judgements of them."""

from __future__ import annotations

import random
import re

import torch
from tokenizers import Encoding
from transformers import Qwen2Tokenizer

from examples.nano.batches import Batch, Example, add_mark, batch_of, render
from examples.nano.criteria import KINDS, draw_training_criteria
from examples.nano.criteria_teacher import CARELESS, judge_criteria
from examples.nano.domain import ASPECTS, LEVELS
from grm_plugin.judging.prompts import draw_marker

ANSWER_WEIGHT = 2.0
NAME_WEIGHT = 4.0
"""Of the token with which a line says which criterion it is about: all else in the line follows from it."""
ANSWER_HEADS = {"asked_aspect": len(ASPECTS), "commented_level": len(LEVELS), "asked_kind": len(KINDS)}
"""Facts that can be known where a line begins, or where an answer is about to be written -> number of classes."""

_CRITERION = re.compile(r"^\d\. (\w+) \w+: ", re.MULTILINE)
_LINE = re.compile(r"^\d\. (\w+): (.*): \\boxed(\{.*)\}$", re.MULTILINE)


def draw_criteria_batch(
    tokenizer: Qwen2Tokenizer, rng: random.Random, n: int, tokens: int, *, careless: float = CARELESS
) -> Batch:
    """About `tokens` tokens of fresh training examples with n responses each."""
    examples = []
    for _ in range(max(1, tokens // (130 + 65 * n))):
        task, responses, criteria = draw_training_criteria(rng, n)
        marker = draw_marker(rng)
        prompt = render(tokenizer, task, responses, marker, criteria=criteria)
        judgement = judge_criteria(task, responses, criteria, rng, careless=careless)
        examples.append(Example(task, responses, marker, prompt, judgement))
    return batch_of(tokenizer, examples, _mark_answers)


def emphasise_answers(batch: Batch, tokenizer: Qwen2Tokenizer) -> torch.Tensor:
    """Mask [B, T] of what stands in the boxes of judgements; its weight is raised to ANSWER_WEIGHT in place."""
    opened, closed, comma = (batch.ids == tokenizer.convert_tokens_to_ids(sign) for sign in "{},")
    inside = opened.cumsum(1) > closed.cumsum(1)
    mask = inside & ~opened & ~comma & (batch.weights == 1.0)
    batch.weights[mask] = ANSWER_WEIGHT
    return mask


def _mark_answers(batch: Batch, row: int, encoding: Encoding, example: Example) -> None:
    kinds = _CRITERION.findall(example.prompt[example.prompt.rindex("\nCriteria ") :])
    for kind, line in zip(kinds, _LINE.finditer(example.judgement), strict=True):
        start = encoding.char_to_token(len(example.prompt) + line.start() + 1)
        add_mark(batch, "asked_aspect", row, start, ASPECTS.index(line[1]))
        batch.weights[row, batch.marks["asked_aspect"][-1][1] + 1] = NAME_WEIGHT
        comments = re.findall("|".join(LEVELS), line[2])
        before = [len(example.prompt) + line.start(3) + sign.start() for sign in re.finditer("[{,]", line[3])]
        for comment, place in zip(comments, before, strict=True):
            position = encoding.char_to_token(place)
            add_mark(batch, "commented_level", row, position, LEVELS.index(comment))
            add_mark(batch, "asked_kind", row, position, KINDS.index(kind))
