import pytest

from grm_plugin.judging.grouping import GroupBuffer, OpenGroup, split_evenly
from grm_plugin.types import Message, Sample


def sample(response: str, question: str = "Why?", **rest: str) -> Sample:
    return Sample((Message("user", question),), response, **rest)


@pytest.mark.parametrize(
    ("count", "size", "lengths"),
    [
        (0, 4, []),
        (1, 4, [1]),
        (4, 4, [4]),
        (5, 4, [3, 2]),
        (6, 4, [3, 3]),
        (7, 4, [4, 3]),
        (9, 4, [3, 3, 3]),
        (10, 4, [4, 3, 3]),
        (3, 1, [1, 1, 1]),
    ],
)
def test_lists_are_few_and_of_nearly_equal_length(count: int, size: int, lengths: list[int]) -> None:
    parts = split_evenly(range(count), size)
    assert [len(part) for part in parts] == lengths
    assert [member for part in parts for member in part] == list(range(count))


def fill(buffer: GroupBuffer, n: int, responses: str, now: float = 0.0) -> tuple[OpenGroup, list[tuple[int, ...]]]:
    """Add one sample per letter; returns the last group and every list taken on the way."""
    taken = []
    for response in responses:
        group, _ = buffer.add(sample(response), n, now)
        members = group.take_full_list()
        if members:
            taken.append(members)
    return group, taken


@pytest.mark.parametrize("n", range(1, 14))
def test_gathered_groups_make_the_same_lists_as_whole_ones(n: int) -> None:
    group, taken = fill(GroupBuffer(4, keep_s=10), n, "abcdefghijklm"[:n])
    assert group.complete
    taken += group.take_rest()
    assert taken == split_evenly(range(n), 4)


def test_a_complete_group_is_closed_and_the_next_equal_sample_opens_another() -> None:
    buffer = GroupBuffer(4, keep_s=10)
    first, _ = fill(buffer, 2, "ab")
    second, _ = fill(buffer, 2, "cd")
    assert first is not second
    assert first.snapshot().responses == ("a", "b")
    assert second.snapshot().responses == ("c", "d")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ((sample("a"), 2), (sample("b", "How?"), 2)),
        ((sample("a"), 2), (sample("b"), 3)),
        ((sample("a", reference="4"), 2), (sample("b", reference="5"), 2)),
        ((sample("a", rubric="short"), 2), (sample("b"), 2)),
    ],
    ids=["conversation", "n", "reference", "rubric"],
)
def test_what_differs_is_another_group(one: tuple[Sample, int], other: tuple[Sample, int]) -> None:
    buffer = GroupBuffer(4, keep_s=10)
    assert buffer.add(*one, now=0)[0] is not buffer.add(*other, now=0)[0]
    assert buffer.waits_for(*one)
    assert buffer.waits_for(*other)


def test_a_sample_of_evaluation_is_no_sibling_of_one_in_training() -> None:
    buffer = GroupBuffer(4, keep_s=10)
    training, _ = buffer.add(sample("a"), 2, now=0)
    assert not buffer.waits_for(sample("b"), 2, learn=False)
    assert buffer.add(sample("b"), 2, now=0, learn=False)[0] is not training
    assert buffer.add(sample("c"), 2, now=0)[0] is training
    assert training.snapshot().responses == ("a", "c")
    assert not buffer.waits_for(sample("d"), 2), "it is complete"


@pytest.mark.parametrize("n", range(1, 9))
def test_a_copy_is_a_member_that_is_not_listed_again(n: int) -> None:
    buffer = GroupBuffer(list_size=2, keep_s=10)
    group, taken = fill(buffer, n, "abacabad"[:n])
    taken += group.take_rest()
    assert group.complete
    firsts = [index for index, first in enumerate("abacabad"[:n]) if "abacabad".index(first) == index]
    assert sorted(member for members in taken for member in members) == firsts
    assert group.copies == {index: "abacabad".index("abacabad"[index]) for index in range(n) if index not in firsts}
    assert all(len(members) <= 2 for members in taken)


def test_what_is_shown_decides_what_is_a_copy() -> None:
    buffer = GroupBuffer(4, keep_s=10)
    group, _ = buffer.add(sample("a"), 4, now=0, shown="A")
    buffer.add(sample("A"), 4, now=0)
    buffer.add(sample("a"), 4, now=0, shown="a")
    buffer.add(sample("A"), 4, now=0, listed=False)
    assert (group.copies, group.take_rest()) == ({1: 0}, [(0, 2)])


