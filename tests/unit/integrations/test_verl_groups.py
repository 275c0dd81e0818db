"""verl's hook without verl: how it reads samples, and how siblings meet. With verl: contracts/test_verl.py."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from grm_plugin.client import http_client as client_module
from grm_plugin.client.readiness import read_ready
from grm_plugin.config import FailureConfig
from grm_plugin.conversation.labels import Label
from grm_plugin.errors import ConfigError, PromptError, RewardError
from grm_plugin.integrations.verl.group_gatherer import GRMGroupGatherer
from grm_plugin.integrations.verl.results import INFO_KEYS, as_result
from grm_plugin.integrations.verl.samples import (
    GroupSizes,
    Member,
    group_size,
    read_member,
    read_prompt,
)
from grm_plugin.integrations.verl.settings import GRMSettings, read_settings
from grm_plugin.judging.fallback import SettledReward
from grm_plugin.serving.http.app import create_app
from grm_plugin.serving.service import RewardService
from support.factories import Scripted, by_number, live, make_config, responses_shown, scoring, until

SIZES = GroupSizes(training=4, validation=2)
ASKED = [{"role": "user", "content": "How many?"}]


@pytest.fixture
def grm() -> Scripted:
    return scoring(by_number)


@pytest.fixture
def url(grm: Scripted) -> Iterator[str]:
    service = RewardService(make_config(sampling__k=1, judge__list_size=8), grm)
    with live(create_app(lambda: service)) as address:
        yield address


def member(session: int | None, response: str, n: int = 3, uid: str = "a") -> Member:
    return Member(uid, n, session, ASKED, response)


def judged(grm: Scripted) -> list[list[str]]:
    return sorted(sorted(responses_shown(prompt)) for prompt, _ in grm.calls)


def info(reward: SettledReward) -> dict[str, float]:
    """What verl logs beside it."""
    logged: dict[str, float] = as_result(reward)["reward_extra_info"]
    return logged


async def rewards(gatherer: GRMGroupGatherer, *members: Member) -> list[SettledReward]:
    async with asyncio.timeout(20):
        return await asyncio.gather(*map(gatherer.reward, members))


async def test_a_group_is_judged_when_it_is_complete(url: str, grm: Scripted) -> None:
    gatherer = GRMGroupGatherer(GRMSettings(url=url))
    early = asyncio.create_task(rewards(gatherer, member(2, "10"), member(0, "1")))
    await rewards(gatherer, *(member(i, f"{i + 5}", uid="b") for i in range(3)))
    assert not early.done()
    late = await rewards(gatherer, member(1, "4"))
    assert [row.value for row in await early + late] == [1.0, 0.0, pytest.approx(1 / 3)]
    assert judged(grm) == [["1", "10", "4"], ["5", "6", "7"]]
    assert all(tuple(info(row)) == INFO_KEYS for row in late)


async def test_a_repeated_sample_is_one_member(url: str, grm: Scripted) -> None:
    gatherer = GRMGroupGatherer(GRMSettings(url=url))
    first, again, *_ = await rewards(gatherer, *(member(i, f"{i + 2}") for i in (0, 0, 1, 2)))
    [later] = await rewards(gatherer, member(0, "2"))
    assert first == again == later
    assert judged(grm) == [["2", "3", "4"]]


async def test_samples_without_a_number_are_members_each(url: str, grm: Scripted) -> None:
    await rewards(GRMGroupGatherer(GRMSettings(url=url)), *(member(None, text) for text in "567"))
    assert judged(grm) == [["5", "6", "7"]]


async def test_a_lost_sibling_costs_the_wait_and_a_late_one_nothing_more(
    url: str, grm: Scripted, caplog: pytest.LogCaptureFixture
) -> None:
    gatherer = GRMGroupGatherer(GRMSettings(url=url, wait_s=0.05))
    await rewards(gatherer, member(0, "2"), member(1, "3"))
    assert "2 of 3 samples of prompt a came within 0.05 s" in caplog.text
    caplog.clear()
    await rewards(gatherer, member(2, "4"))
    assert judged(grm) == [["2", "3"], ["4"]]
    ours = [record for record in caplog.records if record.name.startswith("grm_plugin")]
    assert not ours, "the last sibling is complete by itself: it has nobody to wait for"


async def test_a_cancelled_sample_stays_in_its_group(url: str, grm: Scripted) -> None:
    gatherer = GRMGroupGatherer(GRMSettings(url=url))
    gone = asyncio.create_task(gatherer.reward(member(0, "2")))
    await asyncio.sleep(0)
    gone.cancel()
    await rewards(gatherer, member(1, "3"), member(2, "4"))
    assert judged(grm) == [["2", "3", "4"]]


async def test_judged_groups_are_forgotten(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("grm_plugin.integrations.verl.group_gatherer.KEEP_S", 0.0)
    gatherer = GRMGroupGatherer(GRMSettings(url=url))
    await rewards(gatherer, *(member(i, "5") for i in range(3)))
    await until(lambda: not gatherer._groups)


async def test_a_prompt_is_remembered_while_a_late_group_of_it_waits(
    url: str, grm: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first group is forgotten after as long as the late one may wait: its last sibling must still find it."""
    monkeypatch.setattr("grm_plugin.integrations.verl.group_gatherer.KEEP_S", 1.0)
    settings = GRMSettings(url=url, wait_s=0.05)
    gatherer = GRMGroupGatherer(settings)
    await rewards(gatherer, member(0, "2", n=4), member(1, "3", n=4))
    gatherer._settings = settings.model_copy(update={"wait_s": 20.0})
    late = asyncio.create_task(gatherer.reward(member(2, "4", n=4)))
    await asyncio.sleep(1.2)
    await rewards(gatherer, member(3, "5", n=4))
    await late
    assert judged(grm) == [["2", "3"], ["4", "5"]]
    await until(lambda: not gatherer._groups)


