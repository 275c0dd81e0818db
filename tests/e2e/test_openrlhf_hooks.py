"""The launcher with each of its hooks: a real OpenRLHF job whose reward is a real GRM on vLLM, on two CPU cores."""

from __future__ import annotations

import contextlib
import math
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from grm_plugin.integrations.openrlhf.training_log import Step
from grm_plugin.judging.fallback import LOG_KEYS
from support.openrlhf_job import (
    GONE_DEADLINE_S,
    LAUNCHER,
    POLICY,
    PROMPTS_PER_STEP,
    ROOT,
    VLLM_KL_LIMIT,
    Job,
    N,
    make_prompts,
    run_job,
)
from support.ray_cluster import free_port, get

torch = pytest.importorskip("torch")
pytest.importorskip("openrlhf")

JOB_DEADLINE_S = 360

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(JOB_DEADLINE_S + 2 * GONE_DEADLINE_S),
    pytest.mark.skipif(torch.cuda.is_available(), reason="the CPU profile is inert where CUDA is present"),
]


@dataclass
class Counters:
    """The service's counters, as they were after the last step that was still seen running."""

    port: int
    values: dict[str, float] = field(default_factory=dict)

    def read(self, _: list[Step]) -> None:
        with contextlib.suppress(httpx.HTTPError):  # the job has just ended, and the service with it
            reply = get(f"http://127.0.0.1:{self.port}/info").raise_for_status()
            self.values = dict(reply.json()["counters"])


def rewarded_job(folder: Path, hook: str, steps: int, flags: str = "") -> tuple[Job, dict[str, float]]:
    """The launcher with this hook; the job, and the service's counters."""
    make_prompts(folder / "prompts", train=steps * PROMPTS_PER_STEP, held_out=4)
    counters = Counters(free_port())
    whole = f"""
        --grm.config {ROOT}/configs/nano_cpu.yaml --grm.hook {hook} --grm.service.port {counters.port} --grm.cpu true
        --actor.model_name_or_path {POLICY} --actor.adam.lr 4e-4 --algo.kl.init_coef 0
        --data.prompt_dataset {folder}/prompts/train.jsonl --data.input_key input --data.label_key label
        --data.max_len 256 --rollout.max_new_tokens 64 {flags}
    """
    return run_job(LAUNCHER, whole, folder, JOB_DEADLINE_S, watch=counters.read), counters.values


def check(job: Job, counters: dict[str, float], steps: int) -> None:
    """Every reward is the GRM's own vote, the weights are in sync, and nothing is left running."""
    assert job.returncode == 0, job.log[-4000:]
    assert [step.number for step in job.steps] == list(range(1, steps + 1))
    for step in job.steps:
        assert {key for key in step.values if key.startswith("grm_")} == set(LOG_KEYS)
        assert all(math.isfinite(step.values[key]) for key in LOG_KEYS)
        assert 0 < step.reward < 1
        assert step.values["grm_fallback"] == 0
        assert step.values["grm_votes_kept"] > 4
        assert step.values["grm_tokens"] > 0
        assert abs(step.vllm_kl) < VLLM_KL_LIMIT  # false for NaN, too
    assert counters, "the service was never met"
    assert counters["fallbacks"] == 0
    assert not job.left


@pytest.mark.parametrize("hook", ["http", "function"])
def test_samples_that_come_one_by_one_are_judged_in_groups(hook: str, tmp_path: Path) -> None:
    steps = 3  # its counters are read after each but the last, whose job has ended by then
    job, counters = rewarded_job(tmp_path, hook, steps)
    check(job, counters, steps)
    # A group that was cut in two would count twice.
    assert 0 < counters["groups"] * N <= counters["samples"]


def test_the_agent_hook_trains_and_evaluates_with_different_n(tmp_path: Path) -> None:
    steps = 5
    evaluation = f"--eval.dataset {tmp_path}/prompts/held_out.jsonl --eval.steps 3 --eval.n_samples_per_prompt 2"
    job, counters = rewarded_job(tmp_path, "agent", steps, evaluation)
    check(job, counters, steps)
    assert "eval_default_pass2" in job.log
    # Whole groups go in one request each (those of one batch may still be under way): 4 samples, 2 in evaluation.
    assert 0 <= counters["requests"] - counters["groups"] <= PROMPTS_PER_STEP
    assert 2 * counters["requests"] < counters["samples"] < N * counters["requests"]
