"""What only a GPU can show, in eight minutes on one card: `python tests/gpu`.

On the GPU machine: pip install -e ".[vllm,test]" (the test of the service needs Ray, which comes along). Nothing is
downloaded. The parts run one after the other, each in a process of its own with a deadline; those for which the time
does not suffice are reported as not run. Prints a line for each, leaves runs/gpu/summary.json, and fails if one failed.

`--device cpu --tiny` runs all of it but the service on vLLM's CPU build, to try the script itself.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path += [str(HERE.parent), str(HERE.parents[1])]

from grm_plugin.engines.load_failures import cause_in  # noqa: E402
from support.marked_jobs import kill_marked, new_mark, processes_with  # noqa: E402
from support.released_models import RELEASED  # noqa: E402

BUDGET_S = 480.0
STOP_S = 30.0
"""Seconds that the processes of a part have to end after it."""

CPU_PATIENCE = 6.0
"""By this factor a part may take longer on CPU cores, which others may use too."""


@dataclass(frozen=True)
class Part:
    """A command of this folder, which prints its figures as JSON in its last line and fails with what is wrong.

    `usual_s` is what it should need on a GPU: it is not begun with less than that left. `deadline_s` ends it.
    """

    name: str
    script: str
    usual_s: float
    deadline_s: float
    arguments: Sequence[str] = ()
    environ: Mapping[str, str] = field(default_factory=dict)
    on_cpu: bool = True


PARTS = (
    Part("parity", "parity.py", 90, 180),
    Part(
        "parity, first model runner", "parity.py", 60, 120, ["--eager"], {"VLLM_USE_V2_MODEL_RUNNER": "0"}, on_cpu=False
    ),
    Part("memory", "memory.py", 30, 90),
    Part("tokens/s, grm_plugin", "throughput.py", 60, 150, ["grm_plugin"]),
    Part("tokens/s, vLLM", "throughput.py", 60, 150, ["vllm"]),
    Part("service on Ray", "service.py", 40, 120, on_cpu=False),
)


@dataclass(frozen=True)
class Outcome:
    """How a part ended: `ok`, `FAILED` or `not run`; `why` says why not ok."""

    name: str
    status: str
    took_s: float = 0.0
    figures: dict[str, Any] = field(default_factory=dict)
    why: str = ""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--tiny", action="store_true", help="tokens/s of a tiny model instead of one of 16B parameters")
    parser.add_argument("--budget-s", type=float, default=BUDGET_S, help="seconds for all parts together")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="parts whose name begins with one of these")
    parser.add_argument("--models", nargs="+", choices=sorted(RELEASED), default=sorted(RELEASED), help="for parity")
    parser.add_argument("--out", type=Path, default=HERE.parents[1] / "runs" / "gpu" / "summary.json")
    options = parser.parse_args()
    chosen = [part for part in PARTS if part.on_cpu or options.device == "cuda"]
    chosen = [part for part in chosen if not options.only or part.name.startswith(tuple(options.only))]
    until = time.monotonic() + options.budget_s
    outcomes = []
    with tempfile.TemporaryDirectory() as folder:
        for part in chosen:
            outcomes.append(run(part, options, Path(folder), until))
            show(outcomes[-1])
    if ratio := throughput_ratio(outcomes):
        print(f"tokens/s of grm_plugin as a part of vLLM's own: {ratio:.2f}")
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps({"ratio": ratio, "parts": list(map(asdict, outcomes))}, indent=2) + "\n")
    return int(any(outcome.status == "FAILED" for outcome in outcomes))


def run(part: Part, options: argparse.Namespace, folder: Path, until: float) -> Outcome:
    """Run a part to its end, its deadline or that of the whole, whichever comes first."""
    left_s = until - time.monotonic() - STOP_S
    usual_s = part.usual_s if options.device == "cuda" else 0.0
    if left_s < max(usual_s, 1.0):
        return Outcome(part.name, "not run", why=f"{max(left_s, 0):.0f} s are left, it needs {usual_s:.0f}")
    command = [sys.executable, str(HERE / part.script), *part.arguments, "--device", options.device]
    command += ["--folder", str(folder), "--models", *options.models, *(["--tiny"] if options.tiny else [])]
    mark = new_mark()
    environ = {**os.environ, **part.environ, "HF_HUB_OFFLINE": "1", **dict([mark])}
    log = folder / f"{part.script}-{len(list(folder.glob('*.log')))}.log"
    began = time.monotonic()
    deadline_s = min(part.deadline_s * (CPU_PATIENCE if options.device == "cpu" else 1.0), left_s)
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, env=environ)
        try:
            code = process.wait(deadline_s)
            late = ""
        except subprocess.TimeoutExpired:
            code, late = 1, f"not done within {deadline_s:.0f} s"
        took_s = time.monotonic() - began
        left = [] if late else wait_for_end(mark)
        kill_marked(mark)
        process.wait()
    lines = log.read_text(errors="replace").splitlines()
    figures = last_json(lines)
    why = late or (f"left behind: {left}" if left else "")
    if code and not why:
        why = str(figures.pop("wrong", "")) or cause_in("\n".join(lines)) or "\n".join(lines[-15:])
    return Outcome(part.name, "FAILED" if why else "ok", took_s, figures, why)


def wait_for_end(mark: tuple[str, str]) -> list[str]:
    """The command lines of what a part has started and that is still there after `STOP_S`."""
    until = time.monotonic() + STOP_S
    while (left := processes_with(mark)) and time.monotonic() < until:
        time.sleep(0.2)
    return list(left.values())


def last_json(lines: Sequence[str]) -> dict[str, Any]:
    for line in reversed(lines):
        if line.startswith("{"):
            found: dict[str, Any] = json.loads(line)
            return found
    return {}


def throughput_ratio(outcomes: Sequence[Outcome]) -> float | None:
    ours, theirs = (
        next((outcome.figures.get("tokens_per_s") for outcome in outcomes if outcome.name == f"tokens/s, {name}"), None)
        for name in ("grm_plugin", "vLLM")
    )
    return ours / theirs if ours and theirs else None


def show(outcome: Outcome) -> None:
    figures = "  ".join(f"{key} {_short(value)}" for key, value in outcome.figures.items())
    print(
        f"{outcome.status:<8}{outcome.name:<28}{outcome.took_s:6.0f} s  {figures}  {outcome.why}".rstrip(), flush=True
    )


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    sys.exit(main())
