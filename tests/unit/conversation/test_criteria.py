"""What is read of the criteria that samples bring."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from grm_plugin.conversation.criteria import read_criteria
from grm_plugin.conversation.labels import Label, read_label
from grm_plugin.errors import PromptError
from grm_plugin.types import Criterion

OWN = {"name": "right", "text": "Is it right?", "weight": 2, "kind": "yes_no"}
READ = Criterion("right", "Is it right?", 2.0, "yes_no")


@pytest.mark.parametrize(
    ("value", "criteria"),
    [
        ([OWN], (READ,)),
        (json.dumps([OWN]), (READ,)),
        (np.array([OWN], dtype=object), (READ,)),
        ((READ,), (READ,)),
        ([{"text": "Is it right?"}], (Criterion("1 Is it right?", "Is it right?"),)),
        (
            ["Is it right?", "Is it kind?"],
            (Criterion("1 Is it right?", "Is it right?"), Criterion("2 Is it kind?", "Is it kind?")),
        ),
        ([OWN | {"weight": -2}], (Criterion("right", "Is it right?", 2.0, "penalty"),)),
        ([{"name": "Правда", "text": "Правильно ли это?"}], (Criterion("Правда", "Правильно ли это?"),)),
        (
            [
                {"criterion": "Names plum.", "points": 5, "tags": ["level:example"]},
                {"criterion": "Is rude.", "points": -3},
            ],
            (
                Criterion("1 Names plum.", "Names plum.", 5.0, "yes_no"),
                Criterion("2 Is rude.", "Is rude.", 3.0, "penalty"),
            ),
        ),  # HealthBench, RubricHub, verl-rubric
        (
            [{"title": "Plum", "description": "Essential Criteria: names plum.", "weight": 5}],
            (Criterion("1 Plum", "Essential Criteria: names plum.", 5.0, "yes_no"),),
        ),  # Rubrics as Rewards
        (
            {"query": "Fruit?", "rubrics": [{"description": "Names plum", "weight": 0.5}]},
            (Criterion("1 Names plum", "Names plum", 0.5, "yes_no"),),
        ),  # open-instruct
        (
            [OWN | {"weight": None, "kind": None, "criterion": None}],
            (Criterion("right", "Is it right?"),),
        ),  # as tables fill up fields that other rows have
        (
            [{"name": "safe", "description": "Names a doctor.", "kind": "must", "weight": 2}],
            (Criterion("safe", "Names a doctor.", 2.0, "must"),),
        ),  # another's form with fields of ours
        (
            [{"criterion": "Names plum.", "weight": 5}],
            (Criterion("1 Names plum.", "Names plum.", 5.0, "yes_no"),),
        ),
        (
            "1. The response names plum. [Hard Rule]\n2. The response is kind. [Principle]\n",
            (
                Criterion("1 The response names plum.", "The response names plum.", 1.0, "yes_no"),
                Criterion("2 The response is kind.", "The response is kind."),
            ),
        ),  # OpenRubrics
    ],
)
def test_what_is_read(value: Any, criteria: tuple[Criterion, ...]) -> None:
    assert read_criteria(value) == criteria


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("be nice", "must be a list"),
        ('[{"text": ', "no JSON"),
        ({"a": 1}, "must be a list"),
        ([1], "criterion 0 must be an object"),
        ([OWN | {"wieght": 2}], "unknown field 'wieght'"),
        ([OWN | {"weight": True}], "weight must be a number"),
        ([OWN | {"weight": "2"}], "weight must be a number"),
        ([OWN | {"weight": float("nan")}], "finite"),
        ([OWN | {"weight": float("inf")}], "finite"),
        ([OWN | {"weight": 1e308}], "1e-09 to 1e"),
        ([OWN | {"weight": 1e-320}], "1e-09 to 1e"),
        ([OWN | {"weight": 10**400}], "1e-09 to 1e"),
        (f'[{{"text": "x", "weight": {10**400}}}]', "1e-09 to 1e"),
        ([OWN | {"weight": 0}], "sum to zero"),
        ([OWN | {"kind": "scale", "weight": -1}], "0 or more, or kind penalty"),
        ([OWN | {"kind": "must", "weight": -1}], "0 or more, or kind penalty"),
        ([OWN | {"kind": "likert"}], "unknown kind 'likert'"),
        ([OWN | {"kind": "rule"}], "never in data"),
        ([OWN | {"text": None}], "must be texts"),
        ([OWN | {"text": "\u200b \n"}, OWN], "two criteria"),
        ([OWN, OWN], "two criteria are named 'right'"),
        ([OWN | {"name": f"c{number}"} for number in range(500)], "500 criteria"),
        ([OWN | {"text": "x" * 5_000}], "longer than"),
        ([OWN | {"name": "a\nb"}], "printable"),
    ],
)
def test_what_is_refused(value: Any, message: str) -> None:
    with pytest.raises(PromptError, match=message):
        read_criteria(value)


def test_a_label_holds_them() -> None:
    label = {"reference": "4", "criteria": [OWN], "source": "math"}
    assert read_label(label) == read_label(json.dumps(label)) == Label("4", None, (READ,), "math")
    assert read_label("4", None, [OWN], "math") == Label("4", None, (READ,), "math")
    assert read_label(None, None, float("nan"), None) == Label()


def test_the_label_of_open_instruct() -> None:
    label = {"query": "Fruit?", "rubrics": [{"description": "Names plum", "weight": 0.5}]}
    assert read_label(json.dumps(label)).criteria == (Criterion("1 Names plum", "Names plum", 0.5, "yes_no"),)


def test_they_stand_in_one_place() -> None:
    with pytest.raises(PromptError, match="one place"):
        read_label({"criteria": [OWN]}, None, [OWN])
