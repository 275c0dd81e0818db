import asyncio
import time
from collections.abc import Sequence
from typing import Any

import pytest
from pydantic import ValidationError

from grm_plugin._util.deadline import Deadline
from grm_plugin.errors import EngineError, PromptError, RewardError, ServiceBusy, WireError
from grm_plugin.judging.fallback import LOG_KEYS
from grm_plugin.serving.service import RewardService
from grm_plugin.trace.store_reader import opened
from grm_plugin.types import Completion, Conversation, Group, Message, Prompt, Sample, Sampling
from grm_plugin.wire.schemas import GetRewardReply, GetRewardRequest, ScoreRequest
from support.factories import Scripted, by_number, completions, make_config, never, responses_shown, scoring, until

PROMPT = "<|im_start|>user\nWhat is 2 + 2?<|im_end|>\n<|im_start|>assistant\n"


def make_service(generator: Scripted | None = None, **overrides: Any) -> RewardService:
    return RewardService(make_config(sampling__k=2, **overrides), generator or scoring(by_number))


def request(*responses: str, prompt: str = PROMPT, **rest: Any) -> GetRewardRequest:
    queries = [prompt + response + "<|im_end|>" for response in responses]
    return GetRewardRequest(query=queries, prompts=[prompt] * len(responses), **rest)


def groups(*responses: str, **rest: Any) -> ScoreRequest:
    group = {"messages": [{"role": "user", "content": "What is 2 + 2?"}], "responses": list(responses)}
    return ScoreRequest.model_validate({"groups": [group], **rest})


async def test_the_calls_of_one_group_are_judged_together() -> None:
    generator = scoring(by_number)
    service = make_service(generator)
    replies = await asyncio.gather(*(service.get_reward(request(str(score)), n=4) for score in (3, 5, 10, 1)))
    assert [reply.rewards for reply in replies] == [[pytest.approx(x)] for x in (2 / 9, 4 / 9, 1, 0)]
    assert [reply.scores for reply in replies] == [reply.rewards for reply in replies]
    assert {len(prompt.order) for prompt, _ in generator.calls} == {4}
    assert all("[user]\nWhat is 2 + 2?\n" in prompt.messages[0].content for prompt, _ in generator.calls)


async def test_a_whole_group_in_one_call() -> None:
    reply = await make_service().get_reward(request("3", "5", "10", n=3))
    assert reply.rewards == pytest.approx([2 / 9, 4 / 9, 1])
    assert {key: len(values) for key, values in reply.extra_logs.items()} == dict.fromkeys(LOG_KEYS, 3)
    assert reply.extra_logs["grm_mean"] == [3, 5, 10]
    assert reply.extra_logs["grm_votes_kept"] == [2, 2, 2]
    assert reply.extra_logs["grm_fallback"] == [0, 0, 0]


async def test_an_empty_call_has_the_same_keys() -> None:
    reply = await make_service().get_reward(request())
    assert reply == GetRewardReply(rewards=[], scores=[], extra_logs={key: [] for key in LOG_KEYS})


@pytest.mark.parametrize(
    ("argument", "payload", "configured", "expected"), [(3, 2, 1, 3), (None, 2, 1, 2), (None, None, 3, 3)]
)
async def test_n_of_the_call_beats_the_payload_beats_the_configuration(
    argument: int | None, payload: int | None, configured: int, expected: int
) -> None:
    generator = scoring(by_number)
    service = make_service(generator, group__n=configured)
    await service.get_reward(request(*"1234567"[:expected], n=payload), argument)
    assert {len(prompt.order) for prompt, _ in generator.calls} == {expected}


@pytest.mark.parametrize(
    ("label", "shown"),
    [("the truth", "the truth"), ("", None), (None, None), (42, "42"), (0, "0"), (["a", 1], '["a", 1]')],
)
async def test_the_label_is_the_reference(label: Any, shown: str | None) -> None:
    generator = scoring(by_number)
    await make_service(generator).get_reward(request("1", labels=[label]))
    text = generator.calls[0][0].messages[0].content
    assert ("Reference answer" in text) is (shown is not None)
    assert shown is None or f"\n{shown}\n" in text


