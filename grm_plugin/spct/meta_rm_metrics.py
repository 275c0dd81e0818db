"""Measures how well a meta RM tells right critiques from wrong ones, from its logits, the labels and the item ids."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from operator import itemgetter
from typing import Any

from grm_plugin.errors import ConfigError

BINS = 10
"""Number of bins of the calibration, each a tenth of [0, 1]."""


@dataclass(frozen=True, slots=True)
class Bin:
    """The critiques whose predicted probability lies in one tenth of [0, 1].

    Attributes:
        critiques: their number.
        predicted: mean predicted probability.
        right: share of right ones.
    """

    critiques: int
    predicted: float
    right: float


@dataclass(frozen=True, slots=True)
class Metrics:
    """Figures of one meta RM on one set of critiques.

    Attributes:
        critiques: their number.
        right: share of right ones. Always predicting the more frequent kind has the accuracy max(right, 1 - right).
        accuracy: share of critiques whose logit has the right sign.
        auc: chance that a right critique is rated above a wrong one (ties count half), over all pairs; NaN if one kind
            is missing.
        within_auc: the same over pairs of critiques of the same item, which is what the filter of k votes depends on;
            NaN if there is no such pair.
        pairs: number of these pairs.
        log_loss: mean binary cross-entropy in nats.
        ece: expected calibration error: mean distance between `predicted` and `right` over the bins, by their size.
        calibration: the bins that are not empty.
    """

    critiques: int
    right: float
    accuracy: float
    auc: float
    within_auc: float
    pairs: int
    log_loss: float
    ece: float
    calibration: tuple[Bin, ...]

    def as_json(self) -> dict[str, Any]:
        """Plain values; null for NaN."""
        plain = asdict(self)
        return {key: None if isinstance(value, float) and math.isnan(value) else value for key, value in plain.items()}

    def __str__(self) -> str:
        rows = "\n".join(
            f"  predicted {bin.predicted:.2f}  right {bin.right:.2f}  critiques {bin.critiques:,}"
            for bin in self.calibration
        )
        return (
            f"critiques {self.critiques:,} ({self.right:.1%} right)  accuracy {self.accuracy:.1%}  AUC {self.auc:.3f}  "
            f"within items {self.within_auc:.3f} ({self.pairs:,} pairs)  log loss {self.log_loss:.3f}  ECE "
            f"{self.ece:.3f}\n{rows}"
        )


def measure(logits: Sequence[float], labels: Sequence[int], items: Sequence[str]) -> Metrics:
    """The figures over critiques. The three sequences have one entry per critique, and at least one.

    Raises:
        ConfigError: a logit is not finite.
    """
    n = len(logits)
    require_finite(logits)
    within, pairs = _within(logits, labels, items)
    bins = _bins([sigmoid(logit) for logit in logits], labels)
    return Metrics(
        critiques=n,
        right=sum(labels) / n,
        accuracy=sum((logit > 0) == bool(label) for logit, label in zip(logits, labels, strict=True)) / n,
        auc=roc_auc(logits, labels),
        within_auc=within,
        pairs=pairs,
        log_loss=sum(_cross_entropy(logit, label) for logit, label in zip(logits, labels, strict=True)) / n,
        ece=sum(each.critiques * abs(each.predicted - each.right) for each in bins) / n,
        calibration=tuple(bins),
    )


def require_finite(logits: Sequence[float]) -> None:
    """Raises `ConfigError` if a logit is not finite: a model with such weights cannot rate anything."""
    unusable = sum(not math.isfinite(logit) for logit in logits)
    if unusable:
        raise ConfigError(
            f"the meta RM rates {unusable:,} of {len(logits):,} critiques with NaN or infinity: its weights are "
            "unusable, as after a training that diverged (lower --lr)"
        )


def roc_auc(scores: Sequence[float], labels: Sequence[int]) -> float:
    """Area under the ROC curve by ranks (Mann-Whitney U), ties count half; NaN if one kind of label is missing."""
    positives = sum(labels)
    negatives = len(labels) - positives
    if not positives or not negatives:
        return math.nan
    rank_sum, below = 0.0, 0
    for _, tied in groupby(sorted(zip(scores, labels, strict=True)), key=itemgetter(0)):
        kinds = [label for _, label in tied]
        rank_sum += sum(kinds) * (below + (len(kinds) + 1) / 2)
        below += len(kinds)
    return (rank_sum - positives * (positives + 1) / 2) / (positives * negatives)


def sigmoid(logit: float) -> float:
    """1 / (1 + exp(-logit)), without overflow."""
    return 1 / (1 + math.exp(-logit)) if logit >= 0 else math.exp(logit) / (1 + math.exp(logit))


def _within(logits: Sequence[float], labels: Sequence[int], items: Sequence[str]) -> tuple[float, int]:
    """AUC over pairs of critiques of the same item, and the number of pairs."""
    members: dict[str, list[int]] = defaultdict(list)
    for index, item in enumerate(items):
        members[item].append(index)
    won, pairs = 0.0, 0
    for indices in members.values():
        of_item = [labels[index] for index in indices]
        count = sum(of_item) * (len(of_item) - sum(of_item))
        if count:
            won += count * roc_auc([logits[index] for index in indices], of_item)
            pairs += count
    return (won / pairs if pairs else math.nan), pairs


def _bins(probabilities: Sequence[float], labels: Sequence[int]) -> list[Bin]:
    members: dict[int, list[int]] = defaultdict(list)
    for index, probability in enumerate(probabilities):
        members[min(BINS - 1, int(probability * BINS))].append(index)
    return [
        Bin(
            len(indices),
            sum(probabilities[index] for index in indices) / len(indices),
            sum(labels[index] for index in indices) / len(indices),
        )
        for _, indices in sorted(members.items())
    ]


def _cross_entropy(logit: float, label: int) -> float:
    """-log of the probability of the label, without overflow."""
    margin = logit if label else -logit
    return math.log1p(math.exp(-margin)) if margin >= 0 else -margin + math.log1p(math.exp(margin))
