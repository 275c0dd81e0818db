"""NeMo-Gym's `/verify` on our server, and the NeMo-RL environment.

nemo-gym needs Python 3.12 or later (3.13.14 since 0.5), so its own classes are used only where it is installed.
nemo-rl on the package index is a placeholder without code: the environment runs against NeMo-RL's documented interface.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from types import ModuleType
from typing import Any

import httpx
import pytest

from grm_plugin._util.background import _loop
from grm_plugin.client import Client
from grm_plugin.errors import ConfigError, GroupError, PromptError, ServiceError
from grm_plugin.judging.fallback import LOG_KEYS
from support.factories import Scripted, by_number, completions, never
from support.paths import ROOT

NOWHERE = "http://127.0.0.1:9"  # the discard port: nothing listens there
QUESTION = {"role": "user", "content": "What?"}


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("grm_plugin.client.http_client.FIRST_PAUSE_S", 0.005)


def unit(score: float) -> float:
    return (score - 1) / 9


def message(text: str) -> dict[str, Any]:
    content = [{"type": "output_text", "text": text, "annotations": []}]
    return {"id": "msg", "type": "message", "role": "assistant", "status": "completed", "content": content}


def rollout(*output: dict[str, Any], question: Any = "What?", **task_fields: Any) -> dict[str, Any]:
    """What Gym's simple agent posts: the dataset row, and the policy's response in OpenAI's responses format."""
    response = {
        "id": "resp",
        "created_at": 0,
        "model": "policy",
        "object": "response",
        "output": list(output),
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
    }
    return {"responses_create_params": {"input": question}, "response": response, "_ng_task_index": 4, **task_fields}


async def verify(url: str, body: dict[str, Any]) -> dict[str, Any]:
    async with httpx.AsyncClient(timeout=60) as client:
        (await client.post(f"{url}/seed_session", json=body)).raise_for_status()
        answer = await client.post(f"{url}/verify", json=body)
        answer.raise_for_status()
        reply: dict[str, Any] = answer.json()
        return reply


async def test_a_cohort_is_judged_together_and_gets_its_rollouts_back(serve: Callable[..., Any]) -> None:
    service = serve(group__n=3)
    bodies = [rollout(message(text), expected_answer="plum", principle="Be brief.") for text in ("3", "10", "1")]
    async with asyncio.timeout(30):
        replies = await asyncio.gather(*(verify(service.url, body) for body in bodies))
    assert [reply["reward"] for reply in replies] == pytest.approx([unit(3), unit(10), unit(1)])
    assert service.groups == [("What?", ["1", "10", "3"])]
    assert (service.judged[0].group.reference, service.judged[0].group.rubric) == ("plum", "Be brief.")
    for body, reply in zip(bodies, replies, strict=True):
        assert {key: reply[key] for key in body} == body
        assert (reply["mask_sample"], reply["failure_kind"]) == (False, None)
        assert set(reply["grm"]) == set(LOG_KEYS)


async def test_messages_instructions_tools_and_reasoning(serve: Callable[..., Any]) -> None:
    service = serve()
    question = [
        {"type": "message", "role": "developer", "content": "Be brief."},
        {"role": "user", "content": [{"type": "input_text", "text": "What?"}]},
    ]
    call = {"type": "function_call", "name": "look", "arguments": "{}", "call_id": "1"}
    seen = {"type": "function_call_output", "call_id": "1", "output": "7 plums"}
    thought = {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm."}]}
    empty = {"type": "reasoning", "summary": [], "encrypted_content": "x"}
    body = rollout(empty, thought, call, seen, message("I see."), message("7"), question=question)
    body["responses_create_params"]["instructions"] = "You are kind."
    assert (await verify(service.url, body))["reward"] == pytest.approx(unit(7))
    [judged] = service.judged
    turns = [(turn.role, turn.content) for turn in judged.group.conversation]
    assert turns == [("system", "You are kind."), ("system", "Be brief."), ("user", "What?")]
    assert judged.group.responses == (
        "[assistant's reasoning]\nHm.\n[end of assistant's reasoning]\n\n[tool call look]\n{}\n[end of tool call]\n\n"
        "[tool result look]\n7 plums\n[end of tool result]\n\nI see.\n\n7",
    )


async def test_a_lost_rollout_does_not_keep_its_cohort(serve: Callable[..., Any]) -> None:
    service = serve(group__n=3, group__wait_s=0.3)
    async with asyncio.timeout(30):
        replies = await asyncio.gather(*(verify(service.url, rollout(message(text))) for text in ("3", "10")))
    assert [reply["reward"] for reply in replies] == pytest.approx([unit(3), unit(10)])


async def test_a_judge_without_a_verdict_masks_the_sample(serve: Callable[..., Any]) -> None:
    service = serve(Scripted(never), group__wait_s=0.1, failure__deadline_s=0.6)
    async with asyncio.timeout(30):
        reply = await verify(service.url, rollout(message("3")))
    assert (reply["reward"], reply["mask_sample"], reply["failure_kind"]) == (0.5, True, "judge_failed")


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        (rollout(message("3"), {"type": "image_generation_call", "result": "b64"}), "image_generation_call"),
        (rollout(message("3"), expected_answer={"reference": "3", "rubrik": "x"}), "unknown field 'rubrik'"),
        (
            rollout({"type": "function_call_output", "call_id": "1", "output": [{"type": "input_image"}]}),
            "input_image",
        ),
        ({"response": {"output": []}}, "responses_create_params"),
        (rollout(message("3"), question=[]), "no message"),
        (rollout(message("3"), question=[{"role": "user", "content": [{"type": "input_image"}]}]), "input_image"),
        ({"responses_create_params": {"input": "What?"}, "response": {"output": "3"}}, "output"),
    ],
)
def test_a_rollout_that_does_not_fit_is_refused(
    serve: Callable[..., Any], body: dict[str, Any], complaint: str
) -> None:
    answer = httpx.post(f"{serve().url}/verify", json=body, timeout=60, trust_env=False)
    assert answer.status_code == 422
    assert complaint in str(answer.json()["detail"])


