"""What the reward path costs: the judging is simulated, so what is left is waiting, HTTP, JSON, Ray and parsing.

    make bench                                                          # or, with another checkout in the same run:
    python tests/benchmarks/bench_reward_path.py --tree before=/path/to/checkout
    python tests/benchmarks/bench_reward_path.py --quick                # smaller bursts
    python tests/benchmarks/bench_reward_path.py --scale                # only: 1, 2, 4 ... 64 workers, simulated
    python tests/benchmarks/bench_reward_path.py --memory --vllm        # only: memory with samples waiting; real vLLM

The engine answers after 0.25 s, however much it is asked, and gives every response the score that the response says:
every reward must be exactly that, of eight votes. Groups of 8, k = 8, lists of 8, prompts of 150 words, responses and
critiques of 300. Samples come in bursts from OpenRLHF's own executor or from a client; one process per path and one
service per engine, all running, measured in turns. CPU is that of all processes of a path but the simulated OpenAI
server; that of a replica on Ray includes its simulated engine, which costs next to nothing.

    overhead   (wall - wall of OpenRLHF's executor without a reward - 0.25 s) / rewards, of the larger bursts
    own CPU    CPU of the path - CPU of the floor in it: the executor, or the HTTP hook with an instant answer

Prints tables and writes all numbers as JSON. No test: it asserts nothing about time, but fails if a reward is wrong.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from reward_path.memory import memory_rows  # noqa: E402
from reward_path.paths import build, medians, rotate  # noqa: E402
from reward_path.processes import Tree  # noqa: E402
from reward_path.scale_runs import scale_rows  # noqa: E402
from reward_path.table import Row, rows_of_tree, show_paths, show_rows  # noqa: E402
from reward_path.vllm_rate import vllm_rows  # noqa: E402

from support.paths import ROOT  # noqa: E402

FULL, QUICK = (512, 4_096), (128, 512)


def burst_rows(trees: list[Tree], options: argparse.Namespace, folder: Path, report: dict[str, object]) -> Rows:
    """The rows that bursts give, by tree."""
    sizes = tuple(options.bursts or (QUICK if options.quick else FULL))
    chosen: Callable[[str], bool] = lambda name: bool(re.search(options.only, name))  # noqa: E731
    verl_python = options.verl_python if options.verl_python.exists() else None
    if not verl_python:
        print(f"verl is left out: there is no {options.verl_python} (make test-verl makes one)")
    with ExitStack() as stack:
        paths = build(trees, chosen, folder, verl_python, stack)
        rotate(paths, sizes, options.rounds)
    by_size = {size: {path.name: medians(path, size) for path in paths} for size in sizes}
    measured = {path.name: [row for size in sizes if (row := by_size[size][path.name])] for path in paths}
    print(f"\n{show_paths(measured)}\n")
    report["bursts"] = {path.name: [asdict(burst) for burst in path.bursts] for path in paths}
    report["medians"] = {name: [asdict(row) for row in rows] for name, rows in measured.items()}
    return {tree.label: rows_of_tree(tree.label, by_size[max(sizes)], by_size[min(sizes)]) for tree in trees}


Rows = dict[str, list[Row]]


def read_tree(text: str) -> Tree:
    label, _, path = text.rpartition("=")
    folder = Path(path).resolve()
    if not (folder / "grm_plugin").is_dir():
        raise argparse.ArgumentTypeError(f"{folder} holds no grm_plugin")
    return Tree(label or folder.name, folder)


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tree", type=read_tree, action="append", default=[], metavar="LABEL=PATH",
                        help="another checkout, measured in the same run")  # fmt: skip
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE",
                        help="a key of this checkout's configuration, such as service.replicas=2")  # fmt: skip
    parser.add_argument("--quick", action="store_true", help=f"bursts of {QUICK} samples, not {FULL}")
    parser.add_argument("--bursts", type=int, nargs="+", help="other sizes of bursts; multiples of 8")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="", help="only paths in whose name this regular expression is found")
    parser.add_argument("--scale", action="store_true", help="efficiency of up to 64 simulated workers")
    parser.add_argument("--memory", action="store_true", help="the service's memory with 32,768 samples waiting")
    parser.add_argument("--vllm", action="store_true", help="tokens/s on vLLM, offline and through the service")
    parser.add_argument("--model", type=Path, help="for --vllm; a folder. Else random weights, 100 M parameters")
    parser.add_argument("--all", action="store_true", help="the bursts, and all three above")
    parser.add_argument("--verl-python", type=Path, default=ROOT / ".venv-verl" / "bin" / "python")
    parser.add_argument("--json", type=Path, default=ROOT / "build" / "bench_reward_path.json")
    return parser.parse_args(arguments)


def main() -> int:
    options = parse()
    overrides = tuple(part for pair in options.set for part in f"--grm.{pair}".split("=", 1))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # the processes that were started are ended all the same
    trees = [Tree("this", ROOT, overrides), *options.tree]
    report: dict[str, object] = {"at": time.strftime("%Y-%m-%d %H:%M:%S"), "cores": os.cpu_count()}
    parts = [options.scale, options.memory, options.vllm]
    rows: Rows = {tree.label: [] for tree in trees}
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        for wanted, measure in (
            (options.all or not any(parts), burst_rows),
            (options.all or options.scale, scale_rows),
            (options.all or options.memory, memory_rows),
            (options.all or options.vllm, vllm_rows),
        ):
            if wanted:
                for label, found in measure(trees, options, Path(folder), report).items():
                    rows[label] += found
    load = report["load average"] = os.getloadavg()[2]
    print(f"{os.cpu_count()} cores, load average of the last 15 minutes {load:.1f}\n")
    print(show_rows(rows))
    report["rows"] = {label: [row.as_dict() for row in of_tree] for label, of_tree in rows.items()}
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(report, indent=1))
    print(f"\nall numbers: {options.json}")
    medians_by_path = report.get("medians", {})
    assert isinstance(medians_by_path, dict)
    wrong = {name: sum(row["wrong"] for row in of_path) for name, of_path in medians_by_path.items()}
    for name, count in wrong.items():
        if count:
            print(f"{name}: {count} rewards are not what the texts say", file=sys.stderr)
    return int(any(wrong.values()))


if __name__ == "__main__":
    sys.exit(main())
