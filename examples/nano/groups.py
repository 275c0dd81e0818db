"""Draws lists of responses to one task: what the GRM trains on, and what it and the meta RM are measured on."""

from __future__ import annotations

import random
from dataclasses import dataclass

from examples.nano.answers import draw_answer, even_damage, garble
from examples.nano.domain import Task, draw_task, true_quality

TRAINING_DAMAGE = (0.05, 0.15, 0.3, 0.5, 0.7)
RANKED_DAMAGE = (0.3, 0.5, 0.7)
MARGIN = 0.08
EMPHASISED = 5 / 6


@dataclass(frozen=True, slots=True)
class RankedGroup:
    """Distinct responses, of which `best` leads the others by at least MARGIN in true quality."""

    task: Task
    responses: tuple[str, ...]
    qualities: tuple[float, ...]
    best: int


def draw_training_group(rng: random.Random, n: int) -> tuple[Task, list[str]]:
    """Any n responses to a training prompt: nearly perfect to hopeless, tidy or garbled, sometimes the same twice."""
    task = draw_task(rng, held_out=False, emphasised=EMPHASISED)
    damage = even_damage(rng.choice(TRAINING_DAMAGE))
    untidy = rng.choice((0.0, 0.15, 0.6))
    responses: list[str] = []
    for _ in range(n):
        answer = rng.choice(responses) if responses and rng.random() < 0.08 else draw_answer(task, rng, damage)
        responses.append(garble(answer, rng) if rng.random() < untidy else answer)
    return task, responses


def draw_answers(rng: random.Random, n: int, *, held_out: bool, untidy: float = 0.0) -> tuple[Task, tuple[str, ...]]:
    """A task and n responses as they are measured on; they may be equal, or equally good."""
    task = draw_task(rng, held_out=held_out, emphasised=EMPHASISED)
    damage = even_damage(rng.choice(RANKED_DAMAGE))
    answers = [draw_answer(task, rng, damage) for _ in range(n)]
    return task, tuple(garble(answer, rng) if rng.random() < untidy else answer for answer in answers)


def draw_ranked_group(rng: random.Random, n: int, *, held_out: bool, untidy: float = 0.0) -> RankedGroup:
    """n distinct responses with a clear best one; each is garbled with probability `untidy`."""
    while True:
        task, responses = draw_answers(rng, n, held_out=held_out, untidy=untidy)
        qualities = tuple(true_quality(task.prompt, response) for response in responses)
        ranked = sorted(qualities, reverse=True)
        if len(set(responses)) == n and (n == 1 or ranked[0] - ranked[1] >= MARGIN):
            return RankedGroup(task, responses, qualities, qualities.index(ranked[0]))
