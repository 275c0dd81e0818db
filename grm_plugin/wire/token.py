"""The token that a service asks for: where it is read, how requests carry it, when its user is warned that none is set.

It lives in an environment variable of the service and of its clients, never in a configuration, which is printed,
logged and handed to experiment trackers. A request carries it as `Authorization: Bearer TOKEN`, or as the password of
HTTP Basic with any user name: browsers ask for it that way, and `http://grm:TOKEN@HOST:PORT` makes aiohttp, httpx and
curl send it that way.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import ipaddress
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import quote, unquote

from grm_plugin.config import METRICS_TOKEN_ENV, TOKEN_ENV, ServiceConfig
from grm_plugin.errors import ConfigError

_SENDABLE = re.compile(r"[!-~]+")
_ENDPOINT = re.compile(r"[?#]|(?:^|/)(?:get_reward|v1/\w+|verify|docs)$")


@dataclass(frozen=True, slots=True)
class Token:
    """A secret that neither `repr` nor any error shows.

    Attributes:
        secret: opens everything.
        metrics_secret: opens `/metrics` only; empty where there is none.

    Raises:
        ConfigError: the secret is empty, or one holds what an HTTP header cannot.
    """

    secret: str = field(repr=False)
    metrics_secret: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        if not _SENDABLE.fullmatch(self.secret) or not _SENDABLE.fullmatch(self.metrics_secret or self.secret):
            raise ConfigError(
                "the service's token is empty or holds white space or other than ASCII characters; make one with "
                "python -c 'import secrets; print(secrets.token_urlsafe(32))'"
            )

    @property
    def headers(self) -> dict[str, str]:
        """What a client sends."""
        return {"Authorization": f"Bearer {self.secret}"}

    @property
    def fits_an_address(self) -> bool:
        """Whether `http://grm:TOKEN@HOST:PORT` can hold it as it is."""
        return quote(self.secret, safe="") == self.secret

    def opens(self, authorization: bytes) -> bool:
        """Whether an `Authorization` header carries this token. The time it takes tells nothing about the token."""
        return hmac.compare_digest(_carried(authorization), self.secret.encode())

    def opens_metrics(self, authorization: bytes) -> bool:
        """As `opens`, for the metrics alone: whether the header carries the second secret."""
        carried = hmac.compare_digest(_carried(authorization), self.metrics_secret.encode())
        return carried and bool(self.metrics_secret)


def read_token(variable: str = TOKEN_ENV, environ: Mapping[str, str] | None = None) -> Token | None:
    """The token in an environment variable; None where GRM_TOKEN is not set.

    Raises:
        ConfigError: the variable is empty (the service must not take that for "no token asked for") or holds what
            cannot be sent; or the configuration names another one than GRM_TOKEN, and that is not set.
    """
    return _read("token_env", variable, TOKEN_ENV, os.environ if environ is None else environ)


def read_service_token(service: ServiceConfig, environ: Mapping[str, str] | None = None) -> Token | None:
    """What a service asks for: its token, and the second one that opens its metrics; None where it asks for none.

    Raises:
        ConfigError: as `read_token`, of either variable; the second one is set without the first, or equal to it.
    """
    environ = os.environ if environ is None else environ
    token = read_token(service.token_env, environ)
    variable = service.metrics_token_env
    metrics = _read("metrics_token_env", variable, METRICS_TOKEN_ENV, environ)
    if metrics is None:
        return token
    if token is None:
        raise ConfigError(
            f"{variable} is set and {service.token_env} is not: without it everything is open, the metrics included. "
            f"Set {service.token_env} too, or unset {variable}"
        )
    if metrics == token:
        raise ConfigError(
            f"{variable} and {service.token_env} hold the same token: give the metrics one of their own, or unset "
            f"{variable}"
        )
    return Token(token.secret, metrics.secret)


def locate(url: str) -> tuple[str, Token | None]:
    """The address of a service without the token that may stand in it (`http://grm:TOKEN@HOST:PORT`) and without a
    slash at its end; and that token, or else the one of GRM_TOKEN.

    Raises:
        ConfigError: the token holds what cannot be sent, or cannot be told from the rest of the address; or the address
            goes on after HOST:PORT (`http://HOST:PORT/get_reward?n=4`), or is a list of several.
    """
    scheme, mark, rest = url.rstrip("/").partition("://")
    authority, slash, path = rest.partition("/")
    userinfo, _, host = authority.rpartition("@")
    password = unquote(userinfo.partition(":")[2])
    if url.count("://") > 1 or "," in (host if mark else url):
        raise ConfigError(
            "this is a list of addresses: give one (http://HOST:PORT). Several services would each see a part of a "
            "group, and judge it apart; a single one is scaled by engine.replicas"
        )
    port = host.rpartition("]")[2].partition(":")[2]
    if (not mark and "@" in url) or (port and not _is_port(port)):  # not shown: it may be part of a token
        raise ConfigError(
            "this is no address of a service: write http://HOST:PORT, or http://grm:TOKEN@HOST:PORT with / @ : in the "
            "token as %2F %40 %3A"
        )
    if _ENDPOINT.search(path):
        raise ConfigError(
            "the service's address goes on after HOST:PORT (/get_reward?n=... or the like): give http://HOST:PORT only"
        )
    return f"{scheme}{mark}{host}{slash}{path}", Token(password) if password else read_token()


def url_with_token(url: str, variable: str = TOKEN_ENV) -> str:
    """An address for callers that can set no header, with a shell's variable in the place of the token."""
    scheme, mark, rest = url.partition("://")
    return f"{scheme}{mark}grm:${variable}@{rest}"


def exposure(host: str, token: Token | None, variable: str = TOKEN_ENV) -> tuple[str, ...]:
    """What to tell the user of a service that listens on `host`: a note where others can reach it without a token."""
    if token is not None or is_loopback(host):
        return ()
    return (
        f"the service listens on {host or 'all addresses'} and asks for no token: whoever reaches the port can use "
        f"the GRM and read every trace. Set {variable} for it and its clients, or service.host to 127.0.0.1",
    )


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches what listens on `host`."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _read(key: str, variable: str, default: str, environ: Mapping[str, str]) -> Token | None:
    """The token in the variable that `service.KEY` names; None where that is the default, and not set."""
    secret = environ.get(variable)
    if secret is None and variable == default:
        return None
    if secret is None:
        raise ConfigError(f"service.{key} says that {variable} holds a token of the service, but it is not set")
    try:
        return Token(secret)
    except ConfigError as error:
        raise ConfigError(f"{variable}: {error}; or unset it") from None


def _carried(authorization: bytes) -> bytes:
    scheme, _, rest = authorization.strip().partition(b" ")
    value = rest.strip()
    if scheme.lower() == b"bearer":
        return value
    if scheme.lower() == b"basic":
        try:
            return base64.b64decode(value, validate=True).partition(b":")[2]
        except binascii.Error:
            return b""
    return b""


def _is_port(text: str) -> bool:
    return text.isdecimal() and len(text) <= 5 and int(text) < 2**16
