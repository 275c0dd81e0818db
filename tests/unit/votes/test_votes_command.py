"""`grm-plugin votes`: from both kinds of stores, and what it refuses."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from grm_plugin.batch.vote_store import VoteStore
from grm_plugin.cli.app import app
from grm_plugin.errors import ConfigError, StoreError
from grm_plugin.types import Completion, Prompt, Sampling
from support.factories import Scripted, by_number, critique_text, responses_shown
from support.trace_factories import fill, judged, silent
from support.vote_factories import make_record, manifest, vote


def votes(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["votes", *arguments], catch_exceptions=False)


def noisy(seed: int, noise: float = 1.5) -> Scripted:
    """A GRM that scores each response by its number, give or take."""
    rng = random.Random(seed)

    def reply(prompt: Prompt, sampling: Sampling) -> list[Completion]:
        truths = [by_number(response) for response in responses_shown(prompt)]
        scores = [[min(10, max(1, round(rng.gauss(truth, noise)))) for truth in truths] for _ in range(sampling.n)]
        return [Completion(critique_text(row), tokens=20) for row in scores]

    return Scripted(reply)


@pytest.fixture
def traces(tmp_path: Path) -> Path:
    """Sixty lists of three, with 32 votes each."""
    texts = [("4", "6", "7"), ("5", "5 too", "8"), ("3", "4", "4 too")]
    groups = [judged(*texts[number % 3], generator=noisy(number), sampling__k=32) for number in range(60)]
    return fill(tmp_path / "traces.db", groups)


def test_traces_say_how_many_votes_are_needed(traces: Path, tmp_path: Path) -> None:
    said = votes(str(traces), "--orders", "4", "--output", str(tmp_path / "curve.png")).output
    assert "60 lists (60 of 3 responses) with 32 votes each" in said
    assert "of sampling.k = 32, sampling.adaptive with goal: " in said
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")
    found = json.loads(votes(str(traces), "--orders", "4", "--json").output)
    flips = [found["fixed"][k]["flips"] for k in ("1", "8", "32")]
    assert flips == sorted(flips, reverse=True)
    assert flips[-1] == 0.0
    assert found["rules"]["winner"]["votes"] < 32
    assert found["reliability"]["votes_for_0.8"] < found["reliability"]["votes_for_0.9"]


def test_the_same_store_gives_the_same_figures(traces: Path) -> None:
    assert votes(str(traces), "--orders", "2").output == votes(str(traces), "--orders", "2").output


def test_a_grm_that_guesses_is_told_so(tmp_path: Path) -> None:
    blind = Scripted(lambda prompt, sampling: [Completion(critique_text([5] * len(prompt.order)))] * sampling.n)
    store = fill(tmp_path / "traces.db", [judged("4", "6", generator=blind, sampling__k=8) for _ in range(5)])
    assert "apart no better than chance: more of them will not help this GRM" in votes(str(store)).output


def test_stores_that_tell_nothing_are_refused(tmp_path: Path) -> None:
    few = fill(tmp_path / "few.db", [judged("4", "6", sampling__k=4)])
    with pytest.raises(ConfigError, match=r"most lists in .* have 4 votes, and 8 are needed: sample more"):
        votes(str(few))
    single = fill(tmp_path / "single.db", [judged("4", sampling__k=8)])
    with pytest.raises(ConfigError, match="it has no list of two responses or more"):
        votes(str(single))
    silent_ones = fill(tmp_path / "silent.db", [judged("4", "6", generator=silent(), sampling__k=8)])
    with pytest.raises(ConfigError, match="none of the votes could be read"):
        votes(str(silent_ones))
    early = fill(tmp_path / "early.db", [judged("2", "9", sampling__k=32, sampling__adaptive={})] * 3)
    with pytest.raises(ConfigError, match="early stopping ended the votes of all its lists"):
        votes(str(early))
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ConfigError, match="must be a plain file: not a pipe"):
        votes(str(tmp_path / "pipe"))
    with pytest.raises(ConfigError, match="there is no folder"):
        votes(str(few), "--output", str(tmp_path / "nowhere" / "curve.png"))
    with pytest.raises(ConfigError, match=r"has no votes\.jsonl: give the --output of grm-plugin eval"):
        votes(str(tmp_path))
    with pytest.raises(ConfigError, match=r"nowhere: No such file.*give the --output of grm-plugin eval"):
        votes(str(tmp_path / "nowhere"))
    (tmp_path / "text").write_text("no store\n")
    with pytest.raises((ConfigError, StoreError), match="text"):
        votes(str(tmp_path / "text"))
    with pytest.raises(ConfigError, match=r"ends in \.png or \.svg"):
        votes(str(few), "--output", "curve.pdf")


def test_the_votes_of_an_evaluation_also_say_how_often_they_are_right(tmp_path: Path) -> None:
    """Pairs whose first response is right in three of four votes."""
    rows = [vote(7, 4, order=(0, 1)), vote(6, 5, order=(1, 0)), vote(8, 4, order=(0, 1)), vote(4, 6, order=(1, 0))] * 4
    with VoteStore(tmp_path / "run", manifest(k=16)) as store:
        for number in range(6):
            store.add(make_record(rows, name=f"item {number}"))
    said = votes(str(tmp_path / "run")).output
    assert "6 lists (6 of 2 responses) with 16 votes each" in said
    found = json.loads(votes(str(tmp_path / "run"), "--json").output)
    assert found["fixed"]["16"]["right"] == 1.0
    assert 0.6 < found["fixed"]["1"]["right"] < 0.9


def test_lists_whose_votes_ended_early_are_left_out_and_counted(tmp_path: Path) -> None:
    """They are the easy ones: with them any GRM looks reliable."""
    early = [judged("2", "9", sampling__k=32, sampling__adaptive={})] * 5
    whole = [judged("4", "6", "7", generator=noisy(number), sampling__k=32) for number in range(4)]
    said = votes(str(fill(tmp_path / "traces.db", early + whole)), "--orders", "2").output
    assert "4 lists (4 of 3 responses) with 32 votes each" in said
    assert "5 lists left out: their votes ended early, or are more or fewer" in said


def test_with_a_meta_rm_half_of_the_votes_count(tmp_path: Path) -> None:
    rows = [vote(7, 4, order=(0, 1), meta=1.0), vote(6, 5, order=(1, 0), meta=0.5), vote(4, 6, order=(0, 1), meta=0.0)]
    with VoteStore(tmp_path / "run", manifest(k=15, meta_rm="a/b")) as store:
        for number in range(6):
            store.add(make_record(rows * 5, name=f"item {number}"))
    said = votes(str(tmp_path / "run")).output
    assert "with 15 votes each, of which a meta RM lets half vote" in said
    found = json.loads(votes(str(tmp_path / "run"), "--json").output)
    assert found["reliability"]["votes_for_0.8"] % 2 == 0
