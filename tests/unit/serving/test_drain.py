"""A service that stops: requests under way are finished or fail so that clients ask again; and it keeps no memory."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest

from grm_plugin.client import Client
from grm_plugin.errors import ConfigError, ServiceBusy
from grm_plugin.judging.normalize import Normalizer, set_aside_if_damaged
from grm_plugin.judging.running_stats import RunningStats
from grm_plugin.serving.http.app import create_app
from grm_plugin.serving.service import RewardService
from grm_plugin.types import Message, Sample
from grm_plugin.wire.schemas import GetRewardRequest, ScoreRequest
from support.factories import Scripted, by_number, live, make_config, make_group, never, scoring, until


def make_service(generator: Scripted | None = None, **overrides: Any) -> RewardService:
    return RewardService(make_config(sampling__k=2, **overrides), generator or scoring(by_number))


def single(response: str) -> GetRewardRequest:
    return GetRewardRequest(query=["Two? " + response], prompts=["Two? "])


def group(*responses: str, **rest: Any) -> ScoreRequest:
    return ScoreRequest.model_validate({"groups": [{"prompt": "Two?", "responses": responses}], **rest})


async def test_what_is_under_way_is_finished_and_nothing_new_begins() -> None:
    let_go = asyncio.Event()

    async def wait(prompt, sampling):  # type: ignore[no-untyped-def]
        await let_go.wait()
        return scoring(by_number).reply(prompt, sampling)

    service = make_service(Scripted(wait))
    under_way = asyncio.create_task(service.get_reward(single("10")))
    await until(lambda: service.info().counters["waiting"] == 1)
    draining = asyncio.create_task(service.drain(60.0))
    await asyncio.sleep(0)
    with pytest.raises(ServiceBusy, match="stopping"):
        await service.get_reward(single("5"))
    assert not draining.done()
    let_go.set()
    assert (await under_way).rewards == [1.0]
    await draining


@pytest.mark.parametrize("request_id", [None, "some-id"])
async def test_what_does_not_end_is_handed_back(request_id: str | None) -> None:
    service = make_service(Scripted(never))
    waiting = [
        asyncio.create_task(service.get_reward(single("1"))),
        asyncio.create_task(service.judge_groups(group("1", request_id=request_id))),
    ]
    await until(lambda: service.info().counters["waiting"] == 2)
    await service.drain(0.05)
    for result in await asyncio.gather(*waiting, return_exceptions=True):
        assert isinstance(result, ServiceBusy)
    assert service.info().counters["waiting"] == 0


async def test_a_drained_service_has_saved_what_it_knows(tmp_path: Path) -> None:
    config = {"normalize__method": "running", "normalize__state_path": str(tmp_path / "state.json")}
    service = make_service(**config)
    await service.judge_groups(group("10", "2", "6"))
    await service.drain()
    again = make_service(**config)
    assert again.judge.normalizer.stats == service.judge.normalizer.stats
    assert again.judge.normalizer.stats.count == 3


async def test_over_http_it_says_when_to_ask_again_and_clients_do() -> None:
    old, new = make_service(), make_service()
    serving = [old]
    with live(create_app(lambda: serving[0])) as url:
        await old.drain()
        async with httpx.AsyncClient() as http:
            reply = await http.post(f"{url}/v1/score", json=group("10").model_dump(mode="json"))
        assert reply.status_code == 503
        assert reply.headers["Retry-After"].isdecimal()
        async with Client(url) as client:
            asking = asyncio.create_task(client.ajudge([make_group("10")]))
            await until(lambda: old.counters.refused == 2)
            serving[0] = new
            [judgement] = await asking
            assert judgement.rewards[0].settled == 1.0


async def test_nothing_grows_with_the_number_of_requests() -> None:
    """A service that runs for weeks: whatever the caller does, no request leaves anything behind for ever."""
    service = make_service(failure__deadline_s=0.2, group__wait_s=0.1, service__max_waiting=8)
    hanging = make_service(Scripted(never), failure__deadline_s=0.2, group__wait_s=0.1, service__max_waiting=8)
    for number in range(10):
        await service.get_reward(single(str(number % 10)), n=2)  # its sibling never comes
        await service.judge_groups(group("1", "2", request_id=f"id-{number}"))
        gone = asyncio.create_task(hanging.get_reward(single(str(number))))
        await asyncio.sleep(0)
        gone.cancel()
        refused = await asyncio.gather(
            *(hanging.judge_groups(group(str(index))) for index in range(12)), return_exceptions=True
        )
        assert sum(isinstance(result, ServiceBusy) for result in refused) >= 4
    for one in (service, hanging):
        flights = (one._replies, one._samples, one._groups)
        await until(lambda one=one, flights=flights: not any(each._flights for each in flights))
        await until(lambda one=one: not one._gatherer._under_way)
        await until(lambda one=one: one.info().counters["waiting"] == 0)


class TestIncompleteGroups:
    """A group of four, rank, with scores 4, 10, 9, 4: whoever judges them all gives 1/6, 1, 2/3, 1/6."""

    SCORES = ("4", "10", "9", "4 ")
    WHOLE = (1 / 6, 1, 2 / 3, 1 / 6)

    def service(self, generator: Scripted | None = None, **overrides: Any) -> RewardService:
        return make_service(generator, **{"normalize__method": "rank", "group__n": 4, "group__wait_s": 60, **overrides})

    def ask(self, service: RewardService, numbers: range, identified: bool = True) -> list[asyncio.Task[Any]]:
        return [
            asyncio.create_task(
                service.reward_sample(
                    Sample((Message("user", "Two?"),), self.SCORES[number]),
                    request_id=f"id {number}" if identified else None,
                )
            )
            for number in numbers
        ]

    async def test_samples_that_will_be_sent_again_are_handed_back(self) -> None:
        generator = scoring(by_number)
        old, new = self.service(generator, judge__list_size=2), self.service()
        early = self.ask(old, range(2))
        await until(lambda: bool(generator.calls))  # the list of the first two is before the GRM
        await old.drain(60.0)
        late = self.ask(old, range(2, 4))
        for result in await asyncio.gather(*early, *late, return_exceptions=True):
            assert isinstance(result, ServiceBusy)
        assert (old.counters.groups, old.counters.incomplete_groups) == (0, 0)
        rewards = [settled.value for settled in await asyncio.gather(*self.ask(new, range(4)))]
        assert rewards == pytest.approx(self.WHOLE)

    async def test_clients_send_them_to_the_next_service_by_themselves(self) -> None:
        old, new = self.service(), self.service()
        serving = [old]
        with live(create_app(lambda: serving[0])) as url:
            async with Client(url) as client:
                groups = [make_group(text, question="Two?") for text in self.SCORES]
                asking = [asyncio.create_task(client.areward(group, 4)) for group in groups[:2]]
                await until(lambda: old.info().counters["waiting"] == 2)
                serving[0] = new
                await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(old.drain(60.0), loop_of(old)))
                asking += [asyncio.create_task(client.areward(group, 4)) for group in groups[2:]]
                assert await asyncio.gather(*asking) == pytest.approx(self.WHOLE)
        assert (old.counters.groups, new.counters.groups) == (0, 1)

    @pytest.mark.parametrize("waits", ["for siblings", "for votes"])
    async def test_what_is_handed_back_is_not_learnt(self, waits: str, tmp_path: Path) -> None:
        """The clients have it judged, and learnt from, once more."""
        let_go = asyncio.Event()

        async def wait(prompt, sampling):  # type: ignore[no-untyped-def]
            await let_go.wait()
            return scoring(by_number).reply(prompt, sampling)

        path = tmp_path / "state.json"
        generator = Scripted(wait)
        service = self.service(generator, normalize={"method": "running", "state_path": str(path)})
        asking = self.ask(service, range(2 if waits == "for siblings" else 4))
        await until(lambda: waits == "for siblings" or bool(generator.calls))
        await service.drain(0.05)
        let_go.set()
        for result in await asyncio.gather(*asking, return_exceptions=True):
            assert isinstance(result, ServiceBusy)
        await until(lambda: not service._gatherer._under_way)
        assert service.judge.normalizer.stats.count == 0
        assert RunningStats.load(path).count == 0
        assert service.counters.groups == 0

    async def test_callers_without_an_id_wait_for_their_siblings_a_little(self) -> None:
        """OpenRLHF's HTTP call gives a sample up that is refused five times: its group is completed."""
        service = self.service()
        early = self.ask(service, range(2), identified=False)
        await until(lambda: service.info().counters["waiting"] == 2)
        draining = asyncio.create_task(service.drain(60.0))
        await asyncio.sleep(0)
        late = self.ask(service, range(2, 4), identified=False)
        rewards = [settled.value for settled in await asyncio.gather(*early, *late)]
        assert rewards == pytest.approx(self.WHOLE)
        await draining

    async def test_and_are_judged_without_them_in_time(self) -> None:
        service = self.service()
        early = self.ask(service, range(2), identified=False)
        await until(lambda: service.info().counters["waiting"] == 2)
        await service.drain(0.4)
        assert [settled.value for settled in await asyncio.gather(*early)] == [0, 1]
        assert service.counters.incomplete_groups == 1

    async def test_a_group_with_one_caller_without_an_id_is_not_handed_back(self) -> None:
        service = self.service()
        mixed = [*self.ask(service, range(1)), *self.ask(service, range(1, 2), identified=False)]
        await until(lambda: service.info().counters["waiting"] == 2)
        await service.drain(0.4)
        assert [settled.value for settled in await asyncio.gather(*mixed)] == [0, 1]


