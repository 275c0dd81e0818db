"""The reply of `/v1/score`: a judgement in the form in which it travels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, fields

from grm_plugin.judging.fallback import Settled
from grm_plugin.types import Critique, Judgement, ListJudgement, Reward
from grm_plugin.wire.schemas import WireCriterion, WireCritique, WireJudgement, WireReward, WireUnparsed

_FIELDS = [field.name for field in fields(Reward) if field.name not in ("unit_mean", "criteria")]
"""`unit_mean`, None without votes, is left out: the reply takes the one of `settled`, which is always a number."""


def judgement_to_wire(judgement: Judgement, settled: Sequence[Settled], detail: bool = True) -> WireJudgement:
    """A judgement and, beside each reward, what the failure policy makes of it (one `Settled` per reward).

    Without `detail` the votes are left out.
    """
    lists = judgement.lists if detail else ()
    return WireJudgement(
        rewards=[_reward(reward, row) for reward, row in zip(judgement.rewards, settled, strict=True)],
        critiques=[_critique(judged, critique) for judged in lists for critique in judged.critiques],
        unparsed=[
            WireUnparsed(reason=vote.reason, detail=vote.detail, text=vote.text)
            for judged in lists
            for vote in judged.unparsed
        ],
        latency_s=judgement.latency_s,
    )


def _reward(reward: Reward, settled: Settled) -> WireReward:
    values = {name: getattr(reward, name) for name in _FIELDS}
    criteria = [WireCriterion(**asdict(row)) for row in reward.criteria]
    return WireReward(**values, criteria=criteria, settled=settled.value, unit=settled.unit_mean)


def _critique(judged: ListJudgement, critique: Critique) -> WireCritique:
    return WireCritique(
        members=list(judged.members),
        scores=list(critique.scores),
        order=list(critique.order),
        text=critique.whole,
        principles=critique.principles,
        analysis=critique.analysis,
        meta=critique.meta,
        kept=critique.kept,
        forced=critique.forced,
        forced_line=critique.forced_line,
        by_criterion=[None if row is None else list(row) for row in critique.by_criterion],
    )
