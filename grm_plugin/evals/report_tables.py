"""Prints reports as tables on a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table

from grm_plugin.evals import paper_tables
from grm_plugin.evals.report import Difference, Report, ResultRow
from grm_plugin.evals.several_reports import PAPERS_FOUR, BenchmarkMean
from grm_plugin.evals.suites import suite_named
from grm_plugin.evals.voting_methods import GREEDY


def show_report(report: Report, console: Console) -> None:
    """Print a report: the overall figures beside the paper's, the differences, the subsets, and how the GRM behaved."""
    suite = suite_named(report.manifest.suite)
    console.print(
        f"\n[bold]{suite.title}[/bold]  {_without_markup(report.manifest.model)}  {report.diagnostics.items:,} items"
    )
    console.print(_overall(report, suite.column))
    if suite.column:
        rest = ", ".join(
            f"{model} {method} {value:.1f}" for model, method, value in paper_tables.of_other_models(suite.column)
        )
        console.print(f"paper ({paper_tables.load()['source']}), {suite.column}: {rest}", style="dim", highlight=False)
    if report.differences:
        show_differences("paired differences", _shown(report), console)
    subsets = list(dict.fromkeys(row.subset for row in report.rows if row.subset))
    if len(subsets) > 1:
        console.print(_subsets(report, subsets))
    for line in diagnostic_lines(report):
        console.print(line, soft_wrap=True, highlight=False, markup=False)


def show_means(means: Mapping[str, BenchmarkMean], console: Console) -> None:
    """Print the mean over several benchmarks, beside the paper's overall column where it is the paper's four."""
    table = _table("mean over the benchmarks", "method", "mean [95 %]", "ties at random", "benchmarks", "paper")
    for method, mean in means.items():
        figure = paper_tables.published(paper_tables.OVERALL, method) if set(mean.suites) == set(PAPERS_FOUR) else None
        cells = (_figure(mean.mean, mean.ci95), _percent(100 * mean.lenient), str(len(mean.suites)), _percent(figure))
        table.add_row(method, *cells)
    console.print(table)


def diagnostic_lines(report: Report) -> list[str]:
    """What else a reader of the figures has to know: lost votes, tokens, position bias, figures near chance."""
    found = report.diagnostics
    lines = [
        f"{found.parsed:,} of {found.votes:,} votes read; {found.tokens_per_vote:,.0f} tokens per vote, "
        f"{found.tokens_per_item:,.0f} per item"
    ]
    if found.lost:
        lines.append("lost votes: " + ", ".join(f"{reason} {count:,}" for reason, count in found.lost.items()))
    if found.unvoted:
        lines.append(f"{found.unvoted:,} items without a single vote: they count as wrong")
    if found.cut:
        lines.append(f"{found.cut:,} items had responses cut to fit (judge.max_response_chars, engine.max_model_len)")
    if found.unrated:
        lines.append(f"{found.unrated:,} items have votes that the meta RM did not rate: all of them are kept")
    if found.first is not None and found.first_by_chance is not None:
        lines.append(
            f"position: the response shown first wins {found.first:.1%} of the decided votes "
            f"({found.first_by_chance:.1%} by chance)"
        )
    if found.flips is not None:
        lines.append(f"position: two orders of one item have different winners in {found.flips:.1%} of all cases")
    if near_chance(report):
        lines.append(
            f"Near chance: by its interval no figure is above guessing ({report.chance:.1%}). The model knows nothing "
            "about these items, could not be shown them, or wrote nothing that can be read: the curve does not show "
            "what voting gains"
        )
    return lines


def near_chance(report: Report) -> bool:
    """Whether no method is above guessing: even its lenient figure minus half the interval is not above chance."""
    return all(row.lenient - (row.mean - row.ci95[0]) <= report.chance for row in report.overall())


def _overall(report: Report, column: str | None) -> Table:
    table = _table(
        "", "method", _metric(report), "ties at random" if _is_accuracy(report) else "with votes", "ties", "no vote"
    )
    if column:
        table.add_column(f"paper, {paper_tables.GRM}", justify="right")
    for row in report.overall():
        cells = [
            row.method,
            _figure(row.mean, row.ci95),
            _percent(100 * row.lenient),
            f"{row.ties:.1%}",
            f"{row.lost:.1%}",
        ]
        table.add_row(*cells, *([_percent(paper_tables.published(column, row.method))] if column else []))
    return table


def show_differences(title: str, differences: Sequence[Difference], console: Console) -> None:
    """Print paired differences, and whether their intervals exclude zero."""
    table = _table(title, "", "points [95 %]", "")
    for found in differences:
        low, high = found.ci95
        verdict = "better" if low > 0 else "worse" if high < 0 else "not distinguishable"
        table.add_row(found.method, f"{100 * found.mean:+.1f} [{100 * low:+.1f}, {100 * high:+.1f}]", verdict)
    console.print(table)


def _subsets(report: Report, subsets: Sequence[str]) -> Table:
    """The subsets, by the few methods that matter most."""
    k = report.manifest.k
    methods = [name for name in (GREEDY.name, "@1", f"@{k}", f"meta@{k}") if name in report.estimates]
    table = _table("subsets", "subset", "items", *methods)
    figures: dict[tuple[str, str], ResultRow] = {(row.subset, row.method): row for row in report.rows}
    for subset in subsets:
        found = [figures[subset, method] for method in methods]
        table.add_row(subset, str(found[0].n), *[_figure(row.mean, row.ci95) for row in found])
    return table


def _shown(report: Report) -> list[Difference]:
    """The overall differences that are printed: @k - greedy, @K - @1 and meta@k - @k. report.json has all of them."""

    def wanted(method: str) -> bool:
        filtered, plain = method.startswith("meta"), method.endswith(f" - {GREEDY.name}")
        return filtered != plain or method == f"@{report.manifest.k} - @1"

    return [found for found in report.differences if not found.subset and wanted(found.method)]


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title or None, title_justify="left", title_style="bold", box=None, pad_edge=False)
    for index, column in enumerate(columns):
        table.add_column(column, justify="left" if index == 0 else "right", no_wrap=True)
    return table


def _metric(report: Report) -> str:
    return "accuracy [95 %]" if _is_accuracy(report) else "ROC-AUC [95 %]"


def _is_accuracy(report: Report) -> bool:
    return report.rows[0].metric == "accuracy"


def _figure(mean: float, interval: tuple[float, float]) -> str:
    low, high = interval
    return f"{100 * mean:.1f} [{100 * low:.1f}, {100 * high:.1f}]"


def _percent(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"


def _without_markup(text: str) -> str:
    return text.replace("[", r"\[")
