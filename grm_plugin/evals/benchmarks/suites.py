"""The benchmarks that can be read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from grm_plugin.batch.items import Item, check_items
from grm_plugin.batch.label_noise import NOISE, with_noise_marked, without_noise
from grm_plugin.config import JudgeConfig
from grm_plugin.errors import ConfigError, WireError
from grm_plugin.evals.benchmarks import judgebench, ppe, realmistake, rewardbench, rm_bench, rmb
from grm_plugin.evals.benchmarks.drawing import draw
from grm_plugin.evals.benchmarks.own_items import read_own_items
from grm_plugin.evals.benchmarks.rows import BenchmarkRow, HubSet, read_benchmark_rows
from grm_plugin.evals.benchmarks.suite import Metric, Suite, by_items, by_subsets


@dataclass(frozen=True, slots=True)
class LoadedItems:
    """The items of a benchmark.

    Attributes:
        items: what is to be judged.
        left_out: reason -> number of rows that are not among them.
        noise: fault -> number of `items` whose label is noise, as their `meta` says. A benchmark's official figure
            counts them, the strict one does not.
    """

    items: list[Item]
    left_out: Mapping[str, int]
    noise: Mapping[str, int] = field(default_factory=dict)

    @property
    def remarks(self) -> list[str]:
        """What a user should know of these numbers, one line each."""
        kept = "kept for the official figure, left out of the strict one"
        return [f"left out: {count:,} {reason}" for reason, count in self.left_out.items()] + [
            f"{kept}: {count:,} {fault}" for fault, count in self.noise.items()
        ]


WHOLE_TEXTS = JudgeConfig(max_response_chars=10**9, max_tool_chars=10**9, reasoning="keep", invisible="keep")
"""How items are shown where no judge of ours shows them: whole. `load_items` takes it for scalar reward models and for
recorded judgements."""

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
            subsets=rewardbench.SUBSETS,
        ),
        Suite(
            "rewardbench2",
            "RewardBench 2",
            rewardbench.rewardbench_2,
            (HubSet("allenai/reward-bench-2", split="test"),),
            by_subsets,
            subsets=rewardbench.SUBSETS_2,
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
            subsets=tuple(ppe.CORRECTNESS.values()),
        ),
        Suite("rmb", "RMB", rmb.rmb, (), by_subsets, column="RMB", subsets=rmb.SUBSETS),
        Suite(
            "rm-bench",
            "RM-Bench",
            rm_bench.rm_bench,
            (HubSet("THU-KEG/RM-Bench", split="train", whole=rm_bench.WHOLE_FILE),),
            by_subsets,
            subsets=rm_bench.DOMAINS,
            pairwise=True,
            pairs_of=rm_bench.style_pairs,
        ),
        Suite(
            "realmistake",
            "ReaLMistake",
            realmistake.realmistake,
            tuple(HubSet("ryokamoi/realmistake", config=task) for task in realmistake.TASKS),
            by_subsets,
            "auc",
            "ReaLMistake",
            subsets=realmistake.SETS,
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


def missing_subsets(suite: Suite, items: Iterable[Item]) -> list[str]:
    """The subsets that the suite's overall figure needs and of which there is no item, in the suite's order."""
    present = {item.subset for item in items}
    return [subset for subset in suite.subsets if subset not in present]


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
    rows: Iterable[BenchmarkRow] | None = None,
) -> LoadedItems:
    """The items of a benchmark.

    Args:
        name: the suite's name.
        data: a file, a folder or a Hugging Face id; None loads the suite's data sets on the hub.
        limit: keep at most this many items, as `evals.benchmarks.drawing.draw` chooses them.
        seed: of the choice.
        judge: how the GRM is shown the items. Those whose label is noise for it (`grm_plugin.batch.label_noise`) are
            left out if they are the user's own, and kept with a mark if they are a benchmark's, whose official figure
            counts them; None keeps all without a mark.
        rows: the rows of the benchmark, in place of `data`.

    Raises:
        WireError: a row is wrong; the message names file, row and column.
        ConfigError: the data cannot be read or holds no item, or there is no such suite.
    """
    suite = suite_named(name)
    if data is None and rows is None and not suite.published:
        own = "give the file, the folder or the Hugging Face id of your items"
        why = own if suite.name == OWN_FORMAT else f"{suite.title} is not on the hub under a known id"
        raise ConfigError(f"--data is missing: {why}")
    left_out: Counter[str] = Counter()
    if suite.name == OWN_FORMAT:
        items = read_own_items(data or "", left_out)
        if judge is not None:
            items = without_noise(items, judge, left_out)
            if not items:
                raise ConfigError(f"no item is left ({dict(left_out)}): there is nothing to measure")
    else:
        rows = read_benchmark_rows(data, suite.published) if rows is None else rows
        found = with_unique_ids(items_of(suite, rows, left_out))
        items = check_items(_readable(found, suite, judge), str(data or suite.title))
        if judge is not None:
            items = with_noise_marked(items, judge)
    metric_of(items)
    if limit is not None:
        items = draw(items, limit, seed)
    noise = Counter(item.meta[NOISE] for item in items if NOISE in item.meta) if suite.name != OWN_FORMAT else {}
    return LoadedItems(items, dict(left_out), dict(noise))


def _readable(items: Iterable[Item], suite: Suite, judge: JudgeConfig | None) -> Iterator[Item]:
    """The items, and in place of one that the GRM does not read in one piece its pairs, where the suite has pairs."""
    for item in items:
        if suite.pairs_of is None or judge is None or judge.reads(len(item.responses)):
            yield item
        else:
            yield from suite.pairs_of(item)


def items_of(suite: Suite, rows: Iterable[BenchmarkRow], left_out: Counter[str]) -> Iterator[Item]:
    """The items of a benchmark's rows.

    Raises:
        WireError: a row is wrong; the message names file, row and column.
    """
    for row in rows:
        try:
            yield from suite.items(row, left_out)
        except WireError as error:
            raise WireError(f"{row.where}: {error}") from None


def with_unique_ids(items: Iterable[Item]) -> Iterator[Item]:
    """Numbers different items to which the benchmark gives the same id. The same item twice is left as it is.

    It is the same whatever its `meta` says: that may come from the name of the file, and a copy of a file has another.
    """
    seen: dict[str, list[Item]] = {}
    for item in items:
        same_id, judged = seen.setdefault(item.id, []), replace(item, meta={})
        yield item if not same_id or judged in same_id else replace(item, id=f"{item.id} ({len(same_id) + 1})")
        same_id.append(judged)


def _no_rows(row: BenchmarkRow, left_out: Counter[str]) -> Iterator[Item]:
    raise ConfigError("items of this suite are read by grm_plugin.evals.benchmarks.own_items, not row by row")
