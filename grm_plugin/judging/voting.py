"""Meta filter and vote: from critiques to one `Vote` per response, and what a vote says of a labelled list."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import replace

from grm_plugin.types import Critique, ListJudgement, Vote


def with_ratings(critiques: Sequence[Critique], ratings: Sequence[float]) -> list[Critique]:
    """The critiques with the meta RM's logits (one each, same order; see `judging.seams.check_logits`)."""
    return [replace(critique, meta=rating) for critique, rating in zip(critiques, ratings, strict=True)]


def keep_best(critiques: Sequence[Critique], k_meta: int) -> list[Critique]:
    """Mark the `k_meta` critiques with the highest meta score as kept (paper, section 3.3).

    Ties go to the lower sample index; fewer critiques than `k_meta`, or critiques without a rating, are all kept.
    The order of the input is preserved.
    """
    if any(critique.meta is None for critique in critiques):
        return list(critiques)
    best = sorted(critiques, key=lambda critique: (-(critique.meta or 0.0), critique.sample))[:k_meta]
    kept = {critique.sample for critique in best}
    return [replace(critique, kept=critique.sample in kept) for critique in critiques]


def tally(critiques: Sequence[Critique], n: int) -> list[Vote | None]:
    """Vote per response over the kept critiques (paper, Eq. 14: the sum of the scores); None when none is kept."""
    columns = zip(*(critique.scores for critique in critiques if critique.kept), strict=True)
    votes: list[Vote | None] = [vote_of(column) for column in columns]
    return votes or [None] * n


def vote_of(scores: Sequence[float]) -> Vote:
    """The vote of one response: sum, mean and population standard deviation of its scores (at least one)."""
    count, total = len(scores), math.fsum(scores)
    # Not statistics.pstdev, whose exact fractions cost more than reading the critique; equal scores give 0.0 here, too.
    spread = math.sqrt(math.fsum((count * score - total) ** 2 for score in scores) / count) / count
    return Vote(tuple(scores), total, total / count, spread)


def join_parts(parts: Sequence[ListJudgement], k_meta: int) -> ListJudgement:
    """The judgement of a list whose orders were spread over several (`judging.seams.Wanted.parts`), from theirs."""
    critiques = sorted((item for part in parts for item in part.critiques), key=lambda critique: critique.sample)
    # What a part has kept was the best of its own.
    kept = keep_best([replace(critique, kept=True) for critique in critiques], k_meta)
    failed = next((part for part in parts if part.meta_error), parts[0])
    return replace(
        parts[0],
        votes=tuple(tally(kept, len(parts[0].members))),
        critiques=tuple(kept),
        cut=tuple(map(max, zip(*(part.cut for part in parts), strict=True))),
        unparsed=tuple(lost for part in parts for lost in part.unparsed),
        meta_error=failed.meta_error,
        meta_too_long=failed.meta_too_long,
        grm_s=max(part.grm_s for part in parts),
        meta_rm_s=max(part.meta_rm_s for part in parts),
    )


def lead(scores: Sequence[float], best: Collection[int]) -> float:
    """How far the last of the best responses is ahead of the first of the others.

    Above 0 the scores are right (paper, Eq. 10), at 0 they tie, which is wrong.

    Args:
        scores: of n >= 2 responses, or sums of them.
        best: indices of the best responses: at least one, and not all.
    """
    ahead = [score for index, score in enumerate(scores) if index in best]
    behind = [score for index, score in enumerate(scores) if index not in best]
    return min(ahead) - max(behind)
