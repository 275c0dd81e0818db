"""The files of a report for others: `leaderboard.json` for a leaderboard, `table.md` and `table.tex` for a paper."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from grm_plugin._util.files import replacing
from grm_plugin.evals.benchmarks.suite import OVERALL
from grm_plugin.evals.report import Report
from grm_plugin.evals.reports.result_tables import OfficialFigure, as_latex, as_markdown, result_table

LEADERBOARD_NAME, MARKDOWN_NAME, LATEX_NAME = "leaderboard.json", "table.md", "table.tex"

MODEL_TYPES = {"generative": "Generative RM", "scalar": "Seq. Classifier"}
"""Kind of judge -> what result files of RewardBench call it."""

NAMES = ("model", "model_type", "suite", "method", "rule", "overall")
"""Keys of a leaderboard's object that are not subsets."""

LeaderboardRow = dict[str, str | float]


def write_paper_files(report: Report, folder: Path, official: Sequence[OfficialFigure] = ()) -> list[Path]:
    """Write the three files, the same ones for the same report.

    Args:
        report: what to write.
        folder: where to; files of an earlier report are replaced.
        official: the figures by the benchmark's own rule, if there are any.

    Returns:
        The paths of the files.

    Raises:
        ConfigError: a file cannot be written.
    """
    table = result_table(report, official)
    rows = json.dumps(leaderboard_rows(report, official), indent=1, ensure_ascii=False, allow_nan=False)
    contents = {LEADERBOARD_NAME: rows + "\n", MARKDOWN_NAME: as_markdown(table), LATEX_NAME: as_latex(table)}
    paths = []
    for name, content in contents.items():
        with replacing(folder / name) as draft:
            # A lone surrogate in the name of a subset, which UTF-8 cannot hold, becomes its own JSON escape.
            draft.write_text(content, encoding="utf-8", errors="backslashreplace")
        paths.append(folder / name)
    return paths


def leaderboard_rows(report: Report, official: Sequence[OfficialFigure] = ()) -> list[LeaderboardRow]:
    """One flat object per voting method, each with the keys and values of a result file of RewardBench.

    `model`, `model_type`, and every subset with its figure in [0, 1]; besides, `suite`, `method`, `overall`, and
    `rule`: `official` where the figures follow the benchmark's own rule, `strict` where a tie is wrong. A row never
    mixes the two. Where a part has several metrics, the first has the part's name, and the others add theirs to it.
    """
    return [_row(report, method, official) for method in (row.method for row in report.overall())]


def _row(report: Report, method: str, official: Sequence[OfficialFigure]) -> LeaderboardRow:
    manifest = report.manifest
    row: LeaderboardRow = {
        "model": manifest.model,
        "model_type": MODEL_TYPES[manifest.judge],
        "suite": manifest.suite,
        "method": method,
    }
    figures = [(figure.part, figure.metric, figure.value) for figure in official if figure.method == method]
    row["rule"] = "official" if figures else "strict"
    for part, metric, value in figures or [
        (found.subset, found.metric, found.mean) for found in report.rows if found.method == method
    ]:
        name = "overall" if part == OVERALL else f"subset {part}" if part in NAMES else part
        row[name if name not in row else f"{name} {metric}"] = value
    return row
