"""Jobs of many processes, known by a variable of their environment whatever group or session each of them is in."""

from __future__ import annotations

import os
import signal
import subprocess
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

KILL_DEADLINE_S = 60.0
"""A process that waits for its disk ends late."""


def new_mark() -> tuple[str, str]:
    """A variable, and a value that no other job has: to be put into the environment of a job's first process."""
    return "GRM_TEST_JOB", uuid.uuid4().hex


def processes_with(mark: tuple[str, str]) -> dict[int, str]:
    """Command line by pid of all living processes that were started with this variable."""
    variable = "=".join(mark).encode()
    found = {}
    for process in Path("/proc").iterdir():
        try:
            if process.name.isdigit() and variable in (process / "environ").read_bytes().split(b"\0"):
                found[int(process.name)] = (process / "cmdline").read_text(errors="replace").replace("\0", " ")
        except OSError:
            continue  # it has ended, or is not ours
    return {pid: command for pid, command in found.items() if command}


def kill_marked(mark: tuple[str, str]) -> None:
    """SIGKILL to all of a job; to those that it starts meanwhile, too."""
    deadline = time.monotonic() + KILL_DEADLINE_S
    while left := processes_with(mark):
        for pid in left:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        assert time.monotonic() < deadline, f"they do not end: {left}"
        time.sleep(0.05)


def run_marked(
    command: Sequence[str], deadline_s: float, environ: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, with these variables beside our own; nothing that it started is left behind.

    The test fails with the end of its stderr when it takes longer than `deadline_s`.
    """
    mark = new_mark()
    whole = {**os.environ, **environ, **dict([mark])}
    with subprocess.Popen(command, env=whole, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as job:
        try:
            out, err = job.communicate(timeout=deadline_s)
        except subprocess.TimeoutExpired:
            kill_marked(mark)
            pytest.fail(f"{command} did not end within {deadline_s:g} s:\n{job.communicate()[1][-4000:]}")
        finally:
            kill_marked(mark)
    return subprocess.CompletedProcess(command, job.returncode, out, err)
