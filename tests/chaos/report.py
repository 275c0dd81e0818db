"""Prints the table, and writes `summary.json`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from tally import COUNTS, Tally, complaints, total

COMPLAINTS_SHOWN = 20


def show(runs: Mapping[str, list[Tally]], seed: int) -> Tally:
    """Print a row per phase and the total; returns the total."""
    table = Table(title=f"chaos, seed {seed}")
    table.add_column("phase")
    for heading in ("asked", "answered", "by policy", "lost", "wrong", "worst latency", "hung"):
        table.add_column(heading, justify="right")
    everything = [tally for tallies in runs.values() for tally in tallies]
    for engine, tallies in runs.items():
        for tally in tallies:
            _row(table, tally)
        _row(table, total(f"{engine} engines", tallies), style="bold")
        table.add_section()
    summed = total("total", everything)
    _row(table, summed, style="bold")
    console = Console(width=120)
    console.print(table)
    for complaint in list(complaints(everything))[:COMPLAINTS_SHOWN]:
        console.print(complaint, style="red", markup=False, soft_wrap=True)
    return summed


def write(runs: Mapping[str, list[Tally]], summed: Tally, seed: int, path: Path) -> None:
    """Write the counts (`tally.Tally`) of everything and of each phase."""
    phases = [{"engine": engine, **tally.as_dict()} for engine, tallies in runs.items() for tally in tallies]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({**_counts(summed), "seed": seed, "phases": phases}, indent=1) + "\n")


def _counts(tally: Tally) -> dict[str, Any]:
    values = asdict(tally)
    return {name: values[name] for name in (*COUNTS, "worst_latency_s")}


def _row(table: Table, tally: Tally, style: str | None = None) -> None:
    before, after = (tally.asked, tally.answered, tally.by_policy, tally.lost, tally.wrong), tally.hung
    table.add_row(tally.name, *map(str, before), f"{tally.worst_latency_s:.1f} s", str(after), style=style)
