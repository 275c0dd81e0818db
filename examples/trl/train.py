"""Trains the nano policy with TRL's GRPOTrainer, rewarded by the nano GRM; everything on the CPU.

    python -m examples.trl.train --steps 30

Starts the GRM's service, trains, stops it, and measures the policy's true quality on held-out prompts by a rule that
the GRM never saw. `--url http://127.0.0.1:8790` uses a running service. Leaves policy/ and summary.json in `--run`.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import GRPOConfig, GRPOTrainer

from examples.demo.quality import Quality, held_out_prompts, measure
from examples.nano.domain import draw_task
from grm_plugin.config.loading import load_config, split_overrides
from grm_plugin.integrations.trl.grm_reward import GRMReward

ROOT = Path(__file__).resolve().parents[2]
POLICY = ROOT / "examples/nano/models/policy"

N_SAMPLES = 4
PROMPTS_PER_STEP = 16


def main() -> None:
    options, overrides = _options()
    prompts = held_out_prompts(options.held_out)
    before = measure(POLICY, prompts, samples=4)
    print(f"before: true quality {before}", flush=True)

    started = time.monotonic()
    where: dict[str, Any] = {"url": options.url} if options.url else {"config": load_config(options.config, overrides)}
    reward = GRMReward(**where)
    print(f"the GRM is ready after {time.monotonic() - started:.0f} s", flush=True)
    trainer = train(reward, options)
    reward.close()

    trainer.save_model(str(options.run / "policy"))
    after = measure(options.run / "policy", prompts, samples=4)
    print(f"after:  true quality {after}", flush=True)
    _write_summary(options.run, trainer, before, after, time.monotonic() - started)


def train(reward: GRMReward, options: argparse.Namespace) -> GRPOTrainer:
    """GRPO without a KL term, four samples for each of sixteen prompts per step."""
    rng = random.Random(options.seed)
    drawn = [draw_task(rng, held_out=False).prompt for _ in range(options.steps * PROMPTS_PER_STEP)]
    trainer = GRPOTrainer(
        model=AutoModelForCausalLM.from_pretrained(POLICY, dtype="float32"),
        processing_class=AutoTokenizer.from_pretrained(POLICY, padding_side="left"),
        reward_funcs=[reward],
        train_dataset=Dataset.from_dict({"prompt": [[{"role": "user", "content": prompt}] for prompt in drawn]}),
        args=GRPOConfig(
            output_dir=str(options.run),
            max_steps=options.steps,
            num_generations=N_SAMPLES,
            per_device_train_batch_size=PROMPTS_PER_STEP * N_SAMPLES,
            max_completion_length=64,
            learning_rate=options.learning_rate,
            lr_scheduler_type="constant",
            seed=options.seed,
            use_cpu=True,
            bf16=False,
            gradient_checkpointing=False,
            logging_steps=1,
            save_strategy="no",
            disable_tqdm=True,
            report_to=[],
        ),
    )
    trainer.train()
    return trainer


def _write_summary(run: Path, trainer: GRPOTrainer, before: Quality, after: Quality, seconds: float) -> None:
    steps = [entry for entry in trainer.state.log_history if "reward" in entry]
    summary = {
        "true_quality_before": asdict(before),
        "true_quality_after": asdict(after),
        "rewards": [entry["reward"] for entry in steps],
        "without_reward": [entry["grm/none"] for entry in steps],
        "seconds": round(seconds, 1),
    }
    (run / "summary.json").write_text(json.dumps(summary, indent=2) + "\n")


def _options() -> tuple[argparse.Namespace, dict[str, str]]:
    """The options, and the values of the configuration given as `--grm.section.key value`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, default=ROOT / "configs/nano_cpu.yaml", help="of grm_plugin")
    parser.add_argument("--url", help="of a running service, instead of starting one")
    parser.add_argument("--run", type=Path, default=ROOT / "runs/trl", help="output folder")
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--held-out", type=int, default=150, help="prompts for measuring true quality")
    parser.add_argument("--seed", type=int, default=42)
    known, rest = parser.parse_known_args()
    overrides, unknown = split_overrides(rest)
    if unknown:
        parser.error(f"unknown arguments: {' '.join(unknown)}")
    return known, overrides


if __name__ == "__main__":
    main()
