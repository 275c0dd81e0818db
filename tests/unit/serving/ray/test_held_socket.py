"""The service's socket: connections that come while nobody takes them wait for the next one who does."""

from __future__ import annotations

import itertools
import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from grm_plugin.errors import ServiceError
from grm_plugin.serving.ray import held_socket
from grm_plugin.serving.ray.held_socket import HeldSocket, take
from support.ray_cluster import free_port

HOST = "127.0.0.1"


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def held(port: int) -> Iterator[HeldSocket]:
    held = HeldSocket(HOST, port)
    yield held
    held.close()


def connect(port: int) -> socket.socket:
    return socket.create_connection((HOST, port), 10)


def test_a_connection_waits_while_the_socket_changes_hands(held: HeldSocket, port: int) -> None:
    first = take(held.path, HOST, port)
    with connect(port) as client:
        taken, _ = first.accept()
        taken.close()
        assert client.recv(1) == b""
    first.close()
    with connect(port) as client:
        client.sendall(b"hello")
        with take(held.path, HOST, port) as second:
            second.settimeout(10)
            taken, _ = second.accept()
            with taken:
                assert taken.recv(5) == b"hello"


def test_only_this_user_can_take_it(held: HeldSocket) -> None:
    folder = Path(held.path).parent.stat()
    assert (folder.st_uid, stat.S_IMODE(folder.st_mode)) == (os.getuid(), 0o700)


def test_without_its_holder_the_port_is_opened_anew(held: HeldSocket, port: int) -> None:
    held.close()
    with take(held.path, HOST, port) as own, connect(port):
        own.settimeout(10)
        own.accept()[0].close()


def test_a_port_that_another_process_has_is_said(held: HeldSocket, port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(held_socket, "BIND_DEADLINE_S", 0.05)
    monkeypatch.setattr(held_socket, "BIND_PAUSE_S", 0.01)
    with pytest.raises(ServiceError, match=f"cannot listen on {HOST}:{port}"):
        HeldSocket(HOST, port)
    with pytest.raises(ServiceError, match=f"cannot listen on {HOST}:{port}"):
        take("/nowhere", HOST, port)


def test_nothing_is_left_when_it_is_closed(port: int) -> None:
    held = HeldSocket(HOST, port)
    held.close()
    assert not Path(held.path).parent.exists()
    with pytest.raises(ConnectionRefusedError):
        connect(port)


def test_each_of_several_processes_has_a_socket_of_its_own(port: int) -> None:
    """Connections are spread over them; those of a process that is away wait for its next one."""
    held = HeldSocket(HOST, port, 2)
    try:
        taken = [take(held.path, HOST, port, place, 2) for place in range(2)]
        clients = [connect(port) for _ in range(64)]
        counts = [accepted(one) for one in taken]
        assert sum(counts) == 64
        assert min(counts) > 8
        taken[1].close()
        clients += [connect(port) for _ in range(64)]
        counts[0] += accepted(taken[0])
        assert sum(counts) < 128
        with take(held.path, HOST, port, 1, 2) as again:
            counts[1] += accepted(again)
        assert sum(counts) == 128
        for one in (taken[0], *clients):
            one.close()
    finally:
        held.close()


def accepted(listening: socket.socket) -> int:
    """How many connections wait there; they are closed."""
    listening.setblocking(False)
    for count in itertools.count():
        try:
            listening.accept()[0].close()
        except BlockingIOError:
            return count
    raise AssertionError("unreachable")


def test_several_processes_take_no_port_that_another_one_shares(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as stranger:
        stranger.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        stranger.bind((HOST, port))
        stranger.listen()
        with pytest.raises(ServiceError, match=f"cannot listen on {HOST}:{port}"):
            HeldSocket(HOST, port, 2)
    HeldSocket(HOST, port, 2).close()


def test_without_their_holder_several_processes_open_the_port_anew(port: int) -> None:
    held = HeldSocket(HOST, port, 2)
    with take(held.path, HOST, port, 0, 2):
        held.close()
        with take(held.path, HOST, port, 1, 2) as own:
            clients = [connect(port) for _ in range(64)]
            assert accepted(own) > 8
    for client in clients:
        client.close()
