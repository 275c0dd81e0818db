"""Tokens against being right."""

from __future__ import annotations

from dataclasses import replace

import pytest

from grm_plugin.batch.vote_store import ItemVotes
from grm_plugin.evals.analysis import analyse
from grm_plugin.evals.bias.token_gains import critique_lengths, method_costs
from support.vote_factories import make_record, manifest, vote


def test_a_method_costs_its_votes() -> None:
    votes = [vote(9, 1, tokens=10), vote(9, 1, tokens=30)]
    records = [make_record(votes, [vote(9, 1, tokens=25)])]
    report = analyse(manifest(k=2), records)
    assert {cost.method: cost.tokens for cost in method_costs(records, report.overall())} == {
        "greedy": 25,
        "@1": 20,
        "@2": 40,
    }


def test_stores_without_tokens_have_no_costs_and_no_lengths() -> None:
    records = [make_record([vote(9, 1), vote(9, 1)])]
    assert method_costs(records, analyse(manifest(k=2), records).overall()) == []
    assert critique_lengths(records) is None
    assert critique_lengths([make_record([vote(7, tokens=9)], label=1)]) is None


def test_quarters_by_hand() -> None:
    """The two longest of four votes are right; a tie is not."""
    votes = [vote(5, 5, tokens=10), vote(1, 9, tokens=20), vote(9, 1, tokens=30), vote(9, 1, tokens=40)]
    found = critique_lengths([make_record(votes)])
    assert found is not None
    assert [(quarter.tokens, quarter.right.value) for quarter in found.quarters] == [(10, 0), (20, 0), (30, 1), (40, 1)]
    assert found.effect is not None
    assert found.effect.value == 1.0


def hard_and_easy() -> list[ItemVotes]:
    """Hard items have long critiques, which are mostly wrong; within an item length says nothing."""
    records = []
    for number in range(200):
        hard = number % 2
        right, wrong = vote(9, 1), vote(1, 9)
        votes = [wrong, wrong, wrong, right] if hard else [right, right, right, wrong]
        turned = votes[number // 2 % 4 :] + votes[: number // 2 % 4]
        sized = [replace(each, tokens=100 + 400 * hard + 10 * place) for place, each in enumerate(turned)]
        records.append(make_record(sized, name=f"item {number}"))
    return records


def test_hard_items_do_not_make_long_critiques_look_worse() -> None:
    found = critique_lengths(hard_and_easy())
    assert found is not None
    assert [quarter.right.value for quarter in found.quarters] == pytest.approx([0.75, 0.75, 0.25, 0.25])
    assert found.effect is not None
    assert (found.effect.value, found.effect.sign) == (pytest.approx(0.0), 0)
