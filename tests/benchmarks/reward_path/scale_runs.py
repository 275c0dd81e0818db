"""How far one service process scales: `scale_side` for every tree, as a table."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

from reward_path.processes import Tree
from reward_path.table import Row

WORKERS = (1, 2, 4, 8, 16, 32, 64)
BEYOND = (128, 256, 512)
"""Asked of to find the next wall, until the efficiency is below `WALL`."""

WALL = 0.9
PER_WORKER_S = 16


def scale_rows(
    trees: list[Tree], options: argparse.Namespace, folder: Path, report: dict[str, object]
) -> dict[str, list[Row]]:
    """The row of 64 workers against 1, by tree."""
    rows = {}
    for tree in trees:
        print(f"\n{tree.label}: simulated workers of {PER_WORKER_S} rewards/s behind the core of one service process")
        print(f"{'workers':>8} {'rewards/s':>10} {'efficiency':>11} {'against 1':>10} {'CPU ms per reward':>18}")
        found = [_measure(tree, workers, options.quick) for workers in ((1, 8, 64) if options.quick else WORKERS)]
        at_most = found[-1]
        for workers in BEYOND:
            if at_most["efficiency"] < WALL:
                break
            at_most = _measure(tree, workers, options.quick)
            found.append(at_most)
        per_worker = {int(each["workers"]): each["efficiency"] for each in found}
        for each in found:
            against = each["efficiency"] / per_worker[1]
            wrong = f"  {each['wrong']} WRONG" if each["wrong"] else ""
            print(
                f"{each['workers']:>8} {each['per_s']:>10,.0f} {each['efficiency']:>11.3f} {against:>10.3f} "
                f"{each['cpu_ms']:>18.2f}{wrong}"
            )
        full_at = 1000 / found[-1]["cpu_ms"]
        print(
            f"the next wall: the process's one core, full at about {full_at:,.0f} rewards/s, which is what "
            f"{full_at / PER_WORKER_S:.0f} such workers judge"
        )
        report[f"scale of {tree.label}"] = found
        rows[tree.label] = [Row("64 workers against 1, efficiency", per_worker[64] / per_worker[1], 0.9, 0.97)]
    return rows


def _measure(tree: Tree, workers: int, quick: bool) -> dict[str, float]:
    command = [sys.executable, "-m", "reward_path.scale_side", "--workers", str(workers)]
    command += ["--seconds", "4" if quick else "10"]
    done = subprocess.run(command, env=tree.environment(), cwd=tree.path, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found
