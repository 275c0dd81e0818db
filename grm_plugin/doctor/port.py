"""What this machine offers: its port and its memory."""

from __future__ import annotations

from pathlib import Path

from grm_plugin.config import Config
from grm_plugin.doctor.findings import Finding, error, ok
from grm_plugin.errors import ServiceError
from grm_plugin.serving import ports


def check_port(config: Config) -> list[Finding]:
    """Whether the service can listen on service.host and service.port."""
    try:
        ports.check_port(config.service)
    except ServiceError as problem:
        said, _, fix = str(problem).partition("): ")
        return [error("port", f"{said})", fix)]
    return [ok("port", f"{config.service.host}:{config.service.port} is free")]


def available_memory() -> int | None:
    """Bytes of main memory that can be had without swapping; None where Linux does not say."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")), None)
