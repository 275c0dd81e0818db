"""The synthetic critic whose judgements the nano GRM learns to write. It knows the levels, never the true quality.

A judgement is focused or shallow. A focused one has two or three criteria, explains them, prefers the one that the
prompt emphasises, and its comments are true. A shallow one has a single criterion, which it does not explain and which
is rarely the emphasised one, and most of its comments are wrong. So single judgements are noisy, in a way that shows in
their text: votes, reinforcement learning and a meta RM can all improve on them.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from examples.nano.domain import ASPECTS, LEVELS, Task, levels

MEANINGS = {
    "Accuracy": "items fit the topic",
    "Length": "right number of items",
    "Variety": "no item twice",
    "Format": "asked separator",
    "Courtesy": "kind ending",
}
VAGUE = "this matters"
"""What a shallow judgement says of any criterion."""
WEIGHTS = {1: ((100,),), 2: ((50, 50), (60, 40), (70, 30)), 3: ((50, 30, 20), (40, 30, 30))}
SHALLOW = 0.6
"""Share of shallow judgements in what the GRM first learns. Rejective fine-tuning and RL make them rarer; some have to
be left for a meta RM to drop."""
FOCUSED_SIZES, SHALLOW_SIZES = (2, 3), (1,)
FOCUSED_EMPHASIS, SHALLOW_EMPHASIS = 1.5, 0.5
"""How much more often than others the emphasised aspect is drawn as a criterion."""
CARELESSNESS = 0.6
"""Share of wrong comments in shallow judgements."""
SCORE_NOISE = 0.5


@dataclass(frozen=True, slots=True)
class Judgement:
    """One critique of a list of responses and the scores 1..10 that it ends with.

    `criteria` has the weight in percent of each aspect used; `comments` the level given to each response by aspect.
    """

    text: str
    scores: tuple[int, ...]
    criteria: dict[str, int]
    comments: tuple[dict[str, int], ...]


def inspect(task: Task, responses: Sequence[str], rng: random.Random) -> str:
    """All true levels in one random order of the aspects, without criteria or scores: the first lesson of the GRM."""
    aspects = rng.sample(ASPECTS, len(ASPECTS))
    return _analysis([levels(task, response) for response in responses], aspects)


def judge(
    task: Task,
    responses: Sequence[str],
    rng: random.Random,
    *,
    shallow: float = SHALLOW,
    wrong: float | None = None,
    temperature: float = 1.0,
) -> Judgement:
    """A whole judgement.

    `shallow` is the probability of a shallow one at any temperature; `wrong` the share of wrong comments of either
    kind, by default CARELESSNESS and none.
    """
    careless = rng.random() < shallow
    criteria = _draw_criteria(task, rng, careless, temperature)
    if wrong is None:
        wrong = _wrong_share(temperature) if careless else 0.0
    comments = []
    for response in responses:
        truth = levels(task, response)
        comments.append({aspect: draw_comment(truth[aspect], rng, wrong) for aspect in criteria})
    scores = []
    for comment in comments:
        share = sum(weight / 100 * comment[aspect] / 3 for aspect, weight in criteria.items())
        scores.append(min(10, max(1, round(1 + 9 * share + rng.gauss(0, SCORE_NOISE * temperature**0.5)))))
    lines = ["Specific Criteria:"]
    for number, (aspect, weight) in enumerate(criteria.items(), 1):
        lines.append(f"{number}. {aspect}: {VAGUE if careless else MEANINGS[aspect]} ({weight}%)")
    lines.append(_analysis(comments, list(criteria)))
    lines.append(f"Scores: \\boxed{{{', '.join(map(str, scores))}}}")
    return Judgement("\n".join(lines), tuple(scores), criteria, tuple(comments))


def _draw_criteria(task: Task, rng: random.Random, careless: bool, temperature: float) -> dict[str, int]:
    factor = (SHALLOW_EMPHASIS if careless else FOCUSED_EMPHASIS) ** (1 / temperature)
    left, chosen = list(ASPECTS), list[str]()
    for _ in range(rng.choice(SHALLOW_SIZES if careless else FOCUSED_SIZES)):
        odds = [factor if aspect == task.emphasis else 1.0 for aspect in left]
        chosen.append(left.pop(rng.choices(range(len(left)), odds)[0]))
    chosen.sort(key=lambda aspect: aspect != task.emphasis)
    return dict(zip(chosen, rng.choice(WEIGHTS[len(chosen)]), strict=True))


def _wrong_share(temperature: float) -> float:
    """The share of wrong comments that a model keeps at a temperature if it has CARELESSNESS at 1."""
    others = len(LEVELS) - 1
    right, wrong = ((1 - CARELESSNESS) ** (1 / temperature), (CARELESSNESS / others) ** (1 / temperature))
    return others * wrong / (right + others * wrong)


def draw_comment(level: int, rng: random.Random, wrong: float) -> int:
    """The level that is said of an aspect that has `level`: another one with the probability `wrong`."""
    return rng.choice([other for other in range(len(LEVELS)) if other != level]) if rng.random() < wrong else level


def _analysis(comments: Sequence[dict[str, int]], aspects: Sequence[str]) -> str:
    lines = ["Analysis:"]
    for number, comment in enumerate(comments, 1):
        lines.append(f"Response {number}: " + ", ".join(f"{aspect} {LEVELS[comment[aspect]]}" for aspect in aspects))
    return "\n".join(lines)
