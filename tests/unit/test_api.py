"""The judge of a program: real engines in this process, and the same objects as from a service over HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import io
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from grm_plugin import Client, JudgedGroup, api, load_config
from grm_plugin.api import Judge
from grm_plugin.engines.fake import FakeEngine, score_by_vocabulary
from grm_plugin.errors import ConfigError, EngineError, ServiceError, WireError
from grm_plugin.serving.http.app import create_app
from grm_plugin.serving.service import RewardService
from grm_plugin.trace.filters import Filter
from grm_plugin.trace.store_reader import StoreReader
from support.chat_server import Server, reply
from support.documents import blocks
from support.factories import critique_text, live

PROMPT = "Name three fruits."
GOOD, WEAK = "plum, fig, pear, apple, grape and a kiwi", "cats"


def plain(judged: JudgedGroup) -> dict[str, Any]:
    """All but how long it took, and which of two orders came first."""
    found = judged.to_dict()
    del found["latency_s"]
    return {**found, "critiques": sorted(found["critiques"], key=str)}


def test_a_judge_in_this_process_and_a_client_give_the_same_objects() -> None:
    config = load_config("preset:dry_run")
    service = RewardService(config, FakeEngine(score_by_vocabulary))
    forms: list[Any] = [
        (PROMPT, [GOOD, WEAK]),
        {"messages": [{"role": "user", "content": PROMPT}], "responses": [WEAK]},
    ]
    with (
        Judge.from_config("preset:dry_run") as judge,
        live(create_app(lambda: service)) as url,
        Client(url) as client,
    ):
        here, there = (call(PROMPT, [GOOD, WEAK], reference="any") for call in (judge.judge_sync, client.judge))
        many, asked = judge.judge_sync(forms, learn=False), client.judge(forms, learn=False, detail=True)
        assert client.judge(PROMPT, [GOOD, WEAK], detail=False).critiques == []
        assert client.judge(forms, learn=False)[0].critiques == []
    assert str(here) == str(there)
    assert [plain(judged) for judged in (here, *many)] == [plain(judged) for judged in (there, *asked)]
    assert here.best
    assert (here.best.text, here.best.mean, here.best.votes) == (GOOD, 2, (2, 2, 2, 2))


async def test_async_calls_share_the_engine_with_threads_and_other_loops() -> None:
    with Judge.from_config("preset:dry_run") as judge:
        one, many = await asyncio.gather(judge.judge(PROMPT, [GOOD]), judge.judge([(PROMPT, [GOOD, WEAK])] * 3))
        assert isinstance(one, JudgedGroup)
        assert [judged.rewards[0].mean for judged in many] == [2, 2, 2]
        assert judge.judge_sync(PROMPT, [WEAK]).rewards[0].mean == 1  # inside of a running loop, as in a notebook
        elsewhere = await asyncio.to_thread(lambda: asyncio.run(judge.judge([(PROMPT, [GOOD])])))
        assert elsewhere[0].rewards[0].value == one.rewards[0].value


def test_an_openai_server_is_asked_in_this_process() -> None:
    async def answer(body: dict[str, Any]) -> dict[str, Any]:
        return reply(*[critique_text((9, 9))] * body["n"])

    server = Server()
    server.handler = answer
    with live(server.app()) as url:
        engine = {"type": "openai", "base_url": f"{url}/v1", "model": "grm"}
        with Judge.from_config({"engine": engine, "sampling": {"k": 2}}) as judge:
            judged = judge.judge_sync(PROMPT, ["a", "b"])
    assert server.requests
    assert [response.votes for response in judged.responses] == [(9, 9), (9, 9)]


def test_wrong_input_and_wrong_configurations_say_what_is_wrong() -> None:
    with pytest.raises(ConfigError, match="did you mean preset:dry_run"):
        Judge.from_config("preset:dry-run")
    with Judge.from_config({"engine": {"type": "fake"}}, {"normalize.method": "group"}) as judge:
        with pytest.raises(WireError, match="give a prompt and its responses"):
            judge.judge_sync(PROMPT)  # type: ignore[arg-type]
        with pytest.raises(WireError, match="responses is one text"):
            judge.judge_sync(PROMPT, "one text")
        with pytest.raises(WireError, match=r"normalize\.method"):
            judge.judge_sync(PROMPT, [GOOD])
        with pytest.raises(WireError, match="colour: Extra inputs"):
            judge.judge_sync(PROMPT, [GOOD, WEAK], colour="red")
        assert judge.judge_sync([]) == []
    with pytest.raises(ServiceError, match="this judge is closed"):
        judge.judge_sync(PROMPT, [GOOD, WEAK])
    judge.close()


def test_an_engine_that_does_not_start_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    async def fails(*_: Any) -> None:
        raise EngineError("it does not start")

    monkeypatch.setattr(api, "_start", fails)
    with pytest.raises(EngineError, match="it does not start"):
        Judge.from_config("preset:dry_run")


def groups_in(store: Path) -> int:
    reader = StoreReader(store)
    try:
        return reader.count(Filter())
    finally:
        reader.close()


def test_the_page_on_python_runs_as_it_stands() -> None:
    service = RewardService(load_config("preset:dry_run"), FakeEngine(score_by_vocabulary))
    found = blocks("docs/python.md")
    printed = io.StringIO()
    with live(create_app(lambda: service)) as url, contextlib.redirect_stdout(printed):
        for code in [text for kind, text in found if kind == "python"]:
            exec(code.replace("http://127.0.0.1:8790", url), {})
    assert printed.getvalue().startswith(next(text for kind, text in found if kind == "text"))
    assert "plum, fig, pear, apple, grape and a kiwi 0.1111" in printed.getvalue()


def test_what_nobody_closes_is_closed_with_its_object(tmp_path: Path) -> None:
    others = set(threading.enumerate())
    judge = Judge.from_config("preset:dry_run", {"trace.path": str(tmp_path / "traces.db")})
    judge.judge_sync(PROMPT, [GOOD, WEAK])
    del judge
    gc.collect()
    assert groups_in(tmp_path / "traces.db") == 1
    assert not [thread.name for thread in {*threading.enumerate()} - others if "trace" in thread.name]


def test_what_nobody_closes_is_written_when_the_process_ends(tmp_path: Path) -> None:
    code = (
        "from grm_plugin import Judge\n"
        "judge = Judge.from_config('preset:dry_run', {'trace.path': './traces.db'})\n"
        f"print(judge.judge_sync({PROMPT!r}, [{GOOD!r}, {WEAK!r}]))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[2].endswith(f"[0] {GOOD}")
    assert groups_in(tmp_path / "traces.db") == 1
