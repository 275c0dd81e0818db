"""Whether the environment's proxy stands between this process and a server: never before one of this machine."""

from __future__ import annotations

import ipaddress
import os
from urllib.parse import urlsplit
from urllib.request import proxy_bypass


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


def proxy_of(url: str) -> str | None:
    """The address of the proxy before this address; None if there is none.

    Raises:
        ValueError: it is no HTTP proxy, the only kind that is understood.
    """
    proxy = os.environ.get(proxy_variable(url), "")
    if not proxy:
        return None
    proxy = proxy if "://" in proxy else f"http://{proxy}"
    if not _is_http(proxy):
        raise ValueError("its proxy must be an HTTP proxy, http://HOST:PORT")
    return proxy


def _is_http(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # of a port that is no number; its words may show a part of a password
        return False


def _host(url: str) -> str:
    return (urlsplit(url).hostname or "").rstrip(".").partition("%")[0]
