"""verl's own configuration, loader, reward-loop workers and V1 agent loop, on Ray without a GPU, and a live service.

Runs where verl is installed, in an environment of its own: `make test-verl`. Only the policy is not verl's: it says
what a test wants.
"""

from __future__ import annotations

import asyncio
import functools
import re
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from grm_plugin.errors import ConfigError, GroupError, PromptError, RewardError, ServiceError
from grm_plugin.judging.fallback import CRITERION_KEY, LOG_KEYS
from grm_plugin.serving.http.app import create_app
from grm_plugin.serving.service import RewardService
from support.criteria_grm import CRITERIA, judging
from support.factories import Scripted, by_number, live, make_config, responses_shown, scoring

pytest.importorskip("verl.protocol", reason="make test-verl installs it, into an environment of its own")

import ray
import transfer_queue
from omegaconf import DictConfig
from verl.trainer.ppo.reward import load_reward_manager

from support.verl_rollout import (
    VALIDATION_N,
    N,
    Rollout,
    example_config,
    rewards,
    row,
    sample,
    save_policy,
    score,
)

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

WAIT_S = 3.0
INFO_KEYS = {"score", *LOG_KEYS, "grm_ok"}


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    ray.init(address="local", num_cpus=16, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


@pytest.fixture(scope="module")
def grm() -> Scripted:
    """A response's first number is its score."""
    return scoring(by_number)


@pytest.fixture(scope="module")
def url(grm: Scripted) -> Iterator[str]:
    """A service that shows its GRM a group of N as one list, once."""
    service = RewardService(make_config(sampling__k=1, judge__list_size=N), grm)
    with live(create_app(lambda: service)) as address:
        yield address


@pytest.fixture(scope="module")
def configure(tokenizer: Any, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., DictConfig]:
    """verl's own configuration with the example's lines: `configure(url, *further)`."""
    policy = save_policy(tokenizer, str(tmp_path_factory.mktemp("policy")))
    return functools.partial(example_config, policy=policy)


@pytest.fixture
def load(cluster: None, configure: Callable[..., DictConfig], tokenizer: Any) -> Callable[..., Any]:
    """verl's loader: `load(url, *overrides)` is a reward manager in this process."""
    return lambda url, *further: load_reward_manager(configure(url, *further), tokenizer)


@pytest.fixture(scope="module")
def rollout(cluster: None, configure: Callable[..., DictConfig], url: str, tokenizer: Any) -> Iterator[Rollout]:
    yield Rollout(configure(url, f"+reward.reward_kwargs.grm.wait_s={WAIT_S}"), tokenizer)
    transfer_queue.close()


def judged(grm: Scripted) -> list[list[str]]:
    """The groups put before the GRM since the last call, each sorted."""
    calls, grm.calls = grm.calls, []
    return sorted(sorted(shown) for shown in (responses_shown(prompt) for prompt, _ in calls) if shown)


async def test_siblings_on_random_workers_are_judged_together(rollout: Rollout, grm: Scripted) -> None:
    texts = [f"{score} plums" for score in (10, 1, 4, 7, 9, 2, 3, 8)]
    rows = await rollout.run(texts, [row("a"), row("b")], validate=False)
    assert rewards(rows) == {text: pytest.approx((by_number(text) - 1) / 9) for text in texts}
    groups: dict[str, list[str]] = {}
    for each in rows:
        groups.setdefault(each["uid"], []).append(each["text"])
    assert sorted(map(sorted, groups.values())) == judged(grm)
    assert all(set(each["info"]) == INFO_KEYS for each in rows)
    assert all(each["info"]["score"] == pytest.approx(each["reward"]) for each in rows)
    assert all(each["info"]["grm_ok"] == 1 for each in rows)


async def test_the_grm_sees_the_conversation_and_the_ground_truth(rollout: Rollout, grm: Scripted) -> None:
    await rollout.run(["1", "2", "3", "4"], [row("seen", "How many plums?")], validate=False)
    shown = grm.calls[-1][0].messages[-1].content
    assert "Count." in shown
    assert "How many plums?" in shown
    assert "10" in shown
    assert "im_start" not in shown
    judged(grm)


async def test_validation_has_groups_of_its_own_size(rollout: Rollout, grm: Scripted) -> None:
    rows = await rollout.run(["3", "5", "6", "8"], [row("c", split="test"), row("d", split="test")], validate=True)
    assert len(rows) == 4
    assert list(map(len, judged(grm))) == [VALIDATION_N] * 2


async def test_validation_that_does_not_say_so_is_judged_after_the_wait(rollout: Rollout, grm: Scripted) -> None:
    rows = await rollout.run(["3", "5"], [row("e")], validate=True)
    assert rewards(rows) == {"3": pytest.approx(2 / 9), "5": pytest.approx(4 / 9)}
    assert judged(grm) == [["3", "5"]]


async def test_validation_that_says_so_does_not_wait(
    load: Callable[..., Any], url: str, grm: Scripted, tokenizer: Any
) -> None:
    manager = load(url, "+reward.reward_kwargs.grm.wait_s=500")
    samples = [sample(text, row("s", split="test") | {"session_id": i}, tokenizer) for i, text in enumerate("35")]
    assert len(await score(manager, *samples)) == VALIDATION_N
    assert judged(grm) == [["3", "5"]]


async def test_a_prompt_may_have_a_number_of_samples_of_its_own(rollout: Rollout, grm: Scripted) -> None:
    rows = await rollout.run(["2", "4", "6"], [row("f", rollout_n=3) | {"__rollout_n__": 3}], validate=False)
    assert len(rows) == 3
    assert judged(grm) == [["2", "4", "6"]]


async def test_a_lost_sibling_does_not_hold_up_the_others(rollout: Rollout, grm: Scripted) -> None:
    rows = await rollout.run(["2", RuntimeError("engine died"), "6", "8"], [row("g")], validate=False)
    assert len(rows) == 3
    assert judged(grm) == [["2", "6", "8"]]


async def test_images_are_refused(rollout: Rollout, grm: Scripted, caplog: pytest.LogCaptureFixture) -> None:
    picture = row("h") | {"raw_prompt": [{"role": "user", "content": [{"type": "image", "image": "plum.png"}]}]}
    data = sample("7", picture | {"session_id": 0}, rollout.policy.tokenizer)
    worker = rollout.manager.reward_loop_worker_handles[0]
    with pytest.raises(PromptError, match=r"are not supported: the GRM reads text only"):
        await worker.compute_score.remote(data)
    assert judged(grm) == []


async def test_calls_results_reference_and_rubric_reach_the_grm(
    load: Callable[..., Any], url: str, grm: Scripted, tokenizer: Any
) -> None:
    call = {"type": "function", "id": "c1", "function": {"name": "count_plums", "arguments": '{"tree": "3rd"}'}}
    turns = [
        {"role": "user", "content": "How many?"},
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "12 plums"},
    ]
    fields = row("t", rollout_n=1, rubric="Be brief.") | {"raw_prompt": turns, "session_id": 0}
    await score(load(url), sample("7", fields, tokenizer))
    shown = grm.calls[-1][0].messages[-1].content
    for part in ("[tool call count_plums]", '{"tree": "3rd"}', "12 plums", "Be brief.", "Reference answer"):
        assert part in shown
    judged(grm)


