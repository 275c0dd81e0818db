"""The service's address: whether its port is free, a socket that listens there, and the URL that clients take."""

from __future__ import annotations

import socket
import sys
from contextlib import suppress

from grm_plugin.config import ServiceConfig
from grm_plugin.errors import ServiceError

WILDCARDS = ("0.0.0.0", "::", "")
"""Hosts that stand for all addresses of a machine: a service can listen on them, but no client can connect to them."""

CHOOSE_PORT = "set service.port (--grm.service.port) to a free port, or service.host to an address of this machine"
"""What to do about an address of the service that cannot be listened on."""

_REMOTE_ADDRESSES = ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1"))
"""Addresses of no machine (reserved for documentation, RFC 5737 and RFC 3849), so the default route leads to them."""


def check_port(service: ServiceConfig) -> None:
    """Check that the service could listen on its address, which it need not share with anybody.

    Raises:
        ServiceError: it could not, for instance because another process listens there.
    """
    check_address(service.host, service.port)


def check_address(host: str, port: int) -> None:
    """As `check_port`."""
    _bound(host, port, CHOOSE_PORT).close()


def listen(host: str, port: int, advice: str = CHOOSE_PORT, shared: bool = False) -> socket.socket:
    """A socket that listens on `host` and `port` (0: any free port); connections wait in it until they are accepted.

    With `shared`, others of this user may listen there too, if they say the same: the kernel spreads connections evenly
    over all of their sockets.

    Raises:
        ServiceError: the address is taken, or not one of this machine; the message ends with `advice`.
    """
    listening = _bound(host, port, advice, shared)
    listening.listen()
    return listening


def http_url(host: str, port: int) -> str:
    """The URL under which clients reach what listens on `host` and `port` of this machine.

    A host of `WILDCARDS` is replaced by an address under which other machines reach this one; in a process that is
    connected to a Ray cluster that is the address which Ray has for this node.
    """
    if host in WILDCARDS:
        host = _node_address(host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _bound(host: str, port: int, advice: str, shared: bool = False) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    # Connections that ended a moment ago (in TIME_WAIT) do not make the port count as taken.
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if shared:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    if family == socket.AF_INET6:  # `::` takes IPv4 connections as well, whatever the machine's default is
        bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    try:
        bound.bind((host, port))
    except OSError as error:
        bound.close()
        raise ServiceError(f"cannot listen on {host}:{port} ({error.strerror}): {advice}") from None
    return bound


def _node_address(host: str) -> str:
    ray = sys.modules.get("ray")  # a process that has not imported Ray is connected to no cluster
    if ray is not None and ray.is_initialized():
        return str(ray.util.get_node_ip_address())
    for family, address in _REMOTE_ADDRESSES:
        if family == socket.AF_INET6 and ":" not in host:
            continue  # a service on `0.0.0.0` takes no IPv6 connections; one on `::` takes both kinds
        with suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((address, 9))  # sends nothing (a datagram socket): only picks the address to send from
            return str(probe.getsockname()[0])
    return "127.0.0.1"
