"""The service's socket: connections that come while nobody takes them wait for the next one who does."""

from __future__ import annotations

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
