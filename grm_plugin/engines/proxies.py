"""Whether the environment's proxy stands between this process and a server: never before one of this machine."""

from __future__ import annotations

import ipaddress
import os
from typing import Any
from urllib.parse import urlsplit
from urllib.request import proxy_bypass

import httpx


def is_near(url: str) -> bool:
    """Whether a server is on this machine or in a private network, where no proxy of the internet finds it.

    Told by the address alone: a loopback or private one, `localhost`, or a name without a dot, as machines of a cluster
    and containers have.
    """
    host = _host(url)
    try:
        address = ipaddress.ip_address(host)
        return not (getattr(address, "ipv4_mapped", None) or address).is_global
    except ValueError:
        return "." not in host or host.endswith(".localhost")


def proxy_variable(url: str) -> str:
    """The environment variable that puts a proxy before this address; empty if there is none."""
    scheme, host = urlsplit(url).scheme, _host(url)
    if is_near(url) or proxy_bypass(host):
        return ""
    names = [name for kind in (scheme, "all") for name in (f"{kind}_proxy", f"{kind.upper()}_PROXY")]
    return next((name for name in names if os.environ.get(name)), "")


def transport_arguments(url: str) -> dict[str, Any]:
    """What an httpx client for this address is made with."""
    # Certificates still come from where the environment says (SSL_CERT_FILE).
    return {"trust_env": False, "verify": httpx.create_ssl_context()} if is_near(url) else {}


def _host(url: str) -> str:
    return (urlsplit(url).hostname or "").rstrip(".").partition("%")[0]
