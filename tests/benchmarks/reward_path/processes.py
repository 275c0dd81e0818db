"""The processes of the paths: started, asked, measured and ended."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from support.paths import ROOT
from support.ray_cluster import end_session, free_port

BENCHMARKS = ROOT / "tests" / "benchmarks"
SITE = BENCHMARKS / "reward_path" / "simulated_site"
START_DEADLINE_S = 300.0


@dataclass(frozen=True, slots=True)
class Tree:
    """A checkout whose package is measured, and the `--grm.KEY VALUE` with which its services are started."""

    label: str
    path: Path
    overrides: tuple[str, ...] = ()

    def environment(self, **further: str) -> dict[str, str]:
        """Of a process that runs this tree's package, with this benchmark's own modules."""
        path = os.pathsep.join(map(str, (SITE, BENCHMARKS, self.path, ROOT / "tests")))
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("GRM_", "RAY_"))}
        fixed = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0", "HF_HUB_OFFLINE": "1"}
        return {**kept, **fixed, "PYTHONPATH": path, "TOKENIZERS_PARALLELISM": "false", **further}


class Process:
    """A process that runs a tree's package, and all that it starts, in a Unix session of its own; its log is a file."""

    def __init__(
        self, command: list[str], tree: Tree, log: Path, environ: Mapping[str, str] | None = None, **options: Any
    ) -> None:
        self.log = log
        self.popen: subprocess.Popen[Any]
        with log.open("wb") as out:
            settings = {"stdout": out, "stderr": out, "env": tree.environment(**(environ or {})), **options}
            # In its folder: `python -m` looks for packages there first.
            self.popen = subprocess.Popen(command, cwd=tree.path, start_new_session=True, **settings)

    def tree(self) -> list[psutil.Process]:
        """The process and all below it."""
        try:
            root = psutil.Process(self.popen.pid)
            return [root, *root.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def cpu_s(self) -> dict[int, float]:
        """CPU seconds so far by process; of one that has ended, what is known of it is lost."""
        seconds = {}
        for process in self.tree():
            with suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                seconds[process.pid] = times.user + times.system
        return seconds

    def memory_mb(self) -> float:
        """Memory of all processes, shared pages by their share, in MB."""
        total = 0
        for process in self.tree():
            with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                total += process.memory_full_info().pss
        return total / 1e6

    def fail(self, what: str) -> RuntimeError:
        return RuntimeError(f"{what}; the end of {self.log}:\n{self.log.read_text(errors='replace')[-3000:]}")

    def end(self) -> None:
        end_session(self.popen)


def spent_s(before: Mapping[int, float], after: Mapping[int, float]) -> float:
    """CPU seconds between two readings of `Process.cpu_s`."""
    return sum(seconds - before.get(pid, 0.0) for pid, seconds in after.items())


class Asked(Process):
    """A process that takes commands, one a line, over its standard input, and answers in lines of JSON."""

    def __init__(self, command: list[str], tree: Tree, log: Path, environ: Mapping[str, str] | None = None) -> None:
        super().__init__(command, tree, log, environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        try:
            self._answer()  # it says when it is ready
        except BaseException:
            self.end()
            raise

    def ask(self, *words: object) -> dict[str, Any]:
        """The answer to a command."""
        self.tell(*words)
        return self._answer()

    def tell(self, *words: object) -> None:
        """Send a command whose answer nobody reads."""
        self.popen.stdin.write(" ".join(map(str, words)) + "\n")
        self.popen.stdin.flush()

    def _answer(self) -> dict[str, Any]:
        line = self.popen.stdout.readline()
        if not line:
            raise self.fail("a process that should answer has ended")
        answer: dict[str, Any] = json.loads(line)
        return answer


def caller(name: str, url: str, tree: Tree, log: Path, python: str = sys.executable) -> Asked:
    """The caller of a path, in a process of its own."""
    return Asked([python, "-m", "reward_path.caller_process", name, url], tree, log, {"GRM_URL": url})


def engine_server(tree: Tree, folder: Path, name: str, latency_s: float) -> tuple[Process, str]:
    """A simulated engine, and its address."""
    port = free_port()
    command = [sys.executable, "-m", "reward_path.engine_server", "--port", str(port), "--latency", str(latency_s)]
    process = Process(command, tree, folder / f"{name}.log")
    url = f"http://127.0.0.1:{port}"
    _wait_for(f"{url}/get_reward", process)
    return process, url


def service(
    tree: Tree, folder: Path, name: str, config: Mapping[str, Any], environ: Mapping[str, str] | None = None
) -> tuple[Process, str]:
    """`grm-plugin serve` of a tree, ready to judge, and its address."""
    port = free_port()
    unique = f"bench-{tree.label}-{name}-{port}"
    file = folder / f"{unique}.yaml"
    file.write_text(json.dumps({**config, "service": {"port": port, "name": unique, **config.get("service", {})}}))
    command = [sys.executable, "-m", "grm_plugin.cli", "serve", "--config", str(file), *tree.overrides]
    process = Process(command, tree, folder / f"{unique}.log", environ)
    url = f"http://127.0.0.1:{port}"
    _wait_for(f"{url}/ready", process)
    return process, url


def _wait_for(url: str, process: Process) -> None:
    """Until the address answers 200; a process that does not come to that is ended."""
    try:
        _wait_until_it_answers(url, process)
    except BaseException:
        process.end()
        raise


def _wait_until_it_answers(url: str, process: Process) -> None:
    deadline = time.monotonic() + START_DEADLINE_S
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    while True:
        try:
            with opener.open(url, timeout=60) as reply:
                if reply.status == 200:
                    return
        except (urllib.error.URLError, OSError):
            pass
        if process.popen.poll() is not None:
            raise process.fail(f"what should answer at {url} has ended")
        if time.monotonic() > deadline:
            raise process.fail(f"nothing answers at {url} after {START_DEADLINE_S:g} s")
        time.sleep(0.3)
