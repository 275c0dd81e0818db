"""The published form of repeated-sampling data: read and written, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from grm_plugin.best_of.problems import problem_of, row_of
from grm_plugin.best_of.reading import read_problems, write_yaml
from grm_plugin.errors import ConfigError, WireError
from support.score_files import write_lines

PUBLISHED = {"prompt": "Q: 1+1?\nA:", "question": "1+1?", "samples": ["2", "3"], "gt_answer": "2"}


@pytest.mark.parametrize("spelling", ["is_correct", "is_corrects"])
def test_both_spellings_of_the_verdicts_are_read(spelling: str, tmp_path: Path) -> None:
    (tmp_path / "0.yaml").write_text(yaml.safe_dump({**PUBLISHED, spelling: [True, False]}))
    (problem,) = read_problems(tmp_path)
    assert [sample.correct for sample in problem.samples] == [True, False]
    assert (problem.id, problem.reference) == ("0", "2")
    assert (problem.asked[0].content, problem.question[0].content) == ("Q: 1+1?\nA:", "1+1?")


@pytest.mark.parametrize("key", ["test_cases", "theorem_name", "whatever"])
def test_what_tells_the_truth_otherwise_is_kept(key: str) -> None:
    row = {"prompt": "P", "samples": ["x"], key: {"input": ["1"], "output": ["2"]}}
    assert row_of(problem_of(row))[key] == row[key]


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
rows = st.builds(
    lambda prompt, samples, n, rest: {
        "id": "p",
        "prompt": prompt,
        "samples": samples,
        "is_corrects": [place % 2 == 0 for place in range(len(samples))],
        "tokens": [n] * len(samples),
        **rest,
    },
    texts.filter(str.strip),
    st.lists(texts, max_size=4),
    st.integers(0, 9),
    st.dictionaries(st.sampled_from(["theorem_name", "level"]), texts),
)


@given(rows)
def test_a_row_is_read_back_as_it_was(row: dict[str, Any]) -> None:
    problem = problem_of(row)
    assert problem_of(json.loads(json.dumps(row_of(problem)))) == problem
    assert problem_of(yaml.safe_load(yaml.safe_dump(row_of(problem), allow_unicode=True))) == problem


def test_yaml_is_written_one_file_per_problem(tmp_path: Path) -> None:
    problems = [problem_of(PUBLISHED | {"id": name}) for name in ("ok-1", "../a b", ".hidden")]
    write_yaml(tmp_path / "out", problems)
    assert len([*(tmp_path / "out").iterdir()]) == 3
    assert (tmp_path / "out" / "ok-1.yaml").exists()
    assert {*read_problems(tmp_path / "out")[0].rest} == set()
    assert sorted(it.id for it in read_problems(tmp_path / "out")) == sorted(it.id for it in problems)
    odd = problem_of({"id": "odd", "prompt": "P", "samples": ["lone \ud800", "tab\t\x85\u2028end", "- : #", "", "\n"]})
    write_yaml(tmp_path / "odd", [odd])
    assert read_problems(tmp_path / "odd") == [odd]


def test_lines_without_ids_get_the_same_ones_wherever_they_stand(tmp_path: Path) -> None:
    one, two = {"prompt": "One?", "samples": ["1"]}, {"prompt": "Two?", "samples": ["2"]}
    first = read_problems(write_lines(tmp_path / "a.jsonl", one, two))
    second = read_problems(write_lines(tmp_path / "b.jsonl", two, "", one))
    assert [it.id for it in first] == [it.id for it in reversed(second)]
    with pytest.raises(WireError, match="line 2: the same prompt stands on an earlier line already"):
        read_problems(write_lines(tmp_path / "c.jsonl", one, one))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"samples": "2"}, "samples: give a list of texts"),
        ({"samples": ["2", 3]}, "samples: give a list of texts"),
        ({"is_correct": [True]}, "is_correct has 1 entries, and there are 2 samples"),
        ({"is_corrects": True}, "is_corrects is no list"),
        ({"is_correct": [True, 1]}, "is_correct.1: give true or false, not 1"),
        ({"is_correct": [True, True], "is_corrects": [True, False]}, "contradict each other"),
        ({"tokens": [4, -1]}, "tokens.1: give a whole number of tokens"),
        ({"scores": [0.5, float("nan")]}, "scores.1: give a finite number, or null"),
        ({"scores": [0.5]}, "scores has 1 entries"),
        ({"prompt": " "}, "prompt: give a text that is not empty"),
        ({"messages": [{"role": "user", "content": "Q"}]}, "give prompt or messages, not both"),
        ({"id": True}, "id: give a text or a number"),
        ({"prompt_tokens": 1.5}, "prompt_tokens: give a whole number"),
    ],
)
def test_a_wrong_key_is_named(change: dict[str, Any], words: str) -> None:
    with pytest.raises(WireError, match=words):
        problem_of(PUBLISHED | change)


def test_a_prompt_is_needed() -> None:
    with pytest.raises(WireError, match="prompt is missing: give prompt, messages or question"):
        problem_of({"samples": ["x"]})
    with pytest.raises(WireError, match="must be a mapping"):
        problem_of(["x"])


def test_half_written_yaml_is_told_wherever_it_was_cut(tmp_path: Path) -> None:
    row = {"is_corrects": [True, False, True], "prompt": "P", "samples": ["one line", "two: lines\nof text", "three"]}
    whole = yaml.safe_dump(row)
    path = tmp_path / "0.yaml"
    told = 0
    for end in range(len(whole)):
        path.write_text(whole[:end])
        with pytest.raises(WireError, match=r"0\.yaml"):
            read_problems(tmp_path)
        told += 1
    assert told == len(whole)
    path.write_text(whole)
    assert len(read_problems(tmp_path)[0].samples) == 3


def test_what_is_no_store_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"neither samples\.jsonl nor YAML files"):
        read_problems(tmp_path)
    with pytest.raises(ConfigError, match="holds no problem"):
        read_problems(write_lines(tmp_path / "empty.jsonl"))
    (tmp_path / "cut.jsonl").write_text('{"prompt": "P", "samp')
    with pytest.raises(WireError, match=r"cut\.jsonl line 1: no JSON"):
        read_problems(tmp_path / "cut.jsonl")
    with pytest.raises(WireError, match="line 2: id: 'a' stands on an earlier line already"):
        read_problems(write_lines(tmp_path / "two.jsonl", {"id": "a", "prompt": "P"}, {"id": "a", "prompt": "Q"}))
    (tmp_path / "y").mkdir()
    for name in ("one", "two"):
        (tmp_path / "y" / f"{name}.yaml").write_text("id: a\nprompt: P\n")
    with pytest.raises(WireError, match=r"two\.yaml: id 'a' is that of .*one\.yaml too"):
        read_problems(tmp_path / "y")
