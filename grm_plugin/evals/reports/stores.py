"""Computes, prints and writes the reports of vote stores. Needs numpy; matplotlib for the curve."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from rich.console import Console

from grm_plugin._util.files import replacing
from grm_plugin.batch.exit_status import FAILED
from grm_plugin.batch.vote_store import read_store
from grm_plugin.errors import ConfigError
from grm_plugin.evals.analysis import analyse
from grm_plugin.evals.bias.lines import bias_lines
from grm_plugin.evals.bias.panel import BiasPanel, bias_panel
from grm_plugin.evals.bias.picture import draw_bias
from grm_plugin.evals.report import Report
from grm_plugin.evals.reported_k import require_k_meta, with_reported_k
from grm_plugin.evals.reports.curve import draw_curve
from grm_plugin.evals.reports.paper_files import write_paper_files
from grm_plugin.evals.reports.several import compare_models, mean_over_benchmarks
from grm_plugin.evals.reports.tables import show_differences, show_means, show_report

REPORT_NAME, CURVE_NAME, BIAS_NAME = "report.json", "curve.png", "bias.png"


def report_stores(
    folders: Sequence[Path],
    output: Path | None,
    k_metas: Sequence[int],
    seed: int,
    console: Console,
    ids: Collection[str] | None = None,
    left_out: Mapping[str, int] | None = None,
    k: int | None = None,
    name: str | None = None,
) -> int:
    """Compute, print and write the reports of stores.

    Args:
        folders: of the stores. Several stores also give their mean, or their differences if they are of one benchmark.
        output: the folder to write to; None writes beside each store.
        k_metas, seed: as in `analyse`.
        console: for the tables.
        ids: the items to report; None reports all items that a store holds.
        left_out: reason -> number of items that the benchmark has and these are not among, for the report.
        k: report methods of up to k votes; None takes as many votes as all items have.
        name: what to call the model; None takes the name in the store, which is that of the first run.

    Returns:
        The exit status of the command: 1 if there is a store of which not one vote could be read.

    Raises:
        ConfigError: a store is missing, empty or damaged, has fewer votes than `k` or `k_metas` ask for, or the
            report cannot be written.
    """
    if output is not None and len(folders) > 1:
        raise ConfigError("--output takes the report of one --from; of several, each is written beside its store")
    reports = []
    for folder in folders:
        manifest, records = read_store(folder, texts=False)
        manifest = manifest if name is None else replace(manifest, model=name)
        chosen = records if ids is None else [record for record in records if record.item.id in ids]
        manifest, note = with_reported_k(manifest, chosen, k, folder)
        if note:
            console.print(note, soft_wrap=True, markup=False, highlight=False)
        require_k_meta(k_metas, manifest.k)
        report = analyse(manifest, chosen, k_metas, seed)
        panel = bias_panel(manifest, chosen, report.overall())
        show_report(report, console)
        for line in bias_lines(panel):
            console.print(line, soft_wrap=True, markup=False, highlight=False)
        where = output or (folder if folder.is_dir() else folder.parent)
        _write_report(report, panel, where / REPORT_NAME, left_out or {})
        written = [where / REPORT_NAME, *write_paper_files(report, where, report.official)]
        written += _draw(partial(draw_curve, report), where / CURVE_NAME, console)
        written += _draw(partial(draw_bias, panel), where / BIAS_NAME, console)
        console.print(", ".join(map(str, written)), soft_wrap=True, markup=False, highlight=False)
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


def _write_report(report: Report, panel: BiasPanel, path: Path, left_out: Mapping[str, int]) -> None:
    content = report.to_json() | {"bias": panel.to_json()} | ({"left_out": dict(left_out)} if left_out else {})
    with replacing(path) as draft:
        draft.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def _draw(draw: Callable[[Path], None], path: Path, console: Console) -> list[Path]:
    """The path, if the picture could be drawn: a missing picture must not cost the figures, which are written."""
    try:
        with warnings.catch_warnings():  # about signs of a name that matplotlib's font has not: it draws boxes for them
            warnings.filterwarnings("ignore", message="Glyph")
            draw(path)
    except ConfigError as error:
        console.print(f"no {path.stem}: {error}", soft_wrap=True, markup=False, highlight=False)
        return []
    return [path]
