"""Curves over N: coverage and the precision of every way to pick, with intervals over problems."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from grm_plugin.batch.items import Item
from grm_plugin.batch.statistics.bootstrap import Bootstrap
from grm_plugin.batch.statistics.estimates import Estimate, gap, verdicts
from grm_plugin.best_of.answers import answer_of
from grm_plugin.best_of.coverage import pass_at_k
from grm_plugin.best_of.picking import by_score, by_vote, shifted
from grm_plugin.best_of.problems import Problem
from grm_plugin.best_of.scores import Scored
from grm_plugin.errors import ConfigError

COVERAGE, ANY, MAJORITY, WEIGHTED = "coverage", "any", "majority", "weighted by "

Chance = Callable[[int, int], tuple[float, bool]]
"""Of a problem's number and N: the chance that what is picked is right, and whether it is exact."""


@dataclass(frozen=True, slots=True)
class Judged:
    """A problem whose samples are known to be right or wrong, with what else is needed of it.

    Attributes:
        problem: without the samples of which that is not known.
        right: per sample.
        scores, weights: scorer -> per sample, as in `Scored`.
    """

    problem: Problem
    right: tuple[bool, ...]
    scores: Mapping[str, tuple[float | None, ...]]
    weights: Mapping[str, tuple[float | None, ...]]


@dataclass(frozen=True, slots=True)
class Curve:
    """One way to pick.

    Attributes:
        name: of the way.
        points: N -> the share of problems for which what is picked of N samples is right.
        exact: whether all draws of N were looked at, or a formula was used.
        falls_after: the N after which more samples make it worse; None where it does not fall.
        surely: whether that is more than chance, with the number of Ns accounted for.
    """

    name: str
    points: dict[int, Estimate]
    exact: bool = True
    falls_after: int | None = None
    surely: bool = False


def judged(problem: Problem, scored: Mapping[str, Scored]) -> Judged:
    """A problem with its scores, by scorer, without the samples of which nobody knows whether they are right."""
    known = [place for place, sample in enumerate(problem.samples) if sample.correct is not None]
    return Judged(
        problem,
        tuple(bool(problem.samples[place].correct) for place in known),
        {name: tuple(found.scores[place] for place in known) for name, found in scored.items()},
        {name: tuple(found.weights[place] for place in known) for name, found in scored.items()},
    )


def steps(most: int) -> list[int]:
    """The Ns of a curve: powers of two, and the last."""
    return [*(2**power for power in range(most.bit_length()) if 2**power < most), most]


def curves(problems: Sequence[Judged], most: int, scorers: Sequence[str], pattern: str, seed: int) -> list[Curve]:
    """All curves up to N = `most`, on the same bootstrap samples.

    Args:
        problems: each with at least `most` samples.
        most: largest N.
        scorers: names of `Judged.scores` to pick by; each also weighs votes.
        pattern: of the answers to vote on; empty for the usual ones.
        seed: of the draws and the intervals.

    Raises:
        ConfigError: the pattern is no regular expression of RE2.
    """
    items = [Item(it.problem.id, it.problem.question, ("-",), label=0) for it in problems]
    bootstrap, places = Bootstrap(items, (seed,)), np.arange(len(items))
    found = []
    for name, chance in _ways(problems, scorers, pattern, seed).items():
        points, exact = {}, True
        for n in steps(most):
            chances = [chance(number, n) for number in range(len(problems))]
            exact = exact and all(whole for _, whole in chances)
            (points[n],) = bootstrap.means(np.array([[value for value, _ in chances]]), places)
        found.append(_marked(Curve(name, points, exact)) if name not in (COVERAGE, ANY) else Curve(name, points, exact))
    return found


def _ways(problems: Sequence[Judged], scorers: Sequence[str], pattern: str, seed: int) -> dict[str, Chance]:
    answers = [_answers(it, pattern) for it in problems]

    def vote(weights: Callable[[Judged], Sequence[float]]) -> Chance:
        return lambda i, n: by_vote(answers[i], weights(problems[i]), problems[i].right, n, (seed, i))

    def pick(scorer: str) -> Chance:
        return lambda i, n: (by_score(problems[i].scores[scorer], problems[i].right, n), True)

    ways: dict[str, Chance] = {
        COVERAGE: lambda i, n: (pass_at_k(len(problems[i].right), sum(problems[i].right), n), True),
        ANY: lambda i, n: (sum(problems[i].right) / len(problems[i].right), True),
        MAJORITY: vote(lambda it: [1.0] * len(it.right)),
    }
    for scorer in scorers:
        ways[scorer] = pick(scorer)
        ways[WEIGHTED + scorer] = vote(lambda it, scorer=scorer: shifted(it.weights[scorer]))  # type: ignore[misc]
    return ways


def _answers(it: Judged, pattern: str) -> list[str | None]:
    texts = [sample.text for sample in it.problem.samples if sample.correct is not None]
    try:
        return [answer_of(text, pattern) for text in texts]
    except ValueError as error:
        raise ConfigError(f"--answer: {error}") from None


def _marked(curve: Curve) -> Curve:
    """The curve, with the N after which it falls."""
    *earlier, last = curve.points
    if not earlier:
        return curve
    gaps = [gap(curve.points[n], curve.points[last]) for n in earlier]
    peak = max(curve.points, key=lambda n: (round(curve.points[n].value, 3), n))  # less is noise of random draws
    if peak == last:
        return curve
    surely = any(verdict == "better" for _, verdict in verdicts(gaps))
    return Curve(curve.name, curve.points, curve.exact, peak, surely)
