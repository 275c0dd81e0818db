"""SPCT in miniature on two CPU cores: a nano GRM before and after rejective fine-tuning and RL, and its meta RM.

    python -m examples.nano.spct --seed 1            (`make spct`)

Supervised start (SFT) -> rejective fine-tuning -> online RL in OpenRLHF -> meta RM -> evaluation on held-out items,
two stages at a time. Leaves the models, all votes, summary.json and curve.png in `--run`. `--ship` then replaces the
models of examples/nano.
"""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from examples.nano.spct.stage_runner import run_stages
from examples.nano.spct.stages import NANO, ROOT, Plan, stages


def ship(plan: Plan) -> None:
    """Replace examples/nano/models/{grm,meta_rm} by the models of this run; their README.md stay."""
    from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

    from examples.nano.model import save

    kinds = {"grm": ("rl", AutoModelForCausalLM), "meta_rm": ("meta_rm", AutoModelForSequenceClassification)}
    for target, (name, kind) in kinds.items():
        model = kind.from_pretrained(plan.model(name))
        model.config.use_cache = True  # OpenRLHF turns it off for training
        save(model, AutoTokenizer.from_pretrained(plan.model(name)), NANO / "models" / target)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--run", type=Path, default=ROOT / "runs/spct", help="output folder; emptied first unless --resume"
    )
    parser.add_argument("--seed", type=int, default=1, help="of the items, the training and the sampling")
    parser.add_argument("--lanes", type=int, default=2, help="stages at a time, each on one core")
    parser.add_argument("--timeout-s", type=float, default=7200, help="the run is stopped after this time")
    parser.add_argument(
        "--fast", action="store_true", help="tiny sizes: shows that everything runs, not that it learns"
    )
    parser.add_argument(
        "--no-ablations", action="store_true", help="leave out a third of the work: SFT, RFT and RL only"
    )
    parser.add_argument("--resume", action="store_true", help="keep what an interrupted run of the same plan finished")
    parser.add_argument("--ship", action="store_true", help="replace the models of examples/nano in the end")
    args = parser.parse_args(arguments)
    run = args.run.resolve()
    if not args.resume:
        shutil.rmtree(run, ignore_errors=True)
    run.mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # as Ctrl-C does: the stages are stopped
    plan = Plan.fast(run, args.seed) if args.fast else Plan(run, args.seed)
    plan = replace(plan, ablations=not args.no_ablations)
    plan.save_or_compare()
    began = time.monotonic()
    run_stages(stages(plan), run / "logs", args.lanes, args.timeout_s, lambda text: print(text, flush=True))

    from examples.nano.spct import results

    rows = results.collect(run / "eval")
    results.write(rows, run / "summary.json")
    results.draw(rows, run / "curve.png")
    console = Console(width=150)
    for subset in results.SUBSETS:
        console.print(results.table(rows, subset), results.comparisons(rows, subset))
    if args.ship:
        ship(plan)
    print(f"{time.monotonic() - began:.0f} s; see {run / 'summary.json'}, {run / 'curve.png'}, {run / 'logs'}")


if __name__ == "__main__":
    main()
