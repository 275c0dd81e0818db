"""The pid file of a service without Ray: keeps a second one of the same name away, and lets `grm-plugin stop` find it.

The service holds a lock on the file while it lives. The kernel releases the lock when the process ends, in any way.
So a file without a lock is a leftover of a dead service, and the process id in a locked file is right.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from grm_plugin._util.deadline import Deadline
from grm_plugin.errors import ServiceError
from grm_plugin.serving.stop_times import KILL_AFTER_S

KILL_TIMEOUT_S = 5.0
"""For a process to end after SIGKILL."""

LOCK_PATIENCE_S = 1.0
"""How long a service that starts tries to lock its file, which `find`, in another process, locks for a moment."""

LOOK_S = 0.1
"""Pause between two looks at a lock or a process."""


@dataclass(frozen=True, slots=True)
class RunningService:
    """A service that runs in a process of its own."""

    pid: int
    url: str


@contextmanager
def holding_pid_file(name: str, url: str) -> Iterator[None]:
    """Within the block this process is the service of this name on this machine, among those of this user.

    Raises:
        ServiceError: another process is the service of this name, or the folder of the files belongs to another user.
    """
    path = _path(name)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Below the temporary folder anyone may have made this folder first, and could write a false address into the file.
    if path.parent.stat().st_uid != os.getuid():
        raise ServiceError(f"{path.parent} belongs to another user: set XDG_RUNTIME_DIR to a folder of your own")
    with path.open("a+") as file:
        if not _lock_within(file.fileno(), LOCK_PATIENCE_S):
            running = find(name)
            where = f" at {running.url} (process {running.pid})" if running else ""
            raise ServiceError(
                f"a service named {name!r} runs on this machine already{where}: use it, stop it "
                f"(grm-plugin stop --name {name}), or set another service.name"
            )
        file.truncate(0)
        file.write(json.dumps(asdict(RunningService(os.getpid(), url))))
        file.flush()
        try:
            yield
        finally:
            file.truncate(0)


def find(name: str) -> RunningService | None:
    """The service of this name that runs on this machine without Ray, or None."""
    try:
        with _path(name).open("r+") as file:
            if _lock(file.fileno(), fcntl.LOCK_SH):  # a shared lock, which two processes that call `find` can both have
                return None  # nobody holds the lock: the service that wrote the file is gone
            return RunningService(**json.loads(file.read()))
    except (OSError, ValueError, TypeError):
        return None


def find_all() -> dict[str, RunningService]:
    """Every service of this user that runs on this machine without Ray, by its name."""
    names = sorted(file.stem for file in _path("any").parent.glob("*.json"))
    return {name: running for name in names if (running := find(name))}


def stop(name: str) -> bool:
    """End the service of this name by SIGTERM, or by SIGKILL if that does not help; False if none runs here.

    Raises:
        ServiceError: it belongs to another user, or does not end even when it is killed.
    """
    running = find(name)
    if running is None:
        return False
    for number, patience_s in ((signal.SIGTERM, KILL_AFTER_S), (signal.SIGKILL, KILL_TIMEOUT_S)):
        try:
            os.kill(running.pid, number)
        except ProcessLookupError:
            return True
        except PermissionError:
            raise ServiceError(f"the service {name!r} (process {running.pid}) belongs to another user") from None
        deadline = Deadline.after(patience_s)
        while not deadline.over:
            if find(name) != running:
                return True
            time.sleep(LOOK_S)
    raise ServiceError(
        f"the service {name!r} (process {running.pid}) does not end even by SIGKILL; see what that process waits for"
    )


def _lock_within(descriptor: int, patience_s: float) -> bool:
    """Whether the file could be locked within so many seconds."""
    deadline = Deadline.after(patience_s)
    while not _lock(descriptor):
        if deadline.over:
            return False
        time.sleep(LOOK_S)
    return True


def _lock(descriptor: int, kind: int = fcntl.LOCK_EX) -> bool:
    """Lock the file without waiting; False if another process holds a lock that excludes this one."""
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _path(name: str) -> Path:
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    folder = Path(runtime, "grm_plugin") if runtime else Path(tempfile.gettempdir(), f"grm_plugin-{os.getuid()}")
    return folder / f"{name}.json"
