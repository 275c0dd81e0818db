"""Trains a nano policy with OpenRLHF against a GRM and shows what that did to the policy's true quality.

    python -m examples.demo --algo grpo            (`make demo`)

Everything is real: OpenRLHF, DeepSpeed, Ray, vLLM for policy and GRM. Leaves figure.png, job.log and summary.json in
`--run`, the trained policy in policy/ and its stages in checkpoints/. `--grm.KEY VALUE` overrides the configuration.
"""

from __future__ import annotations

import argparse
import math
import re
import shutil
import signal
import sys
import time
from pathlib import Path
from statistics import fmean

from examples.demo.figure import draw
from examples.demo.job import N_SAMPLES, PROMPTS_PER_STEP, command, run_job
from examples.demo.quality import Quality, held_out_prompts, measure
from examples.nano.make_prompts import write_prompts
from grm_plugin.config.loading import split_overrides
from grm_plugin.config.overrides import PREFIX
from grm_plugin.integrations.openrlhf.training_log import Step
from grm_plugin.spct.training_files import write_json

ROOT = Path(__file__).resolve().parents[2]
POLICY = ROOT / "examples/nano/models/policy"


def main() -> None:
    options, overrides = _options()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that the job is ended too
    run: Path = options.run.resolve()
    shutil.rmtree(run, ignore_errors=True)
    run.mkdir(parents=True)
    started = time.monotonic()

    prompts = held_out_prompts(options.held_out)
    print(f"policy before training: true quality on {len(prompts)} held-out prompts, by the rule ...", flush=True)
    quality = {0: measure(POLICY, prompts, options.samples)}
    print(f"  {quality[0]}")

    write_prompts(run / "prompts", train=options.steps * PROMPTS_PER_STEP, held_out=1, seed=options.seed)
    arguments = command(
        options.algo, options.config.resolve(), POLICY, run / "prompts/train.jsonl", run, options.save_steps
    )
    arguments += [*overrides, "--train.seed", str(options.seed)]
    print("starting the GRM service and the OpenRLHF job (about a minute; log: job.log) ...", flush=True)
    steps: list[Step] = []
    for step in run_job(arguments, run / "job.log", options.timeout_s):
        steps.append(step)
        print(_progress(step, options.steps, started), flush=True)

    print("true quality of the policy's stages ...", flush=True)
    for number, folder in _stages(run, len(steps)):
        quality[number] = measure(folder, prompts, options.samples)
        print(f"  step {number:3}: {quality[number]}", flush=True)
    draw(run / "figure.png", options.algo, [step.reward for step in steps], quality)
    summary = _summary(options.algo, steps, quality, time.monotonic() - started)
    write_json(run / "summary.json", summary)
    _report(run, steps, quality[0], quality[len(steps)], summary)


def _options() -> tuple[argparse.Namespace, list[str]]:
    """The demo's own options, and overrides of the configuration for the launcher."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--algo", choices=("grpo", "ppo"), default="grpo")
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument(
        "--config", type=Path, default=ROOT / "configs/nano_cpu_meta_rm.yaml", help="configuration of grm_plugin"
    )
    parser.add_argument("--run", type=Path, default=ROOT / "runs/demo", help="output folder; emptied first")
    parser.add_argument("--held-out", type=int, default=150, help="prompts for measuring true quality")
    parser.add_argument("--samples", type=int, default=2, help="responses per such prompt")
    parser.add_argument("--save-steps", type=int, default=10, help="steps between two stages of the policy")
    parser.add_argument("--timeout-s", type=float, default=1500, help="the job is stopped after this time")
    parser.add_argument("--seed", type=int, default=42)
    overrides, rest = split_overrides(sys.argv[1:])
    return parser.parse_args(rest), [f"{PREFIX}{key}={value}" for key, value in overrides.items()]


def _progress(step: Step, total: int, started: float) -> str:
    logs = step.values
    return (
        f"[{time.monotonic() - started:5.0f} s] step {step.number:3}/{total}  reward {step.reward:.3f}  "
        f"mean score {logs.get('grm_mean', math.nan):.2f}  vote spread {logs.get('grm_spread', math.nan):.2f}  "
        f"votes kept {logs.get('grm_votes_kept', math.nan):.1f}  fallback {logs.get('grm_fallback', math.nan):.2f}  "
        f"vllm_kl {step.vllm_kl:.1e}"
    )


def _stages(run: Path, last: int) -> list[tuple[int, Path]]:
    """The saved stages of the policy, by step; the final policy is the last."""
    found = {}
    for folder in (run / "checkpoints").glob("*step*_hf"):
        match = re.search(r"step(\d+)", folder.name)
        if match:
            found[int(match[1])] = folder
    found[last] = run / "policy"
    return sorted(found.items())


def _vllm_kl_max(steps: list[Step]) -> float:
    """The largest |vllm_kl| after the first weight sync; NaN if one is NaN, which `max` alone may pass over."""
    return max((abs(step.vllm_kl) for step in steps[1:] or steps), key=lambda kl: (math.isnan(kl), kl))


def _finite(value: float) -> float | None:
    """The value, or None for NaN and infinity, which JSON does not have."""
    return value if math.isfinite(value) else None


def _mean(steps: list[Step], name: str) -> float | None:
    """Per response, over the whole job; None where a step did not log it."""
    return _finite(fmean(step.values.get(name, math.nan) for step in steps))


def _summary(algo: str, steps: list[Step], quality: dict[int, Quality], wall_s: float) -> dict[str, object]:
    # OpenRLHF logs the mean over a step's samples.
    fallbacks = round(sum(step.values["grm_fallback"] for step in steps) * PROMPTS_PER_STEP * N_SAMPLES)
    return {
        "algo": algo,
        "steps": len(steps),
        "wall_s": round(wall_s, 1),
        "rewards_finite": all(math.isfinite(step.reward) for step in steps),
        "fallbacks": fallbacks,
        "vllm_kl_max": _finite(_vllm_kl_max(steps)),
        "reward_first": _finite(steps[0].reward),
        "reward_last": _finite(steps[-1].reward),
        "grm_tokens": _mean(steps, "grm_tokens"),
        "grm_votes_asked": _mean(steps, "grm_votes_asked"),
        "true_quality": {"before": quality[0].as_json(), "after": quality[len(steps)].as_json()},
        "true_quality_by_step": {str(number): value.as_json() for number, value in sorted(quality.items())},
    }


def _report(run: Path, steps: list[Step], before: Quality, after: Quality, summary: dict[str, object]) -> None:
    print(f"\nreward        {steps[0].reward:.3f} -> {steps[-1].reward:.3f} in {len(steps)} steps")
    print(f"true quality  {before} -> {after}   (held-out prompts, rule-based, the GRM had no say)")
    rose = after.ci95[0] > before.ci95[1]
    print(f"the rise {'is larger than' if rose else 'is NOT larger than'} the 95 % intervals")
    print(f"max |vllm_kl| {_vllm_kl_max(steps):.1e}   fallbacks {summary['fallbacks']}   {summary['wall_s']} s")
    garbage = [step.number for step in steps if not math.isfinite(step.vllm_kl)]
    if garbage:
        print(f"WARNING: vllm_kl is not finite in steps {garbage}: the rollout engine's weights were garbage")
    print(f"see {run / 'figure.png'}, {run / 'summary.json'}, {run / 'job.log'}")


if __name__ == "__main__":
    main()
