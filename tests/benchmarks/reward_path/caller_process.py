"""A caller in a process of its own, which does what it is told line by line, so that its CPU is nobody else's.

    python -m reward_path.caller_process agent http://127.0.0.1:8790

Standard input: `prepare SAMPLES SEED`, `run` or `check`; each is answered by one line of JSON on standard output.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import resource
import sys
import time
from typing import Any, TextIO

from reward_path.texts import questions


def make_caller(name: str, url: str) -> Any:
    if name.startswith("verl"):
        from reward_path.verl_side import VerlCaller

        return VerlCaller(url, whole_batch=name == "verl_batch")
    from reward_path.callers import CALLERS

    return CALLERS[name](url)


async def serve(name: str, url: str, answers: TextIO) -> None:
    caller = make_caller(name, url)

    def answer(**values: Any) -> None:
        print(json.dumps(values), file=answers, flush=True)

    answer(ready=True)
    while command := (await asyncio.to_thread(sys.stdin.readline)).split():
        match command:
            case ["prepare", samples, seed]:
                caller.prepare(questions(int(samples), int(seed)))
                gc.collect()
                answer(prepared=True)
            case ["run"]:
                began = time.perf_counter()
                await caller.run()
                answer(wall_s=time.perf_counter() - began)
            case ["check"]:
                answer(wrong=caller.wrong())


def main() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what frameworks print is no answer
    asyncio.run(serve(sys.argv[1], sys.argv[2], answers))


if __name__ == "__main__":
    main()
