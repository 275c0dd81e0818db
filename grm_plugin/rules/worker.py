"""A process that runs rules: it imports the user's files and calls their functions, as its parent asks for.

It is started by this file's path and imports the standard library only, so that it is there in some hundredths of a
second and runs where the package is not installed. Its parent speaks with it through a socket, which is its standard
input at first; what the functions print goes nowhere. It ends when the socket closes, and so with its parent.
"""

from __future__ import annotations

import importlib.util
import inspect
import json
import numbers
import os
import reprlib
import signal
import socket
import struct
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from types import ModuleType
from typing import Any

PARAMETERS = ("prompt", "messages", "response", "reference", "source")
"""What a function may take, each by this name. `response` it must."""

PROBLEM_CHARS = 300
"""Longest text about a failure, in characters."""

HEADER = struct.Struct("!Q")
"""Length of the JSON behind it, in bytes."""


def frame(message: Any) -> bytes:
    """A message as it travels. JSON in ASCII: it carries lone surrogates, and runs no code where it is read."""
    body = json.dumps(message).encode("ascii")
    return HEADER.pack(len(body)) + body


def receive(channel: socket.socket, most: float = float("inf")) -> Any:
    """The next message from a socket that blocks; None where the other end is gone.

    Raises:
        TimeoutError: the socket has a timeout, and nothing came.
        ValueError: it has more than `most` bytes, or is no JSON.
    """
    header = channel.recv(HEADER.size, socket.MSG_WAITALL)
    if len(header) < HEADER.size:
        return None
    (length,) = HEADER.unpack(header)
    if length > most:
        raise ValueError(f"a message of {length} bytes")
    body = bytearray()
    while len(body) < length:
        part = channel.recv(min(length - len(body), 2**20))
        if not part:
            return None
        body += part
    return json.loads(body)


class Rules:
    """The functions that were loaded, by the names of their criteria."""

    def __init__(self) -> None:
        self._modules: dict[str, ModuleType] = {}
        self._functions: dict[str, Callable[..., Any]] = {}
        self._paths: dict[str, str] = {}

    def load(self, rule: str, path: str, name: str) -> dict[str, Any]:
        """Import the file and look at the function: `{"takes": [...]}`, or a `problem` with what to do about it."""
        if not os.path.isfile(path):
            return {"problem": f"there is no file {path}; give the path of a Python file"}
        try:
            module = self._imported(path)
        except BaseException as error:  # a file may raise SystemExit too
            return {"problem": f"{path} cannot be imported, mend it: it {raised(error, path)}"[:PROBLEM_CHARS]}
        function = getattr(module, name, None)
        if function is None:
            own = [key for key, value in vars(module).items() if inspect.isfunction(value) and key[0] != "_"]
            return {"problem": f"{path} has no function {name}; it has {', '.join(own) or 'none'}"[:PROBLEM_CHARS]}
        try:
            takes, problem = parameters_of(function)
        except BaseException as error:  # of an object with a signature of its own making
            takes, problem = [], f"cannot be looked at: it {raised(error, path)}"
        if problem:
            return {"problem": f"{name} in {path} {problem}"[:PROBLEM_CHARS]}
        self._functions[rule], self._paths[rule] = function, path
        return {"takes": takes}

    def call(self, rule: str, given: dict[str, Any]) -> dict[str, Any]:
        """Call the function: `{"value": ...}`, a number in [0, 1] or None, or a `problem`."""
        try:
            return reading(self._functions[rule](**given))
        except BaseException as error:  # SystemExit too: this process has more to do
            return {"problem": raised(error, self._paths[rule])}

    def _imported(self, path: str) -> ModuleType:
        if path not in self._modules:
            folder = os.path.dirname(path)
            if folder not in sys.path:
                sys.path.append(folder)  # what lies beside it; behind all else, so that it hides no package
            name = f"rules_{len(self._modules)}_{os.path.basename(path).removesuffix('.py')}"
            spec = importlib.util.spec_from_file_location(name, path)
            assert spec is not None
            assert spec.loader is not None
            module = importlib.util.module_from_spec(spec)
            sys.modules[name] = module  # dataclasses and pickle look there
            spec.loader.exec_module(module)
            self._modules[path] = module
        return self._modules[path]


