"""Data for rejective fine-tuning: makes training rows of trajectories, and a report on what was kept and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

from rich.table import Table

from grm_plugin.batch.label_noise import Fault
from grm_plugin.errors import EngineError
from grm_plugin.spct.instruction_data import read_general
from grm_plugin.spct.rejection import Decision, RejectionRules
from grm_plugin.spct.training_files import TrainingRow, write_json, write_rows
from grm_plugin.spct.trajectories import ItemTrajectories, Trajectory
from grm_plugin.types import Message, message_dicts


@dataclass(slots=True)
class RejectionReport:
    """What was kept and why; counted while rows are made.

    Attributes:
        items: items with trajectories.
        easy: items on which every trajectory without a hint is right.
        never_right: items on which none of them is.
        right_of: "2 of 3" -> number of items with so many right trajectories without a hint.
        decisions: kind of trajectory -> decision -> number of trajectories.
        unread: reason -> number of trajectories that could not be read for it.
        tokens: generated tokens, of all trajectories ("drawn", as the key is called in report.json) and of kept ones.
        items_with_rows: items of which a trajectory is kept.
        left_out: fault of the label -> number of items that were left out for it (`grm_plugin.batch.label_noise`).
        general, general_too_long: rows of general instruction data that were mixed in, and left out for their length.
    """

    items: int = 0
    easy: int = 0
    never_right: int = 0
    right_of: Counter[str] = field(default_factory=Counter)
    decisions: dict[str, Counter[str]] = field(default_factory=lambda: {"plain": Counter(), "hinted": Counter()})
    unread: Counter[str] = field(default_factory=Counter)
    tokens: Counter[str] = field(default_factory=Counter)
    items_with_rows: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    general: int = 0
    general_too_long: int = 0

    def count(self, record: ItemTrajectories, decisions: Sequence[Decision]) -> None:
        """Count one item, and the decisions about its trajectories (in their order)."""
        plain = record.of_kind("plain")
        right = sum(trajectory.right for trajectory in plain)
        self.items += 1
        self.easy += record.easy
        self.never_right += bool(plain) and right == 0
        self.right_of[f"{right} of {len(plain)}"] += 1
        self.items_with_rows += Decision.KEPT in decisions
        for trajectory, decision in zip(record.trajectories, decisions, strict=True):
            self.decisions[trajectory.kind][decision] += 1
            self.tokens["drawn"] += trajectory.tokens
            self.tokens["kept"] += trajectory.tokens if decision is Decision.KEPT else 0
            if trajectory.reason is not None:
                self.unread[trajectory.reason] += 1

    @property
    def kept(self) -> int:
        """Number of trajectories kept."""
        return sum(counts[Decision.KEPT] for counts in self.decisions.values())

    def as_json(self) -> dict[str, Any]:
        """The content of report.json."""
        return {
            "items": self.items,
            "items_with_rows": self.items_with_rows,
            "items_easy": self.easy,
            "items_never_right": self.never_right,
            "items_left_out": {fault: self.left_out[fault] for fault in get_args(Fault)},
            "plain_right": dict(sorted(self.right_of.items())),
            "trajectories": {
                kind: {decision: counts[decision] for decision in Decision} for kind, counts in self.decisions.items()
            },
            "unread": dict(self.unread.most_common()),
            "tokens": {"drawn": self.tokens["drawn"], "kept": self.tokens["kept"]},
            "rows": {
                "kept": self.kept,
                "general": self.general,
                "general_too_long": self.general_too_long,
            },
        }

    def table(self) -> Table:
        """The report as a table for a terminal."""
        title = f"{self.items:,} items, {self.items_with_rows:,} with rows"
        title += "".join(f", {count:,} {fault} left out" for fault, count in self.left_out.items())
        table = Table("trajectories", *Decision, "sum", title=title)
        for kind, counts in self.decisions.items():
            table.add_row(kind, *(f"{counts[decision]:,}" for decision in Decision), f"{counts.total():,}")
        right = ", ".join(f"{name}: {count:,}" for name, count in sorted(self.right_of.items()))
        unread = ", ".join(f"{reason} {count:,}" for reason, count in self.unread.most_common())
        table.caption = f"right without a hint: {right}" + (f"; unread: {unread}" if unread else "")
        return table


def write_training_file(
    path: Path,
    records: Iterable[ItemTrajectories],
    rules: RejectionRules,
    general: Sequence[Path] = (),
    seed: int | None = None,
) -> RejectionReport:
    """Write rows for OpenRLHF's `train_sft` (`--data.input_key prompt --data.output_key completion`) and for TRL.

    `prompt` is what the service will show the GRM, without any hint; `completion` is the critique.

    Args:
        path: the file, JSONL or Parquet.
        records: the trajectories.
        rules: decide which are kept.
        general: files of general instruction data to mix in.
        seed: of the order of the rows; None writes trajectories first, then general data.

    Raises:
        EngineError: not one trajectory is kept; the message counts why.
        ConfigError, WireError: a file cannot be read or written.
    """
    report = RejectionReport()
    rows = _rows(records, rules, report)
    first = next(rows, None)
    if first is None:
        raise EngineError(_nothing_kept(report))

    def all_rows() -> Iterator[TrainingRow]:
        yield first
        yield from rows
        for source in general:
            for row in read_general(source):
                if rules.limit.fits(tuple(Message(**turn) for turn in (*row["prompt"], *row["completion"]))):
                    report.general += 1
                    yield {**row, "id": f"{source.stem}-{report.general}", "kind": "general"}
                else:
                    report.general_too_long += 1

    write_rows(path, all_rows(), seed)
    return report


def write_report(path: Path, report: RejectionReport) -> None:
    """Write the report as JSON.

    Raises:
        ConfigError: the file cannot be written.
    """
    write_json(path, report.as_json())


def _nothing_kept(report: RejectionReport) -> str:
    decisions = {
        kind: {str(decision): count for decision, count in counts.items()} for kind, counts in report.decisions.items()
    }
    if report.unread.total() == sum(counts.total() for counts in report.decisions.values()):
        reasons = ", ".join(f"{reason} {count:,}" for reason, count in report.unread.most_common())
        fix = (
            f"not one could be read ({reasons}): use the GRM's own prompt template (judge.template), and "
            "enough sampling.max_tokens"
        )
    else:
        fix = "sample warmer (--grm.sampling.temperature 1), give harder items, or check the labels"
    return f"no trajectory of {report.items:,} items is kept ({decisions}): {fix}; nothing was written"


def _rows(records: Iterable[ItemTrajectories], rules: RejectionRules, report: RejectionReport) -> Iterator[TrainingRow]:
    for record in records:
        decisions = [rules.decide(record, trajectory) for trajectory in record.trajectories]
        report.count(record, decisions)
        for trajectory, decision in zip(record.trajectories, decisions, strict=True):
            if decision is Decision.KEPT:
                yield _row(record, trajectory, rules)


def _row(record: ItemTrajectories, trajectory: Trajectory, rules: RejectionRules) -> TrainingRow:
    prompt = rules.prompts.plain(record.shown)
    return {
        "prompt": message_dicts(prompt.messages),
        "completion": [{"role": "assistant", "content": trajectory.text}],
        "id": record.id,
        "kind": trajectory.kind,
    }
