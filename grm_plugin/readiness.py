"""Asks a service whether it can judge, before a job depends on it."""

from __future__ import annotations

import time

import httpx

from grm_plugin.access import Token, locate
from grm_plugin.errors import ServiceError

TIMEOUT_S = 40.0
"""The service asks its GRM for a token, and gives up after 30 s."""

LOOK_S = 2.0


def require_ready(url: str, token: Token | None = None, patience_s: float = 0.0) -> None:
    """Return once the service at `url` (`http://HOST:PORT`) has shown that its GRM answers.

    Args:
        url: its address.
        token: its token; None takes the one in `url`, or else that of GRM_TOKEN.
        patience_s: a service that is starting, or on its way back, is asked again for so many seconds.

    Raises:
        ConfigError: `url` is no address, or more than one.
        ServiceError: nothing answers there, it is no service of ours, or its GRM does not answer.
    """
    url, found = locate(url)
    give_up = time.monotonic() + patience_s
    while problem := _problem(url, token or found):
        if time.monotonic() > give_up:
            raise ServiceError(problem)
        time.sleep(LOOK_S)


def _problem(url: str, token: Token | None) -> str:
    """Why the service cannot be used now, or an empty string."""
    advice = f"start it (grm-plugin serve --config ...) and check that this host reaches it: curl {url}/ready"
    try:
        headers = token.headers if token else None
        answer = httpx.get(f"{url}/ready", headers=headers, timeout=TIMEOUT_S, trust_env=False)
    except (httpx.TransportError, httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
        return f"no GRM service answers at {url} ({error}); {advice}"
    if answer.status_code == 401:  # waiting does not help
        raise ServiceError(f"the service at {url} asks for its token: set GRM_TOKEN to it")
    try:
        ready, problem = answer.json()["ready"], answer.json()["problem"]
    except (ValueError, KeyError, TypeError):
        return f"what answers at {url} is no GRM service ({answer.status_code}); {advice}"
    return "" if ready else f"the GRM service at {url} cannot judge: {problem}"
