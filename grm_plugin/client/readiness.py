"""Asks a service whether it can judge, before a job depends on it."""

from __future__ import annotations

import json
import time

from pydantic import ValidationError

from grm_plugin._util.digests import digest
from grm_plugin._util.http_calls import NoReplyError, get, words
from grm_plugin.errors import ServiceError
from grm_plugin.wire.ready import Ready
from grm_plugin.wire.schemas import Info
from grm_plugin.wire.token import Token, locate

TIMEOUT_S = 40.0
"""Longer than the service, which asks its GRM for a critique of one token and gives up after 30 s."""

LOOK_S = 2.0


def read_ready(url: str, token: Token | None = None, patience_s: float = 0.0) -> Ready:
    """What the service at `url` (`http://HOST:PORT`) says of itself, once its GRM answers.

    Args:
        url: its address.
        token: its token; None takes the one in `url`, or else that of GRM_TOKEN.
        patience_s: a service that is starting, or on its way back, is asked again for so many seconds.

    Raises:
        ConfigError: `url` is no address of a service, or goes on after it.
        ServiceError: nothing answers there, it is no service of ours, or its GRM does not answer.
    """
    url, found = locate(url)
    give_up = time.monotonic() + patience_s
    while isinstance(answer := _ask(url, token or found), str):
        if time.monotonic() > give_up:
            raise ServiceError(answer)
        time.sleep(LOOK_S)
    return answer


def read_fingerprint(url: str) -> dict[str, str]:
    """Digests of all that a reward of the service at `url` depends on, by part. The service answers `/ready` already.

    Of a service that does not know them yet, the part `service` stands for what it says of itself.

    Raises:
        ServiceError: it does not answer.
    """
    url, token = locate(url)
    try:
        answer = get(f"{url}/info", token.headers if token else None, TIMEOUT_S)
        said = Info.model_validate(json.loads(answer.body) | {"counters": {}})
    except (TimeoutError, NoReplyError, ValueError, TypeError) as error:
        raise ServiceError(f"the GRM service at {url} does not say what it runs (/info): {words(error)}") from None
    return said.fingerprint or {"service": digest([said.model, said.k, said.k_meta, said.list_size])}


def _ask(url: str, token: Token | None) -> Ready | str:
    """The service's answer, or why it cannot be used now."""
    advice = f"start it (grm-plugin serve --config ...) and check that this host reaches it: curl {url}/ready"
    try:
        answer = get(f"{url}/ready", token.headers if token else None, TIMEOUT_S)
    except (TimeoutError, NoReplyError) as error:
        return f"no GRM service answers at {url} ({words(error)}); {advice}"
    if answer.status == 401:  # waiting does not help
        asks = "refuses the token that it was given" if token else "asks for its token"
        raise ServiceError(
            f"the service at {url} {asks}: set GRM_TOKEN (with a configuration: the variable that its "
            "service.token_env names) to it"
        )
    try:
        ready = Ready.model_validate_json(answer.body)
    except ValidationError:
        return f"what answers at {url} is no GRM service ({answer.status}); {advice}"
    return ready if ready.ready else f"the GRM service at {url} cannot judge: {ready.problem}"
