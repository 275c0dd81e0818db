"""What a rule may take and return, in real processes."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from grm_plugin.rules.runner import RuleRunner
from grm_plugin.rules.worker import PROBLEM_CHARS
from grm_plugin.types import RuleScore
from support.rule_files import ASKED, RULES, Runner, score


async def test_a_function_is_given_what_it_takes(runner: Runner) -> None:
    checked = runner("has_box", "right", "all_of_them", "anything", "keywords", "shortness")
    assert await score(checked, "has_box", r"so \boxed{42}") == RuleScore(1.0)
    assert await score(checked, "has_box", "so 42") == RuleScore(0.0)
    assert await score(checked, "right", "42") == RuleScore(None), "it does not apply"
    assert await checked.score("right", ASKED, "42", "42") == RuleScore(1.0)
    assert await checked.score("all_of_them", ASKED, "42", "6", "math") == RuleScore(1.0)
    assert await score(checked, "anything") == RuleScore(1.0)
    assert await score(checked, "keywords") == RuleScore(0.25)
    assert await score(checked, "shortness") == RuleScore(0.5)
    with pytest.raises(KeyError):
        await score(checked, "no_such_rule")


@pytest.mark.parametrize("text", ["True", "1", "1.0", "Item(True)", "Item(1)", "__import__('fractions').Fraction(1)"])
async def test_a_number_or_truth_value_is_the_score(runner: Runner, text: str) -> None:
    assert await score(runner("says"), "says", text) == RuleScore(1.0)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("math.nan", "returned nan"),
        ("math.inf", "returned inf"),
        ("-math.inf", "returned -inf"),
        ("7.5", "returned 7.5"),
        ("-0.001", "returned -0.001"),
        ("10**400", "raised OverflowError"),
        ("'1'", "returned '1'"),
        ("'x' * 10**7", "returned 'xxx"),
        ("[0.5]", "returned [0.5]"),
        ("Item(math.nan)", "returned <"),
        ("Item(Item(1))", "returned <"),
        ("(n for n in [1])", "returned <generator"),
        ("{}['key']", "raised KeyError"),
        ("1 +", "raised SyntaxError"),
    ],
)
async def test_anything_else_is_a_problem(runner: Runner, text: str, told: str) -> None:
    found = await score(runner("says"), "says", text)
    assert found.value is None
    assert found.problem.startswith(told)
    assert len(found.problem) <= PROBLEM_CHARS


async def test_any_text_arrives_as_it_is(runner: Runner) -> None:
    checked = runner("surrogate", "length", "right")
    assert await score(checked, "surrogate", "\ud800 \U0001f600") == RuleScore(1.0)
    assert await score(checked, "length", "\u6c34" * 5_000_000) == RuleScore(1.0)
    for text in ("\0", "]\n{}", "\x1b[2J", ""):
        assert await checked.score("right", (), text, text) == RuleScore(1.0)


async def test_an_error_is_told_with_its_line(runner: Runner) -> None:
    checked = runner("raises", "raises_worse")
    line = RULES.splitlines().index('    raise ValueError("no\\nnumber in " + response)') + 1
    assert await score(checked, "raises", "this") == RuleScore(
        None, f"raised ValueError in line {line}: no number in this"
    )
    long = (await score(checked, "raises", "x" * 10**6)).problem
    assert len(long) <= PROBLEM_CHARS
    assert (await score(checked, "raises_worse")).problem.startswith("raised Silent in line")


def test_a_worker_loads_nothing_of_the_package(rules: Path, tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(
        "import sys\ndef f(response): return not [n for n in sys.modules if n.split('.')[0] in response.split()]\n"
    )
    checked = RuleRunner({"light": f"{tmp_path / 'own.py'}:f"}, 30.0, 1)
    checked.check()
    found = asyncio.run(checked.score("light", ASKED, "grm_plugin torch vllm ray pydantic numpy asyncio"))
    checked.close()
    assert found == RuleScore(1.0)
