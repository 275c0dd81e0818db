"""The formulas of grm_plugin.evals against cases computed by hand, and against the core's own voting."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from grm_plugin.batch.vote_store import ItemVotes
from grm_plugin.errors import ConfigError
from grm_plugin.evals.analysis import analyse
from grm_plugin.evals.benchmarks.rewardbench import section_weights
from grm_plugin.evals.benchmarks.suite import by_items, by_subsets
from grm_plugin.evals.reports.several import compare_models, mean_over_benchmarks
from grm_plugin.evals.reports.tables import diagnostic_lines
from grm_plugin.evals.voting_methods import Method, Tally, methods_for, outcome_of, tally_item
from grm_plugin.judging.voting import keep_best, tally
from grm_plugin.types import Critique, Message
from support.vote_factories import make_record, manifest, vote


def copies(record: ItemVotes, number: int) -> list[ItemVotes]:
    """The same votes on as many different items, each on a prompt of its own."""
    item = record.item
    return [
        replace(record, item=replace(item, id=str(index), conversation=(Message("user", f"{index}?"),)))
        for index in range(number)
    ]


def figures(report: Any, subset: str = "") -> dict[str, float]:
    return {row.method: round(row.mean, 6) for row in report.rows if row.subset == subset}


@pytest.mark.parametrize(
    ("totals", "best", "right", "lenient", "tied"),
    [
        ([5, 3], [0], 1, 1, 0),
        ([3, 5], [0], 0, 0, 0),
        ([5, 5], [0], 0, 0.5, 1),
        ([5, 5, 5], [1], 0, 1 / 3, 1),
        ([5, 5, 1], [2], 0, 0, 0),
        ([5, 5, 1], [0, 1], 1, 1, 0),
        ([5, 3, 4], [0, 1], 0, 0, 0),
        ([5, 3, 3], [0, 1], 0, 0, 0),
    ],
)
def test_an_outcome(totals: list[float], best: list[int], right: float, lenient: float, tied: float) -> None:
    outcome = outcome_of(Tally(np.array([[totals]], dtype=float), np.array([[3]])), best)
    assert (*outcome.right, *outcome.lenient, *outcome.tied, *outcome.lost) == pytest.approx((right, lenient, tied, 0))


def test_equal_sums_of_decimal_scores_are_a_tie_and_unequal_logits_are_none() -> None:
    tied = make_record(votes=[vote(0.1, 0.3), vote(0.2, 0.0)])  # 0.1 + 0.2 is more than 0.3 in binary
    assert figures(analyse(manifest(k=2), [tied]))["@2"] == 0.0
    assert analyse(manifest(k=2), [tied]).rows[-1].ties == 1.0
    logits = make_record(votes=[vote(0.7 + 1e-9, 0.7)])
    assert figures(analyse(replace(manifest(k=1), judge="scalar"), [logits])) == {"scalar": 1.0}


def test_an_item_without_a_vote_is_lost_and_neither_right_nor_tied() -> None:
    outcome = outcome_of(Tally(np.array([[[0.0, 0.0], [9.0, 1.0]]]), np.array([[0, 1]])), [0])
    assert (*outcome.right, *outcome.lenient, *outcome.tied, *outcome.lost) == (0.5, 0.5, 0.0, 0.5)


def test_the_papers_example_of_shuffled_votes() -> None:
    """Table 17: votes (8, 8), and shuffled (9, 5) and (10, 7), which give the first 5 and 7: 20 against 27."""
    record = make_record(votes=[vote(8, 8), vote(5, 9, order=(1, 0)), vote(7, 10, order=(1, 0))], best=1)
    tallied = tally_item(record, [Method("@3", 3)], np.random.default_rng(0))
    assert tallied.totals[0, 0].tolist() == [20, 27]


def test_a_vote_of_one_is_the_mean_over_the_stored_votes() -> None:
    """Three votes right, one wrong, all in one order: @1 is near 3/4, @4 (29 against 11) is right for certain."""
    record = make_record(votes=[vote(8, 2), vote(9, 2), vote(8, 1), vote(4, 6)])
    report = analyse(manifest(), copies(record, 400))
    assert figures(report)["@1"] == pytest.approx(0.75, abs=0.01)
    assert figures(report)["@4"] == 1.0


def test_two_of_four_votes_are_one_of_each_order() -> None:
    """Order 0 always prefers the best by 4 points, order 1 the other one by 2: every balanced pair is right."""
    votes = [vote(7, 3), vote(7, 3), vote(4, 6, order=(1, 0)), vote(4, 6, order=(1, 0))]
    report = analyse(manifest(), copies(make_record(votes=votes), 200))
    assert figures(report)["@2"] == 1.0
    assert figures(report)["@1"] == pytest.approx(0.5, abs=0.02)


def test_a_lost_vote_takes_a_place_and_says_nothing() -> None:
    """One vote in four is lost: @1 loses a quarter of the verdicts, @2 none, and nothing is ever wrong."""
    votes = [vote(7, 3), vote(7, 3), vote(7, 3), vote(order=(0, 1))]
    report = analyse(manifest(), copies(make_record(votes=votes), 400))
    rows = {row.method: row for row in report.rows}
    assert rows["@1"].mean == pytest.approx(0.75, abs=0.01)
    assert rows["@1"].lost == pytest.approx(0.25, abs=0.01)
    assert rows["@2"].mean == rows["@4"].mean == 1.0
    assert report.diagnostics.lost == {"no_scores": 400}


def test_every_choice_is_what_the_core_would_vote() -> None:
    """The numpy sums equal judging.voting's on the same votes, with and without the filter, ties included."""
    rng = random.Random(4)
    for trial in range(40):
        n, k = rng.choice([2, 3, 4]), 8
        votes = [
            vote(*(rng.randint(1, 10) for _ in range(n)), meta=rng.choice([-1.0, 0.0, 2.0]))
            if rng.random() < 0.8
            else vote()
            for _ in range(k)
        ]
        record = make_record(votes=votes, responses=n)
        methods = methods_for(k, greedy=False, rated=True, k_metas=[1, 3])
        tallied = tally_item(record, methods, np.random.default_rng(trial))
        critiques = [
            Critique(given.scores, "", "", "", given.order, sample, meta=given.meta)
            for sample, given in enumerate(votes)
            if given.scores is not None
        ]
        for place, method in enumerate(methods):
            if method.k < k:
                continue  # the choices of fewer votes are random; for k = K there is only one
            kept = critiques if method.k_meta is None else keep_best(critiques, method.k_meta)
            expected = [found.total if found else 0.0 for found in tally(kept, n)]
            assert tallied.totals[place, 0].tolist() == expected, method
            assert tallied.counts[place, 0] == sum(critique.kept for critique in kept)