async def test_nemo_gyms_own_schema_takes_request_and_reply(serve: Callable[..., Any]) -> None:
    """Runs where nemo-gym is installed; this project's Python 3.11 cannot install it."""
    gym = pytest.importorskip("nemo_gym.base_resources_server")
    body = rollout(message("7"))
    gym.BaseVerifyRequest.model_validate(body)
    reply = gym.BaseVerifyResponse.model_validate(await verify(serve().url, body))
    assert reply.reward == pytest.approx(unit(7))


@pytest.fixture
def gym_server() -> Callable[[str], Any]:
    """Makes the app of our resources server for a GRM service's address; where nemo-gym is installed."""
    pytest.importorskip("nemo_gym.judge")
    from nemo_gym.config_types import BaseServerConfig
    from nemo_gym.server_utils import ServerClient
    from omegaconf import OmegaConf

    from grm_plugin.integrations.nemo.gym_resources_server import GRMResourcesServer, GRMResourcesServerConfig

    def make(url: str) -> Any:
        address = {"host": "127.0.0.1", "port": 1}
        client = ServerClient(head_server_config=BaseServerConfig(**address), global_config_dict=OmegaConf.create({}))
        settings = {"entrypoint": "app.py", "name": "grm", "grm_url": url, "num_rollouts_per_prompt": 3}
        server = GRMResourcesServer(
            config=GRMResourcesServerConfig(**address, **settings, timeout_s=5), server_client=client
        )
        return server.setup_webserver()

    return make


async def post_all(app: Any, bodies: list[dict[str, Any]]) -> list[dict[str, Any]]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gym") as client:
        answers = await asyncio.gather(*(client.post("/verify", json=body) for body in bodies))
    return [answer.raise_for_status().json() for answer in answers]


async def test_our_resources_server_inside_nemo_gym(
    gym_server: Callable[[str], Any], serve: Callable[..., Any]
) -> None:
    service = serve()
    bodies = [rollout(message(text), expected_answer="plum") for text in ("3", "10", "1")]
    async with asyncio.timeout(30):
        replies = await post_all(gym_server(service.url), bodies)
    assert [reply["reward"] for reply in replies] == pytest.approx([unit(3), unit(10), unit(1)])
    assert [reply["mask_sample"] for reply in replies] == [False] * 3
    assert service.groups == [("What?", ["1", "10", "3"])]
    assert service.judged[0].group.reference == "plum"


async def test_nemo_gym_masks_the_sample_when_the_service_is_down(gym_server: Callable[[str], Any]) -> None:
    [reply] = await post_all(gym_server(NOWHERE), [rollout(message("3"))])
    assert (reply["reward"], reply["mask_sample"], reply["failure_kind"]) == (0.0, True, "judge_failed")
    assert "no GRM service answers" in reply["failure_reason"]


