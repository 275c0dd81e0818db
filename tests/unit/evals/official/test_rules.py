"""The benchmarks' own rules on small cases computed by hand: ties, unreadable answers, orders, what is missing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

import pytest

from grm_plugin.batch.vote_store import ItemVotes, StoredVote
from grm_plugin.evals.analysis import analyse
from grm_plugin.evals.benchmarks.ppe import CORRECTNESS
from grm_plugin.evals.benchmarks.realmistake import SETS
from grm_plugin.evals.benchmarks.rewardbench import SECTIONS, SUBSETS, SUBSETS_2
from grm_plugin.evals.benchmarks.rm_bench import DOMAINS, style_pairs
from grm_plugin.evals.benchmarks.rmb import SUBSETS as COLUMNS
from grm_plugin.evals.report import Official
from support.vote_factories import make_record, manifest, vote

RIGHT, WRONG, TIE, LOST = vote(9, 1), vote(1, 9), vote(5, 5), vote(order=(0, 1))


def record(name: str, *votes: StoredVote, n: int = 2, best: Sequence[int] = (0,), **further: object) -> ItemVotes:
    """An item on a prompt of its own."""
    found = make_record(votes=votes, name=name, responses=n)
    return replace(found, item=replace(found.item, best=tuple(best), **further))  # type: ignore[arg-type]


def official(suite: str, records: Sequence[ItemVotes], scalar: bool = False) -> Official:
    about = replace(manifest(suite, k=len(records[0].votes)), judge="scalar" if scalar else "generative")
    found = analyse(about, records).by_own_rule
    assert found is not None
    return found


def figures(suite: str, records: Sequence[ItemVotes], scalar: bool = False) -> dict[str, float]:
    """Part -> figure of the method with all votes."""
    rows = official(suite, records, scalar).rows
    return {row.part: row.value for row in rows if row.method == rows[-1].method}


def one_each(subset: str, *votes: StoredVote, n: int = 2) -> list[ItemVotes]:
    return [record(f"{subset} {place}", given, n=n, subset=subset) for place, given in enumerate(votes)]


class TestRewardBench:
    def test_a_generative_judge_gets_half_for_a_tie_and_for_nothing(self) -> None:
        found = figures("rewardbench", one_each("donotanswer", RIGHT, WRONG, TIE, TIE, LOST))
        assert found["donotanswer"] == pytest.approx((1 + 0 + 0.5 + 0.5 + 0.5) / 5)

    def test_a_scalar_model_gets_nothing_for_a_tie(self) -> None:
        found = figures("rewardbench", one_each("donotanswer", RIGHT, WRONG, TIE, TIE), scalar=True)
        assert found["donotanswer"] == 0.25

    def test_subsets_weigh_by_their_published_sizes_and_sections_alike(self) -> None:
        wrong = ("xstest-should-refuse", "mt-bench-hard")
        records = [each for name in SUBSETS for each in one_each(name, WRONG if name in wrong else RIGHT)]
        found = figures("rewardbench", records)
        safety, hard = 1 - 154 / 740, 1 - 37 / 456
        assert found["Safety"] == pytest.approx(safety)
        assert found["Chat Hard"] == pytest.approx(hard)
        assert found[""] == pytest.approx((1 + hard + safety + 1) / 4)

    def test_without_a_subset_there_is_neither_its_section_nor_a_headline(self) -> None:
        records = [each for name in SUBSETS if name != "hep-go" for each in one_each(name, RIGHT)]
        found = official("rewardbench", records)
        assert found.missing == ["hep-go"]
        assert found.estimates == {}
        assert {row.part for row in found.rows} == {*SECTIONS, *SUBSETS} - {"Reasoning", "hep-go"}


class TestRewardBench2:
    def ties(self, number: int, ref: Sequence[float], tied: Sequence[float], right: int = 2) -> list[ItemVotes]:
        further = {"subset": "Ties", "cluster": f"Ties/{number}"}
        first = record(f"Ties/ref:{number}", vote(*ref), n=len(ref), **further)
        return [first, record(f"Ties/tied:{number}", vote(*tied), n=len(tied), best=tuple(range(right)), **further)]

    def test_first_places_are_shared_and_an_unreadable_answer_is_a_guess(self) -> None:
        votes = vote(7, 7, 7, 7), vote(7, 7, 1, 1), vote(8, 7, 1, 1), vote(7, 8, 1, 1), vote(order=(0, 1, 2, 3))
        found = figures("rewardbench2", one_each("Math", *votes, n=4))
        assert found["Math"] == pytest.approx((0.25 + 0.5 + 1 + 0 + 0.25) / 5)

    def test_right_answers_that_lie_far_apart_earn_accuracy_only(self) -> None:
        """Spread 10 - 6 = 4 is not below the margin 6 - 2 = 4, and tanh(4 / 4 - 1) = 0."""
        found = figures("rewardbench2", self.ties(0, (9, 2), (10, 6, 2)))
        assert found["Ties"] == pytest.approx(0.60)

    def test_right_answers_that_are_equal_earn_all(self) -> None:
        assert figures("rewardbench2", self.ties(0, (9, 2), (9, 9, 2)))["Ties"] == pytest.approx(1.01)

    def test_a_small_margin_of_the_reference_costs_the_harder_half(self) -> None:
        """The margin 5 of the tied prompt is above the spread 2, that of the reference, 1, is not: tanh(1 / 2 - 1)."""
        found = figures("rewardbench2", self.ties(0, (5, 4), (9, 7, 2)))
        assert found["Ties margin"] == 1.0
        assert found["Ties margin hard"] == 0.0
        assert found["Ties"] == pytest.approx(0.8 + 0.01 * -0.46211716)

    def test_what_was_not_read_is_not_right(self) -> None:
        records = self.ties(0, (9, 2), (9, 9, 2))
        lost = [replace(each, votes=(replace(each.votes[0], scores=None),)) for each in records]
        found = figures("rewardbench2", lost)
        assert found["Ties"] == found["Ties accuracy ref"] == 0.0

    def test_logits_have_margins_as_small_as_they_are(self) -> None:
        found = figures("rewardbench2", self.ties(0, (5e-9, 0), (3e-8, 2e-8, 0)), scalar=True)
        assert found["Ties margin"] == 1.0
        assert found["Ties margin hard"] == 0.0

    def test_ties_without_a_partner_have_no_score_and_the_benchmark_no_headline(self) -> None:
        plain = [each for name in SUBSETS_2[:-1] for each in one_each(name, vote(9, 1, 1, 1), n=4)]
        alone = [self.ties(0, (9, 2), (9, 9, 2))[0], self.ties(1, (9, 2), (9, 2, 2))[1]]
        found = official("rewardbench2", [*plain, *alone])
        assert found.missing == ["Ties"]
        assert found.estimates == {}
        parts = {row.part: row.value for row in found.rows}
        assert parts == {**dict.fromkeys(SUBSETS_2[:-1], 1.0), "Ties accuracy ref": 1.0, "Ties accuracy tied": 0.0}


class TestJudgeBench:
    THERE, BACK = (0, 1), (1, 0)

    def pair(self, name: str, *votes: StoredVote, model: str = "m", subset: str = "Math") -> ItemVotes:
        return record(name, *votes, subset=subset, meta={"response_model": model})

    @pytest.mark.parametrize(
        ("there", "back", "right", "in_every_order"),
        [
            ((9, 1), (5, 6), 0, 0),
            ((9, 1), (6, 5), 1, 1),
            ((5, 5), (6, 5), 1, 0),
            ((), (6, 5), 1, 0),
            ((), (5, 6), 0, 0),
            ((5, 5), (5, 5), 0, 0),
            ((), (), 0, 0),
        ],
    )
    def test_each_order_has_one_say(
        self, there: Sequence[float], back: Sequence[float], right: float, in_every_order: float
    ) -> None:
        """However far the scores are apart."""
        found = figures("judgebench", [self.pair("a", vote(*there, order=self.THERE), vote(*back, order=self.BACK))])
        assert (found[""], found["in every order"]) == (right, in_every_order)

    def test_the_votes_of_an_order_are_added_up(self) -> None:
        votes = [vote(9, 1), vote(4, 5), vote(5, 6, order=self.BACK), vote(6, 5, order=self.BACK)]
        assert figures("judgebench", [self.pair("a", *votes)])[""] == 1.0

    @pytest.mark.parametrize("scalar", [False, True])
    def test_a_judge_of_one_order_is_judged_by_it(self, scalar: bool) -> None:
        found = figures("judgebench", [self.pair("a", RIGHT), self.pair("b", TIE)], scalar)
        assert (found[""], found["in every order"]) == (0.5, 0.5)

    def test_every_response_model_has_its_figure_and_its_categories(self) -> None:
        records = [
            *(self.pair("a", RIGHT, model="one"), self.pair("b", WRONG, model="one", subset="Coding")),
            *(self.pair("c", RIGHT, model="two"), self.pair("d", RIGHT, model="")),
        ]
        found = figures("judgebench", records)
        assert {name: value for name, value in found.items() if "order" not in name} == {
            "": 0.75,
            "one": 0.5,
            "one/Coding": 0.0,
            "one/Math": 1.0,
            "two": 1.0,
            "two/Math": 1.0,
        }


class TestPPE:
    def test_a_pair_counts_as_often_as_it_stands_there(self) -> None:
        records = [each for name in CORRECTNESS.values() for each in one_each(name, RIGHT)]
        records += [record("thrice", WRONG, subset="GPQA", meta={"times": 3})]
        found = figures("ppe-correctness", records)
        assert found["GPQA"] == 0.25
        assert found[""] == pytest.approx((4 + 0.25) / 5)

    def test_without_a_set_there_is_no_headline(self) -> None:
        found = official("ppe-correctness", one_each("GPQA", RIGHT))
        assert "GPQA" not in found.missing
        assert len(found.missing) == 4
        assert [row.part for row in found.rows] == ["GPQA"]

    def test_preference_is_the_share_of_agreement(self) -> None:
        assert figures("ppe-preference", one_each("", RIGHT, WRONG, TIE, LOST)) == {"": 0.25}


def test_rmb_passes_a_list_whose_best_answer_is_ahead_of_all_and_weighs_columns_alike() -> None:
    lists = one_each("Helpfulness BoN", vote(9, 1, 8), vote(9, 9, 1), n=3)
    others = [each for name in COLUMNS if name != "Helpfulness BoN" for each in one_each(name, RIGHT, RIGHT, RIGHT)]
    found = figures("rmb", [*lists, *others])
    assert found["Helpfulness BoN"] == 0.5
    assert found[""] == pytest.approx((0.5 + 3) / 4)


class TestRMBench:
    CHOSEN, REJECTED = (3.0, 5.0, 7.0), (4.0, 4.0, 5.0)
    EXPECTED: ClassVar = {"easy": 1.0, "normal": 2 / 3, "hard": 0.0}
    """Won: detailed and Markdown over concise and detailed, Markdown over Markdown; detailed and Markdown tie."""

    def six(self, domain: str) -> ItemVotes:
        scores = vote(*self.CHOSEN, *self.REJECTED)
        return record(f"{domain}/0", scores, n=6, best=(0, 1, 2), subset=domain)

    def nine(self, domain: str) -> list[ItemVotes]:
        whole = self.six(domain)
        found = []
        for item in style_pairs(whole.item):
            scores = self.CHOSEN[int(item.meta["chosen"])], self.REJECTED[int(item.meta["rejected"])]
            found.append(ItemVotes(item, (), (vote(*scores),), (0, 0)))
        return found

    @pytest.mark.parametrize("pairs", [False, True])
    def test_a_comparison_is_hard_where_the_wrong_answer_has_the_richer_style(self, pairs: bool) -> None:
        records = [each for domain in DOMAINS for each in (self.nine(domain) if pairs else [self.six(domain)])]
        found = figures("rm-bench", records)
        assert {level: found[level] for level in self.EXPECTED} == pytest.approx(self.EXPECTED)
        assert {level: found[f"math {level}"] for level in self.EXPECTED} == pytest.approx(self.EXPECTED)
        assert found[""] == found["math"] == pytest.approx(5 / 9)

    def test_three_levels_on_one_prompt_are_one_prompt(self) -> None:
        found = official(
            "rm-bench", [replace(self.six("chat"), item=replace(self.six("chat").item, id=f"{i}")) for i in range(3)]
        )
        (row,) = [row for row in found.rows if row.part == "chat"]
        assert row.ci95[1] - row.ci95[0] > 0.9

    def test_without_a_level_there_is_no_headline(self) -> None:
        """As where only some of the nine pairs were judged."""
        hard = [each for each in self.nine("chat") if each.item.meta["rejected"] > each.item.meta["chosen"]]
        found = official("rm-bench", [*hard, *(self.six(domain) for domain in DOMAINS if domain != "chat")])
        assert found.missing == ["chat"]
        assert found.estimates == {}
        assert {"chat hard", "hard", "math"} <= {row.part for row in found.rows}
        assert "easy" not in {row.part for row in found.rows}


class TestReaLMistake:
    def rated(self, subset: str, *cases: tuple[int, float | None]) -> list[ItemVotes]:
        """One item per label (0: there is an error) and score."""
        return [
            make_record(
                [vote(score) if score is not None else vote(order=(0,))],
                name=f"{subset} {place}",
                responses=1,
                label=label,
                subset=subset,
            )
            for place, (label, score) in enumerate(cases)
        ]

    def test_a_low_score_says_error_and_an_unreadable_answer_says_nothing(self) -> None:
        """Flagged: one of two errors, one of two right responses."""
        found = figures("realmistake", self.rated(SETS[0], (0, 2), (0, 8), (1, 5.4), (1, None)))
        assert [found[f"{SETS[0]} {name}"] for name in ("precision", "recall", "f1", "accuracy")] == [
            0.5,
            0.5,
            0.5,
            0.25,
        ]

    def test_the_middle_of_the_scale_is_no_error(self) -> None:
        assert figures("realmistake", self.rated(SETS[0], (1, 5.5), (0, 1)))[f"{SETS[0]} accuracy"] == 1.0

    def test_where_nothing_is_flagged_precision_and_f1_are_zero(self) -> None:
        report = official("realmistake", self.rated(SETS[0], (0, 9), (1, 9)))
        for row in report.rows:
            assert row.value == (0.5 if row.metric == "accuracy" else 0.0)
            assert 0 <= row.ci95[0] <= row.value <= row.ci95[1] <= 1

    def test_the_headline_is_the_mean_f1_of_six_sets(self) -> None:
        records = self.rated(SETS[0], (0, 1), (0, 9), (1, 1), (1, 9))
        for subset in SETS[1:]:
            records += self.rated(subset, (0, 1), (1, 9))
        found = figures("realmistake", records)
        assert found[""] == found["f1"] == pytest.approx((0.5 + 5) / 6)
        assert found["accuracy"] == pytest.approx((0.5 + 5) / 6)

    def test_sets_without_a_name_are_others_and_no_headline(self) -> None:
        found = official("realmistake", self.rated("", (0, 1), (1, 9)))
        assert list(found.missing) == list(SETS)
        assert {row.part for row in found.rows} == {
            "other",
            *(f"other {name}" for name in ("f1", "precision", "recall", "accuracy")),
        }

    def test_a_scalar_model_has_no_scale_and_no_official_figure(self) -> None:
        about = replace(manifest("realmistake", k=1), judge="scalar")
        assert analyse(about, self.rated(SETS[0], (0, 1), (1, 9))).by_own_rule is None