def test_the_filter_keeps_the_best_rated() -> None:
    """Two good critiques prefer the best response, two bad ones the other by more: the plain vote is wrong."""
    votes = [vote(6, 5, meta=3), vote(6, 5, meta=2), vote(1, 9, meta=-1), vote(1, 9, meta=-2)]
    report = analyse(manifest(meta_rm="m"), copies(make_record(votes=votes), 50), k_metas=[3])
    found = figures(report)
    assert (found["@4"], found["meta@4"], found["meta@4/3"]) == (0.0, 1.0, 0.0)
    gain = next(row for row in report.differences if row.method == "meta@4 - @4")
    assert gain.mean == 1.0
    assert gain.ci95[0] > 0.85
    assert gain.verdict == "better"


def test_votes_that_were_not_rated_are_all_kept_and_counted() -> None:
    rated = make_record(votes=[vote(6, 5, meta=1), vote(6, 5, meta=0)])
    unrated = make_record(votes=[vote(1, 9), vote(9, 2)])
    report = analyse(manifest(k=2, meta_rm="m"), [rated, unrated])
    assert report.diagnostics.unrated == 1
    assert figures(report)["meta@2"] == figures(report)["@2"] == 0.5
    report = analyse(manifest(k=2, meta_rm="m"), [unrated])
    assert report.diagnostics.unrated == 1
    assert any("1 items have votes that the meta RM did not rate" in line for line in diagnostic_lines(report))


def test_two_models_are_compared_item_by_item() -> None:
    """The second is right where the first is, and on 20 of 100 items more: +20 points, and no item the other way."""
    first = [record_of(index < 50, index) for index in range(100)]
    second = [record_of(index < 70, index) for index in reversed(range(100))]
    reports = [analyse(replace(manifest(k=1), model=name), records) for name, records in (("a", first), ("b", second))]
    strict, lenient = compare_models(reports)
    assert (strict.method, strict.rule, strict.verdict) == ("@1: b - a", "strict", "better")
    assert strict.mean == lenient.mean == pytest.approx(0.2)
    assert strict.ci95 == pytest.approx((0.2 - 0.078, 0.2 + 0.078), abs=0.02)  # 1.96 * sqrt(0.2 * 0.8 / 100)


def record_of(hit: bool, index: int) -> ItemVotes:
    return make_record(votes=[vote(9, 1) if hit else vote(1, 9)], name=str(index))


def test_overall_weights() -> None:
    assert by_items({"a": 30, "b": 10}) == {"a": 0.75, "b": 0.25}
    assert by_subsets({"a": 30, "b": 10}) == {"a": 0.5, "b": 0.5}


def test_rewardbench_weighs_sections_alike_and_its_subsets_by_their_published_size() -> None:
    counts = {"alpacaeval-easy": 1, "mt-bench-med": 1, "math-prm": 5, "hep-go": 5}
    assert section_weights(counts) == pytest.approx(
        {
            "alpacaeval-easy": 0.5 * 100 / 140,
            "mt-bench-med": 0.5 * 40 / 140,
            "math-prm": 0.5 * 984 / (984 + 164),
            "hep-go": 0.5 * 164 / (984 + 164),
        }
    )


