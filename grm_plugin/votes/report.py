"""What stored votes say of how many are needed, in words, in JSON and as a picture."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from grm_plugin._util.pictures import new_axes, save
from grm_plugin.judging.reliability import ENOUGH, TwoWay
from grm_plugin.judging.stopping import AdvantageKnown, StoppingRule, WinnerKnown
from grm_plugin.votes.replay import Compared, orders_for, reliability_of, replay_fixed, replay_rule
from grm_plugin.votes.stored_lists import StoredList

RELIABILITY, FLIPS = "#2f6f9f", "#c1752c"
FEW_FLIPS = 0.03


@dataclass(frozen=True, slots=True)
class VotesReport:
    """What is known of a GRM's votes.

    Attributes:
        lists: how many lists were replayed; `sizes` is their number by responses.
        left_out: how many others the store has, whose votes ended early or are more or fewer.
        k: votes on each.
        rated: whether a meta RM rated them, so that half of those drawn vote.
        lost: share of the votes that could not be read.
        reliability: the analysis of variance of the votes.
        fixed: number of votes -> what so many say.
        rules: name of a stopping rule -> what its votes say.
    """

    lists: int
    sizes: dict[int, int]
    left_out: int
    k: int
    rated: bool
    lost: float
    reliability: TwoWay
    fixed: dict[int, Compared]
    rules: dict[str, Compared]

    def reliability_of(self, k: int) -> float | None:
        """Of the mean over those of k votes that count."""
        return self.reliability.of_votes(max(1, k // 2) if self.rated else k)

    def votes_for(self, reliability: float) -> int | None:
        """How many votes must be drawn for a mean of this reliability."""
        needed = self.reliability.votes_for(reliability)
        return 2 * needed if needed is not None and self.rated else needed


def report_on(
    lists: Sequence[StoredList], orders: int, flip: float, tolerance: float, left_out: int = 0
) -> VotesReport:
    """Replay lists that have K votes each, in so many random orders (fewer for many lists)."""
    k = len(lists[0].votes)
    orders = orders_for(lists, orders)
    winner = WinnerKnown(flip)
    rules: dict[str, StoppingRule] = {"winner": winner, "advantage": AdvantageKnown(tolerance, winner)}
    steps = [*(2**power for power in range(k.bit_length()) if 2**power < k), k]
    return VotesReport(
        lists=len(lists),
        sizes={n: sum(item.n == n for item in lists) for n in sorted({item.n for item in lists})},
        left_out=left_out,
        k=k,
        rated=any(item.rated for item in lists),
        lost=sum(vote.scores is None for item in lists for vote in item.votes) / (k * len(lists)),
        reliability=reliability_of(lists),
        fixed={step: replay_fixed(lists, step, orders) for step in steps},
        rules={name: replay_rule(lists, rule, orders) for name, rule in rules.items()},
    )


def lines(report: VotesReport) -> Iterator[str]:
    """The report for a reader."""
    sizes = ", ".join(f"{count:,} of {n}" for n, count in report.sizes.items())
    half = ", of which a meta RM lets half vote" if report.rated else ""
    lost = f"; {report.lost:.1%} could not be read" if report.lost >= 0.0005 else ""
    yield f"{report.lists:,} lists ({sizes} responses) with {report.k} votes each{half}{lost}"
    if report.left_out:
        yield f"{report.left_out:,} lists left out: their votes ended early, or are more or fewer"
    head = f"{'votes':>16}  {'tokens':>6}  {'rounds':>6}  reliability  other winner  advantage off by"
    yield head + ("  right" if _labelled(report) else "")
    for k, row in report.fixed.items():
        yield _row(str(k), row, report.reliability_of(k))
    for name, row in report.rules.items():
        yield _row(f"{name}: {row.votes:.1f}", row, None)
        yield f"{'':>16}  ended: " + ", ".join(f"{share:.0%} {why}" for why, share in (row.reasons or {}).items())
    yield "Winners and advantages are held against those of all votes, reliability is Spearman and Brown's prediction."
    yield advice(report)


def advice(report: VotesReport) -> str:
    """One sentence: how many votes are enough, and whether to stop early."""
    one = report.reliability.of_one_vote
    if one is None:
        return "The votes do not tell how reliable they are: no list has two that could be read."
    if not one:
        return "The votes tell the responses apart no better than chance: more of them will not help this GRM."
    needs = " and ".join(f"{report.votes_for(wanted):,} for {wanted:g}" for wanted in ENOUGH)
    known = f"One vote has a reliability of {one:.2f}, so this GRM needs {needs}"
    safe = {name: row for name, row in report.rules.items() if row.flips <= FEW_FLIPS}
    if not safe:
        return f"{known}; sampling.adaptive would change the winner of too many lists."
    best = min(safe, key=lambda name: safe[name].tokens)
    return (
        f"{known}; of sampling.k = {report.k}, sampling.adaptive with goal: {best} spends {safe[best].tokens:.0%} of "
        f"the tokens and names another winner in {safe[best].flips:.1%} of the lists."
    )


def as_json(report: VotesReport) -> str:
    """All figures, with the votes that reliabilities need."""
    sums = report.reliability
    needs = {f"votes_for_{wanted:g}": report.votes_for(wanted) for wanted in ENOUGH}
    known = {"one_vote": sums.of_one_vote, **needs}
    return json.dumps(asdict(report) | {"reliability": known, "advice": advice(report)}, indent=2)


def draw(report: VotesReport, path: Path) -> None:
    """Write the curve as a picture, in the format of the file's ending.

    Raises:
        ConfigError: Matplotlib is not installed, or the file cannot be written.
    """
    figure, axes = new_axes("the picture of votes")
    votes = [*report.fixed]
    reliable = [report.reliability_of(k) or 0.0 for k in votes]
    axes.plot(votes, reliable, "o-", color=RELIABILITY, label="reliability")
    flips = [row.flips for row in report.fixed.values()]
    axes.plot(votes, flips, "s--", color=FLIPS, label="another winner than of all votes")
    for name, row in report.rules.items():
        axes.plot([row.votes], [row.flips], "*", markersize=12, color=FLIPS)
        axes.annotate(name, (row.votes, row.flips), textcoords="offset points", xytext=(6, 6), fontsize=8)
    axes.set_xscale("log", base=2)
    axes.set_xticks(votes, [str(k) for k in votes])
    axes.minorticks_off()
    axes.set_ylim(0, 1)
    axes.set_xlabel("votes per list")
    axes.legend(frameon=False, fontsize=8)
    save(figure, path)


def _labelled(report: VotesReport) -> bool:
    return any(row.right is not None for row in report.fixed.values())


def _row(name: str, row: Compared, reliability: float | None) -> str:
    known = "" if reliability is None else f"{reliability:.2f}"
    return (
        f"{name:>16}  {row.tokens:>6.0%}  {row.rounds:>6.1f}  {known:>11}  {row.flips:>12.1%}  "
        f"{row.advantage_error:>16.2f}" + ("" if row.right is None else f"  {row.right:>5.1%}")
    )
