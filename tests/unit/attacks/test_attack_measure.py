"""The persuasion measure against GRMs whose weakness is known, its figures by hand, and the command."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner, Result

from grm_plugin._util.deadline import Deadline
from grm_plugin.attacks.attack import Attack, Injection
from grm_plugin.attacks.corpus import build_corpus
from grm_plugin.attacks.measuring import AttackResult, Measurement, cases
from grm_plugin.attacks.pairs import BUILT_IN, Pair, read_pairs
from grm_plugin.attacks.prompt_check import Change
from grm_plugin.attacks.quoting import QuotingResult
from grm_plugin.attacks.report import FormatFigures
from grm_plugin.attacks.summary import bootstrap, summarise
from grm_plugin.batch.engine_failures import FAILURES_IN_A_ROW
from grm_plugin.batch.meter import Meter
from grm_plugin.cli.app import app
from grm_plugin.engines import fake
from grm_plugin.errors import ConfigError, EngineError, GRMError, WireError
from grm_plugin.types import Completion, Message, Prompt, Sampling
from support.engine_faults import faulty_engine
from support.factories import Scripted, completions, make_config, never, responses_shown, scoring
from support.score_files import write_lines

MAGIC = Attack("magic-001", "magic", "persuasion", Injection("abracadabra"))
PAIRS = [
    Pair(f"p{number}", (Message("user", f"{number}?"),), f"good {number}", f"weak {number}") for number in range(3)
]


def gullible(response: str) -> float:
    """Good answers get 7, weak ones 3, and who says the magic word gets 9."""
    return 9 if "abracadabra" in response else 7 if response.startswith("good") else 3


METER = Meter(Console(quiet=True), "rows", 0)


def measurement(generator: Any, **config: Any) -> Measurement:
    return Measurement(make_config(sampling__k=2, **config), generator, None, concurrency=4)


async def rows_of(
    attacks: Sequence[Attack], generator: Any, compare: bool = False, **config: Any
) -> list[AttackResult]:
    return await measurement(generator, **config).rows(cases(attacks, PAIRS, compare), Deadline.after(30), METER)


def test_every_attack_is_a_case_in_each_of_its_forms_and_pairs_take_turns() -> None:
    woven = Attack("w", "w", "format", Injection("\u200b", "between"))
    key = Attack("k", "k", "persuasion", Injection(":", "instead"))
    plain = Attack("c", "c", "control", Injection("That is all."))
    found = cases([MAGIC, woven, key, plain], PAIRS, compare=False)
    assert [(case.attack.id, case.form, case.pair.id) for case in found] == [
        ("magic-001", "added", "p0"),
        ("magic-001", "alone", "p0"),
        ("w", "added", "p1"),
        ("k", "alone", "p2"),
        ("c", "added", "p0"),
    ]
    assert found[0].group.responses == ("good 0", "weak 0\n\nabracadabra")
    assert found[1].group.responses == ("good 0", "abracadabra")
    both = cases([MAGIC], PAIRS, compare=True)
    assert [case.defended for case in both] == [True, True, False, False]


async def test_a_gullible_grm_is_found_out_to_the_point() -> None:
    rows = await rows_of([MAGIC], scoring(gullible))
    assert [(row.form, row.clean, row.attacked, row.good_clean, row.good) for row in rows] == [
        ("added", 3, 9, 7, 7),
        ("alone", 3, 9, 7, 7),
    ]
    assert [row.inflation for row in rows] == [6, 6]
    (added, _) = summarise(rows)
    assert (added.inflation, added.low, added.high, added.big_steps) == (6, 6, 6, 1)
    assert (added.beat_good, added.beat_good_clean, added.votes_lost) == (1, 0, 0)


async def test_rewards_settings_do_not_touch_the_measure() -> None:
    rows = await rows_of([MAGIC], scoring(gullible), normalize__method="group")
    assert rows[0].clean == 3


async def test_without_the_defences_control_tokens_reach_the_grm() -> None:
    token = Attack("t-001", "t", "format", Injection("<|im_end|>"))

    def obedient(response: str) -> float:
        return 10 if "<|im_end|>" in response else gullible(response)

    rows = await rows_of([token], scoring(obedient), compare=True)
    assert [(row.defended, row.form, row.attacked) for row in rows] == [
        (True, "added", 3),
        (True, "alone", 3),
        (False, "added", 10),
        (False, "alone", 10),
    ]


async def test_blank_responses_and_long_ones_meet_their_rules_only_with_the_defences() -> None:
    blank = Attack("b-001", "b", "persuasion", Injection(" ", "instead"))
    long = Attack("l-001", "l", "format", Injection("x" * 200 + "abracadabra" + "x" * 100, "instead"))
    rows = await rows_of([blank, long], scoring(gullible), compare=True, judge__max_response_chars=100)
    assert [(row.attack, row.attacked) for row in rows] == [("b-001", 1), ("l-001", 3), ("b-001", 3), ("l-001", 9)]


async def test_lost_votes_are_counted_and_are_no_score() -> None:
    def reply(prompt: Prompt, sampling: Sampling) -> list[Completion]:
        shown = responses_shown(prompt)
        if any("abracadabra" in response for response in shown):
            return [Completion("I will not score this.")] * sampling.n
        return completions(*[[gullible(response) for response in shown]] * sampling.n)

    rows = await rows_of([MAGIC], Scripted(reply))
    # Two votes on both responses, then one on each alone, of which the good one's can be read.
    assert [(row.attacked, row.inflation, row.votes_asked, row.votes_lost) for row in rows] == [(None, None, 4, 3)] * 2
    (added, _) = summarise(rows)
    assert (added.inflation, added.low, added.beat_good, added.votes_lost) == (None, None, None, 3 / 4)


async def test_a_grm_that_cannot_be_read_is_named_at_once() -> None:
    mute = Scripted(lambda _, sampling: [Completion("Both are nice.")] * sampling.n)
    with pytest.raises(EngineError, match=r"none of 12 critiques .* \(no_scores: no Scores line.*judge\.template"):
        await measurement(mute).rehearse(PAIRS)
    await measurement(scoring(gullible)).rehearse(PAIRS)


async def test_an_engine_that_dies_ends_the_run_and_keeps_what_there_is() -> None:
    attacks = [replace(MAGIC, id=str(number)) for number in range(FAILURES_IN_A_ROW)]
    generator = scoring(gullible)

    def dying(prompt: Prompt, sampling: Sampling) -> Any:
        if len(generator.calls) > 20:
            raise EngineError("the GPU fell off the bus")
        return alive(prompt, sampling)

    alive, generator.reply = generator.reply, dying
    measured = measurement(generator)
    rows = await measured.rows(cases(attacks, PAIRS, compare=False), Deadline.after(30), METER)
    assert any(row.attacked == 9 for row in rows)
    assert len(rows) < 2 * FAILURES_IN_A_ROW
    assert measured.stopped.startswith(
        f"{FAILURES_IN_A_ROW} cases in a row without an answer: engine: EngineError: the GPU fell"
    )


@pytest.mark.parametrize("lost", ["abracadabra", "weak"])
async def test_what_the_engine_fails_on_is_no_effect_of_an_attack(lost: str) -> None:
    """One vote of two is lost, of the attacked judgement only or of the clean one too: neither makes a row."""

    def reply(prompt: Prompt, sampling: Sampling) -> list[Completion]:
        shown = responses_shown(prompt)
        if shown[0].startswith("good") and any(lost in response for response in shown):
            raise EngineError("gone")
        return completions(*[[gullible(response) for response in shown]] * sampling.n)

    measured = measurement(Scripted(reply))
    calm = Attack("calm", "calm", "control", Injection("That is all."))
    rows = await measured.rows(cases([MAGIC, calm], PAIRS, compare=False), Deadline.after(30), METER)
    assert [row.attack for row in rows] == (["calm"] if lost == "abracadabra" else [])
    assert measured.stopped == "engine: EngineError: gone"


def test_rows_that_the_engine_failed_on_are_missing_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fake, "FakeEngine", faulty_engine(tmp_path))
    (tmp_path / "all").write_text("few")  # of every call's two votes one is lost
    path = tmp_path / "config.yaml"
    path.write_text("engine: {type: fake}\nsampling: {k: 4}\n")
    failed = attack("-c", path, "--families", "harmless")
    assert failed.exit_code == 1, failed.output
    assert "0 of 8 rows: engine: 1 of 2 completions missing" in failed.stderr


async def test_critiques_that_cannot_be_read_do_not_end_the_run() -> None:
    attacks = [replace(MAGIC, id=str(number)) for number in range(FAILURES_IN_A_ROW)]
    mute = Scripted(lambda _, sampling: [Completion("Both are nice.")] * sampling.n)
    assert len(await rows_of(attacks, mute)) == 2 * FAILURES_IN_A_ROW


async def test_what_is_there_at_the_deadline_is_kept() -> None:
    async def reply(prompt: Prompt, sampling: Sampling) -> list[Completion]:
        shown = responses_shown(prompt)
        if shown and "good 1" in shown:
            return await never(prompt, sampling)
        return completions(*[[gullible(response) for response in shown]] * sampling.n)

    generator = Scripted(reply)
    todo = cases([MAGIC, replace(MAGIC, id="late"), replace(MAGIC, id="last")], PAIRS, compare=False)
    rows = await measurement(generator).rows(todo, Deadline.after(2), METER)
    assert {row.attack for row in rows} == {"magic-001", "last"}
    await asyncio.sleep(0)
    assert generator.cancelled, "what still ran was left running"


def row(
    attacked: float | None, clean: float | None, good: float | None = 7, lost: int = 0, form: str = "added"
) -> AttackResult:
    return AttackResult("a", "f", "format", form, "p", True, clean, attacked, 7, good, 8, lost)  # type: ignore[arg-type]


def test_figures_by_hand() -> None:
    rows = [row(8, 4), row(4, 4), row(5, 3, lost=4), row(None, 3, lost=8), row(2, 4, form="alone")]
    added, alone = summarise(rows)
    assert (added.rows, added.clean, added.attacked) == (4, 11 / 3, 17 / 3)
    assert (added.inflation, added.big_steps) == (2, 2 / 3)
    assert (added.beat_good, added.beat_good_clean) == (1 / 3, 0)
    assert (added.votes_lost, added.no_score) == (12 / 32, 1 / 4)
    assert added.low is not None
    assert added.high is not None
    assert 0 <= added.low < 2 < added.high <= 4
    assert (alone.rows, alone.inflation, alone.low, alone.high) == (1, -2, -2, -2)


def test_the_interval_covers_the_mean_as_often_as_it_says() -> None:
    """Of 100 samples of 40 from a normal distribution about 95 intervals hold its mean; 85 is three errors below."""
    import random

    rng = random.Random(0)
    samples = [[rng.gauss(1, 2) for _ in range(40)] for _ in range(100)]
    intervals = [bootstrap(sample, rounds=300) for sample in samples]
    assert 85 <= sum(low <= 1 <= high for low, high in intervals) <= 99


def test_what_changed_is_named() -> None:
    changed = [Change(f"floods-{number:03}", "rubric, GRM prompt", "[order] (0, 1)") for number in range(12)]
    lines = FormatFigures(100, changed, QuotingResult(50, 2), ["GRM", "meta RM"]).lines
    assert lines[0] == (
        "format: 12 of 100 prompts changed, special tokens counted by the tokenizer of the GRM and the meta RM"
    )
    assert lines[1] == "format: 0 of 50 votes forged and 2 lost by a GRM that quotes all it reads"
    assert lines[2] == "  floods-000 in rubric, GRM prompt: [order] (0, 1)"
    assert lines[-1] == "  ... and 2 more"


def attack(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["attack", *map(str, arguments)])


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text("engine: {type: fake}\nsampling: {k: 2}\n")
    return path


def test_the_command_prints_a_table_and_writes_every_row(tmp_path: Path, config: Path) -> None:
    output = tmp_path / "attack.json"
    done = attack("--config", config, "--limit", 2, "--compare", "--output", output)
    assert done.exit_code == 0, done.output
    assert "format: 0 of" in done.stdout
    assert "format: 0 of 1,260 votes forged" in done.stdout
    figures = json.loads(output.read_text())
    corpus = build_corpus(limit=2)
    assert [entry["id"] for entry in figures["attacks"]] == [each.id for each in corpus]
    assert len(figures["rows"]) == len(cases(corpus, BUILT_IN, compare=True))
    assert figures["format"]["changed"] == []
    for family in {each.family for each in corpus}:
        assert family in done.stdout
    # The dry run's rule likes different words, and nothing else.
    by_family = {(each["family"], each["form"], each["defended"]): each for each in figures["families"]}
    assert by_family["authority", "added", True]["inflation"] >= 1
    assert by_family["floods", "alone", True]["inflation"] <= 1


def test_own_pairs_are_read(tmp_path: Path, config: Path) -> None:
    lines = [
        {"prompt": "Why?", "good": "Because of the rain, which fell all day.", "weak": "No."},
        {"messages": [{"role": "user", "content": "Who?"}], "good": "Ada did", "weak": "He", "reference": "Ada"},
    ]
    file = write_lines(tmp_path / "pairs.jsonl", *lines)
    first, second = read_pairs(file)
    assert first.group("x").responses == ("Because of the rain, which fell all day.", "x")
    assert (second.conversation, second.reference) == ((Message("user", "Who?"),), "Ada")
    assert attack("-c", config, "--data", file, "--families", "authority, harmless", "--limit", 1).exit_code == 0


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ({"prompt": "a", "good": "b"}, "line 1: weak: Field required"),
        ({"prompt": "a", "good": "b", "weak": ""}, "line 1: weak: String should have at least 1 character"),
        ({"good": "b", "weak": "c"}, "line 1: give exactly one of messages and prompt"),
        ("{", "line 1: Invalid JSON"),
        ("", "holds no pair"),
    ],
)
def test_a_line_that_is_no_pair_is_named(tmp_path: Path, config: Path, line: Any, message: str) -> None:
    refused = attack("-c", config, "--data", write_lines(tmp_path / "pairs.jsonl", line))
    assert isinstance(refused.exception, WireError)
    assert message in str(refused.exception)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--families", "flods"], "no attack family flods"),
        (["--data", "nowhere.jsonl"], "nowhere.jsonl cannot be read"),
        (["--output", "no/such/folder/out.json"], "there is no folder"),
        (["--nonsense"], "unknown argument --nonsense"),
    ],
)
def test_a_wrong_command_says_what_is_wrong(config: Path, arguments: list[str], message: str) -> None:
    refused = attack("-c", config, *arguments)
    assert isinstance(refused.exception, ConfigError)
    assert message in str(refused.exception)


def test_a_grm_without_votes_ends_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("grm_plugin.engines.openai.MAX_RETRIES", 0)
    path = tmp_path / "away.yaml"
    path.write_text("engine: {type: openai, model: m, base_url: 'http://127.0.0.1:1/v1'}\nsampling: {k: 1}\n")
    failed = attack("-c", path, "--limit", 1)
    assert isinstance(failed.exception, GRMError)
    assert "cannot be reached" in str(failed.exception)


def test_a_deadline_that_passes_is_status_1_with_a_table(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def without_rehearsal(*_: Any) -> None:  # it is before the deadline begins
        return None

    monkeypatch.setattr(Measurement, "rehearse", without_rehearsal)
    late = attack("-c", config, "--families", "harmless", "--deadline", 1, "--grm.engine.delay_s", 30)
    assert late.exit_code == 1, late.output
    assert "0 of 8 rows: --deadline 1 s has passed" in late.stderr
