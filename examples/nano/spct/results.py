"""The results of a run: accuracies, paired differences between GRMs, tables of them, and a figure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from grm_plugin.batch.statistics.bootstrap import Bootstrap
from grm_plugin.batch.statistics.estimates import gap
from grm_plugin.batch.vote_store import ItemVotes, read_store
from grm_plugin.evals.analysis import analyse
from grm_plugin.evals.voting_methods import methods_for, outcome_of, tally_item

SUBSETS = ("pairs", "fours")
METHODS = ("greedy", "@1", "@8", "@32", "meta@8", "meta@32")
OUTCOME = "rl_outcome"
TITLES = {
    "sft": "SFT",
    "rft": "RFT",
    "rl": "RL",
    OUTCOME: "RL, meta RM on outcomes",
    "no_hint": "RFT, no hint",
    "no_rejection": "RFT, no rejection",
    "no_principles": "SFT, no principles",
    "rl_no_principles": "RL, no principles",
}
COMPARED = (
    ("rft", "sft"),
    ("rl", "sft"),
    ("rl", "rft"),
    ("rl", "rl_no_principles"),
    ("rft", "no_hint"),
    ("rft", "no_rejection"),
)
CLAIMS = ("@8 - greedy", "@32 - @8", "meta@8 - @8", "meta@32 - @32")
META = "meta@"
CURVES = (
    ("sft", "@", "#57606a", "o"),
    ("rft", "@", "#8250df", "^"),
    ("rl", "@", "#1f6feb", "o"),
    ("rl", META, "#d9480f", "s"),
)


@dataclass(frozen=True, slots=True)
class ResultRow:
    """One figure: accuracy of a method, or a paired difference, with its 95 % bootstrap interval over n items."""

    model: str
    method: str
    subset: str
    mean: float
    ci95: tuple[float, float]
    n: int


def collect(evaluations: Path) -> list[ResultRow]:
    """The rows of all vote stores under `evaluations`; a store NAME_meta_rm, whose votes are rated, replaces NAME.

    Of the votes rated by the meta RM that was trained on outcomes only the rows with a meta RM are taken: the others
    are those of the same votes without it.
    """
    folders = {name: folder for name in TITLES if (folder := _store_of(evaluations, name)).is_dir()}
    stores = {name: read_store(folder, texts=False) for name, folder in folders.items()}
    rows = []
    for name, (manifest, records) in stores.items():
        report = analyse(manifest, records)
        for found in (*report.rows, *report.differences):
            strict = getattr(found, "rule", "strict") == "strict"
            if strict and found.subset in SUBSETS and (name != OUTCOME or found.method.startswith(META)):
                rows.append(ResultRow(name, found.method, found.subset, found.mean, found.ci95, found.n))
    for better, worse in (pair for pair in COMPARED if stores.keys() >= set(pair)):
        rows += _differences(f"{better} - {worse}", stores[better][1], stores[worse][1])
    return rows


def table(rows: Sequence[ResultRow], subset: str) -> Table:
    """Accuracy of every GRM and method on one subset, in per cent."""
    shown = {(row.model, row.method): row for row in rows if row.subset == subset}
    methods = [method for method in METHODS if any(key[1] == method for key in shown)]
    grid = Table(title=f"{subset}: accuracy in %, ties count as wrong; 95 % intervals over items")
    for column in ("GRM", *methods):
        grid.add_column(column)
    for name, title in TITLES.items():
        if any(key[0] == name for key in shown):
            grid.add_row(title, *(_cell(shown.get((name, method))) for method in methods))
    return grid


def comparisons(rows: Sequence[ResultRow], subset: str) -> Table:
    """The paired differences that the claims are about, in points."""
    grid = Table(title=f"{subset}: paired differences in points, 95 % intervals")
    for column in ("GRM", "method", "points"):
        grid.add_column(column)
    for row in rows:
        between = " - " in row.model and row.method in METHODS
        if row.subset == subset and (between or row.method in CLAIMS):
            grid.add_row(TITLES.get(row.model, row.model), row.method, _cell(row, sign="+"))
    return grid


def draw(rows: Sequence[ResultRow], path: Path) -> None:
    """The scaling curves of SFT, RFT and RL, and of RL with the meta RM: one panel per subset."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(1, len(SUBSETS), figsize=(10, 4.2), dpi=140, layout="constrained")
    for axes, subset in zip(panels, SUBSETS, strict=True):
        own = [row for row in rows if row.subset == subset]
        for model, prefix, color, marker in CURVES:
            _draw_curve(axes, [row for row in own if row.model == model], prefix, color, marker)
        ticks = sorted({k for row in own if (k := _k(row, "@"))})
        axes.set_xscale("log", base=2)
        axes.set_xticks(ticks, [str(tick) for tick in ticks])
        axes.minorticks_off()
        axes.set(title=subset, xlabel="votes (k)", ylabel="accuracy, ties count as wrong (%)")
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    panels[-1].legend(frameon=False, fontsize=8, loc="upper left")
    figure.savefig(path)
    pyplot.close(figure)


