"""Calls between the processes of one service, over a Unix socket each.

They run on one machine, as they share a port. A call with a sample costs some 0.06 ms of CPU on each side; one of a Ray
actor costs several times that (0.7 ms and more), and most samples make such a call.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import pickle
import socket
import struct
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

from grm_plugin._util.concurrency import being_cancelled, let_go, take_error
from grm_plugin.errors import EngineError, ServiceError

logger = logging.getLogger(__name__)

RETRY_PAUSE_S = 0.1
"""Pause between two attempts to reach a process."""

BACKLOG = 128

_LENGTH = struct.Struct("<Q")

_CANCEL = ""
"""In place of a method's name: the call with this number is given up."""

Methods = Mapping[str, Callable[..., Coroutine[Any, Any, Any]]]


class PeerLost(Exception):
    """The other process has ended, or cannot be reached. Whether it has done what it was asked to is not known."""


class _Messages(asyncio.Protocol):
    """A connection that carries pickled messages, each after its length.

    Only processes of the same user can connect, as for Ray's own sockets: the socket lies in a folder of its own.
    """

    def __init__(self, received: Callable[[Any], None], lost: Callable[[], None]) -> None:
        self._received = received
        self._lost = lost
        self._buffer = bytearray()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        start = 0
        while len(self._buffer) - start >= _LENGTH.size:
            body = start + _LENGTH.size
            end = body + _LENGTH.unpack_from(self._buffer, start)[0]
            if len(self._buffer) < end:
                break
            with memoryview(self._buffer) as view, view[body:end] as message:
                content = pickle.loads(message)
            start = end
            self._received(content)
        del self._buffer[:start]

    def connection_lost(self, _: Exception | None) -> None:
        self._lost()

    def send(self, message: object) -> None:
        """Send a message; it is lost where the connection is."""
        self.send_pickled(pickle.dumps(message, pickle.HIGHEST_PROTOCOL))

    def send_pickled(self, content: bytes) -> None:
        assert self._transport is not None
        self._transport.write(_LENGTH.pack(len(content)) + content)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


class Link:
    """Calls one other process. To be made and used on one event loop; reaches a process again that was restarted.

    Args:
        path: of its `LinkServer`'s socket.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._numbers = itertools.count()
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self._connection: _Messages | None = None
        self.closed = False
        """Whether no more calls are made; see `close`."""
        self._down = asyncio.Event()
        self._reached = asyncio.Event()
        self._keeping = asyncio.create_task(self._keep_connected())

    @property
    def is_up(self) -> bool:
        """Whether the process can be reached now, as far as is known."""
        return self._connection is not None

    async def reached(self) -> None:
        """Wait until calls can be made, or the link is closed. The caller has the deadline."""
        await self._reached.wait()

    async def call(self, method: str, *arguments: Any) -> Any:
        """What the method answers. Cancelling the call cancels it there. The caller has the deadline.

        Raises:
            PeerLost: the process cannot be reached, or has ended before it has answered.
            GRMError: what the method raised, as it was; another error as well.
        """
        connection = self._connection
        if connection is None:
            raise PeerLost(self._path)
        number = next(self._numbers)
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        connection.send((number, method, arguments))
        try:
            return await answer
        except asyncio.CancelledError:
            if connection is self._connection:
                connection.send((number, _CANCEL, ()))
            raise
        finally:
            self._answers.pop(number, None)

    def close(self) -> None:
        """Make no more calls; those under way, and those to come, fail with `PeerLost`."""
        self.closed = True
        let_go(self._keeping)
        if self._connection is not None:
            self._connection.close()
        self._lost()
        self._reached.set()

    async def _keep_connected(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            self._down.clear()
            try:
                _, connection = await loop.create_unix_connection(
                    lambda: _Messages(self._answered, self._lost), self._path
                )
            except OSError:  # it is not there yet, or not there again
                await asyncio.sleep(RETRY_PAUSE_S)
                continue
            if not self._down.is_set():
                self._connection = connection
                self._reached.set()
                await self._down.wait()

    def _answered(self, message: tuple[int, bool, Any]) -> None:
        number, good, value = message
        answer = self._answers.get(number)
        if answer is None or answer.done():  # its caller has left
            return
        if good:
            answer.set_result(value)
        else:
            answer.set_exception(value)

    def _lost(self) -> None:
        self._connection = None
        if not self.closed:
            self._reached.clear()
        self._down.set()
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(PeerLost(self._path))
                take_error(answer)  # its caller may be about to be cancelled


class LinkServer:
    """Answers the calls of other processes. To be made on the event loop that it answers on.

    Where a caller gives up, or is gone, what it called is cancelled.

    Args:
        path: of the socket; one that an earlier process has left there is replaced. Its folder is made where it is
            gone, for this user alone.
        methods: what can be called, by name.

    Raises:
        ServiceError: no socket can be made there.
    """

    def __init__(self, path: str, methods: Methods) -> None:
        listening = _listen(path)
        loop = asyncio.get_running_loop()
        self._serving = asyncio.create_task(loop.create_unix_server(lambda: _Caller(methods), sock=listening))

    async def started(self) -> None:
        """Return when calls are answered."""
        await asyncio.shield(self._serving)


class _Caller(_Messages):
    """The connection of one process that calls."""

    def __init__(self, methods: Methods) -> None:
        super().__init__(self._called, self._gone)
        self._methods = methods
        self._running: dict[int, asyncio.Task[None]] = {}

    def _called(self, message: tuple[int, str, tuple[Any, ...]]) -> None:
        number, method, arguments = message
        if method == _CANCEL:
            if task := self._running.get(number):
                task.cancel()
            return
        task = self._running[number] = asyncio.create_task(self._answer(number, method, arguments))
        task.add_done_callback(lambda _: self._running.pop(number, None))

    def _gone(self) -> None:
        let_go(*self._running.values())

    async def _answer(self, number: int, method: str, arguments: tuple[Any, ...]) -> None:
        try:
            answer = number, True, await self._methods[method](*arguments)
        except asyncio.CancelledError:
            if being_cancelled():
                raise
            answer = number, False, EngineError("a part of the work cancelled itself")
        except Exception as error:  # whatever it is, the caller is told
            answer = number, False, error
        try:
            content = pickle.dumps(answer, pickle.HIGHEST_PROTOCOL)
        except Exception:  # an error that cannot travel
            content = pickle.dumps((number, False, RuntimeError(f"{type(answer[2]).__name__} in another process")))
        self.send_pickled(content)


def _listen(path: str) -> socket.socket:
    folder = Path(path).parent
    listening = socket.socket(socket.AF_UNIX)
    try:
        with suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        if folder.stat().st_uid != os.getuid():
            raise PermissionError("its folder belongs to another user")
        with suppress(FileNotFoundError):
            os.unlink(path)
        listening.bind(path)
        listening.listen(BACKLOG)
    except OSError as error:
        listening.close()
        raise ServiceError(
            f"the processes of the service cannot reach each other: {path}: {error.strerror or error}"
        ) from None
    return listening
