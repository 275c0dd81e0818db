"""Ends a job that an example started, with all of the job's processes."""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import suppress

GRACE_S = 30.0


def end_group(process: subprocess.Popen[bytes]) -> None:
    """End a process that leads a group, and its group; return when the process has ended, at once if it already has.

    SIGTERM comes first, on which a job stops its service. SIGKILL goes to the processes that are left when it has
    ended, or after GRACE_S seconds.
    """
    if process.poll() is not None:
        return
    for sent in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, sent)
        with suppress(subprocess.TimeoutExpired):
            process.wait(GRACE_S)
