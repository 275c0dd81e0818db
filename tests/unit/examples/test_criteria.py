"""The nano domain's criteria task: its rule, what is drawn, what the critic writes, and the shipped GRM."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from transformers import AutoTokenizer, Qwen2ForCausalLM

from examples.nano.batches import render
from examples.nano.criteria import (
    KINDS,
    criteria_quality,
    criterion,
    draw_criteria,
    draw_criteria_group,
    prompt_criteria,
    truth,
)
from examples.nano.criteria_batches import ANSWER_WEIGHT, NAME_WEIGHT, draw_criteria_batch, emphasise_answers
from examples.nano.criteria_teacher import judge_criteria
from examples.nano.domain import ASPECTS, Task, is_held_out, levels, true_quality
from examples.nano.groups import MARGIN, draw_training_group
from examples.nano.tokenizer import JUDGE_TEMPLATE, build_tokenizer
from grm_plugin.config import JudgeConfig
from grm_plugin.judging.read_criteria import read_criteria
from grm_plugin.types import Completion, CriterionKind, Scores

TASK = Task("Name", 3, "fruits", "plus signs", None)
FAIR = "plum + fig + plum. Enjoy!"
"""Variety is good, all else excellent."""
SHIPPED_BYTES = 3 * 10**6

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize(
    ("kind", "variety", "courtesy"), [("scale", 2 / 3, 1), ("yes_no", 0, 1), ("must", 0, 1), ("penalty", 0, 1)]
)
def test_truth_of_each_kind(kind: CriterionKind, variety: float, courtesy: float) -> None:
    found = levels(TASK, FAIR)
    assert truth(criterion("Variety", kind), found) == pytest.approx(variety)
    assert truth(criterion("Courtesy", kind), found) == courtesy


def test_quality_by_hand() -> None:
    scale, wish = criterion("Variety", "scale", 3), criterion("Length", "yes_no", 1)
    fault, gate = criterion("Variety", "penalty", 2), criterion("Variety", "must")
    assert criteria_quality((scale, wish), TASK, FAIR) == pytest.approx(0.75)
    assert criteria_quality((wish, fault), TASK, FAIR) == 0
    assert criteria_quality((criterion("Length", "yes_no", 4), fault), TASK, FAIR) == pytest.approx(0.5)
    assert criteria_quality((wish, gate), TASK, FAIR) == 0


def test_the_prompts_own_wish_as_criteria_is_the_holistic_truth() -> None:
    rng = random.Random(0)
    for _ in range(100):
        task, responses = draw_training_group(rng, 2)
        for response in responses:
            expected = true_quality(task.prompt, response)
            assert criteria_quality(prompt_criteria(task), task, response) == pytest.approx(expected)


def test_drawn_criteria_are_of_all_kinds_about_different_aspects() -> None:
    rng = random.Random(1)
    drawn = [draw_criteria(rng) for _ in range(300)]
    assert {asked.kind for criteria in drawn for asked in criteria} == set(KINDS)
    assert {len(criteria) for criteria in drawn} == {1, 2, 3, 4, 5}
    for criteria in drawn:
        names = [asked.name for asked in criteria]
        assert len(set(names)) == len(names)
        assert set(names) <= set(ASPECTS)
        assert all(asked.weight > 0 and asked.text for asked in criteria)


def test_groups_have_a_best_response_that_is_often_not_the_prompts() -> None:
    rng = random.Random(2)
    groups = [draw_criteria_group(rng, 4, held_out=True) for _ in range(100)]
    for group in groups:
        ranked = sorted(group.ranked.qualities, reverse=True)
        assert is_held_out(group.ranked.task.prompt)
        assert group.ranked.qualities[group.ranked.best] == ranked[0] >= ranked[1] + MARGIN
    differing = sum(group.holistic_best not in {None, group.ranked.best} for group in groups)
    assert 20 < differing < 60
    by_prompt = [draw_criteria_group(rng, 3, held_out=True, by_prompt=True) for _ in range(30)]
    assert all(group.holistic_best == group.ranked.best for group in by_prompt)


def test_careful_judgements_say_the_truth_and_the_product_reads_it() -> None:
    rng = random.Random(3)
    for n in (1, 2, 3, 4) * 20:
        task, responses = draw_training_group(rng, n)
        criteria = draw_criteria(rng)
        judgement = judge_criteria(task, responses, criteria, rng, careless=0.0)
        assert judgement.startswith("Analysis: careful\nScores:\n1. ")
        scores = read_criteria(Completion(judgement), n, criteria, JudgeConfig())
        assert isinstance(scores, Scores)
        for asked, row in zip(criteria, scores.by_criterion, strict=True):
            true = [1 + 9 * truth(asked, levels(task, response)) for response in responses]
            assert row == pytest.approx(true, abs=2 if asked.kind == "scale" else 0)


def test_careless_judgements_show_and_are_mostly_wrong() -> None:
    rng = random.Random(4)
    criteria = (criterion("Variety", "yes_no"),)
    answers = []
    for _ in range(300):
        judgement = judge_criteria(TASK, [FAIR], criteria, rng, careless=1.0)
        assert judgement.startswith("Analysis: quick\n")
        answers.append("1. Variety: 1: Variety good: " in judgement)
    assert 0.3 < sum(answers) / 300 < 0.5


def test_batches_learn_the_judgement_and_weigh_its_answers() -> None:
    tokenizer = build_tokenizer(JUDGE_TEMPLATE, documents=300)
    batch = draw_criteria_batch(tokenizer, random.Random(6), 2, 1500, careless=0.0)
    answers = emphasise_answers(batch, tokenizer)
    for row, ids in enumerate(batch.ids):
        learned = tokenizer.decode(ids[batch.weights[row] >= 1])
        assert learned.startswith("Analysis: careful\nScores:\n1. ")
        assert learned.endswith("}<|im_end|>")
        boxes = "".join(re.findall(r"\\boxed{(.*?)}", learned))
        assert tokenizer.decode(ids[answers[row]]).replace(" ", "") == boxes.replace(", ", "")
        assert set(batch.weights[row][answers[row]].tolist()) == {ANSWER_WEIGHT}
    assert {tokenizer.decode(batch.ids[row, at]) for row, at, _ in batch.marks["asked_kind"]} == {"{", ","}
    for row, at, aspect in batch.marks["asked_aspect"]:
        assert batch.weights[row, at + 1] == NAME_WEIGHT
        assert tokenizer.decode(batch.ids[row, at:]).startswith(f". {ASPECTS[aspect]}: ")
    for aspect in ASPECTS:
        assert {tokenizer.decode(batch.ids[row, at]) for row, at, _ in batch.marks[aspect]} == {"1", "2"}


def test_the_shipped_grm_is_small_and_loads(shipped: Path) -> None:
    folder = shipped / "grm_criteria"
    assert sum(file.stat().st_size for file in folder.iterdir()) <= SHIPPED_BYTES
    _, info = Qwen2ForCausalLM.from_pretrained(folder, output_loading_info=True)
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    with safe_open(folder / "model.safetensors", "pt") as weights:
        assert {weights.get_tensor(key).dtype for key in weights.keys()} == {torch.bfloat16}  # noqa: SIM118


def test_the_shipped_grm_reads_criteria(shipped: Path) -> None:
    """Greedy, with transformers: every critique can be read, and nine answers of ten are true."""
    tokenizer = AutoTokenizer.from_pretrained(shipped / "grm_criteria")
    model = Qwen2ForCausalLM.from_pretrained(shipped / "grm_criteria", dtype=torch.float32)
    rng = random.Random(8)
    close = []
    for n in (1, 2, 3, 4):
        group = draw_criteria_group(rng, n, held_out=True)
        task, responses = group.ranked.task, group.ranked.responses
        prompt = render(tokenizer, task, responses, "ABCDEF", criteria=group.criteria)
        ids = tokenizer(prompt, return_tensors="pt")
        text = tokenizer.decode(
            model.generate(**ids, max_new_tokens=250, do_sample=False)[0, ids["input_ids"].shape[1] :]
        )
        scores = read_criteria(Completion(text.removesuffix("<|im_end|>")), n, group.criteria, JudgeConfig())
        assert isinstance(scores, Scores), text
        for asked, row in zip(group.criteria, scores.by_criterion, strict=True):
            assert row is not None, text
            true = [1 + 9 * truth(asked, levels(task, response)) for response in responses]
            close += [abs(a - b) < 2 for a, b in zip(row, true, strict=True)]
    assert sum(close) / len(close) >= 0.8
