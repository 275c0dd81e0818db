"""What TRL logs beside the rewards: a critique per completion, and means over the batch."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import Any

from grm_plugin.wire.judged_group import judged_as, kept_critiques
from grm_plugin.wire.schemas import WireCritique, WireGroup, WireJudgement, WireReward


def critique_columns(
    groups: Sequence[WireGroup], judgements: Sequence[WireJudgement | None]
) -> dict[str, list[str | None]]:
    """Columns of TRL's table of completions: the votes, and the best-rated critique that counted; None without any."""
    votes: list[str | None] = []
    critiques: list[str | None] = []
    for group, judgement in zip(groups, judgements, strict=True):
        for place in range(len(group.responses)):
            index = judged_as(judgement, place) if judgement else place
            kept = kept_critiques(judgement, index) if judgement else []
            votes.append(", ".join(f"{vote.scores[vote.members.index(index)]:g}" for vote in kept) or None)
            critiques.append(_explain(max(kept, key=_rating), index) if kept else None)
    return {"grm_votes": votes, "grm_critique": critiques}


def metrics(groups: Sequence[WireGroup], judgements: Sequence[WireJudgement | None]) -> dict[str, float]:
    """Means over the batch.

    grm/mean_score (1..10), grm/spread (of the votes) and grm/votes_kept are of completions with votes, and absent
    where there is none; so is grm/meta_failed, the share of them whose votes a failed meta RM did not filter. grm/none
    is the share of completions without a reward.
    """
    total = sum(len(group.responses) for group in groups)
    rewards = [reward for judgement in judgements if judgement for reward in judgement.rewards]
    scored = [reward for reward in rewards if reward.value is not None]
    if not total:
        return {}
    values = {"grm/none": 1 - len(scored) / total}
    if scored:
        values["grm/mean_score"] = _mean(scored, "mean")
        values["grm/spread"] = _mean(scored, "spread")
        values["grm/votes_kept"] = _mean(scored, "votes_kept")
        values["grm/meta_failed"] = _mean(scored, "meta_failed")
    return values


def _mean(rewards: Sequence[WireReward], field: str) -> float:
    values: list[Any] = [getattr(reward, field) for reward in rewards]
    return fmean(value for value in values if value is not None)


def _rating(critique: WireCritique) -> float:
    return 0.0 if critique.meta is None else critique.meta


def _explain(critique: WireCritique, index: int) -> str:
    """The critique, with the number that it gives this response."""
    shown_at = critique.order.index(critique.members.index(index))
    return f"(this is response {shown_at + 1})\n{critique.text}"
