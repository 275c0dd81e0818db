"""Every template that ships shows all that is judged, in every list that its judges can be shown."""

from __future__ import annotations

from dataclasses import replace

import pytest

from grm_plugin.config import JudgeConfig
from grm_plugin.config.fields import SHIPPED, shipped_templates
from grm_plugin.config.presets import PRESETS
from grm_plugin.judging.prompts import PromptBuilder
from grm_plugin.types import Group, Message
from support.factories import make_config, responses_shown

ANSWERS = ("boxed", "brackets", "json", "score", "verdict", "regex")


def builder_of(judge: JudgeConfig) -> PromptBuilder:
    return PromptBuilder(judge.template, None, judge)


def prompt_of(judge: JudgeConfig, n: int) -> str:
    group = Group((Message("user", "Which?"),), tuple(f"answer {index}" for index in range(n)), "ref", "notes")
    return builder_of(judge).listwise(group, tuple(range(n)), "QWERTZ").messages[0].content


def test_every_template_is_used() -> None:
    of_presets = {str(preset.keys["template"]).removeprefix(SHIPPED) for preset in PRESETS.values()} - {"None"}
    assert of_presets | {"listwise", "criteria", "meta_rm", "deepseek_grm_meta_rm"} == set(shipped_templates())


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_shows_all_that_is_judged(name: str) -> None:
    judge = make_config(judge={"preset": name}).judge
    assert builder_of(judge).check() == []
    sizes = [2] if judge.pairs else range(1, min(4, PRESETS[name].largest) + 1)
    for n in sizes:
        assert judge.reads(n)
        prompt = prompt_of(judge, n)
        assert [prompt.count(f"answer {index}\n") for index in range(n)] == [1] * n
        assert "ref" in prompt
        assert "notes" in prompt
        assert "\n\n\n" not in prompt
        assert not [line for line in prompt.splitlines() if line != line.rstrip()]


def test_meta_rm_templates_show_all_that_was_judged() -> None:
    for template in (None, "builtin:deepseek_grm_meta_rm"):
        assert PromptBuilder(None, template).check() == []


@pytest.mark.parametrize("answer", ANSWERS)
@pytest.mark.parametrize("scale", [[1, 10], [0, 5]])
def test_the_general_template_asks_for_what_is_read(answer: str, scale: list[int]) -> None:
    of_two = {"list_size": 2} if answer == "verdict" else {}
    pattern = {"pattern": r"X=(\d+)(?:,(\d+))?", "list_size": 2} if answer == "regex" else {}
    scaled = {} if answer == "verdict" else {"scale": scale}
    judge = make_config(judge={"answer": answer, **of_two, **pattern, **scaled}).judge
    assert builder_of(judge).check() == []
    asked = prompt_of(judge, 2).partition("#### Output format ####")[2]
    wanted = {
        "boxed": r"Scores: \boxed{x, x}",
        "brackets": "Scores: [x, x]",
        "json": '{"scores": [x, x]}',
        "score": f"Response 1: x/{scale[1]}\nResponse 2: x/{scale[1]}",
        "verdict": "Verdict: [[X]]",
        "regex": r"X=(\d+)(?:,(\d+))?",
    }
    assert wanted[answer] in asked
    assert [other for other in set(wanted) - {answer} if wanted[other] in asked] == []
    assert (f"from {scale[0]} to {scale[1]}" in prompt_of(judge, 2)) == (answer != "verdict")


def test_the_deepseek_template_has_the_published_sections() -> None:
    prompt = prompt_of(make_config(judge={"preset": "deepseek_grm"}).judge, 2)
    headings = ["Evaluation Criteria", "Conversation Context", "Responses to be Scored", "Output Format Requirements"]
    places = [prompt.index(f"#### {heading} ####") for heading in headings]
    assert places == sorted(places)
    assert [prompt.splitlines()[line].partition(":")[0] for line in (-3, -2, -1)] == [
        "Specific Criteria",
        "Analysis",
        "Scores",
    ]
    meta = PromptBuilder(None, "builtin:deepseek_grm_meta_rm")
    group = replace(Group((Message("user", "Which?"),), ("a", "b")))
    request, critique = meta.meta(group, (1, 0), "QWERTZ", "the critique")
    assert "Criteria" not in request.content
    assert critique.content == "the critique"


def test_the_fences_of_the_general_template_stay() -> None:
    group = Group((Message("user", "Which?"),), ("a", "b"))
    prompt = PromptBuilder().listwise(group, (0, 1), "QWERTZ")
    assert "[begin of response 1 QWERTZ]\na\n[end of response 1 QWERTZ]" in prompt.messages[0].content
    assert responses_shown(prompt) == ["a", "b"]
