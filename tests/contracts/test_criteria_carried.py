"""Criteria arrive as they were sent, by every route and hook, and come back as columns of the log."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest

from grm_plugin.errors import PromptError
from grm_plugin.integrations.slime.grm_reward import custom_rm
from grm_plugin.judging.fallback import CRITERION_KEY
from grm_plugin.serving.http.app import create_app
from grm_plugin.serving.service import RewardService
from support.criteria_grm import CRITERIA, READ, judging
from support.factories import Scripted, live, make_config
from support.openrlhf_hooks import check

pytestmark = pytest.mark.timeout(180)

HOOKS = pytest.mark.parametrize("hook", ["http", "function", "agent"])
COLUMNS = [item["name"] for item in CRITERIA]
LABEL = {"reference": "plum", "criteria": CRITERIA, "source": "fruit"}


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("grm_plugin.client.http_client.FIRST_PAUSE_S", 0.005)
    monkeypatch.setattr("grm_plugin.integrations.environment_variables.READY_PATIENCE_S", 0.0)


def carried(service: Any) -> tuple[Any, ...]:
    group = service.judged[-1].group
    return group.reference, group.criteria, group.source


@pytest.mark.usefixtures("openrlhf")
@HOOKS
@pytest.mark.parametrize("label", [LABEL, json.dumps(LABEL)])
async def test_openrlhf(
    hook: str, label: Any, serve: Callable[..., Any], load: Callable[..., Any], rollout: Callable[..., Any]
) -> None:
    service = serve(Scripted(judging), judge__criteria=CRITERIA)
    actor = rollout(load(hook, service.url, 4), ["9 kind", "9", "5 kind", "1"])
    outputs = await actor.generate("A?", 4, label=label)
    experience = actor.experience(outputs)
    check(experience, 4, columns=COLUMNS)
    assert carried(service) == ("plum", READ, "fruit")
    right, kind = (experience.info[CRITERION_KEY + name].flatten().tolist() for name in COLUMNS)
    assert sorted(zip(right, kind, strict=True)) == [(1, 1), (5, 10), (9, 1), (9, 10)]


@pytest.mark.usefixtures("openrlhf")
@pytest.mark.parametrize("hook", ["function", "agent"])
async def test_openrlhf_has_the_columns_while_the_service_is_down(
    hook: str, load: Callable[..., Any], rollout: Callable[..., Any]
) -> None:
    service = RewardService(make_config(sampling__k=2, judge__criteria=CRITERIA), Scripted(judging))
    with live(create_app(lambda: service)) as url:
        executor = load(hook, url, 2)
    actor = rollout(executor, ["1", "2"])
    check(actor.experience(await actor.generate("A?", 2)), 2, fallback=1.0, columns=COLUMNS)


@pytest.mark.usefixtures("openrlhf")
async def test_the_agent_refuses_what_cannot_be_scored_by_before_it_generates(
    serve: Callable[..., Any], load: Callable[..., Any], rollout: Callable[..., Any]
) -> None:
    label = {"criteria": [CRITERIA[0] | {"weight": 0}]}
    actor = rollout(load("agent", serve(Scripted(judging)).url, 2), ["1", "2"])
    with pytest.raises(PromptError, match="sum to zero"):
        await actor.generate("A?", 2, label=label)


@pytest.mark.parametrize("place", ["label", "metadata"])
@pytest.mark.parametrize("group_rm", [True, False])
async def test_slime(serve: Callable[..., Any], place: str, group_rm: bool) -> None:
    @dataclass
    class Sample:
        prompt: str
        response: str
        label: Any
        group_index: int = 0
        metadata: dict[str, Any] = field(default_factory=dict)
        multimodal_inputs: Any = None

    @dataclass
    class Args:
        rm_url: str
        group_rm: bool
        n_samples_per_prompt: int = 1
        reward_key: str = "score"
        eval_reward_key: None = None

    service = serve(Scripted(judging), judge__criteria=CRITERIA)
    inside = place == "label"
    sample = Sample("What?", "9 kind", LABEL if inside else "plum")
    sample.metadata = {} if inside else {"criteria": CRITERIA, "source": "fruit"}
    args = Args(service.url, group_rm)
    reply = await custom_rm(args, [sample] if group_rm else sample)
    assert carried(service) == ("plum", READ, "fruit")
    if group_rm:
        assert reply[0][CRITERION_KEY + "right"] == 9


def test_nemo_rl(environment: ModuleType, serve: Callable[..., Any]) -> None:
    service = serve(Scripted(judging))
    keys = {"reference": "answer", "criteria": "asked", "source": "task"}
    worker = environment.GRMEnvironmentWorker({"url": service.url, "n": 2, **keys})
    turns = [[{"role": "user", "content": "What?"}, {"role": "assistant", "content": text}] for text in ("9 kind", "1")]
    metadata = [{"answer": "plum", "asked": CRITERIA, "task": "fruit"}] * 2
    step = worker.step(turns, metadata)
    assert carried(service) == ("plum", READ, "fruit")
    assert step.rewards.tolist() == pytest.approx([(3 * 8 / 9 + 1) / 4, 0])
    worker.shutdown()


async def test_the_routes(serve: Callable[..., Any]) -> None:
    service = serve(Scripted(judging), judge__criteria=[*CRITERIA, {"name": "further", "text": "x"}])
    sent = {"criteria": CRITERIA, "source": "fruit"}
    responses = {"output": [{"role": "assistant", "content": "9 kind"}]}
    bodies: dict[str, Any] = {
        "/get_reward?n=1": {"query": ["Q9 kind"], "prompts": ["Q"], "labels": [LABEL]},
        "/v1/sample?n=1&logs=true": {"prompt": "Q", "response": "9 kind", "label": "plum", **sent},
        "/v1/score": {"groups": [{"prompt": "Q", "responses": ["9 kind"], "reference": "plum", **sent}]},
        "/verify": {"responses_create_params": {"input": "Q"}, "response": responses, "expected_answer": LABEL},
    }
    async with httpx.AsyncClient(base_url=service.url, timeout=60) as client:
        replies = {path: await client.post(path, json=body) for path, body in bodies.items()}
    for path, reply in replies.items():
        assert reply.status_code == 200, (path, reply.text)
    assert [judged.group.criteria for judged in service.judged] == [READ] * 4
    found = {path: reply.json() for path, reply in replies.items()}
    assert found["/get_reward?n=1"]["extra_logs"][CRITERION_KEY + "right"] == [9.0]
    logs = found["/v1/sample?n=1&logs=true"]["logs"]
    assert [logs[CRITERION_KEY + name] for name in ("right", "kind", "further")] == [9.0, 10.0, 5.5]
    [reward] = found["/v1/score"]["judgements"][0]["rewards"]
    assert [(row["name"], row["mean"], row["own"]) for row in reward["criteria"]] == [
        ("right", 9.0, False),
        ("kind", 10.0, False),
        ("further", None, False),
    ]
    assert found["/v1/score"]["judgements"][0]["critiques"][0]["by_criterion"] == [[9.0], [10.0]]


@pytest.mark.parametrize(
    ("criteria", "message"),
    [
        ([CRITERIA[0]] * 2, "two criteria are named"),
        ([CRITERIA[0] | {"kind": "rule"}], "never in data"),
        ("nice", "must be a list"),
        ([{"name": f"c{number}", "text": "x"} for number in range(500)], "500 criteria"),
    ],
)
async def test_what_cannot_be_scored_by_is_refused(serve: Callable[..., Any], criteria: Any, message: str) -> None:
    service = serve(Scripted(judging))
    async with httpx.AsyncClient(base_url=service.url, timeout=60) as client:
        body = {"groups": [{"prompt": "Q", "responses": ["9"], "criteria": criteria}]}
        for path, sent in (("/v1/score", body), ("/v1/sample", {"prompt": "Q", "response": "9", "criteria": criteria})):
            reply = await client.post(path, json=sent)
            assert reply.status_code == 422
            assert message in reply.text
    assert not service.judged


async def test_principles_change_in_a_running_service_and_no_request_is_lost(
    serve: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("grm_plugin.judging.applying.LOOK_EVERY_S", 0.0)
    file = tmp_path / "principles.txt"
    file.write_text("Prefer rhymes.")
    grm = Scripted(judging)
    service = serve(grm, judge__principles={"file": str(file)})
    async with httpx.AsyncClient(base_url=service.url, timeout=60) as client:

        async def ask(number: int) -> int:
            body = {"groups": [{"prompt": f"Q{number}", "responses": ["9", "4"]}]}
            return (await client.post("/v1/score", json=body)).status_code

        before = [asyncio.create_task(ask(number)) for number in range(20)]
        await asyncio.sleep(0.05)
        file.write_text("Prefer haiku.")
        after = [asyncio.create_task(ask(number)) for number in range(20, 40)]
        assert set(await asyncio.gather(*before, *after)) == {200}
    shown = [prompt.messages[-1].content for prompt, _ in grm.calls]
    assert all(("Prefer rhymes." in text) != ("Prefer haiku." in text) for text in shown if "Responses" in text)
    assert any("Prefer haiku." in text for text in shown)
