"""Prometheus metrics of one service. What `Counters` counts is read from there when Prometheus asks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence

from prometheus_client import CollectorRegistry, Gauge, Histogram
from prometheus_client import Counter as PromCounter
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder

from grm_plugin.serving.counters import Counters
from grm_plugin.serving.refusals import Refusals
from grm_plugin.trace.recorder import RecorderStatus
from grm_plugin.types import Judgement, ListJudgement

STAGES = ("sample", "group", "grm", "meta_rm")
STAGE_BUCKETS = (0.01, 0.03, 0.1, 0.3, 1, 2, 5, 10, 20, 40, 80, 120, 170, 300, 600, 1200)
SPREAD_BUCKETS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.5)

COUNTER_METRICS = {
    "requests": ("grm_requests", "Requests accepted."),
    "samples": ("grm_samples", "Samples that came in, alone or in groups."),
    "groups": ("grm_groups", "Groups judged."),
    "incomplete_groups": ("grm_incomplete_groups", "Groups judged at group.wait_s without all their siblings."),
    "alone": (
        "grm_lone_responses",
        "Responses that normalize.method group or rank could compare with nothing: their siblings are missing, or have "
        "no votes.",
    ),
    "copies": ("grm_copied_responses", "Responses that share the votes of one that reads the same."),
    "votes_asked": ("grm_votes_asked", "Critiques asked of the GRM."),
    "votes_parsed": ("grm_votes_parsed", "Critiques that could be read."),
    "votes_kept": ("grm_votes_kept", "Critiques that the meta RM let vote."),
    "votes_forced": (
        "grm_votes_forced",
        "Critiques that could be read because they were asked for their scores after a cut (sampling.force_answer).",
    ),
    "votes_tiebreak": (
        "grm_tiebreak_votes",
        "Critiques that compared two responses because their votes did not separate (judge.mode tiebreak).",
    ),
    "blank": ("grm_blank_responses", "Responses scored by the blank rule."),
    "cut_responses": ("grm_cut_responses", "Over-long responses shown to the GRM without their middle."),
    "meta_failures": ("grm_meta_rm_failures", "Lists whose critiques the meta RM could not rate."),
    "deadline_misses": ("grm_deadline_misses", "Answers given by the failure policy because the judge was late."),
    "refused": ("grm_requests_refused", "Requests refused because too much was waiting."),
    "unreadable": (
        "grm_unreadable_samples",
        "Samples of /get_reward that could not be read, beside others of the call.",
    ),
    "tokens": ("grm_tokens", "Tokens that the GRM generated."),
}
"""By field of `Counters`: the metric's name and its help. `Counters.fallbacks` is missing: it is exported by reason."""


