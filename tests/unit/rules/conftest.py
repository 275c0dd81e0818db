from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from grm_plugin.rules.runner import RuleRunner
from support.rule_files import RULES, Runner


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    (tmp_path / "helper_beside_the_rules.py").write_text("HALF = 0.5\n")
    path = tmp_path / "rules.py"
    path.write_text(RULES)
    return path


@pytest.fixture
def runner(rules: Path) -> Iterator[Runner]:
    """Makes runners of functions in the file `rules`, and closes them."""
    made: list[RuleRunner] = []

    def make(*names: str, timeout_s: float = 30.0, workers: int = 1) -> RuleRunner:
        made.append(RuleRunner({name: f"{rules}:{name}" for name in names}, timeout_s, workers))
        made[-1].check()
        return made[-1]

    yield make
    for each in made:
        each.close()
