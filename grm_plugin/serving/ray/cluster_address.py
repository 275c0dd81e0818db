"""Where a Ray cluster should be, and whether anything listens there: Ray itself tries a dead address for minutes."""

from __future__ import annotations

import socket

CONNECT_DEADLINE_S = 5.0


def resolve(address: str) -> str:
    """`auto` as the `host:port` of the cluster that runs, or ran last, on this machine; any other as it is.

    Raises:
        ConnectionError: there has been none.
    """
    if address != "auto":
        return address
    from ray._private import services  # there is no public call

    found: str = services.get_ray_address_from_environment(address, None)
    return found


def listens(address: str) -> bool:
    """Whether a `host:port` (`ray://host:port`) takes connections. True for any other form."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdecimal():
        return True
    try:
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_DEADLINE_S).close()
    except OSError:
        return False
    return True
