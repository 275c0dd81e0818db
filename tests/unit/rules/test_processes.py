"""What a rule may not do to the service: hang, end its process, write, fork, outlive it."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from grm_plugin._util.deadline import Deadline
from grm_plugin.types import RuleScore
from support.rule_files import ASKED, RULES, Runner, alive, gone, score


@pytest.mark.parametrize("name", ["sleeps", "backtracks"])
async def test_a_function_that_hangs_is_ended_and_the_others_go_on(runner: Runner, name: str) -> None:
    checked = runner(name, "has_box", timeout_s=1.0, workers=2)
    hanging = asyncio.create_task(score(checked, name))
    await asyncio.sleep(0)
    assert await score(checked, "has_box", r"\boxed{1}") == RuleScore(1.0)
    assert await hanging == RuleScore(None, "took longer than 1 s")
    for _ in range(3):
        assert await score(checked, "has_box", r"\boxed{1}") == RuleScore(1.0)


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("leaves", "raised SystemExit in line"),
        ("leaves_at_once", "its process ended: exit status 3"),
        ("crashes", "its process ended: by SIGSEGV"),
    ],
)
async def test_a_function_that_ends_its_process_costs_its_own_score(runner: Runner, name: str, problem: str) -> None:
    checked = runner(name, "has_box")
    assert (await score(checked, name)).problem.startswith(problem)
    assert await score(checked, "has_box", r"\boxed{1}") == RuleScore(1.0)


async def test_what_a_function_prints_and_reads_goes_nowhere(runner: Runner, capfd: pytest.CaptureFixture[str]) -> None:
    checked = runner("talks", "reads_nothing")
    assert (await score(checked, "talks")).problem.startswith("raised EOFError")
    assert await score(checked, "reads_nothing") == RuleScore(1.0)
    assert capfd.readouterr() == ("", "")


async def test_a_fork_answers_once(runner: Runner) -> None:
    checked = runner("forks", "has_box")
    for _ in range(5):
        assert await score(checked, "forks") == RuleScore(0.5)
        assert await score(checked, "has_box", r"\boxed{1}") == RuleScore(1.0)


@pytest.mark.parametrize("written", ["b'garbage' * 100", "bytes(8)", "b'[' * 60_000", "b'\\xff' * 10**6"])
async def test_a_process_that_writes_garbage_is_ended(runner: Runner, written: str) -> None:
    checked = runner("writes_everywhere", "has_box", timeout_s=2.0)
    found = await score(checked, "writes_everywhere", written)
    assert found.value is None
    assert found.problem
    assert await score(checked, "has_box", r"\boxed{1}") == RuleScore(1.0)


async def test_what_a_function_started_ends_with_its_process(runner: Runner, tmp_path: Path) -> None:
    checked = runner("leaves_a_child", "starts_a_program", timeout_s=3.0)
    assert await score(checked, "leaves_a_child", str(tmp_path / "child")) == RuleScore(1.0)
    child = int((tmp_path / "child").read_text())
    assert alive(child)
    assert (await score(checked, "starts_a_program", str(tmp_path / "program"))).problem == "took longer than 3 s"
    await gone(int((tmp_path / "program").read_text()))
    await gone(child)


async def test_calls_at_once_share_the_processes(runner: Runner, tmp_path: Path) -> None:
    checked = runner("process", "has_box", workers=3)
    for _ in range(3):
        await score(checked, "process", str(tmp_path / "alone"))
    assert len(set((tmp_path / "alone").read_text().split())) == 1, "the last one first"
    texts = [r"\boxed{1}" if number % 3 else "" for number in range(60)]
    found = await asyncio.gather(*(score(checked, "has_box", text) for text in texts))
    assert [one.value for one in found] == [float(bool(text)) for text in texts]


async def test_a_deadline_counts_from_the_wait_for_a_process(runner: Runner) -> None:
    checked = runner("sleeps", "has_box")
    hanging = asyncio.create_task(score(checked, "sleeps"))
    await asyncio.sleep(0)
    waited = await checked.score("has_box", ASKED, "", deadline=Deadline.after(0.1))
    assert waited == RuleScore(None, "the deadline was over before a process was free")
    hanging.cancel()
    with pytest.raises(asyncio.CancelledError):
        await hanging
    assert await score(checked, "has_box", r"\boxed{1}") == RuleScore(1.0), "the call that nobody awaits was ended"
    found = await checked.score("sleeps", ASKED, "", deadline=Deadline.after(0.5))
    assert found.problem.startswith("took longer than 0.")


async def test_a_process_that_dies_between_calls_costs_nothing(runner: Runner, tmp_path: Path) -> None:
    checked = runner("process", "has_box")
    await score(checked, "process", str(tmp_path / "pid"))
    pid = int((tmp_path / "pid").read_text())
    os.kill(pid, signal.SIGKILL)
    await gone(pid)
    assert await score(checked, "has_box", r"\boxed{1}") == RuleScore(1.0)


def test_a_file_that_breaks_while_running_is_a_problem(runner: Runner, rules: Path) -> None:
    checked = runner("leaves_at_once", "has_box")
    rules.write_text("def has_box(response): return 1\n")
    asyncio.run(score(checked, "leaves_at_once"))
    found = asyncio.run(score(checked, "has_box"))
    assert found.value is None
    assert "has no function leaves_at_once; it has has_box" in found.problem
    rules.write_text(RULES)
    assert asyncio.run(score(checked, "has_box", r"\boxed{1}")) == RuleScore(1.0)


async def test_after_the_close_nothing_runs(runner: Runner, tmp_path: Path) -> None:
    checked = runner("process", "sleeps", workers=2)
    await score(checked, "process", str(tmp_path / "pid"))
    hanging = asyncio.create_task(score(checked, "sleeps"))
    await asyncio.sleep(0.05)
    checked.close()
    assert not alive(int((tmp_path / "pid").read_text()))
    assert (await hanging).value is None
    assert await score(checked, "process") == RuleScore(None, "no process could be started: the rules were closed")
    checked.close()


PARENT = """
import asyncio, os, sys
from grm_plugin.rules.runner import RuleRunner
from grm_plugin.types import Message

async def main():
    runner = RuleRunner({name: f"{sys.argv[1]}:{name}" for name in ("process", "sleeps")}, float(sys.argv[4]), 1)
    runner.check()
    await runner.score("process", (Message("user", "q"),), sys.argv[2])
    if sys.argv[3] == "busy":
        task = asyncio.create_task(runner.score("sleeps", (Message("user", "q"),), ""))
    await asyncio.sleep(0.1)
    print("ready", flush=True)
    await asyncio.sleep(600)

asyncio.run(main())
"""


@pytest.mark.parametrize("state", ["idle", "busy"])
def test_processes_end_with_their_parent(rules: Path, tmp_path: Path, state: str) -> None:
    command = [
        sys.executable,
        "-c",
        PARENT,
        str(rules),
        str(tmp_path / "pid"),
        state,
        "1000" if state == "idle" else "2",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout
        assert parent.stdout.readline() == "ready\n"
        parent.kill()
    asyncio.run(gone(int((tmp_path / "pid").read_text())))
