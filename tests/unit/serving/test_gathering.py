import asyncio
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from grm_plugin._util.deadline import Deadline
from grm_plugin.errors import PromptError
from grm_plugin.judging.judge import Judge
from grm_plugin.serving.counters import Counters
from grm_plugin.serving.gathering import Gatherer
from grm_plugin.types import Completion, Judgement, Message, Prompt, Sample, Sampling
from support.factories import Scripted, by_number, completions, make_config, never, responses_shown, scoring, until


def sample(response: str, question: str = "Why?") -> Sample:
    return Sample((Message("user", question),), response)


def gatherer(generator: Scripted, **overrides: Any) -> Gatherer:
    config = make_config(sampling__k=2, **{"group__wait_s": 2.0, **overrides})
    return Gatherer(Judge(config, generator), config, Counters())


async def judge_all(gather: Gatherer, responses: Iterable[str], n: int) -> list[tuple[Judgement, int]]:
    return await asyncio.gather(
        *(gather.judge_sample(sample(response), n, Deadline.after(5.0)) for response in responses)
    )


def lists_shown(generator: Scripted) -> set[tuple[str, ...]]:
    """The sets of responses that were put before the GRM together."""
    return {tuple(sorted(responses_shown(prompt))) for prompt, _ in generator.calls}


async def test_siblings_are_judged_together_and_each_gets_its_own_place() -> None:
    generator = scoring(by_number)
    answers = await judge_all(gatherer(generator), "4213", n=4)
    assert [index for _, index in answers] == [0, 1, 2, 3]
    assert [judgement.rewards[index].mean for judgement, index in answers] == [4, 2, 1, 3]
    assert len({id(judgement) for judgement, _ in answers}) == 1
    assert lists_shown(generator) == {("1", "2", "3", "4")}


async def test_a_sibling_that_confuses_the_grm_costs_nobody_else_a_reward() -> None:
    def reply(prompt: Prompt, sampling: Sampling) -> list[Completion]:
        shown = responses_shown(prompt)
        if "0" in shown:
            return [Completion("and so on and so on")] * sampling.n
        return completions(*[[int(text) for text in shown]] * sampling.n)

    answers = await judge_all(gatherer(Scripted(reply)), "4013", n=4)
    assert [judgement.rewards[index].mean for judgement, index in answers] == [4, None, 1, 3]


async def test_a_list_that_cannot_be_judged_ends_its_siblings(tmp_path: Path) -> None:
    template = tmp_path / "template.txt"
    template.write_text("{{ query }} {{ 1 / (responses[0] | int) }} {{ responses }}")
    generator = Scripted(never)
    gather = gatherer(generator, judge__list_size=1, judge__template=str(template))
    asking = asyncio.gather(*(gather.judge_sample(sample(response), 3, Deadline.after(60.0)) for response in "120"))
    with pytest.raises(PromptError, match="division by zero"):
        await asking
    await until(lambda: generator.cancelled == len(generator.calls) == 2)


async def test_a_list_goes_to_the_grm_before_the_group_is_complete() -> None:
    generator = scoring(by_number)
    gather = gatherer(generator, judge__list_size=2)
    first = [asyncio.create_task(gather.judge_sample(sample(response), 4, Deadline.after(5.0))) for response in "12"]
    await until(lambda: lists_shown(generator) == {("1", "2")})
    assert not any(task.done() for task in first), "rewards are those of the whole group"
    rest = await judge_all(gather, "34", n=4)
    answers = [*(await asyncio.gather(*first)), *rest]
    assert [judgement.rewards[index].mean for judgement, index in answers] == [1, 2, 3, 4]
    assert lists_shown(generator) == {("1", "2"), ("3", "4")}


@pytest.mark.parametrize(
    ("n", "size", "lengths"), [(1, 4, [1]), (5, 4, [3, 2]), (7, 3, [3, 2, 2]), (4, 1, [1, 1, 1, 1])]
)
async def test_groups_that_the_list_size_does_not_divide(n: int, size: int, lengths: list[int]) -> None:
    answers = await judge_all(gatherer(scoring(by_number), judge__list_size=size), "123456789"[:n], n)
    assert [len(judged.members) for judged in answers[0][0].lists] == lengths
    assert [judgement.rewards[index].mean for judgement, index in answers] == list(range(1, n + 1))


