"""One worker process, seen from its parent: started with its rules loaded, asked, and ended with what it started."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import suppress
from typing import Any

from grm_plugin._util.background import start_in_background
from grm_plugin.errors import ConfigError
from grm_plugin.rules import worker
from grm_plugin.rules.carriers import RuleFunction
from grm_plugin.types import RuleScore

MOST_BYTES = 2**16
"""Longest answer of a worker. A longer one did not come from its own code."""

ORPHANED_S = 2.0
"""A worker whose parent has died ends a call that hangs by itself, so many seconds after the parent would have."""

GONE_S = 5.0
"""Longest wait for a process that was killed."""


class RuleProcess:
    """A running worker. Blocks until the rules are loaded.

    Args:
        functions: the rules, by the names of their criteria.
        load_s: longest time for one of them, in seconds.

    Raises:
        ConfigError: a function cannot be loaded; the message says which, why, and what to do.
        OSError: the process cannot be started.
    """

    def __init__(self, functions: Mapping[str, RuleFunction], load_s: float) -> None:
        self._channel, theirs = socket.socketpair()
        with theirs:
            try:
                self._process = subprocess.Popen(
                    [sys.executable, "-P", str(worker.__file__)],  # -P: the current folder hides no package
                    stdin=theirs.fileno(),
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    start_new_session=True,  # an interrupt at the terminal is not for it, and it ends with its children
                )
            except BaseException:
                self._channel.close()
                raise
        self._ended: Future[int] | None = None
        self._asked = False
        try:
            self._takes = {rule: self._load(rule, function, load_s) for rule, function in functions.items()}
        except BaseException:
            self.end()
            raise
        self._channel.setblocking(False)

    @property
    def pid(self) -> int:
        """Of the process."""
        return int(self._process.pid)

    @property
    def alive(self) -> bool:
        """Whether it can be asked: it was not ended, has not ended, and says nothing unasked."""
        if self._ended is not None:
            return False
        try:
            self._channel.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        except OSError:
            pass
        return False

    async def score(self, rule: str, given: Mapping[str, Any], seconds: float) -> RuleScore:
        """Call a rule with what it takes of `given`. One call at a time.

        The process is ended where it is not done in time, breaks off, or nobody waits for it any more: it may still be
        in the call.
        """
        wanted = {name: given[name] for name in self._takes[rule]}
        self._asked = True
        try:
            async with asyncio.timeout(seconds):
                answer = await self._ask([seconds + ORPHANED_S, "call", [rule, wanted]])
            return _score_of(answer)
        except TimeoutError:
            self.end()
            return RuleScore(None, f"took longer than {seconds:.3g} s")
        except (ValueError, RecursionError):
            self.end()
            return RuleScore(None, "its process wrote what is no answer, and was ended")
        except OSError:
            ended = asyncio.wrap_future(self.end())
            with suppress(TimeoutError):
                return RuleScore(None, f"its process ended: {_how(await asyncio.wait_for(ended, GONE_S))}")
            return RuleScore(None, "its process ended")
        except BaseException:
            self.end()
            raise
        finally:
            self._asked = False
            if self._ended is not None:
                self._channel.close()

    def end(self) -> Future[int]:
        """Kill the process and what it has started; may be called again. The result is its exit status, once it is
        gone."""
        if self._ended is None:
            with suppress(OSError):
                self._channel.shutdown(socket.SHUT_RDWR)  # whoever waits for an answer learns of it
            if not self._asked:  # else an event loop watches its number, which another file might get
                self._channel.close()
            with suppress(OSError):
                os.killpg(self.pid, signal.SIGKILL)
            self._ended = start_in_background(self._process.wait, "grm-rules-end")
        return self._ended

    def _load(self, rule: str, function: RuleFunction, seconds: float) -> list[str]:
        """Which of the parameters the function takes."""
        self._channel.settimeout(seconds)
        wrong = f"rule {rule!r}: "
        try:
            self._channel.sendall(worker.frame([seconds + ORPHANED_S, "load", [rule, function.path, function.name]]))
            answer = worker.receive(self._channel, MOST_BYTES)
        except TimeoutError:
            raise ConfigError(
                f"{wrong}importing {function.path} took longer than {seconds:g} s; do nothing at import that waits"
            ) from None
        except (OSError, ValueError, RecursionError):
            answer = None
        match answer:
            case {"takes": list(takes)}:
                return takes
            case {"problem": str(problem)}:
                raise ConfigError(wrong + problem)
        with suppress(FutureTimeout):
            raise ConfigError(
                f"{wrong}importing {function.path} ended its process ({_how(self.end().result(GONE_S))}); a file of "
                "rules must only define functions"
            )
        raise ConfigError(f"{wrong}importing {function.path} ended its process")

    async def _ask(self, message: Any) -> Any:
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(self._channel, worker.frame(message))
        answer, whole = b"", worker.HEADER.size
        while len(answer) < whole:
            part = await loop.sock_recv(self._channel, MOST_BYTES)
            if not part:
                raise ConnectionError("the worker is gone")
            answer += part
            if len(answer) >= worker.HEADER.size:
                whole = worker.HEADER.size + worker.HEADER.unpack_from(answer)[0]
            if max(whole, len(answer)) > MOST_BYTES:
                raise ValueError("the answer is too long")
        return json.loads(answer[worker.HEADER.size :])


def _score_of(answer: Any) -> RuleScore:
    """A worker's answer. Raises ValueError where it is none."""
    match answer:
        case {"problem": str(problem)}:
            return RuleScore(None, problem[: worker.PROBLEM_CHARS])
        case {"value": None}:
            return RuleScore(None)
        case {"value": float(value)} if 0 <= value <= 1:
            return RuleScore(value)
    raise ValueError("no answer")


def _how(status: int) -> str:
    """How a process has ended, from its exit status."""
    if status >= 0:
        return f"exit status {status}"
    try:
        return f"by {signal.Signals(-status).name}"
    except ValueError:
        return f"by signal {-status}"
