"""The criteria task: lists of responses to be judged by criteria of their own, and the rule that knows their truth.

    Variety: no item twice        (weight 3, yes_no)
    Format: another separator     (weight 1, penalty)

A criterion is about one aspect of the domain. Which aspects, how heavy and of which kind, is drawn for every list, so
that what is best by the criteria is often not what is best by the prompt.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from examples.nano.domain import ASPECTS, LEVELS, Task, levels, true_quality
from examples.nano.groups import MARGIN, RankedGroup, draw_answers, draw_training_group
from examples.nano.teacher import MEANINGS
from grm_plugin.judging.criteria import combined
from grm_plugin.types import MAX_SCORE, MIN_SCORE, Criterion, CriterionKind

FAULTS = {
    "Accuracy": "items off topic",
    "Length": "other number of items",
    "Variety": "an item twice",
    "Format": "other separator",
    "Courtesy": "no kind ending",
}
"""What a penalty says of each aspect; the other kinds say teacher.MEANINGS."""
KINDS: tuple[CriterionKind, ...] = ("scale", "yes_no", "penalty", "must")
KIND_ODDS = (0.5, 0.28, 0.14, 0.08)
WEIGHTS = (1, 2, 3, 5)
NUMBERS, NUMBER_ODDS = (1, 2, 3, 4, 5), (0.1, 0.3, 0.3, 0.2, 0.1)
"""Odds of the number of criteria of a list."""
TOP = len(LEVELS) - 1
SPAN = MAX_SCORE - MIN_SCORE


@dataclass(frozen=True, slots=True)
class CriteriaGroup:
    """Responses with criteria of their own.

    Attributes:
        criteria: by what they are judged.
        ranked: the responses, with their quality by the criteria; `best` leads by at least MARGIN.
        holistic_best: which is best by the prompt, as `domain.true_quality` has it; None where two are.
    """

    criteria: tuple[Criterion, ...]
    ranked: RankedGroup
    holistic_best: int | None


def criterion(aspect: str, kind: CriterionKind, weight: float = 1.0) -> Criterion:
    """A criterion about an aspect, in the words of the domain."""
    return Criterion(aspect, (FAULTS if kind == "penalty" else MEANINGS)[aspect], weight, kind)


def draw_criteria(rng: random.Random) -> tuple[Criterion, ...]:
    """One to five criteria, each about another aspect."""
    aspects = rng.sample(ASPECTS, rng.choices(NUMBERS, NUMBER_ODDS)[0])
    return tuple(criterion(aspect, rng.choices(KINDS, KIND_ODDS)[0], float(rng.choice(WEIGHTS))) for aspect in aspects)


def prompt_criteria(task: Task) -> tuple[Criterion, ...]:
    """The prompt's own wish as criteria: all aspects, weighted as `domain.true_quality` weighs them."""
    return tuple(criterion(aspect, "scale", float(weight)) for aspect, weight in task.weights.items())


def truth(asked: Criterion, found: Mapping[str, int]) -> float:
    """What a response whose aspects have the levels `found` truly deserves by a criterion, in [0, 1]; 1 is best.

    A scale goes by the level. The other kinds ask whether the aspect has no fault at all.
    """
    level = found[asked.name]
    return level / TOP if asked.kind == "scale" else float(level == TOP)


def criteria_quality(criteria: Sequence[Criterion], task: Task, response: str) -> float:
    """The true quality of a response by the criteria, in [0, 1], weighed as the product weighs votes."""
    found = levels(task, response)
    score = combined(criteria, [MIN_SCORE + SPAN * truth(asked, found) for asked in criteria])
    assert score is not None, "every criterion has a true value"
    return (score - MIN_SCORE) / SPAN


def draw_training_criteria(rng: random.Random, n: int) -> tuple[Task, list[str], tuple[Criterion, ...]]:
    """Any n responses to a training prompt, and criteria."""
    return *draw_training_group(rng, n), draw_criteria(rng)


def draw_criteria_group(rng: random.Random, n: int, *, held_out: bool, by_prompt: bool = False) -> CriteriaGroup:
    """n distinct responses with a clear best one by the criteria; `by_prompt` takes `prompt_criteria`."""
    while True:
        task, responses = draw_answers(rng, n, held_out=held_out)
        criteria = prompt_criteria(task) if by_prompt else draw_criteria(rng)
        qualities = tuple(criteria_quality(criteria, task, response) for response in responses)
        ranked = sorted(qualities, reverse=True)
        if len(set(responses)) == n and (n == 1 or ranked[0] - ranked[1] >= MARGIN):
            group = RankedGroup(task, responses, qualities, qualities.index(ranked[0]))
            return CriteriaGroup(criteria, group, _holistic_best(group))


def _holistic_best(group: RankedGroup) -> int | None:
    qualities = [true_quality(group.task.prompt, response) for response in group.responses]
    best = [index for index, quality in enumerate(qualities) if quality == max(qualities)]
    return best[0] if len(best) == 1 else None
