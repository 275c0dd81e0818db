"""Draws the bias panel as a PNG: one small picture per measure that could be made."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from grm_plugin._util.files import replacing
from grm_plugin._util.packages import require
from grm_plugin.batch.statistics.clusters import FEWEST_ITEMS
from grm_plugin.batch.statistics.shares import Share
from grm_plugin.evals.benchmarks.suites import suite_named
from grm_plugin.evals.bias.panel import BiasPanel
from grm_plugin.evals.bias.traits import MARKDOWN, TraitBias
from grm_plugin.evals.reports.curve import BLUE, GREY, ORANGE
from grm_plugin.types import MAX_SCORE, MIN_SCORE

COLUMNS = 3
"""Small pictures side by side."""

Drawing = Callable[[Any], None]
"""Draws one small picture on matplotlib's axes."""


def draw_bias(panel: BiasPanel, path: Path) -> None:
    """Draw all measures that the panel has, with their 95 % intervals.

    Raises:
        ConfigError: matplotlib is not installed, or the file cannot be written.
    """
    require("matplotlib", what="the picture of the biases")
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    drawings = _drawings(panel)
    columns = min(COLUMNS, max(1, len(drawings)))
    rows = max(1, math.ceil(len(drawings) / columns))
    size = (4.5 * columns, 0.7 + 3.7 * rows)
    figure, grid = pyplot.subplots(rows, columns, figsize=size, dpi=130, squeeze=False)
    for place, axes in enumerate(grid.flat):
        if place < len(drawings):
            axes.grid(alpha=0.25)
            axes.set_axisbelow(True)
            axes.spines[["top", "right"]].set_visible(False)
            drawings[place](axes)
        else:
            axes.set_visible(False)
    few = f": too few to conclude anything, {FEWEST_ITEMS} are needed" if panel.items < FEWEST_ITEMS else ""
    figure.suptitle(
        f"{suite_named(panel.suite).title}: {panel.model}, {panel.items:,} items{few}; 95 % intervals",
        fontsize=11,
        parse_math=False,  # names of models may hold dollar signs
    )
    figure.tight_layout(h_pad=2.0, w_pad=1.5)
    try:
        with replacing(path) as draft:
            figure.savefig(draft, format="png")
    finally:
        pyplot.close(figure)


def _drawings(panel: BiasPanel) -> list[Drawing]:
    known: list[tuple[bool, Callable[[BiasPanel, Any], None]]] = [
        (any(found.right_has_more or found.right_has_less for found in panel.traits), _traits),
        (not any(found.wins for found in panel.traits) and any(found.correlation for found in panel.traits), _ranks),
        (panel.position is not None, _position),
        (panel.scale is not None and bool(panel.scale.histogram), _scale),
        (panel.calibration is not None, _calibration),
        (bool(panel.costs), _costs),
        (panel.critiques is not None, _critiques),
    ]

    def bound(draw: Callable[[BiasPanel, Any], None]) -> Drawing:
        return lambda axes: draw(panel, axes)

    return [bound(draw) for there, draw in known if there]


def _traits(panel: BiasPanel, axes: Any) -> None:
    found = [trait for trait in panel.traits if trait.right_has_more or trait.right_has_less]
    for place, trait in enumerate(found):
        sides = ((trait.right_has_more, -0.14, ORANGE, "o"), (trait.right_has_less, 0.14, BLUE, "s"))
        for share, shift, color, marker in sides:
            if share is not None:
                _bar(axes, share, place + shift, color, marker)
    axes.plot([], [], color=ORANGE, marker="o", ls="", label="the right response has more of it")
    axes.plot([], [], color=BLUE, marker="s", ls="", label="the right response has less of it")
    axes.set_yticks(range(len(found)), [_named(trait) for trait in found])
    axes.set_ylim(len(found) - 0.5, -0.5)
    axes.set_xlim(0, 102)
    axes.set_xlabel("pairs judged right (%); apart = bias")
    axes.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(-0.02, -0.17), ncols=1)
    axes.set_title("Length and Markdown", fontsize=10)


def _ranks(panel: BiasPanel, axes: Any) -> None:
    found = [(_named(trait), trait.correlation) for trait in panel.traits if trait.correlation]
    for place, (_, correlation) in enumerate(found):
        low, high = correlation.ci95
        axes.plot([low, high], [place, place], color=BLUE, lw=2, alpha=0.5)
        axes.plot([correlation.value], [place], color=BLUE, marker="o")
    axes.axvline(0, color=GREY, ls=":", lw=1)
    axes.set_yticks(range(len(found)), [name for name, _ in found])
    axes.set_ylim(len(found) - 0.5, -0.5)
    axes.set_xlim(-1.02, 1.02)
    axes.set_xlabel("rank correlation with the score, right and wrong apart")
    axes.set_title("Length and Markdown", fontsize=10)


