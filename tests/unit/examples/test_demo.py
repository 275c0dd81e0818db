"""The demo's job and its summary: what a job that is stuck, silent or broken looks like."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from examples import processes
from examples.demo import __main__ as demo
from examples.demo import job
from examples.demo.job import run_job
from examples.demo.quality import Quality
from grm_plugin.integrations.openrlhf.training_log import Step

STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); "


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def steps(*vllm_kl: float) -> list[Step]:
    values = [{"reward": 0.5, "grm_fallback": 0.0, "vllm_kl": kl} for kl in vllm_kl]
    return [Step(number, some) for number, some in enumerate(values, 1)]


def summary(found: list[Step]) -> dict[str, object]:
    quality = Quality(0.5, (0.4, 0.6), 8)
    return demo._summary("grpo", found, {0: quality, len(found): quality}, 1.0)


def test_a_vllm_kl_that_is_nan_is_not_passed_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = steps(1e-4, math.nan, 2e-4)
    written = summary(found)
    assert json.loads(json.dumps(written, allow_nan=False))["vllm_kl_max"] is None
    demo._report(tmp_path, found, *[Quality(0.5, (0.4, 0.6), 8)] * 2, written)
    assert "max |vllm_kl| nan" in (shown := capsys.readouterr().out)
    assert "WARNING: vllm_kl is not finite in steps [2]" in shown


def test_the_largest_vllm_kl_and_no_warning(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = steps(1e-4, -3e-4, 2e-4)
    assert summary(found)["vllm_kl_max"] == 3e-4
    demo._report(tmp_path, found, *[Quality(0.5, (0.4, 0.6), 8)] * 2, summary(found))
    assert "WARNING" not in capsys.readouterr().out


def test_one_step_is_enough_for_a_summary() -> None:
    assert summary(steps(2e-4))["vllm_kl_max"] == 2e-4


def test_a_reward_that_was_not_logged_is_null() -> None:
    written = summary([Step(1, {"grm_fallback": 0.0, "vllm_kl": 0.0})])
    assert (written["reward_first"], written["reward_last"], written["rewards_finite"]) == (None, None, False)
    assert (written["grm_tokens"], written["grm_votes_asked"]) == (None, None)


def test_what_the_votes_cost_is_the_mean_over_the_job() -> None:
    logged = [{"grm_fallback": 0.0, "grm_tokens": 800.0, "grm_votes_asked": 32.0}]
    logged.append({"grm_fallback": 0.0, "grm_tokens": 400.0, "grm_votes_asked": 16.0})
    written = summary([Step(number, {"reward": 0.5, **values}) for number, values in enumerate(logged, 1)])
    assert (written["grm_tokens"], written["grm_votes_asked"]) == (600.0, 24.0)


def test_steps_are_read_while_the_job_runs_and_the_log_is_kept(tmp_path: Path) -> None:
    lines = ["starting", "Global step 1: {'reward': 0.25}", "Global step 2: {'reward': 0.5}"]
    waits = f"import pathlib, time\nwhile not pathlib.Path({str(tmp_path / 'seen')!r}).exists(): time.sleep(0.01)\n"
    code = f"print({lines[0]!r}); print({lines[1]!r}, flush=True)\n{waits}print({lines[2]!r})"
    rewards = []
    for step in run_job(python(code), tmp_path / "job.log", 60):
        rewards.append(step.reward)
        (tmp_path / "seen").touch()
    assert rewards == [0.25, 0.5]
    assert (tmp_path / "job.log").read_text().splitlines() == lines


@pytest.mark.parametrize(
    ("code", "what"),
    [
        ("print('all is well')", r"without a training step; the end of .*job\.log:\nall is well"),
        ("print('what went wrong'); raise SystemExit(3)", r"status 3; the end of .*job\.log:\nwhat went wrong"),
    ],
)
def test_a_job_that_fails_or_logs_no_step_shows_its_log(tmp_path: Path, code: str, what: str) -> None:
    with pytest.raises(RuntimeError, match=what):
        list(run_job(python(code), tmp_path / "job.log", 60))


def test_a_stuck_job_is_killed_and_what_holds_its_output_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "GRACE_S", 0.2)
    holder = "import os, subprocess, time; held = subprocess.Popen(['sleep', '60'], start_new_session=True).pid\n"
    says = """print("Global step 1: {'job': %d, 'holder': %d}" % (os.getpid(), held), flush=True); time.sleep(600)"""
    running = run_job(python(STUBBORN + holder + says), tmp_path / "job.log", 60)
    pids = next(running).values
    monkeypatch.setattr(job, "time", SimpleNamespace(monotonic=lambda: math.inf))
    with pytest.raises(RuntimeError, match=r"took longer than 60 s; the end of .*job\.log:\nGlobal step 1"):
        next(running)
    os.kill(int(pids["holder"]), signal.SIGKILL)  # it runs still: nobody waited for it
    with pytest.raises(ProcessLookupError):
        os.kill(int(pids["job"]), 0)


def test_what_ignores_the_end_of_its_group_is_killed_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "GRACE_S", 30)
    child = f"{STUBBORN}import time; print('ready', flush=True); time.sleep(60)"
    code = f"import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', {child!r}]); time.sleep(60)"
    with subprocess.Popen(python(code), stdout=subprocess.PIPE, start_new_session=True) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"ready\n"
        processes.end_group(parent)
        assert parent.returncode == -15
        assert parent.stdout.read() == b""  # the end of the pipe comes with the end of the child
        processes.end_group(parent)
