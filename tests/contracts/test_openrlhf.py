"""OpenRLHF's own executors and rollout actor, from the installed package, against a live service.

Every hook is loaded the way OpenRLHF loads it. A response's first number is the score it gets from every vote.
"""

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from grm_plugin.errors import ConfigError, PromptError, RewardError, ServiceError
from grm_plugin.serving.http.app import create_app
from grm_plugin.serving.ports import listen
from grm_plugin.serving.service import RewardService
from grm_plugin.types import Completion, Prompt, Sampling
from grm_plugin.wire.ready import Ready
from support.factories import Scripted, by_number, completions, live, make_config, never, scoring, until
from support.openrlhf_hooks import NOWHERE, agent, check
from support.paths import ROOT
from support.policy_tokenizers import build_tokenizers
from support.relay import breaking_first_connection

pytestmark = [pytest.mark.usefixtures("openrlhf"), pytest.mark.timeout(180)]


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("grm_plugin.client.http_client.FIRST_PAUSE_S", 0.005)
    monkeypatch.setattr("grm_plugin.integrations.environment_variables.READY_PATIENCE_S", 0.0)


def scores(outputs: list[dict[str, Any]]) -> list[float]:
    """Scores in [0, 1], flat: over HTTP OpenRLHF gets lists of one."""
    values = [output["scores"] for output in outputs]
    return [value[0] if isinstance(value, list) else value for value in values]


HOOKS = pytest.mark.parametrize("hook", ["http", "function", "agent"])


@HOOKS
async def test_a_batch_with_equal_prompts_and_equal_responses(
    hook: str, serve: Callable[..., Any], load: Callable[..., Any], rollout: Callable[..., Any]
) -> None:
    """Three prompts, two of them equal: groups of four, each response with the reward of its own text."""
    service = serve(normalize__method="unit")
    texts = ["1", "10", "10", "4", "7", "7", "7", "7", "2", "3", "10", "1"]
    actor = rollout(load(hook, service.url, 4), texts)
    batches = await asyncio.gather(*(actor.generate(question, 4) for question in ("A?", "A?", "B?")))
    for batch in batches:
        check(actor.experience(batch), 4)
    spoken = [actor.tokenizer.decode(output["observation_tokens"][-3:-1]) for batch in batches for output in batch]
    expected = [(by_number(text) - 1) / 9 for text in spoken]
    assert [score for batch in batches for score in scores(batch)] == pytest.approx(expected)

    assert [question for question, _ in service.groups] == ["A?", "A?", "B?"]
    assert [len(responses) for _, responses in service.groups] == [4, 4, 4]
    assert sorted(service.groups[0][1] + service.groups[1][1]) == sorted(texts[:8])
    assert service.groups[2][1] == sorted(texts[8:])


@HOOKS
async def test_a_single_sample_is_a_group(
    hook: str, serve: Callable[..., Any], load: Callable[..., Any], rollout: Callable[..., Any]
) -> None:
    service = serve()
    actor = rollout(load(hook, service.url, 1), ["9"], waits=False)
    outputs = await actor.generate("A?", 1, label="9")
    check(actor.experience(outputs), 1)
    assert service.groups == [("A?", ["9"])]
    assert service.judged[0].group.reference == "9"


def test_the_address_that_serve_prints_opens_a_service_with_a_token(tmp_path: Path) -> None:
    """As a shell reads it, by OpenRLHF's own HTTP call; the token itself is printed nowhere."""
    with listen("127.0.0.1", 0) as probe:
        port = probe.getsockname()[1]
    environ = {**os.environ, "GRM_TOKEN": "s3cret-token", "XDG_RUNTIME_DIR": str(tmp_path)}
    command = [sys.executable, "-m", "grm_plugin.cli", "serve", "--config", str(ROOT / "configs" / "dry_run.yaml")]
    from openrlhf.utils.agent import SingleTurnAgentExecutor

    command += ["--grm.service.port", str(port), "--grm.group.n", "1"]
    with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, text=True) as service:
        try:
            assert service.stdout
            said = [service.stdout.readline() for _ in range(3)]
            printed = said[1].split("--reward.remote_url ")[1]
            url = subprocess.check_output(f"printf %s {printed}", shell=True, env=environ, text=True)

            async def ask() -> list[dict[str, list[float]]]:
                return await SingleTurnAgentExecutor(url)._fetch_rewards_via_http(["Q: a plum"], ["Q:"], [""])

            [reply] = asyncio.run(ask())
            assert len(reply["rewards"]) == 1
        finally:
            service.terminate()
    assert "s3cret-token" in url
    assert "s3cret-token" not in "".join(said)
    assert "It asks for the token in GRM_TOKEN" in said[2]


