"""What several processes know together: the running statistics, and what they have counted."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from grm_plugin.config import NormalizeConfig
from grm_plugin.judging.normalize import Normalizer
from grm_plugin.judging.running_stats import RunningStats
from grm_plugin.serving.processes import exchange
from grm_plugin.serving.processes.front import Front
from grm_plugin.serving.processes.link import PeerLost
from grm_plugin.serving.processes.running import News, NewsTeller, Total, TotalKeeper
from grm_plugin.wire.schemas import ScoreRequest
from support.factories import until

Started = Callable[..., Awaitable[Any]]
RUNNING = NormalizeConfig(method="running")


def group(*responses: str) -> ScoreRequest:
    return ScoreRequest.model_validate({"groups": [{"prompt": "Q", "responses": list(responses)}]})


async def shown(front: Front) -> dict[str, float]:
    """`name{labels}` -> value, as Prometheus reads them."""
    text, _ = await front.exposition("")
    return {
        sample.name + "".join(f"{{{label}}}" for label in sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


class Keepers:
    """A first process that can be restarted, and the way of others to it."""

    def __init__(self, *learnt_before: float) -> None:
        self.lose_answers = False
        self.start(*learnt_before)

    def start(self, *learnt_before: float) -> None:
        self.normalizer = Normalizer(RUNNING)
        self.normalizer.stats = RunningStats.of(learnt_before)
        self.keeper = TotalKeeper(self.normalizer, lambda: None)

    async def tell(self, news: News) -> Total:
        total = self.keeper.add(news)
        if self.lose_answers:
            raise PeerLost
        return total

    def other(self) -> tuple[Normalizer, NewsTeller]:
        normalizer = Normalizer(RUNNING)
        return normalizer, NewsTeller(normalizer, self.tell)


def is_close(stats: RunningStats, *values: float) -> bool:
    expected = RunningStats.of(values)
    return (stats.count, stats.mean, stats.m2) == (
        expected.count,
        pytest.approx(expected.mean),
        pytest.approx(expected.m2),
    )


async def test_each_process_knows_what_all_have_learnt() -> None:
    first = Keepers(1.0)
    (one, tell_one), (two, tell_two) = first.other(), first.other()
    one.normalize([2.0, 3.0])
    two.normalize([9.0])
    first.normalizer.normalize([5.0])
    for tell in (tell_one, tell_two, tell_one):
        await tell.tell()
    one.normalize([7.0])
    assert is_close(one.stats, 1, 2, 3, 9, 5, 7)
    assert is_close(two.stats, 1, 2, 3, 9, 5)
    assert is_close(first.normalizer.stats, 1, 2, 3, 9, 5)


async def test_news_whose_arrival_is_not_known_count_once() -> None:
    first = Keepers()
    normalizer, teller = first.other()
    normalizer.normalize([2.0, 4.0])
    first.lose_answers = True
    with pytest.raises(PeerLost):
        await teller.tell()
    first.lose_answers = False
    normalizer.normalize([6.0])
    await teller.tell()
    await teller.tell()
    assert is_close(first.normalizer.stats, 2, 4, 6)
    assert is_close(normalizer.stats, 2, 4, 6)


async def test_a_first_process_that_has_lost_the_total_gets_it_from_others() -> None:
    first = Keepers()
    (one, tell_one), (two, tell_two) = first.other(), first.other()
    one.normalize([2.0, 4.0])
    two.normalize([8.0])
    for tell in (tell_one, tell_two, tell_one):
        await tell.tell()
    first.start(2.0)  # with an older state
    first.normalizer.normalize([10.0])
    two.normalize([6.0])
    await tell_two.tell()
    await tell_one.tell()
    assert is_close(first.normalizer.stats, 2, 4, 8, 10, 6)
    assert is_close(one.stats, 2, 4, 8, 10, 6)
    third, tell_third = first.other()  # restarted with a saved state, which it did not hear from a first process
    third.stats = RunningStats.of([1.0] * 50)
    await tell_third.tell()
    assert is_close(third.stats, 2, 4, 8, 10, 6)


async def test_all_that_was_learnt_is_saved_at_the_stop(
    processes: Started, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchange, "PERIOD_S", 3600.0)
    path = tmp_path / "state.json"
    service = await processes(3, normalize={"method": "running", "state_path": str(path)})
    for front in service.fronts:
        front._exchange._running.cancel()  # which began with a shorter period
        await front.judge_groups(group("3", "9"))
    await asyncio.wait_for(asyncio.gather(*(front.drain(5) for front in service.fronts)), 20)
    assert is_close(RunningStats.load(path), 3, 9, 3, 9, 3, 9)


async def test_z_scores_are_held_against_what_others_have_learnt(processes: Started) -> None:
    service = await processes(2, normalize__method="running")
    await service.fronts[0].judge_groups(group("1", "9"))
    await until(lambda: service.fronts[1].own.judge.normalizer.stats.count == 2)
    (judged,) = (await service.fronts[1].judge_groups(group("5"))).judgements
    assert judged.rewards[0].value == 0.0  # the mean of all: alone it would be as well, but not with the next one
    (judged,) = (await service.fronts[1].judge_groups(group("9"))).judgements
    assert judged.rewards[0].value == pytest.approx(RunningStats.of([1, 9, 5, 9]).z_scores([9])[0])


async def test_every_process_tells_the_sums(processes: Started) -> None:
    service = await processes(3)
    for front in service.fronts:
        await front.judge_groups(group("4", "10", " "))
    service.fronts[1].own.metrics.set_replicas({"Engine": {"RUNNING": 2}})
    service.fronts[0].own.metrics.set_replicas({"Engine": {"RUNNING": 2}})
    service.fronts[2].refusals.record("/v1/score", 422, "why")
    tables = [await shown(front) for front in service.fronts]
    assert tables[0] == tables[1] == tables[2]
    expected = {
        "grm_groups_total": 3,
        "grm_samples_total": 9,
        "grm_blank_responses_total": 3,
        "grm_calls_refused_total{422}": 1,
        "grm_mean_score_sum": 3 * 14,
        "grm_mean_score_count": 3 * 2,
        "grm_mean_score_bucket{+Inf}": 6,
        "grm_samples_waiting": 0,
        "grm_replicas{Engine}{RUNNING}": 2,
    }
    assert {name: tables[0][name] for name in expected} == expected
    assert tables[0].keys() == {*text_names(service.fronts[0]), "grm_calls_refused_total{422}"}
    assert 1e9 < tables[0]["grm_mean_score_created"] < 3e9, "a time"
    infos = [await front.whole_info() for front in service.fronts]
    assert [info.counters["groups"] for info in infos] == [3, 3, 3]
    assert infos[0].counters["refused_422"] == 1


def text_names(front: Front) -> set[str]:
    text = front.own.metrics.exposition()[0].decode()
    return {
        sample.name + "".join(f"{{{label}}}" for label in sample.labels.values())
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def test_what_a_dead_process_has_counted_stays(processes: Started) -> None:
    service = await processes(2)
    await service.fronts[1].judge_groups(group("4"))
    assert (await shown(service.fronts[0]))["grm_groups_total"] == 1
    service.kill(1)
    await until(lambda: not service.fronts[0]._links[1].is_up)
    assert (await shown(service.fronts[0]))["grm_groups_total"] == 1
    restarted = await service.restart(1)
    await restarted.judge_groups(group("4"))
    assert [(await shown(front))["grm_groups_total"] for front in service.fronts] == [2, 2]
    service.kill(0)
    await until(lambda: not service.fronts[1]._links[0].is_up)
    assert (await shown(restarted))["grm_groups_total"] == 2, "as the first process said last"


async def test_a_process_that_is_stuck_counts_with_what_it_said_last(
    processes: Started, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchange, "FIGURES_S", 0.05)
    service = await processes(2)
    await service.fronts[1].judge_groups(group("4"))
    assert (await shown(service.fronts[0]))["grm_groups_total"] == 1

    async def stuck() -> None:
        await asyncio.Event().wait()

    service.fronts[1]._methods["figures"] = stuck
    assert (await shown(service.fronts[0]))["grm_groups_total"] == 1
