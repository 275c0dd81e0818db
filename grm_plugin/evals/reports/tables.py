"""Prints reports as tables on a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from grm_plugin.batch.statistics.clusters import FEWEST_ITEMS
from grm_plugin.evals.benchmarks.suite import OVERALL
from grm_plugin.evals.benchmarks.suites import suite_named
from grm_plugin.evals.official.rules import RULES
from grm_plugin.evals.report import Difference, Report
from grm_plugin.evals.reports import paper_tables
from grm_plugin.evals.reports.several import PAPERS_FOUR, BenchmarkMean
from grm_plugin.evals.voting_methods import GREEDY, SCALAR


def show_report(report: Report, console: Console) -> None:
    """Print a report: the overall figures beside the paper's, the differences, the subsets, and how the GRM behaved."""
    suite = suite_named(report.manifest.suite)
    console.print(f"\n[bold]{suite.title}[/bold]  {escape(report.manifest.model)}  {report.diagnostics.items:,} items")
    column = None if report.by_own_rule and report.by_own_rule.missing else suite.column
    console.print(_overall(report, column))
    for line in _official_lines(report):
        console.print(line, soft_wrap=True, highlight=False, markup=False)
    if column:
        rest = ", ".join(
            f"{model} {method} {value:.1f}" for model, method, value in paper_tables.of_other_models(column)
        )
        console.print(f"paper ({paper_tables.load()['source']}), {column}: {rest}", style="dim", highlight=False)
    if report.differences:
        show_differences("paired differences", _shown(report), console)
    if (parts := _subsets(report)) is not None:
        console.print(parts)
    for line in diagnostic_lines(report):
        console.print(line, soft_wrap=True, highlight=False, markup=False)


def show_means(means: Mapping[str, BenchmarkMean], console: Console) -> None:
    """Print the mean over several benchmarks, beside the paper's overall column where it is the paper's four."""
    titles = ("method", "strict [95 %]", "official", "ties at random", "benchmarks", "paper")
    table = _table("mean over the benchmarks", *titles)
    for method, mean in means.items():
        figure = paper_tables.published(paper_tables.OVERALL, method) if set(mean.suites) == set(PAPERS_FOUR) else None
        official = None if mean.official is None else 100 * mean.official
        table.add_row(
            method,
            _figure(mean.mean, mean.ci95),
            _percent(official),
            _percent(100 * mean.lenient),
            str(len(mean.suites)),
            _percent(figure),
        )
    console.print(table)


def diagnostic_lines(report: Report) -> list[str]:
    """What else a reader of the figures has to know: lost votes, tokens, figures near chance."""
    found = report.diagnostics
    lines = [f"{found.parsed:,} of {found.votes:,} votes read"]
    if found.tokens_per_item:  # recorded judgements and scalar models have none
        lines[0] += f"; {found.tokens_per_vote:,.0f} tokens per vote, {found.tokens_per_item:,.0f} per item"
    if found.reliability:
        needs = " and ".join(f"{votes:,} for {wanted}" for wanted, votes in found.votes_for.items() if votes)
        lines.append(f"one vote has a reliability of {found.reliability:.2f}: {needs} (grm-plugin votes says more)")
    if found.lost:
        lines.append("lost votes: " + ", ".join(f"{reason} {count:,}" for reason, count in found.lost.items()))
    if found.unvoted:
        lines.append(f"{found.unvoted:,} items without a single vote: they count as wrong")
    if found.cut:
        lines.append(f"{found.cut:,} items had responses cut to fit (judge.max_response_chars, engine.max_model_len)")
    if found.unrated:
        lines.append(f"{found.unrated:,} items have votes that the meta RM did not rate: all of them are kept")
    if near_chance(report):
        lines.append(
            f"Near chance: by its interval no figure is above guessing ({report.chance:.1%}). The model knows nothing "
            "about these items, could not be shown them, or wrote nothing that can be read: the curve does not show "
            "what voting gains"
        )
    return lines


def near_chance(report: Report) -> bool:
    """Whether no method is above guessing: even the interval with ties broken by chance begins at or below chance.

    Of too few items nothing is said.
    """
    return report.diagnostics.items >= FEWEST_ITEMS and all(
        row.lenient_ci95[0] <= report.chance for row in report.overall()
    )


