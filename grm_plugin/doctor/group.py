"""Whether single samples would be rewarded."""

from __future__ import annotations

from grm_plugin.config import Config, lone_response
from grm_plugin.doctor.findings import Finding, ok, warning


def check_group(config: Config) -> list[Finding]:
    """What `group.n` means for samples that come one by one without a `?n=`."""
    n = config.group.n
    problem = lone_response(config.normalize.method, n)
    if problem:
        return [
            warning(
                "group",
                f"{problem}: samples that come one by one are refused unless they say ?n=",
                "set group.n to the job's samples per prompt (OpenRLHF's launcher does), or normalize.method to unit",
            )
        ]
    return [ok("group", f"{n} sample(s) per prompt are judged together, unless a call says otherwise (?n=)")]
