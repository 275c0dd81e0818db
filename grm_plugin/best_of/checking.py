"""A test command of the user's as a verifier: run on one sample at a time, with limits, and ended with all it started.

The samples are a model's text, and a test mostly runs it as a program: see "Test commands" in SECURITY.md for what the
limits are worth.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from grm_plugin.best_of import limits
from grm_plugin.best_of.problems import Problem, Sample, row_of
from grm_plugin.errors import ConfigError

PASSED_ON = ("PATH", "LANG", "LC_ALL", "PYTHONPATH", "VIRTUAL_ENV")
"""Environment variables that the command gets. No other one: those of a job hold its tokens."""

ISOLATED = ("unshare", "--user", "--map-root-user", "--net", "--pid", "--fork", "--kill-child", "--mount-proc")
"""Of util-linux: no network, and processes that end with the first one, whatever they do."""

MARK = "GRM_TEST_COMMAND"
"""Environment variable by which the processes of a run are found again, in whatever group they are."""

GONE_S = 10.0
"""Longest wait for what was killed, in seconds."""

SWEEPS = 1_000
"""Most searches for what a run has left behind."""

MOST_PROCESSES, UNLIMITED = 256, -1
"""Processes and threads of one run, where they can be counted. The kernel lets root have more."""

MIB = 2**20


@dataclass(frozen=True, slots=True)
class Limits:
    """What one run of the command may take.

    Attributes:
        seconds: on the clock, and of one process's CPU.
        memory_mib: of address space, per process.
        output_kib: that it may print, and that each file it writes may have.
    """

    seconds: float = 10.0
    memory_mib: int = 2048
    output_kib: int = 1024


@dataclass(frozen=True, slots=True)
class Checked:
    """What the command says of a sample. `why` is empty where it said so by its exit status 0 or 1."""

    passed: bool
    why: str = ""


class TestCommand:
    """Runs the command: exit status 0 means right, any other wrong, and so does a limit that was broken.

    The command gets the sample on its standard input, and in the file that GRM_SAMPLE names; GRM_PROBLEM names a JSON
    file with the problem in its published form, without the samples. It runs in an empty folder that is removed
    afterwards. Words of the command that name files of the current folder are made absolute.

    Args:
        command: as one would type it. No shell reads it.
        bounds: for each run.
        at_once: most runs at once.

    Raises:
        ConfigError: the command is empty, cannot be split, or cannot be found.
    """

    __test__ = False  # no class of tests, whatever pytest makes of its name

    def __init__(self, command: str, bounds: Limits, at_once: int = 1) -> None:
        self._words = _absolute(command)
        self._bounds = bounds
        self._slots = asyncio.Semaphore(at_once)
        self.isolated = _can_isolate()
        """Whether its processes have no network and cannot outlive it."""

    @property
    def named(self) -> list[object]:
        """What its verdicts depend on: its words, the files that they name, and the limits."""
        return [
            self._words,
            [Path(word).read_bytes() for word in self._words[1:] if Path(word).is_file()],
            self._bounds,
        ]

    async def check(self, problem: Problem, sample: Sample) -> Checked:
        """Run the command on a sample.

        Raises:
            ConfigError: it cannot be started.
        """
        async with self._slots:
            folder = Path(tempfile.mkdtemp(prefix="grm-test-"))
            try:
                return await self._run(problem, sample, folder)
            finally:
                await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)

    async def _run(self, problem: Problem, sample: Sample, folder: Path) -> Checked:
        given, told, work = folder / "sample.txt", folder / "problem.json", folder / "work"
        work.mkdir()
        given.write_bytes(sample.text.encode("utf-8", "replace"))
        row = {key: value for key, value in row_of(problem).items() if key != "samples"}
        told.write_text(json.dumps(row, default=str), encoding="utf-8")
        mark = secrets.token_hex(16)
        environment = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        environment |= {"HOME": str(work), "TMPDIR": str(work), MARK: mark}
        environment |= {"GRM_SAMPLE": str(given), "GRM_PROBLEM": str(told)}
        printed = folder / "printed"
        with given.open("rb") as stdin, printed.open("wb") as output:
            process = await asyncio.create_subprocess_exec(
                *self._command(),
                stdin=stdin,
                stdout=output,
                stderr=output,
                cwd=work,
                env=environment,
                start_new_session=True,
            )
            late = False
            try:
                async with asyncio.timeout(self._bounds.seconds):
                    status = await process.wait()
            except TimeoutError:
                late = True
            finally:
                await _end(process, mark)
        if late:
            return Checked(False, f"took longer than {self._bounds.seconds:g} s")
        return self._verdict(status, printed)

    def _command(self) -> list[str]:
        bounds = self._bounds
        # Elsewhere the kernel counts all processes of the user, the training job's too.
        processes = MOST_PROCESSES if self.isolated else UNLIMITED
        numbers = (max(1, round(bounds.seconds) + 1), bounds.memory_mib * MIB, bounds.output_kib * 1024, processes)
        limited = [sys.executable, "-I", "-S", str(limits.__file__), *map(str, numbers), *self._words]
        return [*ISOLATED, *limited] if self.isolated else limited

    def _verdict(self, status: int, printed: Path) -> Checked:
        if status == limits.CANNOT_START:
            text = printed.read_bytes()[:300].decode("utf-8", "replace").strip()
            raise ConfigError(f"--command cannot be started: {text}")
        if printed.stat().st_size >= self._bounds.output_kib * 1024:
            return Checked(False, f"printed more than {self._bounds.output_kib:,} KiB")
        if status == 0:
            return Checked(True)
        killed = -status if status < 0 else status - 128 if status > 128 else 0
        if killed == signal.SIGXFSZ:
            return Checked(False, f"wrote a file of more than {self._bounds.output_kib:,} KiB")
        if killed in {*signal.Signals}:
            return Checked(False, f"ended by {signal.Signals(killed).name}")
        return Checked(False, "" if status == 1 else f"exit status {status}")


async def _end(process: asyncio.subprocess.Process, mark: str) -> None:
    """Kill a run's processes: its group, and those that have left it."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    with suppress(TimeoutError):
        async with asyncio.timeout(GONE_S):
            await process.wait()
            for _ in range(SWEEPS):  # one that forks on and on may be ahead of a sweep
                if not await asyncio.to_thread(_kill_marked, mark.encode()):
                    break


def _kill_marked(mark: bytes) -> int:
    """Kill all processes of a run that are left; how many there were. They are found where there is a /proc."""
    found = 0
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if mark in (entry / "environ").read_bytes():
                found += 1
                os.kill(int(entry.name), signal.SIGKILL)
    return found


def _absolute(command: str) -> list[str]:
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise ConfigError(f"--command {command!r} cannot be split into words: {error}") from None
    if not words:
        raise ConfigError("--command is empty: give a program and its arguments, as in --command 'python check.py'")
    words = [str(Path(word).resolve()) if "/" in word and Path(word).exists() else word for word in words]
    words[1:] = [str(Path(word).resolve()) if Path(word).is_file() else word for word in words[1:]]
    if shutil.which(words[0]) is None:
        raise ConfigError(f"--command: there is no program {words[0]!r} that can be started")
    return words


def _can_isolate(isolated: Sequence[str] = ISOLATED) -> bool:
    """Whether this machine lets a user start a process without a network."""
    try:
        tried = subprocess.run([*isolated, "true"], capture_output=True, timeout=GONE_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return tried.returncode == 0
