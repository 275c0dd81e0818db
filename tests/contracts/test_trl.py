"""TRL's own GRPOTrainer and AsyncGRPO worker, from the installed package, against a live service.

A response's first number is the score it gets from every vote, unless a test says otherwise.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import math
import pickle
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from grm_plugin.errors import ConfigError, EngineError, GroupError, PromptError, ServiceError
from grm_plugin.integrations.trl import local_service
from grm_plugin.integrations.trl.grm_reward import GRMReward, _client, _warn_of_parts
from grm_plugin.serving.http.without_ray import app_and_service
from grm_plugin.serving.ray.launch import ServiceHandle
from grm_plugin.types import Completion, Prompt, Sampling
from grm_plugin.wire.token import Token
from support.factories import Scripted, completions, live, make_config, responses_shown, scoring
from support.marked_jobs import run_marked
from support.paths import ROOT

trl = pytest.importorskip("trl")

pytestmark = pytest.mark.timeout(300)

POLICY = ROOT / "examples/nano/models/policy"
NOWHERE = "http://127.0.0.1:9"  # the discard port: nothing listens there
QUESTION = [{"role": "user", "content": "Name 3 fruits, use commas."}]
N = 4


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr("grm_plugin.client.http_client.FIRST_PAUSE_S", 0.005)
    yield
    _client.cache_clear()
    _warn_of_parts.cache_clear()


@pytest.fixture
def trainer(tmp_path: Path) -> Callable[..., Any]:
    """Makes a GRPOTrainer of the nano policy: `trainer(reward, prompts)`."""

    def make(reward: Any, prompts: list[Any]) -> Any:
        from datasets import Dataset
        from transformers import AutoModelForCausalLM, AutoTokenizer

        answers = [f"answer {index}" for index in range(len(prompts))]
        settings = {
            "output_dir": str(tmp_path),
            "use_cpu": True,
            "bf16": False,
            "report_to": [],
            "logging_steps": 1,
            "disable_tqdm": True,
            "save_strategy": "no",
            "num_generations": N,
            "per_device_train_batch_size": 2 * N,
            "max_completion_length": 12,
            "max_steps": 2,
        }
        return trl.GRPOTrainer(
            model=AutoModelForCausalLM.from_pretrained(POLICY, dtype="float32"),
            processing_class=AutoTokenizer.from_pretrained(POLICY, padding_side="left"),
            reward_funcs=[reward],
            args=trl.GRPOConfig(**settings),
            train_dataset=Dataset.from_dict({"prompt": prompts, "answer": answers}),
        )

    return make


def answer(text: str) -> list[dict[str, str]]:
    return [{"role": "assistant", "content": text}]


def call(name: str, number: str, arguments: Any) -> dict[str, Any]:
    return {"id": number, "type": "function", "function": {"name": name, "arguments": arguments}}


def unit(score: float) -> float:
    return (score - 1) / 9


def by_length(response: str) -> float:
    return 1 + len(response) % 10


def failing_on(word: str) -> Callable[[Prompt, Sampling], list[Completion]]:
    """The reply of a GRM that has nothing to say about lists with `word` in them, and gives 5 to the others."""

    def reply(prompt: Prompt, sampling: Sampling) -> list[Completion]:
        shown = responses_shown(prompt)
        if any(word in response for response in shown):
            raise EngineError("no")
        return completions(*[[5] * len(shown)] * sampling.n)

    return reply


def broken(prompt: Prompt, sampling: Sampling) -> list[Completion]:
    raise EngineError("out of memory")


def test_trl_sees_a_function_that_it_awaits(serve: Callable[..., Any]) -> None:
    from trl.trainer.utils import get_callable_name, is_async_callable

    reward = GRMReward(serve().url)
    print("TRL", trl.__version__)
    assert is_async_callable(reward)
    assert get_callable_name(reward) == "grm"


@pytest.mark.parametrize("conversational", [True, False])
def test_training_judges_whole_groups_and_logs_them(
    serve: Callable[..., Any], trainer: Callable[..., Any], conversational: bool
) -> None:
    service = serve(scoring(by_length))
    questions = [f"Name {count} fruits, use commas." for count in (2, 3, 4, 5)]
    prompts = [[{"role": "user", "content": question}] for question in questions] if conversational else questions
    run = trainer(GRMReward(service.url, reference="answer"), prompts)
    run.train()

    assert [len(group) for _, group in service.groups] == [N] * 4  # two groups in each of two steps
    assert {judged.group.conversation[-1].content for judged in service.judged} <= set(questions)
    assert {judged.group.reference for judged in service.judged} <= {f"answer {index}" for index in range(4)}
    steps = [entry for entry in run.state.log_history if "rewards/grm/mean" in entry]
    assert len(steps) == 2
    assert all(math.isfinite(step["reward"]) and 0 <= step["reward"] <= 1 for step in steps)
    assert all(1 <= step["grm/mean_score"] <= 10 and step["grm/none"] == 0 for step in steps)
    critiques = list(run._logs["extra"]["grm_critique"])
    assert len(critiques) == len(list(run._logs["completion"])) == 2 * N  # TRL keeps the last batch
    for said, text in zip(run._logs["completion"], critiques, strict=True):
        if str(said[0]["content"] if conversational else said).strip():
            assert text.startswith("(this is response ")
            assert r"\boxed{" in text
        else:
            assert text is None  # scored by the rule for blank responses


def test_completions_without_a_vote_are_left_out_and_training_goes_on(
    serve: Callable[..., Any], trainer: Callable[..., Any]
) -> None:
    service = serve(Scripted(failing_on("lost")))
    run = trainer(GRMReward(service.url), [QUESTION] * 4)
    other = [{"role": "user", "content": "Name 2 tools, use dashes."}]
    prompts = [QUESTION] * N + [other] * N
    said = [answer("lost")] + [answer("found")] * (2 * N - 1)
    inputs = [{"prompt": prompt, "answer": "a"} for prompt in prompts]
    rewards = run._calculate_rewards(inputs, prompts, said, [[1]] * 2 * N)
    assert rewards[:N].isnan().all()
    assert rewards[N:, 0].tolist() == pytest.approx([unit(5)] * N)


@pytest.mark.parametrize("on_outage", ["none", "raise"])
async def test_a_service_that_dies_gives_none_or_ends_the_training(
    serve: Callable[..., Any], on_outage: str, caplog: pytest.LogCaptureFixture
) -> None:
    reward = GRMReward(serve().url, on_outage=on_outage)
    reward.url = NOWHERE
    if on_outage == "raise":
        with pytest.raises(ServiceError, match="no GRM service answers"):
            await reward([answer("1")], [QUESTION])
    else:
        logged: dict[str, Any] = {}
        rewards = await reward(
            [answer("1"), answer("2")],
            [QUESTION] * 2,
            log_extra=logged.__setitem__,
            log_metric=logged.__setitem__,
        )
        assert rewards == [None, None]
        assert logged == {"grm_votes": [None] * 2, "grm_critique": [None] * 2, "grm/none": 1.0}
        assert "no reward for a group of 2" in caplog.text


async def test_asyncgrpo_scores_a_group_with_a_pickled_copy(serve: Callable[..., Any]) -> None:
    worker = pytest.importorskip("trl.experimental.async_grpo.async_rollout_worker")
    service = serve()
    reward = pickle.loads(pickle.dumps(GRMReward(service.url, reference="answer")))
    loop = worker._AsyncRolloutLoop.__new__(worker._AsyncRolloutLoop)
    loop.reward_funcs, loop.reward_func_names = [reward], [worker.get_callable_name(reward)]
    loop._env_reward_types, loop._provides_rollout_reward = [], False
    sequence = SimpleNamespace(
        prompt_ids=[1],
        completion_ids=[2],
        input_ids=[1, 2],
        completion_mask=[0, 1],
        old_log_probs=[0.0, 0.0],
        log_probs=[],
    )
    group = worker.RolloutGroup(
        prompts=[QUESTION] * 3,
        reward_kwargs={"answer": ["plum"] * 3},
        completions=[answer("1"), answer("10"), answer("7")],
        completions_ids=[[2]] * 3,
        completions_sequences=[[sequence]] * 3,
        tool_call_counts=[0] * 3,
        tool_failure_counts=[0] * 3,
        model_version=0,
        group_id=0,
        env_rewards=[None] * 3,
        rollout_rewards=[None] * 3,
    )
    samples = await loop._score_group(group)
    assert [sample.metrics["rewards/grm"] for sample in samples] == pytest.approx([unit(1), unit(10), unit(7)])
    assert service.groups == [("Name 3 fruits, use commas.", ["1", "10", "7"])]


def test_evaluation_is_not_learnt_from(serve: Callable[..., Any], trainer: Callable[..., Any]) -> None:
    service = serve(normalize__method="running")
    run = trainer(GRMReward(service.url), [QUESTION] * 4)
    inputs = [{"prompt": QUESTION, "answer": "a"}] * N
    for training, learnt in ((False, 0), (True, N)):
        run.model.train(training)
        run._calculate_rewards(inputs, [QUESTION] * N, [answer(str(index)) for index in range(1, 1 + N)], [[1]] * N)
        assert service.service.judge.normalizer.stats.count == learnt


async def test_one_completion_per_prompt_ends_the_training_where_they_are_compared(serve: Callable[..., Any]) -> None:
    reward = pickle.loads(pickle.dumps(GRMReward(serve(normalize__method="group").url)))
    other = [{"role": "user", "content": "Name 2 tools, use dashes."}]
    with pytest.raises(ConfigError, match=r"group compares .*completions of a prompt in a rank's batch to 2 or more"):
        await reward([answer("1"), answer("2")], [QUESTION, other])
    with_a_part = await reward([answer("1"), answer("3"), answer("2")], [QUESTION, QUESTION, other])
    assert with_a_part == [-1, 1, None], "the part of a group that is one is left out"


async def test_copies_have_the_critique_that_was_written_for_both(serve: Callable[..., Any]) -> None:
    logged: dict[str, Any] = {}
    reward = GRMReward(serve().url)
    await reward([answer("3"), answer("7"), answer("3")], [QUESTION] * 3, log_extra=logged.__setitem__)
    assert logged["grm_votes"] == ["3, 3", "7, 7", "3, 3"]
    assert logged["grm_critique"][2] == logged["grm_critique"][0] is not None


async def test_siblings_are_grouped_and_a_part_of_a_group_is_judged_as_it_is(
    serve: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    service = serve()
    other = [{"role": "user", "content": "Name 2 tools, use dashes."}]
    # The rank's slice begins in the middle of a group and ends in another one.
    said = ["3", "5", "1", "2", "3", "4", "9"]
    rewards = await GRMReward(service.url)([answer(text) for text in said], [QUESTION] * 2 + [other] * 4 + [QUESTION])
    assert rewards == pytest.approx([unit(int(text)) for text in said])
    assert service.groups == [
        ("Name 2 tools, use dashes.", ["1", "2", "3", "4"]),
        ("Name 3 fruits, use commas.", ["3", "5"]),
        ("Name 3 fruits, use commas.", ["9"]),
    ]
    assert "groups of 1 and 2 and 4 completions came in one batch" in caplog.text


TWO_RANKS = """
import sys
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import GRPOConfig, GRPOTrainer
from grm_plugin.integrations.trl import local_service
from grm_plugin.integrations.trl.grm_reward import GRMReward