def loop_of(service: RewardService) -> asyncio.AbstractEventLoop:
    """The event loop on which a live service has groups under way."""
    return next(iter(service._gatherer._under_way.values())).judgement.get_loop()


class TestDamagedState:
    @pytest.mark.parametrize("content", ["", "{", '{"count": 1', '{"count": -1}', "null", '{"mean": NaN}', "\0" * 64])
    def test_it_is_refused_or_set_aside(self, tmp_path: Path, content: str, caplog: pytest.LogCaptureFixture) -> None:
        path = tmp_path / "state.json"
        path.write_text(content)
        config = make_config(normalize__method="running", normalize__state_path=str(path)).normalize
        with pytest.raises(ConfigError, match=r"normalize\.state_path"):
            Normalizer(config)
        set_aside_if_damaged(config)
        assert Normalizer(config).stats.count == 0
        assert (tmp_path / "state.json.damaged").read_text() == content
        assert "start afresh" in caplog.text

    def test_a_good_one_stays(self, tmp_path: Path) -> None:
        config = make_config(normalize__method="running", normalize__state_path=str(tmp_path / "state.json")).normalize
        set_aside_if_damaged(config)
        normalizer = Normalizer(config)
        normalizer.normalize([1.0, 9.0])
        normalizer.save()
        set_aside_if_damaged(config)
        assert Normalizer(config).stats == normalizer.stats
        assert [file.name for file in tmp_path.iterdir()] == ["state.json"]