async def test_a_query_that_does_not_start_with_its_prompt() -> None:
    wrong = GetRewardRequest(query=["no answer here"], prompts=["another question altogether"])
    with pytest.raises(WireError, match=r"query\.0: the prompt is no prefix"):
        await make_service().get_reward(wrong)


async def test_lone_surrogates_are_judged_like_any_text() -> None:
    generator = scoring(by_number)
    reply = await make_service(generator).get_reward(request("7 \ud800", labels=["\udfff"]))
    assert reply.extra_logs["grm_mean"] == [7]
    assert generator.calls[0][0].messages[0].content.encode()


async def test_an_engine_that_never_returns_is_answered_before_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("grm_plugin.serving.service.REPLY_SHARE", 0.8)  # the judge's deadline is 1.6 s earlier
    service = make_service(Scripted(never), failure__deadline_s=2.0, failure__constant=-2.0, group__wait_s=0.05)
    async with asyncio.timeout(10):
        reply = await service.get_reward(request("3", "5", n=4))
    assert (reply.rewards, reply.scores) == ([-2, -2], [0.5, 0.5])
    assert reply.extra_logs["grm_fallback"] == [1, 1]
    assert (service.counters.fallbacks, service.counters.deadline_misses) == (2, 0), (
        "in time without the emergency brake"
    )


@pytest.mark.parametrize("model", ["grm", "meta_rm"])
async def test_a_model_that_cancels_itself_costs_what_its_errors_cost(model: str) -> None:
    async def cancels_itself(*_: Any) -> Any:
        raise asyncio.CancelledError

    class MetaRM:
        rate = staticmethod(cancels_itself)

    grm = Scripted(cancels_itself) if model == "grm" else scoring(by_number)
    config = make_config(sampling__k=2, meta_rm={"type": "fake"}, failure__constant=-1)
    service = RewardService(config, grm, MetaRM())
    score = (await service.judge_groups(groups("3", "5"))).judgements[0].rewards
    sample = await service.reward_sample(Sample((Message("user", "?"),), "3"), n=1)
    replies = await asyncio.gather(*(service.get_reward(request(answer), n=2) for answer in ("3", "5")))
    logs = [sample.logs, *({key: values[0] for key, values in reply.extra_logs.items()} for reply in replies)]
    if model == "grm":
        assert [reward.status for reward in score] == ["no_votes"] * 2
        assert [log["grm_fallback"] for log in logs] == [1] * 3
    else:
        assert [(reward.mean, reward.votes_kept, reward.meta_failed) for reward in score] == [
            (3, 2, True),
            (5, 2, True),
        ]
        assert [log["grm_mean"] for log in logs] == [3, 3, 5]
        assert service.counters.meta_failures == 3


async def test_a_judge_that_is_late_itself_is_cut_off_at_the_deadline() -> None:
    service = make_service(failure__deadline_s=0.2, group__wait_s=0.0)

    async def late(*_: Any) -> Any:
        await asyncio.sleep(60)

    service.judge.lists.judge = late  # type: ignore[method-assign]
    reply = await service.get_reward(request("3"))
    judged = await service.judge_groups(groups("3", "4"))
    assert (reply.rewards, reply.extra_logs["grm_fallback"]) == ([0.5], [1])
    assert [reward.status for reward in judged.judgements[0].rewards] == ["no_votes"] * 2
    assert service.counters.deadline_misses == 2


