"""The files for leaderboards and papers."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

from grm_plugin.evals.analysis import analyse
from grm_plugin.evals.report import Report
from grm_plugin.evals.reports.paper_files import leaderboard_rows, write_paper_files
from grm_plugin.evals.reports.result_tables import result_table
from support.vote_factories import make_record, manifest, vote


@dataclass(frozen=True)
class Official:
    part: str
    method: str
    metric: str
    value: float
    ci95: tuple[float, float] = (0.25, 0.75)
    n: int = 4


def report(subsets: tuple[str, str] = ("easy", "hard_1"), model: str = "org/GRM_27B") -> Report:
    """Four items of one vote: in the first subset both right, in the second one right and one tied."""
    votes = [(9, 1), (9, 1), (9, 1), (5, 5)]
    records = [
        make_record([vote(*scores)], name=f"item {number}", subset=subsets[number // 2])
        for number, scores in enumerate(votes)
    ]
    return analyse(replace(manifest(k=1), model=model), records)


def official() -> list[Official]:
    parts = (("", "accuracy", 0.875), ("", "f1", 0.5), ("easy", "accuracy", 1.0), ("hard_1", "accuracy", 0.75))
    return [Official(part, "@1", metric, value) for part, metric, value in parts]


def test_a_leaderboards_object_is_flat_and_strict_without_a_rule_of_the_benchmark() -> None:
    assert leaderboard_rows(report()) == [
        {
            "model": "org/GRM_27B",
            "model_type": "Generative RM",
            "suite": "jsonl",
            "method": "@1",
            "rule": "strict",
            "overall": 0.75,
            "easy": 1.0,
            "hard_1": 0.5,
        }
    ]


def test_official_figures_take_the_place_of_all_strict_ones() -> None:
    (row,) = leaderboard_rows(report(), official())
    figures = {key: value for key, value in row.items() if isinstance(value, float)}
    assert row["rule"] == "official"
    assert figures == {"overall": 0.875, "overall f1": 0.5, "easy": 1.0, "hard_1": 0.75}
    (row,) = leaderboard_rows(report(), [each for each in official() if each.part])
    assert "overall" not in row  # a benchmark that is not complete has no composite


def test_a_subset_with_the_name_of_a_key_takes_nothing_away() -> None:
    (row,) = leaderboard_rows(report(("model", "overall")))
    assert (row["model"], row["overall"]) == ("org/GRM_27B", 0.75)
    assert (row["subset model"], row["subset overall"]) == (1.0, 0.5)


def test_a_scalar_model_is_called_a_classifier() -> None:
    found = report()
    scalar = replace(found, manifest=replace(found.manifest, judge="scalar"))
    assert leaderboard_rows(scalar)[0]["model_type"] == "Seq. Classifier"


def test_the_table_has_strict_and_official_figures_then_subsets() -> None:
    table = result_table(report(), official())
    assert table.headings == ("method", "strict accuracy", "official accuracy", "official f1", "n", "easy", "hard_1")
    (row,) = table.rows
    assert row[0] == "@1"
    assert row[1].startswith("75.0 [")
    assert row[2:] == ("87.5 [25.0, 75.0]", "50.0 [25.0, 75.0]", "4", "100.0", "75.0")


def test_strict_columns_beside_official_ones_say_so() -> None:
    partly = [each for each in official() if each.part != "hard_1"]
    assert result_table(report(), partly).headings[-2:] == ("easy", "hard_1 (strict)")
    assert result_table(report()).headings == ("method", "strict accuracy", "n", "easy", "hard_1")


def test_the_files_are_escaped_and_always_the_same(tmp_path: Path) -> None:
    found = report(model="a_b|c & 5 %")
    paths = write_paper_files(found, tmp_path, official())
    first = [path.read_bytes() for path in paths]
    assert [path.name for path in paths] == ["leaderboard.json", "table.md", "table.tex"]
    assert [path.read_bytes() for path in write_paper_files(found, tmp_path, official())] == first
    assert json.loads(first[0])[0]["model"] == "a_b|c & 5 %"
    markdown, latex = first[1].decode().splitlines(), first[2].decode()
    assert markdown[0] == r"items: a\_b\|c \& 5 %"
    assert markdown[2].endswith(r"| n | easy | hard\_1 |")
    assert markdown[3] == "| --- | ---: | ---: | ---: | ---: | ---: | ---: |"
    assert markdown[4].startswith(r"| @1 | 75.0 \[")
    assert r"\caption{items: a\_b\textbar{}c \& 5 \%. " in latex
    assert r"\begin{tabular}{lrrrrrr}" in latex
    assert latex.index(r"\toprule") < latex.index(r"hard\_1 \\") < latex.index(r"\midrule") < latex.index("@1 & 75.0")
