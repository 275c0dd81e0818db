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