@HOOKS
async def test_special_tokens_are_no_part_of_prompt_and_response(
    hook: str, serve: Callable[..., Any], load: Callable[..., Any], rollout: Callable[..., Any]
) -> None:
    service = serve()
    actor = rollout(load(hook, service.url, 2), ["5 {braces} \\boxed{10}", " 6\n"])
    await actor.generate("Wozu 日本?", 2)
    assert service.groups == [("Wozu 日本?", sorted(["5 {braces} \\boxed{10}", " 6\n"]))]


@HOOKS
@pytest.mark.parametrize("kind", ["Llama, legacy", "T5, NFKC", "BERT, lower case"])
async def test_a_tokenizer_that_does_not_give_the_prompt_back(
    hook: str, kind: str, serve: Callable[..., Any], load: Callable[..., Any], rollout: Callable[..., Any]
) -> None:
    """Spaces beside special tokens, characters in another form, all in lower case: the reward is the response's own."""
    policy = build_tokenizers()[kind]
    policy.pad_token = policy.pad_token or "</s>"
    policy.chat_template = "<s>[INST] Be brief. [/INST] Yes.</s><s>[INST] {{ messages[0]['content'] }} [/INST]"
    service = serve(judge__max_response_chars=100)
    actor = rollout(load(hook, service.url, 2), ["5 plums, fig", "9"], policy=policy)
    outputs = await actor.generate("Name a Cafe\u0301.", 2)
    check(actor.experience(outputs), 2)
    assert sorted(scores(outputs)) == pytest.approx([4 / 9, 8 / 9])
    [(_, responses)] = service.groups
    assert [response.replace(" ", "") for response in responses] == ["5plums,fig", "9"]


@HOOKS
async def test_votes_that_never_come_give_a_finite_fallback(
    hook: str, serve: Callable[..., Any], load: Callable[..., Any], rollout: Callable[..., Any]
) -> None:
    """The engine hangs once it is ready: the service answers at its own deadline."""

    async def reply(prompt: Prompt, sampling: Sampling) -> list[Completion]:
        return completions([5]) if sampling.max_tokens == 1 else await never(prompt, sampling)

    limits = {"failure__deadline_s": 1.0, "group__wait_s": 0.5, "failure__constant": 0.25}
    service = serve(Scripted(reply), **limits)
    actor = rollout(load(hook, service.url, 2, **limits), ["1", "2"])
    outputs = await actor.generate("A?", 2)
    check(actor.experience(outputs), 2, fallback=1.0)
    assert actor.experience(outputs).rewards.flatten().tolist() == [0.25, 0.25]


