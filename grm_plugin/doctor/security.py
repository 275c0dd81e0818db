"""Checks who can use the service, and whether it runs code that came with a model."""

from __future__ import annotations

from grm_plugin.config import Config
from grm_plugin.doctor.findings import Finding, error, ok, warning
from grm_plugin.engines.model_files import vllm_models
from grm_plugin.errors import ConfigError
from grm_plugin.wire.token import exposure, is_loopback, read_service_token


def check_access(config: Config) -> list[Finding]:
    """Whether the service asks for a token, and who can reach it if it does not."""
    host, variable = config.service.host, config.service.token_env
    try:
        token = read_service_token(config.service)
    except ConfigError as problem:
        return [error("access", str(problem), f"export {variable}, or unset it")]
    exposed = exposure(host, token, variable)
    if exposed:
        message, _, fix = exposed[0].partition(". ")
        return [warning("access", message, fix)]
    reach = "this machine only" if is_loopback(host) else "the network"
    return [ok("access", f"{host} is reached from {reach}; {'a token' if token else 'no token'} is asked for")]


def check_remote_code(config: Config) -> list[Finding]:
    """Whether Python code that came with a model's weights would run."""
    trusted = [
        f"{section}.trust_remote_code" for section, model in vllm_models(config).items() if model.runs_remote_code
    ]
    if not trusted:
        return [ok("remote code", "none runs: trust_remote_code is off")]
    return [
        warning(
            "remote code",
            f"Python code shipped with the weights runs on the engine's machine ({', '.join(trusted)})",
            "turn it off, or read that code first",
        )
    ]
