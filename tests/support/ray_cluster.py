"""A Ray cluster of a test's own, as a user has one from `ray start`, and a look at its processes."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx

START_DEADLINE_S = 180.0
STOP_DEADLINE_S = 30.0
KILL_DEADLINE_S = 60.0
ANSWER_DEADLINE_S = 60.0
VLLM_KERNELS = "/vllm/_C"
RAY = Path(sys.executable).parent / "ray"


def free_port() -> int:
    """A port that nothing listens on, outside of the ranges from which Ray takes its own a moment later."""
    drawing = random.SystemRandom()  # the other one may be seeded anew by a test
    while True:
        port = drawing.randrange(20_000, 32_000)
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) != 0:
                return port


def wait_for(condition: Callable[[], bool], deadline_s: float, what: str) -> None:
    """Raises TimeoutError naming `what` unless `condition` holds within the deadline."""
    deadline = time.monotonic() + deadline_s
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {deadline_s:g} s: {what}")
        time.sleep(0.2)


def get(url: str) -> httpx.Response:
    """As patient as two busy cores need: `/ready` answers once the GRM has."""
    return httpx.get(url, timeout=ANSWER_DEADLINE_S, trust_env=False)


def session_processes(session: int) -> dict[int, str]:
    """Command line by pid of all living processes in a Unix session."""
    found = {}
    for entry in Path("/proc").iterdir():
        try:
            # Behind the command in parentheses: state, parent, group, session.
            state, _, _, sid = (entry / "stat").read_text().rpartition(")")[2].split()[:4]
            if int(sid) == session and state != "Z":
                found[int(entry.name)] = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
        except (OSError, ValueError):  # no process, or one that has just ended
            continue
    return found


def living_actors() -> list[tuple[str, int]]:
    """Every actor on the cluster that this process is connected to, if Ray takes it for alive.

    Its class and its name, for example `EngineReplica grm:Engine:0`, and its process. Ray says which process is which:
    its title does not always.
    """
    from ray._private import state
    from ray.core.generated import gcs_pb2

    rows = state.state._connect_and_get_accessor().get_actor_table(None, None)
    actors = [gcs_pb2.ActorTableData.FromString(row) for row in rows]
    return [
        (f"{actor.class_name} {actor.name}", actor.pid)
        for actor in actors
        if actor.state == gcs_pb2.ActorTableData.ALIVE
    ]


def actor_pids(session: int, name: str) -> list[int]:
    """Processes of the `living_actors` with this in their class or name, if they are in the Unix session."""
    ours = session_processes(session)
    return [pid for actor, pid in living_actors() if name in actor and pid in ours]


def vllm_processes(session: int) -> dict[int, str]:
    """Those of `session_processes` that are a vLLM engine of their own, by the kernels that they have mapped.

    Their title does not tell: setproctitle leaves a process unnamed whose first environment variable was set anew.
    """
    found = {}
    for pid, command in session_processes(session).items():
        try:
            maps = Path(f"/proc/{pid}/maps").read_text()
        except OSError:  # just ended
            continue
        if VLLM_KERNELS in maps and "Replica" not in command:
            found[pid] = command
    return found


def grm_processes(session: int) -> dict[int, str]:
    """Those of `session_processes` that belong to a GRM service."""
    ours = ("EngineReplica", "MetaRMReplica", "RewardActor", "Keeper", "Lease")
    named = {
        pid: command for pid, command in session_processes(session).items() if any(name in command for name in ours)
    }
    return named | vllm_processes(session)


def end_session(process: subprocess.Popen[bytes]) -> None:
    """End a process that leads a session, and then whatever is left in its session."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_DEADLINE_S)
        except subprocess.TimeoutExpired:
            process.kill()

    def killed() -> bool:
        left = session_processes(process.pid)
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return not left

    wait_for(killed, KILL_DEADLINE_S, "the end of what was killed")


@contextmanager
def ray_cluster(log: Path, num_gpus: int = 0, environ: Mapping[str, str] = os.environ) -> Iterator[tuple[str, int]]:
    """A cluster on ports of its own: its address, and the Unix session that all its processes are in.

    `environ` are the environment variables of its processes, without those of this process's own cluster or profile.
    """
    port = free_port()
    command = [
        str(RAY), "start", "--head", "--block", f"--port={port}", f"--ray-client-server-port={free_port()}",
        "--num-cpus=4", f"--num-gpus={num_gpus}", "--include-dashboard=false", "--disable-usage-stats",
    ]  # fmt: skip
    environ = {key: value for key, value in environ.items() if key not in ("RAY_ADDRESS", "GRM_CPU")}
    with log.open("wb") as out:
        head = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, start_new_session=True, env=environ)

    def address() -> str:
        return next((word for word in log.read_text().replace("'", " ").split() if word.endswith(f":{port}")), "")

    try:
        wait_for(lambda: bool(address()) or head.poll() is not None, START_DEADLINE_S, "ray start")
        assert head.poll() is None, log.read_text()[-2000:]
        yield address(), head.pid
    finally:
        end_session(head)
        _forget(address())


def _forget(address: str) -> None:
    """Remove the file by which `ray.init` finds a cluster on this machine, if this one is named there."""
    file = Path(tempfile.gettempdir(), "ray", "ray_current_cluster")  # `support.leftovers` says so to Ray, too
    with suppress(FileNotFoundError):
        if address and file.read_text() == address:
            file.unlink()