def test_nemo_gyms_own_parser_takes_the_example() -> None:
    types = pytest.importorskip("nemo_gym.config_types")
    from omegaconf import OmegaConf

    folder = ROOT / "examples/nemo/resources_servers/grm"
    example = OmegaConf.load(folder / "configs/grm.yaml")
    for name in example:
        config, error = types.maybe_get_server_instance_config(name, example[name])
        assert error is None
        assert config is not None
    assert (folder / example.grm.resources_servers.grm.entrypoint).exists()
    assert (folder / "requirements.txt").exists()


async def test_two_tasks_that_differ_in_a_tools_output_only_are_no_siblings(serve: Callable[..., Any]) -> None:
    service = serve(group__n=2, group__wait_s=60)

    def task(weather: str, said: str) -> dict[str, Any]:
        call = {"type": "function_call", "name": "get_weather", "arguments": '{"city": "Oslo"}', "call_id": "1"}
        output = {"type": "function_call_output", "call_id": "1", "output": weather}
        asked = {"role": "user", "content": "How is the weather in my city?"}
        return rollout(message(said), question=[asked, call, output])

    bodies = [task("sunny, 30C", "It is sunny, 9"), task("snow, -5C", "It snows, 8")]
    bodies += [task("sunny, 30C", "It snows, 1"), task("snow, -5C", "It is sunny, 2")]
    async with asyncio.timeout(30):
        replies = await asyncio.gather(*(verify(service.url, body) for body in bodies))
    assert [reply["reward"] for reply in replies] == pytest.approx([unit(score) for score in (9, 8, 1, 2)])
    assert sorted(sorted(judged.group.responses) for judged in service.judged) == [
        ["It is sunny, 2", "It snows, 8"],
        ["It is sunny, 9", "It snows, 1"],
    ]


async def test_a_rollout_that_is_only_a_call_is_judged_on_the_call(serve: Callable[..., Any]) -> None:
    service = serve(group__n=2)

    def call(guests: int) -> dict[str, Any]:
        arguments = f'{{"guests": {guests}, "time": "19:00"}}'
        return rollout({"type": "function_call", "name": "book_table", "arguments": arguments, "call_id": "1"})

    async with asyncio.timeout(30):
        right, wrong = await asyncio.gather(*(verify(service.url, call(guests)) for guests in (9, 2)))
    assert (right["reward"], wrong["reward"]) == (pytest.approx(unit(9)), pytest.approx(unit(2)))
    assert right["grm"]["grm_votes_kept"] == 2
    [judged] = service.judged
    assert {reward.status for reward in judged.rewards} == {"ok"}
    assert all("book_table" in response and "19:00" in response for response in judged.group.responses)


def log(text: str, question: str = "What?") -> list[dict[str, str]]:
    return [{"role": "user", "content": question}, {"role": "assistant", "content": text}]


def test_a_whole_step_is_rewarded_group_by_group(environment: ModuleType, serve: Callable[..., Any]) -> None:
    service = serve()
    worker = environment.GRMEnvironmentWorker({"url": service.url, "n": 2, "reference": "answer"})
    logs = [log("3"), log("10"), log("1", "Why?"), log("4", "Why?")]
    metadata = [{"answer": "plum"}, {"answer": "plum"}, None, {"other": 1}]
    step = worker.step(logs, metadata)
    assert step.rewards.tolist() == pytest.approx([unit(3), unit(10), unit(1), unit(4)])
    assert step.rewards.dtype == environment.torch.float32
    assert step.terminateds.tolist() == [True] * 4
    assert step.metadata == metadata
    assert [len(column) for column in (step.observations, step.next_stop_strings, step.answers)] == [4] * 3
    assert service.groups == [("What?", ["10", "3"]), ("Why?", ["1", "4"])]
    assert {judged.group.reference for judged in service.judged} == {"plum", None}
    assert worker.global_post_process_and_metrics({"x": 1}) == ({"x": 1}, {})
    worker.shutdown()


def test_calls_results_reference_and_rubric_are_carried(environment: ModuleType, serve: Callable[..., Any]) -> None:
    service = serve()
    worker = environment.GRMEnvironmentWorker({"url": service.url, "n": 2, "reference": "answer", "rubric": "note"})
    call = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}}

    def turns(seen: str, text: str) -> list[dict[str, Any]]:
        asked = {"role": "assistant", "content": "", "tool_calls": [call], "token_ids": environment.torch.ones(3)}
        return [{"role": "user", "content": "What?"}, asked, {"role": "tool", "content": seen}, *log(text)[1:]]

    metadata = [{"answer": "plum", "note": "Be brief."}, {"answer": {"reference": "plum", "rubric": "Be brief."}}]
    worker.step(
        [turns("a plum", "3"), turns("a plum", "4"), turns("a fig", "5")], [*metadata, {"answer": float("nan")}]
    )
    by_responses = {judged.group.responses: judged.group for judged in service.judged}
    assert set(by_responses) == {("3", "4"), ("5",)}
    group = by_responses["3", "4"]
    assert (group.reference, group.rubric) == ("plum", "Be brief.")
    assert [turn.content for turn in group.conversation[1:]] == [
        "[tool call look]\n{}\n[end of tool call]",
        "[tool result]\na plum\n[end of tool result]",
    ]
    assert by_responses["5",].reference is None


