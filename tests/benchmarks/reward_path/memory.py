"""The memory of a service with as many samples waiting as it takes by default: 32,768."""

from __future__ import annotations

import argparse
import json
import time
import urllib.request
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from reward_path.paths import openai_config
from reward_path.processes import Tree, caller, engine_server, service, spent_s
from reward_path.table import Row

WAITING = 32_768
SLOW_S = 3_600.0
"""The engine's latency: longer than the measuring."""

DEADLINE_S, FILL_DEADLINE_S = 1_800.0, 300.0
"""Of the service for its samples, and of the measuring for their coming in."""

IDLE = 0.2
"""Share of a core below which a service has nothing left to do but wait."""


def memory_rows(
    trees: list[Tree], options: argparse.Namespace, folder: Path, report: dict[str, object]
) -> dict[str, list[Row]]:
    """The row of each tree: the memory of its service's processes, shared pages by their share."""
    wanted = WAITING // 8 if options.quick else WAITING
    rows = {}
    for tree in trees:
        with ExitStack() as stack:
            found = _measure(tree, wanted, folder, stack)
        report[f"memory of {tree.label}"] = found
        waiting, with_mb = int(found["waiting"]), found["with_mb"]
        print(f"{tree.label}: {found['before_mb']:,.0f} MB before, {with_mb:,.0f} MB with {waiting:,} samples waiting")
        part = wanted / WAITING  # with fewer samples less is allowed
        row = Row(f"service memory with {wanted:,} samples waiting", None, 3.0 * part, 1.5 * part, "GB", at_most=True)
        if waiting < wanted:
            row = replace(row, note=f"only {waiting:,} got in")
        else:
            row = replace(row, value=with_mb / 1e3)
        rows[tree.label] = [row]
    return rows


def _measure(tree: Tree, wanted: int, folder: Path, stack: ExitStack) -> dict[str, float]:
    engine, engine_url = engine_server(tree, folder, "slow engine", SLOW_S)
    stack.callback(engine.end)
    config = {**openai_config(engine_url), "failure": {"deadline_s": DEADLINE_S}}
    server, url = service(tree, folder, "memory", config)
    stack.callback(server.end)
    crowd = caller("crowd", url, tree, folder / f"crowd_{tree.label}.log")
    stack.callback(crowd.end)
    crowd.ask("prepare", wanted, 1)
    before_mb = most_mb = server.memory_mb()
    crowd.tell("run")
    give_up, waiting, busy = time.monotonic() + FILL_DEADLINE_S, 0, True
    while (waiting < wanted or busy) and time.monotonic() < give_up:
        cpu_s, began = server.cpu_s(), time.monotonic()
        time.sleep(2)
        busy = spent_s(cpu_s, server.cpu_s()) > IDLE * (time.monotonic() - began)
        waiting, most_mb = _waiting(url), max(most_mb, server.memory_mb())
    return {"waiting": waiting, "before_mb": before_mb, "with_mb": most_mb}


def _waiting(url: str) -> int:
    """Samples that the service has taken on and not answered."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"{url}/info", timeout=FILL_DEADLINE_S) as reply:
        return int(json.load(reply)["counters"]["waiting"])
