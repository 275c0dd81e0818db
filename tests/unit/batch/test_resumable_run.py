"""The run that the offline commands share: what it keeps, when it ends, and with which exit status."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from rich.console import Console

from grm_plugin.batch.exit_status import FAILED, INTERRUPTED
from grm_plugin.batch.meter import Meter
from grm_plugin.batch.resumable_run import Ending, EngineFailed, Run
from grm_plugin.errors import ConfigError, EngineError, ServiceError


@dataclass(frozen=True)
class Number:
    """An item."""

    id: int


@dataclass
class Kept:
    """An output in memory."""

    done: set[int] = field(default_factory=set)

    def add(self, record: int) -> None:
        self.done.add(record)


def make_run(total: int, kept: Kept) -> Run[Number, int]:
    return Run(kept, Meter(Console(quiet=True), "items", total, len(kept.done)), 1, "items in a row without an answer")


def carry_out(run: Run[Number, int], work: Any, total: int, check: Any = lambda _: None) -> Ending:
    return run.carry_out(lambda: run.process(map(Number, range(total)), work, check))


async def own_id(item: Number) -> int:
    return item.id


def test_only_items_without_a_result_are_worked_on() -> None:
    worked_on = []

    async def work(item: Number) -> int:
        worked_on.append(item.id)
        return item.id

    kept = Kept({0, 2})
    assert carry_out(make_run(4, kept), work, 4) == Ending(0, 0, "")
    assert (worked_on, kept.done) == ([1, 3], {0, 1, 2, 3})


def test_no_engine_is_loaded_where_every_item_has_a_result() -> None:
    def load() -> Any:
        raise AssertionError("loaded")

    assert make_run(2, Kept({0, 1})).carry_out(load) == Ending(0, 0, "")


def test_an_item_on_which_the_engine_failed_has_no_result() -> None:
    async def work(item: Number) -> int | EngineFailed:
        return EngineFailed("gone") if item.id == 1 else item.id

    kept = Kept()
    run = make_run(3, kept)
    assert carry_out(run, work, 3) == Ending(FAILED, 1, "gone")
    assert (kept.done, run.meter.failed) == ({0, 2}, 1)


@pytest.mark.parametrize(
    ("error", "ending"),
    [
        (EngineError("out of memory"), Ending(FAILED, 2, "out of memory")),
        (ServiceError("no answer"), Ending(FAILED, 2, "no answer")),
        (KeyboardInterrupt(), Ending(INTERRUPTED, 2, "interrupted")),
    ],
)
def test_what_ends_a_run_early(error: BaseException, ending: Ending) -> None:
    async def work(item: Number) -> int:
        if item.id == 1:
            raise error
        return item.id

    kept = Kept()
    assert carry_out(make_run(3, kept), work, 3) == ending
    assert kept.done == {0}


def test_a_result_is_kept_before_the_check_of_it_ends_the_run() -> None:
    def refuse(result: int) -> None:
        raise EngineError(f"{result} makes no sense")

    kept = Kept()
    assert carry_out(make_run(3, kept), own_id, 3, refuse) == Ending(FAILED, 2, "0 makes no sense")
    assert kept.done == {0}


def test_other_errors_are_the_commands() -> None:
    async def work(item: Number) -> int:
        raise ConfigError("the disk is full")

    with pytest.raises(ConfigError, match="the disk is full"):
        carry_out(make_run(3, Kept()), work, 3)