@pytest.mark.parametrize("method", ["unit", "group"])
async def test_a_missed_deadline_leaves_one_trace_and_the_blank_rule(method: str, tmp_path: Any) -> None:
    """The event loop is blocked for longer than the share of the deadline that is kept for the reply."""
    service = make_service(
        failure__deadline_s=0.3, group__wait_s=0.0, normalize__method=method, trace__path=str(tmp_path / "a.db")
    )

    async def block(*_: Any) -> Any:
        time.sleep(0.4)  # noqa: ASYNC251 - what this is about
        await asyncio.sleep(0)
        raise AssertionError("unreachable: the group is given up")

    service.judge.lists.judge = block  # type: ignore[method-assign]
    replies = await asyncio.gather(*(service.get_reward(request(text), 3) for text in ("3", " ", "4")))
    rewards = [reply.rewards[0] for reply in replies]
    assert rewards == ([0.5, 0.0, 0.5] if method == "unit" else [0.0, 0.0, 0.0])
    assert [reply.extra_logs["grm_fallback"] for reply in replies] == [[1], [0], [1]]
    assert [reply.extra_logs["grm_mean"] for reply in replies] == [[0], [1], [0]]
    await asyncio.sleep(0.05)
    await service.close()
    assert service.traces is not None
    assert service.traces.status.written == 1
    with opened(service.traces.path) as store:
        assert store is not None
        trace = store.trace(store.newest())
    assert trace is not None
    assert [row.value for row in trace.settled] == rewards


async def test_a_missed_deadline_keeps_the_votes_that_are_in() -> None:
    service = make_service(failure__deadline_s=0.3, group__wait_s=0.0, judge__list_size=1)
    judge_list = service.judge.lists.judge

    async def late_for_some(group: Group, members: tuple[int, ...], *rest: Any) -> Any:
        if group.responses[members[0]] == "late":
            await asyncio.sleep(60)
        return await judge_list(group, members, *rest)

    service.judge.lists.judge = late_for_some  # type: ignore[method-assign]
    reply = await service.get_reward(request("3", "late", "10", n=3))
    assert reply.extra_logs["grm_mean"] == [3, 0, 10]
    assert reply.extra_logs["grm_fallback"] == [0, 1, 0]
    assert (service.counters.groups, service.counters.deadline_misses) == (1, 3)


@pytest.mark.parametrize("status", ["blank", "no_votes"])
async def test_a_whole_group_that_misses_its_deadline_has_the_blank_rule_too(status: str) -> None:
    service = make_service(failure__deadline_s=0.2, group__wait_s=0.0)

    async def late(*_: Any) -> Any:
        await asyncio.sleep(60)

    service.judge.lists.judge = late  # type: ignore[method-assign]
    [judgement] = (await service.judge_groups(groups("3", " " if status == "blank" else "4"))).judgements
    assert judgement.rewards[1].status == status
    assert judgement.rewards[1].settled == (0 if status == "blank" else 0.5)


async def test_a_group_that_is_late_costs_the_others_nothing() -> None:
    service = make_service(failure__deadline_s=2.0, group__wait_s=0.0)
    judge_list = service.judge.lists.judge

    async def late_for_some(group: Group, *rest: Any) -> Any:
        if "late" in group.responses:
            await asyncio.sleep(60)
        return await judge_list(group, *rest)

    service.judge.lists.judge = late_for_some  # type: ignore[method-assign]
    both = ScoreRequest(groups=[*groups("3", "8").groups, *groups("late", "8").groups])
    in_time, late = (await service.judge_groups(both)).judgements
    assert [reward.mean for reward in in_time.rewards] == [3, 8]
    assert [reward.status for reward in late.rewards] == ["no_votes"] * 2
    assert (service.counters.groups, service.counters.deadline_misses) == (1, 1)


