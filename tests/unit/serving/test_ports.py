"""The URL that a service announces is one that its clients can use."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

import httpx
import pytest

from grm_plugin.errors import ServiceError
from grm_plugin.serving.http.without_ray import serve_uvicorn
from grm_plugin.serving.ports import check_port, http_url, listen
from grm_plugin.wire.token import is_loopback
from support.factories import make_config


def has(host: str) -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind((host, 0))
    except OSError:
        return False
    return True


needs_ipv6 = pytest.mark.skipif(not has("::1"), reason="this machine has no IPv6")


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:8790"),
        ("localhost", "http://localhost:8790"),
        ("10.1.2.3", "http://10.1.2.3:8790"),
        ("::1", "http://[::1]:8790"),
        ("fd00::7", "http://[fd00::7]:8790"),
    ],
)
def test_a_host_of_its_own_stays_as_it_is(host: str, url: str) -> None:
    assert http_url(host, 8790) == url
    assert httpx.URL(url).port == 8790


@pytest.mark.parametrize("host", ["0.0.0.0", "", pytest.param("::", marks=needs_ipv6)])
def test_all_addresses_become_one_that_leads_here(host: str) -> None:
    with listen(host, 0) as listening:
        url = httpx.URL(http_url(host, listening.getsockname()[1]))
        assert url.host not in ("0.0.0.0", "::", "")
        assert url.port is not None
        socket.create_connection((url.host, url.port), timeout=10).close()


def test_a_machine_without_a_network_is_found_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    class Unreachable(socket.socket):
        def connect(self, address: object) -> None:
            raise OSError("Network is unreachable")

    monkeypatch.setattr(socket, "socket", Unreachable)
    monkeypatch.setitem(sys.modules, "ray", None)
    assert is_loopback(httpx.URL(http_url("0.0.0.0", 8790)).host)


@needs_ipv6
@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("0.0.0.0", "http://127.0.0.1:8790"),
        ("", "http://127.0.0.1:8790"),
        ("::", "http://[2001:db8::5]:8790"),
    ],
)
def test_a_url_is_of_a_family_that_is_listened_on(host: str, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class OnlyIPv6(socket.socket):
        """On a machine whose one default route is IPv6."""

        def connect(self, address: object) -> None:
            if self.family == socket.AF_INET:
                raise OSError("Network is unreachable")

        def getsockname(self) -> tuple[str, int]:
            return "2001:db8::5", 9

    monkeypatch.setattr(socket, "socket", OnlyIPv6)
    monkeypatch.setitem(sys.modules, "ray", None)
    assert http_url(host, 8790) == url


@needs_ipv6
def test_all_addresses_are_those_of_ipv4_too(monkeypatch: pytest.MonkeyPatch) -> None:
    class Apart(socket.socket):
        """On a machine where `::` is IPv6 only unless told otherwise."""

        def __init__(self, family: int, *rest: int) -> None:
            super().__init__(family, *rest)
            if family == socket.AF_INET6:
                self.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)

    with monkeypatch.context() as patched:
        patched.setattr(socket, "socket", Apart)
        listening = listen("::", 0)
    with listening:
        socket.create_connection(("127.0.0.1", listening.getsockname()[1]), timeout=10).close()


@pytest.mark.parametrize("host", ["127.0.0.1", pytest.param("::1", marks=needs_ipv6)])
def test_a_service_without_ray_announces_a_url(host: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    with listen(host, 0) as probe:
        port = probe.getsockname()[1]

    class Announced(Exception):
        pass

    def announce(url: str) -> None:
        raise Announced(url)

    with pytest.raises(Announced) as announced:
        serve_uvicorn(make_config(service__host=host, service__port=port), announce)
    url = httpx.URL(str(announced.value))
    assert (url.host, url.port) == (host, port)


def test_a_port_that_is_taken_is_told_with_the_way_out() -> None:
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ServiceError, match=rf"cannot listen on 127\.0\.0\.1:{port} \(.*\): set service\.port"):
            check_port(make_config(service__port=port).service)
        with pytest.raises(ServiceError, match=r"\): choose another --port$"):
            listen("127.0.0.1", port, "choose another --port")