def test_a_snapshot_carries_what_belongs_to_the_prompt() -> None:
    group, index = GroupBuffer(4, keep_s=10).add(sample("a", reference="4", rubric="short"), 1, now=0)
    assert index == 0
    assert group.snapshot().reference == "4"
    assert group.snapshot().rubric == "short"


def test_an_unlisted_sample_is_a_member_that_the_grm_never_sees() -> None:
    buffer = GroupBuffer(4, keep_s=10)
    group, _ = buffer.add(sample("a"), 3, now=0)
    buffer.add(sample(" "), 3, now=0, listed=False)
    buffer.add(sample("c"), 3, now=0)
    assert group.complete
    assert group.snapshot().responses == ("a", " ", "c")
    assert group.take_full_list() == (0, 2), "complete with what there is to judge"
    assert group.take_rest() == []


def test_late_siblings_form_a_group_of_those_that_were_missing() -> None:
    buffer = GroupBuffer(4, keep_s=10)
    group, _ = fill(buffer, 4, "ab")
    buffer.close(group, now=1)
    late, _ = fill(buffer, 4, "cd", now=2)
    assert late.complete
    assert late.snapshot().responses == ("c", "d")
    assert fill(buffer, 4, "e", now=3)[0].expected == 4, "the debt is paid: a new group waits for all four"


def test_late_siblings_are_forgotten_in_time() -> None:
    buffer = GroupBuffer(4, keep_s=10)
    group, _ = fill(buffer, 4, "ab")
    buffer.close(group, now=1)
    assert fill(buffer, 4, "c", now=12)[0].expected == 4


def test_closing_a_complete_group_leaves_no_debt() -> None:
    buffer = GroupBuffer(4, keep_s=10)
    group, _ = fill(buffer, 2, "ab")
    buffer.close(group, now=1)
    assert fill(buffer, 2, "c", now=2)[0].expected == 2


def test_closing_touches_only_the_group_it_names() -> None:
    buffer = GroupBuffer(4, keep_s=10)
    done, _ = fill(buffer, 2, "ab")
    waiting, _ = fill(buffer, 2, "c")
    buffer.close(done, now=1)
    assert buffer.add(sample("d"), 2, now=2) == (waiting, 1)


def test_a_lost_sibling_splits_the_next_group_once_and_not_for_ever() -> None:
    buffer = GroupBuffer(list_size=4, keep_s=100)
    lost, _ = fill(buffer, 4, "abc")  # the fourth never comes
    buffer.close(lost, now=1)
    paid, _ = fill(buffer, 4, "d", now=2)  # the next step's first sample is taken for it
    assert paid.complete
    short, _ = fill(buffer, 4, "efg", now=2)
    buffer.close(short, now=3)
    whole, _ = fill(buffer, 4, "hijk", now=4)
    assert (whole.responses, whole.complete) == (list("hijk"), True)


class Counted(str):
    """A text that counts how often it is looked up."""

    lookups = 0

    def __hash__(self) -> int:
        Counted.lookups += 1
        return super().__hash__()

    def __eq__(self, other: object) -> bool:
        return super().__eq__(other)


@pytest.mark.parametrize("expired", [False, True])
def test_a_new_group_looks_at_no_other_one(expired: bool) -> None:
    """However many groups were closed without their late siblings; each is dropped once when its time is over."""
    buffer = GroupBuffer(4, keep_s=10)
    count = 500
    for number in range(count):
        group, _ = buffer.add(sample("a", Counted(f"question {number}")), 4, now=0)
        buffer.close(group, now=0)
    Counted.lookups = 0
    buffer.add(sample("a", "another"), 4, now=20 if expired else 1)
    assert Counted.lookups < (10 * count if expired else 10)
    assert len(buffer._missing) == (0 if expired else count)
    Counted.lookups = 0
    buffer.add(sample("a", "a third"), 4, now=20 if expired else 2)
    assert Counted.lookups < 10


def test_late_siblings_of_a_prompt_that_comes_again_are_expected_for_a_full_keep_s() -> None:
    buffer = GroupBuffer(4, keep_s=10)
    for now, closes in ((0.0, "early?"), (1.0, "Why?"), (5.0, "early?")):
        group, _ = buffer.add(sample("a", closes), 2, now)
        buffer.close(group, now)
    assert buffer.add(sample("b", "Why?"), 2, now=10.5)[0].expected == 1
    assert buffer.add(sample("b", "early?"), 2, now=10.5)[0].expected == 2, "the third was taken for the late one"
