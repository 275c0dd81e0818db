"""Reports that are set beside each other."""

from __future__ import annotations

import pytest

from grm_plugin.evals.analysis import analyse
from grm_plugin.evals.reports.several import compare_models
from support.vote_factories import make_record, manifest, vote


def test_models_of_one_name_are_told_apart() -> None:
    reports = [
        analyse(
            manifest(k=1),
            [make_record(votes=[vote(9, 1) if index < hits else vote(1, 9)], name=str(index)) for index in range(40)],
        )
        for hits in (10, 20, 40)
    ]
    means = {found.method: found.mean for found in compare_models(reports) if found.rule == "strict"}
    assert means == pytest.approx({"@1: a model (2) - a model": 0.25, "@1: a model (3) - a model": 0.75})
