from __future__ import annotations

import random

import pytest
import torch
from transformers import Qwen2Tokenizer

from examples.nano.answers import draw_answer, even_damage, garble
from examples.nano.batches import HINTED, collate, draw_batch, emphasise_levels, render
from examples.nano.critiques import check, draw_critiques
from examples.nano.domain import ASPECTS, LEVELS, Task, draw_task, is_held_out, levels, true_quality
from examples.nano.groups import MARGIN, RankedGroup, draw_ranked_group, draw_training_group
from examples.nano.teacher import Judgement, judge
from examples.nano.tokenizer import JUDGE_TEMPLATE, build_tokenizer
from grm_plugin.config.loading import load_config
from grm_plugin.judging.parsing import parse
from grm_plugin.types import Completion, Scores
from support.paths import ROOT

SEEDS = range(200)


def test_undamaged_answers_are_perfect_and_damage_hits_its_aspect() -> None:
    for seed in SEEDS:
        rng = random.Random(seed)
        task = draw_task(rng, held_out=False)
        assert true_quality(task.prompt, draw_answer(task, rng, even_damage(0))) == 1
        for aspect in ("Accuracy", "Length", "Format", "Courtesy"):
            answer = draw_answer(task, rng, {**even_damage(0), aspect: 1.0})
            assert levels(task, answer)[aspect] < 3, answer


def test_garbling_makes_many_kinds_of_untidy_answers() -> None:
    rng = random.Random(0)
    task = draw_task(rng, held_out=False)
    garbled = {garble(draw_answer(task, rng, even_damage(0.3)), rng) for _ in range(500)}
    assert "" in garbled
    assert len(garbled) > 350
    assert sum(levels(task, answer)["Courtesy"] == 0 for answer in garbled) > 100


def test_teacher_writes_what_the_library_parses_and_scores_follow_the_comments() -> None:
    rng = random.Random(1)
    for n in (1, 2, 3, 4) * 50:
        task, responses = draw_training_group(rng, n)
        judgement = judge(task, responses, rng)
        scores = parse(Completion(judgement.text), n)
        assert isinstance(scores, Scores)
        assert scores.values == judgement.scores
    task = draw_task(rng, held_out=False)
    best, worst = draw_answer(task, rng, even_damage(0)), ""
    focused = judge(task, [best, worst], rng, shallow=0.0, temperature=0.01)
    assert focused.scores == (10, 1)
    assert all(f"{aspect} excellent" in focused.text for aspect in focused.criteria)


def test_shallow_judgements_have_one_vague_criterion_and_are_often_wrong() -> None:
    rng = random.Random(4)
    task = Task("Name", 3, "fruits", "plus signs", "Variety")
    answer = draw_answer(task, rng, even_damage(0))
    shallow = [judge(task, [answer], rng, shallow=1.0) for _ in range(300)]
    focused = [judge(task, [answer], rng, shallow=0.0) for _ in range(300)]
    assert all(list(found.criteria.values()) == [100] and "this matters" in found.text for found in shallow)
    assert all(len(found.criteria) in (2, 3) and "this matters" not in found.text for found in focused)
    assert 0.5 < sum(found.comments[0] != {**dict.fromkeys(found.criteria, 3)} for found in shallow) / 300 < 0.7
    emphasised = [sum("Variety" in found.criteria for found in some) for some in (shallow, focused)]
    assert emphasised[0] < 75 < 150 < emphasised[1]
    assert all(next(iter(found.criteria)) == "Variety" for found in focused if "Variety" in found.criteria)


def test_groups_keep_to_their_side_and_margin() -> None:
    rng = random.Random(2)
    for _ in range(100):
        group = draw_ranked_group(rng, 3, held_out=True, untidy=0.5)
        assert is_held_out(group.task.prompt)
        ranked = sorted(group.qualities, reverse=True)
        assert group.qualities[group.best] == ranked[0] >= ranked[1] + MARGIN
        assert len(set(group.responses)) == 3
        assert not is_held_out(draw_training_group(rng, 1)[0].prompt)


def test_batches_learn_the_judgement_and_mark_the_right_tokens() -> None:
    tokenizer = build_tokenizer(JUDGE_TEMPLATE, documents=300)
    batch = draw_batch(tokenizer, random.Random(3), 2, 600, lesson="judge")
    emphasise_levels(batch, tokenizer)
    for row, ids in enumerate(batch.ids):
        learned = tokenizer.decode(ids[batch.weights[row] >= 1])
        assert learned.startswith("Specific Criteria:")
        assert learned.endswith("}<|im_end|>")
    for aspect in ASPECTS:
        assert {tokenizer.decode(batch.ids[row, at]) for row, at, _ in batch.marks[aspect]} == {"1", "2"}
    signs = {tokenizer.decode(batch.ids[row, at]).strip()[0] for row, at, _ in batch.marks["right_separator"]}
    assert signs <= set(",-/+")
    padded = collate(tokenizer.backend_tokenizer.encode_batch(["plum", "plum fig"]), tokenizer, [0, 0])
    assert padded.weights[0, -1] == 0


