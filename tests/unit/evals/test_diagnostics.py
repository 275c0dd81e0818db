"""How a GRM behaved, and the paper's figures beside its own."""

from __future__ import annotations

from grm_plugin.evals.diagnostics import diagnose
from grm_plugin.evals.reports.paper_tables import published
from support.vote_factories import make_record, vote


def test_position_bias_is_told_from_chance() -> None:
    """The GRM that always prefers what is shown first: it wins all votes, and the orders always disagree."""
    votes = [vote(9, 1, order=(0, 1)), vote(1, 9, order=(1, 0))]
    found = diagnose([make_record(votes=votes)], rated=False)
    assert (found.first, found.first_by_chance, found.flips) == (1.0, 0.5, 1.0)
    assert (found.flips_same_order, found.order_effect, found.order_effect_ci95) == (None, None, None)
    fair = [vote(9, 1, order=(0, 1)), vote(9, 1, order=(1, 0)), vote(5, 5, order=(1, 0))]
    found = diagnose([make_record(votes=fair)], rated=False)
    assert (found.first, found.flips) == (0.5, 0.0)


def test_what_sampling_does_is_taken_off_from_what_the_order_does() -> None:
    """Each order once for either response: votes differ in half of the pairs across, and in every pair of one order."""
    votes = [vote(*scores, order=order) for order in ((0, 1), (1, 0)) for scores in ((9, 1), (1, 9))]
    found = diagnose([make_record(votes=votes)], rated=False)
    assert (found.flips, found.flips_same_order, found.order_effect) == (0.5, 1.0, -0.5)


def test_tokens_are_counted_per_vote_and_per_item() -> None:
    found = diagnose([make_record(votes=[vote(9, 1, tokens=10), vote(tokens=30)])], rated=False)
    assert (found.tokens_per_vote, found.tokens_per_item, found.parsed, found.votes) == (
        20,
        40,
        1,
        2,
    )


def test_the_papers_figures() -> None:
    assert published("Overall", "greedy") == 69.9
    assert published("RMB", "meta@32") == 70.3
    assert published("ReaLMistake", "@8") == 74.4
    assert published("RMB", "@4") is None
