"""The snippets and configurations of docs/criteria.md, executed as they stand."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from grm_plugin.config.loading import load_config
from grm_plugin.integrations.trl.grm_reward import _client
from grm_plugin.rules.runner import runner_of
from grm_plugin.serving.http.without_ray import app_and_service
from grm_plugin.types import Message
from support.paths import ROOT

PAGE = (ROOT / "docs/criteria.md").read_text()
SNIPPETS = dict(re.findall(r"<!-- run: (\w+) -->\n```\w+\n(.*?)```", PAGE, re.DOTALL))
CONFIGURATIONS = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
ADDRESS = "http://127.0.0.1:8790"


def test_every_marked_snippet_has_a_test_here() -> None:
    assert set(SNIPPETS) == {"vector", "rules"}


def test_the_vector(serve: Callable[..., Any]) -> None:
    pytest.importorskip("trl")
    criteria = yaml.safe_load(CONFIGURATIONS[0])["judge"]["criteria"]
    names: dict[str, Any] = {}
    exec(SNIPPETS["vector"].replace(ADDRESS, serve(judge__criteria=criteria).url), names)
    assert names["weights"] == [3.0, 1.0, 1.0, 1.0]
    assert [function.name for function in names["functions"]] == ["correct", "sources", "safe", "padded"]
    _client.cache_clear()


@pytest.mark.parametrize("text", CONFIGURATIONS)
async def test_the_configurations(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rules.py").write_text(SNIPPETS["rules"])
    (tmp_path / "principles.txt").write_text("Be brief.")
    config = load_config({"engine": {"type": "fake"}, **yaml.safe_load(text)})
    app_and_service(config)
    runner = runner_of(config.judge)
    if runner is None:
        return
    try:
        asked = (Message("user", "2 + 2?"),), r"It is \boxed{4}.", "4", "math"
        assert (await runner.score("boxed", *asked)).value == 1.0
        assert (await runner.score("right", *asked)).value == 1.0
        assert (await runner.score("right", *asked[:1], "four", "4", "math")).value == 0.0
    finally:
        runner.close()
