"""Draws critiques of ranked groups from the synthetic critic, with everything that can be checked about them."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass

from transformers import Qwen2Tokenizer

from examples.nano import teacher
from examples.nano.batches import PROMPTS
from examples.nano.domain import ASPECTS, LEVELS, levels
from examples.nano.groups import RankedGroup, draw_ranked_group
from examples.nano.teacher import Judgement
from grm_plugin.judging.prompts import draw_marker
from grm_plugin.types import Group, Message, message_dicts

SIZES, ODDS = (2, 3, 4), (0.45, 0.15, 0.4)
UNTIDY = (0.0, 0.3)
SHALLOW = (0.2, 0.4, 0.6)
"""Shares of shallow critiques: the meta RM should not depend on how many the GRM writes."""
WRONG = (None, 0.1, 0.4)
"""Shares of wrong comments; None is the critic's own. If only shallow critiques had any, it would learn to tell shallow
ones apart and never look at a comment."""
TEMPERATURE = 0.5
"""That of the votes."""

_CRITERION = re.compile(rf"^\d\. ({'|'.join(ASPECTS)}):.*$", re.MULTILINE)
_COMMENT = re.compile(rf" (?:{'|'.join(ASPECTS)}) ({'|'.join(LEVELS)})\b")

Mark = tuple[int, bool]
"""A character of the text and whether what ends there is right."""


@dataclass(frozen=True, slots=True)
class CheckedCritique:
    """`text` is the meta RM's whole input.

    Attributes:
        comments: the last character of each comment, and whether it is true.
        truths: the last character before each comment, and the true level.
        criteria: the last character of each criterion's name, and whether the prompt emphasises it.
        weights: the last character of each criterion's weight, and the same.
        emphasis: the aspect that the prompt emphasises, as its index, or len(ASPECTS) for none.
        coverage: minus the summed distances between the criteria's weights and the rule's, in [-2, 0].
        error: weighted distances between comments and true levels, summed over the responses, in [0, n].
    """

    text: str
    comments: tuple[Mark, ...]
    truths: tuple[tuple[int, int], ...]
    criteria: tuple[Mark, ...]
    weights: tuple[Mark, ...]
    emphasis: int
    coverage: float
    error: float

    @property
    def soundness(self) -> float:
        """What the meta RM learns; it does not depend on which response wins."""
        return self.coverage - self.error


def draw_critiques(tokenizer: Qwen2Tokenizer, rng: random.Random, number: int) -> list[CheckedCritique]:
    """Critiques of groups with equally many responses, each of another group."""
    n = rng.choices(SIZES, ODDS)[0]
    found = []
    for _ in range(number):
        group = draw_ranked_group(rng, n, held_out=False, untidy=rng.choice(UNTIDY))
        shallow, wrong = rng.choice(SHALLOW), rng.choice(WRONG)
        judgement = teacher.judge(
            group.task, group.responses, rng, shallow=shallow, wrong=wrong, temperature=TEMPERATURE
        )
        found.append(check(tokenizer, group, judgement, draw_marker(rng)))
    return found


def check(tokenizer: Qwen2Tokenizer, group: RankedGroup, judgement: Judgement, marker: str) -> CheckedCritique:
    """What is right and wrong about a judgement of a group."""
    text = meta_text(tokenizer, group, marker, judgement.text)
    start = text.rindex(judgement.text)
    analysis = text.index("Analysis:", start)
    truth = [levels(group.task, response) for response in group.responses]
    true, facts, error = list[bool](), list[int](), 0.0
    for found, right in zip(judgement.comments, truth, strict=True):
        for aspect, level in found.items():
            true.append(level == right[aspect])
            facts.append(right[aspect])
            error += judgement.criteria[aspect] / 100 * abs(level - right[aspect]) / (len(LEVELS) - 1)
    weights = group.task.weights
    coverage = -sum(abs(judgement.criteria.get(a, 0) / 100 - weights[a] / sum(weights.values())) for a in ASPECTS)
    spans = list(_COMMENT.finditer(text, analysis))
    comments = tuple(zip((match.end(1) - 1 for match in spans), true, strict=True))
    truths = tuple(zip((match.start(1) - 2 for match in spans), facts, strict=True))
    emphasis = group.task.emphasis
    lines = [(match, match[1] == emphasis) for match in _CRITERION.finditer(text, start, analysis)]
    return CheckedCritique(
        text,
        comments,
        truths,
        criteria=tuple((match.end(1) - 1, asked) for match, asked in lines),
        weights=tuple((match.end() - 1, asked) for match, asked in lines),
        emphasis=len(ASPECTS) if emphasis is None else ASPECTS.index(emphasis),
        coverage=coverage,
        error=error,
    )


def finds_best(group: RankedGroup, scores: Sequence[float]) -> bool:
    """Whether the best response is strictly ahead."""
    return all(scores[group.best] > score for index, score in enumerate(scores) if index != group.best)


def meta_text(tokenizer: Qwen2Tokenizer, group: RankedGroup, marker: str, critique: str) -> str:
    """The meta RM's input, exactly as the library and the chat template make it."""
    shown = Group((Message("user", group.task.prompt),), group.responses)
    messages = PROMPTS.meta(shown, tuple(range(len(group.responses))), marker, critique)
    chat = message_dicts(messages)
    return str(tokenizer.apply_chat_template(chat, tokenize=False))
