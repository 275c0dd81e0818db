"""What best-of-N is worth on some problems: the figures, for a reader, in JSON, and as a picture."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from grm_plugin._util.pictures import new_axes, save
from grm_plugin.best_of.cost import Cost, Model, Tokens, cost_of, tokens_of
from grm_plugin.best_of.coverage import PowerLaw, fit_power_law
from grm_plugin.best_of.curves import ANY, COVERAGE, WEIGHTED, Curve, Judged, curves
from grm_plugin.best_of.scores import Scored

NAME_WIDTH = 22


@dataclass(frozen=True, slots=True)
class BestOf:
    """Everything about best-of-N on some problems.

    Attributes:
        problems: how many.
        samples: fewest of a problem, of those that are known to be right or wrong.
        unknown: how many samples are not, and are left out.
        truth: who says what is right.
        curves: of all ways to pick.
        law: that coverage follows.
        costs: way -> N -> what it costs per problem; empty where nothing is known.
        tokens: of the policy per problem.
        unscored: scorer -> samples that it has no score for.
        why: scorer -> why samples have no score, or failed -> how many.
        notes: what a reader must know besides.
    """

    problems: int
    samples: int
    unknown: int
    truth: str
    curves: list[Curve]
    law: PowerLaw
    tokens: Tokens
    costs: dict[str, dict[int, Cost]]
    unscored: dict[str, int]
    why: dict[str, dict[str, int]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def report_on(
    problems: Sequence[Judged],
    most: int,
    scored: Mapping[str, Mapping[str, Scored]],
    truth: str,
    policy: Model,
    judge: Model,
    pattern: str = "",
    seed: int = 0,
    notes: Sequence[str] = (),
) -> BestOf:
    """All figures up to N = `most`.

    Args:
        problems: each with at least `most` samples.
        most: largest N.
        scored: scorer -> problem's id -> scores. One that says what is right is none to pick by.
        truth: who says what is right.
        policy, judge: what is known of their prices; the judge's is that of `grm`.
        pattern, seed: as in `curves.curves`.
        notes: what a reader must know besides.
    """
    pickers = [name for name in scored if name != truth]
    found = curves(problems, most, pickers, pattern, seed)
    tokens = tokens_of([it.problem for it in problems])
    every = [sample for it in problems for sample in it.problem.samples]
    why: dict[str, dict[str, int]] = {}
    for name, by_id in scored.items():
        for one in by_id.values():
            for reason, count in one.why.items():
                why.setdefault(name, {})[reason] = why.get(name, {}).get(reason, 0) + count
    return BestOf(
        len(problems),
        min(len(it.right) for it in problems),
        sum(sample.correct is None for sample in every),
        truth,
        found,
        fit_power_law([(len(it.right), sum(it.right)) for it in problems], most),
        tokens,
        {curve.name: _costs(curve, scored, problems, tokens, policy, judge) for curve in found},
        {name: sum(score is None for it in problems for score in it.scores[name]) for name in pickers},
        why,
        [*notes],
    )


def lines(report: BestOf) -> Iterator[str]:
    """The report for a reader."""
    ns = [*report.curves[0].points]
    yield f"{report.problems:,} problems, up to {ns[-1]:,} samples each; right is what {report.truth} says"
    yield f"{'share right, %':>{NAME_WIDTH}}" + "".join(f"{f'N={n}':>8}" for n in ns) + "  95 % interval of the last"
    for curve in report.curves:
        low, high = curve.points[ns[-1]].interval
        row = "".join(f"{100 * point.value:>8.1f}" for point in curve.points.values())
        inexact = "" if curve.exact else "  (from random draws)"
        yield f"{curve.name:>{NAME_WIDTH}}{row}  {100 * low:.1f} to {100 * high:.1f}{inexact}"
    yield from _cost_lines(report, ns)
    law = report.law
    if law.a is not None and law.b is not None:
        yield f"coverage(N) = exp({law.a:.3g} * N^-{law.b:.3g}), off by {100 * (law.error or 0):.2g} points"
    if law.note:
        yield law.note[0].upper() + law.note[1:]
    for curve in report.curves:
        if curve.falls_after is not None:
            sure = "more samples find what fools it" if curve.surely else "which may be chance"
            yield f"{curve.name} falls after N = {curve.falls_after}: {sure}"
    for name, count in report.unscored.items():
        if count:
            yield f"{name} has no score for {count:,} samples: they are picked only where nothing else was drawn"
    for name, reasons in report.why.items():
        for reason, count in sorted(reasons.items(), key=lambda pair: -pair[1])[:5]:
            yield f"{name}: {count:,} x {reason}"
    if report.unknown:
        yield f"{report.unknown:,} samples are left out: nobody says whether they are right"
    yield from report.notes


def as_json(report: BestOf) -> str:
    """All figures."""
    return json.dumps(
        {
            "problems": report.problems,
            "samples": report.samples,
            "unknown": report.unknown,
            "truth": report.truth,
            "curves": {curve.name: _curve_json(curve) for curve in report.curves},
            "power_law": asdict(report.law),
            "tokens": asdict(report.tokens),
            "costs": {name: {str(n): asdict(it) for n, it in costs.items()} for name, costs in report.costs.items()},
            "unscored": report.unscored,
            "why": report.why,
            "notes": report.notes,
        },
        indent=2,
    )


def draw(report: BestOf, path: Path) -> None:
    """Write the curves as a picture, in the format of the file's ending.

    Raises:
        ConfigError: Matplotlib is not installed, or the file cannot be written.
    """
    figure, axes = new_axes("the picture of best-of-N")
    ns = [*report.curves[0].points]
    for curve in report.curves:
        values = [point.value for point in curve.points.values()]
        style = {COVERAGE: "k-", ANY: "k:"}.get(curve.name, "o--" if curve.name.startswith(WEIGHTED) else "o-")
        (line,) = axes.plot(ns, values, style, markersize=4, label=curve.name)
        low, high = zip(*(point.interval for point in curve.points.values()), strict=True)
        axes.fill_between(ns, low, high, color=line.get_color(), alpha=0.1, lw=0)
        if curve.falls_after is not None and curve.surely:
            axes.plot([curve.falls_after], [curve.points[curve.falls_after].value], "rv", markersize=9)
    if report.law.a is not None:
        axes.plot(ns, [report.law.at(n) for n in ns], "k--", lw=0.8, label="power law")
    axes.set_xscale("log", base=2)
    axes.set_xticks(ns, [str(n) for n in ns])
    axes.minorticks_off()
    axes.set_ylim(0, 1.02)
    axes.set_xlabel("samples (N)")
    axes.set_ylabel("share of problems solved")
    axes.legend(frameon=False, fontsize=8)
    save(figure, path)


def _curve_json(curve: Curve) -> dict[str, Any]:
    points = {str(n): {"value": it.value, "ci95": [*it.interval]} for n, it in curve.points.items()}
    return {"points": points, "exact": curve.exact, "falls_after": curve.falls_after, "surely": curve.surely}


def _costs(
    curve: Curve,
    scored: Mapping[str, Mapping[str, Scored]],
    problems: Sequence[Judged],
    tokens: Tokens,
    policy: Model,
    judge: Model,
) -> dict[int, Cost]:
    """What N samples cost, and judging them where the GRM picks. A judge reads and writes in proportion to N."""
    found = {}
    by_id = scored.get("grm", {}) if curve.name.removeprefix(WEIGHTED) == "grm" else {}
    drawn = sum(len(it.problem.samples) for it in problems)
    judged = Tokens(
        0.0, sum(it.read for it in by_id.values()) / drawn, sum(it.written for it in by_id.values()) / drawn, 0.0, True
    )
    for n in curve.points:
        cost = cost_of(policy, tokens, n)
        found[n] = cost.and_(cost_of(judge, judged, n)) if by_id else cost
    return found


def _cost_lines(report: BestOf, ns: list[int]) -> Iterator[str]:
    plain = report.costs[COVERAGE]
    judged = {name: costs for name, costs in report.costs.items() if costs != plain and not name.startswith(WEIGHTED)}
    ways = [("samples", plain), *judged.items()]
    for name, costs in ways:
        for what, values in (("FLOPs", [costs[n].flops for n in ns]), ("cost", [costs[n].money for n in ns])):
            if any(value is not None for value in values):
                row = "".join(f"{'?' if value is None else f'{value:.2g}':>8}" for value in values)
                yield f"{f'{what}, {name}':>{NAME_WIDTH}}{row}  per problem"
    if report.tokens.guessed and any(cost.flops or cost.money for cost in plain.values()):
        yield "Tokens that nobody has counted are taken as a fourth of the characters."
