"""Computes, prints and writes the reports of vote stores. Needs numpy; matplotlib for the curve."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from rich.console import Console

from grm_plugin._util.files import replacing
from grm_plugin.batch.exit_status import FAILED
from grm_plugin.batch.vote_store import read_store
from grm_plugin.errors import ConfigError
from grm_plugin.evals.analysis import analyse
from grm_plugin.evals.report import Report
from grm_plugin.evals.report_curve import draw_curve
from grm_plugin.evals.report_tables import show_differences, show_means, show_report
from grm_plugin.evals.several_reports import compare_models, mean_over_benchmarks

REPORT_NAME, CURVE_NAME = "report.json", "curve.png"


def report_stores(
    folders: Sequence[Path],
    output: Path | None,
    k_metas: Sequence[int],
    seed: int,
    console: Console,
    ids: Collection[str] | None = None,
    left_out: Mapping[str, int] | None = None,
) -> int:
    """Compute, print and write the reports of stores.

    Args:
        folders: of the stores. Several stores also give their mean, or their differences if they are of one benchmark.
        output: the folder to write to; None writes beside each store.
        k_metas, seed: as in `analyse`.
        console: for the tables.
        ids: the items to report; None reports all items that a store holds.
        left_out: reason -> number of items that the benchmark has and these are not among, for the report.

    Returns:
        The exit status of the command: 1 if there is a store of which not one vote could be read.

    Raises:
        ConfigError: a store is missing, empty or damaged, or the report cannot be written.
    """
    if output is not None and len(folders) > 1:
        raise ConfigError("--output takes the report of one --from; of several, each is written beside its store")
    reports = []
    for folder in folders:
        manifest, records = read_store(folder, texts=False)
        chosen = records if ids is None else [record for record in records if record.item.id in ids]
        report = analyse(manifest, chosen, k_metas, seed)
        show_report(report, console)
        where = output or (folder if folder.is_dir() else folder.parent)
        _write_report(report, where / REPORT_NAME, left_out or {})
        _draw_curve(report, where / CURVE_NAME, console)
        reports.append(report)
    if len(reports) > 1:
        _report_together(reports, console)
    return 0 if all(report.diagnostics.parsed for report in reports) else FAILED


def _report_together(reports: Sequence[Report], console: Console) -> None:
    """The mean over different benchmarks, or the differences between models on one."""
    suites = {report.manifest.suite for report in reports}
    if len(suites) == len(reports):
        show_means(mean_over_benchmarks(reports), console)
    elif len(suites) == 1:
        show_differences("models, paired", compare_models(reports), console)
    else:
        raise ConfigError("--from names some benchmarks twice: give different ones (their mean), or one (a comparison)")


def _write_report(report: Report, path: Path, left_out: Mapping[str, int]) -> None:
    content = report.to_json() | ({"left_out": dict(left_out)} if left_out else {})
    with replacing(path) as draft:
        draft.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def _draw_curve(report: Report, path: Path, console: Console) -> None:
    try:
        draw_curve(report, path)
    except ConfigError as error:  # the figures are written already: a missing picture must not cost them
        console.print(f"no curve: {error}", soft_wrap=True, markup=False, highlight=False)
    else:
        console.print(f"{path.with_name(REPORT_NAME)}, {path}", soft_wrap=True, markup=False, highlight=False)
