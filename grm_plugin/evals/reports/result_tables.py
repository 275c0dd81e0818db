"""The figures of a report as one table, a row per voting method: for papers, in Markdown and in LaTeX."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from grm_plugin.evals.benchmarks.suite import OVERALL
from grm_plugin.evals.benchmarks.suites import suite_named
from grm_plugin.evals.report import Report
from grm_plugin.evals.reports.escaping import latex_cell, markdown_cell


class OfficialFigure(Protocol):
    """A figure by the benchmark's own rule.

    Attributes:
        part: the part of the benchmark; empty for all of it.
        method: the voting method, as in `ResultRow`.
        metric: such as `accuracy` or `f1`. Where a part has several, the first is its main one.
        value, ci95: in [0, 1], with its 95 % interval.
        n: number of items.
    """

    @property
    def part(self) -> str: ...
    @property
    def method(self) -> str: ...
    @property
    def metric(self) -> str: ...
    @property
    def value(self) -> float: ...
    @property
    def ci95(self) -> tuple[float, float]: ...
    @property
    def n(self) -> int: ...


@dataclass(frozen=True, slots=True)
class ResultTable:
    """Texts, not yet escaped: a heading per column, and rows with a cell per column. The first column is text."""

    title: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str


def result_table(report: Report, official: Sequence[OfficialFigure] = ()) -> ResultTable:
    """One row per method: the strict figure, the official ones, the number of items, then every subset.

    Subsets are official where the benchmark's own rule has a figure for them, else strict; such columns are headed so.
    """
    overall = report.overall()
    metrics = list(dict.fromkeys(figure.metric for figure in official if figure.part == OVERALL))
    strict = {(row.subset, row.method): row.mean for row in report.rows if row.subset != OVERALL}
    by_rule = {(figure.part, figure.method, figure.metric): figure for figure in official}
    parts = list(dict.fromkeys((figure.part, figure.metric) for figure in official if figure.part != OVERALL))
    main = dict(reversed(parts))  # part -> its first metric
    others = [name for name in dict.fromkeys(subset for subset, _ in strict) if name not in main]
    rows = []
    for row in overall:
        cells = [row.method, _with_interval(row.mean, row.ci95)]
        cells += [_official_cell(by_rule.get((OVERALL, row.method, metric))) for metric in metrics]
        cells.append(str(row.n))
        found = [by_rule.get((part, row.method, metric)) for part, metric in parts]
        cells += [_percent(figure.value) if figure else "" for figure in found]
        cells += [_percent(strict.get((name, row.method))) for name in others]
        rows.append(tuple(cells))
    headings = ["method", f"strict {_named(overall[0].metric)}", *(f"official {_named(metric)}" for metric in metrics)]
    headings += ["n", *(part if main[part] == metric else f"{part} {_named(metric)}" for part, metric in parts)]
    headings += [f"{name} (strict)" if parts else name for name in others]
    note = "In percent, with 95 % intervals in brackets. Strict: a tie is wrong, and so is an item without a vote."
    if official:
        note += " Official: by the benchmark's own rule."
    title = f"{suite_named(report.manifest.suite).title}: {report.manifest.model}"
    return ResultTable(title, tuple(headings), tuple(rows), note)


def as_markdown(table: ResultTable) -> str:
    """The table for GitHub: a line with its title, the table, and a line on how to read it."""
    rules = ["---", *["---:"] * (len(table.headings) - 1)]
    lines = [[markdown_cell(cell) for cell in row] for row in (table.headings, *table.rows)]
    shown = [f"| {' | '.join(cells)} |" for cells in (lines[0], rules, *lines[1:])]
    return "\n".join([markdown_cell(table.title), "", *shown, "", markdown_cell(table.note), ""])


def as_latex(table: ResultTable) -> str:
    """The table as a float for LaTeX, which needs the package booktabs."""
    columns = "l" + "r" * (len(table.headings) - 1)
    heading, *rows = (" & ".join(latex_cell(cell) for cell in row) + r" \\" for row in (table.headings, *table.rows))
    return "\n".join(
        [
            r"% \usepackage{booktabs}",
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{latex_cell(table.title)}. {latex_cell(table.note)}}}",
            rf"\begin{{tabular}}{{{columns}}}",
            r"\toprule",
            heading,
            r"\midrule",
            *rows,
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
            "",
        ]
    )


def _official_cell(figure: OfficialFigure | None) -> str:
    return _with_interval(figure.value, figure.ci95) if figure else ""


def _with_interval(value: float, ci95: tuple[float, float]) -> str:
    return f"{_percent(value)} [{_percent(ci95[0])}, {_percent(ci95[1])}]"


def _percent(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.1f}"


def _named(metric: str) -> str:
    return "ROC-AUC" if metric == "auc" else metric
