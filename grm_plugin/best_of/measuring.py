"""From a store of samples to a report: who says what is right, who picks, and whether the store can be used at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from grm_plugin.best_of.curves import Judged, judged
from grm_plugin.best_of.problems import Problem
from grm_plugin.best_of.scores import Scored, Scorer, score_all
from grm_plugin.errors import ConfigError

STORED = "stored"
"""What the store itself says: its verdicts, or its scores."""


def require_samples(problems: Sequence[Problem], n: int | None, path: Path) -> int:
    """The largest N that every problem has samples for.

    Args:
        problems: of the store.
        n: the largest N that is asked for; None takes as many as there are.
        path: of the store, for the message.

    Raises:
        ConfigError: there are fewer, or a problem has none.
    """
    fewest = min(problems, key=lambda problem: len(problem.samples))
    if not (least := len(fewest.samples)):
        raise ConfigError(f"{path}: problem {fewest.id!r} has no samples: draw some with grm-plugin sample")
    if n is not None and n > least:
        raise ConfigError(
            f"--n {n} is more than the {least} samples that problem {fewest.id!r} has: grm-plugin sample --n {n} draws "
            "the others"
        )
    return n or least


def run_scorers(
    scorers: Sequence[Scorer], problems: Sequence[Problem], folder: Path, concurrency: int
) -> tuple[int, dict[str, dict[str, Scored]]]:
    """The scores of all scorers, one after the other, with those that the store brings.

    Returns:
        The worst exit status, and scorer -> problem's id -> scores; without those that are not complete.
    """
    status, found = 0, _stored_scores(problems)
    for scorer in scorers:
        ended, scores = score_all(scorer, problems, folder, concurrency)
        status = max(status, ended)
        if not ended:
            found[scorer.name] = {problem.id: scores[problem.id] for problem in problems}
    return status, found


def with_verdicts(problems: Sequence[Problem], scored: Mapping[str, Mapping[str, Scored]], truth: str) -> list[Problem]:
    """The problems with what `truth` says of each sample: right where its score is 1, unknown where it has none.

    Raises:
        ConfigError: nobody says anything.
    """
    if truth == STORED:
        if not any(sample.correct is not None for problem in problems for sample in problem.samples):
            raise ConfigError(
                "the store does not say which samples are right (is_correct): give --truth rule with --rule, or "
                "--truth command with --command"
            )
        return [*problems]
    return [
        replace(
            problem,
            samples=tuple(
                replace(sample, correct=None if score is None else score >= 1)
                for sample, score in zip(problem.samples, scored[truth][problem.id].scores, strict=True)
            ),
        )
        for problem in problems
    ]


def to_judge(
    problems: Sequence[Problem], scored: Mapping[str, Mapping[str, Scored]], most: int, asked: bool
) -> tuple[list[Judged], int, list[str]]:
    """The problems of which enough is known for N = `most`, the largest N for all, and what to say of the others.

    Args:
        problems: with verdicts.
        scored: scorer -> problem's id -> scores.
        most: wanted.
        asked: whether the user asked for so many: then too few verdicts are an error, else a smaller N.

    Raises:
        ConfigError: no verdicts are known of a problem, or fewer than asked for.
    """
    found = [judged(problem, {name: by_id[problem.id] for name, by_id in scored.items()}) for problem in problems]
    silent = [it.problem.id for it in found if not it.right]
    if len(silent) == len(found):
        raise ConfigError("of no problem it is known which samples are right: see why above, and mend the verifier")
    known = [it for it in found if it.right]
    least = min(known, key=lambda it: len(it.right))
    if asked and len(least.right) < most:
        raise ConfigError(
            f"--n {most} is more than the {len(least.right)} samples of problem {least.problem.id!r} that are known to "
            "be right or wrong"
        )
    notes = [f"{len(silent)} problems are left out: nobody says which of their samples are right"] if silent else []
    counts = {len(it.right) for it in known}
    if len(counts) > 1:
        notes.append(f"Problems have {min(counts):,} to {max(counts):,} samples: figures go up to {len(least.right):,}")
    return known, min(most, len(least.right)), notes


def _stored_scores(problems: Sequence[Problem]) -> dict[str, dict[str, Scored]]:
    """The scores that came with the samples, if there are any."""
    rows = {}
    for problem in problems:
        scores = tuple(sample.score for sample in problem.samples)
        rows[problem.id] = Scored(problem.id, problem.digest, scores, scores)
    given = any(score is not None for row in rows.values() for score in row.scores)
    return {STORED: rows} if given else {}
