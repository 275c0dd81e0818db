"""What early stopping does to a policy: the demo's OpenRLHF job with k = 32 votes, all of them and stopped early.

    python tests/benchmarks/bench_votes_policy.py                # hours: a step takes about a minute on two busy cores
    python tests/benchmarks/bench_votes_policy.py --steps 30 --seeds 1 2 3 --goals advantage winner --run runs/policy

One real job per seed and way to vote, one after the other, with the nano GRM and without its meta RM. A seed's jobs
have the same training prompts. A job that has left its summary.json in `--run` is not run again, so that the same
command goes on where it was stopped. Each policy is rated by the rule of the domain on held-out prompts, without the
GRM.

Tokens and votes are per response, over the whole job; shares are of those of the same seed's job with all votes. The
difference of two policies is early stopping less all votes, seed by seed: its interval over seeds is Student's t, the
one over prompts a bootstrap of each prompt's mean difference over the seeds.
"""

from __future__ import annotations

import argparse
import json
import math
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

sys.path.append(str(Path(__file__).resolve().parents[2]))

from examples.demo.__main__ import POLICY
from examples.demo.quality import by_prompt, held_out_prompts
from examples.nano.measure import bootstrap
from examples.processes import end_group
from grm_plugin.judging.student import student_quantile

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / "configs/nano_cpu.yaml"
K = 32
ALL = "all"
"""The way to vote without early stopping."""


@dataclass(frozen=True, slots=True)
class Job:
    """One policy.

    Attributes:
        tokens, votes: of the GRM per response, mean over the job.
        quality: true quality of the trained policy on each held-out prompt, 0 to 1.
    """

    seed: int
    goal: str
    tokens: float
    votes: float
    quality: list[float]


def train(folder: Path, goal: str, seed: int, steps: int) -> dict[str, Any]:
    """The summary of the demo's job in the folder, which is run where there is none."""
    written = folder / "summary.json"
    if not written.exists():
        began = time.monotonic()
        early = [] if goal == ALL else ["--grm.sampling.adaptive.goal", goal]
        command = [sys.executable, "-m", "examples.demo", "--config", str(CONFIG), "--run", str(folder)]
        command += ["--steps", str(steps), "--save-steps", "1000", "--seed", str(seed), "--held-out", "20"]
        command += ["--timeout-s", "3600", "--grm.sampling.k", str(K), *early]
        log = folder.with_suffix(".log")
        with log.open("wb") as sink:
            job = subprocess.Popen(command, cwd=ROOT, stdout=sink, stderr=subprocess.STDOUT, start_new_session=True)
        try:
            status = job.wait()
        finally:
            end_group(job)
        if status:
            raise SystemExit(f"the job {folder.name} ended with status {status}: see {log}")
        print(f"{folder.name}: {steps} steps in {time.monotonic() - began:.0f} s", flush=True)
    found: dict[str, Any] = json.loads(written.read_text(encoding="utf-8"))
    if found["steps"] != steps:
        raise SystemExit(f"{written} is of {found['steps']} steps, not {steps}: give --steps {found['steps']} or --run")
    return found


def rated(policy: Path, cache: Path, prompts: Sequence[str], samples: int) -> list[float]:
    """The policy's true quality on each prompt; written to `cache`, and read from there the next time."""
    if cache.exists():
        kept = json.loads(cache.read_text(encoding="utf-8"))
        if (kept["prompts"], kept["samples"]) == (list(prompts), samples):
            return [float(value) for value in kept["quality"]]
    quality = by_prompt(policy, prompts, samples)
    cache.write_text(json.dumps({"prompts": list(prompts), "samples": samples, "quality": quality}), encoding="utf-8")
    return quality


def report(jobs: Sequence[Job], before: Sequence[float]) -> None:
    """One line per job, and for each goal how its policies differ from those of all votes."""
    print(f"\ntrue quality before training {bootstrap(before)}, k = {K}")
    print(
        f"{'seed':>4}  {'votes':<10} {'tokens':>7} {'votes':>6} {'share of tokens':>16}   true quality after training"
    )
    whole = {job.seed: job for job in jobs if job.goal == ALL}
    for job in jobs:
        share = job.tokens / whole[job.seed].tokens
        print(
            f"{job.seed:>4}  {job.goal:<10} {job.tokens:>7.0f} {job.votes:>6.1f} {share:>16.2f}"
            f"   {bootstrap(job.quality)}"
        )
    for goal in dict.fromkeys(job.goal for job in jobs if job.goal != ALL):
        print(f"\n{compared([(job, whole[job.seed]) for job in jobs if job.goal == goal])}")


def compared(pairs: Sequence[tuple[Job, Job]]) -> str:
    """How the policies of a goal differ from those of all votes, seed by seed."""
    by_seed = [fmean(early.quality) - fmean(whole.quality) for early, whole in pairs]
    share = sum(early.tokens for early, _ in pairs) / sum(whole.tokens for _, whole in pairs)
    rows = [[a - b for a, b in zip(early.quality, whole.quality, strict=True)] for early, whole in pairs]
    over_prompts = bootstrap([fmean(column) for column in zip(*rows, strict=True)])
    over_seeds = ""
    if len(by_seed) > 1:
        half = student_quantile(0.975, len(by_seed) - 1) * stdev(by_seed) / math.sqrt(len(by_seed))
        over_seeds = f", over seeds {fmean(by_seed):+.3f} [{fmean(by_seed) - half:+.3f}, {fmean(by_seed) + half:+.3f}]"
    each = ", ".join(f"{value:+.3f}" for value in by_seed)
    low, high = over_prompts.low, over_prompts.high
    return (
        f"{pairs[0][0].goal}: {share:.2f} of the tokens; true quality against all votes, seed by seed {each}"
        f"{over_seeds}, over prompts {over_prompts.mean:+.3f} [{low:+.3f}, {high:+.3f}]"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=25, help="training steps of each job")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--goals", nargs="+", choices=("advantage", "winner"), default=["advantage"])
    parser.add_argument("--run", type=Path, default=ROOT / "runs/votes_policy", help="folder of all jobs")
    parser.add_argument("--held-out", type=int, default=150, help="prompts on which each policy is rated")
    parser.add_argument("--samples", type=int, default=8, help="responses per such prompt")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that a running job is ended too
    run: Path = options.run.resolve()
    run.mkdir(parents=True, exist_ok=True)
    prompts = held_out_prompts(options.held_out)
    jobs = []
    for seed in options.seeds:
        for goal in (ALL, *dict.fromkeys(options.goals)):
            folder = run / f"{goal}-{seed}"
            summary = train(folder, goal, seed, options.steps)
            quality = rated(folder / "policy", folder / "quality.json", prompts, options.samples)
            jobs.append(Job(seed, goal, summary["grm_tokens"], summary["grm_votes_asked"], quality))
    report(jobs, rated(POLICY, run / "before.json", prompts, options.samples))


if __name__ == "__main__":
    main()
