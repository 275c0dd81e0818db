"""Kills a replica's child processes when the replica dies, and a replica that is frozen; either would keep its GPU."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable

BEAT_S = 1.0
"""Pause between two signs of life that a process sends to its guard."""

_GUARD = """
import os, select, signal, sys
group, patience_s = int(sys.argv[1]), float(sys.argv[2]) or None
while select.select([0], [], [], patience_s)[0] and os.read(0, 4096):
    pass
os.kill(-group, signal.SIGKILL)
"""


def guard_children(frozen_after_s: float = 0.0, alive: Callable[[], bool] = lambda: True) -> subprocess.Popen[bytes]:
    """From now on the child processes of this process die with it, even if it is killed by SIGKILL (POSIX).

    vLLM's engine runs in a child process. When Ray ends a replica, Ray ends that child too; when the kernel kills the
    replica (out of memory), the child would stay behind and keep its GPU. So this process puts itself and its children
    into a process group of their own and starts a guard, a process outside of that group. The guard reads from a pipe
    that closes when this process ends, and then kills the group.

    Args:
        frozen_after_s: if above 0, the guard also kills the group when this process has been frozen (it was stopped by
            a signal, or cannot run its threads) for so many seconds. Ray only asks a replica to end itself, which a
            frozen one never does.
        alive: asked every `BEAT_S` seconds, in a thread of its own; while it is False, the process counts as frozen.

    Returns:
        The guard. The caller must keep a reference: when it is garbage-collected the pipe closes, and the guard kills
        this process.
    """
    if os.getpgrp() != os.getpid():  # a session leader leads its process group already; setpgid would fail
        os.setpgid(0, 0)
    command = [sys.executable, "-S", "-c", _GUARD, str(os.getpid()), str(frozen_after_s)]
    guard = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)
    if frozen_after_s:
        threading.Thread(target=_beat, args=(guard, alive), name="grm-guard", daemon=True).start()
    return guard


def _beat(guard: subprocess.Popen[bytes], alive: Callable[[], bool]) -> None:
    """Write a byte to the guard every `BEAT_S` seconds: a frozen process writes none."""
    assert guard.stdin is not None
    descriptor = guard.stdin.fileno()
    try:
        while True:
            if alive():
                os.write(descriptor, b".")
            time.sleep(BEAT_S)
    except OSError:  # the guard was killed, or its pipe was closed
        return
