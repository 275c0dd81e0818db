"""The OpenRLHF job of the demo: its command line, and its progress read from its log."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from examples.processes import end_group
from grm_plugin.integrations.openrlhf.training_log import Step, parse_step

N_SAMPLES = 4
PROMPTS_PER_STEP = 16
POLL_S = 0.2

_ALGORITHM = {
    "grpo": ("--algo.advantage.estimator", "group_norm"),
    "ppo": (
        *("--algo.advantage.estimator", "gae"),
        *("--critic.model_name_or_path", "{policy}", "--critic.num_nodes", "1", "--critic.num_gpus_per_node", "1"),
        *("--critic.adam.lr", "1e-3", "--critic.lr_warmup_ratio", "0"),
    ),
}


def command(algo: str, config: Path, policy: Path, prompts: Path, run: Path, save_steps: int) -> list[str]:
    """The command line of the job: grm_plugin's launcher, followed by OpenRLHF's own flags."""
    samples = PROMPTS_PER_STEP * N_SAMPLES
    return [
        *(sys.executable, "-m", "grm_plugin.integrations.openrlhf.train_ppo_ray"),
        *("--grm.config", str(config), "--grm.hook", "http"),
        *("--actor.model_name_or_path", str(policy), "--actor.num_nodes", "1", "--actor.num_gpus_per_node", "1"),
        *("--ref.num_nodes", "1", "--ref.num_gpus_per_node", "1", "--ds.zero_stage", "2"),
        *("--ds.attn_implementation", "eager", "--actor.adam.lr", "4e-4", "--actor.lr_warmup_ratio", "0"),
        *("--vllm.num_engines", "1", "--vllm.tensor_parallel_size", "1", "--vllm.enforce_eager"),
        *("--vllm.gpu_memory_utilization", "0.2", "--vllm.sync_backend", "gloo"),
        *("--data.prompt_dataset", str(prompts), "--data.input_key", "input", "--data.label_key", "label"),
        *("--data.apply_chat_template", "--data.max_len", "256", "--rollout.max_new_tokens", "64"),
        *("--rollout.batch_size", str(PROMPTS_PER_STEP), "--rollout.n_samples_per_prompt", str(N_SAMPLES)),
        *("--rollout.micro_batch_size", "32", "--train.batch_size", str(samples), "--train.micro_batch_size", "32"),
        *("--train.num_episodes", "1", "--train.max_epochs", "1", "--algo.kl.init_coef", "0"),
        *("--algo.advantage.is_correction_level", "token"),
        *(argument.format(policy=policy) for argument in _ALGORITHM[algo]),
        *("--ckpt.output_dir", str(run / "policy"), "--ckpt.path", str(run / "checkpoints")),
        *("--ckpt.save_hf", "--ckpt.disable_ds", "--ckpt.save_steps", str(save_steps), "--ckpt.max_num", "1000"),
    ]


def run_job(arguments: list[str], log: Path, timeout_s: float) -> Iterator[Step]:
    """Run the job, whose output goes to the file `log`; yields each training step as it ends.

    A pipe instead of the file would end only when the last process of the job closes it, even if the job had failed.

    Raises:
        RuntimeError: the job failed, took longer than `timeout_s` or logged no step; the message shows the end of the
            log.
    """
    with log.open("wb") as sink:
        job = subprocess.Popen(
            arguments,
            stdout=sink,
            stderr=subprocess.STDOUT,
            env=os.environ | {"GRM_CPU": "1"},
            start_new_session=True,
        )
    deadline, steps, line = time.monotonic() + timeout_s, 0, ""
    try:
        with log.open(encoding="utf-8", errors="replace") as lines:
            while time.monotonic() < deadline:
                ended = job.poll() is not None  # asked before the log is read: what it wrote last is read, too
                line += lines.readline()
                if line.endswith("\n"):
                    step, line = parse_step(line), ""
                    if step is not None:
                        steps += 1
                        yield step
                elif ended:
                    break
                else:
                    time.sleep(POLL_S)
            else:
                raise RuntimeError(_failure(f"took longer than {timeout_s:.0f} s", log))
    finally:
        end_group(job)
    if job.returncode:
        raise RuntimeError(_failure(f"ended with status {job.returncode}", log))
    if not steps:
        raise RuntimeError(_failure("ended without an error and without a training step", log))


def _failure(what: str, log: Path) -> str:
    tail = "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-30:])
    return f"the OpenRLHF job {what}; the end of {log}:\n{tail}"
