"""What all processes of a service have counted, added up: for `/metrics` and `/info`.

The first process adds up, so that every process tells the same: a total that went back, because another process knew
less, would look to Prometheus like a restart. What a process had counted before it died stays in the total.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from prometheus_client.core import Metric
from prometheus_client.exposition import choose_encoder

GAUGES = ("waiting",)
"""Names in `Info.counters` of what is there now; the others only grow."""

ALIKE = ("grm_replicas", "grm_reliability", "grm_length_corr")
"""Metrics that every process tells of the same things, or of as good ones: the first process speaks for all."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What one process has counted, or several.

    Attributes:
        process: its name, another one after a restart.
        counters: of `Info`.
        metrics: as its registry collects them.
    """

    process: str
    counters: Mapping[str, float] = field(default_factory=dict)
    metrics: tuple[Metric, ...] = ()

    def exposition(self, accept: str) -> tuple[bytes, str]:
        """See `Metrics.exposition`."""
        encode, media_type = choose_encoder(accept)
        return encode(_Collected(self.metrics)), media_type


class Totals:
    """Adds up the figures of the processes, in the first one."""

    def __init__(self) -> None:
        self._last: dict[int, Figures] = {}
        self._gone: list[Figures] = []
        """One or none: what processes that have died had counted."""

    def heard(self, place: int, figures: Figures) -> None:
        """Take in the figures of the process in a place (0: the first one)."""
        last = self._last.get(place)
        if last is not None and last.process != figures.process:
            self._gone = [_sum("", [*self._gone, _lasting(last)])]
        self._last[place] = figures

    def sum(self) -> Figures:
        """The total of what was heard last from each place, and of what was counted before."""
        return _sum("", [*(self._last[place] for place in sorted(self._last)), *self._gone])


class _Collected:
    """A registry of metrics that are collected already."""

    def __init__(self, metrics: tuple[Metric, ...]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[Metric]:
        return iter(self._metrics)


def _lasting(figures: Figures) -> Figures:
    """The figures without what was only true while the process lived."""
    counters = {name: value for name, value in figures.counters.items() if name not in GAUGES}
    return Figures(figures.process, counters, tuple(metric for metric in figures.metrics if metric.type != "gauge"))


def _sum(name: str, parts: Iterable[Figures]) -> Figures:
    counters: dict[str, float] = {}
    metrics: dict[str, Metric] = {}
    values: dict[str, dict[tuple[object, ...], float]] = {}
    for part in parts:
        for key, value in part.counters.items():
            counters[key] = counters.get(key, 0) + value
        for metric in part.metrics:
            first = metric.name not in metrics
            metrics.setdefault(metric.name, metric)
            if not first and metric.name in ALIKE:
                continue
            of_metric = values.setdefault(metric.name, {})
            for sample in metric.samples:
                row = (sample.name, *sample.labels.items())
                if row not in of_metric:
                    of_metric[row] = sample.value
                elif sample.name.endswith("_created"):  # a time: the total counts from the first one
                    of_metric[row] = min(of_metric[row], sample.value)
                else:
                    of_metric[row] += sample.value
    return Figures(name, counters, tuple(_with_values(metric, values[metric.name]) for metric in metrics.values()))


def _with_values(metric: Metric, values: Mapping[tuple[object, ...], float]) -> Metric:
    summed = Metric(metric.name, metric.documentation, metric.type, metric.unit)
    for (name, *labels), value in values.items():
        summed.add_sample(str(name), dict(labels), value)  # type: ignore[arg-type]
    return summed
