"""Draws the scaling curve as a PNG: accuracy over the number of votes, with and without the meta RM."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from grm_plugin._util.files import replacing
from grm_plugin._util.packages import require
from grm_plugin.evals.benchmarks.suites import suite_named
from grm_plugin.evals.report import Report, ResultRow
from grm_plugin.evals.voting_methods import GREEDY

BLUE, ORANGE, GREY = "#1f6feb", "#d9480f", "#57606a"


def draw_curve(report: Report, path: Path) -> None:
    """Draw the overall figures of a report over k (log2 axis), with their intervals.

    Raises:
        ConfigError: matplotlib is not installed, or the file cannot be written.
    """
    require("matplotlib", what="the curve")
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4.4), dpi=160)
    rows = report.overall()
    ticks = [row.k for row in rows if row.k_meta is None and row.k]
    ends = [_curve(axes, [row for row in rows if row.k_meta is None and row.k], "k votes", BLUE, "o")]
    half = [row for row in rows if row.k_meta is not None and "/" not in row.method]
    if half:
        ends.append(_curve(axes, half, "k votes, the better half by the meta RM", ORANGE, "s"))
    for row in (row for row in rows if row.method == GREEDY.name):
        axes.axhspan(100 * row.ci95[0], 100 * row.ci95[1], color=GREY, alpha=0.10, lw=0)
        axes.axhline(100 * row.mean, color=GREY, ls="--", lw=1.4, label="greedy (one vote, T = 0)")
    axes.axhline(100 * report.chance, color=GREY, ls=":", lw=1, label="guessing")
    _label_ends(axes, ends)
    _label_axes(axes, report, ticks)
    try:
        with replacing(path) as draft:
            figure.savefig(draft, format="png", bbox_inches="tight")
    finally:
        pyplot.close(figure)


def _curve(axes: Any, rows: Sequence[ResultRow], label: str, color: str, marker: str) -> tuple[float, float, str]:
    """Draw one curve with its interval; returns its last point and its colour."""
    ks, means = [row.k for row in rows], [100 * row.mean for row in rows]
    axes.fill_between(
        ks, [100 * row.ci95[0] for row in rows], [100 * row.ci95[1] for row in rows], color=color, alpha=0.15, lw=0
    )
    axes.plot(ks, means, color=color, marker=marker, ms=5, lw=2, label=label)
    return ks[-1], means[-1], color


def _label_ends(axes: Any, ends: Sequence[tuple[float, float, str]]) -> None:
    """Write its last figure at the end of each curve: above the highest curve, below the others."""
    for place, (k, mean, color) in enumerate(sorted(ends, key=lambda end: -end[1])):
        shift = 5 if place == 0 else -13
        axes.annotate(f"{mean:.1f}", (k, mean), xytext=(6, shift), textcoords="offset points", color=color)


def _label_axes(axes: Any, report: Report, ticks: Sequence[int]) -> None:
    suite = suite_named(report.manifest.suite)
    metric = "accuracy, ties count as wrong" if report.rows[0].metric == "accuracy" else "ROC-AUC"
    axes.set_xscale("log", base=2)
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.minorticks_off()
    axes.set_xlim(ticks[0] / 1.15, ticks[-1] * 1.35)
    axes.set_xlabel("votes (k)")
    axes.set_ylabel(f"{metric} (%)")
    axes.set_title(
        f"{suite.title}: {report.manifest.model}, {report.diagnostics.items:,} items, 95 % intervals",
        fontsize=10,
        parse_math=False,  # names of models may hold dollar signs
    )
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=9, loc="best")
