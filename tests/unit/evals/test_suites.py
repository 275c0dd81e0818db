"""Benchmarks in their published form. RMB and JudgeBench: the real files, where they are at hand."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from grm_plugin.errors import ConfigError, WireError
from grm_plugin.evals.ppe import EQUAL, TIES
from grm_plugin.evals.realmistake import EXAMPLES
from grm_plugin.evals.rewardbench import PRIOR_SETS
from grm_plugin.evals.suites import SUITES, load_items
from support.paths import ROOT
from support.score_files import write_lines

REAL = Path(os.environ.get("GRM_BENCH_DATA", ROOT.parent / "shared" / "data"))
needs_files = pytest.mark.skipif(not REAL.is_dir(), reason=f"no benchmark files at {REAL}; set GRM_BENCH_DATA")

TURNS = [{"role": "user", "content": "Which?", "language": "English"}]
RB = {
    "prompt": "q",
    "chosen": "good",
    "rejected": "bad",
    "chosen_model": "m",
    "rejected_model": "n",
    "subset": "donotanswer",
    "id": 5,
}
RB2 = {"id": "3", "prompt": "q", "chosen": ["g1", "g2"], "rejected": ["b"], "num_correct": 2, "subset": "Ties"}
PPE_P = {"question_id": "x", "prompt": "q", "response_1": "a", "response_2": "b", "winner": "model_b", "language": "en"}
PPE_C = {
    "question_id": "x",
    "prompt": "q",
    **{f"response_{number}": f"answer {number}" for number in range(1, 5)},
    "scores": [True, False, True, False],
    "sampled_conflict_pairs": [[0, 1], [3, 2], [1, 0], [0, 2]],
    "model_name": "m",
}
PAIR = {
    "pair_uid": "7",
    "conversation_input": TURNS,
    "chosen": {"answer": "good"},
    "reject": "{'answer': 'bad'}",
    "category_path": "Pairwise_set/Harmlessness/S1",
}
BON = {
    "bon_uid": "8",
    "conversation_input": TURNS,
    "bon_best": {"answer": "good"},
    "loser_list": [{"answer": "b1"}, {"answer": "b2"}],
    "category_path": "BoN_set/Helpfulness/Open QA/Facts",
}
MISTAKE = {"input": "q", "llm_response": "r", "label": "error", "metadata": {}}
JUDGE = {
    "pair_id": "j",
    "question": "q",
    "response_A": "a",
    "response_B": "b",
    "label": "B>A",
    "source": "livebench-math",
    "response_model": "m",
}

ROWS = {
    "rewardbench": RB,
    "rewardbench2": RB2,
    "ppe-preference": PPE_P,
    "ppe-correctness": PPE_C,
    "rmb": PAIR,
    "realmistake": MISTAKE,
    "judgebench": JUDGE,
}


@needs_files
def test_the_real_rmb_files() -> None:
    items = load_items("rmb", REAL / "rmb").items
    assert Counter(item.subset for item in items) == {"Helpfulness pairwise": 399, "Helpfulness BoN": 85}
    assert all(item.best == (0,) and all(item.responses) for item in items)
    assert Counter(len(item.conversation) for item in items).keys() == {1, 3, 5}
    assert {item.meta["scenario"] for item in items} >= {"Logical Deduction", "Paraphrasing"}


@needs_files
def test_the_real_judgebench_files() -> None:
    items = load_items("judgebench", REAL / "judgebench").items
    assert Counter(item.subset for item in items) == {"Knowledge": 308, "Reasoning": 149, "Math": 90, "Coding": 73}
    assert Counter(item.best for item in items) == {(0,): 336, (1,): 284}


def test_rewardbench(tmp_path: Path) -> None:
    file = write_lines(
        tmp_path / "rb.jsonl", RB, RB | {"id": 6, "subset": "anthropic_helpful"}, RB | {"id": 7, "prompt": TURNS}
    )
    found = load_items("rewardbench", file)
    assert [item.id for item in found.items] == ["donotanswer/5", "donotanswer/7"]
    assert found.items[0].responses == ("good", "bad")
    assert found.left_out == {PRIOR_SETS: 1}


def test_rewardbench_2_has_several_right_answers(tmp_path: Path) -> None:
    (item,) = load_items("rewardbench2", write_lines(tmp_path / "rb2.jsonl", RB2)).items
    assert (item.responses, item.best, item.subset) == (("g1", "g2", "b"), (0, 1), "Ties")


def test_ppe_preference_leaves_ties_out(tmp_path: Path) -> None:
    rows = [
        PPE_P,
        PPE_P | {"question_id": "y", "winner": "tie (bothbad)"},
        PPE_P | {"question_id": "z", "winner": "model_a"},
    ]
    found = load_items("ppe-preference", write_lines(tmp_path / "p.jsonl", *rows))
    assert [item.best for item in found.items] == [(1,), (0,)]
    assert found.left_out == {TIES: 1}


def test_ppe_correctness_has_one_item_per_conflicting_pair(tmp_path: Path) -> None:
    folder = tmp_path / "PPE-MMLU-Pro-Best-of-K"
    folder.mkdir()
    found = load_items("ppe-correctness", write_lines(folder / "train.jsonl", PPE_C))
    assert [(item.responses, item.best) for item in found.items] == [
        (("answer 1", "answer 2"), (0,)),
        (("answer 4", "answer 3"), (1,)),
    ]
    assert {item.subset for item in found.items} == {"MMLU-Pro"}
    assert found.left_out == {EQUAL: 1}


def test_rmb_reads_pairs_lists_and_printed_objects(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "pairs.json").write_text(json.dumps([PAIR]))
    (tmp_path / "lists.json").write_text(json.dumps([BON]))
    pair, best_of_n = load_items("rmb", tmp_path).items
    assert (pair.responses, pair.subset) == (("good", "bad"), "Harmlessness pairwise")
    assert (best_of_n.responses, best_of_n.subset) == (("good", "b1", "b2"), "Helpfulness BoN")


def test_an_rmb_answer_is_never_run(tmp_path: Path) -> None:
    row = PAIR | {"reject": "__import__('os').getcwd()"}
    with pytest.raises(WireError, match="row 1: an answer is neither an object nor the printed form of one"):
        load_items("rmb", write_lines(tmp_path / "rmb.json", row))


def test_realmistake_takes_its_tasks_from_the_folders(tmp_path: Path) -> None:
    folder = tmp_path / "answerability_classification"
    folder.mkdir()
    write_lines(folder / "gpt-4-0613.jsonl", MISTAKE, {"error_label": "no_error", "input": "q", "llm_response": "s"})
    write_lines(tmp_path / "example.jsonl", MISTAKE)
    found = load_items("realmistake", tmp_path)
    assert [(item.label, item.subset) for item in found.items] == [(0, folder.name), (1, folder.name)]
    assert found.left_out == {EXAMPLES: 1}


def test_judgebench(tmp_path: Path) -> None:
    (item,) = load_items("judgebench", write_lines(tmp_path / "j.jsonl", JUDGE)).items
    assert (item.id, item.best, item.subset) == ("m/j", (1,), "Math")


def test_parquet_files_and_the_split_of_a_hub_copy(tmp_path: Path) -> None:
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    parquet.write_table(arrow.Table.from_pylist([RB]), tmp_path / "filtered-00000-of-00001.parquet")
    parquet.write_table(arrow.Table.from_pylist([RB | {"id": 9}]), tmp_path / "raw-00000-of-00001.parquet")
    assert [item.id for item in load_items("rewardbench", tmp_path).items] == ["donotanswer/5"]
    (tmp_path / "filtered-00000-of-00001.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(ConfigError, match="cannot be read as Parquet"):
        load_items("rewardbench", tmp_path)


@pytest.mark.parametrize("suite", SUITES)
def test_missing_columns_are_named(tmp_path: Path, suite: str) -> None:
    row = dict(ROWS[suite])
    missing = next(iter(set(row) & {"prompt", "question", "conversation_input", "input"}))
    del row[missing]
    file = write_lines(tmp_path / "gpqa.jsonl", row)
    with pytest.raises(WireError, match=rf"gpqa.jsonl row 1: no column {missing}; it has .*published format"):
        load_items(suite, file)


@pytest.mark.parametrize(
    ("suite", "change", "message"),
    [
        ("rewardbench", {"subset": "poetry"}, "subset 'poetry' is none of RewardBench's"),
        ("rewardbench2", {"rejected": []}, "rejected must be a list of responses, not empty"),
        ("ppe-preference", {"winner": "me"}, "winner 'me' is none of"),
        ("ppe-correctness", {"sampled_conflict_pairs": [[0, 9]]}, r"\[0, 9\] are not two indices of 4 scores"),
        ("ppe-correctness", {"sampled_conflict_pairs": None}, "sampled_conflict_pairs must be a list, not NoneType"),
        ("ppe-correctness", {"sampled_conflict_pairs": [None]}, "sampled_conflict_pairs: None are not two indices"),
        ("ppe-correctness", {"scores": None}, "scores must be a list, not NoneType"),
        ("ppe-correctness", {"scores": [True, None, True, False]}, "scores: True and None .* are not two numbers"),
        ("ppe-preference", {"prompt": [{"role": ["user"], "content": "q"}]}, r"a role out of .*, not \['user'\]"),
        ("rmb", {"chosen": "{[]: 1}"}, "neither an object nor the printed form of one"),
        ("rmb", {"chosen": {"text": "x"}}, "an object with the key answer"),
        ("rmb", {"category_path": "Elsewhere/x"}, "begins with none of BoN_set, Pairwise_set"),
        ("realmistake", {"label": "maybe"}, "neither error nor no_error"),
        ("judgebench", {"label": "A=B"}, "neither A>B nor B>A"),
    ],
)
def test_a_wrong_value_is_named(tmp_path: Path, suite: str, change: dict[str, Any], message: str) -> None:
    file = write_lines(tmp_path / "gpqa.jsonl", ROWS[suite] | change)
    with pytest.raises(WireError, match=f"gpqa.jsonl row 1: .*{message}"):
        load_items(suite, file)


def test_the_same_item_twice_is_an_error_and_another_one_of_its_id_is_numbered(tmp_path: Path) -> None:
    file = write_lines(tmp_path / "rb.jsonl", RB, RB | {"chosen": "better"})
    assert [item.id for item in load_items("rewardbench", file).items] == ["donotanswer/5", "donotanswer/5 (2)"]
    with pytest.raises(WireError, match="ids must be unique"):
        load_items("rewardbench", write_lines(tmp_path / "rb.jsonl", RB, RB))


def test_a_limit_draws_at_random_and_grows(tmp_path: Path) -> None:
    file = write_lines(tmp_path / "rb.jsonl", *[RB | {"id": number} for number in range(50)])
    few, more = ([item.id for item in load_items("rewardbench", file, limit=limit).items] for limit in (5, 20))
    assert more[:5] == few
    assert few != [f"donotanswer/{number}" for number in range(5)]
    assert few != [item.id for item in load_items("rewardbench", file, limit=5, seed=1).items]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("none", None, "does not exist; give a file, a folder, or a Hugging Face id"),
        ("data.csv", "a,b", r"ends in \.json, \.jsonl, \.parquet"),
        ("empty.jsonl", "", "is empty: it holds no row"),
        ("list.json", "[]", "is empty: it holds no row"),
    ],
)
def test_data_that_is_none(tmp_path: Path, name: str, content: str | None, message: str) -> None:
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(ConfigError, match=message):
        load_items("rewardbench", tmp_path / name)
    (tmp_path / "folder").mkdir()
    with pytest.raises(ConfigError, match="holds no file"):
        load_items("rewardbench", tmp_path / "folder")


def test_a_row_that_is_no_object_is_named(tmp_path: Path) -> None:
    with pytest.raises(WireError, match="row 1 must be an object of columns, not int"):
        load_items("rewardbench", write_lines(tmp_path / "x.json", "[1]"))


def test_a_hub_set_without_a_network_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ConfigError, match="Without a network, give --data the folder of a downloaded copy"):
        load_items("judgebench")


def test_an_unknown_suite_names_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"--suite rmbench is unknown; give one of rewardbench, .*judgebench, jsonl"):
        load_items("rmbench", ".")
    with pytest.raises(ConfigError, match="--data is missing"):
        load_items("rmb")
