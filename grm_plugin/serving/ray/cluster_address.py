"""The address of a Ray cluster, and whether anything listens there: Ray itself tries a dead address for minutes."""

from __future__ import annotations

import socket

CONNECT_DEADLINE_S = 5.0
"""For a connection to the cluster's address."""


def resolve(address: str) -> str:
    """The `host:port` that `auto` stands for, of the cluster that runs, or ran last, on this machine.

    Any other address is returned as it is.

    Raises:
        ConnectionError: no cluster has run on this machine.
    """
    if address != "auto":
        return address
    from ray._private import services  # Ray has no public function for this

    found: str = services.get_ray_address_from_environment(address, None)
    return found


def listens(address: str) -> bool:
    """Whether connections to `host:port` (or `ray://host:port`) are taken. True for an address of any other form."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdecimal():
        return True
    try:
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_DEADLINE_S).close()
    except OSError:
        return False
    return True