policy, url, output = sys.argv[1:]
prompts = [[{"role": "user", "content": f"Name {count} fruits, use commas."}] for count in (2, 3, 4, 5)]
trainer = GRPOTrainer(
    model=AutoModelForCausalLM.from_pretrained(policy, dtype="float32"),
    processing_class=AutoTokenizer.from_pretrained(policy, padding_side="left"),
    reward_funcs=[GRMReward(url=url)],
    args=GRPOConfig(
        output_dir=output, use_cpu=True, bf16=False, report_to=[], logging_steps=1, save_strategy="no",
        num_generations=4, per_device_train_batch_size=2, max_completion_length=8, max_steps=2,
    ),
    train_dataset=Dataset.from_dict({"prompt": prompts}),
)
trainer.train()
steps = [entry for entry in trainer.state.log_history if "rewards/grm/mean" in entry]
assert len(steps) == 2 and all(0 <= step["reward"] <= 1 for step in steps), steps
"""


@pytest.mark.timeout(600)
def test_a_group_that_spans_two_ranks_is_judged_in_parts(serve: Callable[..., Any], tmp_path: Path) -> None:
    service = serve(scoring(by_length))
    (tmp_path / "train.py").write_text(TWO_RANKS)
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    command = [*launch, str(tmp_path / "train.py"), str(POLICY), service.url, str(tmp_path)]
    job = run_marked(command, 540, {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"})
    assert job.returncode == 0, job.stderr[-4000:]
    assert [len(group) for _, group in service.groups] == [2] * 4  # half of the group of four on each rank, twice


async def test_rows_with_another_reference_are_no_siblings(serve: Callable[..., Any]) -> None:
    service = serve()
    reward = GRMReward(service.url, reference="answer", rubric="note")
    columns = {"answer": ["plum", {"any": ["fig"]}, None], "note": ["be brief"] * 3}
    await reward([answer("1")] * 3, [QUESTION] * 3, **columns)
    assert {judged.group.reference for judged in service.judged} == {"plum", '{"any": ["fig"]}', None}
    assert len(service.judged) == 3
    assert {judged.group.rubric for judged in service.judged} == {"be brief"}


async def test_what_the_assistant_says_between_tool_calls_is_the_response(serve: Callable[..., Any]) -> None:
    service = serve()
    prompt = [{"role": "developer", "content": [{"type": "text", "text": "Be brief."}]}, *QUESTION]
    turns = [
        {"role": "assistant", "content": "Let me look.", "tool_calls": [call("look", "c1", {"at": "fruits"})]},
        {"role": "tool", "tool_call_id": "c1", "content": "7 fruits"},
        {"role": "assistant", "content": "plum, fig"},
    ]
    assert await GRMReward(service.url)([turns], [prompt]) == pytest.approx([unit(7)])
    [judged] = service.judged
    assert [turn.role for turn in judged.group.conversation] == ["system", "user"]
    assert judged.group.responses == (
        'Let me look.\n[tool call look]\n{"at": "fruits"}\n[end of tool call]\n\n'
        "[tool result look]\n7 fruits\n[end of tool result]\n\nplum, fig",
    )


async def test_calls_and_results_in_the_prompt_are_shown_and_tell_groups_apart(serve: Callable[..., Any]) -> None:
    """Equal prompts but for what a tool has said, or for the id of its call."""
    service = serve()

    def prompt(weather: str, name: str = "c1") -> list[dict[str, Any]]:
        asked = {"role": "assistant", "content": None, "tool_calls": [call("get_weather", name, {"city": "Oslo"})]}
        return [*QUESTION, asked, {"role": "tool", "tool_call_id": name, "content": weather}]

    prompts = [prompt("sunny, 30C"), prompt("sunny, 30C"), prompt("snow, -5C"), prompt("snow, -5C", "c2")]
    await GRMReward(service.url)([answer(text) for text in ("1", "2", "3", "4")], prompts)
    assert sorted(judged.group.responses for judged in service.judged) == [("1", "2"), ("3",), ("4",)]
    shown = "\n".join(turn.content for judged in service.judged for turn in judged.group.conversation)
    for part in ("sunny, 30C", "snow, -5C", "[tool call get_weather]", '{"city": "Oslo"}'):
        assert part in shown


async def test_tools_of_the_dataset_are_shown_and_tell_groups_apart(serve: Callable[..., Any]) -> None:
    tools = [[{"type": "function", "function": {"name": name}}] for name in ("search", "search", "book")]
    service = serve()
    await GRMReward(service.url)([answer(text) for text in ("1", "2", "3")], [QUESTION] * 3, tools=tools)
    assert sorted(judged.group.responses for judged in service.judged) == [("1", "2"), ("3",)]
    for judged in service.judged:
        shown = judged.group.conversation[0]
        assert shown.role == "system"
        assert ("book" if judged.group.responses == ("3",) else "search") in shown.content


async def test_missing_references_are_no_references(serve: Callable[..., Any]) -> None:
    """As pandas hands them over: a group of which some rows have NaN is one group."""
    service = serve()
    columns = {"answer": [None, float("nan"), " \n", [""]], "note": [float("nan"), "", None, {}]}
    reward = GRMReward(service.url, reference="answer", rubric="note")
    await reward([answer(text) for text in ("1", "2", "3", "4")], [QUESTION] * 4, **columns)
    [judged] = service.judged
    assert (judged.group.reference, judged.group.rubric) == (None, None)


async def test_a_reference_may_be_an_object_with_a_rubric(serve: Callable[..., Any]) -> None:
    service = serve()
    reward = GRMReward(service.url, reference="answer")
    await reward([answer("1")], [QUESTION], answer=['{"reference": "plum", "rubric": "Be brief."}'])
    assert (service.judged[0].group.reference, service.judged[0].group.rubric) == ("plum", "Be brief.")
    with pytest.raises(PromptError, match="the unknown field 'rubrik'"):
        await reward([answer("1")], [QUESTION], answer=[{"reference": "plum", "rubrik": "Be brief."}])


WRONG = [
    (GroupError, "prompts has 1 entries but completions has 2", {"prompts": [QUESTION]}),
    (GroupError, "neither prompts nor a messages column", {}),
    (GroupError, "answer has 1 entries", {"prompts": [QUESTION] * 2, "answer": ["plum"]}),
    (ConfigError, "no column 'answer'; it has subject", {"prompts": [QUESTION] * 2, "subject": ["x"] * 2}),
    (
        PromptError,
        "the dataset has image: images, sound and video are not supported",
        {"prompts": [QUESTION] * 2, "answer": ["x"] * 2, "image": [object()] * 2},
    ),
    (
        PromptError,
        "parts of type 'image' are not supported",
        {"prompts": [[{"role": "user", "content": [{"type": "image"}]}]] * 2, "answer": ["x"] * 2},
    ),
    (GroupError, "responses: List should have at most 4096", {"prompts": ["x"] * 5000, "answer": ["x"] * 5000}),
    (PromptError, "the role 'alien'", {"prompts": [[{"role": "alien", "content": "x"}]] * 2, "answer": ["x"] * 2}),
]


@pytest.mark.parametrize(("error", "message", "arguments"), WRONG, ids=[message for _, message, _ in WRONG])
async def test_bad_batches(
    serve: Callable[..., Any], error: type[Exception], message: str, arguments: dict[str, Any]
) -> None:
    size = max(2, *(len(value) for value in arguments.values()), 2)
    with pytest.raises(error, match=message):
        await GRMReward(serve().url, reference="answer")([answer("1")] * size, **arguments)


async def test_a_group_that_fails_ends_the_others(serve: Callable[..., Any], left_alone: Scripted) -> None:
    service = serve(left_alone, failure__policy="raise")
    reward = GRMReward(service.url, on_outage="raise")
    with pytest.raises(ServiceError, match=r"failure\.policy is 'raise'"):
        await reward([answer("bad"), answer("5")], [QUESTION, [{"role": "user", "content": "Why?"}]])
    assert asyncio.all_tasks() == {asyncio.current_task()}


def test_a_service_out_of_reach_stops_before_training(serve: Callable[..., Any]) -> None:
    with pytest.raises(ServiceError, match=f"no GRM service answers at {re.escape(NOWHERE)}"):
        GRMReward(NOWHERE)
    with pytest.raises(ServiceError, match="is no GRM service"):
        GRMReward(f"{serve().url}/v1")
    with pytest.raises(ServiceError, match="cannot judge: out of memory"):
        GRMReward(serve(Scripted(broken)).url)


@pytest.mark.parametrize(
    "arguments", [{}, {"url": NOWHERE, "config": make_config()}, {"url": NOWHERE, "on_outage": "x"}]
)
def test_arguments_that_do_not_fit(arguments: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        GRMReward(**arguments)


def test_a_local_service_is_refused_on_several_machines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "16")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "8")
    with pytest.raises(ConfigError, match="several machines"):
        GRMReward(config=make_config())


def test_other_ranks_wait_for_the_service_of_rank_0(monkeypatch: pytest.MonkeyPatch, serve: Callable[..., Any]) -> None:
    service = serve()
    port = int(service.url.rpartition(":")[2])
    for name, value in {"RANK": "1", "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    assert GRMReward(config=make_config(service__port=port)).url == service.url


async def test_the_token_of_a_configuration_is_that_of_its_service(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRM_TOKEN", "of-another-service")
    monkeypatch.setenv("MY_TOKEN", "of-this-one")
    config = make_config(service__token_env="MY_TOKEN")
    with live(app_and_service(config)[0]) as url:
        handle = ServiceHandle("grm", url, token=Token("of-this-one"))
        monkeypatch.setattr(local_service, "start", lambda _: handle)
        first = GRMReward(config=config)
        monkeypatch.setattr(local_service, "http_url", lambda *_: url)
        monkeypatch.setenv("RANK", "1")
        for reward in (first, pickle.loads(pickle.dumps(first)), GRMReward(config=config)):
            assert await reward([answer("a plum")], [QUESTION]) != [None]
            assert "of-this-one" not in repr(vars(reward))
        with pytest.raises(ServiceError, match=r"refuses the token that it was given.*service\.token_env"):
            GRMReward(url)


def test_ranks_that_could_not_find_the_service_are_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The cluster's head node, where the service listens, is another machine."""
    stopped: list[ServiceHandle | None] = []
    handle = ServiceHandle("grm", NOWHERE)
    monkeypatch.setattr(local_service, "start", lambda _: handle)
    monkeypatch.setattr(local_service, "stop_service", stopped.append)
    for name, value in {"RANK": "0", "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=r"answers at http://127\.0\.0\.1:9, .*give every rank its url"):
        GRMReward(config=make_config())
    assert stopped == [handle]


@pytest.mark.parametrize(
    ("installed", "message"), [("1.9.0", "pass GRMReward(...).blocking"), ("1.16.3", ""), ("2.0.0.dev0", "is newer")]
)
def test_another_trl_is_told_the_tested_range(
    serve: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    installed: str,
    message: str,
) -> None:
    monkeypatch.setattr("grm_plugin.integrations.trl.tested_version.version", lambda _: installed)
    with caplog.at_level(logging.WARNING):
        GRMReward(serve().url)
    told = [record.getMessage() for record in caplog.records if record.name.startswith("grm_plugin")]
    assert any(message in line for line in told) if message else not told


def test_axolotl_style_a_plain_function_pickled_for_a_worker(serve: Callable[..., Any]) -> None:
    service = serve()
    function = GRMReward(service.url).blocking
    assert len(inspect.signature(function).parameters) >= 2
    copy = pickle.loads(pickle.dumps(function))
    rewards = copy(prompts=[QUESTION] * 2, completions=[answer("1"), answer("4")], completion_ids=[[1]] * 2)
    assert rewards == pytest.approx([unit(1), unit(4)])


async def test_ms_swift_style_texts_and_messages_without_prompts(serve: Callable[..., Any]) -> None:
    service = serve()
    messages = [[*QUESTION, *answer(text)] for text in ("1", "4")]
    rewards = await GRMReward(service.url)(["1", "4"], trainer_state=None, messages=messages, solution=["x", "x"])
    assert rewards == pytest.approx([unit(1), unit(4)])
    assert service.groups == [("Name 3 fruits, use commas.", ["1", "4"])]


def test_ms_swifts_own_call_site(serve: Callable[..., Any]) -> None:
    """Runs where ms-swift is installed; its TRL (below 1.0) excludes it from the environment of this project."""
    algorithm = pytest.importorskip("swift.rl_core.grpo_algorithm")
    from swift.rl_core.data import GRPOSample
    from torch import device

    service = serve()
    samples = [GRPOSample.from_row({"messages": [*QUESTION, *answer(text)], "solution": "x"}) for text in ("1", "4")]
    for _ in range(2):  # each call has an event loop of its own
        rewards = algorithm.compute_rewards_per_func(samples, [GRMReward(service.url)], [None], device("cpu"))
        assert rewards[:, 0].tolist() == pytest.approx([unit(1), unit(4)])