def test_lessons() -> None:
    tokenizer = build_tokenizer(JUDGE_TEMPLATE, documents=300)
    learned = {
        lesson: tokenizer.decode(batch.ids[0][batch.weights[0] >= 1])
        for lesson in ("see", "judge", "score")
        if (batch := draw_batch(tokenizer, random.Random(3), 2, 600, lesson=lesson))
    }
    assert learned["see"].startswith("Analysis:")
    assert learned["judge"].startswith("Specific Criteria:")
    assert learned["score"].startswith("Scores: \\boxed{")


def test_hints_are_those_of_the_product_and_rare() -> None:
    from grm_plugin.judging.outcome import Target
    from grm_plugin.spct.training_prompts import Presentation, TrainingPrompts
    from grm_plugin.types import Group, Message

    tokenizer = build_tokenizer(JUDGE_TEMPLATE, documents=300)
    task = Task("Name", 3, "fruits", "plus signs", "Variety")
    group = Group((Message("user", task.prompt),), ("plum", "fig"))
    prompts = TrainingPrompts(load_config(ROOT / "configs/nano_cpu.yaml"), hint=ROOT / "examples/nano/hint.txt")
    shown = prompts.hinted(Presentation(group, (0, 1), "ABCDEF", Target(2, best=(1,))))
    assert render(tokenizer, task, group.responses, "ABCDEF", hint=1) == shown.messages[0].content + "\n-->\n"
    rows = [tokenizer.decode(ids) for seed in range(20) for ids in _judge_ids(tokenizer, seed)]
    assert 0 < sum("Hint" in row for row in rows) / len(rows) < 3 * HINTED


def _judge_ids(tokenizer: Qwen2Tokenizer, seed: int) -> torch.Tensor:
    return draw_batch(tokenizer, random.Random(seed), 2, 3072, lesson="judge").ids


def test_critiques_mark_what_is_right_and_wrong() -> None:
    tokenizer, rng = build_tokenizer(JUDGE_TEMPLATE, documents=300), random.Random(5)
    for critique in [found for _ in range(20) for found in draw_critiques(tokenizer, rng, 6)]:
        task = _task_of(critique.text)
        emphasised = {critique.text[: place + 1].split()[-1] for place, truth in critique.criteria if truth}
        assert emphasised <= {task.emphasis}
        assert all(critique.text[: place + 1].split()[-1] in LEVELS for place, _ in critique.comments)
        assert (critique.error == 0) == all(truth for _, truth in critique.comments)
        assert -2 <= critique.coverage <= 0 <= critique.error <= 4


def _task_of(text: str) -> Task:
    from examples.nano.domain import parse_prompt

    return parse_prompt(text.removeprefix("Query: ").splitlines()[0])


def test_soundness_by_hand() -> None:
    tokenizer = build_tokenizer(JUDGE_TEMPLATE, documents=300)
    task = Task("Name", 2, "fruits", "commas", "Variety")
    group = RankedGroup(task, ("plum, fig. Enjoy!", "plum, plum. Enjoy!"), (1.0, 0.8), 0)
    comments = ({"Variety": 3, "Length": 2}, {"Variety": 0, "Length": 3})
    text = (
        "Specific Criteria:\n1. Variety: no item twice (70%)\n2. Length: right number of items (30%)\nAnalysis:\n"
        "Response 1: Variety excellent, Length good\nResponse 2: Variety bad, Length excellent\nScores: \\boxed{9, 4}"
    )
    found = check(tokenizer, group, Judgement(text, (9, 4), {"Variety": 70, "Length": 30}, comments), "ABCDEF")
    # The rule: Variety one half, the others an eighth each. True levels: all 3, but Variety of the second is 2.
    assert found.coverage == pytest.approx(-(0.2 + 0.175 + 3 * 0.125))
    assert found.error == pytest.approx(0.3 * 1 / 3 + 0.7 * 2 / 3)
    assert [truth for _, truth in found.comments] == [True, False, False, True]
    assert [truth for _, truth in found.criteria] == [True, False]
    assert found.soundness == pytest.approx(found.coverage - found.error)
