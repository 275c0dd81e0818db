"""A temporary folder and a mark of a test run's own, so that it can tell, and remove, what it leaves behind.

Ray writes the address of a cluster into the temporary folder, and the next `ray.init` of any program on the machine
follows it; vLLM leaves its sockets there, and a service the number of its process.
"""

from __future__ import annotations

import os
import signal
import tempfile
import time
import uuid
from contextlib import suppress
from pathlib import Path

from support.marked_jobs import processes_with

GONE_DEADLINE_S = 60.0
LONGEST_FOLDER = 24
"""Bytes. Ray puts Unix sockets 70 bytes further down, and their path has at most 107."""

RAY_AGENTS = ("ray::DashboardAgent", "ray::RuntimeEnvAgent")
"""They outlive their cluster for a while."""

OF_THIS_PROCESS = "multiprocessing.resource_tracker"
"""Python's own helper, which ends with the process that needed it."""


def take_folder() -> Path:
    """Make a temporary folder for this process and all that it starts from now on. The caller removes it at the end."""
    usual = tempfile.gettempdir()
    folder = tempfile.mkdtemp(prefix="grm-", dir=usual if len(usual) <= LONGEST_FOLDER else "/tmp")
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", usual)  # folders of `tmp_path` stay where one looks for them
    os.environ |= {"TMPDIR": folder, "RAY_TMPDIR": folder, "XDG_RUNTIME_DIR": folder}
    tempfile.tempdir = folder
    return Path(folder)


def take_mark() -> tuple[str, str]:
    """A variable, and a value that no other run has, now in the environment of all that this process starts."""
    mark = "GRM_TEST_RUN", uuid.uuid4().hex
    os.environ.update([mark])
    return mark


def end_processes(mark: tuple[str, str], deadline_s: float = GONE_DEADLINE_S) -> list[str]:
    """Command lines of the marked processes that did not end by themselves within the deadline; all are killed."""
    give_up = time.monotonic() + deadline_s
    while True:
        there = {pid: command for pid, command in processes_with(mark).items() if OF_THIS_PROCESS not in command}
        left = [command for command in there.values() if not command.startswith(RAY_AGENTS)]
        if not left or time.monotonic() > give_up:
            break
        time.sleep(0.2)
    for pid in there:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return left