async def test_a_repeated_sample_gets_the_same_reward_and_no_second_judgement(
    load: Callable[..., Any], url: str, grm: Scripted, tokenizer: Any
) -> None:
    manager = load(url)
    samples = [sample(f"{i + 2} plums", row("i") | {"session_id": i}, tokenizer) for i in range(N)]
    first = await score(manager, *samples[:3], samples[0], samples[3])
    again = await score(manager, samples[2])
    assert first[0] == first[3]
    assert again == [first[2]]
    assert len(judged(grm)) == 1


async def test_equal_responses_and_equal_prompts_are_different_samples(
    load: Callable[..., Any], url: str, grm: Scripted, tokenizer: Any
) -> None:
    samples = [sample("5", row(uid) | {"session_id": i}, tokenizer) for i in range(N) for uid in ("j", "k")]
    assert len(await score(load(url), *samples)) == 2 * N
    assert judged(grm) == [["5"]] * 2  # each prompt's text once: its copies share the votes


async def test_a_late_sibling_is_judged_by_itself(
    load: Callable[..., Any], url: str, grm: Scripted, tokenizer: Any
) -> None:
    manager = load(url, "+reward.reward_kwargs.grm.wait_s=3.0")
    samples = [sample(str(i + 2), row("l") | {"session_id": i}, tokenizer) for i in range(N)]
    await score(manager, *samples[:3])
    await score(manager, samples[3])
    assert judged(grm) == [["2", "3", "4"], ["5"]]


