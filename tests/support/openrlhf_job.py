"""Runs a real OpenRLHF job on two CPU cores, follows its log, and sees what is left of it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from grm_plugin.integrations.openrlhf.training_log import Step, parse_step
from support.leftovers import RAY_AGENTS
from support.marked_jobs import kill_marked, new_mark, processes_with
from support.paths import ROOT

POLICY = ROOT / "examples/nano/models/policy"
N, PROMPTS_PER_STEP = 4, 4
VLLM_KL_LIMIT = 1e-2
"""Of log-probabilities between the engine that samples and the trainer that learns."""

GONE_DEADLINE_S = 90
LAUNCHER = (sys.executable, "-m", "grm_plugin.integrations.openrlhf.train_ppo_ray")
UNMODIFIED = (sys.executable, "-m", "grm_plugin.cpu", "--", sys.executable, "-m", "openrlhf.cli.train_ppo_ray")
FLAGS = f"""
    --actor.num_nodes 1 --actor.num_gpus_per_node 1 --actor.lr_warmup_ratio 0
    --vllm.num_engines 1 --vllm.enforce_eager --vllm.sync_backend gloo
    --algo.advantage.estimator group_norm --algo.advantage.is_correction_level token --data.apply_chat_template
    --rollout.batch_size {PROMPTS_PER_STEP} --rollout.n_samples_per_prompt {N}
    --rollout.micro_batch_size 16 --train.batch_size 16 --train.micro_batch_size 16
    --ds.zero_stage 2 --ds.attn_implementation eager
"""
"""What the jobs have in common; each adds its policy, data, reward and lengths."""


@dataclass(frozen=True)
class Job:
    """A finished job. `left` are the command lines of its processes that have not ended with it."""

    returncode: int
    steps: list[Step]
    log: str
    left: list[str]


def run_job(
    program: Sequence[str],
    flags: str,
    folder: Path,
    deadline_s: float,
    environ: dict[str, str] | None = None,
    watch: Callable[[list[Step]], None] = lambda _: None,
) -> Job:
    """Run OpenRLHF's command line with `FLAGS` and these, in `folder`, which gets its log, policy and checkpoints.

    `watch` is called with the steps so far, each time that there is another.
    """
    output = f"--ckpt.output_dir {folder}/policy --ckpt.path {folder}/checkpoints"
    mark = new_mark()
    whole = {**os.environ, "HF_HUB_OFFLINE": "1", **(environ or {}), **dict([mark])}
    whole.pop("RAY_ADDRESS", None)
    log = folder / "job.log"
    seen = 0
    with log.open("w") as out:
        job = subprocess.Popen(
            [*program, *FLAGS.split(), *flags.split(), *output.split()],
            env=whole, cwd=folder, stdout=out, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
    try:
        deadline = time.monotonic() + deadline_s
        while job.poll() is None:
            if time.monotonic() > deadline:
                pytest.fail(f"the job did not end within {deadline_s} s:\n{log.read_text()[-4000:]}")
            if len(steps := read_steps(log)) > seen:
                seen = len(steps)
                watch(steps)
            time.sleep(0.2)
        left = left_of(mark)
    finally:
        kill_marked(mark)
        job.wait()
    steps = read_steps(log)
    for step in steps:
        print(f"step {step.number:3d}  reward {step.reward:.3f}  vllm_kl {step.vllm_kl:9.2e}  {step.seconds:.1f} s")
    return Job(job.returncode, steps, log.read_text(), left)


def read_steps(log: Path) -> list[Step]:
    return [step for step in map(parse_step, log.read_text(errors="replace").splitlines()) if step is not None]


def left_of(mark: tuple[str, str]) -> list[str]:
    """Command lines of the job's processes that are still there after a while; Ray's own per-node agents aside."""
    deadline = time.monotonic() + GONE_DEADLINE_S
    while True:
        left = [command for command in processes_with(mark).values() if not command.startswith(RAY_AGENTS)]
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(0.5)


def make_prompts(folder: Path, train: int, held_out: int) -> None:
    """`train.jsonl` and `held_out.jsonl` of the nano domain."""
    counts = ["--train", str(train), "--held-out", str(held_out)]
    make = [sys.executable, "-m", "examples.nano.make_prompts", "--output", str(folder), *counts]
    subprocess.run(make, cwd=ROOT, check=True, timeout=60)