@HOOKS
async def test_a_dropped_connection_costs_nothing(
    hook: str,
    serve: Callable[..., Any],
    load: Callable[..., Any],
    rollout: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The connection breaks while the GRM works; the repeated request gets the work that already runs."""
    # It would block the event loop that the relay runs in, and the relay would break its connection.
    monkeypatch.setattr(
        "grm_plugin.integrations.environment_variables.read_ready", lambda *_: Ready(ready=True, problem="")
    )
    second_try = threading.Event()

    async def reply(prompt: Prompt, sampling: Sampling) -> list[Completion]:
        await until(second_try.is_set)
        return completions(*[[10]] * sampling.n)

    generator = Scripted(reply)
    service = serve(generator)
    async with breaking_first_connection(service.url, when=lambda: generator.calls) as url:
        actor = rollout(load(hook, url, 1), ["10"])
        generating = asyncio.create_task(actor.generate("A?", 1))
        await until(lambda: service.service.info().counters["attached"] == 1)
        second_try.set()
        outputs = await generating
    check(actor.experience(outputs), 1)
    assert scores(outputs) == [1.0]
    assert service.groups == [("A?", ["10"])]


async def test_the_agent_tells_evaluation_by_its_temperature(
    serve: Callable[..., Any],
    load: Callable[..., Any],
    rollout: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    service = serve(normalize__method="running")
    monkeypatch.setenv("GRM_EVAL_TEMPERATURE", "0.6")
    actor = rollout(load("agent", service.url, 2), ["4", "6", "9", "10", "9", "6"])
    await actor.generate("A?", 2)
    stats = service.service.judge.normalizer.stats
    assert stats.count == 2
    for n in (2, 1):
        await actor.generate("A?", n, temperature=0.6)
    assert service.service.judge.normalizer.stats == stats
    await actor.generate("A?", 1)
    assert service.service.judge.normalizer.stats.count == 3


async def test_without_the_variable_the_agent_takes_all_for_training(
    serve: Callable[..., Any], load: Callable[..., Any], rollout: Callable[..., Any]
) -> None:
    service = serve(normalize__method="running")
    actor = rollout(load("agent", service.url, 2), ["4", "6"])
    await actor.generate("A?", 2, temperature=0.6)
    assert service.service.judge.normalizer.stats.count == 2


@pytest.mark.parametrize("method", ["group", "rank"])
async def test_one_sample_per_prompt_stops_the_job_where_samples_are_compared(
    method: str,
    serve: Callable[..., Any],
    load: Callable[..., Any],
    rollout: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    service = serve(normalize__method=method)
    monkeypatch.setenv("GRM_EVAL_TEMPERATURE", "0.6")
    actor = rollout(load("agent", service.url, 1), ["4", "6", OSError("gone"), "5"], waits=False)
    with pytest.raises(ConfigError, match=rf"{method} compares .*: set --rollout\.n_samples_per_prompt to 2 or more"):
        await actor.generate("A?", 1)
    assert not service.judged
    [evaluated] = await actor.generate("A?", 1, temperature=0.6)
    assert evaluated["extra_logs"]["grm_mean"] == 4, "in evaluation the mean votes are what is looked at"
    with pytest.raises(OSError, match="gone"):
        await actor.generate("A?", 3)
    await until(lambda: len(service.judged) == 2)
    assert [len(judged.group.responses) for judged in service.judged] == [1, 2]


OUR_HOOKS = pytest.mark.parametrize("hook", ["function", "agent"])


@OUR_HOOKS
@pytest.mark.parametrize(
    ("url", "error", "message"),
    [
        (NOWHERE, ServiceError, f"no GRM service answers at {NOWHERE}"),
        (f"{NOWHERE}/get_reward?n=2", ConfigError, "give http://HOST:PORT only"),
    ],
)
async def test_a_wrong_address_stops_the_job_at_its_start(
    hook: str, url: str, error: type[Exception], message: str, load: Callable[..., Any]
) -> None:
    with pytest.raises(error, match=message):
        load(hook, url, 2)


@pytest.fixture
def load_and_leave(load: Callable[..., Any]) -> Callable[..., Any]:
    """`load` with a service that is gone when the executor is there."""

    def make(hook: str, **overrides: Any) -> Any:
        service = RewardService(make_config(sampling__k=2), scoring(by_number))
        with live(create_app(lambda: service)) as url:
            return load(hook, url, 2, **overrides)

    return make


@OUR_HOOKS
async def test_where_the_service_goes_away_the_policy_decides(
    hook: str, load_and_leave: Callable[..., Any], rollout: Callable[..., Any]
) -> None:
    actor = rollout(load_and_leave(hook, failure__constant=-0.5), ["1", "2"])
    outputs = await actor.generate("A?", 2)
    check(actor.experience(outputs), 2, fallback=1.0)
    assert actor.experience(outputs).rewards.tolist() == [-0.5, -0.5]


async def test_policy_raise_stops_the_job(load_and_leave: Callable[..., Any], rollout: Callable[..., Any]) -> None:
    actor = rollout(load_and_leave("agent", failure__policy="raise"), ["1", "2"])
    with pytest.raises(RewardError, match=r"2 of 2 rewards"):
        await actor.generate("A?", 2)


@HOOKS
@pytest.mark.parametrize(
    "label", [{"reference": "plum", "rubric": "Be brief."}, '{"reference": "plum", "rubric": "Be brief."}']
)
async def test_a_label_may_hold_a_reference_and_a_rubric(
    hook: str, label: Any, serve: Callable[..., Any], load: Callable[..., Any], rollout: Callable[..., Any]
) -> None:
    service = serve()
    await rollout(load(hook, service.url, 1), ["9"]).generate("A?", 1, label=label)
    assert (service.judged[0].group.reference, service.judged[0].group.rubric) == ("plum", "Be brief.")


@HOOKS
@pytest.mark.parametrize("label", [float("nan"), "  ", "\n", [], {}, [""], [None], {"reference": None}])
async def test_a_missing_label_is_no_reference(
    hook: str, label: Any, serve: Callable[..., Any], load: Callable[..., Any], rollout: Callable[..., Any]
) -> None:
    service = serve()
    await rollout(load(hook, service.url, 1), ["9"]).generate("A?", 1, label=label)
    assert (service.judged[0].group.reference, service.judged[0].group.rubric) == (None, None)


async def test_an_image_token_in_a_prompt_costs_its_sample_what_the_policy_says(
    serve: Callable[..., Any], load: Callable[..., Any], rollout: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    service = serve(failure__constant=0.25)
    actor = rollout(load("function", service.url, 1, failure__constant=0.25), ["9"])
    outputs = await actor.generate("<image>\nWhat is in the picture?", 1)
    check(actor.experience(outputs), 1, fallback=1.0)
    assert "the prompt holds <image>, which stands for an image" in caplog.text
    assert not service.judged


class TestAgent:
    async def test_images_and_labels_that_cannot_be_read_are_refused_before_anything_is_generated(
        self, serve: Callable[..., Any], load: Callable[..., Any]
    ) -> None:
        executor = load("agent", serve().url, 1)
        with pytest.raises(PromptError, match="a sample has images: images, sound and video are not supported"):
            await executor.execute("A?", "", None, 9, None, None, images=["plum.png"])
        with pytest.raises(PromptError, match="the unknown field 'rubrik'"):
            await executor.execute("A?", {"reference": "1", "rubrik": "x"}, None, 9, None, None, images=[])
        assert not executor._groups._open

    async def test_n_may_differ_between_training_and_evaluation(
        self, serve: Callable[..., Any], load: Callable[..., Any], rollout: Callable[..., Any]
    ) -> None:
        service = serve(group__n=4)
        actor = rollout(load("agent", service.url, 4), ["1", "2", "3", "4", "5", "6", "7"])
        for n in (4, 2, 1):
            check(actor.experience(await actor.generate("A?", n)), n)
        assert service.groups == [("A?", ["1", "2", "3", "4"]), ("A?", ["5", "6"]), ("A?", ["7"])]

    async def test_an_engine_that_answers_at_once_does_not_split_the_group(
        self, serve: Callable[..., Any], load: Callable[..., Any], rollout: Callable[..., Any]
    ) -> None:
        service = serve()
        actor = rollout(load("agent", service.url, 3), ["1", "2", "3"], waits=False)
        await actor.generate("A?", 3)
        assert service.groups == [("A?", ["1", "2", "3"])]

    async def test_the_others_do_not_wait_for_a_sibling_that_fails(
        self, serve: Callable[..., Any], load: Callable[..., Any], rollout: Callable[..., Any]
    ) -> None:
        service = serve()
        actor = rollout(load("agent", service.url, 3), ["1", RuntimeError("engine died"), "3"])
        with pytest.raises(RuntimeError, match="engine died"):  # OpenRLHF lets it end the job
            await actor.generate("A?", 3)
        await until(lambda: bool(service.judged))
        assert service.groups == [("A?", ["1", "3"])]

    async def test_nothing_is_left_behind_when_all_siblings_fail(
        self, serve: Callable[..., Any], load: Callable[..., Any], rollout: Callable[..., Any]
    ) -> None:
        service = serve()
        actor = rollout(load("agent", service.url, 2), [RuntimeError("a"), RuntimeError("b"), "7", "8"])
        with pytest.raises(RuntimeError):
            await actor.generate("A?", 2)
        await actor.generate("A?", 2)
        assert service.groups == [("A?", ["7", "8"])]

    def test_a_missing_environment_is_told_at_the_start(
        self, hook_file: Callable[..., str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = hook_file("agent", NOWHERE)
        monkeypatch.delenv("GRM_URL")
        monkeypatch.delenv("GRM_CONFIG")
        with pytest.raises(ConfigError, match=r"GRM_CONFIG .* or GRM_URL"):
            agent(path)
