"""Criteria in the configuration."""

from __future__ import annotations

from typing import Any

import pytest

from grm_plugin.errors import ConfigError
from grm_plugin.types import Criterion
from support.factories import make_config

RIGHT = {"name": "right", "text": "Is it right?"}
RULE = {"name": "short", "kind": "rule", "function": "rules.py:short"}


def test_they_are_chosen_by_source() -> None:
    criteria = [RIGHT, RULE | {"when": {"source": "math"}, "gate": True}]
    judge = make_config(judge__criteria=criteria, judge__overall={"when": {"source": "chat"}}).judge
    assert judge.criteria_for(None) == (Criterion("right", "Is it right?"),)
    assert judge.rules_for(None) == ()
    assert [rule.name for rule in judge.rules_for("math")] == ["short"]
    assert judge.gates == {"short"}
    assert judge.columns == ("right", "short")
    assert [judge.asks_overall(source) for source in ("chat", "math", None)] == [True, False, False]


def test_a_negative_weight_makes_a_penalty() -> None:
    [config] = make_config(
        judge__criteria=[RIGHT | {"kind": "yes_no", "weight": -2}, RIGHT | {"name": "b"}]
    ).judge.criteria[:1]
    assert config.criterion == Criterion("right", "Is it right?", 2.0, "penalty")


def test_the_path_of_a_function_is_absolute() -> None:
    [rule] = make_config(judge__criteria=[RULE]).judge.criteria
    assert rule.function is not None
    assert rule.function.startswith("/")
    assert rule.function.endswith("/rules.py:short")


@pytest.mark.parametrize(
    ("criteria", "message"),
    [
        ([RIGHT | {"weight": 0}], "sum to zero"),
        ([RIGHT | {"weight": -1}], "or kind penalty"),
        ([RIGHT | {"weight": 1e308}, RIGHT | {"name": "b", "weight": 1e308}], "1e-09 to 1e"),
        ([RIGHT | {"weight": 0}, RULE], "sum to zero"),
        ([RIGHT | {"kind": "likert"}], "scale"),
        ([RIGHT, RIGHT], "two criteria are named 'right'"),
        ([RIGHT, RULE | {"name": "right"}], "two criteria are named 'right'"),
        ([{"name": "right"}], "has no text"),
        ([RIGHT | {"name": ""}], "needs a name"),
        ([RIGHT | {"function": "rules.py:short"}], "go together"),
        ([{"name": "short", "kind": "rule"}], "go together"),
        ([RULE | {"function": "short"}], "FILE.py:FUNCTION"),
        ([RULE | {"function": "rules.py:a b"}], "FILE.py:FUNCTION"),
        ([RIGHT | {"gate": True}], "use kind must"),
        ([RIGHT | {"when": {"source": []}}], "source"),
        ([RIGHT | {"when": {"sauce": "math"}}], "sauce"),
        (
            [RIGHT | {"weight": 0, "when": {"source": "math"}}, RIGHT | {"name": "b", "when": {"source": "chat"}}],
            "source math",
        ),
        ([RIGHT | {"name": f"c{number}"} for number in range(500)], "500 criteria"),
    ],
)
def test_what_is_refused(criteria: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_config(judge__criteria=criteria)


def test_a_gate_may_weigh_nothing_beside_what_the_grm_says() -> None:
    gate = RULE | {"gate": True, "weight": 0}
    must = RIGHT | {"kind": "must"}
    for criteria in ([gate], [gate, must]):
        assert make_config(judge__criteria=criteria).judge.gates == {"short"}
    chat = {"when": {"source": "chat"}}
    for overall in ({"weight": 0}, chat):
        with pytest.raises(ConfigError, match="sum to zero"):
            make_config(judge__criteria=[gate], judge__overall=overall)
    of_math = gate | {"when": {"source": "math"}}
    with pytest.raises(ConfigError, match=r"source math.*sum to zero"):
        make_config(judge__criteria=[of_math], judge__overall=chat)
    make_config(judge__criteria=[gate | chat], judge__overall=chat)


def test_a_judge_of_pairs_has_none() -> None:
    with pytest.raises(ConfigError, match="compares pairs"):
        make_config(judge__criteria=[RIGHT], judge__preset="rm_r1")


@pytest.mark.parametrize("principles", ["", "  ", {}, {"text": "a", "file": "b"}, {"path": "b"}])
def test_principles_that_say_nothing_are_refused(principles: Any) -> None:
    with pytest.raises(ConfigError, match="principles"):
        make_config(judge__principles=principles)
