"""The snippets of the README and of docs/, executed as they stand against a live service; and paths and flags exist."""

from __future__ import annotations

import asyncio
import importlib
import json
import pickle
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from grm_plugin.config.loading import load_config
from grm_plugin.serving.http.without_ray import app_and_service
from support.factories import live
from support.paths import ROOT

EXAMPLES = ROOT / "examples"
README = (ROOT / "README.md").read_text()
PAGE = "".join((ROOT / "docs" / name).read_text() for name in ("frameworks.md", "quickstart_trl.md"))
SNIPPETS = re.findall(r"<!-- run: (\w+) -->\n```(\w+)\n(.*?)```", PAGE, re.DOTALL)
POLICY = EXAMPLES / "nano/models/policy"
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
    assert {kind for kind, _, _ in SNIPPETS} == {"trl", "trl_job", "swift", "axolotl", "http", "client"}


def test_trl(serve: Callable[..., Any]) -> None:
    [code] = snippets("trl")
    [reward] = run(code, serve().url)["reward_funcs"]
    assert asyncio.run(reward(**BATCH, answer=["x", "x"])) == [0.0, 1.0]


@pytest.mark.timeout(300)
def test_trl_job(serve: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the nano policy, which is here, on the CPU."""
    pytest.importorskip("trl")
    monkeypatch.chdir(tmp_path)
    [code] = snippets("trl_job")
    changes = {'"Qwen/Qwen2.5-0.5B-Instruct"': f'"{POLICY}"', "report_to=[]": "report_to=[], use_cpu=True, bf16=False"}
    for shown, run_here in changes.items():
        assert shown in code
        code = code.replace(shown, run_here)
    service = serve(group__n=4)
    log = run(code, service.url)["trainer"].state.log_history
    assert [entry["grm/none"] for entry in log if "reward" in entry] == [0.0, 0.0]
    assert [len(responses) for _, responses in service.groups] == [4, 4, 4, 4]


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


def test_the_dry_run_of_the_readme() -> None:
    """The call, and the reply as it is shown, from the configuration that is named."""
    [call] = re.findall(r"^curl .*?}\'$", README, re.DOTALL | re.MULTILINE)
    [shown] = re.findall(r"^# (\{.*), \.\.\.\}\}$", README, re.MULTILINE)
    app, _ = app_and_service(load_config(ROOT / "configs/dry_run.yaml"))
    with live(app) as url:
        done = subprocess.run(["sh", "-c", call.replace(ADDRESS, url)], capture_output=True, text=True, timeout=60)
    assert done.stdout.startswith(shown), done.stdout


def test_judging_in_python_as_the_readme_shows_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    [code] = re.findall(r"<!-- run: judge -->\n```python\n(.*?)```", README, re.DOTALL)
    names: dict[str, Any] = {}
    exec(code, names)
    names["judge"].close()
    assert "plum" in capsys.readouterr().out


def test_client(serve: Callable[..., Any]) -> None:
    [code] = snippets("client")
    assert len(run(code, serve().url)["judgement"].rewards) == 2


def test_what_the_pages_name_exists() -> None:
    for module, name in re.findall(r"(grm_plugin\.integrations\.slime[\w.]*)\.(\w+)", README + PAGE):
        assert callable(getattr(importlib.import_module(module), name))
    for path in re.findall(r"(?<![\w/])((?:configs|examples|tests)/[\w./]+\w)", README + PAGE):
        assert (EXAMPLES.parent / path).exists(), path
    script = (EXAMPLES / "slime" / "group_rm.sh").read_text()
    assert "grm_plugin.integrations.slime.grm_reward.custom_rm" in script
    assert subprocess.run(["sh", "-n", str(EXAMPLES / "slime" / "group_rm.sh")]).returncode == 0
