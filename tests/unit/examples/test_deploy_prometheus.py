"""The Prometheus files of examples/deploy: every metric that they name is one that the service exports, and each alert
is raised by what it is for."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from grm_plugin.serving.counters import Counters
from grm_plugin.serving.http.auth import METRICS_PATH
from grm_plugin.serving.metrics import Metrics
from grm_plugin.serving.refusals import Refusals
from grm_plugin.trace.recorder import RecorderStatus
from support.paths import ROOT

PROMETHEUS = ROOT / "examples" / "deploy" / "prometheus"
TESTS = Path(__file__).parent / "alerts_test.yml"
OF_PROMETHEUS = {"up": {"job", "instance"}}
OF_EVERY_SERIES = {"job", "instance"}

promtool = pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool (Prometheus) is not installed")


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load((PROMETHEUS / "alerts.yml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def exported() -> dict[str, set[str]]:
    """The labels of every series of a service, by its name."""
    metrics = Metrics(Counters(), Refusals(), lambda: 0, lambda: RecorderStatus(Path(), 0, 0, 0, ""))
    metrics.set_replicas({"Engine": {"RUNNING": 1, "DOWN": 0}})
    metrics.count_unreadable(1)
    metrics._unparsed.labels("no_scores").inc()
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(metrics.exposition()[0].decode()):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


def selectors(expression: object) -> Iterator[promql_parser.VectorSelector]:
    """Every selector of series in an expression."""
    if isinstance(expression, promql_parser.VectorSelector):
        yield expression
    elif isinstance(expression, promql_parser.MatrixSelector):
        yield expression.vector_selector
    else:
        for name in ("lhs", "rhs", "expr", "args"):
            below = getattr(expression, name, None)
            for part in below if isinstance(below, list) else [below]:
                if part is not None:
                    yield from selectors(part)


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: str(rule["alert"]))
def test_every_series_that_an_alert_reads_is_exported(rule: dict[str, Any]) -> None:
    known = exported() | OF_PROMETHEUS
    read = list(selectors(promql_parser.parse(rule["expr"])))
    assert read
    for selector in read:
        assert selector.name in known, rule["expr"]
        labels = {matcher.name for matcher in selector.matchers.matchers}
        assert labels <= known[selector.name] | OF_EVERY_SERIES, rule["expr"]
    assert rule["annotations"].keys() == {"summary", "action"}
    assert rule["labels"]["severity"] in ("critical", "warning", "info")


def test_the_scrape_configuration_reads_the_metrics_with_their_own_token() -> None:
    config = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())
    [job] = config["scrape_configs"]
    assert job.get("metrics_path", "/metrics") == METRICS_PATH
    compose = yaml.safe_load((ROOT / "examples" / "deploy" / "compose.yaml").read_text())
    [secret] = compose["services"]["prometheus"]["secrets"]
    assert job["authorization"]["credentials_file"] == f"/run/secrets/{secret}"
    assert secret in compose["services"]["grm"]["secrets"]
    assert job["static_configs"] == [{"targets": ["grm:8790"]}]
    assert [rule for name in config["rule_files"] for rule in [PROMETHEUS / name] if not rule.exists()] == []


@promtool
@pytest.mark.parametrize(
    "command",
    [
        ["check", "config", "--syntax-only", str(PROMETHEUS / "prometheus.yml")],
        ["check", "rules", "--lint=all", "--lint-fatal", str(PROMETHEUS / "alerts.yml")],
        ["test", "rules", str(TESTS)],
    ],
    ids=["config", "rules", "alerts"],
)
def test_promtool(command: list[str]) -> None:
    done = subprocess.run(["promtool", *command], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_is_tested() -> None:
    text = TESTS.read_text()
    assert [rule["alert"] for rule in rules() if f'"{rule["alert"]}"' not in text] == []