@pytest.mark.parametrize("failure", [{"policy": "raise"}, {"constant": 0.25}], ids=["raise", "constant"])
async def test_a_refusal_of_the_service_follows_the_policy(
    failure: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "FIRST_PAUSE_S", 0.005)
    refusing = RewardService(make_config(failure__policy="raise"), Scripted(lambda prompt, sampling: []))
    with live(create_app(lambda: refusing)) as url:
        score = rewards(GRMGroupGatherer(GRMSettings(url=url, failure=failure)), *(member(i, "5") for i in range(3)))
        if failure.get("policy") == "raise":
            with pytest.raises(RewardError, match="3 of 3 rewards"):
                await score
        else:
            assert [(row.value, info(row)["grm_ok"]) for row in await score] == [(0.25, 0.0)] * 3


@pytest.mark.parametrize(
    ("extra_info", "session", "n"),
    [
        (None, None, 4),
        ({}, 3, 4),
        ({"split": "train"}, 0, 4),
        ({"split": "test"}, 1, 2),
        ({"split": "test"}, 2, 4),  # a training set that is called test
        ({"split": "train"}, 6, 7),
        ({"split": "test", "rollout_n": 8}, 5, 8),
    ],
)
def test_how_many_samples_a_prompt_has(extra_info: dict[str, Any] | None, session: int | None, n: int) -> None:
    assert group_size(extra_info, session, SIZES) == n


def test_a_sample_as_verl_hands_it_over() -> None:
    """verl makes numpy arrays of everything: `np.array([value] * n)`, then takes the last row."""
    fields: dict[str, Any] = {
        "uid": "a",
        "session_id": 1,
        "raw_prompt": [
            {"role": "user", "content": [{"type": "text", "text": "How "}, {"type": "text", "text": "many?"}]},
            {"role": "assistant", "content": None, "tool_calls": []},
        ],
        "reward_model": {"ground_truth": np.array([1, 2])},
        "extra_info": {"split": "test"},
    }
    last = {key: np.array([value])[-1] for key, value in fields.items()}
    read = read_member(last, "caf\ud800", SIZES)
    assert read == Member("a", 2, 1, fields["raw_prompt"], "caf\ufffd", Label("[1, 2]"), learn=False)


