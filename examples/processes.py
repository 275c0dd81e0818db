"""Ends what an example has started in a session of its own."""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import suppress

GRACE_S = 30.0


def end_group(process: subprocess.Popen[bytes]) -> None:
    """End a process and its group, and return when it has ended; does nothing where the process ended by itself.

    First SIGTERM, on which a job stops its service; SIGKILL to those that are left when it has ended, or after GRACE_S.
    """
    if process.poll() is not None:
        return
    for sent in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, sent)
        with suppress(subprocess.TimeoutExpired):
            process.wait(GRACE_S)