class Metrics:
    """The metrics of one service, on a Prometheus registry of their own.

    Args:
        counters: the service's running totals.
        refusals: the calls that it refused.
        waiting: returns the number of samples in the service now.
        traces: returns the state of tracing; None where tracing is off.
    """

    def __init__(
        self,
        counters: Counters,
        refusals: Refusals,
        waiting: Callable[[], int],
        traces: Callable[[], RecorderStatus | None],
    ) -> None:
        self.registry = CollectorRegistry()
        self.registry.register(_ReadWhenAsked(counters, refusals, waiting, traces))
        self._stage = Histogram(
            "grm_stage_seconds",
            "Seconds per stage: sample (from arrival to reward, waiting for siblings included), group (from the "
            "first sample, or its request, to its rewards), grm (the critiques of a list), meta_rm (rating them).",
            ["stage"],
            buckets=STAGE_BUCKETS,
            registry=self.registry,
        )
        for stage in STAGES:
            self._stage.labels(stage)
        self._mean = Histogram(
            "grm_mean_score", "Mean vote of a response (1..10).", buckets=range(1, 11), registry=self.registry
        )
        self._spread = Histogram(
            "grm_spread",
            "Standard deviation of the votes on a response.",
            buckets=SPREAD_BUCKETS,
            registry=self.registry,
        )
        self._criterion = Histogram(
            "grm_criterion_mean_score",
            "Mean vote of a response on a criterion of the configuration, or what its rule says (1..10).",
            ["criterion"],
            buckets=range(1, 11),
            registry=self.registry,
        )
        self._rule_failures = PromCounter(
            "grm_rule_failures",
            "Responses for which a rule had no number: it raised, took too long, or gave something else.",
            ["criterion"],
            registry=self.registry,
        )
        self._unparsed = PromCounter(
            "grm_votes_lost", "Critiques that gave no vote, by reason.", ["reason"], registry=self.registry
        )
        self._stopped = PromCounter(
            "grm_lists_judged",
            "Lists judged, by why there were no more votes: all, or what sampling.adaptive found (winner, precise, "
            "futile).",
            ["stopped"],
            registry=self.registry,
        )
        self._reliability = Gauge(
            "grm_reliability",
            "How much of what separates the mean votes of a list is signal, 0 to 1, over about the last 2,000 lists.",
            registry=self.registry,
        )
        self._length_corr = Gauge(
            "grm_length_corr",
            "Correlation of rewards with the length of responses inside groups, -1 to 1, over about the last 2,000.",
            registry=self.registry,
        )
        self._replicas = Gauge(
            "grm_replicas", "Replicas by deployment and state.", ["deployment", "state"], registry=self.registry
        )
        self._fallbacks = PromCounter(
            "grm_fallbacks",
            "Rewards that the failure policy gave, by the commonest reason why the response's votes were lost; "
            "deadline: no list with the response was judged in time; unreadable: it was not found in its query.",
            ["reason"],
            registry=self.registry,
        )

    def set_replicas(self, states: Mapping[str, Mapping[str, int]]) -> None:
        """Set how many replicas of each deployment (Engine, MetaRM) are in which state (RUNNING, DOWN)."""
        self._replicas.clear()
        for deployment, counts in states.items():
            for state, count in counts.items():
                self._replicas.labels(deployment, state).set(count)

    def count_judgement(self, judgement: Judgement) -> None:
        """Count a judged group, its votes and its missing rewards."""
        self.observe("group", judgement.latency_s)
        for reward in judgement.rewards:
            if reward.status == "ok" and reward.mean is not None and reward.spread is not None:
                self._mean.observe(reward.mean)
                self._spread.observe(reward.spread)
            for criterion in reward.criteria:
                if criterion.mean is not None and not criterion.own:
                    self._criterion.labels(criterion.name).observe(criterion.mean)
                if criterion.problem:
                    self._rule_failures.labels(criterion.name).inc()
            if reward.reliability is not None:
                self._reliability.set(reward.reliability)
            if reward.length_corr is not None:
                self._length_corr.set(reward.length_corr)
        for judged in judgement.lists:
            for stage, seconds in (("grm", judged.grm_s), ("meta_rm", judged.meta_rm_s)):
                if seconds:
                    self.observe(stage, seconds)
            self._stopped.labels(judged.stopped.value).inc()
            for vote in judged.unparsed:
                self._unparsed.labels(vote.reason).inc()
        self.count_missing(judgement)

    def count_missing(self, judgement: Judgement) -> None:
        """Count the missing rewards of a judgement only."""
        for index, reward in enumerate(judgement.rewards):
            if reward.value is None:
                judged_as = index if reward.same_as is None else reward.same_as
                self._fallbacks.labels(_why_no_vote(judgement.lists, judged_as)).inc()

    def count_unreadable(self, samples: int) -> None:
        """Count samples that could not be read."""
        self._fallbacks.labels("unreadable").inc(samples)

    def observe(self, stage: str, seconds: float) -> None:
        """Record that one pass of a stage of `STAGES` took so long."""
        self._stage.labels(stage).observe(seconds)

    def exposition(self, accept: str = "") -> tuple[bytes, str]:
        """All metrics as text and their media type, in the format that the Accept header `accept` asks for."""
        encode, media_type = choose_encoder(accept)
        return encode(self.registry), media_type


class _ReadWhenAsked:
    """A Prometheus collector for what others count: the service's totals, its waiting samples, its traces."""

    def __init__(
        self,
        counters: Counters,
        refusals: Refusals,
        waiting: Callable[[], int],
        traces: Callable[[], RecorderStatus | None],
    ) -> None:
        self._counters = counters
        self._refusals = refusals
        self._waiting = waiting
        self._traces = traces

    def collect(self) -> Iterator[Metric]:
        """Called by the registry for every request to `/metrics`."""
        totals = self._counters.as_dict()
        for field, (name, about) in COUNTER_METRICS.items():
            yield CounterMetricFamily(name, about, totals[field])
        refused = CounterMetricFamily(
            "grm_calls_refused", "Calls refused, by the status of the answer.", labels=["status"]
        )
        for code, count in sorted(self._refusals.by_status.items()):
            refused.add_metric([str(code)], count)
        yield refused
        yield GaugeMetricFamily("grm_samples_waiting", "Samples in the service now.", self._waiting())
        status = self._traces()
        if status is not None:
            yield CounterMetricFamily("grm_traces_written", "Groups written to the trace store.", status.written)
            yield CounterMetricFamily("grm_traces_dropped", "Groups judged but not traced.", status.dropped)
            yield GaugeMetricFamily("grm_traces_waiting", "Groups waiting to be written.", status.waiting)


def _why_no_vote(lists: Sequence[ListJudgement], index: int) -> str:
    """The commonest reason why votes on the response at `index` were lost; `deadline` where none is known."""
    reasons = Counter(vote.reason.value for judged in lists if index in judged.members for vote in judged.unparsed)
    return reasons.most_common(1)[0][0] if reasons else "deadline"
