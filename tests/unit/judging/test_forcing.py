"""Forced answers: a critique that is cut before its scores is asked for them, and keeps its vote."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grm_plugin._util.deadline import Deadline
from grm_plugin.config import Config
from grm_plugin.config.answer_lines import answer_line
from grm_plugin.config.presets import PRESETS
from grm_plugin.engines.fake import FakeEngine, FakeMetaRM
from grm_plugin.errors import ConfigError, EngineError
from grm_plugin.judging.answers import read
from grm_plugin.judging.forcing import put_in
from grm_plugin.judging.judge import Judge
from grm_plugin.judging.lists import ListJudge
from grm_plugin.judging.read_criteria import read_criteria
from grm_plugin.types import Completion, Conversation, Criterion, Prompt, Sampling, Scores, UnparsedReason
from support.cut_critiques import BEGUN, Behind, Cut, cut
from support.factories import Scripted, critique_text, judge_one, make_config, make_group

CRITERIA = (Criterion("a", "x"), Criterion("b", "x", kind="yes_no"), Criterion("c", "x", kind="penalty"))


def forcing(**overrides: object) -> Config:
    return make_config(sampling={"force_answer": True, "k": 4, "max_tokens": 100, **overrides})


async def test_all_votes_are_lost_without_and_none_with() -> None:
    without = await judge_one(Judge(make_config(sampling={"k": 4, "max_tokens": 100}), Cut()), "a", "b")
    assert [reward.status for reward in without.rewards] == ["no_votes"] * 2
    grm = Cut()
    judgement = await judge_one(Judge(forcing(), grm), "a", "b")
    assert [reward.mean for reward in judgement.rewards] == [3, 4], "mapped back from both orders"
    assert [(reward.votes_parsed, reward.votes_forced) for reward in judgement.rewards] == [(4, 4)] * 2
    assert {critique.forced for critique in judgement.lists[0].critiques} == {True}
    assert {critique.text for critique in judgement.lists[0].critiques} == {BEGUN}
    assert {critique.whole.splitlines()[-1] for critique in judgement.lists[0].critiques} == {
        "Scores: \\boxed{3, 4}",
        "Scores: \\boxed{4, 3}",
    }
    assert judgement.lists[0].tokens == 4 * 105
    assert len(grm.calls) == 2, "the list is not judged again, response by response"


async def test_what_is_continued_is_the_critique_itself_with_room_left_for_it() -> None:
    grm = Cut()
    await judge_one(Judge(forcing(seed=3), grm), "a", "b")
    assert sorted(begun.token_ids for _, begun, _, _ in grm.continued) == [(7, 0), (7, 0), (7, 1), (7, 1)]
    assert {prompt.order for prompt, *_ in grm.continued} == {prompt.order for prompt, _ in grm.calls}
    for prompt, _, line, sampling in grm.continued:
        assert line == answer_line(make_config().judge, 2)
        assert (sampling.n, sampling.temperature) == (1, 0.5)
        assert next(asked.spare for shown, asked in grm.calls if shown == prompt) == line.spare > line.tokens
    assert len({sampling.seed for *_, sampling in grm.continued}) == 4, "equal seeds would sample equal votes"


async def test_only_critiques_that_were_cut_are_continued() -> None:
    def reply(sampling: Sampling) -> list[Completion]:
        return [Completion(critique_text([5, 5]), tokens=9), Completion("no scores", tokens=9)]

    grm = Cut(reply=reply)
    judgement = await judge_one(Judge(forcing(), grm), "a", "b")
    assert grm.continued == []
    assert [reward.votes_forced for reward in judgement.rewards] == [0, 0]
    assert {lost.reason for lost in judgement.lists[0].unparsed} == {UnparsedReason.NO_SCORES}


async def test_a_critique_that_went_in_circles_is_asked_too() -> None:
    grm = Cut(reply=lambda sampling: [replace(cut(), finish_reason="repetition")] * sampling.n)
    assert (await judge_one(Judge(forcing(), grm), "a", "b")).rewards[0].votes_forced == 4


@pytest.mark.parametrize(
    "behind",
    [
        lambda prompt, begun: Completion("\nScores: \\boxed{3, 4, 5}"),
        lambda prompt, begun: Completion("\nScores: \\boxed{3, 4", "length"),
        lambda prompt, begun: Completion("\nScores: \\boxed{good, bad}"),
    ],
    ids=["too many", "cut again", "no numbers"],
)
async def test_a_forced_answer_is_read_as_strictly_as_any(behind: Behind) -> None:
    judgement = await judge_one(Judge(forcing(), Cut(behind)), "a", "b")
    assert judgement.rewards[0].votes_forced == 0
    assert not judgement.lists[0].critiques


def raising(prompt: Prompt, begun: Completion) -> Completion:
    raise EngineError("gone")


@pytest.mark.parametrize("behind", [raising, lambda prompt, begun: None], ids=["error", "garbage"])
async def test_an_engine_that_fails_costs_the_forced_votes_only(behind: Behind) -> None:
    def reply(sampling: Sampling) -> list[Completion]:
        return [cut(), Completion(critique_text([5, 5]), tokens=9)]

    judgement = await judge_one(Judge(forcing(), Cut(behind, reply)), "a", "b")
    assert [reward.votes_parsed for reward in judgement.rewards] == [2, 2]
    assert [lost.reason for lost in judgement.lists[0].unparsed] == [UnparsedReason.TRUNCATED] * 2


async def test_the_deadline_is_kept() -> None:
    async def never(prompt: Prompt, begun: Completion) -> Completion:
        await asyncio.Event().wait()
        raise AssertionError

    def reply(sampling: Sampling) -> list[Completion]:
        return [cut(), Completion(critique_text([5, 5]), tokens=9)]

    judge = Judge(forcing(), Cut(never, reply))
    async with asyncio.timeout(30):
        judgement = await judge_one(judge, "a", "b", timeout_s=0.2)
    assert [reward.votes_parsed for reward in judgement.rewards] == [2, 2], "natural votes are not lost with them"
    late = Cut(reply=reply)
    lists = ListJudge(forcing(), late)
    await lists.judge(make_group("a", "b"), (0, 1), Deadline.after(0.0))
    assert late.continued == [], "after the deadline nothing is asked"


async def test_greedy_copies_share_one_answer() -> None:
    grm = Cut(reply=lambda sampling: [cut()] + [replace(cut(), tokens=0)] * (sampling.n - 1))
    judgement = await judge_one(Judge(forcing(temperature=0, orders=1, top_p=0.9), grm), "a", "b")
    assert len(grm.continued) == 1
    assert (grm.continued[0][-1].temperature, grm.continued[0][-1].top_p) == (0, 1.0)
    assert judgement.rewards[0].votes_forced == 4
    assert judgement.lists[0].tokens == 105


async def test_the_meta_rm_reads_the_forced_answer_too() -> None:
    read_: list[str] = []

    def rule(conversation: Conversation) -> float:
        read_.append(conversation[-1].content)
        return float(len(read_))

    config = make_config(sampling={"force_answer": True, "k": 4, "max_tokens": 100}, meta_rm__type="fake")
    judgement = await judge_one(Judge(config, Cut(), FakeMetaRM(rule)), "a", "b")
    assert all(text.startswith(BEGUN) and text.endswith("}") for text in read_)
    assert [(reward.votes_kept, reward.votes_forced) for reward in judgement.rewards] == [(2, 2)] * 2


async def test_texts_are_left_out_where_nobody_reads_them() -> None:
    judge = Judge(forcing(), Cut())
    (judgement,) = await judge.judge([make_group("a", "b")], texts=False)
    assert {(item.text, item.forced_line, item.forced) for item in judgement.lists[0].critiques} == {("", "", True)}


async def test_the_engine_without_a_model_continues_by_its_rule() -> None:
    engine = FakeEngine(lambda prompt, sampling: ["8}"] if prompt.messages[-1].role == "assistant" else [cut()])
    judgement = await judge_one(Judge(forcing(k=1), engine), "a")
    assert (judgement.rewards[0].mean, judgement.rewards[0].votes_forced) == (8, 1)
    thinking = FakeEngine(
        lambda prompt, sampling: (
            ["8}"] if prompt.messages[-1].role == "assistant" else [cut(text="<think>Scores: \\boxed{1}, no")]
        )
    )
    judgement = await judge_one(Judge(forcing(k=1), thinking), "a")
    (critique,) = judgement.lists[0].critiques
    assert (critique.scores, critique.forced_line) == ((8,), "\n</think>\n\nScores: \\boxed{8}")


OPENING = "\nScores: \\boxed{"


@pytest.mark.parametrize(
    ("text", "added"),
    [
        ("Analysis: one", OPENING),
        ("Analysis: one\n", OPENING[1:]),
        ("Analysis: one\nScores:", " \\boxed{"),
        ("Analysis: one\nScores: \\boxed{", ""),
        ("Analysis: one\nScores: \\boxed{3, ", ""),
        ("Analysis: one\nScores: \\boxed{3, 4}", ""),
        ("Scores: \\boxed{3, 4}\nThat is to say", OPENING),
        ("\nScores: \\boxed{3, 4}\nThat is to say", OPENING),
        ("<think>\nScores:", f"\n</think>\n{OPENING}"),
        ("<think>one</think>\nScores:", " \\boxed{"),
        ("", OPENING),
    ],
)
def test_what_is_put_in_is_what_is_missing(text: str, added: str) -> None:
    assert put_in(text, OPENING) == added


@given(st.text(alphabet="\nScores: \\boxed{3,", max_size=40))
def test_what_is_put_in_makes_an_opening_of_the_answer(text: str) -> None:
    *_, last = (text + put_in(text, OPENING)).rpartition(OPENING)
    assert "\n" not in last
    assert OPENING in text + put_in(text, OPENING)


ROWS = "\nScores:\n1: \\boxed{"


@pytest.mark.parametrize(
    ("text", "added"),
    [
        ("Analysis: one", ROWS),
        ("Analysis: one\nScores:\n", ROWS.removeprefix("\nScores:\n")),
        (f"Analysis: one{ROWS}8", ""),
        (f"Analysis: one{ROWS}8, 3}}\n", ""),
        (f"Analysis: one{ROWS}8, 3}}\n2", ""),
        (f"Analysis: one{ROWS}8, 3}}\n2: \\boxed{{ye", ""),
        (f"A draft:{ROWS}8, 3}}\n2: \\boxed{{yes, no}}\nBut one", ROWS),
    ],
)
def test_an_answer_of_rows_is_gone_on_with_in_its_rows(text: str, added: str) -> None:
    assert put_in(text, ROWS) == added


def test_a_critique_that_broke_off_in_its_rows_keeps_them() -> None:
    """By a GRM that goes on where it was, whatever is put in between."""
    written = f"Analysis: -{ROWS}8, 3}}\n2: \\boxed{{yes, no}}\n3: \\boxed{{no, yes}}"
    for end in range(written.index(ROWS) + len(ROWS), len(written)):
        text, line = written[:end], answer_line(make_config().judge, 2, 3)
        assert line is not None
        whole = Completion(text + put_in(text, line.opening) + written[end:], "stop", 9)
        read = read_criteria(whole, 2, CRITERIA, make_config().judge)
        assert isinstance(read, Scores)
        assert read.by_criterion == ((8, 3), (10, 1), (10, 1))


def test_reasoning_that_the_prompt_has_opened_is_ended() -> None:
    assert put_in("First, ", OPENING, "<|im_start|>assistant\n<think>\n") == f"\n</think>\n{OPENING}"
    assert put_in("First, </think> Response 1", OPENING, "<|im_start|>assistant\n<think>\n") == OPENING


def test_what_cannot_continue_a_text_is_refused_at_the_start() -> None:
    with pytest.raises(ConfigError, match=r"sampling\.force_answer.*Scripted cannot continue"):
        ListJudge(forcing(), Scripted(lambda prompt, sampling: []))
    with pytest.raises(ConfigError, match=r"sampling\.force_answer.*engine\.type openai cannot"):
        make_config(engine={"type": "openai", "model": "m", "base_url": "http://x/v1"}, sampling={"force_answer": True})
    with pytest.raises(ConfigError, match=r"sampling\.force_answer.*judge\.answer regex"):
        make_config(judge={"answer": "regex", "pattern": r"(\d+)", "list_size": 1}, sampling={"force_answer": True})


JUDGES = [
    *({"preset": name} for name in PRESETS),
    *({"answer": answer} for answer in ("boxed", "brackets", "json", "score")),
    {"answer": "score", "list_size": 1},
    {"answer": "verdict", "list_size": 2},
    {"preset": "selene", "template": "builtin:prometheus_2"},
]
SAID = {
    "}": "{row}}}",
    "]": "{row}]",
    "]]": "A]]",
    "</answer>": "A]]</answer>",
    "\n": " {first}\n",
    "[The End of Individual Scores]": "{row}}}\n[The End of Individual Scores]",
}
WRITTEN = [
    BEGUN,
    "",
    "Analysis: \\boxed{2",
    "**Criteria**\n- one\n\nScores: \\boxed{2,",
    '{"reasoning": "it is',
    "Score: 2/",
    "<analysis>\nResponse A is",
    "Verdict: [[A",
    "Response 1: 2/10\nRespon",
]


@pytest.mark.parametrize("judge", JUDGES, ids=lambda judge: "-".join(map(str, judge.values())))
@pytest.mark.parametrize("written", WRITTEN, ids=range(len(WRITTEN)))
def test_every_kind_of_judge_has_an_answer_line_that_its_reader_reads(judge: dict[str, object], written: str) -> None:
    config = make_config(judge=judge).judge
    highest = config.scale[1]
    for n in range(1, config.list_size + 1):
        if not config.reads(n):
            continue
        line = answer_line(config, n)
        assert line is not None
        scores = [highest, *range(1, n)][:n]
        if line.end:
            said = SAID[line.end].format(row=", ".join(map(str, scores)), first=highest)
            if line.end == "}" and config.answer == "json":
                said = f"{', '.join(map(str, scores))}]}}"
        elif config.answer == "verdict":
            said = " A"
        elif n > 1:
            said = f" {scores[0]}" + "".join(f"\nResponse {at}: {score}" for at, score in enumerate(scores[1:], 2))
        else:
            said = f" {highest}"
        found = read(Completion(written + line.opening + said), n, config)
        assert isinstance(found, Scores), found
        assert found.values[0] == 10
        assert not line.opening.endswith(" ")


@given(st.text(max_size=200), st.integers(1, 10))
def test_a_forced_answer_counts_or_is_lost_whatever_was_written_before(text: str, score: int) -> None:
    """Nothing that stands before it is ever taken for another score of it."""
    config = make_config().judge
    line = answer_line(config, 1)
    assert line is not None
    found = read(Completion(f"{text}{line.opening}{score}}}"), 1, config)
    assert not isinstance(found, Scores) or found.values == (score,)