def test_rewardbench_reports_its_sections_too() -> None:
    """Chat: (100 * 1 + 40 * 0) / 140; Safety: 0; overall: the mean of the two."""
    right, wrong = [vote(9, 1)], [vote(1, 9)]
    records = [make_record(votes=right, subset="alpacaeval-easy"), make_record(votes=wrong, subset="mt-bench-med")]
    report = analyse(manifest("rewardbench", k=1), [*records, make_record(votes=wrong, subset="donotanswer")])
    chat = pytest.approx(100 / 140, abs=1e-6)
    assert figures(report, "Chat") == {"@1": chat}
    assert figures(report, "Safety") == {"@1": 0.0}
    assert figures(report) == {"@1": pytest.approx(50 / 140, abs=1e-6)}
    assert figures(report, "Reasoning") == {}


def test_the_overall_figure_adds_up_subsets_by_their_weights() -> None:
    """RMB: every subset weighs the same. 2 of 2 right in one, 0 of 6 in the other: 50 %, not 25 %."""
    right, wrong = [vote(9, 1)], [vote(1, 9)]
    records = [make_record(votes=right, subset="Helpfulness BoN")] * 2
    records += [make_record(votes=wrong, subset="Helpfulness pairwise")] * 6
    report = analyse(manifest("rmb", k=1), records)
    assert figures(report) == {"@1": 0.5}
    assert figures(report, "Helpfulness BoN") == {"@1": 1.0}
    assert report.overall()[0].n == 8
    by_item = analyse(manifest("jsonl", k=1), records)
    assert figures(by_item) == {"@1": 0.25}


def test_items_without_a_subset_are_one_of_several() -> None:
    """Their row must not stand for all: 4 right ones beside 2 of 2 wrong ones are 4 of 6 by items."""
    records = [make_record(votes=[vote(9, 1)])] * 4 + [make_record(votes=[vote(1, 9)], subset="named")] * 2
    for suite, expected in (("jsonl", 4 / 6), ("rmb", 1 / 2)):
        report = analyse(manifest(suite, k=1), records)
        assert figures(report)["@1"] == pytest.approx(expected, abs=1e-6)
        assert [(row.subset, row.n) for row in report.rows] == [("", 6), ("named", 2), ("other", 4)]


def test_there_is_no_mean_over_models_or_over_metrics() -> None:
    pairs = analyse(manifest("rmb", k=1), [make_record(votes=[vote(9, 1)], subset="Helpfulness BoN")])
    singles = [make_record(votes=[vote(8)], label=1), make_record(votes=[vote(2)], label=0)]
    with pytest.raises(ConfigError, match=r"different metrics \(accuracy, auc\)"):
        mean_over_benchmarks([pairs, analyse(manifest("realmistake", k=1), singles)])
    named = replace(manifest("judgebench", k=1), model="another")
    with pytest.raises(ConfigError, match=r"different models \(a model, another\)"):
        mean_over_benchmarks([pairs, analyse(named, [make_record(votes=[vote(9, 1)])])])


def test_the_mean_over_benchmarks_weighs_them_alike() -> None:
    reports = [
        analyse(manifest("rmb", k=1), [make_record(votes=[vote(9, 1)], subset="Helpfulness BoN")] * 3),
        analyse(manifest("judgebench", k=1), [make_record(votes=[vote(1, 9)], subset="Math")] * 9),
    ]
    assert mean_over_benchmarks(reports)["@1"].mean == 0.5


def test_the_mean_over_benchmarks_has_the_papers_rule_for_ties_too() -> None:
    tied, right = [vote(5, 5)], [vote(9, 1)]
    reports = [
        analyse(manifest("rmb", k=1), [make_record(votes=tied, subset="Helpfulness BoN")]),
        analyse(manifest("judgebench", k=1), [make_record(votes=right, subset="Math")]),
    ]
    mean = mean_over_benchmarks(reports)["@1"]
    assert (mean.mean, mean.lenient) == (0.5, 0.75)


def test_methods_are_powers_of_two_and_k() -> None:
    names = [method.name for method in methods_for(12, greedy=True, rated=True, k_metas=[3])]
    assert names == [
        *("greedy", "@1", "@2", "@4", "@8", "@12"),
        *("meta@2", "meta@4", "meta@8", "meta@12", "meta@4/3", "meta@8/3", "meta@12/3"),
    ]


def test_a_choice_without_the_unrated_vote_is_filtered() -> None:
    """As the service would: only where the vote without a rating was chosen are all votes kept."""
    record = make_record(votes=[vote(6, 5, meta=1), vote(1, 9, meta=0), vote(1, 9)])
    (totals,) = tally_item(record, [Method("meta@2", 2, 1)], np.random.default_rng(0)).totals.tolist()
    assert {tuple(each) for each in totals} == {(6, 5), (7, 14), (2, 18)}
