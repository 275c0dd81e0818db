"""The benchmarks that can be read, and how the figures of their subsets make the overall figure."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from grm_plugin.batch.items import Item, check_items, read_items
from grm_plugin.batch.label_noise import without_noise
from grm_plugin.config import JudgeConfig
from grm_plugin.errors import ConfigError, WireError
from grm_plugin.evals import judgebench, ppe, realmistake, rewardbench, rmb
from grm_plugin.evals.benchmark_rows import BenchmarkRow, HubSet, read_benchmark_rows

Metric = Literal["accuracy", "auc"]
Weights = Callable[[Mapping[str, int]], dict[str, float]]
"""Number of items per subset -> the subset's weight in the overall figure; weights sum to 1."""


def by_items(counts: Mapping[str, int]) -> dict[str, float]:
    """Every item weighs the same."""
    total = sum(counts.values())
    return {subset: count / total for subset, count in counts.items()}


def by_subsets(counts: Mapping[str, int]) -> dict[str, float]:
    """Every subset weighs the same."""
    return dict.fromkeys(counts, 1 / len(counts))


@dataclass(frozen=True, slots=True)
class Suite:
    """A benchmark.

    Attributes:
        name: its name on the command line.
        title: its name in tables.
        items: makes the items of a row; the rows that it leaves out are counted in its second argument, by reason.
        published: its data sets on the Hugging Face hub.
        weights: the weight of each subset in the overall figure.
        metric: `accuracy` for items with several responses, `auc` (ROC-AUC) for single responses.
        column: its column in the paper's tables, if it has one.
        sections: groups of subsets with figures of their own: section -> subset -> weight.
    """

    name: str
    title: str
    items: Callable[[BenchmarkRow, Counter[str]], Iterator[Item]]
    published: tuple[HubSet, ...]
    weights: Weights
    metric: Metric = "accuracy"
    column: str | None = None
    sections: Mapping[str, Mapping[str, float]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LoadedItems:
    """The items of a benchmark, and how many rows were left out for which reason."""

    items: list[Item]
    left_out: Mapping[str, int]


OWN_FORMAT = "jsonl"
"""The suite for a user's own items, in the format of `grm_plugin.batch.items`."""

SUITES = {
    suite.name: suite
    for suite in (
        Suite(
            "rewardbench",
            "RewardBench",
            rewardbench.rewardbench,
            (HubSet("allenai/reward-bench", split="filtered"),),
            rewardbench.section_weights,
            column="RB",
            sections=rewardbench.SECTIONS,
        ),
        Suite(
            "rewardbench2",
            "RewardBench 2",
            rewardbench.rewardbench_2,
            (HubSet("allenai/reward-bench-2", split="test"),),
            by_subsets,
        ),
        Suite(
            "ppe-preference",
            "PPE-Preference",
            ppe.ppe_preference,
            (HubSet("lmarena-ai/PPE-Human-Preference-V1", split="test"),),
            by_items,
            column="PPE-P",
        ),
        Suite(
            "ppe-correctness",
            "PPE-Correctness",
            ppe.ppe_correctness,
            tuple(HubSet(f"lmarena-ai/PPE-{subset}-Best-of-K", split="train") for subset in ppe.CORRECTNESS.values()),
            by_subsets,
            column="PPE-C",
        ),
        Suite("rmb", "RMB", rmb.rmb, (), by_subsets, column="RMB"),
        Suite(
            "realmistake",
            "ReaLMistake",
            realmistake.realmistake,
            tuple(HubSet("ryokamoi/realmistake", config=task) for task in realmistake.TASKS),
            by_subsets,
            "auc",
            "ReaLMistake",
        ),
        Suite(
            "judgebench",
            "JudgeBench",
            judgebench.judgebench,
            (HubSet("ScalerLab/JudgeBench"),),
            by_items,
        ),
    )
}


def suite_named(name: str) -> Suite:
    """The suite with this name.

    Raises:
        ConfigError: there is none.
    """
    if name == OWN_FORMAT:
        return Suite(OWN_FORMAT, "items", _no_rows, (), by_items)
    if name not in SUITES:
        raise ConfigError(f"--suite {name} is unknown; give one of {', '.join([*SUITES, OWN_FORMAT])}")
    return SUITES[name]


def metric_of(items: Iterable[Item]) -> Metric:
    """How items are measured: lists by accuracy, single responses by ROC-AUC.

    Raises:
        WireError: there are items of both kinds.
    """
    kinds = {len(item.responses) == 1 for item in items}
    if kinds == {True, False}:
        raise WireError("items with one response and with several cannot be measured together: split the file")
    return "auc" if kinds == {True} else "accuracy"


def load_items(
    name: str,
    data: str | Path | None = None,
    limit: int | None = None,
    seed: int = 0,
    judge: JudgeConfig | None = None,
) -> LoadedItems:
    """The items of a benchmark.

    Args:
        name: the suite's name.
        data: a file, a folder or a Hugging Face id; None loads the suite's data sets on the hub.
        limit: keep at most this many items, chosen at random; a larger limit adds items to those of a smaller one.
        seed: of the choice.
        judge: how the GRM is shown the items. Those whose label is noise for it (`grm_plugin.batch.label_noise`) are
            left out; None leaves them in.

    Raises:
        WireError: a row is wrong; the message names file, row and column.
        ConfigError: the data cannot be read or holds no item, or there is no such suite.
    """
    suite = suite_named(name)
    if data is None and not suite.published:
        raise ConfigError(f"--data is missing: {suite.title} is not on the hub under a known id")
    left_out: Counter[str] = Counter()
    if suite.name == OWN_FORMAT:
        items = read_items(Path(data or ""))
    else:
        found = _items_of(suite, read_benchmark_rows(data, suite.published), left_out)
        items = check_items(_with_unique_ids(found), str(data or suite.title))
    metric_of(items)
    if judge is not None:
        items = without_noise(items, judge, left_out)
        if not items:
            raise ConfigError(f"no item is left ({dict(left_out)}): there is nothing to measure")
    if limit is not None and limit < len(items):
        items = random.Random(seed).sample(items, len(items))[:limit]
    return LoadedItems(items, dict(left_out))


def _items_of(suite: Suite, rows: Iterable[BenchmarkRow], left_out: Counter[str]) -> Iterator[Item]:
    for row in rows:
        try:
            yield from suite.items(row, left_out)
        except WireError as error:
            raise WireError(f"{row.where}: {error}") from None


def _with_unique_ids(items: Iterable[Item]) -> Iterator[Item]:
    """Numbers different items to which the benchmark gives the same id. The same item twice is left as it is."""
    seen: dict[str, list[Item]] = {}
    for item in items:
        same_id = seen.setdefault(item.id, [])
        yield item if not same_id or item in same_id else replace(item, id=f"{item.id} ({len(same_id) + 1})")
        same_id.append(item)


def _no_rows(row: BenchmarkRow, left_out: Counter[str]) -> Iterator[Item]:
    raise ConfigError("items of this suite are read by grm_plugin.batch.items.read_items, not row by row")
