"""Recorded judgements: which formats are read, and what is refused."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from grm_plugin.batch.vote_store import StoredVote
from grm_plugin.errors import ConfigError, GRMError, WireError
from grm_plugin.evals.benchmarks.rows import BenchmarkRow
from grm_plugin.evals.recorded.reading import RecordedStore, read_recorded
from grm_plugin.evals.recorded.rows import FORMATS, without_judgements
from support.paths import ROOT
from support.score_files import write_lines

REAL = Path(os.environ.get("GRM_BENCH_DATA", ROOT.parent / "shared" / "data"))
OUTPUTS = REAL / "judgebench" / "outputs"
needs_files = pytest.mark.skipif(not OUTPUTS.is_dir(), reason=f"no benchmark files at {REAL}; set GRM_BENCH_DATA")

PAIR = {
    "pair_id": "j",
    "question": "q",
    "response_A": "a",
    "response_B": "b",
    "label": "B>A",
    "source": "livebench-math",
    "response_model": "m",
}
RB = {"prompt": "q", "chosen": "good", "rejected": "bad", "subset": "donotanswer", "id": 5}
RB2 = {"id": "tied:3", "prompt": "q", "chosen": ["g1", "g2"], "rejected": ["b"], "num_correct": 2, "subset": "Ties"}
RMB = {
    "pair_uid": "7",
    "conversation_input": [{"role": "user", "content": "Which?"}],
    "chosen": {"answer": "good"},
    "reject": {"answer": "bad"},
    "category_path": "Pairwise_set/Harmlessness/S1",
}
ITEMS = [{"id": name, "prompt": f"{name}?", "responses": ["a", "b"], "best": 0} for name in ("x", "y")]


def decided(*decisions: object, **more: Any) -> dict[str, Any]:
    """A row of a generative judge of JudgeBench."""
    judgements = [
        {"judgment": {"judge_model": "j-model", "prompt": "", "response": f"says {decision}"}, "decision": decision}
        for decision in decisions
    ]
    return PAIR | {"judge_name": "arena_hard", "judgments": judgements} | more


def scored(scores: list[float], decision: str | None) -> dict[str, Any]:
    """A row of a scalar judge of JudgeBench, asked in one order."""
    return PAIR | {
        "judge_name": "reward_model",
        "judgments": [{"judgment": {"judge_model": "s", "scores": scores}, "decision": decision}],
    }


def read(folder: Path, suite: str, *rows: dict[str, Any], data: list[dict[str, Any]] | None = None) -> RecordedStore:
    given = None if data is None else str(write_lines(folder / "data.jsonl", *data))
    return read_recorded(write_lines(folder / "recorded.jsonl", *rows), suite, given, None, 0)


def votes(recorded: RecordedStore) -> list[tuple[StoredVote, ...]]:
    return [record.votes for record in recorded.records]


@needs_files
@pytest.mark.parametrize(
    ("judge", "kind", "name", "items", "lost"),
    [
        ("arena_hard", "generative", "claude-3-haiku-20240307 (arena_hard)", 270, 13),
        ("reward_model", "scalar", "Skywork/Skywork-Reward-Llama-3.1-8B", 350, 0),
    ],
)
@pytest.mark.parametrize("with_data", [False, True])
def test_judgebenchs_published_outputs(
    judge: str, kind: str, name: str, items: int, lost: int, with_data: bool
) -> None:
    """As many items are right by both orders together as the official rule counts in the file itself."""
    (file,) = OUTPUTS.glob(f"*judge_name={judge}*")
    data = str(REAL / "judgebench" / f"{file.name.partition(',judge_name')[0]}.jsonl") if with_data else None
    found = read_recorded(file, "judgebench", data, None, 0)
    assert (found.manifest.judge, found.manifest.model, found.manifest.k) == (kind, name, 2)
    assert len(found.records) == items
    assert sum(vote.scores is None for record in found.records for vote in record.votes) == lost
    right = 0
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    for row in rows:
        said = [(each or {}).get("decision") for each in row["judgments"]]
        flipped = {"A>B": "B>A", "B>A": "A>B"}
        first_wins = [said[0], flipped.get(said[1], said[1])]
        right += first_wins.count(row["label"]) > first_wins.count(flipped[row["label"]])
    signs = (
        sum(_ahead(vote.scores, record.item.best[0]) for vote in record.votes if vote.scores)
        for record in found.records
    )
    assert sum(sign > 0 for sign in signs) == right
    assert Counter(vote.order for record in found.records for vote in record.votes).keys() == {(0, 1), (1, 0)}


def _ahead(scores: tuple[float, ...], best: int) -> int:
    return (scores[best] > scores[1 - best]) - (scores[best] < scores[1 - best])


def test_decisions_become_scores_in_the_items_own_order(tmp_path: Path) -> None:
    (found,) = votes(read(tmp_path, "judgebench", decided("A>B", "A>B")))
    assert [(vote.scores, vote.order, vote.text) for vote in found] == [
        ((2, 1), (0, 1), "says A>B"),
        ((1, 2), (1, 0), "says A>B"),
    ]
    (found,) = votes(read(tmp_path, "judgebench", decided("A=B", None)))
    assert [(vote.scores, vote.reason) for vote in found] == [((1, 1), ""), (None, "no_scores")]
    row = decided("B>A") | {"judgments": [None, None]}
    (found,) = votes(read(tmp_path, "judgebench", row))
    assert [(vote.scores, vote.order) for vote in found] == [(None, (0, 1)), (None, (1, 0))]


def test_scores_of_a_scalar_judge_count_and_must_agree_with_its_decision(tmp_path: Path) -> None:
    for scores, decision in (([-1.5, 2.0], "B>A"), ([3, 3], "B>A"), ([3, 3], "A=B"), ([2.5, -1], "A>B")):
        found = read(tmp_path, "judgebench", scored(scores, decision))
        assert found.manifest.judge == "scalar"
        assert votes(found)[0][0].scores == tuple(scores)
    for scores, decision in (([1.0, 2.0], "A>B"), ([3, 3], "A>B"), ([2, 1], None)):
        with pytest.raises(WireError, match=r"row 1: the decision .* contradicts the scores"):
            read(tmp_path, "judgebench", scored(scores, decision))


@pytest.mark.parametrize(
    ("suite", "row", "name", "scores"),
    [
        ("rewardbench", RB | {"scores_chosen": 2.5, "scores_rejected": [-1.0]}, "donotanswer/5", (2.5, -1.0)),
        ("rewardbench2", RB2 | {"scores": [[1.0], 2.0, 0.5]}, "Ties/tied:3", (1.0, 2.0, 0.5)),
        (
            "rmb",
            RMB | {"chosen_reward": 1, "reject_reward": 3.5},
            "Pairwise_set/Harmlessness/S1/7",
            (1.0, 3.5),
        ),
    ],
    ids=["rewardbench", "rewardbench2", "rmb"],
)
def test_scores_beside_a_benchmarks_rows(
    tmp_path: Path, suite: str, row: dict[str, Any], name: str, scores: tuple[float, ...]
) -> None:
    found = read(tmp_path, suite, row | {"model": "owner/rm"})
    assert (found.manifest.judge, found.manifest.k, found.manifest.model) == ("scalar", 1, "owner/rm")
    (record,) = found.records
    assert (record.id, record.greedy) == (name, ())
    assert record.votes == (StoredVote(scores, tuple(range(len(scores)))),)


def test_rm_benchs_scores_are_six_and_its_items_are_named_as_in_its_own_files() -> None:
    form = next(form for form in FORMATS if form.suite == "rm-bench")
    row = BenchmarkRow(
        "out/chat_filtered_a-model_REWORD_MODEL_20240101_000000.json",
        1,
        {"id": 1, "score_chosen": [1, 2, 3], "score_rejected": [[4], [5], [6]]},
    )
    assert form.fits(row)
    assert form.read(row).votes[0].scores == (1, 2, 3, 4, 5, 6)
    assert without_judgements(row, form.columns) == BenchmarkRow("out/chat_filtered.json", 1, {"id": 1})


def test_rewardbenchs_file_of_columns_finds_its_items_in_the_data(tmp_path: Path) -> None:
    columns = {
        "id": [6, 5],
        "subset": ["donotanswer"] * 2,
        "scores_chosen": [1.0, 2.0],
        "scores_rejected": [3.0, 4.0],
        "model": "owner/rm",
    }
    data = [RB, RB | {"id": 6, "prompt": "other"}]
    found = read(tmp_path, "rewardbench", columns, data=data)
    assert {record.id: record.votes[0].scores for record in found.records} == {
        "donotanswer/5": (2.0, 4.0),
        "donotanswer/6": (1.0, 3.0),
    }
    with pytest.raises(WireError, match="the columns scores_chosen and id are not equally long"):
        read(tmp_path, "rewardbench", columns | {"scores_chosen": [1.0]}, data=data)


def test_our_own_lines(tmp_path: Path) -> None:
    lines = [
        {
            "id": "x",
            "votes": [{"scores": [8, 3.5], "order": [1, 0], "text": "t", "tokens": 9}, {"scores": None}],
            "greedy": {"scores": [9, 2]},
        },
        {"id": "y", "votes": [{"scores": None, "reason": "too_long"}] * 2, "greedy": {"scores": None}},
    ]
    found = read(tmp_path, "jsonl", *lines, data=ITEMS)
    assert (found.manifest.judge, found.manifest.model, found.manifest.k) == ("generative", "recorded", 2)
    assert found.records[0].greedy == (StoredVote((9, 2), (0, 1)),)
    assert found.records[0].votes[0] == StoredVote((8, 3.5), (1, 0), tokens=9, text="t")
    assert [vote.reason for record in found.records for vote in record.votes if vote.scores is None] == [
        "no_scores",
        "too_long",
        "too_long",
    ]


def test_judgements_on_what_the_loader_leaves_out_are_passed_over_and_no_others(tmp_path: Path) -> None:
    same = {"id": "same", "prompt": "z?", "responses": ["a", "a"], "best": 0}
    found = read(tmp_path, "jsonl", *TWO, own("same"), data=[*ITEMS, same])
    assert ([record.id for record in found.records], found.loaded.left_out) == (["x", "y"], {"identical": 1})
    with pytest.raises(WireError, match=r"2 judgements are on items .* does not have \(same, z\)"):
        read(tmp_path, "jsonl", *TWO, own("same"), own("z"), data=[*ITEMS, same])
    foreign = decided("A>B", pair_id="k", question="?")
    with pytest.raises(WireError, match=r"1 judgements are on items .* does not have \(m/k\)"):
        read(tmp_path, "judgebench", decided("A>B"), foreign, data=[PAIR, decided("A>B")])


def test_a_limit_needs_judgements_on_its_own_items_only(tmp_path: Path) -> None:
    data = str(write_lines(tmp_path / "data.jsonl", *ITEMS))
    recorded = write_lines(tmp_path / "r.jsonl", own("x"))
    with pytest.raises(ConfigError, match=r"has no judgement on 1 of 2 items \(y\): give the whole of it, or --limit"):
        read_recorded(recorded, "jsonl", data, None, 0)
    found = [_ids(read_recorded, recorded, data, seed) for seed in range(20)]
    assert set(found) == {("x",), "no judgement"}


def _ids(read: Any, recorded: Path, data: str, seed: int) -> Any:
    try:
        return tuple(record.id for record in read(recorded, "jsonl", data, 1, seed).records)
    except ConfigError:
        return "no judgement"


def own(name: str, **more: Any) -> dict[str, Any]:
    return {"id": name, "votes": [{"scores": [8, 3]}]} | more


TWO = [own("x"), own("y")]


def two_judges() -> dict[str, Any]:
    """A row with the judgements of two models of JudgeBench."""
    row = decided("A>B", "A>B")
    row["judgments"][1]["judgment"]["judge_model"] = "other"
    return row


def test_the_lines_of_rewardbenchs_package_hold_no_item_and_find_theirs_in_the_data(tmp_path: Path) -> None:
    line = {"prompt": "<s>q", "text_chosen": "<s>q good", "text_rejected": "<s>q bad", "subset": "donotanswer", "id": 5}
    found = read(tmp_path, "rewardbench", line | {"scores_chosen": 2.0, "scores_rejected": 1.0}, data=[RB])
    assert [(record.id, record.votes[0].scores) for record in found.records] == [("donotanswer/5", (2.0, 1.0))]


def test_what_lines_call_their_judge_and_their_losses_is_one_short_line(tmp_path: Path) -> None:
    reasons = ["cut\n\x1b[31moff", "e" * 500]
    lines = [own(name, model="a\n\x1bb\ud800", votes=[{"scores": None, "reason": reasons[0]}]) for name in ("x", "y")]
    lines[1]["votes"] = [{"scores": None, "reason": reasons[1]}]
    found = read(tmp_path, "jsonl", *lines, data=ITEMS)
    assert found.manifest.model == "a b"
    lost = [(vote.reason, vote.detail[:3]) for (vote,) in votes(found)]
    assert lost == [("cut [31moff", "rec"), ("no_scores", "eee")]


def test_a_folder_that_holds_a_file_twice_is_refused(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for name in ("dataset=judgebench,response_model=a.jsonl", "copy.jsonl"):
        write_lines(tmp_path / "in" / name, decided("A>B", response_model=""))
    with pytest.raises(WireError, match=r"second judgement on the item 'j', after .*copy.jsonl row 1"):
        read_recorded(tmp_path / "in", "judgebench", None, None, 0)


def test_errors_about_the_recorded_file_name_its_own_option(tmp_path: Path) -> None:
    (tmp_path / "in.txt").touch()
    for path in (tmp_path, tmp_path / "in.txt"):
        with pytest.raises(ConfigError, match=r"^--import .*\.json, \.jsonl, \.parquet$"):
            read_recorded(path, "judgebench", None, None, 0)


WRONG: list[tuple[str, list[dict[str, Any]], list[dict[str, Any]] | None, str]] = [
    ("jsonl", [{"a": 1}], ITEMS, "row 1 is no recorded judgement: it has the columns a. Formats are told by"),
    ("rmb", [decided("A>B")], None, "is a judgement of judgebench: give --suite judgebench"),
    ("jsonl", [*TWO, own("z")], ITEMS, r"row 3: 1 judgements are on items that .* does not have \(z\)"),
    ("jsonl", [own("x")], ITEMS, r"no judgement on 1 of 2 items \(y\)"),
    ("jsonl", [*TWO, own("x")], ITEMS, "row 3 is a second judgement on the item 'x', after .* row 1"),
    ("judgebench", [decided("A>B"), decided("A>B")], None, "row 2 is a second judgement on the item 'm/j'"),
    ("jsonl", [own("x"), own("y", votes=[{"scores": [1]}])], ITEMS, r"row 2: 1 scores for item 'y', which has 2"),
    ("judgebench", [decided("A>B")], [PAIR | {"label": "A>B"}], "the label of item 'm/j' contradicts that in"),
    ("judgebench", [decided("A>B")], [PAIR | {"question": "?"}], "'m/j' has another prompt or other responses"),
    ("jsonl", [own("x", judge="scalar"), own("y")], ITEMS, "are of a generative judge .* and of a scalar one"),
    ("jsonl", [own("x", model="m"), own("y", model="n")], ITEMS, r"of several judges \(m, n\)"),
    ("jsonl", [own("x", votes=[{"scores": [8, 3]}] * 2), own("y")], ITEMS, "numbers of votes: 1 .* and 2"),
    ("jsonl", [own("x", greedy={"scores": [1, 2]}), own("y")], ITEMS, "different numbers of greedy votes: 0"),
    ("jsonl", [own("x", votes=[{"scores": [8, float("nan")]}])], ITEMS, r"votes.0.scores.1: .*less than"),
    ("jsonl", [own("x", votes=[{"scores": [8, True]}])], ITEMS, r"votes.0.scores.1"),
    ("jsonl", [own("x", votes=[])], ITEMS, r"votes: .*at least 1"),
    ("jsonl", [own("x", vote=1)], ITEMS, "vote: Extra"),
    ("jsonl", [own("x", votes=[{"scores": [8, 3], "order": [0, 0]}])], ITEMS, r"votes.0.order must hold each"),
    ("jsonl", [own("x", votes=[{"scores": [8, 3], "reason": "empty"}])], ITEMS, "leave one of them out"),
    ("jsonl", TWO, None, "--data is missing"),
    ("judgebench", [decided("A>C")], None, "decision 'A>C' is none of"),
    ("judgebench", [decided("A>B", "A>B", "A>B")], None, "one judgement, or of two"),
    ("judgebench", [scored([1, float("nan")], "A>B")], None, "scores: nan is no finite number"),
    ("judgebench", [scored([1], "A>B")], None, "scores must be 2 numbers, not 1"),
    ("judgebench", [decided("A>B", label="?")], None, "is neither A>B nor B>A"),
    ("rewardbench", [RB | {"scores_chosen": "2", "scores_rejected": 1}], None, "scores_chosen: '2' is no finite"),
    ("rewardbench", [RB | {"scores_chosen": [1, 2], "scores_rejected": 1}], None, "must be 1 number, not 2"),
    ("rmb", [RMB | {"chosen_reward": [1, 2], "reject_reward": []}], None, "chosen_reward must be 1 number, not 2"),
    ("rewardbench2", [RB2 | {"scores": [1, 2, 3], "num_correct": 1}], None, "1 right responses for item 'Ties/tied:3'"),
    ("rewardbench2", [RB2 | {"scores": [1, 2, 3], "num_correct": True}], None, "num_correct: True is no whole"),
    ("judgebench", [scored([10**400, 1], "A>B")], None, "scores: 1000"),
    ("judgebench", [decided(["A>B"])], None, r"decision \['A>B'\] is none of"),
    ("judgebench", [two_judges()], None, r"of several judges \(j-model, other\)"),
    ("jsonl", [own("x", votes=[{"scores": [1e39, 1]}])], ITEMS, r"votes.0.scores.0"),
    ("jsonl", [own("x", votes=[{"scores": None, "order": [7, 9]}])], ITEMS, r"votes.0.order must hold each"),
    ("jsonl", [own("x", votes=[{"scores": None, "order": [0]}]), own("y")], ITEMS, r"order \[0\] is not of item 'x'"),
    ("rmb", [{"chosen_reward": 1, "reject_reward": 2}], None, "no column category_path, pair_uid"),
]


@pytest.mark.parametrize(("suite", "rows", "data", "message"), WRONG, ids=[message[:40] for *_, message in WRONG])
def test_what_is_no_judgement_of_these_items_is_refused(
    tmp_path: Path, suite: str, rows: list[dict[str, Any]], data: list[dict[str, Any]] | None, message: str
) -> None:
    with pytest.raises(GRMError, match=message):
        read(tmp_path, suite, *rows, data=data)
