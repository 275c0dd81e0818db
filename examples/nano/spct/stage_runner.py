"""Runs commands that depend on each other, a few at a time. Each writes its own log."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from examples.processes import end_group

POLL_S = 0.2


@dataclass(frozen=True, slots=True)
class Stage:
    """A command, and the names of the stages that have to end before it begins."""

    name: str
    command: Sequence[str]
    after: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class _Running:
    stage: Stage
    process: subprocess.Popen[bytes]
    log: IO[bytes]
    began: float


def run_stages(
    stages: Sequence[Stage], logs: Path, lanes: int, deadline_s: float, say: Callable[[str], None] = print
) -> dict[str, float]:
    """Run the stages, `lanes` at a time, and return the seconds that each took.

    Of two stages that are ready the earlier in `stages` goes first. A stage that ends with status 0 leaves NAME.done
    beside its log, and is not run again.

    Raises:
        RuntimeError: a stage failed, or all together took longer than `deadline_s`; the others were stopped. The
            message shows the end of the failed stage's log.
    """
    logs.mkdir(parents=True, exist_ok=True)
    waiting = [stage for stage in stages if not _mark(stage, logs).exists()]
    done = {stage.name for stage in stages} - {stage.name for stage in waiting}
    running, took = list[_Running](), dict[str, float]()
    began = time.monotonic()
    try:
        while waiting or running:
            for stage in [stage for stage in waiting if done.issuperset(stage.after)]:
                if len(running) < lanes:
                    waiting.remove(stage)
                    running.append(_begin(stage, logs))
                    say(f"[{time.monotonic() - began:5.0f} s] {stage.name} ...")
            if not running:
                raise RuntimeError(f"these stages wait for stages that do not exist: {[s.name for s in waiting]}")
            if time.monotonic() - began > deadline_s:
                raise RuntimeError(f"not done after {deadline_s:.0f} s: {[job.stage.name for job in running]}")
            for job in [job for job in running if job.process.poll() is not None]:
                running.remove(job)
                job.log.close()
                if job.process.returncode:
                    raise RuntimeError(_failure(job, logs))
                _mark(job.stage, logs).touch()
                done.add(job.stage.name)
                took[job.stage.name] = time.monotonic() - job.began
                say(f"[{time.monotonic() - began:5.0f} s] {job.stage.name} done, {took[job.stage.name]:.0f} s")
            time.sleep(POLL_S)
    finally:
        for job in running:
            end_group(job.process)
            job.log.close()
    return took


def _begin(stage: Stage, logs: Path) -> _Running:
    log = (logs / f"{stage.name}.log").open("wb")
    process = subprocess.Popen(
        list(stage.command),
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        env={**os.environ, **stage.environment},
        start_new_session=True,
    )
    return _Running(stage, process, log, time.monotonic())


def _mark(stage: Stage, logs: Path) -> Path:
    return logs / f"{stage.name}.done"


def _failure(job: _Running, logs: Path) -> str:
    path = logs / f"{job.stage.name}.log"
    tail = "\n".join(path.read_text(encoding="utf-8", errors="replace").splitlines()[-30:])
    return f"{job.stage.name} ended with status {job.process.returncode}; the end of {path}:\n{tail}"
