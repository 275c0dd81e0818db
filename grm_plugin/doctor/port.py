"""Checks whether the service's port is free."""

from __future__ import annotations

from grm_plugin.config import Config
from grm_plugin.doctor.findings import Finding, error, ok
from grm_plugin.errors import ServiceError
from grm_plugin.serving import ports


def check_port(config: Config) -> list[Finding]:
    """Whether the service can listen on service.host and service.port."""
    try:
        ports.check_port(config.service)
    except ServiceError as problem:
        message, _, fix = str(problem).partition("): ")
        return [error("port", f"{message})", fix)]
    return [ok("port", f"{config.service.host}:{config.service.port} is free")]
