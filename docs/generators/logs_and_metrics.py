"""The numbers logged beside a reward, and the metrics that Prometheus reads off a service."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from prometheus_client.metrics_core import Metric

from generators.markdown import code, described, table
from grm_plugin.judging.fallback import LOG_MEANINGS
from grm_plugin.serving.counters import Counters
from grm_plugin.serving.metrics import Metrics
from grm_plugin.serving.refusals import Refusals
from grm_plugin.trace.recorder import RecorderStatus


def page() -> str:
    """The page."""
    blocks = [
        "# Log keys and metrics",
        "## Log keys",
        "Beside every reward, in the tracker of the training job (TRL: {code}`grm/...`).",
        table(
            ("Key", "Meaning"), ((code(key), described(about, f"log key {key}")) for key, about in LOG_MEANINGS.items())
        ),
        "## Metrics",
        "A service shows them at `/metrics`, for Prometheus. `grm_traces_*` are there only where traces are kept.",
        table(("Metric", "Type", "Labels", "Meaning"), _metrics()),
    ]
    return "\n\n".join(blocks)


def _metrics() -> Iterator[tuple[str, str, str, str]]:
    metrics = Metrics(Counters(), Refusals(), lambda: 0, lambda: RecorderStatus(Path(), 0, 0, 0, ""))
    labels = {
        collector._name: collector._labelnames
        for collector in vars(metrics).values()
        if hasattr(collector, "_labelnames")
    }  # a metric without values, as all are here, does not tell its labels otherwise
    for metric in sorted(metrics.registry.collect(), key=lambda metric: metric.name):
        names = ", ".join(code(label) for label in labels.get(metric.name, ()))
        yield code(_exported(metric)), metric.type, names, described(metric.documentation, f"metric {metric.name}")


def _exported(metric: Metric) -> str:
    """The name that a query uses: the client appends this to the name of a counter."""
    return metric.name + ("_total" if metric.type == "counter" else "")