async def test_openrlhfs_call_is_answered_in_its_time_whatever_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    service = make_service(failure__deadline_s=1200)
    given: list[float | None] = []

    async def late(_group: Any, _members: Any, deadline: Deadline, *_: Any) -> Any:
        given.append(deadline.left_s)
        await asyncio.Event().wait()

    service.judge.lists.judge = late  # type: ignore[method-assign]
    monkeypatch.setattr("grm_plugin.serving.service.OPENRLHF_DEADLINE_S", 0.2)
    async with asyncio.timeout(10):
        reply = await service.get_reward(request("3"))
    assert reply.extra_logs["grm_fallback"] == [1]
    sample = Sample((Message("user", "What is 2 + 2?"),), "4")
    others = [asyncio.create_task(call) for call in (service.reward_sample(sample), service.judge_groups(groups("4")))]
    await until(lambda: len(given) == 3)
    for other in others:
        other.cancel()
    hook, *rest = given
    assert hook is not None
    assert 0 < hook <= 0.2
    assert rest == [pytest.approx(1200, rel=0.1)] * 2


async def test_a_lost_vote_of_one_response_gets_the_mean_of_its_group() -> None:
    def reply(prompt: Prompt, sampling: Sampling) -> list[Completion]:
        shown = responses_shown(prompt)
        return [] if "9" in shown else completions(*[[by_number(r) for r in shown]] * sampling.n)

    service = make_service(Scripted(reply), judge__list_size=1, normalize__method="none")
    answer = await service.get_reward(request("2", "4", "9", n=3))
    assert answer.rewards == [2, 4, 3]
    assert answer.extra_logs["grm_fallback"] == [0, 0, 1]
    assert answer.extra_logs["grm_votes_lost"] == [0, 0, 2]


class DeadMeta:
    async def rate(self, conversations: Sequence[Conversation]) -> list[float]:
        raise EngineError("no replica of the meta RM is alive")


async def test_a_meta_rm_that_is_dead_shows_in_what_a_trainer_logs() -> None:
    config = make_config(sampling__k=2, meta_rm={"model": "a/b"})
    service = RewardService(config, scoring(by_number), DeadMeta())
    logs = (await service.get_reward(request("3", "8", " ", n=3))).extra_logs
    assert logs["grm_meta_failed"] == [1, 1, 0], "the blank response has no votes to filter"
    assert (logs["grm_votes_kept"], logs["grm_fallback"]) == ([2, 2, 0], [0, 0, 0])
    [judgement] = (await service.judge_groups(groups("3", "8"))).judgements
    assert [reward.meta_failed for reward in judgement.rewards] == [True, True]


async def test_policy_raise_gives_no_reward() -> None:
    service = make_service(Scripted(lambda prompt, sampling: []), failure__policy="raise")
    with pytest.raises(RewardError, match="1 of 1"):
        await service.get_reward(request("1"))
    with pytest.raises(RewardError, match="2 of 2"):
        await service.judge_groups(groups("1", "2"))


async def test_no_more_is_let_in_than_may_wait() -> None:
    gate = asyncio.Event()

    async def reply(prompt: Prompt, sampling: Sampling) -> list[Completion]:
        await gate.wait()
        return completions(*[[5] * len(prompt.order)] * sampling.n)

    service = make_service(Scripted(reply), service__max_waiting=3)
    running = [asyncio.create_task(service.get_reward(request(str(i)))) for i in range(3)]
    await until(lambda: service.info().counters["waiting"] == 3)
    for refused in (service.get_reward(request("4")), service.judge_groups(groups("4"))):
        with pytest.raises(ServiceBusy, match=r"3 samples are waiting \(service\.max_waiting\)"):
            await refused
    gate.set()
    await asyncio.gather(*running)
    assert (service.info().counters["waiting"], service.counters.refused) == (0, 2)
    assert (await service.get_reward(request(*"12345", n=5))).scores == [pytest.approx(4 / 9)] * 5, (
        "alone it may be large"
    )