async def test_a_dead_gatherer_comes_back_with_its_callers(
    load: Callable[..., Any], url: str, grm: Scripted, tokenizer: Any
) -> None:
    def members(gatherer: Any) -> int:  # runs in the actor, which has no module of these tests
        return sum(len(group.members) for groups in gatherer._groups.values() for group in groups)

    manager = load(url, "+reward.reward_kwargs.grm.wait_s=500")
    samples = [sample(str(i + 2), row("m") | {"session_id": i}, tokenizer) for i in range(N)]
    waiting = asyncio.ensure_future(score(manager, *samples[:3]))
    async with asyncio.timeout(60):
        while await manager._gatherer.__ray_call__.remote(members) < 3:  # noqa: ASYNC110 - in another process
            await asyncio.sleep(0.05)
    ray.kill(manager._gatherer, no_restart=False)
    rows = await score(manager, samples[3]) + await waiting
    assert sorted(row["reward_score"] for row in rows) == [pytest.approx(i / 9) for i in (1, 2, 3, 4)]
    assert judged(grm) == [["2", "3", "4", "5"]]


async def test_more_siblings_than_ray_lets_into_an_actor_by_default(
    load: Callable[..., Any], url: str, grm: Scripted, tokenizer: Any
) -> None:
    n = 1100
    batch = ("data.train_batch_size=1", f"actor_rollout_ref.rollout.n={n}")
    manager = load(url, "+reward.reward_kwargs.grm.wait_s=500", *batch)
    samples = [sample(f"4{' ' * i}", row("n") | {"session_id": i}, tokenizer) for i in range(n)]
    assert len(await score(manager, *samples)) == n
    assert sum(map(len, judged(grm))) == n


async def test_a_service_that_goes_away_costs_what_the_policy_says(load: Callable[..., Any], tokenizer: Any) -> None:
    failure = "+reward.reward_kwargs.grm.failure"
    with live(create_app(lambda: RewardService(make_config(), scoring(by_number)))) as url:
        lenient, strict = load(url, f"{failure}.constant=0.25"), load(url, f"{failure}.policy=raise")
    samples = [sample("5", row("o") | {"session_id": i}, tokenizer) for i in range(N)]
    rows, refusal = await asyncio.gather(score(lenient, *samples), score(strict, *samples), return_exceptions=True)
    assert isinstance(rows, list)
    for result in rows:
        assert result["reward_score"] == 0.25
        assert set(result["reward_extra_info"]) == INFO_KEYS
        assert result["reward_extra_info"]["grm_ok"] == 0
        assert result["reward_extra_info"]["grm_fallback"] == 1
    assert isinstance(refusal, RewardError)
    assert "4 of 4 rewards" in str(refusal)
    assert "failure.policy is 'raise'" in str(refusal)


