"""Prompts and responses whose right reward anyone can read off them, and critiques that give them that score.

Only the standard library: this is imported by every caller, verl's environment included.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

N = 8
"""Responses per prompt; also the list size and k, so that each of the eight orders of a list gives one vote."""

K = 8
PROMPT_WORDS, RESPONSE_WORDS, CRITIQUE_WORDS = 150, 300, 300
TOKENS = 400
"""Tokens of a critique, as the simulated engines count them."""

WORTH = re.compile(rb"worth (\d+)\.")
"""Every response says its score once; prompts, templates and critiques do not say it."""

TOLERANCE = 1e-9


@dataclass(frozen=True, slots=True)
class Question:
    """A prompt and its responses; `scores[i]`, from 1 to 10, is what every vote gives response i."""

    prompt: str
    responses: tuple[str, ...]
    scores: tuple[int, ...]

    @property
    def rewards(self) -> tuple[float, ...]:
        """The rewards of `normalize.method: unit`."""
        return tuple((score - 1) / 9 for score in self.scores)


def word_pool() -> list[str]:
    """2,000 words of 3 to 9 letters; the same ones in every process."""
    rng = random.Random(0)
    letters = "aaabcdeeefghiiijklmnooprstuvwy"
    return sorted({"".join(rng.choices(letters, k=rng.randint(3, 9))) for _ in range(2_100)})[:2_000]


def questions(samples: int, seed: int) -> list[Question]:
    """Groups of `N`, no two texts of any two seeds alike: nothing is found in a cache."""
    rng = random.Random(seed)
    pool = word_pool()

    def words(count: int) -> str:
        return " ".join(rng.choices(pool, k=count))

    def one(index: int) -> Question:
        scores = tuple(rng.randint(1, 10) for _ in range(N))
        responses = tuple(
            f"Answer {number} to {seed}-{index} is worth {score}. {words(RESPONSE_WORDS)}"
            for number, score in enumerate(scores)
        )
        return Question(f"Question {seed}-{index}: {words(PROMPT_WORDS)}?", responses, scores)

    return [one(index) for index in range(samples // N)]


def critique_text() -> str:
    """A critique without its verdict."""
    rng = random.Random(1)
    pool = word_pool()
    half = CRITIQUE_WORDS // 2
    principles, analysis = (" ".join(rng.choices(pool, k=half)) for _ in range(2))
    return f"Specific Criteria: {principles}.\nAnalysis: {analysis}.\nScores: "


def verdict(scores: Iterable[int | bytes]) -> str:
    """The end of a critique. Without a score, a readiness probe asked: it gets any."""
    shown = [score.decode() if isinstance(score, bytes) else str(score) for score in scores] or ["5"]
    return f"\\boxed{{{', '.join(shown)}}}"


def wrong(asked: Sequence[float], got: Sequence[float | None]) -> int:
    """How many rewards are not what the texts say."""
    return sum(reward is None or not abs(reward - right) <= TOLERANCE for right, reward in zip(asked, got, strict=True))


def single_questions(groups: int, seed: int) -> list[tuple[str, str]]:
    """Short prompts with one response each, for models that write real tokens."""
    rng = random.Random(seed)
    pool = word_pool()
    return [
        (f"Case {seed}-{index}: {' '.join(rng.choices(pool, k=20))}?", " ".join(rng.choices(pool, k=40)))
        for index in range(groups)
    ]
