"""The official figures of ReaLMistake (Kamoi et al., arXiv 2404.03602): finding responses with an error."""

from __future__ import annotations

import numpy as np

from grm_plugin.batch.items import Item
from grm_plugin.batch.statistics.basis import Floats
from grm_plugin.batch.statistics.bootstrap import Ints
from grm_plugin.batch.statistics.estimates import Estimate
from grm_plugin.evals.benchmarks.realmistake import SETS
from grm_plugin.evals.benchmarks.suite import OTHER
from grm_plugin.evals.official.rule import OfficialRule, Part, Scored, weighted
from grm_plugin.evals.voting_methods import Tally

METRICS = ("f1", "precision", "recall", "accuracy")

MIDDLE = 5.5
"""A mean score below the middle of 1..10 says that there is an error. The benchmark asks for a yes or no instead."""


def _scores(item: Item, tally: Tally, scalar: bool) -> Floats:
    scores: Floats = tally.means[..., 0]
    return scores


def _parts(scored: Scored) -> dict[str, Part]:
    found: dict[str, Part] = {}
    for subset, places in scored.groups(lambda item: item.subset or OTHER).items():
        figures = _measured(scored, places)
        found |= {f"{subset} {metric}": Part(metric, len(places), figures[metric]) for metric in METRICS}
        found[subset] = found[f"{subset} f1"]
    if scored.groups().keys() >= {*SETS}:
        for metric in METRICS:
            found[metric] = weighted([(1 / len(SETS), found[f"{subset} {metric}"]) for subset in SETS])
    return found


def _measured(scored: Scored, places: Ints) -> dict[str, list[Estimate]]:
    """Metric -> the figure of every method. An error is the positive class; an unreadable answer finds none."""
    means = np.array([scored.values[place] for place in places])  # items x M x R
    wrong = np.array([scored.items[place].label == 0 for place in places])[:, None, None]
    flagged, voted = means < MIDDLE, ~np.isnan(means)
    counts = [flagged & wrong, flagged, wrong & np.ones_like(flagged), (flagged == wrong) & voted]
    rows = np.array(counts, dtype=np.float64).reshape(len(counts), len(places), -1).transpose(0, 2, 1)
    shape = (len(counts), *means.shape[1:])
    totals, drawn = scored.bootstrap.sums(rows.reshape(-1, len(places)), places)
    once = _metrics(totals.reshape(shape), np.float64(len(places)))
    found = {name: np.empty((means.shape[1], drawn.shape[1])) for name in METRICS}
    size = scored.bootstrap.sums(np.ones((1, len(places))), places)[1][0]
    for method, tables in enumerate(drawn.reshape(*shape, -1).transpose(1, 0, 2, 3)):
        for name, values in _metrics(tables, np.maximum(size, 1.0)).items():
            found[name][method] = values.mean(axis=0)
    basis = scored.bootstrap.basis(places)
    return {
        name: [
            Estimate(float(value), draws, basis)
            for value, draws in zip(once[name].mean(axis=1), found[name], strict=True)
        ]
        for name in METRICS
    }


def _metrics(counts: Floats, n: Floats | np.float64) -> dict[str, Floats]:
    """The metrics of counts: errors found, all found, all errors, right verdicts; of n items.

    A metric whose denominator is 0 is 0, as the benchmark's code has it.
    """
    hits, flagged, wrong, right = counts
    with np.errstate(divide="ignore", invalid="ignore"):
        found = {
            "f1": 2 * hits / (flagged + wrong),
            "precision": hits / flagged,
            "recall": hits / wrong,
            "accuracy": right / n,
        }
    return {name: np.nan_to_num(values, nan=0.0) for name, values in found.items()}


RULE = OfficialRule(
    code="psunlpgroup/ReaLMistake",
    version="2024-08-18",
    verified=True,
    says="F1 of finding the responses with an error, mean over six sets (three tasks, two response models). A mean "
    "score below 5.5 says error; an unreadable answer says none.",
    reduce=_scores,
    parts=_parts,
    headline=("f1",),
    scalar=False,
)
