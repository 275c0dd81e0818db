"""Runs all checks of a configuration side by side, each within its deadline."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from grm_plugin._util.deadline import Deadline
from grm_plugin.config import Config
from grm_plugin.doctor.criteria import check_criteria
from grm_plugin.doctor.findings import Finding, warning
from grm_plugin.doctor.gpus import check_gpus
from grm_plugin.doctor.group import check_group
from grm_plugin.doctor.memory import check_memory
from grm_plugin.doctor.models import check_meta_rm, check_models
from grm_plugin.doctor.port import check_port
from grm_plugin.doctor.prompt_length import check_prompts
from grm_plugin.doctor.security import check_access, check_remote_code
from grm_plugin.doctor.versions import check_versions


@dataclass(frozen=True, slots=True)
class Check:
    """One check: `run` has `deadline_s` seconds to return at least one finding; it may raise."""

    name: str
    run: Callable[[Config], list[Finding]]
    deadline_s: float = 20.0


CHECKS = (
    Check("versions", check_versions),
    Check("port", check_port),
    Check("access", check_access),
    Check("remote code", check_remote_code),
    Check("group", check_group),
    Check("criteria", check_criteria, deadline_s=90.0),  # a file of rules may import much
    Check("models", check_models),
    Check("meta_rm", check_meta_rm),
    Check("prompt", check_prompts, deadline_s=120.0),  # imports transformers, perhaps from a slow network disk
    Check("gpus", check_gpus, deadline_s=60.0),  # Ray itself waits 30 s for a cluster that does not answer
    Check("memory", check_memory),
)


def examine(config: Config, checks: tuple[Check, ...] = CHECKS) -> Iterator[Finding]:
    """What the checks find, in the order of the checks. A check that fails, or is not done in time, gives a warning."""
    running = [_RunningCheck(check, config) for check in checks]
    for each in running:
        each.thread.join(each.deadline.left_s)
        yield from each.findings or [
            warning(each.check.name, f"this could not be checked within {each.check.deadline_s:g} s", "try again")
        ]


@dataclass(slots=True)
class _RunningCheck:
    """A check in a thread of its own, which starts at once."""

    check: Check
    config: Config
    findings: list[Finding] = field(default_factory=list)
    thread: threading.Thread = field(init=False)
    deadline: Deadline = field(init=False)

    def __post_init__(self) -> None:
        # A daemon thread: one that waits for a disk that hangs must not keep the process from ending.
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()
        self.deadline = Deadline.after(self.check.deadline_s)

    def _run(self) -> None:
        try:
            self.findings = self.check.run(self.config)
        except Exception as error:  # any error of a driver or a library: the other checks still count
            self.findings = [warning(self.check.name, f"this could not be checked: {type(error).__name__}: {error}")]