def _draw_curve(axes: Any, rows: Sequence[ResultRow], prefix: str, color: str, marker: str) -> None:
    """One curve with its band; a dashed line for greedy beside the curve of plain votes."""
    points = sorted((k, row.mean, *row.ci95) for row in rows if (k := _k(row, prefix)))
    if not points:
        return
    ks, means, lows, highs = zip(*points, strict=True)
    label = TITLES[rows[0].model] + (", better half by the meta RM" if prefix == META else "")
    axes.fill_between(ks, [100 * low for low in lows], [100 * high for high in highs], color=color, alpha=0.1, lw=0)
    axes.plot(ks, [100 * mean for mean in means], color=color, marker=marker, ms=4, label=label)
    for row in rows:
        if row.method == "greedy" and prefix != META:
            axes.axhline(100 * row.mean, color=color, ls="--", lw=1, label=f"{label}, greedy")


def write(rows: Sequence[ResultRow], path: Path) -> None:
    """`[{model, method, subset, mean, ci95, n}]`, where differences have ` - ` in their model or method."""
    path.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n", encoding="utf-8")


def _store_of(evaluations: Path, name: str) -> Path:
    rated = evaluations / ("rl_meta_rm_outcome" if name == OUTCOME else f"{name}_meta_rm")
    return rated if rated.is_dir() else evaluations / name


def _k(row: ResultRow, prefix: str) -> int:
    """The k of a row whose method is the prefix and a number, like @8 or meta@8; 0 for any other row."""
    number = row.method.removeprefix(prefix)
    return int(number) if row.method.startswith(prefix) and number.isdigit() else 0


def _differences(name: str, better: Sequence[ItemVotes], worse: Sequence[ItemVotes]) -> list[ResultRow]:
    """The differences per subset and method, over the items that both stores have."""
    rng = np.random.default_rng(0)
    sides = [{record.item.id: record for record in side} for side in (better, worse)]
    methods = methods_for(min(len(side[0].votes) for side in (better, worse)), greedy=True, rated=False)
    rows = []
    for subset in SUBSETS:
        ids = [id_ for id_, record in sides[0].items() if record.item.subset == subset and id_ in sides[1]]
        if not ids:
            continue
        bootstrap, everything = Bootstrap([sides[0][id_].item for id_ in ids], [0]), np.arange(len(ids))
        better_ones, worse_ones = (
            bootstrap.means(
                np.array([outcome_of(tally_item(side[id_], methods, rng), side[id_].item.best).right for id_ in ids]).T,
                everything,
            )
            for side in sides
        )
        for method, first, second in zip(methods, better_ones, worse_ones, strict=True):
            found = gap(first, second)
            rows.append(ResultRow(name, method.name, subset, found.value, found.interval(), len(ids)))
    return rows


def _cell(row: ResultRow | None, sign: str = "") -> str:
    if row is None:
        return ""
    mean, low, high = (f"{100 * value:{sign}.1f}" for value in (row.mean, *row.ci95))
    return f"{mean} [{low}, {high}]"