async def test_two_equal_prompts_in_one_batch_make_two_groups_of_n() -> None:
    generator = scoring(by_number)
    answers = await judge_all(gatherer(generator), "12345678", n=4)
    assert len({id(judgement) for judgement, _ in answers}) == 2
    assert all(len(judgement.rewards) == 4 for judgement, _ in answers)
    assert [judgement.rewards[index].mean for judgement, index in answers] == list(range(1, 9))


async def test_equal_responses_are_as_many_members() -> None:
    answers = await judge_all(gatherer(scoring(by_number)), "3373", n=4)
    assert sorted(index for _, index in answers) == [0, 1, 2, 3]
    assert [judgement.rewards[index].mean for judgement, index in answers] == [3, 3, 7, 3]


async def test_different_prompts_and_sizes_do_not_mix() -> None:
    gather = gatherer(scoring(by_number))
    calls = [(sample(r, question), n) for r in "12" for question in "AB" for n in (1, 2)]
    answers = await asyncio.gather(*(gather.judge_sample(each, n, Deadline.after(5.0)) for each, n in calls))
    for (each, n), (judgement, index) in zip(calls, answers, strict=True):
        assert len(judgement.rewards) == n
        assert judgement.group.conversation == each.conversation
        assert judgement.group.responses[index] == each.response


@pytest.mark.parametrize("blanks", [" 12", "1 2", "12 ", "   "])
async def test_blank_members_complete_the_group_without_a_place_before_the_grm(blanks: str) -> None:
    generator = scoring(by_number)
    answers = await judge_all(gatherer(generator), blanks, n=3)
    assert [judgement.rewards[index].mean for judgement, index in answers] == [float(c.strip() or 1) for c in blanks]
    assert lists_shown(generator) == ({("1", "2")} if blanks.strip() else set())


async def test_a_lost_sibling_is_waited_for_and_then_done_without() -> None:
    generator = scoring(by_number)
    answers = await judge_all(gatherer(generator, group__wait_s=0.05), "123", n=4)
    assert [judgement.rewards[index].mean for judgement, index in answers] == [1, 2, 3]
    assert lists_shown(generator) == {("1", "2", "3")}


async def test_nobody_is_told_of_a_single_sample_where_it_is_refused(caplog: pytest.LogCaptureFixture) -> None:
    gather = gatherer(scoring(by_number), normalize__method="rank", group__wait_s=0.05)
    await judge_all(gather, "1", n=2)
    assert any("are here" in message for message in caplog.messages)
    assert not any("?n=1" in message for message in caplog.messages)


async def test_a_wrong_n_is_told_once_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    gather = gatherer(scoring(by_number), group__wait_s=0.05)
    asked = [
        gather.judge_sample(sample("3", question), 8, Deadline.after(5.0)) for question in ("A?", "A?", "B?", "C?")
    ]
    await asyncio.gather(*asked)
    assert gather._counters.incomplete_groups == 3
    at_once, line = caplog.messages
    assert at_once == (
        "2 of 8 samples of a prompt are here; those that come within 0.05 s are judged together (said once). To try "
        "the service with a single sample add ?n=1"
    )
    assert line == (
        "2 of 8 samples of a prompt came within 0.05 s and were judged without the others (1 such groups so far): is n "
        "the job's n_samples_per_prompt, and this the job's only reward server? (One address; scale by "
        "engine.replicas and service.replicas)"
    )


async def test_late_siblings_are_judged_as_soon_as_all_of_them_are_there() -> None:
    gather = gatherer(scoring(by_number), group__wait_s=0.05)
    await judge_all(gather, "12", n=4)
    gather.config = make_config(group__wait_s=80)  # a group that waited for four samples now would run into the timeout
    async with asyncio.timeout(5):
        answers = await judge_all(gather, "34", n=4)
    assert [judgement.group.responses for judgement, _ in answers] == [("3", "4")] * 2


