"""Whether rules can be loaded and principles can be read: the service refuses to start without them."""

from __future__ import annotations

from grm_plugin.config import Config
from grm_plugin.doctor.findings import Finding, error, ok
from grm_plugin.errors import ConfigError
from grm_plugin.judging.applying import Applying
from grm_plugin.rules.runner import runner_of


def check_criteria(config: Config) -> list[Finding]:
    """What of `judge.criteria` and `judge.principles` lies in files, loaded as the service would."""
    rules = [item.name for item in config.judge.criteria if item.kind == "rule"]
    asked = len(config.judge.criteria) - len(rules)
    try:
        Applying(config.judge)
        runner = runner_of(config.judge)
    except ConfigError as problem:
        return [error("criteria", str(problem), "correct it: the service does not start so")]
    if runner is not None:
        runner.close()
    if not config.judge.criteria:
        return [ok("criteria", "none: the GRM gives one overall score, unless a sample brings criteria")]
    said = f"{asked} for the GRM" if asked else "none for the GRM"
    return [ok("criteria", f"{said}, {len(rules)} rules{': ' + ', '.join(rules) if rules else ''}")]
