"""Addresses: whether one is free, a socket that listens on it, and the URL that clients of it take."""

from __future__ import annotations

import socket
import sys
from contextlib import suppress

from grm_plugin.config import ServiceConfig
from grm_plugin.errors import ServiceError

WILDCARDS = ("0.0.0.0", "::", "")
"""Listening on one of these is listening on all addresses of a machine; nobody can connect to it under that name."""

CHOOSE_PORT = "set service.port (--grm.service.port) to a free port, or service.host to an address of this machine"

_ELSEWHERE = ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1"))
"""Reserved for documentation (RFC 5737, RFC 3849): beyond every machine's default route."""


def check_port(service: ServiceConfig) -> None:
    """Raises `ServiceError` if the service cannot listen on its address, which something else may do already."""
    _bound(service.host, service.port, CHOOSE_PORT).close()


def listen(host: str, port: int, advice: str = CHOOSE_PORT) -> socket.socket:
    """A socket on which connections wait from now on; port 0 takes any free one.

    Raises:
        ServiceError: it cannot be listened on `host` and `port`; ends with `advice`.
    """
    listening = _bound(host, port, advice)
    listening.listen()
    return listening


def http_url(host: str, port: int) -> str:
    """Where clients find what listens on `host` and `port` of this machine.

    A host that stands for all addresses becomes the one under which other machines know this one: in a process of a
    Ray cluster, Ray's address of the node.
    """
    if host in WILDCARDS:
        host = _node_address(host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _bound(host: str, port: int, advice: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # sockets in TIME_WAIT do not count
    if family == socket.AF_INET6:  # a machine's own default may leave IPv4 out of `::`
        bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    try:
        bound.bind((host, port))
    except OSError as error:
        bound.close()
        raise ServiceError(f"cannot listen on {host}:{port} ({error.strerror}): {advice}") from None
    return bound


def _node_address(host: str) -> str:
    ray = sys.modules.get("ray")  # where it is not imported this process is in no cluster
    if ray is not None and ray.is_initialized():
        return str(ray.util.get_node_ip_address())
    for family, address in _ELSEWHERE:
        if family == socket.AF_INET6 and ":" not in host:
            continue  # `0.0.0.0` does not answer there; `::` answers on both
        with suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((address, 9))  # picks a route; of a datagram socket nothing is sent
            return str(probe.getsockname()[0])
    return "127.0.0.1"