async def test_samples_of_an_asynchronous_rollout_meet(environment: ModuleType, serve: Callable[..., Any]) -> None:
    service = serve()
    worker = environment.GRMEnvironmentWorker({"url": service.url, "n": 3})
    async with asyncio.timeout(30):
        steps = await asyncio.gather(*(asyncio.to_thread(worker.step, [log(text)], [{}]) for text in ("3", "10", "1")))
    assert [step.rewards.tolist() for step in steps] == [pytest.approx([unit(score)]) for score in (3, 10, 1)]
    assert service.groups == [("What?", ["1", "10", "3"])]


def test_one_sample_per_prompt_is_refused_where_samples_are_compared(
    environment: ModuleType, serve: Callable[..., Any]
) -> None:
    service = serve(normalize__method="rank")
    with pytest.raises(ConfigError, match=r"rank compares .*: set env\.grm\.n to 2 or more"):
        environment.GRMEnvironmentWorker({"url": service.url, "n": 1})
    worker = environment.GRMEnvironmentWorker({"url": service.url, "n": 2})
    logs = [[QUESTION, {"role": "assistant", "content": text}] for text in ("3", "9")]
    other = [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "5"}]
    step = worker.step([*logs, other], [None] * 3)
    assert step.rewards.tolist() == [0, 1, 0.5], "the sample that is left alone is no failure"
    worker.shutdown()


def test_missing_rewards_and_outages(environment: ModuleType, serve: Callable[..., Any]) -> None:
    with pytest.raises(ServiceError, match="no GRM service answers"):
        environment.GRMEnvironmentWorker({"url": NOWHERE, "n": 2})

    def silent_on_the_third(prompt: Any, sampling: Any) -> Any:
        text = prompt.messages[-1].content
        return [] if "\n3\n" in text else completions(*[[by_number("7")]] * sampling.n)

    service = serve(Scripted(silent_on_the_third), judge__list_size=1)
    worker = environment.GRMEnvironmentWorker({"url": service.url, "n": 2})
    rewards = worker.step([log("7"), log("3")], [{}, {}]).rewards
    assert rewards.tolist() == pytest.approx([unit(7)] * 2)  # the mean of the others
    worker._client = Client(NOWHERE)
    with pytest.raises(ServiceError, match="no GRM service answers"):
        worker.step([log("7"), log("3")], [{}, {}])


async def test_a_group_that_fails_ends_the_others(
    environment: ModuleType, serve: Callable[..., Any], left_alone: Scripted
) -> None:
    service = serve(left_alone, failure__policy="raise")
    worker = environment.GRMEnvironmentWorker({"url": service.url, "n": 1})
    loop = _loop(os.getpid())
    before = asyncio.all_tasks(loop)
    with pytest.raises(ServiceError, match=r"failure\.policy is 'raise'"):
        await asyncio.to_thread(worker.step, [log("bad"), log("5", "Why?")], [{}, {}])
    assert asyncio.all_tasks(loop) <= before


@pytest.mark.parametrize(
    ("error", "logs"),
    [
        (GroupError, [[{"role": "user", "content": "What?"}]]),
        (GroupError, [[]]),
        (GroupError, [log("3"), log("4")]),
        (PromptError, [[{"role": "user", "content": [{"type": "image", "image": "x"}]}, *log("3")[1:]]]),
        (PromptError, [[{"role": "user", "content": "What?", "images": ["x.png"]}, *log("3")[1:]]]),
    ],
)
def test_message_logs_that_do_not_fit(
    environment: ModuleType, serve: Callable[..., Any], error: type[Exception], logs: Any
) -> None:
    worker = environment.GRMEnvironmentWorker({"url": serve().url, "n": 1})
    with pytest.raises(error):
        worker.step(logs, [{}])


def test_ray_makes_the_actor_as_nemo_rl_does(environment: ModuleType) -> None:
    """`register_env` finds the class by its path, and options are set on it before it is made."""
    assert hasattr(environment.GRMEnvironment.options(num_cpus=0), "remote")
