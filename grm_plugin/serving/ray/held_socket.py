"""The sockets that a service on Ray listens on, one per process. The keeper holds them, so that clients can connect
while Ray restarts a process.

Connections that come while a process is away wait in its socket, and whoever takes it next answers them. Without that
they would be refused, and OpenRLHF's HTTP call gives up after five seconds of refusals.
"""

from __future__ import annotations

import logging
import shutil
import socket
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path

from grm_plugin._util.deadline import Deadline
from grm_plugin.errors import ServiceError
from grm_plugin.serving.ports import check_address, listen

logger = logging.getLogger(__name__)

TAKE_TIMEOUT_S = 10.0
"""For the keeper to hand the socket over."""

BIND_DEADLINE_S = 30.0
"""Without a keeper the service opens its port itself: the process that had it may take so long to end."""

BIND_PAUSE_S = 0.5

PLACE_BYTES = 4
"""Of the number by which a process asks for its socket."""


class HeldSocket:
    """Listens on an address, and hands the listening socket to every process of this user that connects to `path`.

    Args:
        host, port: the address.
        processes: how many processes listen there, each with a socket of its own. The kernel spreads connections evenly
            over sockets; over processes that share one it does not.

    Raises:
        ServiceError: the address is taken, or not one of this machine.
    """

    def __init__(self, host: str, port: int, processes: int = 1) -> None:
        check_address(host, port)  # alone: somebody else may share the port with whoever wants it
        self._listening = [listen(host, port, shared=processes > 1) for _ in range(processes)]
        self._folder = tempfile.mkdtemp(prefix="grm-")  # which only this user can read
        self.links = [str(Path(self._folder, f"process-{place}")) for place in range(processes)]
        """Where the processes have the sockets by which they call each other (`processes.link`)."""
        self.path = str(Path(self._folder, "socket"))
        self._door = socket.socket(socket.AF_UNIX)
        self._door.bind(self.path)
        self._door.listen()
        threading.Thread(target=self._hand_over, name="grm-socket", daemon=True).start()

    def close(self) -> None:
        """Listen no more."""
        with suppress(OSError):
            self._door.shutdown(socket.SHUT_RDWR)  # wakes the thread
        self._door.close()
        for listening in self._listening:
            listening.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _hand_over(self) -> None:
        while True:
            try:
                taker, _ = self._door.accept()
            except OSError:  # closed
                return
            with taker, suppress(OSError):
                taker.settimeout(TAKE_TIMEOUT_S)
                place = int.from_bytes(taker.recv(PLACE_BYTES), "little")
                if place < len(self._listening):
                    socket.send_fds(taker, [b"."], [self._listening[place].fileno()])


def take(path: str, host: str, port: int, place: int = 0, processes: int = 1) -> socket.socket:
    """The socket that a `HeldSocket` holds at `path`; one of this process's own if its holder is gone.

    Args:
        path: where the holder is.
        host, port: the address.
        place: which of the processes of the service this is.
        processes: how many they are.

    Raises:
        ServiceError: the holder is gone, and the address stays taken.
    """
    with suppress(OSError), socket.socket(socket.AF_UNIX) as door:
        door.settimeout(TAKE_TIMEOUT_S)
        door.connect(path)
        door.sendall(place.to_bytes(PLACE_BYTES, "little"))
        _, descriptors, _, _ = socket.recv_fds(door, 1, 1)
        if descriptors:
            return socket.socket(fileno=descriptors[0])
    logger.warning("the keeper is gone: the service opens its port itself")
    deadline = Deadline.after(BIND_DEADLINE_S)
    while True:
        try:
            return listen(host, port, shared=processes > 1)
        except ServiceError:
            if deadline.over:
                raise
            time.sleep(BIND_PAUSE_S)