@pytest.mark.parametrize("part", [{"type": "image", "image": "plum.png"}, {"type": "video"}])
def test_what_is_no_text_is_refused(part: dict[str, Any]) -> None:
    with pytest.raises(PromptError, match=r"are not supported: the GRM reads text only"):
        read_prompt([{"role": "user", "content": [{"type": "text", "text": "What is it?"}, part]}])


@pytest.mark.parametrize("raw_prompt", [None, [], np.array([], dtype=object)], ids=["none", "list", "array"])
def test_a_sample_without_a_prompt_is_refused(raw_prompt: Any) -> None:
    with pytest.raises(PromptError, match="the prompt has no message"):
        read_prompt(raw_prompt)


@pytest.mark.parametrize(
    ("ground_truth", "extra_info", "reference", "rubric"),
    [
        (None, {}, None, None),
        ("", None, None, None),
        (np.float64("nan"), {}, None, None),
        (7, {}, "7", None),
        (np.float32(0.5), {}, "0.5", None),
        (["à"], {}, '["à"]', None),
        ({"reference": "7", "rubric": "Be brief."}, {}, "7", "Be brief."),
        ('{"rubric": "Be brief."}', {"rubric": "Be kind."}, None, "Be kind.\n\nBe brief."),
        ("7", {"rubric": "Be kind."}, "7", "Be kind."),
    ],
)
def test_the_ground_truth_and_the_rubric_are_carried(
    ground_truth: Any, extra_info: Any, reference: str | None, rubric: str | None
) -> None:
    fields = {"uid": "a", "raw_prompt": ASKED, "reward_model": {"ground_truth": ground_truth}, "extra_info": extra_info}
    read = read_member(fields, "7", SIZES)
    assert read.label == Label(reference, rubric)


def test_a_label_with_unknown_fields_is_an_error() -> None:
    fields = {"uid": "a", "raw_prompt": ASKED, "reward_model": {"ground_truth": {"reference": "7", "rubrik": ""}}}
    with pytest.raises(PromptError, match="the unknown field 'rubrik'"):
        read_member(fields, "7", SIZES)


async def test_tool_calls_results_reference_and_rubric_reach_the_grm(url: str, grm: Scripted) -> None:
    """verl hands the dataset's messages over as numpy arrays of dicts."""
    call = {"type": "function", "id": "c1", "function": {"name": "count_plums", "arguments": {"tree": "3rd"}}}
    turns = [
        *ASKED,
        {"role": "assistant", "content": None, "tool_calls": np.array([call], dtype=object)},
        {"role": "tool", "tool_call_id": "c1", "content": "12 plums"},
        {"role": "user", "content": np.array([{"type": "text", "text": "So how many?"}], dtype=object)},
    ]
    fields = {
        "uid": "a",
        "raw_prompt": np.array(turns, dtype=object),
        "reward_model": {"ground_truth": "12"},
        "extra_info": {"rubric": "Be brief.", "rollout_n": 1},
    }
    await rewards(GRMGroupGatherer(GRMSettings(url=url)), read_member(fields, "12", SIZES))
    shown = grm.calls[0][0].messages[0].content
    result = "[tool result count_plums]\n12 plums\n[end of tool result]"
    for part in ("[tool call count_plums]", '{"tree": "3rd"}', result, "So how many?", "Be brief.", "Reference answer"):
        assert part in shown


@pytest.mark.parametrize("data", [{"images": [object()]}, np.array([{"videos": [b"x"]}], dtype=object)[0]])
def test_images_beside_the_prompt_are_refused(data: Any) -> None:
    fields = {"uid": "a", "raw_prompt": ASKED, "multi_modal_data": data}
    with pytest.raises(
        PromptError, match="multi_modal_data: images, sound and video are not supported, the GRM reads text only"
    ):
        read_member(fields, "7", SIZES)
    assert read_member(fields | {"multi_modal_data": {}}, "7", SIZES).prompt == ASKED