def parameters_of(function: Any) -> tuple[list[str], str]:
    """Which of `PARAMETERS` a function takes, and what is wrong with it, if anything."""
    if not callable(function):
        return [], f"is {reprlib.repr(function)} and no function; name a function"
    called = function if inspect.isroutine(function) else type(function).__call__
    if any(
        test(each) for each in (function, called) for test in (inspect.iscoroutinefunction, inspect.isasyncgenfunction)
    ):
        return [], "is async; make it a plain function, it runs in a process of its own"
    parameters = inspect.signature(function).parameters.values()
    takes_all = any(one.kind is one.VAR_KEYWORD for one in parameters)
    by_name = [one.name for one in parameters if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)]
    needed = [
        one.name
        for one in parameters
        if one.default is one.empty and one.kind not in (one.VAR_KEYWORD, one.VAR_POSITIONAL)
    ]
    unknown = [name for name in needed if name not in PARAMETERS or name not in by_name]
    known = f"a rule takes {', '.join(PARAMETERS)}, by these names, and must take response"
    if unknown:
        return [], f"asks for {', '.join(unknown)}; {known}"
    takes = [name for name in PARAMETERS if takes_all or name in by_name]
    return (takes, "") if "response" in takes else ([], f"takes no response; {known}")


def reading(value: Any) -> dict[str, Any]:
    """What a function has returned, as a number in [0, 1] or None; or a `problem`."""
    if value is None:
        return {"value": None}
    number = value
    if not isinstance(value, numbers.Real) and callable(getattr(value, "item", None)):
        number = value.item()  # numpy's truth values, arrays and tensors of one element
    if isinstance(number, numbers.Real) and 0 <= float(number) <= 1:  # NaN is not
        return {"value": float(number)}
    return {"problem": f"returned {reprlib.repr(value)}; a rule returns a number from 0 to 1, True, False or None"}


def raised(error: BaseException, path: str) -> str:
    """What a function has raised, and in which line of its file."""
    text = ""
    with suppress(BaseException):  # its own __str__ may raise too
        text = " ".join(str(error)[:PROBLEM_CHARS].split())
    lines = [line for frame, line in traceback.walk_tb(error.__traceback__) if frame.f_code.co_filename == path]
    if isinstance(error, SyntaxError) and error.filename == path and error.lineno:
        lines.append(error.lineno)
    where = f" in line {lines[-1]}" if lines else ""
    return f"raised {type(error).__name__}{where}{': ' if text else ''}{text}"[:PROBLEM_CHARS]


def serve(channel: socket.socket) -> None:
    """Answer the parent until it is gone. Messages: [seconds, "load" or "call", arguments of the method]."""
    rules, own = Rules(), os.getpid()
    os.register_at_fork(after_in_child=channel.close)  # a child must not answer, nor keep the socket open
    while (message := receive(channel)) is not None:
        seconds, method, arguments = message
        # Where the parent is gone nobody else ends a call that hangs; Python's own threads may not run meanwhile.
        signal.setitimer(signal.ITIMER_REAL, seconds)
        answer = rules.load(*arguments) if method == "load" else rules.call(*arguments)
        signal.setitimer(signal.ITIMER_REAL, 0)
        if os.getpid() != own:  # the function has forked, and this is the child
            os._exit(0)
        channel.sendall(frame(answer))


def main() -> None:
    channel = socket.socket(fileno=os.dup(0))  # not inherited by programs that the functions start
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nothing, descriptor)
    with suppress(OSError):  # the parent is gone
        serve(channel)
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)  # what the functions have started ends too
    os._exit(0)


if __name__ == "__main__":
    main()
