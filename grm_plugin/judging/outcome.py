"""The outcome rule: what makes a critique right, and the reward +1 or -1 for it. No format reward (Eq. 10 and 11)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

from grm_plugin.errors import WireError
from grm_plugin.judging.parsing import parse
from grm_plugin.judging.score_numbers import Decimals
from grm_plugin.judging.voting import lead
from grm_plugin.types import MAX_SCORE, MIN_SCORE, Completion, Scores, UnparsedReason

BINARY_SCALE = (0, 1)
"""Scores of a single response in training: 1 is correct, 0 is not (paper, appendix G)."""

RIGHT = 1.0
"""Reward of a right verdict."""

WRONG = -1.0
"""Reward of any other, and of none."""


@dataclass(frozen=True, slots=True)
class Target:
    """What the right verdict on `n` responses is.

    For n >= 2, `best` holds the positions (from 0, in the order shown) of the best responses, nearly always one. For
    n = 1, `label` is 1 for a correct response and 0 for another. `decimals` is `judge.decimals` of the service that the
    GRM is trained for.

    Raises:
        WireError: neither or both of `best` and `label` are given, or one is out of range; `decimals` is unknown.
    """

    n: int
    best: tuple[int, ...] = ()
    label: int | None = None
    decimals: Decimals = "reject"

    def __post_init__(self) -> None:
        if self.decimals not in get_args(Decimals):
            raise WireError(f"decimals is {str(self.decimals)[:20]!r}: reject or accept, as judge.decimals of serving")
        if self.n == 1:
            if self.best or self.label not in (0, 1):
                raise WireError("a single response needs label 0 or 1 (1: correct), and no best")
        elif self.n < 1:
            raise WireError(f"n is {self.n}; at least one response is needed")
        elif self.label is not None or not self.best:
            raise WireError(f"{self.n} responses need best, the position of the best one, and no label")
        elif not set(self.best) < set(range(self.n)):
            raise WireError(f"best is {list(self.best)}, which is no proper part of the positions 0 to {self.n - 1}")

    @property
    def scale(self) -> tuple[int, int]:
        """The lowest and the highest score that the GRM may give here."""
        return (MIN_SCORE, MAX_SCORE) if self.label is None else BINARY_SCALE

    def to_json(self) -> str:
        """The label of a prompt in a data set for online RL. Without `decimals`, decimals are rejected."""
        verdict = {"best": list(self.best)} if self.label is None else {"label": self.label}
        decimals = {} if self.decimals == "reject" else {"decimals": self.decimals}
        return json.dumps({"n": self.n, **verdict, **decimals})

    @classmethod
    def from_json(cls, text: str) -> Target:
        """Raises `WireError` when the text is no such label."""
        try:
            row = json.loads(text)
            best, decimals = tuple(map(int, row.get("best", ()))), row.get("decimals", "reject")
            return cls(int(row["n"]), best, row.get("label"), decimals)
        except (ValueError, TypeError, AttributeError, KeyError):
            raise WireError(
                f"the label {str(text)[:80]!r} is none of `grm-plugin spct rl-data`: pass its column as the label "
                "(OpenRLHF: --data.label_key label)"
            ) from None


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a completion does by the rule. `scores` are in the order shown; None with the `reason` why there are none."""

    right: bool
    scores: tuple[float, ...] | None
    reason: UnparsedReason | None = None
    tie: bool = False

    @property
    def reward(self) -> float:
        """+1 for a right verdict, -1 for any other and for none."""
        return RIGHT if self.right else WRONG


def is_right(scores: Sequence[float], target: Target) -> bool:
    """Whether the best responses are strictly ahead of every other; for n = 1, whether the score is the label."""
    if target.label is not None:
        return scores[0] == target.label
    return lead(scores, target.best) > 0


def is_tie(scores: Sequence[float], target: Target) -> bool:
    """Whether the best responses are not ahead only because another is level with one of them."""
    return target.label is None and lead(scores, target.best) == 0


def verdict_of(
    completion: Completion, target: Target, decimals: Decimals | None = None, max_tokens: int | None = None
) -> Verdict:
    """Read a completion as serving does and hold it against the right verdict. One that cannot be read is not right.

    Args:
        completion: its finish reason says whether it ended: a verdict in one that was cut is lost in serving, and so
            must earn nothing in training.
        target: the right verdict.
        decimals: `judge.decimals`; None for the target's.
        max_tokens: how many tokens the completion could have, if known.
    """
    parsed = parse(completion, target.n, decimals or target.decimals, target.scale, max_tokens)
    if not isinstance(parsed, Scores):
        return Verdict(right=False, scores=None, reason=parsed.reason)
    return Verdict(is_right(parsed.values, target), parsed.values, tie=is_tie(parsed.values, target))