async def test_a_repeated_call_attaches_to_the_work_of_the_one_that_hung_up() -> None:
    gate = asyncio.Event()

    async def reply(prompt: Prompt, sampling: Sampling) -> list[Completion]:
        await gate.wait()
        return completions(*[[by_number(r) for r in responses_shown(prompt)]] * sampling.n)

    service = make_service(generator := Scripted(reply))
    dropped = asyncio.create_task(service.get_reward(request("3"), n=2))
    await until(lambda: service.info().counters["waiting"] == 1)
    dropped.cancel()
    retry = asyncio.create_task(service.get_reward(request("3"), n=2))
    sibling = asyncio.create_task(service.get_reward(request("8"), n=2))
    await until(lambda: len(generator.calls) == 2)
    gate.set()
    assert (await retry).extra_logs["grm_mean"] == [3]
    assert (await sibling).extra_logs["grm_mean"] == [8]
    assert {len(prompt.order) for prompt, _ in generator.calls} == {2}, "the repetition is no second sample"
    assert (service.info().counters["attached"], service.counters.samples) == (1, 2)


async def test_equal_siblings_are_two_samples() -> None:
    service = make_service()
    replies = await asyncio.gather(*(service.get_reward(request("3"), n=2) for _ in range(2)))
    assert [reply.extra_logs["grm_mean"] for reply in replies] == [[3], [3]]
    assert service.counters.samples == 2


async def test_a_request_id_gets_the_same_answer_again() -> None:
    generator = scoring(by_number)
    service = make_service(generator)
    first = await service.judge_groups(groups("3", "8", request_id="step-1"))
    asked = len(generator.calls)
    assert await service.judge_groups(groups("3", "8", request_id="step-1")) == first
    assert len(generator.calls) == asked
    assert await service.judge_groups(groups("8", "3", request_id="step-1")) != first, "the same id, another request"
    await service.judge_groups(groups("3", "8", request_id="step-2"))
    await service.judge_groups(groups("3", "8"))
    assert len(generator.calls) == 4 * asked


async def test_a_sample_sent_again_under_its_id_is_no_sibling() -> None:
    """The service has not noticed that the first caller is gone: only the id says that it is the same sample."""
    service = make_service(generator := scoring(by_number))

    def ask(response: str, request_id: str | None) -> asyncio.Task[Any]:
        sample = Sample((Message("user", "What is 2 + 2?"),), response)
        return asyncio.create_task(service.reward_sample(sample, 2, request_id))

    calls = [ask("3", "first"), ask("3", "first")]
    await until(lambda: service.info().counters["attached"] == 1)
    calls.append(ask("8", "second"))
    assert [reward.logs["grm_mean"] for reward in await asyncio.gather(*calls)] == [3, 3, 8]
    assert service.counters.samples == 2
    assert {len(prompt.order) for prompt, _ in generator.calls} == {2}


async def test_scored_groups_come_with_everything_they_rest_on() -> None:
    def reply(prompt: Prompt, sampling: Sampling) -> list[Completion]:
        scores = [by_number(response) for response in responses_shown(prompt)]
        return [*completions(scores, tokens=10), Completion("no verdict", tokens=6)]

    service = RewardService(make_config(sampling__k=4), Scripted(reply))
    (judgement,) = (await service.judge_groups(groups("3", "8", " "))).judgements
    first, second, blank = judgement.rewards
    assert (first.mean, first.total, first.spread, first.value) == (3, 6, 0, pytest.approx(2 / 9))
    assert (first.settled, first.unit, first.tokens) == (first.value, first.value, 16)
    assert (second.votes_asked, second.votes_parsed, second.votes_kept) == (4, 2, 2)
    assert (blank.status, blank.value, blank.settled) == ("blank", 0, 0)
    assert [critique.members for critique in judgement.critiques] == [[0, 1]] * 2
    assert [critique.scores for critique in judgement.critiques] == [[3, 8]] * 2
    assert sorted(critique.order for critique in judgement.critiques) == [[0, 1], [1, 0]]
    assert {critique.principles for critique in judgement.critiques} == {"correct."}
    assert [vote.reason for vote in judgement.unparsed] == ["no_scores"] * 2


