"""No process outlives the replica that started it, and no replica outlives its own standstill."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time

BEAT_S = 1.0

_GUARD = """
import os, select, signal, sys
group, patience_s = int(sys.argv[1]), float(sys.argv[2]) or None
while select.select([0], [], [], patience_s)[0] and os.read(0, 4096):
    pass
os.kill(-group, signal.SIGKILL)
"""


def guard_children(frozen_after_s: float = 0.0) -> subprocess.Popen[bytes]:
    """From now on, whatever this process has started dies with it, even if it is killed by SIGKILL (POSIX).

    vLLM's engine is a process of its own. Ray ends it together with a replica that Ray ends, but one that the kernel
    ends (out of memory) would leave it behind, on its GPU. So this process gets a process group for itself and its
    children, and a guard outside of the group waits for the end of a pipe, which comes with the end of this process.

    With `frozen_after_s` the guard also ends a process that has stood still for so long: Ray asks a replica to end
    itself, which one that is frozen never does, and its GPU would stay taken.

    The caller must keep the result: dropping it closes the pipe.
    """
    if os.getpgrp() != os.getpid():  # a session leader has its group already and may not ask for one
        os.setpgid(0, 0)
    command = [sys.executable, "-S", "-c", _GUARD, str(os.getpid()), str(frozen_after_s)]
    guard = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)
    if frozen_after_s:
        threading.Thread(target=_beat, args=(guard,), name="grm-guard", daemon=True).start()
    return guard


def _beat(guard: subprocess.Popen[bytes]) -> None:
    assert guard.stdin is not None
    descriptor = guard.stdin.fileno()
    try:
        while True:
            os.write(descriptor, b".")
            time.sleep(BEAT_S)
    except OSError:  # the guard is gone, or dismissed
        return
