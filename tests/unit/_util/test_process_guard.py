"""The guard against processes that outlive their replica."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

PARENT = """
import subprocess, sys, time
from grm_plugin._util.process_guard import guard_children
guard = guard_children(float(sys.argv[1]))
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print(child.pid, flush=True)
time.sleep(600)
"""


def _alive(pid: int) -> bool:
    try:
        return (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize(
    ("frozen_after_s", "sent"), [(0.0, signal.SIGKILL), (3.0, signal.SIGKILL), (3.0, signal.SIGSTOP)]
)
def test_a_process_that_is_killed_or_stands_still_ends_with_its_children(frozen_after_s: float, sent: int) -> None:
    command = [sys.executable, "-c", PARENT, str(frozen_after_s)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout
        child = int(parent.stdout.readline())
        assert _alive(child)
        parent.send_signal(sent)
        assert parent.wait(30) == -signal.SIGKILL
    try:
        deadline = time.monotonic() + 20
        while _alive(child):
            assert time.monotonic() < deadline, "the child is still there"
            time.sleep(0.05)
    finally:
        if _alive(child):
            os.kill(child, signal.SIGKILL)
