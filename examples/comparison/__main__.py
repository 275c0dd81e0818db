"""Trains the nano policy under three rewards with the same seeds and plots its true quality over the steps.

    python -m examples.comparison                  (9 OpenRLHF jobs, about 2 minutes each on two idle cores)

The rewards are one vote, eight votes, and eight votes of which the meta RM drops half. Each job is a whole `make demo`;
a job whose summary.json is there already is not run again, so an interrupted comparison goes on where it stopped.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from examples.comparison.figure import draw
from examples.comparison.summary import summarise
from grm_plugin.errors import ConfigError

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / "configs/nano_cpu_meta_rm.yaml"
REWARDS = {
    "k=1": ("--grm.sampling.k", "1", "--grm.meta_rm", "null"),
    "k=8": ("--grm.sampling.k", "8", "--grm.meta_rm", "null"),
    "k=8, meta RM": ("--grm.sampling.k", "8"),
}


def main() -> None:
    options = _options()
    runs: dict[str, list[dict[str, Any]]] = {reward: [] for reward in REWARDS}
    # Seed by seed: an interrupted comparison still compares like with like.
    folders = {(seed, reward): _folder(options.run, reward, seed) for seed in options.seeds for reward in REWARDS}
    require_steps(folders.values(), options.steps)
    for (seed, reward), folder in folders.items():
        if not (folder / "summary.json").is_file():
            print(f"=== {reward}, seed {seed} ===", flush=True)
            _train(folder, seed, options.steps, REWARDS[reward])
        runs[reward].append(json.loads((folder / "summary.json").read_text()))
    table = summarise(runs)
    (options.run / "comparison.json").write_text(json.dumps(table, indent=2) + "\n")
    draw(options.run / "comparison.png", table)
    for reward, row in table.items():
        final = row["steps"][-1]
        print(f"{reward:14} true quality at step {final['step']}: {final['mean']:.3f} ({_shown(final['runs'])})")
    for reward, difference in list(table.items())[1:]:
        print(f"{reward} - k=1, mean over steps and seeds: {difference['gain']:+.3f} ({_shown(difference['gains'])})")


def require_steps(folders: Iterable[Path], steps: int) -> None:
    """Refuse to compare with jobs of other lengths, before hours are spent and before any of them is overwritten.

    Raises:
        ConfigError: a folder holds a finished job of another number of steps.
    """
    for folder in folders:
        summary = folder / "summary.json"
        if summary.is_file() and (found := json.loads(summary.read_text())["steps"]) != steps:
            raise ConfigError(
                f"{folder} holds a job of {found} steps, not {steps}: give --steps {found} or another --run"
            )


def _folder(run: Path, reward: str, seed: int) -> Path:
    return run / f"{reward.replace(', ', '_').replace(' ', '_').replace('=', '')}_seed{seed}"


def _train(folder: Path, seed: int, steps: int, overrides: tuple[str, ...]) -> None:
    command = [sys.executable, "-m", "examples.demo", "--config", str(CONFIG), "--run", str(folder)]
    command += ["--seed", str(seed), "--steps", str(steps), *overrides]
    subprocess.run(command, cwd=ROOT, check=True)


def _shown(values: list[float]) -> str:
    return ", ".join(f"{value:+.3f}" if value < 0 else f"{value:.3f}" for value in values)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument(
        "--run", type=Path, default=ROOT / "runs/comparison", help="output folder; may hold finished jobs"
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()
