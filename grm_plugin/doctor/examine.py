"""All checks of a configuration, each within its deadline."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from grm_plugin.config import Config
from grm_plugin.doctor.findings import Finding, warning
from grm_plugin.doctor.gpus import check_gpus
from grm_plugin.doctor.memory import check_memory
from grm_plugin.doctor.models import check_meta_rm, check_models
from grm_plugin.doctor.port import check_port
from grm_plugin.doctor.prompt_length import check_prompts
from grm_plugin.doctor.security import check_access, check_remote_code
from grm_plugin.doctor.versions import check_versions


@dataclass(frozen=True, slots=True)
class Check:
    """`look` must find something within `deadline_s` seconds; it may raise."""

    name: str
    look: Callable[[Config], list[Finding]]
    deadline_s: float = 20.0


CHECKS = (
    Check("versions", check_versions),
    Check("port", check_port),
    Check("access", check_access),
    Check("remote code", check_remote_code),
    Check("models", check_models),
    Check("meta_rm", check_meta_rm),
    Check("prompt", check_prompts, deadline_s=120.0),  # imports transformers, from a cold network disk at worst
    Check("gpus", check_gpus, deadline_s=60.0),  # Ray itself waits 30 s for a cluster that does not answer
    Check("memory", check_memory),
)


def examine(config: Config, checks: tuple[Check, ...] = CHECKS) -> Iterator[Finding]:
    """What the checks find, in their order. They run side by side; one that is late or fails becomes a warning."""
    started = time.monotonic()
    looks = [_Look(check, config) for check in checks]
    for look in looks:
        look.thread.start()
    for look in looks:
        look.thread.join(max(0.0, started + look.check.deadline_s - time.monotonic()))
        yield from look.findings or [
            warning(look.check.name, f"this could not be looked at within {look.check.deadline_s:g} s", "try again")
        ]


@dataclass(slots=True)
class _Look:
    check: Check
    config: Config
    findings: list[Finding] = field(default_factory=list)
    thread: threading.Thread = field(init=False)

    def __post_init__(self) -> None:
        # A daemon: a disk that hangs must not keep the process.
        self.thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        try:
            self.findings = self.check.look(self.config)
        except Exception as error:  # whatever a driver or a library raises: the other checks are still worth having
            self.findings = [warning(self.check.name, f"this could not be looked at: {type(error).__name__}: {error}")]