async def test_a_late_sibling_that_stays_alone_is_judged_alone_after_the_wait() -> None:
    gather = gatherer(scoring(by_number), group__wait_s=0.05)
    await judge_all(gather, "12", n=4)
    ((judgement, index),) = await judge_all(gather, "3", n=4)
    assert (judgement.group.responses, index) == (("3",), 0)


async def test_a_cancelled_caller_leaves_its_sample_to_the_others() -> None:
    gather = gatherer(scoring(by_number))
    gone = asyncio.create_task(gather.judge_sample(sample("9"), 2, Deadline.after(5.0)))
    await asyncio.sleep(0.01)
    gone.cancel()
    ((judgement, index),) = await judge_all(gather, "3", n=2)
    assert judgement.group.responses == ("9", "3")
    assert [reward.mean for reward in judgement.rewards] == [9, 3]
    assert index == 1


async def test_the_first_samples_deadline_is_the_groups() -> None:
    gather = gatherer(Scripted(never))
    early = asyncio.create_task(gather.judge_sample(sample("1"), 2, Deadline.after(0.1)))
    await asyncio.sleep(0)
    async with asyncio.timeout(2):
        judgement, index = await gather.judge_sample(sample("2"), 2, Deadline.after(1000))
    assert (judgement.rewards[index].status, index) == ("no_votes", 1)
    assert (await early)[0] is judgement


async def test_one_lost_list_leaves_the_other_its_rewards() -> None:
    async def reply(prompt: Prompt, sampling: Sampling) -> list[Completion]:
        if "1" in responses_shown(prompt):
            return await never(prompt, sampling)
        return completions(*[[5] * len(prompt.order)] * sampling.n)

    gather = gatherer(Scripted(reply), judge__list_size=2)
    answers = await asyncio.gather(
        *(gather.judge_sample(sample(response), 4, Deadline.after(1.0)) for response in "1234")
    )
    assert [judgement.rewards[index].mean for judgement, index in answers] == [None, None, 5, 5]


async def test_a_group_is_concluded_once_however_late_its_callers_are() -> None:
    judged: list[Judgement] = []
    gather = gatherer(scoring(by_number))
    gather.judge.on_judgement = judged.append
    asking = asyncio.create_task(gather.judge_sample(sample("3"), 1, Deadline.after(5.0)))
    await asyncio.sleep(0)
    [under_way] = gather._under_way.values()
    under_way._task.remove_done_callback(under_way._ended)  # the moment before it is called
    await until(under_way._task.done)
    assert [under_way.conclude_now(), under_way.conclude_now(), (await asking)[0]] == judged * 3
    assert len(judged) == 1


async def test_a_group_that_was_concluded_takes_no_further_sample() -> None:
    gather = gatherer(scoring(by_number))
    early = asyncio.create_task(gather.judge_sample(sample("3"), 3, Deadline.after(5.0), Deadline.after(0.05)))
    judgement, index = await early
    assert (judgement.rewards[index].status, gather._counters.deadline_misses) == ("no_votes", 1)
    late = await judge_all(gather, "45", n=3)
    assert [judgement.rewards[index].mean for judgement, index in late] == [4, 5]


async def test_copies_are_shown_once_and_complete_their_group() -> None:
    generator = scoring(by_number)
    answers = await judge_all(gatherer(generator, judge__list_size=2), ["3", "7", "3", "3\u200b", "7"], n=5)
    assert lists_shown(generator) == {("3", "7")}
    assert [judgement.rewards[index].mean for judgement, index in answers] == [3, 7, 3, 3, 7]
    [rewards] = {judgement.rewards for judgement, _ in answers}
    assert [reward.same_as for reward in rewards] == [None, None, 0, 0, 1]


async def test_nothing_is_left_behind() -> None:
    gather = gatherer(scoring(by_number), group__wait_s=0.02)
    await judge_all(gather, "12345", n=4)
    assert gather._under_way == {}
    assert gather._buffer._open == {}