async def test_a_group_may_come_as_the_policys_prompt() -> None:
    generator = scoring(by_number)
    await make_service(generator).judge_groups(
        ScoreRequest.model_validate({"groups": [{"prompt": PROMPT, "responses": ["1"]}]})
    )
    assert "[user]\nWhat is 2 + 2?\n" in generator.calls[0][0].messages[0].content


@pytest.mark.parametrize(
    "group",
    [
        {"responses": ["a"]},
        {"prompt": "p", "messages": [{"role": "user", "content": "p"}], "responses": ["a"]},
        {"prompt": "p", "responses": []},
        {"messages": [], "responses": ["a"]},
        {"prompt": "p", "responses": ["a"], "answers": ["b"]},
        {"messages": [{"role": "robot", "content": "p"}], "responses": ["a"]},
    ],
    ids=["neither", "both", "no-response", "no-message", "unknown", "role"],
)
def test_groups_that_make_no_sense(group: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ScoreRequest.model_validate({"groups": [group]})


async def test_counters_add_up() -> None:
    service = make_service(judge__max_response_chars=100)
    await service.get_reward(request("3" + "x" * 200, " ", n=2))
    await service.judge_groups(groups("4", "5"))
    counters = service.info().counters
    expected = {"requests": 2, "samples": 4, "groups": 2, "blank": 1, "cut_responses": 1}
    votes = {"votes_asked": 4, "votes_parsed": 4, "votes_kept": 4}
    rest = {"fallbacks": 0, "refused": 0, "waiting": 0, "attached": 0, "meta_failures": 0, "deadline_misses": 0}
    assert counters.items() >= {**expected, **votes, **rest}.items()


def _crashing(prompt: Prompt, sampling: Sampling) -> list[Completion]:
    raise RuntimeError("the controller restarts")


def _broken(prompt: Prompt, sampling: Sampling) -> list[Completion]:
    raise EngineError("no replica is alive; look at `ray status`")


@pytest.mark.parametrize(
    ("reply", "problem"),
    [
        (lambda prompt, sampling: completions([5]), ""),
        (_broken, "ray status"),
        (_crashing, "RuntimeError: the controller restarts"),
    ],
)
async def test_the_service_knows_whether_the_grm_answers(reply: Any, problem: str) -> None:
    found = await make_service(Scripted(reply)).problem()
    assert problem in found
    assert bool(found) is bool(problem)


def test_a_bad_template_is_found_at_the_start(tmp_path: Any) -> None:
    (tmp_path / "mine.txt").write_text("{{ respones }}")
    with pytest.raises(PromptError, match="respones"):
        make_service(judge__template=str(tmp_path / "mine.txt"))


def test_a_template_that_leaves_out_responses_is_refused_at_the_start(tmp_path: Any) -> None:
    (tmp_path / "mine.txt").write_text("Context: {conversation_context} Answer: {assistant_response}")
    with pytest.raises(PromptError, match=r"does not show response 1 of 1.*looks like Python's format"):
        make_service(judge__template=str(tmp_path / "mine.txt"))


def test_what_a_template_leaves_out_is_logged_once(tmp_path: Any, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "mine.txt").write_text(
        "{% for turn in messages %}{{ turn.content }}\n{% endfor %}"
        "{% for response in responses %}[{{ marker }}]\n{{ response }}\n[{{ marker }}]\n{% endfor %}{{ rubric }}"
    )
    make_service(judge__template=str(tmp_path / "mine.txt"))
    (line,) = (record.getMessage() for record in caplog.records)
    assert "mine.txt does not show reference answers ({{ reference }})" in line


async def test_running_statistics_survive_a_restart(tmp_path: Any) -> None:
    options = {"normalize": {"method": "running", "state_path": str(tmp_path / "state" / "running.json")}}
    first = make_service(**options)
    await first.judge_groups(groups("2", "4", "9"))
    await first.close()
    assert make_service(**options).judge.normalizer.stats == first.judge.normalizer.stats
    assert first.judge.normalizer.stats.count == 3
