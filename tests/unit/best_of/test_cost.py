"""The arithmetic of cost."""

from __future__ import annotations

import pytest

from grm_plugin.best_of.cost import Model, Tokens, cost_of, flops_per_token, tokens_of
from grm_plugin.best_of.problems import problem_of


def test_the_papers_figure_for_llama_3_8b() -> None:
    assert flops_per_token(8.03e9, 32, 4096, 500) == pytest.approx(1.63e10, rel=2e-3)


def test_the_prompt_is_paid_once() -> None:
    tokens = Tokens(read=100, read_each=0, written_each=50, context=150)
    model = Model(params=1e9, price_in=1.0, price_out=10.0)
    one, eight = cost_of(model, tokens, 1), cost_of(model, tokens, 8)
    assert (one.flops, eight.flops) == (pytest.approx(2e9 * 150), pytest.approx(2e9 * 500))
    assert (one.money, eight.money) == (pytest.approx(600e-6), pytest.approx(4100e-6))


def test_experts_cost_by_their_active_parameters_alone() -> None:
    tokens = Tokens(10, 0, 10, 20)
    dense, active = cost_of(Model(params=16e9), tokens, 4).flops, cost_of(Model(params=2.4e9), tokens, 4).flops
    assert dense is not None
    assert active is not None
    assert dense / active == pytest.approx(16 / 2.4)


def test_what_is_not_known_is_not_made_up() -> None:
    nothing = cost_of(Model(), Tokens(1, 1, 1, 1), 4)
    assert (nothing.flops, nothing.money) == (None, None)
    assert cost_of(Model(params=1.0), Tokens(1, 1, 1, 1), 4).and_(nothing).flops is None


def test_tokens_that_nobody_counted_are_a_fourth_of_the_characters() -> None:
    guessed = tokens_of([problem_of({"prompt": "12345678", "samples": ["1234", "12345678"]})])
    assert (guessed.read, guessed.written_each, guessed.guessed) == (2.0, 1.5, True)
    counted = tokens_of([problem_of({"prompt": "1234", "prompt_tokens": 9, "samples": ["a", "b"], "tokens": [4, 6]})])
    assert (counted.read, counted.written_each, counted.context, counted.guessed) == (9, 5, 14, False)
