"""Length and Markdown: by hand, and for simulated judges that do and do not care."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import replace

import pytest

from grm_plugin.batch.vote_store import ItemVotes, StoredVote
from grm_plugin.evals.bias.traits import LENGTH, MARKDOWN, TraitBias, trait_biases
from support.vote_factories import make_record, vote


def record(
    responses: Sequence[str],
    votes: Sequence[StoredVote],
    best: int | Sequence[int] = 0,
    name: str = "an item",
    cut: tuple[int, ...] = (),
) -> ItemVotes:
    made = make_record(votes, name=name, responses=len(responses))
    best_ones = (best,) if isinstance(best, int) else tuple(best)
    return replace(made, item=replace(made.item, responses=tuple(responses), best=best_ones), cut=cut)


def found(records: Sequence[ItemVotes], trait: str = LENGTH) -> TraitBias:
    return {each.trait: each for each in trait_biases(records)}[trait]


def value(share: object) -> float | None:
    return None if share is None else share.value  # type: ignore[attr-defined]


def simulated(
    items: int, length: float = 0.0, markdown: float = 0.0, seed: int = 0, right_is_longer: float = 0.5
) -> list[ItemVotes]:
    """A judge of two responses that adds `length` times the log of a response's length, and `markdown` per entry."""
    rng = random.Random(seed)
    records = []
    for number in range(items):
        short, long = sorted((rng.randint(20, 400), rng.randint(401, 2000)))
        texts = ["- w\n" * rng.randint(0, 5) + "\n" + "w" * size for size in (short, long)]
        best = int(rng.random() < right_is_longer)
        votes = [
            vote(
                *(
                    (index == best) + length * math.log(len(text)) + markdown * text.count("- ") + rng.gauss(0, 1)
                    for index, text in enumerate(texts)
                )
            )
            for _ in range(4)
        ]
        records.append(record(texts, votes, best, f"item {number}"))
    return records


def test_by_hand() -> None:
    """The longer one wins in a, b and d; it is right in a, c and d. In e nothing is decided, in f lengths are equal."""
    records = [
        record(["long text", "short"], [vote(9, 1)], 0, "a"),
        record(["long text", "short"], [vote(9, 1)], 1, "b"),
        record(["long text", "short"], [vote(1, 9)], 0, "c"),
        record(["short", "long text"], [vote(1, 9), vote(5, 4), vote()], 1, "d"),
        record(["long text", "short"], [vote(5, 5)], 1, "e"),
        record(["equal", "sized"], [vote(1, 9)], 0, "f"),
        record(["long text", "short"], [vote()], 0, "g"),
    ]
    length = found(records)
    assert [value(share) for share in (length.wins, length.is_right)] == [0.75, 0.75]
    assert value(length.right_has_more) == pytest.approx(2 / 3)
    assert (value(length.right_has_less), length.undecided) == (0.0, 1)
    assert length.effect is not None
    assert length.effect.value == pytest.approx(2 / 3)
    assert length.effect.sign is None  # too few items
    assert length.correlation is not None
    assert length.correlation.n == 5


def test_in_a_list_every_pair_of_a_best_and_another_response_is_looked_at() -> None:
    """The best (3 characters) against 1, 2 and 4 characters; it loses to the longest only: two of three pairs."""
    length = found([record(["abc", "a", "ab", "abcd"], [vote(6, 5, 4, 9)])])
    assert length.wins is not None
    assert (length.wins.value, length.wins.n, length.wins.items) == (1.0, 3, 1)
    assert (value(length.right_has_more), value(length.right_has_less)) == (1.0, 0.0)


def test_what_the_grm_was_not_shown_does_not_make_a_response_longer() -> None:
    cut = record(["a" * 100, "b" * 50], [vote(9, 1)], cut=(60, 0))
    assert (value(found([cut]).right_has_more), value(found([cut]).right_has_less)) == (None, 1.0)


def test_markdown_is_told_apart_by_kind() -> None:
    records = [record(["# h\n\n**b**", "plain **b** **c** **d**"], [vote(9, 1)])]
    biases = {each.trait: (value(each.right_has_more), value(each.right_has_less)) for each in trait_biases(records)}
    assert biases["headings"] == (1.0, None)
    assert biases["bold"] == biases[MARKDOWN] == (None, 1.0)
    assert biases["tables"] == (None, None)


def test_who_loves_length_is_found() -> None:
    length = found(simulated(300, length=1.0))
    assert length.effect is not None
    assert length.effect.sign == 1
    assert length.correlation is not None
    assert length.correlation.ci95[0] > 0.3
    assert found(simulated(300, length=-1.0)).effect.sign == -1  # type: ignore[union-attr]


def test_who_loves_markdown_is_found_and_is_not_taken_for_one_who_loves_length() -> None:
    records = simulated(300, markdown=0.5)
    markdown, length = found(records, MARKDOWN), found(records)
    assert markdown.effect is not None
    assert length.effect is not None
    assert (markdown.effect.sign, length.effect.sign) == (1, 0)


def test_right_responses_that_are_mostly_longer_are_no_bias() -> None:
    length = found(simulated(400, right_is_longer=0.8))
    assert length.wins is not None
    assert length.is_right is not None
    assert length.effect is not None
    assert length.is_right.value == pytest.approx(0.8, abs=0.06)
    assert length.wins.ci95[0] > 0.5
    assert length.effect.sign == 0


def test_intervals_of_judges_without_a_bias_hold_zero() -> None:
    biases = [found(simulated(60, seed=seed)) for seed in range(150)]
    effects = [each.effect.ci95 for each in biases if each.effect]
    correlations = [each.correlation.ci95 for each in biases if each.correlation]
    for intervals in (effects, correlations):
        assert sum(low <= 0 <= high for low, high in intervals) / 150 >= 0.9


def test_single_responses_have_a_correlation_among_equals() -> None:
    """Right ones are longer and score higher, but within right and wrong ones the longer scores lower."""
    records = []
    for number in range(20):
        label = number % 2
        size, score = 100 * label + number, 8.0 * label - number / 10
        made = make_record([vote(score)], name=f"item {number}", label=label)
        records.append(replace(made, item=replace(made.item, responses=("x" * (size + 1),))))
    length = found(records)
    assert (length.wins, length.effect) == (None, None)
    assert length.correlation is not None
    assert length.correlation.value == pytest.approx(-1.0)
    assert trait_biases([]) != []
