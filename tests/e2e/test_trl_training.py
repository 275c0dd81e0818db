"""A real GRPOTrainer run on the CPU: nano policy, nano GRM on vLLM on Ray, started and stopped by the job.

What counts is the policy's true quality on prompts that nobody trained on, by a rule that the GRM never saw.
"""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from support.paths import ROOT
from support.ray_cluster import free_port

pytest.importorskip("trl")
pytest.importorskip("vllm")

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]


STEPS = 24
JOB_DEADLINE_S = 540


def test_true_quality_rises_and_the_service_goes_with_the_job(tmp_path: Path) -> None:
    port = free_port()
    command = [sys.executable, "-m", "examples.trl.train", "--steps", str(STEPS), "--run", str(tmp_path / "run")]
    environ = {**os.environ, "HF_HUB_OFFLINE": "1"}
    environ.pop("RAY_ADDRESS", None)  # the job starts a private Ray cluster
    log = tmp_path / "job.log"
    with log.open("w") as out:
        job = subprocess.Popen(
            [*command, "--grm.service.port", str(port)],
            cwd=ROOT, env=environ, stdout=out, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        try:
            returncode = job.wait(JOB_DEADLINE_S)
        except subprocess.TimeoutExpired:
            os.killpg(job.pid, signal.SIGKILL)
            pytest.fail(f"the job did not end within {JOB_DEADLINE_S} s:\n{log.read_text()[-4000:]}")
    assert returncode == 0, log.read_text()[-4000:]

    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    before, after = summary["true_quality_before"], summary["true_quality_after"]
    print(f"true quality {before['mean']:.3f} {before['ci95']} -> {after['mean']:.3f} {after['ci95']}")
    print(f"reward {summary['rewards'][0]:.3f} -> {summary['rewards'][-1]:.3f}, {summary['seconds']} s")
    assert len(summary["rewards"]) == STEPS
    assert all(map(math.isfinite, summary["rewards"]))
    assert max(summary["without_reward"]) < 0.1
    assert after["ci95"][0] > before["ci95"][1]
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://127.0.0.1:{port}/health", trust_env=False)
