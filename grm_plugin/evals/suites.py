"""The benchmarks that can be read, and how each adds up its parts."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from grm_plugin.batch.items import Item, check_items, read_items
from grm_plugin.errors import ConfigError, WireError
from grm_plugin.evals import judgebench, ppe, realmistake, rewardbench, rmb
from grm_plugin.evals.sources import BenchmarkRow, HubSet, read_rows

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
        name: on the command line.
        title: in a table.
        items: a row -> its items; counts what it leaves out, by reason.
        published: where it is on the Hugging Face hub.
        weights: how the subsets add up.
        sections: parts between the subsets and the overall figure: section -> subset -> weight.
        metric: accuracy of the best response, or ROC-AUC of single ones.
        column: its column in the paper's tables, if it has one.
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
class Loaded:
    """The items of a benchmark, and how many rows were left out, by reason."""

    items: list[Item]
    left_out: Mapping[str, int]


OWN = "jsonl"
"""Name of the suite that is no benchmark: a file of our own (`grm_plugin.batch.items`)."""

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
    """The suite of a name on the command line; `jsonl` gives one without columns in the paper's tables.

    Raises:
        ConfigError: there is none.
    """
    if name == OWN:
        return Suite(OWN, "items", _no_rows, (), by_items)
    if name not in SUITES:
        raise ConfigError(f"--suite {name} is unknown; give one of {', '.join([*SUITES, OWN])}")
    return SUITES[name]


def metric_of(items: Iterable[Item]) -> Metric:
    """How items are measured: lists by accuracy, single responses by ROC-AUC.

    Raises:
        WireError: there are both.
    """
    kinds = {len(item.responses) == 1 for item in items}
    if kinds == {True, False}:
        raise WireError("items with one response and with several cannot be measured together: split the file")
    return "auc" if kinds == {True} else "accuracy"


def load(name: str, data: str | Path | None = None, limit: int | None = None, seed: int = 0) -> Loaded:
    """The items of a benchmark.

    Args:
        name: a suite.
        data: file, folder or Hugging Face id; None loads what the suite has on the hub.
        limit: keep at most so many items, drawn at random (the same ones for the same seed, and more of them for a
            larger limit).
        seed: of that draw.

    Raises:
        WireError: a row is wrong; the message names file, row and column.
        ConfigError: the data cannot be read or holds no item, or there is no such suite.
    """
    suite = suite_named(name)
    if data is None and not suite.published:
        raise ConfigError(f"--data is missing: {suite.title} is not on the hub under a known id")
    left_out: Counter[str] = Counter()
    if suite.name == OWN:
        items = read_items(Path(data or ""))
    else:
        found = _read(suite, read_rows(data, suite.published), left_out)
        items = check_items(_numbered(found), str(data or suite.title))
    metric_of(items)
    if limit is not None and limit < len(items):
        items = random.Random(seed).sample(items, len(items))[:limit]
    return Loaded(items, dict(left_out))


def _read(suite: Suite, rows: Iterable[BenchmarkRow], left_out: Counter[str]) -> Iterator[Item]:
    for row in rows:
        try:
            yield from suite.items(row, left_out)
        except WireError as error:
            raise WireError(f"{row.where}: {error}") from None


def _numbered(items: Iterable[Item]) -> Iterator[Item]:
    """The items; different ones that the benchmark gives one id are numbered. The same one twice stays as it is."""
    seen: dict[str, list[Item]] = {}
    for item in items:
        twins = seen.setdefault(item.id, [])
        yield item if not twins or item in twins else replace(item, id=f"{item.id} ({len(twins) + 1})")
        twins.append(item)


def _no_rows(row: BenchmarkRow, left_out: Counter[str]) -> Iterator[Item]:
    raise ConfigError("this suite is read by grm_plugin.batch.items.read_items")