def test_a_service_that_is_not_there_stops_a_worker_at_its_start(
    load: Callable[..., Any],
) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{probe.getsockname()[1]}"
    with pytest.raises(ServiceError, match=rf"no GRM service answers at {url} .*grm-plugin serve.*{url}/ready"):
        load(url)


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("reward.reward_model.enable=True", r"without their uid.*reward\.reward_model\.enable=False"),
        ("data.train_batch_size=4096", r"16384 samples per training batch.*set reward\.num_workers=17"),
        ("data.val_batch_size=9000", r"18000 samples per validation batch.*set reward\.num_workers=18"),
        ("+reward.reward_kwargs.grm.wait=3", r"reward\.reward_kwargs\.grm\.wait: Extra inputs"),
        ("+reward.reward_kwargs.grm.failure.policy=zero", r"grm\.failure\.policy: Input should be 'group_mean'"),
        ("reward.reward_kwargs.grm.url=localhost:8790", r"grm\.url: String should match pattern"),
        ("~reward.reward_kwargs.grm.url", r"add \+reward\.reward_kwargs\.grm\.url=http://HOST:PORT"),
    ],
)
def test_a_configuration_that_cannot_work_is_refused(
    load: Callable[..., Any], url: str, override: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GRM_URL", raising=False)
    with pytest.raises(ConfigError, match=words):
        load(url, override)


def test_one_sample_per_prompt_is_refused_where_samples_are_compared(
    cluster: None, configure: Callable[..., DictConfig], tokenizer: Any
) -> None:
    service = RewardService(make_config(normalize__method="group"), scoring(by_number))
    with live(create_app(lambda: service)) as url:
        with pytest.raises(ConfigError, match=r"group compares .*: set actor_rollout_ref\.rollout\.n to 2 or more"):
            load_reward_manager(configure(url, "actor_rollout_ref.rollout.n=1"), tokenizer)
        load_reward_manager(configure(url, "actor_rollout_ref.rollout.val_kwargs.n=1"), tokenizer)


def test_a_reward_model_of_verls_own_needs_the_function_path_set(
    cluster: None, configure: Callable[..., DictConfig], url: str, tokenizer: Any
) -> None:
    """The trap: without that path `RewardLoopWorker.compute_score` asks /classify and never a reward manager."""
    pool = ("reward.reward_model.enable=True", "reward.reward_model.enable_resource_pool=True")
    with pytest.raises(ConfigError, match="never call this reward manager") as refused:
        load_reward_manager(configure(url, *pool), tokenizer)
    advice = re.findall(r"reward\.custom_reward_function\.\w+=[\w:/.]+\w", str(refused.value))
    assert [line.partition("=")[0].rpartition(".")[2] for line in advice] == ["path", "name"]
    load_reward_manager(configure(url, *pool, *advice), tokenizer)


async def test_a_sample_without_uid_is_refused(load: Callable[..., Any], url: str, tokenizer: Any) -> None:
    colocated = {"raw_prompt": row("")["raw_prompt"]}  # all that verl's V1 trainer passes there
    with pytest.raises(GroupError, match=r"without its uid.*reward\.reward_model\.enable=False"):
        await score(load(url), sample("5", colocated, tokenizer))


async def test_samples_of_different_prompts_are_judged_each_by_itself(
    load: Callable[..., Any], url: str, grm: Scripted, tokenizer: Any
) -> None:
    manager = load(url, "actor_rollout_ref.rollout.n=1")
    rows = await score(manager, *(sample(text, row(text) | {"session_id": 0}, tokenizer) for text in ("10", "1")))
    assert [row["reward_score"] for row in rows] == [1.0, 0.0]
    assert all(set(row["reward_extra_info"]) == INFO_KEYS for row in rows)
    assert judged(grm) == [["1"], ["10"]]


async def test_a_sample_without_a_prompt_is_refused(load: Callable[..., Any], url: str, tokenizer: Any) -> None:
    with pytest.raises(PromptError, match="the prompt has no message"):
        await score(load(url), sample("10", row("r") | {"raw_prompt": None}, tokenizer))


async def test_criteria_are_rewards_of_gdpo(load: Callable[..., Any], tokenizer: Any) -> None:
    """verl's own estimator takes the columns of `judge.criteria` from `reward_extra_info`."""
    import numpy as np
    import torch
    from verl.trainer.ppo.core_algos import compute_gdpo_outcome_advantage

    texts = ["9 kind", "9", "5 kind", "1"]
    service = RewardService(make_config(judge__criteria=CRITERIA), Scripted(judging))
    with live(create_app(lambda: service)) as address:
        manager = load(address)
        rows = [row("g", rollout_n=len(texts)) | {"session_id": number} for number in range(len(texts))]
        found = await score(manager, *(sample(*pair, tokenizer) for pair in zip(texts, rows, strict=True)))
    infos = [each["reward_extra_info"] for each in found]
    keys = [CRITERION_KEY + item["name"] for item in CRITERIA]
    assert all(set(info) == {*INFO_KEYS, *keys} for info in infos)
    columns = {key: np.array([info[key] for info in infos]) for key in keys}
    assert columns[keys[0]].tolist() == [9, 9, 5, 1]
    assert columns[keys[1]].tolist() == [10, 1, 10, 1]
    n = len(texts)
    advantages, _ = compute_gdpo_outcome_advantage(
        torch.zeros(n, 2),
        torch.ones(n, 2),
        np.array(["g"] * n),
        config={"gdpo_reward_keys": keys, "gdpo_reward_weights": [3.0, 1.0]},  # type: ignore[arg-type]
        non_tensor_batch=columns,
        batch={"prompts": torch.zeros(n, 2, dtype=torch.long), "attention_mask": torch.ones(n, 4, dtype=torch.long)},
    )
    first = advantages[:, 0].tolist()
    assert first[0] > first[1] > first[2] > first[3]
    assert bool(advantages.isfinite().all())