def _position(panel: BiasPanel, axes: Any) -> None:
    found = panel.position
    assert found is not None
    rows: list[tuple[str, Share]] = [("first one wins", found.first)]
    if found.flips:
        rows.append(("winner differs,\ndifferent orders", found.flips.different))
    if found.flips and found.flips.same:
        rows.append(("winner differs,\nsame order", found.flips.same))
    for place, (_, share) in enumerate(rows):
        _bar(axes, share, place, GREY if place == 2 else BLUE, "o")
        axes.annotate(
            f"{share.value:.1%}",
            (100 * share.value, place),
            xytext=(0, 9),
            textcoords="offset points",
            ha="center",
            fontsize=8,
        )
    axes.plot([100 * found.by_chance] * 2, [-0.4, 0.4], color=GREY, ls=":", lw=1.5)
    axes.annotate("chance", (100 * found.by_chance, 0.4), fontsize=8, color=GREY, ha="center", va="top")
    axes.set_yticks(range(len(rows)), [name for name, _ in rows])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xlim(0, 102)
    axes.set_xlabel("votes; pairs of votes (%)")
    axes.set_title("Position", fontsize=10)


def _scale(panel: BiasPanel, axes: Any) -> None:
    from matplotlib.ticker import MaxNLocator

    found = panel.scale
    assert found is not None
    assert found.histogram is not None
    shares = [100 * count / found.scores for count in found.histogram.values()]
    axes.bar(list(found.histogram), shares, color=BLUE, alpha=0.8, width=0.85)
    ends = min(found.histogram), max(found.histogram)
    axes.set_xlim(min(MIN_SCORE, ends[0]) - 0.6, max(MAX_SCORE, ends[1]) + 0.6)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=12, integer=True))
    axes.set_xlabel("score")
    axes.set_ylabel("scores (%)")
    tied = f", shared first places {found.tied.value:.1%}" if found.tied else ""
    axes.set_title(f"Scale: deviation {found.deviation:.2f}{tied}", fontsize=10)


def _calibration(panel: BiasPanel, axes: Any) -> None:
    found = panel.calibration
    assert found is not None
    percent = 1 if found.of == "scores" else 100
    for each in found.bins:
        low, high = each.right.ci95
        axes.plot([percent * each.predicted] * 2, [100 * low, 100 * high], color=BLUE, lw=2, alpha=0.5)
    axes.plot(
        [percent * each.predicted for each in found.bins],
        [100 * each.right.value for each in found.bins],
        color=BLUE,
        marker="o",
    )
    axes.set_ylim(0, 102)
    axes.set_ylabel("right (%)")
    if found.expected_error is None:
        axes.set_xlabel("mean score of the response")
        axes.set_title("Scores and being right", fontsize=10)
        return
    axes.plot([0, 100], [0, 100], color=GREY, ls=":", lw=1)
    lowest = min(100 * each.predicted for each in found.bins)
    axes.set_xlim(max(0, lowest - 5), 102)
    axes.set_xlabel("agreement of the votes (%)" if found.of == "votes" else "probability by the logits (%)")
    axes.set_title(
        f"Calibration: expected error {found.expected_error:.1%}, Brier {found.brier:.3f}",
        fontsize=10,
    )


def _costs(panel: BiasPanel, axes: Any) -> None:
    from matplotlib.ticker import LogLocator

    for filtered, color, marker in ((False, BLUE, "o"), (True, ORANGE, "s")):
        costs = sorted(
            (cost for cost in panel.costs if cost.method.startswith("meta") is filtered), key=lambda cost: cost.tokens
        )
        for cost in costs:
            low, high = cost.ci95
            axes.plot([cost.tokens] * 2, [100 * low, 100 * high], color=color, lw=2, alpha=0.35)
            axes.annotate(
                cost.method, (cost.tokens, 100 * cost.mean), xytext=(4, 4), textcoords="offset points", fontsize=8
            )
        line = [cost for cost in costs if cost.method.startswith(("@", "meta")) and "/" not in cost.method]
        axes.plot([cost.tokens for cost in line], [100 * cost.mean for cost in line], color=color, lw=1, alpha=0.6)
        axes.plot(
            [cost.tokens for cost in costs], [100 * cost.mean for cost in costs], color=color, marker=marker, ls=""
        )
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.minorticks_off()
    axes.set_xlabel("generated tokens per item")
    axes.set_ylabel("accuracy or AUC (%)")
    axes.set_title("What tokens buy", fontsize=10)


def _critiques(panel: BiasPanel, axes: Any) -> None:
    found = panel.critiques
    assert found is not None
    for quarter in found.quarters:
        low, high = quarter.right.ci95
        axes.plot([quarter.tokens] * 2, [100 * low, 100 * high], color=BLUE, lw=2, alpha=0.5)
    axes.plot(
        [quarter.tokens for quarter in found.quarters],
        [100 * quarter.right.value for quarter in found.quarters],
        color=BLUE,
        marker="o",
    )
    axes.set_ylim(0, 102)
    axes.set_xlabel("tokens of the critique (mean of a quarter)")
    axes.set_ylabel("votes that are right (%)")
    axes.set_title("Length of the critiques", fontsize=10)


def _named(trait: TraitBias) -> str:
    return "all Markdown" if trait.trait == MARKDOWN else trait.trait


def _bar(axes: Any, share: Share, place: float, color: str, marker: str) -> None:
    """A share and its interval, lying."""
    axes.plot([100 * share.ci95[0], 100 * share.ci95[1]], [place, place], color=color, lw=2, alpha=0.5)
    axes.plot([100 * share.value], [place], color=color, marker=marker)
