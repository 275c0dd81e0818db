"""The GRM_* environment variables: where a hook that a framework loads finds its service, and how it connects to it.

The processes of a job must see them: set them in the shell that starts Ray or in the job's runtime_env. OpenRLHF's
launcher sets them itself.

    GRM_CONFIG     path of the configuration, one that ships (preset:NAME), or the configuration itself as a JSON
                   object. Its service is attached to, or started on the job's Ray cluster.
    GRM_OVERRIDES  changes to GRM_CONFIG: a JSON object of dotted keys, for example {"sampling.k": 16}. Texts mean what
                   they mean after `--grm.<key>` on a command line.
    GRM_URL        http://HOST:PORT of a service that runs already; it must be there when the job starts. With it,
                   GRM_CONFIG starts nothing: only its `failure` section counts, which says what samples get if the
                   service goes away later. Keys that this does not set are as in the service's own section.
    GRM_TOKEN      with GRM_URL: the service's token, if it has one (or the variable that `service.token_env` of
                   GRM_CONFIG names). Without GRM_URL the hook gets the token from the service that it finds or starts.
    GRM_N          samples per prompt, for hooks that are not told; `group.n` of GRM_CONFIG where absent.
    GRM_ACTORS     how many processes of the job send whole groups (OpenRLHF's --vllm.num_engines, which the launcher
                   passes on). They share what the GRM can work on at once; where it is absent, each takes an eighth.
    GRM_EVAL_TEMPERATURE
                   OpenRLHF's --eval.temperature, where it is another than --rollout.temperature: by it the agent hook
                   tells evaluation, from which `normalize.method` running does not learn.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from grm_plugin._util.background import start_in_background
from grm_plugin._util.json_values import RepeatedKey, parse_json
from grm_plugin.client import MARGIN_S, Client
from grm_plugin.client.readiness import read_ready
from grm_plugin.config import Config, FailureConfig
from grm_plugin.config.loading import load_config
from grm_plugin.config.shipped import is_preset
from grm_plugin.errors import ConfigError
from grm_plugin.wire.ready import Ready
from grm_plugin.wire.token import Token, read_token

READY_PATIENCE_S = 60.0
"""How long a hook waits for a service that is not there. One that is frozen is replaced after some 35 s."""


@dataclass(frozen=True, slots=True)
class HookSettings:
    """What the variables say. `url` or `config` is set, or both; `n`, the samples per prompt, `eval_temperature` and
    `actors`, the processes that send groups, are None where no variable gives them."""

    url: str | None
    config: Config | None
    n: int | None
    eval_temperature: float | None = None
    actors: int | None = None


def read_environment(environ: Mapping[str, str] | None = None) -> HookSettings:
    """The settings of this process.

    Raises:
        ConfigError: neither GRM_URL nor GRM_CONFIG is set, GRM_OVERRIDES is set without GRM_CONFIG, or a variable or
            the configuration is wrong.
    """
    environ = os.environ if environ is None else environ
    url, source, overrides = (environ.get(f"GRM_{name}", "") for name in ("URL", "CONFIG", "OVERRIDES"))
    if not url and not source:
        raise ConfigError(
            "the GRM hook does not know its service: set GRM_CONFIG (path of a configuration) or GRM_URL "
            "(http://HOST:PORT of a running service) where Ray's workers see it, or start OpenRLHF "
            "with python -m grm_plugin.integrations.openrlhf.train_ppo_ray"
        )
    if overrides and not source:
        raise ConfigError(
            "GRM_OVERRIDES changes the configuration that GRM_CONFIG names, but GRM_CONFIG is not set: set it, or "
            "unset GRM_OVERRIDES (a service at GRM_URL is configured where it was started)"
        )
    config = _load(source, overrides) if source else None
    n = _count(environ, "GRM_N", "the number of samples per prompt") or (config.group.n if config else None)
    actors = _count(environ, "GRM_ACTORS", "the number of processes that send groups (--vllm.num_engines)")
    return HookSettings(url or None, config, n, _eval_temperature(environ), actors)


@dataclass(frozen=True, slots=True)
class Connection:
    """A service, and what samples get while it is down."""

    client: Future[Client]
    """Raises ServiceError when there is no service and none can be started."""
    failure: FailureConfig
    method: str | None = None
    """The service's `normalize.method`; None where it does not say."""


def connect(settings: HookSettings) -> Connection:
    """The connection to the service. Starting a service takes minutes: that is done in a thread, and the framework
    starts meanwhile.

    Args:
        settings: where the service is, and how many processes share it.

    Raises:
        ConfigError: GRM_URL holds more than an address.
        ServiceError: nothing that can judge answers at GRM_URL within `READY_PATIENCE_S`. The failure policy does not
            apply: it is for a service that was there before.
    """
    config = settings.config
    if settings.url is None:
        assert config is not None
        starting = start_in_background(lambda: _started(config, settings), "grm-connect")
        return Connection(starting, config.failure, config.normalize.method)
    # The token of a configuration's own variable, where there is one; else the client looks for GRM_TOKEN.
    token = read_token(config.service.token_env) if config else None
    service = read_ready(settings.url, token, READY_PATIENCE_S)
    client: Future[Client] = Future()
    client.set_result(_client(settings.url, service, settings, token))
    return Connection(client, service.failure(config.failure if config else None), service.method)


def _client(url: str, service: Ready, settings: HookSettings, token: Token | None) -> Client:
    in_flight = service.groups_in_flight(settings.n, settings.actors)
    return Client(url, service.deadline_s + MARGIN_S, in_flight, token, columns=tuple(service.criteria))


def _count(environ: Mapping[str, str], name: str, what: str) -> int | None:
    text = environ.get(name, "")
    if text and not (text.isdecimal() and int(text) >= 1):
        raise ConfigError(f"{name} is {text!r}; set it to {what}")
    return int(text) if text else None


def _eval_temperature(environ: Mapping[str, str]) -> float | None:
    text = environ.get("GRM_EVAL_TEMPERATURE", "")
    try:
        return float(text) if text else None
    except ValueError:
        raise ConfigError(f"GRM_EVAL_TEMPERATURE is {text!r}; set it to OpenRLHF's --eval.temperature") from None


def _started(config: Config, settings: HookSettings) -> Client:
    from grm_plugin.serving.ray.launch import start_or_attach

    service = start_or_attach(config)
    # A service that was found may have another deadline than `config`.
    ready = read_ready(service.url, service.token, READY_PATIENCE_S)
    return _client(service.url, ready, settings, service.token)


def _load(source: str, overrides: str) -> Config:
    keys = _json_object(overrides or "{}", "GRM_OVERRIDES")
    if source.startswith("{"):
        return load_config(_json_object(source, "GRM_CONFIG"), keys)
    if is_preset(source):
        return load_config(source, keys)
    path = Path(source).expanduser()
    if not path.is_absolute() and not path.exists():  # Ray's workers have a working directory of their own
        raise ConfigError(f"GRM_CONFIG={source} is looked for in {Path.cwd()}: give an absolute path")
    return load_config(path, keys)


def _json_object(text: str, variable: str) -> dict[str, Any]:
    try:
        parsed = parse_json(text)
    except RepeatedKey as error:
        raise ConfigError(f"{variable}: {error}") from None
    except ValueError as error:
        raise ConfigError(f"{variable} is no JSON: {error}") from None
    if not isinstance(parsed, dict):
        raise ConfigError(f'{variable} must be a JSON object such as {{"sampling.k": 16}}, not {text!r}')
    return parsed
