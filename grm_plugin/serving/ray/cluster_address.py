"""The address of a Ray cluster, whether anything listens there, and why Ray cannot connect to it."""

from __future__ import annotations

import socket

from grm_plugin.errors import ServiceError

CONNECT_DEADLINE_S = 5.0
"""For a connection to the cluster's address. Ray itself tries a dead one for minutes."""

TOKEN_SIGN = "authentication token"
"""In Ray's errors about a token that is missing or wrong."""


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


def not_connected(address: str, error: BaseException) -> ServiceError:
    """What to tell where `ray.init` failed with this error. Ray's own words are in its causes, if anywhere."""
    causes = [error]
    while causes[-1].__cause__ is not None:
        causes.append(causes[-1].__cause__)
    if any(TOKEN_SIGN in str(cause).lower() for cause in causes):
        return ServiceError(
            f"the Ray cluster at {address!r} asks for a token of Ray's, as newer versions do by themselves: set "
            "RAY_AUTH_MODE=token here too, with that token in ~/.ray/auth_token, in RAY_AUTH_TOKEN or in the file "
            "RAY_AUTH_TOKEN_PATH; or start the cluster with RAY_AUTH_MODE=disabled"
        )
    return ServiceError(f"no Ray cluster at {address!r} ({error}): set RAY_ADDRESS, or run `ray start --head`")


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
