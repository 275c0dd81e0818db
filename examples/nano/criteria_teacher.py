"""The synthetic critic of the criteria task: one line for each criterion, with comments and then answers.

    Analysis: careful
    Scores:
    1. Variety: 1: Variety good, 2: Variety excellent: \\boxed{no, yes}
    2. Format: 1: Format excellent, 2: Format bad: \\boxed{10, 1}

It is as careless as `teacher.judge`: a quick analysis, which calls itself so, has mostly wrong comments. Answers follow
the comments, which stand in the same line, each in the words of `teacher.judge`: a tiny model finds them there.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from examples.nano.criteria import TOP
from examples.nano.domain import LEVELS, Task, levels
from examples.nano.teacher import CARELESSNESS, SCORE_NOISE, draw_comment
from grm_plugin.types import Criterion

CARELESS = 0.37
"""Share of quick analyses. At the temperature of the votes, 0.5, a quarter is left: as many as the shipped GRM's
shallow judgements, so that neither task is judged with more care than the other."""


def judge_criteria(
    task: Task,
    responses: Sequence[str],
    criteria: Sequence[Criterion],
    rng: random.Random,
    *,
    careless: float = CARELESS,
) -> str:
    """The text of a whole judgement; `careless` is the probability of a quick one."""
    quick = rng.random() < careless
    wrong = CARELESSNESS if quick else 0.0
    found = [levels(task, response) for response in responses]
    lines = [f"Analysis: {'quick' if quick else 'careful'}", "Scores:"]
    for number, asked in enumerate(criteria, 1):
        said = [draw_comment(truth[asked.name], rng, wrong) for truth in found]
        comments = ", ".join(f"{index}: {asked.name} {LEVELS[level]}" for index, level in enumerate(said, 1))
        answers = ", ".join(_answer(asked, level, rng) for level in said)
        lines.append(f"{number}. {asked.name}: {comments}: \\boxed{{{answers}}}")
    return "\n".join(lines)


def _answer(asked: Criterion, level: int, rng: random.Random) -> str:
    if asked.kind == "scale":
        return str(min(10, max(1, round(1 + 9 * level / TOP + rng.gauss(0, SCORE_NOISE)))))
    return "yes" if (level < TOP) == (asked.kind == "penalty") else "no"
