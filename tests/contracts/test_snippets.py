"""The snippets of examples/README.md, executed as they stand against a live service; and its paths and flags exist."""

from __future__ import annotations

import asyncio
import importlib
import json
import pickle
import re
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from support.paths import ROOT

EXAMPLES = ROOT / "examples"
PAGE = (EXAMPLES / "README.md").read_text()
SNIPPETS = re.findall(r"<!-- run: (\w+) -->\n```(\w+)\n(.*?)```", PAGE, re.DOTALL)
ADDRESS = "http://127.0.0.1:8790"
QUESTION = [{"role": "user", "content": "What?"}]
BATCH = {"prompts": [QUESTION] * 2, "completions": [[{"role": "assistant", "content": text}] for text in ("1", "10")]}


def snippets(name: str) -> list[str]:
    return [code for kind, _, code in SNIPPETS if kind == name]


def run(code: str, url: str) -> dict[str, Any]:
    names: dict[str, Any] = {}
    exec(code.replace(ADDRESS, url), names)
    return names


def test_every_marked_snippet_has_a_test_here() -> None:
    assert {kind for kind, _, _ in SNIPPETS} == {"trl", "swift", "axolotl", "http", "client"}


def test_trl(serve: Callable[..., Any]) -> None:
    [code] = snippets("trl")
    [reward] = run(code, serve().url)["reward_funcs"]
    assert asyncio.run(reward(**BATCH, answer=["x", "x"])) == [0.0, 1.0]


def test_swift(serve: Callable[..., Any]) -> None:
    """Runs where ms-swift is installed."""
    rewards = pytest.importorskip("swift.rewards")
    [code] = snippets("swift")
    run(code, serve().url)
    reward = rewards.orms["grm"](args=None)
    messages = [[*QUESTION, *turns] for turns in BATCH["completions"]]
    assert asyncio.run(reward(["1", "10"], messages=messages)) == [0.0, 1.0]


def test_axolotl(serve: Callable[..., Any]) -> None:
    [code] = snippets("axolotl")
    function = pickle.loads(pickle.dumps(run(code, serve().url)["grm"]))
    assert function(**BATCH, completion_ids=[[1], [2]]) == [0.0, 1.0]


@pytest.mark.parametrize("code", snippets("http"))
def test_http(serve: Callable[..., Any], code: str) -> None:
    done = subprocess.run(["sh", "-c", code.replace(ADDRESS, serve().url)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    reply = json.loads(done.stdout)
    assert isinstance(reply, float) or "judgements" in reply or reply["mask_sample"] is False


def test_client(serve: Callable[..., Any]) -> None:
    [code] = snippets("client")
    assert len(run(code, serve().url)["judgement"].rewards) == 2


def test_what_the_page_names_exists() -> None:
    for module, name in re.findall(r"(grm_plugin\.integrations\.slime[\w.]*)\.(\w+)", PAGE):
        assert callable(getattr(importlib.import_module(module), name))
    for path in re.findall(r"(?<![\w/])((?:configs|examples|tests)/[\w./]+\w)", PAGE):
        assert (EXAMPLES.parent / path).exists(), path
    script = (EXAMPLES / "slime" / "group_rm.sh").read_text()
    assert "grm_plugin.integrations.slime.grm_reward.custom_rm" in script
    assert subprocess.run(["sh", "-n", str(EXAMPLES / "slime" / "group_rm.sh")]).returncode == 0
