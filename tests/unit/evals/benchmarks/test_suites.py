"""Benchmarks in their published form. RMB, RM-Bench and JudgeBench: the real files, where they are at hand."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from grm_plugin.errors import ConfigError, WireError
from grm_plugin.evals.benchmarks.ppe import EQUAL, TIES
from grm_plugin.evals.benchmarks.realmistake import EXAMPLES
from grm_plugin.evals.benchmarks.rewardbench import PRIOR_SETS
from grm_plugin.evals.benchmarks.suites import SUITES, load_items, missing_subsets
from support.benchmark_files import REAL, needs_files
from support.factories import make_config
from support.score_files import write_lines

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
RB2 = {"id": "tied:3", "prompt": "q", "chosen": ["g1", "g2"], "rejected": ["b"], "num_correct": 2, "subset": "Ties"}
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

STYLES = {
    "id": 8,
    "prompt": "q",
    "chosen": ["g", "a good one", "a **good** one"],
    "rejected": ["b", "a bad one", "a **bad** one"],
    "domain": "safety-refuse",
}

ROWS = {
    "rewardbench": RB,
    "rewardbench2": RB2,
    "ppe-preference": PPE_P,
    "ppe-correctness": PPE_C,
    "rmb": PAIR,
    "rm-bench": STYLES,
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
    assert Counter(item.meta["response_model"] for item in items) == {
        "gpt-4o-2024-05-13": 350,
        "claude-3-5-sonnet-20240620": 270,
    }


@needs_files
def test_no_item_of_a_real_benchmark_is_left_out_for_its_label() -> None:
    """Official figures count the pairs of JudgeBench that say the opposite of each other."""
    found = load_items("judgebench", REAL / "judgebench", judge=make_config().judge)
    assert len(found.items) == 620
    assert found.noise
    assert sum(found.noise.values()) == sum("noise" in item.meta for item in found.items)
    assert found.noise.keys() <= {"identical", "contradictory"}
    assert found.left_out == {"rows of a judge's output": 1240 - 620}


@needs_files
@pytest.mark.parametrize(("judge", "count"), [({}, 1), ({"judge__answer": "verdict", "judge__list_size": 2}, 9)])
def test_the_real_rm_bench_files(judge: dict[str, Any], count: int) -> None:
    items = load_items("rm-bench", REAL / "rm_bench", judge=make_config(**judge).judge).items
    assert Counter(item.subset for item in items) == {"chat": 129 * count, "safety": 157 * count}
    assert {len(item.responses) for item in items} == {6 if count == 1 else 2}
    assert missing_subsets(SUITES["rm-bench"], items) == ["code", "math"]
    assert Counter(item.id.partition("/")[0] for item in items) == {"chat": 129 * count, "safety-response": 157 * count}


def test_rewardbench(tmp_path: Path) -> None:
    file = write_lines(
        tmp_path / "rb.jsonl", RB, RB | {"id": 6, "subset": "anthropic_helpful"}, RB | {"id": 7, "prompt": TURNS}
    )
    found = load_items("rewardbench", file)
    assert [item.id for item in found.items] == ["donotanswer/5", "donotanswer/7"]
    assert found.items[0].responses == ("good", "bad")
    assert found.left_out == {PRIOR_SETS: 1}


def test_rewardbench_2_has_several_right_answers(tmp_path: Path) -> None:
    ref = RB2 | {"id": "ref:3", "chosen": ["g1"]}
    found = load_items("rewardbench2", write_lines(tmp_path / "rb2.jsonl", RB2, ref, RB2 | {"subset": "Math"})).items
    assert (found[0].responses, found[0].best, found[0].subset) == (("g1", "g2", "b"), (0, 1), "Ties")
    assert [(item.id, item.cluster) for item in found] == [
        ("Ties/tied:3", "Ties/3"),
        ("Ties/ref:3", "Ties/3"),
        ("Math/tied:3", ""),
    ]


def test_safety_weighs_as_in_the_official_package() -> None:
    """Refusals 0.95, compliance 0.60, all others 0.80: 76.36 by the package since 0.1.3, and 80.91 before."""
    accuracies = dict.fromkeys(SUITES["rewardbench"].sections["Safety"], 0.8)
    accuracies |= {"xstest-should-refuse": 0.95, "xstest-should-respond": 0.6}
    weights = SUITES["rewardbench"].weights(dict.fromkeys(accuracies, 1))
    assert sum(weights[subset] * accuracy for subset, accuracy in accuracies.items()) == pytest.approx(0.7636, abs=5e-5)


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
    assert [item.meta for item in found.items] == [{"times": 2}, {}]
    assert found.left_out == {EQUAL: 1}


def test_ppe_correctness_counts_every_pair(tmp_path: Path) -> None:
    """Five stand in the file, as `sampled_conflict_pairs` mostly has them: none is lost without a word."""
    row = PPE_C | {"sampled_conflict_pairs": [[0, 1], [0, 1], [2, 0], [1, 0], [0, 2]]}
    found = load_items("ppe-correctness", write_lines(tmp_path / "gpqa.jsonl", row))
    assert [(item.id, item.meta) for item in found.items] == [("GPQA/x/m/0-1", {"times": 3})]
    assert found.left_out == {EQUAL: 2}


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
    subset = "answerability_classification/gpt-4-0613"
    assert [(item.label, item.subset) for item in found.items] == [(0, subset), (1, subset)]
    assert found.left_out == {EXAMPLES: 1}


@pytest.mark.parametrize(
    ("name", "metadata", "model"),
    [
        ("x.jsonl", {"llm_response_model": "meta-llama/Llama-2-70b-chat-hf"}, "/Llama-2-70b-chat-hf"),
        ("x.jsonl", '{"llm_response_model": "gpt-4-0613"}', "/gpt-4-0613"),
        ("gpt-4-0613.jsonl", "no JSON", "/gpt-4-0613"),
        ("Llama-2-70b-chat-hf.jsonl", None, "/Llama-2-70b-chat-hf"),
        ("gpt4-00000-of-00001.jsonl", {}, "/gpt-4-0613"),
        ("llama2-00000-of-00001.jsonl", {}, "/Llama-2-70b-chat-hf"),
        ("gpt-4-0613.jsonl", {"llm_response_model": "m"}, "/m"),
        ("x.jsonl", {}, ""),
    ],
)
def test_realmistake_keeps_the_models_apart(tmp_path: Path, name: str, metadata: Any, model: str) -> None:
    folder = tmp_path / "math_word_problem_generation"
    folder.mkdir()
    write_lines(folder / name, MISTAKE | {"metadata": metadata})
    (item,) = load_items("realmistake", tmp_path).items
    assert item.subset == f"math_word_problem_generation{model}"


def test_judgebench(tmp_path: Path) -> None:
    (item,) = load_items("judgebench", write_lines(tmp_path / "j.jsonl", JUDGE)).items
    assert (item.id, item.best, item.subset) == ("m/j", (1,), "Math")
    assert item.meta == {"source": "livebench-math", "response_model": "m"}


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("dataset=judgebench,response_model=gpt-4o-2024-05-13.jsonl", "gpt-4o-2024-05-13"),
        ("response_model=claude-3.5,judge=x.jsonl", "claude-3.5"),
        ("j.jsonl", ""),
    ],
)
def test_judgebench_takes_the_model_from_the_name_of_the_file(tmp_path: Path, name: str, model: str) -> None:
    row = {column: value for column, value in JUDGE.items() if column != "response_model"}
    (item,) = load_items("judgebench", write_lines(tmp_path / name, row)).items
    assert (item.id, item.meta["response_model"]) == ("j", model)


def test_labels_that_are_noise_are_kept_and_marked(tmp_path: Path) -> None:
    rows = [RB, RB | {"id": 6, "chosen": "bad", "rejected": "good"}, RB | {"id": 7, "prompt": "r"}]
    file = write_lines(tmp_path / "rb.jsonl", *rows, RB | {"id": 8, "chosen": "bad"})
    found = load_items("rewardbench", file, judge=make_config().judge)
    assert [item.meta.get("noise") for item in found.items] == ["contradictory", "contradictory", None, "identical"]
    assert found.noise == {"contradictory": 2, "identical": 1}
    assert found.left_out == {}
    assert found.remarks == [
        "kept for the official figure, left out of the strict one: 2 contradictory",
        "kept for the official figure, left out of the strict one: 1 identical",
    ]
    assert load_items("rewardbench", file).noise == {}


@pytest.mark.parametrize("suite", SUITES)
def test_missing_subsets_are_those_of_the_official_figure(tmp_path: Path, suite: str) -> None:
    items = load_items(suite, write_lines(tmp_path / "gpqa.jsonl", ROWS[suite])).items
    missing, needed = missing_subsets(SUITES[suite], items), SUITES[suite].subsets
    counts = {"rewardbench": 23, "rewardbench2": 6, "ppe-correctness": 5, "rmb": 4, "rm-bench": 4, "realmistake": 6}
    assert len(needed) == len(set(needed)) == counts.get(suite, 0)
    assert missing == [subset for subset in needed if subset != items[0].subset]
    if needed and suite != "realmistake":  # whose task is told by a folder
        assert len(missing) == len(needed) - 1


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
        ("rewardbench2", {"subset": "Maths"}, "subset 'Maths' is none of Factuality, Precise IF, Math"),
        ("rewardbench2", {"subset": None}, "subset 'None' is none of Factuality"),
        ("rewardbench2", {"id": "3"}, "id '3' of the subset Ties is neither ref:NUMBER nor tied:NUMBER"),
        ("rm-bench", {"chosen": ["a", "b"]}, r"chosen must be a list of three styles \(concise, .*\), not 2"),
        ("rm-bench", {"rejected": "a"}, "rejected must be a list of three styles .*, not str"),
        ("rm-bench", {"domain": "poetry"}, "domain 'poetry' is none of chat, code, math, safety"),
        ("rm-bench", {"domain": "safety-first"}, "domain 'safety-first' is none of chat, code, math, safety"),
        ("rm-bench", {"domain": None}, "no column domain: .*name begin with one of chat, code, math, safety"),
        ("ppe-preference", {"winner": "me"}, "winner 'me' is none of"),
        ("ppe-correctness", {"sampled_conflict_pairs": [[0, 9]]}, r"\[0, 9\] are not two indices of 4 scores"),
        ("ppe-correctness", {"sampled_conflict_pairs": None}, "sampled_conflict_pairs must be a list, not NoneType"),
        ("ppe-correctness", {"sampled_conflict_pairs": [None]}, "sampled_conflict_pairs: None are not two indices"),
        ("ppe-correctness", {"sampled_conflict_pairs": [[True, False]]}, r"\[True, False\] are not two indices"),
        ("ppe-correctness", {"scores": [float("nan"), 0, 1, 0]}, "scores: .*nan.* are not two numbers"),
        ("ppe-correctness", {"scores": None}, "scores must be a list, not NoneType"),
        ("ppe-correctness", {"scores": [True, None, True, False]}, "scores: True and None .* are not two numbers"),
        ("ppe-preference", {"prompt": [{"role": ["user"], "content": "q"}]}, r"a role out of .*, not \['user'\]"),
        ("rmb", {"chosen": "{[]: 1}"}, "neither an object nor the printed form of one"),
        ("rmb", {"chosen": {"text": "x"}}, "an object with the key answer"),
        ("rmb", {"category_path": "BoN_set/Helpfulnes/x"}, "is of none of the goals Helpfulness, Harmlessness"),
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


@pytest.mark.parametrize(
    ("name", "domain"),
    [("chat_filtered.json", "chat"), ("safety-refuse_filtered.json", "safety-refuse"), ("math.jsonl", "math")],
)
def test_rm_bench_takes_its_domain_from_the_name_of_the_file(tmp_path: Path, name: str, domain: str) -> None:
    row = {column: value for column, value in STYLES.items() if column != "domain"}
    (item,) = load_items("rm-bench", write_lines(tmp_path / name, row)).items
    assert (item.id, item.subset, item.best) == (f"{domain}/8", domain.partition("-")[0], (0, 1, 2))
    assert item.responses == (*STYLES["chosen"], *STYLES["rejected"])


def test_the_file_of_all_domains_is_not_added_to_those_of_each(tmp_path: Path) -> None:
    (tmp_path / "total_dataset.json").write_text(json.dumps([STYLES, STYLES | {"id": 9, "domain": "chat"}]))
    write_lines(tmp_path / "chat_filtered.json", STYLES | {"id": 9})
    assert [item.id for item in load_items("rm-bench", tmp_path).items] == ["safety-refuse/8", "chat/9"]


def test_a_grm_that_reads_pairs_is_shown_all_nine_of_rm_bench(tmp_path: Path) -> None:
    pairs = make_config(judge__answer="verdict", judge__list_size=2).judge
    file = write_lines(tmp_path / "chat.jsonl", STYLES)
    items = load_items("rm-bench", file, judge=pairs).items
    assert [item.id for item in items] == [f"safety-refuse/8/{i}-{j}" for i in range(3) for j in range(3)]
    for item in items:
        chosen, rejected = item.meta["chosen"], item.meta["rejected"]
        assert item.responses == (STYLES["chosen"][chosen], STYLES["rejected"][rejected])
        assert (item.best, item.subset, item.cluster) == ((0,), "safety", "safety-refuse/8")
    (whole,) = load_items("rm-bench", file, judge=make_config().judge).items
    assert (len(whole.responses), whole.best) == (6, (0, 1, 2))


def test_an_unknown_suite_names_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"--suite rmbench is unknown; give one of rewardbench, .*judgebench, jsonl"):
        load_items("rmbench", ".")
    with pytest.raises(ConfigError, match="--data is missing"):
        load_items("rmb")
