"""A real OpenRLHF job whose reward service is killed in the middle: the job ends, and every reward is the GRM's own."""

from __future__ import annotations

import contextlib
import json
import math
import os
import signal
from pathlib import Path

import httpx
import pytest

from grm_plugin.integrations.openrlhf.training_log import Step
from grm_plugin.judging.fallback import LOG_KEYS
from support.openrlhf_job import GONE_DEADLINE_S, LAUNCHER, POLICY, PROMPTS_PER_STEP, N, make_prompts, run_job
from support.ray_cluster import free_port, get

JOB_DEADLINE_S = 360

torch = pytest.importorskip("torch")
pytest.importorskip("openrlhf")

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(JOB_DEADLINE_S + 2 * GONE_DEADLINE_S),
    pytest.mark.skipif(torch.cuda.is_available(), reason="the CPU profile is inert where CUDA is present"),
]

STEPS = 6
KILLED_AFTER = 3
"""Steps."""


def configuration(folder: Path) -> Path:
    """A GRM without a model, slow enough to be met at work, and statistics that must survive."""
    path = folder / "grm.yaml"
    data = {
        "engine": {"type": "fake", "delay_s": 1.0},
        "sampling": {"k": 4},
        "group": {"wait_s": 20},
        "normalize": {"method": "running", "state_path": str(folder / "state.json")},
        "service": {"port": free_port()},
    }
    path.write_text(json.dumps(data))
    return path


def kill_service(config: Path) -> None:
    """SIGKILL to the reward service."""
    port = json.loads(config.read_text())["service"]["port"]
    info = get(f"http://127.0.0.1:{port}/info").raise_for_status().json()
    os.kill(int(info["pid"]), signal.SIGKILL)


def test_a_killed_service_costs_no_reward(tmp_path: Path) -> None:
    config = configuration(tmp_path)
    make_prompts(tmp_path / "prompts", train=STEPS * PROMPTS_PER_STEP, held_out=4)
    flags = f"""
        --grm.config {config} --grm.hook agent --grm.cpu true
        --actor.model_name_or_path {POLICY} --algo.kl.init_coef 0
        --data.prompt_dataset {tmp_path}/prompts/train.jsonl --data.input_key input --data.label_key label
        --data.max_len 256 --rollout.max_new_tokens 32
    """
    killed = False

    def kill_once(steps: list[Step]) -> None:
        nonlocal killed
        if not killed and len(steps) >= KILLED_AFTER:
            with contextlib.suppress(httpx.HTTPError):  # busy: it is met at the next step
                kill_service(config)
                killed = True

    job = run_job(LAUNCHER, flags, tmp_path, JOB_DEADLINE_S, watch=kill_once)
    assert job.returncode == 0, job.log[-4000:]
    assert killed, "the service was not met"
    assert [step.number for step in job.steps] == list(range(1, STEPS + 1))
    for step in job.steps:
        assert {key for key in step.values if key.startswith("grm_")} == set(LOG_KEYS)
        assert math.isfinite(step.reward)
        assert step.values["grm_fallback"] == 0
        assert step.values["grm_votes_kept"] == 4
    # Of what it knew when it was killed two steps may not be saved yet; one that forgot all would end with three steps.
    assert json.loads((tmp_path / "state.json").read_text())["count"] >= (STEPS - 2) * N * PROMPTS_PER_STEP
    assert not job.left
