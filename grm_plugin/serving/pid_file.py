"""Services under plain uvicorn on this machine, by name: one of each, and `grm-plugin stop` finds it.

Each holds a lock on a file of its own for as long as it lives. The kernel frees the lock with the process, however that
ends, so a file without a lock is a leftover, and the process id in a locked one is the right one.
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

from grm_plugin.errors import ServiceError
from grm_plugin.serving.stop_times import PROCESS_S

KILL_TIMEOUT_S = 5.0
LOCK_PATIENCE_S = 1.0
"""Who looks for a service holds its lock for a moment."""

LOOK_S = 0.1


@dataclass(frozen=True, slots=True)
class RunningService:
    """A service that runs in a process of its own."""

    pid: int
    url: str


@contextmanager
def holding_pid_file(name: str, url: str) -> Iterator[None]:
    """Be the service of this name on this machine (and of this user).

    Raises:
        ServiceError: another process is.
    """
    path = _path(name)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if path.parent.stat().st_uid != os.getuid():  # a folder with a known name, where everyone may write
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
    """The service of this name that runs on this machine, if one does."""
    try:
        with _path(name).open("r+") as file:
            if _lock(file.fileno(), fcntl.LOCK_SH):  # shared: others may be looking, and are no service
                return None  # its process is gone
            return RunningService(**json.loads(file.read()))
    except (OSError, ValueError, TypeError):
        return None


def stop(name: str) -> bool:
    """End the service of this name; False if none runs on this machine. One that does not end is killed.

    Raises:
        ServiceError: it belongs to someone else, or does not even end when it is killed.
    """
    running = find(name)
    if running is None:
        return False
    for sent, patience_s in ((signal.SIGTERM, PROCESS_S), (signal.SIGKILL, KILL_TIMEOUT_S)):
        try:
            os.kill(running.pid, sent)
        except ProcessLookupError:
            return True
        except PermissionError:
            raise ServiceError(f"the service {name!r} (process {running.pid}) belongs to another user") from None
        deadline = time.monotonic() + patience_s
        while time.monotonic() < deadline:
            if find(name) != running:
                return True
            time.sleep(LOOK_S)
    raise ServiceError(f"the service {name!r} (process {running.pid}) does not end; see what it waits for")


def _lock_within(descriptor: int, patience_s: float) -> bool:
    deadline = time.monotonic() + patience_s
    while not _lock(descriptor):
        if time.monotonic() > deadline:
            return False
        time.sleep(LOOK_S)
    return True


def _lock(descriptor: int, kind: int = fcntl.LOCK_EX) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _path(name: str) -> Path:
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    folder = Path(runtime, "grm_plugin") if runtime else Path(tempfile.gettempdir(), f"grm_plugin-{os.getuid()}")
    return folder / f"{name}.json"