def show_differences(title: str, differences: Sequence[Difference], console: Console) -> None:
    """Print paired differences by each rule, and what follows from them together."""
    rules = list(dict.fromkeys(found.rule for found in differences))
    table = _table(title, "", *(cell for rule in rules for cell in (f"{RULE_NAMES[rule]}, points [95 %]", "")))
    rows = {(found.method, found.rule): found for found in differences}
    for method in dict.fromkeys(found.method for found in differences):
        cells = []
        for rule in rules:
            found = rows.get((method, rule))
            cells += ["", ""] if found is None else [_points(found), found.verdict]
        table.add_row(escape(method), *cells)
    console.print(table)
    most = max(found.compared for found in differences)
    if most > 1:
        console.print(f"verdicts: corrected for {most} comparisons", style="dim", highlight=False)


RULE_NAMES = {"strict": "ties wrong", "lenient": "ties at random", "official": "official"}
"""Rule -> how tables call it."""


def _overall(report: Report, column: str | None) -> Table:
    own = {row.method: row for row in report.official if row.part == OVERALL}
    titles = [_metric(report), *([f"official {next(iter(own.values())).metric} [95 %]"] if own else [])]
    titles += ["ties at random" if _is_accuracy(report) else "with votes", "ties", "no vote"]
    table = _table("", "method", *titles)
    if column:
        table.add_column(f"paper, {paper_tables.GRM}", justify="right")
    for row in report.overall():
        cells = [row.method, _figure(row.mean, row.ci95)]
        if own:
            cells.append(_figure(own[row.method].value, own[row.method].ci95))
        cells += [_percent(100 * row.lenient), f"{row.ties:.1%}", f"{row.lost:.1%}"]
        table.add_row(*cells, *([_percent(paper_tables.published(column, row.method))] if column else []))
    return table


def _official_lines(report: Report) -> list[str]:
    """By which rule the official figures are made, and why there is none."""
    suite, own = suite_named(report.manifest.suite), report.by_own_rule
    if own is None:
        if suite.name in RULES:
            return [f"no official figure: {suite.title} asks for labels, and a scalar model's logits have no threshold"]
        return []
    checked = "" if own.rule.verified else " (by its published formulas; not compared with its code)"
    lines = [f"official, {own.rule.code} {own.rule.version}{checked}: {own.rule.says}"]
    if own.missing:
        lines.append(
            f"no official figure, missing in the data: {', '.join(own.missing)}; the strict figure is over the rest"
        )
    return lines


def _subsets(report: Report) -> Table | None:
    """The parts of the benchmark by its own rule, or the subsets by the strict one; by the methods that matter most."""
    k = report.manifest.k
    most = dict.fromkeys((GREEDY.name, "@1", f"@{k}", f"meta@{k}", SCALAR))
    wanted = [name for name in most if name in report.estimates]
    own = {(row.part, row.method): (row.n, row.value, row.ci95) for row in report.official if row.part}
    strict = {(row.subset, row.method): (row.n, row.mean, row.ci95) for row in report.rows if row.subset}
    figures = own or strict
    names = list(dict.fromkeys(name for name, _ in figures))
    if len(names) < 2:
        return None
    table = _table("official parts" if own else "subsets", "", "items", *wanted)
    for name in names:
        found = [figures[name, method] for method in wanted]
        table.add_row(escape(name), str(found[0][0]), *[_figure(value, ci95) for _, value, ci95 in found])
    return table


def _shown(report: Report) -> list[Difference]:
    """The overall differences by the strict rule, and by the official one or else with ties broken by chance."""
    second = "official" if report.by_own_rule and report.by_own_rule.estimates else "lenient"
    shown = ("strict",) if not _is_accuracy(report) and second == "lenient" else ("strict", second)
    return [found for rule in shown for found in report.differences if found.rule == rule and not found.subset]


def _points(found: Difference) -> str:
    low, high = found.ci95
    return f"{100 * found.mean:+.1f} [{100 * low:+.1f}, {100 * high:+.1f}]"


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title or None, title_justify="left", title_style="bold", box=None, pad_edge=False)
    for index, column in enumerate(columns):
        table.add_column(column, justify="left" if index == 0 else "right", no_wrap=True)
    return table


def _metric(report: Report) -> str:
    return "strict accuracy [95 %]" if _is_accuracy(report) else "ROC-AUC [95 %]"


def _is_accuracy(report: Report) -> bool:
    return report.rows[0].metric == "accuracy"


def _figure(mean: float, interval: tuple[float, float]) -> str:
    low, high = interval
    return f"{100 * mean:.1f} [{100 * low:.1f}, {100 * high:.1f}]"


def _percent(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"
