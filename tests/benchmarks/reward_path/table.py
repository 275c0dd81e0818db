"""From measurements to the table: what is asked of each row, and where it stands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from reward_path.paths import LATENCY_S, Measured


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table. `value` is None where it could not be measured; then `note` says why."""

    what: str
    value: float | None
    must: float
    aim: float
    unit: str = ""
    at_most: bool = False
    note: str = ""

    @property
    def verdict(self) -> str:
        if self.value is None:
            return "-"
        if self._reaches(self.aim):
            return "aim"
        return "must" if self._reaches(self.must) else "missed"

    def _reaches(self, bound: float) -> bool:
        assert self.value is not None
        return self.value <= bound if self.at_most else self.value >= bound

    def as_dict(self) -> dict[str, object]:
        return {**asdict(self), "verdict": self.verdict}


def overhead_ms(path: Measured | None, executor: Measured | None) -> float | None:
    """Waiting per reward that the path adds to OpenRLHF's executor alone and the engine's latency."""
    if path is None or executor is None:
        return None
    return 1000 * (path.wall_s - executor.wall_s - LATENCY_S) / path.samples


def own_cpu_ms(path: Measured | None, floor: Measured | None) -> float | None:
    """CPU per reward of the path without that of the floor that it contains."""
    return None if path is None or floor is None else path.cpu_ms - floor.cpu_ms


def share(path: Measured | None, other: Measured | None) -> float | None:
    """Rewards/s as a part, or a multiple, of those of another path."""
    return None if path is None or other is None else path.per_s / other.per_s


def rows_of_tree(label: str, large: Mapping[str, Measured | None], small: Mapping[str, Measured | None]) -> list[Row]:
    """The rows of one tree that its bursts give; `large` and `small` are the medians by path at the two sizes."""

    def ours(engine: str, caller: str) -> str:
        return f"{label}/{engine}/{caller}"

    rows = []
    at_most = True
    for engine, must, aim in (("ray", 0.6, 0.3), ("openai", 1.0, 0.5)):
        value = overhead_ms(large.get(ours(engine, "agent")), large.get("executor"))
        rows.append(Row(f"agent hook, overhead: {engine}", value, must, aim, "ms", at_most))
    for engine, must, aim in (("ray", 0.6, 0.3), ("openai", 1.0, 0.6)):
        value = own_cpu_ms(large.get(ours(engine, "agent")), large.get("executor"))
        rows.append(Row(f"agent hook, own CPU: {engine}", value, must, aim, "ms", at_most))
    for engine in ("ray", "openai"):
        value = share(large.get(ours(engine, "http")), large.get("instant"))
        rows.append(Row(f"HTTP hook, share of an instant answer: {engine}", value, 0.65, 0.85))
    for engine, must, aim in (("ray", 1.0, 0.6), ("openai", 1.4, 0.9)):
        value = own_cpu_ms(large.get(ours(engine, "http")), large.get("instant"))
        rows.append(Row(f"HTTP hook, own CPU: {engine}", value, must, aim, "ms", at_most))
    on_ray = large.get(ours("ray", "client"))
    rows.append(Row("grouped Client: ray", on_ray.per_s if on_ray else None, 2_000, 3_000, "/s"))
    value = share(large.get(ours("openai", "client")), large.get("bare_sample"))
    rows.append(Row("grouped Client, share of the bare client per sample: openai", value, 0.7, 0.9))
    for engine, must, aim in (("ray", 2.0, 3.0), ("openai", 1.5, 2.5)):
        value = share(small.get(ours(engine, "agent")), small.get("verl_sample"))
        rows.append(Row(f"agent hook against verl per sample: {engine}", value, must, aim))
    for engine in ("ray", "openai"):
        value = share(small.get(ours(engine, "client")), small.get("verl_batch"))
        rows.append(Row(f"grouped Client against verl's whole batch: {engine}", value, 1.2, 2.0))
    return rows


def show_paths(measured: Mapping[str, Sequence[Measured]]) -> str:
    """Rewards/s and CPU of every path, by size."""
    lines = [f"{'path':34} {'burst':>6} {'wall s':>8} {'rewards/s':>10} {'CPU ms':>7} {'of it service':>14}  wrong"]
    for name, rows in measured.items():
        for row in rows:
            lines.append(
                f"{name:34} {row.samples:>6} {row.wall_s:>8.2f} {row.per_s:>10,.0f} {row.cpu_ms:>7.2f} "
                f"{row.service_cpu_ms:>14.2f}  {row.wrong or 'none'}"
            )
    return "\n".join(lines)


def show_rows(rows: Mapping[str, Sequence[Row]]) -> str:
    """What is asked for, per tree; rows whose paths were not chosen, or are not there, are left out."""
    lines = []
    for label, of_tree in rows.items():
        lines.append(f"{label + ':':62} {'value':>9} {'must':>9} {'aim':>9}  reached")
        for row in (row for row in of_tree if row.value is not None or row.note):
            sign = "<=" if row.at_most else ">="
            value = "-" if row.value is None else f"{row.value:,.2f}"
            reached = row.verdict if row.value is not None else f"not measured: {row.note}"
            bounds = f"{sign + format(row.must, ',g'):>9} {row.aim:>9,g}"
            lines.append(f"{row.what + (f' ({row.unit})' if row.unit else ''):62} {value:>9} {bounds}  {reached}")
    return "\n".join(lines)