def test_the_settings_say_which_key_is_wrong() -> None:
    with pytest.raises(ConfigError, match=r"^reward\.reward_kwargs\.grm\.wait_s: Input should be greater than 0$"):
        read_settings({"url": "http://a:1", "wait_s": 0}, {})
    with pytest.raises(ConfigError, match=r"add \+reward\.reward_kwargs\.grm\.url=http://HOST:PORT"):
        read_settings(None, {})
    assert read_settings(None, {"GRM_URL": "http://a:1"}).url == "http://a:1"
    assert read_settings({"url": "http://b:1"}, {"GRM_URL": "http://a:1"}).url == "http://b:1"


async def test_the_service_is_found_in_the_environment(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRM_URL", url)
    [reward] = await rewards(GRMGroupGatherer(read_settings(None)), member(0, "10", n=1))
    assert tuple(info(reward)) == INFO_KEYS
    assert info(reward)["score"] == reward.value == 1.0


async def test_what_is_not_set_is_as_in_the_service(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "FIRST_PAUSE_S", 0.005)
    options = {"normalize__method": "none", "failure__policy": "raise", "engine__max_concurrency": 1024}
    service = RewardService(make_config(**options, failure__deadline_s=90), scoring(by_number))
    with live(create_app(lambda: service)) as url:
        ready = read_ready(url)
    settings = read_settings({"url": url}).completed(ready, n=8)
    client = settings.client()
    assert settings.failure == FailureConfig(policy="raise", constant=5.5, deadline_s=90)
    assert (client.timeout_s, client.max_concurrency) == (90 + client_module.MARGIN_S, 256)
    with pytest.raises(RewardError, match=r"failure\.policy is 'raise'"):
        await rewards(GRMGroupGatherer(settings), member(0, "5", n=1))

    own = read_settings({"url": url, "failure": {"policy": "constant", "deadline_s": 5}, "max_concurrency": 7})
    completed = own.completed(ready, n=8)
    assert completed.failure == FailureConfig(policy="constant", constant=5.5, deadline_s=90)
    assert completed.client().max_concurrency == 7
    assert GRMSettings(url=url).completed(ready, n=8).client().max_concurrency == 256


@pytest.mark.parametrize(
    ("extra_info", "validate", "learn"),
    [
        (None, False, True),
        ({"split": "train"}, False, True),
        ({"split": "test"}, False, False),
        ({"split": "train"}, True, False),
        (None, True, False),
    ],
)
def test_validation_is_told_by_the_split_or_by_verl(
    extra_info: dict[str, Any] | None, validate: bool, learn: bool
) -> None:
    fields = {"uid": "a", "raw_prompt": "How many?", "extra_info": extra_info}
    assert read_member(fields, "3", SIZES, validate).learn is learn


async def test_validation_is_not_learnt_from() -> None:
    service = RewardService(make_config(sampling__k=1, normalize__method="running"), scoring(by_number))
    with live(create_app(lambda: service)) as url:
        gatherer = GRMGroupGatherer(GRMSettings(url=url))
        await rewards(gatherer, *(replace(member(i, f"{i + 7}", uid="val"), learn=False) for i in range(3)))
        assert service.judge.normalizer.stats.count == 0
        await rewards(gatherer, *(member(i, f"{i + 2}") for i in range(3)))
    assert (service.judge.normalizer.stats.count, service.judge.normalizer.stats.mean) == (3, 3)


async def test_a_sibling_that_is_left_alone_is_no_failure() -> None:
    service = RewardService(make_config(sampling__k=1, normalize__method="group"), scoring(by_number))
    with live(create_app(lambda: service)) as url:
        gatherer = GRMGroupGatherer(GRMSettings(url=url, wait_s=0.05, failure=FailureConfig(policy="raise")))
        await rewards(gatherer, member(0, "2"), member(1, "3"))
        [late] = await rewards(gatherer, member(2, "4"))
        validated = await gatherer.reward(replace(member(0, "8", n=1, uid="val"), learn=False))
    assert (late.value, info(late)["grm_ok"], info(late)["grm_mean"]) == (0.0, 1.0, 4.0)
    assert (validated.value, info(validated)["grm_mean"]) == (0.0, 8.0), "verl validates with one sample by default"
    assert service.counters.alone == 2
